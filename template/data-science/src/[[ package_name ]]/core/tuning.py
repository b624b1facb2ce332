"""The search for hyperparameters: the section `tuning` of the settings, what is wrong with it, its form in Azure ML.

`sweep`, `overrides` and `problems` are what the mlops layer calls; the step `tune` needs the rest.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import median
from typing import Any

import yaml

from .hyperparameters import PLACE, Rule, choice, integer, number
from .hyperparameters import problems as rule_problems
from .metrics import METRICS, Metric
from .schema import Schema
from .settings import is_number, missing_point, refuse_unknown_keys, section, unknown_key
from .step import StepError

SPACE = "tuning.space"
"""Where the search space stands in config/model.yml."""

EXAMPLE = "`learning_rate: {from: 0.01, to: 0.3, log: true}`, or a list of values"

SAMPLING = ("random", "sobol", "grid", "bayesian")
NEVER, MEDIAN, BANDIT = "none", "median_stopping", "bandit"

# What a command line of any shell and of Azure ML hands on unchanged.
_TEXT = re.compile(r"[A-Za-z0-9_.:/@+-]+")
# The median of fewer candidates says little.
_OTHERS = 4
# So many digits of a number tell candidates apart.
_DIGITS = 4

Candidate = dict[str, Any]
"""Values of the names in the search space; what the settings leave out may be missing."""

CheckHyperparameters = Callable[[Mapping[str, Any], Schema], list[str]]


@dataclass(frozen=True)
class Range:
    """A range of numbers, both ends included: integers if both ends are.

    Attributes:
        low: the smallest number.
        high: the largest one.
        log: whether each order of magnitude is as likely as another.
    """

    low: float
    high: float
    log: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether it has integers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that show whether all of it is allowed."""
        return (self.low, self.high)

    def value(self, given: object) -> float:
        """Return a number, or its text, as a value of the range, with few digits.

        Raises:
            ValueError: it is not a finite number.
        """
        found = float(str(given))
        if not math.isfinite(found):
            raise ValueError
        short = round(found) if self.is_integer else float(f"{found:.{_DIGITS}g}")
        return min(max(short, self.low), self.high) if found in self else short

    def __contains__(self, value: object) -> bool:
        """Return whether a value is within the range."""
        return is_number(value) and self.low <= float(str(value)) <= self.high

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"

    def document(self) -> dict[str, Any]:
        """Return it in the terms of Azure ML."""
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        kind = ("q" if self.is_integer else "") + ("loguniform" if self.log else "uniform")
        return {"type": kind, "min_value": low, "max_value": high} | ({"q": 1} if self.is_integer else {})


@dataclass(frozen=True)
class Choice:
    """A list of values."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that show whether all of it is allowed."""
        return self.values

    @property
    def texts(self) -> tuple[str, ...]:
        """Its values as words."""
        return tuple(map(word, self.values))

    @property
    def is_numerical(self) -> bool:
        """Whether all of its values are numbers."""
        return all(map(is_number, self.values))

    def value(self, given: object) -> Any:
        """Return the listed value that is this one, or has this text.

        Raises:
            ValueError: none has.
        """
        texts = (word(given), str(given))
        for value in self.values:
            if word(value) in texts or (is_number(value) and _float(given) == value):
                return value
        raise ValueError

    def __contains__(self, value: object) -> bool:
        """Return whether a value is listed."""
        return word(value) in self.texts

    def __str__(self) -> str:
        """Return it in words."""
        return ", ".join(self.texts)

    def document(self) -> dict[str, Any]:
        """Return it in the terms of Azure ML."""
        return {"type": "choice", "values": list(self.values if self.is_numerical else self.texts)}


