"""Do the settings fit the data? What is known of `config/model.yml` and `data/schema.yml` before anything trains."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import distances, features
from .baselines import CONSTANTS
from .cohorts import outcome_measures, slice_groups
from .fairness import Fairness
from .metrics import METRICS, Metric, metric
from .modality import Examples, Modality
from .promotion import Policy
from .schema import Schema
from .settings import (
    check_training_section,
    is_number,
    load_settings,
    names,
    read_settings,
    refuse_unknown_keys,
    section,
    shows_examples,
)
from .step import StepError
from .tables import added_breaches, some_rows
from .tuning import problems as tuning_problems

SECTIONS = ("training", "evaluation", "promotion", "fairness", "responsible_ai", "drift", "tuning")
"""The sections of the settings; a step of your own that reads another one needs it here."""


class Problem(str):
    """What is wrong, in a line with file and key.

    Attributes:
        key: the setting of config/model.yml that it is about, such as `training.seed`; empty if it is about none.
    """

    key: str

    def __new__(cls, line: str, key: str) -> "Problem":
        """Make one of its line and its key."""
        made = super().__new__(cls, line)
        made.key = key
        return made


# What a line begins with that is about a setting.
_KEY = re.compile(rf"(?:{'|'.join(SECTIONS)})\b(?:\.[\w-]+)*")


class _Problems(list[str]):
    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the error of a block, in one line, unless it is known."""
        try:
            yield
        except StepError as error:
            line = " ".join(str(error).split())
            if line not in self:
                self.append(line)


def check_settings(modality: Modality, schema_path: Path, settings_path: Path, overrides: str = "") -> list[Problem]:
    """Return all that is wrong with the settings, by themselves and for these data.

    No example is read: what depends on values, such as a class without examples, is left to the steps.

    Args:
        modality: the type of data.
        schema_path: data/schema.yml; what is wrong in it comes alone, because all else depends on it.
        settings_path: config/model.yml.
        overrides: as in `settings.load_settings`; a malformed one comes alone.
    """
    problems = _Problems()
    with problems.collected():
        schema = Schema.load(schema_path, modality.tasks)
        settings = read_settings(settings_path, overrides)
        _check_all(problems, modality, schema, settings, settings_path)
        with problems.collected():
            _check_features(problems, schema, schema_path.parent / "raw")
    return [_problem(line, schema_path, settings_path) for line in problems]


def _problem(line: str, schema_path: Path, settings_path: Path) -> Problem:
    if line.startswith((str(schema_path), str(features.PATH))):
        return Problem(line, "")
    text = line.removeprefix(f"{settings_path}: ")
    key = _KEY.match(text)
    return Problem(line if line.startswith(str(settings_path)) else f"{settings_path}: {text}", key[0] if key else "")


def _check_all(
    problems: _Problems, modality: Modality, schema: Schema, settings: Mapping[str, Any], path: Path
) -> None:
    for name in settings:
        with problems.collected():
            refuse_unknown_keys({name: None}, SECTIONS, f"{path}")
    with problems.collected():
        check_training_section(settings, path)
    training = settings.get("training")
    if isinstance(training, Mapping):
        with problems.collected():
            check_training(training, schema)
        if isinstance(hyperparameters := training.get("hyperparameters"), Mapping):
            problems += modality.check_hyperparameters(hyperparameters, schema)
    problems += tuning_problems(settings, schema, modality.check_hyperparameters)
    _check_gates(problems, schema, settings)
    _check_names(problems, modality, schema, settings)
    _check_drift(problems, settings)


def _check_features(problems: _Problems, schema: Schema, raw: Path) -> None:
    """Try features.py on some rows of the data, if they are here; `prep` does with all of them."""
    if not features.is_used(schema):
        return
    own, rows = features.project_features(schema), some_rows(raw, schema)
    if rows is None:
        return
    if wrong := features.problems(rows, schema):
        problems += wrong
    elif own and (
        breach := added_breaches(pd.DataFrame(own.compute(features.request_columns(rows, schema))), schema, few=True)
    ):
        problems += [breach]


def load_training(modality: Modality, schema: Schema, path: Path, overrides: str = "") -> dict[str, Any]:
    """Read the section `training` of the settings file, checked for these data.

    Raises:
        StepError: a setting is missing, unknown or wrong, or an override is malformed; see `settings.load_settings`.
    """
    training: dict[str, Any] = load_settings(path, overrides)["training"]
    check_training(training, schema)
    if wrong := modality.check_hyperparameters(training["hyperparameters"], schema):
        raise StepError("; ".join(wrong))
    return training


def check_training(training: Mapping[str, Any], schema: Schema) -> None:
    """Check the settings of the training that depend on the data.

    Raises:
        StepError: the offset is not a feature with a number in each row, or this is no regression; or there is a
            threshold, and the target is not one of two classes.
    """
    offset = training.get("offset")
    suitable = [name for name in schema.numerical if schema.columns[name].missing == 0]
    if offset is not None and schema.task != "regression":
        raise StepError(f"training.offset: is for a regression, and this is a {schema.task}; leave it out")
    if offset is not None and offset not in suitable:
        raise StepError(
            f"training.offset: {offset!r} is not a numerical feature without missing values; those are "
            f"{', '.join(suitable) or 'none'}"
        )
    check_threshold(training, schema)


