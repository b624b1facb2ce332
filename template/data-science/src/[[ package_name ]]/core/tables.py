"""Tables: reading their files, conversion to the types of the schema, and the check against its limits.

Every type of data has such columns: features of a table, or the target and the metadata of images and texts.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import conversion, table_file
from . import features
from .schema import Column, Schema
from .step import NoRowsError, StepError

# The lint tries features.py on so many rows, of a file of at most so many bytes.
_TRIED, _QUICKLY_READ = 300, 20_000_000


def read(path: Path, schema: Schema, name: str | None = None) -> pd.DataFrame:
    """Return the rows of a csv, parquet or JSON lines file; the values of a csv are texts.

    Args:
        path: the file.
        schema: names the columns that are needed.
        name: what a message calls the file, if it was copied from elsewhere.

    Raises:
        StepError: it cannot be read as it is.
        NoRowsError: it has a header and no rows.
    """
    try:
        frame = table_file.read(path, list(schema.raw_columns), schema.files)
    except ValueError as error:
        raise StepError(f"{name or path}: {error}") from error
    if frame.empty:
        raise NoRowsError(f"{name or path}: it has no rows (its columns: {table_file.column_list(frame.columns)})")
    return frame


def read_all(paths: Iterable[Path], read_one: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several files, one after the other; files without rows are passed over if others have some.

    Raises:
        StepError: one cannot be read, or they do not have the same columns.
        NoRowsError: none has rows.
    """
    frames, empty = {}, []
    for path in paths:
        try:
            frames[path] = read_one(path)
        except NoRowsError as error:
            empty.append(error)
    if not frames:
        raise empty[0]
    for each in empty:
        print(f"passed over {each}", flush=True)
    return joined(frames)


