"""How one data file becomes rows, in training and in batch scoring. See `core.modality`.

The scoring script loads it without its package, so it imports nothing but lone files that are beside it.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from . import table_file


def read(path: Path, columns: Collection[str], files: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the rows of a csv, parquet or JSON lines file; see `table_file`.

    Raises:
        ValueError: the file cannot be read as it is; in one line with the file's columns and the remedy.
    """
    return table_file.read(path, columns, files)


def load(inputs: pd.DataFrame, request: bool = False) -> pd.DataFrame:
    """Return the inputs as they are: the values of a table are what the model takes."""
    return inputs


def describe(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs as they are: Azure's monitor compares the features themselves."""
    return inputs
