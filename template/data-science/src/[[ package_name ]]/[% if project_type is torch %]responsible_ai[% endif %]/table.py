"""What is known of each example, as numbers that trees can split: descriptions, metadata and the embedding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.cohorts import slice_groups

EMBEDDING = "embedding"

# A category with more values than this tells rows apart, not groups of them: a name, a path, a text.
_MOST_VALUES = 24


class Condition(NamedTuple):
    """What one column of numbers is: the numbers of a column of the data, or, with a value, whether it has that."""

    column: str
    value: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows of numbers without missing values.

    Attributes:
        values: of shape (rows, conditions).
        conditions: what each column of `values` is.
        blocks: the places of the conditions that belong together, by name: a column of the data, or the embedding.
    """

    values: NDArray[np.float64]
    conditions: Sequence[Condition]
    blocks: dict[str, list[int]]

    @classmethod
    def of(cls, frame: pd.DataFrame, embedding: NDArray[np.float64] | None) -> "Table":
        """Return descriptions and metadata, one row for each example, as numbers, with the embedding beside them.

        A column that is the same in all rows, or a text with another value in almost each, is left out.

        Args:
            frame: the columns, of shape (rows, columns).
            embedding: of shape (rows, components); None if the model has none.
        """
        columns: list[tuple[str, Condition, NDArray[np.float64]]] = []
        for name in map(str, frame):
            columns += [(name, *each) for each in _numbers(frame, name)]
        components = [] if embedding is None else list(embedding.T)
        block = f"{EMBEDDING} (all {len(components)})"
        columns += [(block, Condition(f"{EMBEDDING} {place}"), each) for place, each in enumerate(components, 1)]
        blocks: dict[str, list[int]] = {}
        for place, (block, _, _) in enumerate(columns):
            blocks.setdefault(block, []).append(place)
        values = np.column_stack([each for _, _, each in columns]) if columns else np.empty((len(frame), 0))
        return cls(values, [condition for _, condition, _ in columns], blocks)


def _numbers(frame: pd.DataFrame, name: str) -> list[tuple[Condition, NDArray[np.float64]]]:
    column = frame[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = pd.Series(column.to_numpy(dtype=float, na_value=np.nan)).replace([np.inf, -np.inf], np.nan)
        missing, found = numbers.isna().to_numpy(), []
        if numbers.nunique() > 1:
            found.append((Condition(name), numbers.fillna(numbers.median()).to_numpy()))
        if missing.any() and not missing.all():
            found.append((Condition(name, "missing"), missing.astype(float)))
        return found
    if not 1 < column.astype(str).nunique() <= _MOST_VALUES:
        return []
    groups = slice_groups(frame, name)
    return [(Condition(name, value), (groups == value).to_numpy(dtype=float)) for value in groups.unique()]