def joined(frames: Mapping[Any, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several tables, one after the other; the keys are what a message calls them.

    Raises:
        StepError: they do not have the same columns.
    """
    first = next(iter(frames))
    expected = set(frames[first].columns)
    for name, frame in frames.items():
        if different := expected.symmetric_difference(frame.columns):
            names = ", ".join(sorted(different))
            raise StepError(f"{name} and {first} do not have the same columns; only one of them has {names}")
    return pd.concat(frames.values(), ignore_index=True)


def convert(frame: pd.DataFrame, schema: Schema, kept: Sequence[str] = ()) -> pd.DataFrame:
    """Return the columns of the schema, typed by `conversion`, in order; columns unknown to the schema are left out.

    Args:
        frame: the rows.
        schema: of the data.
        kept: columns besides, which stay as they are if they are there.

    Raises:
        StepError: a column is missing, or a value is not of its type; with each such column.
    """
    typed, target = _typed(frame, schema, limits=False), schema.columns[schema.target]
    whole = {"integer": "int64", "boolean": "bool"}.get(target.type)
    # Where a target may be missing it is a float, and `prep` leaves such rows out: a class is 1 then, and not 1.0.
    if whole and target.name in typed and typed[target.name].notna().all():
        typed = typed.astype({target.name: whole})
    return typed.assign(**{name: frame[name].to_numpy() for name in kept if name in frame})


def validate(frame: pd.DataFrame, schema: Schema, *, added: bool = True) -> pd.DataFrame:
    """Convert the columns and check limits, values and shares of missing values.

    Args:
        frame: the rows.
        schema: of the data.
        added: whether the columns of features.py are checked and added, too.

    Raises:
        StepError: a value breaks the schema; the message names each such column, the problem and the number of values.
    """
    return _typed(frame, schema, limits=True, added=added)


def convert_where_possible(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the columns of the schema that `frame` has, with values that are not of their type as they are."""
    found: dict[str, NDArray[Any]] = {}
    for name, column in schema.raw_columns.items():
        if name in frame:
            values, wrong = conversion.convert_column(frame[name], column.document())
            found |= conversion.typed_columns(name, values, column.document())
            if rows := [row for each in wrong.values() for row in each]:
                found[name] = values.astype(object)
                found[name][rows] = frame[name].to_numpy(dtype=object)[rows]
    table = pd.DataFrame(found, index=frame.index)
    if own := features.project_features(schema):
        added, reasons = features.compute_where_possible(own, features.request_columns(table, schema))
        if reasons:
            count = "1 row" if len(reasons) == 1 else f"{len(reasons):,} rows"
            print(f"the features of {count} are missing: {features.explained(reasons[0], schema)}", flush=True)
        return pd.concat([table, added.set_axis(table.index)], axis=1)
    return table


def _typed(frame: pd.DataFrame, schema: Schema, limits: bool, added: bool = True) -> pd.DataFrame:
    problems: list[str] = []
    typed: dict[str, NDArray[Any]] = {}
    if absent := [name for name in schema.raw_columns if name not in frame]:
        has = f"the data have {table_file.column_list(frame.columns)}"
        problems.append(
            f"missing columns: {', '.join(absent)} ({has}; `uv run mlops schema` drafts the schema of your data)"
        )
    for name, column in schema.raw_columns.items():
        if name in frame:
            values, wrong = conversion.convert_column(frame[name], column.document())
            for reason, rows in wrong.items():
                problems.append(f"{name}: {conversion.shown(frame[name].iloc[rows[0]])} {reason} ({_count(len(rows))})")
            if limits:
                broken = sum(map(len, wrong.values()))
                problems += [f"{name}: {problem}" for problem in _breaches(frame[name], values, column, broken)]
            typed |= conversion.typed_columns(name, values, column.document())
    if problems:
        raise StepError(f"data does not fit {schema.source}: {'; '.join(problems)}")
    table = pd.DataFrame(typed)
    return _with_added(table, schema, limits) if added else table


def _with_added(table: pd.DataFrame, schema: Schema, limits: bool) -> pd.DataFrame:
    """Return typed rows with the columns of features.py behind; where limits count, features.py is checked, too."""
    if limits and len(table) and features.is_used(schema) and (wrong := features.problems(table, schema)):
        raise StepError("; ".join(wrong))
    own = features.project_features(schema)
    if own is None:
        return table
    try:
        added = own.compute(features.request_columns(table, schema))
    except ValueError as error:
        raise StepError(features.explained(str(error), schema)) from error
    made = pd.DataFrame(added)
    if limits and (problems := added_breaches(made, schema)):
        raise StepError(problems)
    return pd.concat([table, made], axis=1)


def added_breaches(made: pd.DataFrame, schema: Schema, *, few: bool = False) -> str:
    """Return how columns of features.py break the schema, in a line; empty if they do not.

    Args:
        made: the columns.
        schema: of the data.
        few: whether these are some of the rows, which tell nothing of a share of missing values that is allowed.
    """
    problems = []
    for name, column in schema.added.items() if len(made) else ():
        known = replace(column, missing=1.0) if few and column.missing else column
        problems += [f"{name}: {problem}" for problem in _breaches(made[name], made[name].to_numpy(), known, 0)]
    return f"{features.PATH}: what it adds does not fit {schema.source}: {'; '.join(problems)}" if problems else ""


def some_rows(folder: Path, schema: Schema) -> pd.DataFrame | None:
    """Return rows of the smallest file in `folder`, to try features.py on; None if there is none that is read quickly.

    Raises:
        StepError: the file cannot be read, or a value is not of its type.
    """
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in table_file.SUFFIXES and path.is_file()]
    smallest = min(paths, key=lambda path: (path.stat().st_size, path), default=None)
    if smallest is None or smallest.stat().st_size > _QUICKLY_READ:
        return None
    rows = read(smallest, schema)
    return _typed(rows.iloc[:: max(1, len(rows) // _TRIED)], schema, limits=False, added=False)


def _breaches(raw: pd.Series, values: NDArray[Any], column: Column, broken: int) -> Iterator[str]:
    """Yield how converted values break the schema; so many of the missing ones are those that were not converted."""
    given = ~pd.isna(values)
    missing = len(values) - int(given.sum()) - broken
    if missing / len(values) > column.missing:
        allowed = f", more than the allowed {column.missing:.1%}" if column.missing else ""
        enough = math.ceil(100 * missing / len(values)) / 100
        what = "missing value" if missing == 1 else "missing values"
        yield f"{missing} {what}{allowed} (`missing: {enough:g}` would allow it)"
    checks = {}
    if column.minimum is not None:
        checks[f"below {column.minimum}"] = values < column.minimum
    if column.maximum is not None:
        checks[f"above {column.maximum}"] = values > column.maximum
    if column.values:
        names = [conversion.class_name(value, column.type) for value in values]
        checks["not listed in the schema"] = ~np.isin(names, column.values)
    for problem, mask in checks.items():
        if count := int((given & mask).sum()):
            yield f"{_count(count)} {problem} (such as {conversion.shown(raw[given & mask].iloc[0])})"


def _count(rows: int) -> str:
    return f"{rows} value" if rows == 1 else f"{rows} values"
