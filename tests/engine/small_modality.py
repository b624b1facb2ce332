"""The type of data of the small project: rows of numbers, whatever the surrounding project is for."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rendered import HERE


class Rows:
    """What verbs, lint and local loop ask a modality for."""

    tasks = ("regression", "classification")
    suffixes = (".csv",)
    input_column = None

    def read(self, folder: Path, schema: Any) -> Any:
        """Read the rows of all files in a folder."""
        frame = pd.concat([pd.read_csv(path) for path in sorted(folder.rglob("*.csv"))], ignore_index=True)
        return _core("modality").Examples(frame, folder)

    def convert(self, examples: Any, schema: Any) -> Any:
        """Return what is converted already."""
        return examples

    def request(self, examples: Any, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns as an endpoint accepts them."""
        return examples.frame[list(columns)]

    def describe(self, examples: Any, schema: Any) -> Any:
        """Return all columns of the schema as a table."""
        return _core("modality").Description(examples.frame.reindex(columns=list(schema.columns)), {})

    def check_hyperparameters(self, given: Mapping[str, Any], schema: Any) -> list[str]:
        """Know a number, one of two names, and an integer in a group."""
        rule = _core("hyperparameters")
        rules = {"rate": rule.number(0.0, 1.0), "kind": rule.choice("a", "b"), "tree": {"depth": rule.integer(1, 9)}}
        found: list[str] = _core("hyperparameters").problems(given, rules)
        return found

    def baseline(self, name: str, train: Any, test: Any, schema: Any, training: Mapping[str, Any]) -> None:
        """Refuse any baseline.

        Raises:
            StepError: Always.
        """
        raise _core("step").StepError(f"evaluation.baselines: {name!r} is none")


def _core(name: str) -> Any:
    return importlib.import_module(f"{HERE.package}.core.{name}")
