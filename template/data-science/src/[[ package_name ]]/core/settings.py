"""The settings of `config/model.yml`, and the checks that every YAML file of the project shares."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .step import StepError

# Settings that a file may lack, besides hyperparameters; an override may set them all the same.
_LEFT_OUT = (
    "training.offset",
    "training.threshold",
    "tuning.trials",
    "tuning.minutes",
    "tuning.folds",
    "tuning.sampling",
    "tuning.early_termination",
    "tuning.concurrent_trials",
    "evaluation.examples",
    "promotion.beat_baselines",
    "promotion.incomparable_champion",
)
_HYPERPARAMETERS = "training.hyperparameters."


def read_mapping(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> dict[str, Any]:
    """Read a YAML file of `key: value` lines.

    Raises:
        StepError: the file is not valid YAML, or not a mapping.
    """
    try:
        reader = loader(path.read_text(encoding="utf-8"))
        node = reader.get_single_node()
        _refuse_repeated_keys(node, path)
        document = None if node is None else reader.construct_document(node)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StepError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise StepError(f"{path}: expected `key: value` lines")
    return document


def _refuse_repeated_keys(node: yaml.Node | None, path: Path) -> None:
    # Of a key that is there twice, YAML keeps the last one: a limit in the first one would be gone.
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise StepError(f"{path}: line {line}: {key.value} is there twice: join the two, or delete one")
            seen.add(key.value)
            _refuse_repeated_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_repeated_keys(each, path)


def refuse_unknown_keys(entry: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    """Check the keys of a mapping; `place` begins the message.

    Raises:
        StepError: a key is not one of `known`.
    """
    unknown = [str(key) for key in entry if key not in known]
    if unknown:
        raise StepError(f"{place}: unknown key '{unknown[0]}'; known are {', '.join(known)}")


def is_number(value: object) -> bool:
    """Return whether a value is a finite number; a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of the settings.

    Raises:
        StepError: there is none, or it is not a mapping.
    """
    found = settings.get(name)
    if not isinstance(found, Mapping):
        raise StepError(f"{name}: this section is missing from the settings, or it has no `key: value` lines")
    return found


def shows_examples(settings: Mapping[str, Any]) -> bool:
    """Return whether reports may show single examples: `evaluation.examples`, true if it is left out.

    Raises:
        StepError: it is neither true nor false.
    """
    given = section(settings, "evaluation").get("examples", True)
    if not isinstance(given, bool):
        raise StepError(f"evaluation.examples: {given!r} must be true or false")
    return given


def names(section: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of names in the section `evaluation`; none if the key is missing.

    Raises:
        StepError: it is not a list.
    """
    found = section.get(key) or []
    if not isinstance(found, list):
        raise StepError(f"evaluation.{key}: must be a list, such as [{found}]")
    return [str(name) for name in found]


def check_numbers(
    section: str, given: Mapping[str, Any], limits: Mapping[str, tuple[float, float]], others: Sequence[str] = ()
) -> None:
    """Check that each value of a section is a number within its limits, both included.

    Args:
        section: name of the section, which begins the message.
        given: its values by key.
        limits: the smallest and the largest value by key.
        others: known keys that are not numbers, for the message.

    Raises:
        StepError: a key is unknown, or a value is not a number within its limits.
    """
    if unknown := sorted(map(str, set(given) - set(limits))):
        raise StepError(f"{section}.{unknown[0]}: unknown; the keys are {', '.join((*others, *limits))}")
    for key, value in given.items():
        if problem := number_problem(value, *limits[key]):
            raise StepError(f"{section}.{key}: {value!r} {problem}")


def number_problem(value: object, low: float, high: float) -> str:
    """Say what is wrong with a value that should be a number within limits; an empty text if nothing is."""
    if isinstance(value, int | float) and is_number(value) and low <= value <= high:
        return ""
    return f"must be a number{_range(low, high)}{missing_point(value)}"