@dataclass(frozen=True)
class EarlyTermination:
    """When a candidate is given up, in the terms of Azure ML; `type` none is never.

    Attributes:
        type: see above.
        evaluation_interval: it is looked at after every so many folds ...
        delay_evaluation: ... but not before this one.
        slack_factor: of the bandit: by which share a candidate may be worse than the best one.
        slack_amount: or by how much, in units of the metric.
    """

    type: str = NEVER
    evaluation_interval: int = 1
    delay_evaluation: int = 0
    slack_factor: float | None = None
    slack_amount: float | None = None

    def gives_up(self, metric: Metric, fold: int, mean: float, others: Sequence[float]) -> bool:
        """Return whether a candidate has no prospect.

        Args:
            metric: of the scores.
            fold: how many folds were scored.
            mean: the mean score of these.
            others: those of other candidates after as many folds.
        """
        if self.type == NEVER or fold < self.delay_evaluation or fold % self.evaluation_interval or not others:
            return False
        if self.type == MEDIAN:
            return len(others) >= _OTHERS and bool(metric.gain(mean, median(others)) < 0)
        best = max(others) if metric.higher_is_better else min(others)
        if self.slack_amount is not None:
            allowed = self.slack_amount
        else:
            slack = self.slack_factor or 0.0
            allowed = abs(best) * (slack / (1 + slack) if metric.higher_is_better else slack)
        return bool(metric.gain(mean, best) < -allowed)

    def document(self) -> dict[str, Any] | None:
        """Return it in the terms of Azure ML; None is never."""
        if self.type == NEVER:
            return None
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Tuning:
    """The section `tuning` of the settings; config/model.yml says what its keys mean."""

    space: Mapping[str, Range | Choice]
    trials: int = 20
    minutes: float | None = None
    folds: int = 5
    sampling: str = "random"
    early_termination: EarlyTermination = EarlyTermination()
    concurrent_trials: int = 4

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Tuning":
        """Read the section; `problems` says what is wrong with its values.

        Raises:
            StepError: there is none, or it cannot be read.
        """
        if settings.get("tuning") is None:
            raise StepError(f"tuning: the settings have no such section; add one, with `space:` and below it {EXAMPLE}")
        if lines := [*_section_problems(settings["tuning"])]:
            raise StepError("; ".join(lines))
        given = {key: value for key, value in settings["tuning"].items() if value is not None}
        given["early_termination"] = _early_termination(given.get("early_termination", NEVER))
        given["space"] = {name: _dimension(values) for name, values in _space(settings).items()}
        return cls(**given)

    def candidate(self, hyperparameters: Mapping[str, Any]) -> Candidate:
        """Return the values that hyperparameters have for the names of the search space."""
        known = flat(hyperparameters)
        return {name: known[name] for name in self.space if known.get(name) is not None}

    def read_candidate(self, words: str) -> Candidate:
        """Read a candidate from the words `name=value ...`, with the types of the search space.

        Raises:
            StepError: a word is malformed, names what is not searched, or has a value that is not allowed there.
        """
        found: Candidate = {}
        for word in words.split():
            name, equals, text = word.partition("=")
            if not equals:
                raise StepError(f"--candidate: '{word}': write it as name=value")
            if name not in self.space:
                raise StepError(f"--candidate: {name}: {unknown_key(name, self.space)}")
            try:
                found[name] = self.space[name].value(text)
            except ValueError as error:
                kind = self.space[name]
                raise StepError(f"--candidate: {name}: '{text}' is not one of {kind}") from error
        return found


# --- what is wrong


def problems(settings: Mapping[str, Any], schema: Schema, check_hyperparameters: CheckHyperparameters) -> list[str]:
    """Return what is wrong with the section `tuning`, a line each that begins with its key; none if it is left out.

    Args:
        settings: all of them, because the values of the search space are hyperparameters among others.
        schema: of the data.
        check_hyperparameters: that of the type of data.
    """
    given = settings.get("tuning")
    if given is None:
        return []
    if lines := [*_section_problems(given)] or [*_choice_problems(settings)]:
        return lines
    tuning = Tuning.from_settings(settings)
    return [*_sampling_problems(tuning), *_value_problems(tuning, settings, schema, check_hyperparameters)]


def _section_problems(given: object) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield "tuning: must be `name: value` lines"
        return
    rules: dict[str, Rule] = {
        "trials": integer(1, 100_000),
        "minutes": number(0.1, 1e6),
        "folds": integer(1, 100),
        "sampling": choice(*SAMPLING),
        "early_termination": lambda value: "",
        "concurrent_trials": integer(1, 1000),
        "space": lambda value: "",
    }
    yield from rule_problems(given, rules, "tuning")
    yield from _early_termination_problems(given.get("early_termination") or NEVER)
    space = given.get("space")
    if not isinstance(space, Mapping) or not space:
        yield f"{SPACE}: missing; name what is to be searched, such as {EXAMPLE}"
        return
    for name, values in space.items():
        group = values if _is_group(values) else {}
        for key, each in group.items() if group else [("", values)]:
            if problem := _dimension_problem(each):
                yield f"{SPACE}.{name}{'.' if key else ''}{key}: {problem}"


