"""The search for hyperparameters: what config/model.yml asks for, what was found, and how the file keeps it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml

from mlops.config import Sweep
from mlops.errors import UserError
from mlops.project import Project, load_yaml
from mlops.yaml_text import edited, scalar

SECTION = "training.hyperparameters"
LONGEST_NAME = 60


@dataclass(frozen=True)
class Search:
    """What a search found, as its search.json says.

    Attributes:
        metric: The cross-validated metric.
        best: The best hyperparameters of the space, by their names below `training.hyperparameters`.
        score: What they reached.
        former: What the settings' own reached; None when they were not tried.
        improved: Whether the best ones are better than those of the settings; None when that is not known.
        trials: How many trials there were in each state.
        overrides: The best hyperparameters as overrides of the settings.
        maximize: Whether a higher score is better.
    """

    metric: str
    best: Mapping[str, object]
    score: float
    former: float | None
    improved: bool | None
    trials: Mapping[str, int]
    overrides: str
    maximize: bool

    @classmethod
    def read(cls, project: Project, path: Path) -> "Search":
        """Read a search.json.

        Raises:
            UserError: No trial was completed, or the file is not one that the step `tune` writes.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            trials: dict[str, int] = {}
            for trial in document["trials"]:
                trials[trial["state"]] = trials.get(trial["state"], 0) + 1
            if document["best"] is None:
                errors = [trial["error"] for trial in document["trials"] if trial.get("error")]
                raise UserError(f"no trial of the search was completed{f': {errors[-1]}' if errors else ''}")
            best, settings = document["best"], document["settings"]
            return cls(
                metric=document["metric"],
                best=best["hyperparameters"],
                score=best["score"],
                former=settings["score"] if settings else None,
                improved=document["improved"],
                trials=trials,
                overrides=project.module("core.tuning").overrides(document),
                maximize=document["goal"] == "maximize",
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: this is no result of the step tune: {error!r}") from error

    @classmethod
    def best_of(cls, project: Project, paths: Sequence[Path]) -> "Search":
        """Read several results of one trial each, and return the best one.

        Raises:
            UserError: As in `read`, if none of them can be read.
        """
        found, problems = [], []
        for path in paths:
            try:
                found.append(cls.read(project, path))
            except UserError as error:
                problems.append(error)
        if not found:
            raise problems[-1]
        return max(found, key=lambda search: search.score if search.maximize else -search.score)

    @property
    def words(self) -> str:
        """The best hyperparameters in one line."""
        return " ".join(f"{name}={scalar(value)}" for name, value in self.best.items())


def check_save(overrides: str) -> None:
    """Check that what a search finds can be kept by itself.

    Raises:
        UserError: Overrides set hyperparameters that its score rests on, and the settings do not have those.
    """
    if found := [word for word in overrides.split() if re.match(r"training(=|\.hyperparameters)", word)]:
        raise UserError(
            f"--save: the score would rest on {found[0]}, too: write that into config/model.yml instead of --overrides"
        )


def run_name(overrides: str, otherwise: str = "") -> str:
    """Return a name for a run that tells what is different in it: its overrides without the longest prefix.

    Args:
        overrides: Words of the form `a.b.c=value`.
        otherwise: The name without any.
    """
    words = " ".join(word.removeprefix(f"{SECTION}.") for word in overrides.split())
    return shortened(words or otherwise, LONGEST_NAME)


def shortened(text: str, most: int) -> str:
    """Return a text with at most so many characters, which ends between words unless one of them is long."""
    found = shorten(text, most, placeholder="...")
    if len(text) <= most or len(found) > most // 2:
        return found
    return f"{text[: most - 3]}..."


def with_trials(overrides: str, trials: int | None) -> str:
    """Return overrides with another number of trials, unless it is None."""
    return f"{overrides} tuning.trials={trials}".strip() if trials else overrides


def sweep(project: Project, overrides: str = "") -> Sweep:
    """Return the search that config/model.yml asks for, in Azure ML's terms.

    Raises:
        UserError: There is no section `tuning`, or it is wrong.
    """
    require_section(project)
    error: type[Exception] = project.module("core.endpoint").StepError
    try:
        settings = project.module("core.settings").read_settings(project.settings, overrides)
        return Sweep(**project.module("core.tuning").sweep(settings))
    except error as problem:
        raise UserError(f"config/model.yml: {problem}") from problem


def require_section(project: Project) -> None:
    """Check that config/model.yml has a section `tuning`; files from before v0.8.0 have none.

    Raises:
        UserError: It has none.
    """
    if "tuning" not in load_yaml(project.settings):
        raise UserError("config/model.yml: there is no section tuning: write one, docs/operate.md has an example")


def is_kept(project: Project, values: Mapping[str, object]) -> bool:
    """Return whether config/model.yml has these hyperparameters already."""
    document = load_yaml(project.settings)
    return all(_value(document, f"{SECTION}.{name}") == value for name, value in values.items())


def keep(project: Project, values: Mapping[str, object]) -> None:
    """Write hyperparameters into config/model.yml; the rest of the file stays as it is, comments included.

    Raises:
        UserError: The file is missing or broken, or writes them in a way that cannot be changed here.
    """
    path, expected = project.settings, load_yaml(project.settings)
    for name, value in values.items():
        expected = _changed(expected, [*SECTION.split("."), *name.split(".")], value)
    # Not read_text, which would change the ends of lines.
    text = path.read_bytes().decode("utf-8")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    for name, value in values.items():
        text = edited(text, f"{SECTION}.{name}", value)
    if yaml.safe_load(text) != expected:
        raise UserError(f"{path}: its way of writing {SECTION} cannot be changed here: set {_words(values)} yourself")
    path.write_bytes((mark + text).encode("utf-8"))


def _words(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {scalar(value)}" for name, value in values.items())


def _value(document: object, key: str) -> object:
    for part in key.split("."):
        document = document.get(part) if isinstance(document, Mapping) else None
    return document


def _changed(document: object, keys: Sequence[str], value: object) -> Any:
    """Return a document with another value; a section that two keys share by an alias changes at one of them alone."""
    if not keys:
        return value
    section = document if isinstance(document, Mapping) else {}
    return {**section, keys[0]: _changed(section.get(keys[0]), keys[1:], value)}
