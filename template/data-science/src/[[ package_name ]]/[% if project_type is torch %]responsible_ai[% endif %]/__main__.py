"""Analyse the registered model: in which groups it is wrong more often, how fair it is, and what moves it.

The result is one HTML page, and the same numbers in `insights.json`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.champion import meet_champion
from ..core.cohorts import score_cohorts
from ..core.modality import Examples, load_examples
from ..core.promotion import Policy
from ..core.responsible_ai import newest_model
from ..core.schema import Schema
from ..core.settings import check_numbers, load_settings, section
from ..core.split import Split, bootstrap_units
from ..core.step import StepError, output_folder, run, step_run
from ..modality import MODALITY
from .dashboard import Example, Insights, log, summary, write
from .errors import error_cohorts, halves, heat_map
from .explanations import error_surrogate, prediction_surrogate, typical
from .table import Table

# So many typical errors fit on a page.
_EXAMPLES = 8


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="responsible_ai", description=__doc__)
    for name, text in {
        "--registration": "folder with the registration.json of register",
        "--train-data": "folder with the training rows",
        "--test-data": "folder with the held-out rows",
        "--schema": "data/schema.yml",
        "--settings": "config/model.yml",
        "--dashboard": "output folder: dashboard.html, insights.json",
    }.items():
        arguments.add_argument(name, type=Path, required=True, help=text)
    arguments.add_argument("--overrides", default="", help='"training.seed=7 responsible_ai.rows=500"')
    return arguments


@dataclass(frozen=True)
class Options:
    """The section `responsible_ai` of the settings.

    Attributes:
        rows: how many held-out rows, chosen by chance, are searched and explained at most; fairness is of all of them.
        cohort_depth: how many conditions a group of rows may have.
        minimum_rows: the fewest rows of a group.
        heat_map: two columns, whose groups are crossed; or none.
    """

    rows: int
    cohort_depth: int
    minimum_rows: int
    heat_map: tuple[str, str] | None = None

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
        return cls(**given, heat_map=None if crossed is None else (str(crossed[0]), str(crossed[1])))


def responsible_ai(arguments: argparse.Namespace) -> None:
    """Analyse the newest registered model and write the dashboard.

    Raises:
        StepError: data or settings are wrong, or no model is registered that can score the held-out rows.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    if schema.task != "classification":
        raise StepError(f"this analysis is of a classification, and {schema.source} has a {schema.task}")
    settings = load_settings(arguments.settings, arguments.overrides)
    policy, options = Policy.from_settings(settings, schema.task), Options.from_settings(settings)
    name = newest_model(arguments.registration).name
    train, test = (load_examples(MODALITY, folder, schema) for folder in (arguments.train_data, arguments.test_data))
    print(f"scoring {len(test.frame):,} held-out rows", flush=True)
    met = meet_champion(name, MODALITY, schema, Split.read(arguments.test_data), test, replace=True, embed=True)
    if not met.predictions:
        raise StepError(f"there is nothing to analyse: {met.note}")
    predictions = met.predictions[0].within(schema.class_names(train.frame[schema.target], test.frame[schema.target]))
    described, actual = MODALITY.describe(test, schema).frame, test.frame[schema.target].to_numpy()
    cohorts = score_cohorts(policy, schema, described, actual, predictions)

    seed = settings["training"]["seed"]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(actual))[: options.rows])
    part = Examples(test.frame.iloc[chosen], test.root)
    wrong = (actual.astype(str) != predictions.values.astype(str))[chosen]
    embedding = met.embeddings[0][chosen] if met.embeddings else None
    frame = described.iloc[chosen].reset_index(drop=True)
    table = Table.of(frame.drop(columns=[schema.target], errors="ignore"), embedding)
    units = bootstrap_units(part.frame, schema.split)
    units = np.arange(len(chosen)) if units is None else units
    finding = halves(units, wrong, seed)
    print(f"looking for groups of errors in {len(chosen):,} rows, by {len(table.blocks)} columns", flush=True)
    common = (finding, units, policy.confidence, seed)
    groups = error_cohorts(
        table, wrong, units, finding, options.cohort_depth, options.minimum_rows, policy.confidence, seed
    )
    worst = next((each for each in groups if each.confirmed), None)
    shown = typical(table.values if embedding is None else embedding, wrong & (worst.members if worst else wrong), _EXAMPLES)
    insights = Insights(
        model=name,
        version=str(met.version),
        created=f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
        target=schema.target,
        rows=len(actual),
        analysed=len(chosen),
        errors=int(wrong.sum()),
        components=0 if embedding is None else embedding.shape[1],
        minimum_rows=options.minimum_rows,
        confidence=policy.confidence,
        groups=groups,
        heat_map=heat_map(frame, options.heat_map, wrong) if options.heat_map else None,
        cohorts=cohorts,
        predictions=prediction_surrogate(table, predictions.values[chosen], *common),
        mistakes=error_surrogate(table, wrong, *common),
        typical=_examples(part.frame, schema, predictions.values[chosen].astype(str), shown),
    )
    with step_run("responsible_ai"), output_folder(arguments.dashboard) as folder:
        write(insights, folder)
        log(insights, folder)
    print(f"dashboard: {arguments.dashboard / 'dashboard.html'}")
    print(summary(insights), flush=True)


def _examples(frame: pd.DataFrame, schema: Schema, predicted: np.ndarray, places: np.ndarray) -> list[Example]:
    """Return the rows at these places; a row is called by the beginning of its first feature."""
    label = schema.features[0]
    return [
        Example(str(frame[label].iloc[place])[:60], str(frame[schema.target].iloc[place]), str(predicted[place]))
        for place in places
    ]


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(responsible_ai, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