def _is_group(values: object) -> bool:
    """Return whether an entry of the search space is what one model has, and neither a range nor a list."""
    if not isinstance(values, Mapping) or not values:
        return False
    return all(isinstance(each, Mapping | list) for each in values.values())


def _model(settings: Mapping[str, Any]) -> str | None:
    name = _hyperparameters(settings).get("model")
    return None if name is None else str(name)


def _hyperparameters(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    match settings:
        case {"training": {"hyperparameters": Mapping() as given}}:
            return given
    return {}


def _space(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the search space of the model that is trained: what stands below its name, and what stands below none."""
    given, model = settings["tuning"]["space"], _model(settings)
    shared = {str(name): values for name, values in given.items() if not _is_group(values)}
    groups = {str(name): values for name, values in given.items() if _is_group(values)}
    own: Mapping[Any, Any] = groups.get(str(model), {})
    return shared | {str(name): values for name, values in own.items()}


def _choice_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    if not _space(settings):
        model = _model(settings)
        groups = ", ".join(map(str, settings["tuning"]["space"]))
        if model is None:
            yield f"{SPACE}: it is that of {groups}, and {PLACE}.model names none of them"
        else:
            yield f"{SPACE}: nothing of the model {model} is searched, only {groups}; add `{model}:` with its ranges"


def _early_termination_problems(given: object) -> Iterator[str]:
    place = "tuning.early_termination"
    entry = {"type": given} if isinstance(given, str) else given
    kind = entry.get("type") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or kind not in (NEVER, MEDIAN, BANDIT):
        example = f"{{type: {BANDIT}, slack_factor: 0.1}}"
        yield f"{place}: {kind or given!r} is unknown; choose one of {NEVER}, {MEDIAN}, {example}"
        return
    rules: dict[str, Rule] = {"type": lambda value: ""}
    if kind != NEVER:
        rules |= {"evaluation_interval": integer(1, 1000), "delay_evaluation": integer(0, 1000)}
    if kind == BANDIT:
        rules |= {"slack_factor": number(0.0, 1e6), "slack_amount": number(0.0, 1e300)}
        if sum(entry.get(key) is not None for key in ("slack_factor", "slack_amount")) != 1:
            yield f"{place}: a bandit needs either slack_factor, such as 0.1, or slack_amount"
    yield from rule_problems(entry, rules, place)


def _early_termination(given: Any) -> EarlyTermination:
    entry: Mapping[str, Any] = {"type": given} if isinstance(given, str) else given
    return EarlyTermination(**{key: value for key, value in entry.items() if value is not None})


def _dimension_problem(values: object) -> str:
    if isinstance(values, Mapping):
        try:
            refuse_unknown_keys(dict(values), ("from", "to", "log"), "a range")
        except StepError as error:
            return str(error)
        for key in ("from", "to"):
            if not is_number(values.get(key)):
                return f"{key} must be a number, not {values.get(key)!r}{missing_point(values.get(key))}"
        if not isinstance(values.get("log", False), bool):
            return f"log must be true or false, not {values['log']!r}"
        if not values["from"] < values["to"]:
            return f"the range is empty, from {values['from']:g} to {values['to']:g}"
        if values.get("log") and values["from"] <= 0:
            return f"a logarithmic range cannot begin at {values['from']:g}; begin it above 0"
        return ""
    if not isinstance(values, list) or len(values) < 2:
        return "give a range, such as {from: 1, to: 9}, or a list of two or more values"
    if len({word(value) for value in values}) < len(values):
        return "a value is there twice; delete one"
    for value in values:
        parts = value if isinstance(value, list) else [value]
        if wrong := [part for part in parts if isinstance(part, str) and not _TEXT.fullmatch(part)]:
            return f"{wrong[0]!r} may have letters, digits and _.:/@+- only, because command lines hand it on"
        if not all(part is None or isinstance(part, str | bool) or is_number(part) for part in parts):
            return f"{value!r} is neither number, text, boolean nor a list of them"
    return ""


def _dimension(values: Any) -> Range | Choice:
    if isinstance(values, Mapping):
        return Range(values["from"], values["to"], values.get("log", False))
    return Choice(tuple(values))


def _sampling_problems(tuning: Tuning) -> Iterator[str]:
    ranges = {name: kind for name, kind in tuning.space.items() if isinstance(kind, Range)}
    if tuning.sampling == "grid":
        for name in ranges:
            yield f"{SPACE}.{name}: a grid has no ranges; list the values to try"
    if tuning.sampling == "bayesian":
        for name, kind in ranges.items():
            if kind.log:
                yield f"{SPACE}.{name}: bayesian sampling of Azure ML has no logarithmic range; leave out log"
        if tuning.early_termination.type != NEVER:
            yield f"tuning.early_termination: Azure ML has none with bayesian sampling; set {NEVER} or another sampling"


def _value_problems(
    tuning: Tuning, settings: Mapping[str, Any], schema: Schema, check_hyperparameters: CheckHyperparameters
) -> Iterator[str]:
    own = _hyperparameters(settings)
    # What is wrong without a candidate is said elsewhere.
    known = set(check_hyperparameters(own, schema))
    for name, kind in tuning.space.items():
        for value in kind.ends:
            found = [line for line in check_hyperparameters(merged(own, {name: value}), schema) if line not in known]
            known |= set(found)
            place = f"{SPACE}.{_model(settings)}" if name not in settings["tuning"]["space"] else SPACE
            yield from (place + line.removeprefix(PLACE) for line in found)


# --- candidates


def flat(hyperparameters: Mapping[str, Any], parent: str = "") -> dict[str, Any]:
    """Return hyperparameters by one name each: nested ones with a dot."""
    found: dict[str, Any] = {}
    for key, value in hyperparameters.items():
        found |= flat(value, f"{parent}{key}.") if isinstance(value, Mapping) else {f"{parent}{key}": value}
    return found


def merged(hyperparameters: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with the values of a candidate."""
    result: dict[str, Any] = deepcopy(dict(hyperparameters))
    for name, value in candidate.items():
        *parents, last = name.split(".")
        place = result
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        place[last] = value
    return result


def words(candidate: Mapping[str, Any], prefix: str = "") -> str:
    """Return a candidate as the words `name=value ...`, with YAML values."""
    return " ".join(f"{prefix}{name}={word(value)}" for name, value in candidate.items())


def overrides(search: Mapping[str, Any]) -> str:
    """Return the best hyperparameters of `search.json` as overrides of the settings; see `settings.load_settings`."""
    return words(search["best"]["hyperparameters"], f"{PLACE}.")


def word(value: Any) -> str:
    """Return the YAML of a value in one word."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(word, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return repr(value) if not exponent or "." in mantissa else f"{mantissa}.0e{power}"
    text = str(value)
    return f"'{text}'" if isinstance(value, str) and yaml.safe_load(text) != text else text


def _float(given: object) -> float:
    try:
        return float(str(given))
    except ValueError:
        return math.nan


# --- Azure ML


def azure_name(name: str) -> str:
    """Return the name of a hyperparameter as the input of a component."""
    return name.replace(".", "__")


def primary_metric(metric: str) -> str:
    """Return the name that the score of a candidate has in MLflow."""
    return f"validation_{metric}"


def sweep(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the search in the terms of Azure ML's sweep jobs, without its trial.

    Besides their keys it has `inputs`, the type that the trial needs for each name of the search space, and
    `candidate`, the text of the step's argument with `${{inputs.NAME}}` for each.

    Raises:
        StepError: the section `tuning` is missing, or cannot be read.
    """
    tuning = Tuning.from_settings(settings)
    chosen = str(section(settings, "evaluation").get("metric"))
    metric = next((each for known in METRICS.values() for each in known if each.name == chosen), None)
    if metric is None:
        raise StepError(f"evaluation.metric: {chosen!r} is unknown")
    names = {name: azure_name(name) for name in tuning.space}
    limits: dict[str, Any] = {
        "max_total_trials": tuning.trials,
        "max_concurrent_trials": min(tuning.concurrent_trials, tuning.trials),
    }
    if tuning.minutes is not None:
        limits["timeout"] = math.ceil(60 * tuning.minutes)
    sampling: Any = tuning.sampling
    if sampling in ("random", "sobol"):
        sampling = {"type": "random", "rule": sampling, "seed": section(settings, "training").get("seed")}
    return {
        "search_space": {names[name]: kind.document() for name, kind in tuning.space.items()},
        "objective": {
            "goal": "maximize" if metric.higher_is_better else "minimize",
            "primary_metric": primary_metric(metric.name),
        },
        "sampling_algorithm": sampling,
        "early_termination": tuning.early_termination.document(),
        "limits": limits,
        "inputs": {
            names[name]: "string" if isinstance(kind, Choice) and not kind.is_numerical else "number"
            for name, kind in tuning.space.items()
        },
        "candidate": " ".join(f"{name}=${{{{inputs.{names[name]}}}}}" for name in tuning.space),
    }
