"""How one data file becomes rows, in training and in batch scoring. See `core.modality`.

The scoring script loads it as a lone file, so it imports nothing from its own package.
"""

import importlib.util
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

import pandas as pd


def _load_beside(name: str) -> ModuleType:
    # By its path: there may be no package to import it from.
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table_file = _load_beside("table_file")


def read(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """Return the rows of a csv or parquet file; see `table_file`.

    Raises:
        ValueError: the file cannot be read as it is; in one line with the file's columns and the remedy.
    """
    return table_file.read(path, columns)


def load(inputs: pd.DataFrame, request: bool = False) -> pd.DataFrame:
    """Return the inputs as they are: the values of a table are what the model takes."""
    return inputs


def describe(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs as they are: Azure's monitor compares the features themselves."""
    return inputs
