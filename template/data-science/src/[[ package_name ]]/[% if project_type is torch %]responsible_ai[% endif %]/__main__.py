"""Analyse the registered model: in which groups it is wrong more often, how fair it is, and what moves it.

The result is one HTML page, and the same numbers in `insights.json`.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..core.champion import meet_champion
from ..core.cohorts import score_cohorts
from ..core.metrics import Metric
from ..core.modality import Examples, load_examples
from ..core.panels import Figure, Passage
from ..core.predictions import Predictions
from ..core.promotion import Policy
from ..core.responsible_ai import newest_model
from ..core.schema import Schema
from ..core.settings import check_numbers, load_settings, section, shows_examples
from ..core.split import Split, bootstrap_units
from ..core.step import StepError, output_folder, run, step_run
from ..modality import MODALITY
from .dashboard import Example, Insights, log, summary, write
from .errors import Halves, error_cohorts, heat_map
from .explanations import error_surrogate, prediction_surrogate, typical
from .table import EMBEDDING, Table

# One line for each file is enough; MLflow's bars fill the log of a job.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

# So many typical errors fit on a page, and so many letters of what each is called.
_EXAMPLES, _LABEL = 8, 60
# Where no prediction is simply wrong, this share of them counts as that.
_WORST = 0.25


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="responsible_ai", description=__doc__)
    arguments.add_argument("--registration", type=Path, required=True, help="folder with what register wrote")
    arguments.add_argument("--train-data", type=Path, required=True, help="folder with the training rows")
    arguments.add_argument("--test-data", type=Path, required=True, help="folder with the held-out rows")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--settings", type=Path, required=True, help="config/model.yml")
    arguments.add_argument("--dashboard", type=Path, required=True, help="output: dashboard.html and insights.json")
    arguments.add_argument("--overrides", default="", help='"training.seed=7 responsible_ai.rows=500"')
    return arguments


@runtime_checkable
class WithExhibits(Protocol):
    """What a type of data whose examples can be seen or read has besides `Modality`."""

    def labels(self, examples: Examples) -> Sequence[str]:
        """Return what people call each of the examples, which shows nothing of it."""
        ...

    def exhibits(self, examples: Examples, captions: Sequence[str]) -> Sequence[Figure | Passage]:
        """Return each of the examples with its caption."""
        ...


@dataclass(frozen=True)
class Options:
    """The section `responsible_ai` of the settings.

    Attributes:
        rows: how many held-out rows, chosen by chance, are searched and explained at most; fairness is of all of them.
        cohort_depth: how many conditions a group of rows may have.
        minimum_rows: the fewest rows of a group.
        heat_map: two columns, whose groups are crossed; or none.
        examples: whether single rows may be shown.
    """

    rows: int
    cohort_depth: int
    minimum_rows: int
    heat_map: tuple[str, str] | None = None
    examples: bool = True

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Options":
        """Read the section.

        Raises:
            StepError: it is missing, a key is missing or unknown, or a value is out of range.
        """
        given = dict(section(settings, "responsible_ai"))
        crossed = given.pop("heat_map", None)
        if crossed is not None and not (isinstance(crossed, list) and len(crossed) == 2):
            raise StepError(f"responsible_ai.heat_map: must be two columns, such as [first, second], not {crossed!r}")
        limits = {"rows": (50, 1_000_000), "cohort_depth": (1, 5), "minimum_rows": (4, 100_000)}
        check_numbers("responsible_ai", given, limits, others=("heat_map",))
        if missing := [key for key in limits if key not in given]:
            raise StepError(f"responsible_ai.{missing[0]}: missing; the keys are heat_map, {', '.join(limits)}")
        if fractions := [key for key, value in given.items() if not isinstance(value, int)]:
            raise StepError(f"responsible_ai.{fractions[0]}: {given[fractions[0]]!r} must be an integer")
        columns = None if crossed is None else (str(crossed[0]), str(crossed[1]))
        return cls(**given, heat_map=columns, examples=shows_examples(settings))


def responsible_ai(arguments: argparse.Namespace) -> None:
    """Analyse the newest registered model and write the dashboard.

    Raises:
        StepError: data or settings are wrong, or no model is registered that can score the held-out rows.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    if schema.task == "regression":
        raise StepError(f"this analysis is of classes or texts, and {schema.source} has a {schema.task}")
    settings = load_settings(arguments.settings, arguments.overrides)
    policy, options = Policy.from_settings(settings, schema.task), Options.from_settings(settings)
    name = newest_model(arguments.registration).name
    train, test = (load_examples(MODALITY, folder, schema) for folder in (arguments.train_data, arguments.test_data))
    print(f"scoring {len(test.frame):,} held-out rows", flush=True)
    met = meet_champion(name, MODALITY, schema, Split.read(arguments.test_data), test, replace=True, embed=True)
    if not met.predictions:
        raise StepError(f"there is nothing to analyse: {met.note}")
    if met.unseen is not None:
        print(met.note, flush=True)
        test = test.take(met.unseen)
    known = schema.class_names(train.frame[schema.target], test.frame[schema.target])
    # What else the model knows of an example is no component.
    vectors = [each.filter(regex=f"^{EMBEDDING} ").to_numpy() for each in met.embeddings]
    scored = Scored(met.predictions[0].within(known), vectors[0] if vectors else None)
    seed, model = settings["training"]["seed"], f"{name} version {met.version}"
    insights = _insights(model, schema, policy, options, test, scored, seed)
    with step_run("responsible_ai"), output_folder(arguments.dashboard) as folder:
        write(insights, folder)
        log(insights, folder)
    print(f"dashboard: {arguments.dashboard / 'dashboard.html'}")
    print(summary(insights), flush=True)


