"""The columns that `add_features` of features.py makes: the one place that runs it, in training and in service alike.

The scoring script loads this as a lone file, so it imports nothing but such files beside it. A model keeps the source
of its features.py in its metadata, with the columns that it adds: whatever becomes of the file, the model stays as it
was trained, and a champion is compared with a challenger whose features are others.
"""

import hashlib
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import conversion

FILE, FUNCTION = "features.py", "add_features"

METADATA = "features"
"""The key of the metadata of a model for what `Features.document` returns."""

_NUMERICAL = ("integer", "number", "boolean")


@dataclass(frozen=True)
class Features:
    """The source of a features.py, and the columns that it adds to a request, as `conversion` describes them."""

    source: str
    columns: Mapping[str, Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """Return it as plain data, for the metadata of a model."""
        return {"source": self.source, "columns": {name: dict(column) for name, column in self.columns.items()}}

    def add(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of a request, typed by `conversion`, and behind them those of features.py, typed too.

        Raises:
            ValueError: the code fails, or what it returns are not these columns; in one line.
        """
        return inputs.assign(**self.compute(inputs))

    def compute(self, inputs: pd.DataFrame) -> dict[str, NDArray[Any]]:
        """Return the added columns alone, with the type that each has in training and in a request."""
        if not len(inputs):
            return {name: _empty(column) for name, column in self.columns.items()}
        made = run(self.source, inputs)
        if absent := [name for name in self.columns if name not in made]:
            raise ValueError(f"{FUNCTION} does not return the column {absent[0]}")
        typed: dict[str, NDArray[Any]] = {}
        for name, column in self.columns.items():
            values, wrong = conversion.convert_column(made[name], column)
            for reason, rows in wrong.items():
                raise ValueError(f"{name}: {conversion.shown(made[name].iloc[rows[0]])} {reason}")
            if column["type"] in ("integer", "boolean") and not column["missing"] and pd.isna(values).any():
                raise ValueError(f"{name}: a value is missing, which its `missing` in the schema does not allow")
            typed |= conversion.typed_columns(name, values, column)
        return typed


def of_metadata(metadata: Mapping[str, Any] | None) -> Features | None:
    """Return the features that a model with this metadata was trained with; None if it has none."""
    recorded = (metadata or {}).get(METADATA)
    return Features(recorded["source"], recorded["columns"]) if recorded else None


def run(source: str, inputs: pd.DataFrame) -> pd.DataFrame:
    """Return what `add_features` makes of the columns of a request; it gets a copy.

    Raises:
        ValueError: it fails, or returns something else than a table with the same rows; in one line.
    """
    given = inputs.reset_index(drop=True)
    try:
        made = function(source)(given.copy())
    except KeyError as error:
        raise ValueError(f"{_line(error)}KeyError: {error} is no column of a request") from error
    except Exception as error:
        raise ValueError(f"{_line(error)}{type(error).__name__}: {conversion.shown(error)}") from error
    if not isinstance(made, pd.DataFrame):
        raise ValueError(f"{FUNCTION} must return a DataFrame, not {type(made).__name__}")
    if not made.index.equals(given.index):
        raise ValueError(f"{FUNCTION} must return the {len(given):,} rows that it gets, in their order")
    if made.columns.has_duplicates:
        raise ValueError(f"{FUNCTION} returns the column {made.columns[made.columns.duplicated()][0]} more than once")
    return made


@cache
def function(source: str) -> Callable[[pd.DataFrame], Any]:
    """Return the function in the source of a features.py, which is a module of its own: two models may have two.

    Raises:
        ValueError: the source cannot be loaded, or has no such function.
    """
    module = ModuleType(f"_features_{hashlib.sha256(source.encode()).hexdigest()[:16]}")
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, FILE, "exec"), vars(module))
    except Exception as error:
        raise ValueError(f"it cannot be loaded: {type(error).__name__}: {conversion.shown(error)}") from error
    found = getattr(module, FUNCTION, None)
    if not callable(found):
        raise ValueError(f"there is no function {FUNCTION}(frame)")
    made: Callable[[pd.DataFrame], Any] = found
    return made


def _line(error: Exception) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    return f"line {lines[-1]}: " if lines else ""


def _empty(column: Mapping[str, Any]) -> NDArray[Any]:
    return np.empty(0, dtype=float if column["type"] in _NUMERICAL else object)
