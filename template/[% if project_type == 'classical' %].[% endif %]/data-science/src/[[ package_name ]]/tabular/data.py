"""Tables: reading csv, parquet and JSON lines files; `core.tables` checks them against the schema."""

from pathlib import Path

import pandas as pd

from .. import table_file
from ..core.modality import data_files, passed_over
from ..core.schema import Schema
from ..core.step import StepError
from ..core.tables import convert, convert_where_possible, read, read_all, validate

__all__ = ["convert", "convert_where_possible", "read_folder", "validate"]


def read_folder(folder: Path, schema: Schema) -> pd.DataFrame:
    """Read and join all files of rows in `folder`, in the order of their names; csv values are texts.

    Raises:
        StepError: there is no file, a file cannot be read as it is, or the files do not have the same columns.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StepError(f"{folder}: no such folder; give the folder that holds the csv, parquet or jsonl files")
    paths = data_files(folder, table_file.SUFFIXES)
    if not paths:
        raise StepError(f"{folder}: there is no csv, parquet or jsonl file")
    if others := passed_over(folder, table_file.SUFFIXES):
        print(f"passed over {', '.join(others[:3])}: csv, parquet and jsonl files are read", flush=True)
    return read_all(paths, lambda path: read(path, schema))