class Scored(NamedTuple):
    """What a model makes of examples; the embedding has the shape (examples, components), None if it has none."""

    predictions: Predictions
    embedding: NDArray[np.float64] | None


def _insights(
    model: str, schema: Schema, policy: Policy, options: Options, test: Examples, scored: Scored, seed: int
) -> Insights:
    predictions, embedding = scored
    described, actual = MODALITY.describe(test, schema).frame, test.frame[schema.target].to_numpy()
    cohorts = score_cohorts(policy, schema, described, actual, predictions)

    chosen = np.sort(np.random.default_rng(seed).permutation(len(actual))[: options.rows])
    part, predicted = replace(test, frame=test.frame.iloc[chosen]), predictions.values[chosen].astype(str)
    wrong, errors_are = _errors(schema, policy.metric, actual[chosen], predictions.take(chosen))
    vectors = None if embedding is None else embedding[chosen]
    frame = described.iloc[chosen].reset_index(drop=True)
    table = Table.of(frame.drop(columns=schema.target, errors="ignore"), vectors)
    units = bootstrap_units(part.frame, schema.split)
    units = np.arange(len(chosen)) if units is None else units
    halved = Halves.of(units, wrong, seed)
    print(f"looking for groups of errors in {len(chosen):,} rows, by {len(table.blocks)} columns", flush=True)
    groups = error_cohorts(table, wrong, halved, options.cohort_depth, options.minimum_rows, policy.confidence)
    in_worst = groups[0].members if groups and groups[0].confirmed else wrong
    shown = typical(table.values if vectors is None else vectors, wrong & in_worst, _EXAMPLES)
    few = replace(part, frame=part.frame.iloc[shown])
    labels = MODALITY.labels(few) if isinstance(MODALITY, WithExhibits) else few.frame[schema.features[0]]
    truths, said = actual[chosen][shown].astype(str), predicted[shown]
    if schema.predicts_texts:  # as little of an example as its class
        truths, said = (np.array([f"{len(text):,} characters" for text in each], dtype=str) for each in (truths, said))
    examples = [Example(str(label)[:_LABEL], *classes) for label, *classes in zip(labels, truths, said, strict=True)]
    captions = [f"{each.actual}, predicted as {each.predicted}" for each in examples]
    captions = [str(text) for text in predicted[shown]] if schema.predicts_texts else captions
    return Insights(
        model=model,
        created=f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
        target=schema.target,
        rows=len(actual),
        analysed=len(chosen),
        errors=int(wrong.sum()),
        errors_are=errors_are,
        components=0 if vectors is None else vectors.shape[1],
        minimum_rows=options.minimum_rows,
        confidence=policy.confidence,
        groups=groups,
        heat_map=heat_map(frame, options.heat_map, wrong) if options.heat_map else None,
        cohorts=cohorts,
        predictions=prediction_surrogate(
            table, None if schema.predicts_texts else predicted, halved, policy.confidence
        ),
        mistakes=error_surrogate(table, wrong, halved, policy.confidence),
        typical=examples,
        exhibits=MODALITY.exhibits(few, captions) if options.examples and isinstance(MODALITY, WithExhibits) else [],
    )


def _errors(
    schema: Schema, deciding: Metric, actual: NDArray[Any], predicted: Predictions
) -> tuple[NDArray[np.bool_], str]:
    """Return which rows are wrong, and what that means where it is more than another class."""
    if not schema.predicts_texts:
        return actual.astype(str) != predicted.values.astype(str), ""
    if deciding.rows is None:
        raise StepError(f"evaluation.metric: {deciding.name} has no score for a single row; choose another one")
    gains = deciding.gain(deciding.rows(actual, predicted), 0)
    limit = float(np.quantile(gains, _WORST))
    worst = f"{_WORST:.0%} of the rows whose {deciding.name} is worst, {abs(limit):.4g} or worse"
    return gains <= limit, f"a prediction is a text, so the {worst}, count as wrong"


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(responsible_ai, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