def check_threshold(training: Mapping[str, Any], schema: Schema, *labels: pd.Series) -> None:
    """Check that there is a threshold for two classes only: those of the schema, or of labels if it lists none.

    Raises:
        StepError: it is there, and the target is not one of two classes.
    """
    classes = schema.class_names(*labels)
    other = schema.task != "classification" or (classes and len(classes) != 2)
    if other and training.get("threshold") is not None:
        raise StepError("training.threshold: is for two classes, and this target has others; leave it out")


def _check_gates(problems: _Problems, schema: Schema, settings: Mapping[str, Any]) -> None:
    """Check the metric, the promotion and the fairness: each key by itself, so that no error hides another."""
    task = schema.task
    valid = {"evaluation": {"metric": METRICS[task][0].name}, "promotion": {"floor": 0.0}, "fairness": None}
    for key, value in _entries(settings, "promotion"):
        with problems.collected():
            Policy.from_settings({**valid, "promotion": {"floor": 0.0, key: value}}, task)
    for key, value in _entries(settings, "fairness"):
        with problems.collected():
            Fairness.from_settings({"fairness": {"cohorts": ["any"], key: value}}, task)
    with problems.collected():
        Policy.from_settings(settings, task)  # what is missing
    with problems.collected():
        chosen = metric(str(section(settings, "evaluation").get("metric")), task)
        for place, key in (("promotion", "floor"), ("fairness", "worst")):
            with problems.collected():
                _check_reachable(f"{place}.{key}", dict(_entries(settings, place)).get(key), chosen)
    if task == "classification" and schema.classes:
        with problems.collected():
            no_rows = np.array([], dtype=str)
            outcome_measures(Fairness.from_settings(settings, task), schema, no_rows, no_rows)


def _check_reachable(key: str, limit: object, chosen: Metric) -> None:
    if isinstance(limit, int | float) and is_number(limit) and chosen.gain(chosen.best, limit) < 0:
        raise StepError(f"{key}: no model can reach {limit:g}, because the best {chosen.name} is {chosen.best:g}")


def _check_names(problems: _Problems, modality: Modality, schema: Schema, settings: Mapping[str, Any]) -> None:
    """Check the names of columns and baselines, which the type of data knows; there is no example to look at."""
    nothing = Examples(pd.DataFrame(columns=list(schema.columns)), Path(schema.source).parent)
    described = nothing.frame
    with problems.collected():
        described = modality.describe(nothing, schema).frame
    evaluation = settings.get("evaluation")
    evaluation = evaluation if isinstance(evaluation, Mapping) else {}
    for key in evaluation:
        with problems.collected():
            refuse_unknown_keys({key: None}, ("metric", "baselines", "slices", "examples"), "evaluation")
    with problems.collected():
        shows_examples({"evaluation": evaluation})
    slices: list[str] = []
    baselines: list[str] = []
    with problems.collected():
        slices = names(evaluation, "slices")
    with problems.collected():
        baselines = names(evaluation, "baselines")
    cohorts: tuple[tuple[str, ...], ...] = ()
    if fairness := dict(_entries(settings, "fairness")):
        with problems.collected():
            cohorts = Fairness.from_settings({"fairness": {"cohorts": fairness.get("cohorts")}}, schema.task).cohorts
    columns = [("evaluation.slices", column) for column in slices]
    columns += [("fairness.cohorts", column) for crossed in cohorts for column in crossed]
    for setting, column in columns:
        with problems.collected():
            if column == schema.target and schema.task == "classification":
                raise StepError(f"{setting}: {column} is the target; choose columns that are known before")
            slice_groups(described, column, setting)
    training = settings.get("training")
    for name in baselines:
        with problems.collected():
            if name != CONSTANTS.get(schema.task):
                _check_baseline(name, modality, nothing, schema, training if isinstance(training, Mapping) else {})


def _check_baseline(
    name: str, modality: Modality, nothing: Examples, schema: Schema, training: Mapping[str, Any]
) -> None:
    try:
        modality.baseline(name, nothing, nothing, schema, training)
    except StepError:
        raise
    except Exception:  # the name is known, and without examples there is no prediction
        return


def _check_drift(problems: _Problems, settings: Mapping[str, Any]) -> None:
    with problems.collected():
        section(settings, "drift")
    for kind, limits in _entries(settings, "drift"):
        with problems.collected():
            distances.check_thresholds({kind: {}})
        if limits is not None and not isinstance(limits, Mapping):
            problems.append(f"drift.{kind}: must be `metric: threshold` lines")
        for name, limit in _entries(settings["drift"], kind):
            with problems.collected():
                distances.check_thresholds({kind: {name: limit}})


def _entries(settings: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    """Return keys and values of a section; none if it has another form, which is an error elsewhere."""
    found = settings.get(name)
    return [(str(key), value) for key, value in found.items()] if isinstance(found, Mapping) else []
