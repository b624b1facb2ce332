"""How one data file becomes rows, in training and in batch scoring. See `core.modality`.

The scoring script loads it as a lone file, so it imports nothing from its own package.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd


def read(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of a csv or parquet file.

    Args:
        path: the file; without the suffix .parquet it is csv.
        columns: names and types; csv values of the type "string" stay as they are written, so that "007" stays "007".

    Raises:
        ValueError: the file cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={name: str for name, kind in columns.items() if kind == "string"})