def missing_point(value: object) -> str:
    """Say how to write a number that YAML takes for a text, such as 1e-3; an empty text if a value is none."""
    match = re.fullmatch(r"([+-]?\d+)(\.\d*)?[eE]([+-]?\d+)", value) if isinstance(value, str) else None
    return f"; YAML takes it for a text, write {match[1]}{match[2] or '.0'}e{int(match[3]):+d}" if match else ""


def unknown_key(key: object, known: Iterable[str]) -> str:
    """Say that a key is not known, and which ones are: the nearest first."""
    names = list(known)
    near = difflib.get_close_matches(str(key), names, 1, 0.7)
    return "unknown; " + (f"the nearest is {near[0]}, and " if near else "") + f"known are {', '.join(names)}"


def _range(low: float, high: float) -> str:
    if math.isfinite(high):
        return f" between {low:g} and {high:g}"
    return f" of {low:g} or more" if math.isfinite(low) else ""


def load_settings(path: Path, overrides: str = "") -> dict[str, Any]:
    """Read the settings file and apply `overrides`, words of the form `a.b.c=value` with YAML values.

    Raises:
        StepError: the file is not valid YAML, a setting of the training is missing or wrong, or an override is
            malformed or names a key that the file does not have.
    """
    settings = read_settings(path, overrides)
    check_training_section(settings, path)
    return settings


def read_settings(path: Path, overrides: str = "") -> dict[str, Any]:
    """Read the settings file and apply `overrides`, without a look at the values.

    Raises:
        StepError: the file is not valid YAML, or an override is malformed or names a key that the file does not have.
    """
    settings = read_mapping(Path(path))
    for word in overrides.split():
        key, equals, text = word.partition("=")
        if not equals:
            raise StepError(f"override '{word}': write it as a.b.c=value")
        *parents, last = key.split(".")
        place: Any = settings
        for name in (*parents, last):
            group = key.startswith(_HYPERPARAMETERS) and name != last
            if group and isinstance(place, dict) and place.get(name) is None:
                place[name] = {}  # hyperparameters within one that is left out
            known = isinstance(place, dict) and (name in place or (name == last and _may_be_left_out(key)))
            if not known:
                known_keys = [*_keys(settings), *(each for each in _LEFT_OUT if each.partition(".")[0] in settings)]
                near = difflib.get_close_matches(key, known_keys, 3, 0.7)
                hint = f"; the nearest: {', '.join(near)}" if near else ""
                raise StepError(f"override '{word}': {path} has no setting '{key}'{hint}")
            parent, place = place, place.get(name)
        try:
            parent[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise StepError(f"override '{word}': '{text}' is not a YAML value; write it without blanks") from error
    return settings


def _keys(settings: Mapping[str, Any], parent: str = "") -> list[str]:
    """Return what an override can name: each setting that is in the file, with the sections before it."""
    found = []
    for key, value in settings.items():
        found += _keys(value, f"{parent}{key}.") if isinstance(value, Mapping) else [f"{parent}{key}"]
    return found


def _may_be_left_out(key: str) -> bool:
    return key in _LEFT_OUT or key.startswith(_HYPERPARAMETERS)


def check_training_section(settings: Mapping[str, Any], path: Path) -> None:
    """Check the keys and values of the section `training` that are the same for all data.

    Raises:
        StepError: one is missing, unknown or wrong.
    """
    training = settings.get("training")
    if not isinstance(training, dict) or not {"test_size", "seed", "hyperparameters"} <= training.keys():
        raise StepError(f"{path}: the section training needs test_size, seed and hyperparameters")
    known = ("test_size", "seed", "offset", "threshold", "hyperparameters")
    refuse_unknown_keys(training, known, f"{path}: training")
    for key in ("test_size", "threshold"):
        value = training.get(key)
        if value is None and key == "threshold":
            continue
        if value is None or not (is_number(value) and 0 < value < 1):
            raise StepError(f"{path}: training.{key} is a share between 0 and 1, not '{value}'")
    seed = training["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise StepError(f"{path}: training.seed is an integer from 0 to 4294967295, not '{seed}'")
    if not isinstance(training["hyperparameters"], dict):
        raise StepError(f"{path}: training.hyperparameters must be `name: value` lines")
