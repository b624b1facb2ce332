"""Tables: reading csv and parquet files, and checking them against the schema."""

import math
from pathlib import Path

import pandas as pd
from pandera.errors import SchemaErrors

from .. import data_file
from ..core.modality import data_files
from ..core.schema import Column, Schema
from ..core.step import StepError

try:
    import pandera.pandas as pa
except ImportError:  # before pandera 0.24, the newest that supports pandas 1.5
    import pandera as pa  # type: ignore[no-redef]

SUFFIXES = (".csv", ".parquet")
_TRUTH = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


def read_folder(folder: Path, schema: Schema | None = None) -> pd.DataFrame:
    """Read and join all csv and parquet files in `folder`, in the order of their names.

    With a schema, its columns of type category or text are read as text, so that "007" stays "007".

    Raises:
        StepError: there is no file, a file is empty or broken, or the files do not have the same columns.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StepError(f"{folder}: no such folder; give the folder that holds the csv or parquet files")
    paths = data_files(folder, SUFFIXES)
    if not paths:
        raise StepError(f"{folder}: there is no csv or parquet file")
    frames = {path: _read_file(path, schema) for path in paths}
    expected = set(frames[paths[0]].columns)
    for path, frame in frames.items():
        if different := expected.symmetric_difference(frame.columns):
            names = ", ".join(sorted(different))
            raise StepError(f"{path} and {paths[0]} do not have the same columns; only one of them has {names}")
    return pd.concat(frames.values(), ignore_index=True)


def _read_file(path: Path, schema: Schema | None) -> pd.DataFrame:
    columns = list(schema.columns.values()) if schema else []
    try:
        frame = data_file.read(path, {c.name: "string" for c in columns if c.type in ("category", "text")})
    except pd.errors.EmptyDataError as error:
        raise StepError(f"{path} is empty; it needs a header line and rows") from error
    # A ParserError and a UnicodeDecodeError are ValueErrors, and so are pyarrow's errors.
    except ValueError as error:
        raise StepError(f"{path} cannot be read: {_first_line(error)}") from error
    if frame.empty:
        raise StepError(f"{path} has no rows")
    return frame


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def validate(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Check `frame` against `schema` with pandera and return it typed, with the columns of the schema in order.

    Types of the result: number -> float64; integer and boolean -> int64 and bool, or float64 where the schema allows
    missing values; category and text -> str objects, None where missing. Columns unknown to the schema are left out.

    Raises:
        StepError: a value breaks the schema; the message names each such column, the problem and the number of values.
    """
    checks = pa.DataFrameSchema({name: _checks(column) for name, column in schema.columns.items()})
    try:
        checks.validate(frame, lazy=True)
    except SchemaErrors as error:
        raise StepError(f"data does not fit {schema.source}: {_summary(error.failure_cases, schema)}") from error
    return pd.DataFrame({name: _cast(frame[name], column) for name, column in schema.columns.items()})


def _checks(column: Column) -> pa.Column:
    checks = []
    if column.is_numerical:
        checks.append(pa.Check(lambda s: _numbers(s).notna(), error="values other than finite numbers"))
    if column.type == "integer":
        checks.append(pa.Check(lambda s: ~(_numbers(s) % 1 > 0), error="values with a fraction"))
    if column.type == "boolean":
        checks.append(pa.Check(lambda s: _booleans(s).notna(), error="values other than true or false"))
    if column.minimum is not None:
        checks.append(pa.Check(lambda s: ~(_numbers(s) < column.minimum), error=f"values below {column.minimum}"))
    if column.maximum is not None:
        checks.append(pa.Check(lambda s: ~(_numbers(s) > column.maximum), error=f"values above {column.maximum}"))
    if column.values:
        checks.append(pa.Check(lambda s: _texts(s).isin(column.values), error="values not listed in the schema"))
    if 0 < column.missing < 1:
        too_many = f"missing values, more than the allowed {column.missing:.1%}"
        enough = pa.Check(lambda s: s.notna() | (s.isna().mean() <= column.missing), error=too_many, ignore_na=False)
        checks.append(enough)
    return pa.Column(checks=checks, nullable=column.missing > 0)


def _numbers(values: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(numbers.abs() != math.inf)


def _texts(values: pd.Series) -> pd.Series:
    # convert_dtypes writes an integer as "1" also where missing values made the column one of floats.
    return values.convert_dtypes().astype("string").astype(object).where(values.notna(), None)


def _booleans(values: pd.Series) -> pd.Series:
    return values.map(str).str.strip().str.lower().map(_TRUTH).astype("float64")


def _cast(values: pd.Series, column: Column) -> pd.Series:
    if column.is_numerical:
        numbers = _numbers(values)
        return numbers.astype("int64") if column.type == "integer" and column.missing == 0 else numbers
    if column.type == "boolean":
        return _booleans(values).astype("bool") if column.missing == 0 else _booleans(values)
    return _texts(values)


def _summary(failures: pd.DataFrame, schema: Schema) -> str:
    missing = set(failures.loc[failures["check"] == "column_in_dataframe", "failure_case"])
    problems = []
    for name in schema.columns:
        if name in missing:
            problems.append(f"{name}: the column is missing")
        for check, cases in failures[failures["column"] == name].groupby("check", sort=True):
            what = "missing values" if check == "not_nullable" else str(check)
            count = f"{len(cases)} {what.replace('values', 'value', 1) if len(cases) == 1 else what}"
            example = cases["failure_case"].dropna().head(1)
            problems.append(f"{name}: {count}" + (f" (such as '{example.iloc[0]}')" if len(example) else ""))
    return "; ".join(problems)
