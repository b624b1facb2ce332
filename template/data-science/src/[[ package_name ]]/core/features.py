"""The features.py of this project: where it is, and what is wrong with it, tried on rows of the data."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import added_features
from ..added_features import FILE, FUNCTION, Features
from .schema import Schema
from .step import StepError

PATH = Path(__file__).parents[1] / FILE

_ROWS = 50
# What a request that arrives later computes differently.
_CLOCKS = ("now", "today", "utcnow")
# What a request would have to find on the endpoint, and what may tell the outcome of held-out rows.
_READERS = re.compile(r"open|read_\w+|load|loadtxt|genfromtxt|fromfile|urlopen")


def project_features(schema: Schema) -> Features | None:
    """Return the features of this project; None if its schema lists none.

    Raises:
        StepError: the schema lists some, and there is no file.
    """
    if not schema.added:
        return None
    if not PATH.is_file():
        raise StepError(f"{schema.source}: features: this type of data has no {FILE}; leave them out")
    columns = {name: column.document() for name, column in schema.added.items()}
    return Features(PATH.read_text(encoding="utf-8"), columns)


def source() -> str | None:
    """Return the source of the file; None if there is none."""
    return PATH.read_text(encoding="utf-8") if PATH.is_file() else None


def is_used(schema: Schema) -> bool:
    """Return whether there is something to try: the schema lists features, or the file is more than `return frame`."""
    return bool(schema.added) or (PATH.is_file() and not _returns_its_argument(PATH.read_text(encoding="utf-8")))


def _returns_its_argument(source: str) -> bool:
    try:
        functions = [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef)]
    except SyntaxError:
        return False
    for each in functions:
        if each.name == FUNCTION and each.args.args:
            last = each.body[-1]
            returned = last.value if isinstance(last, ast.Return) else None
            same = isinstance(returned, ast.Name) and returned.id == each.args.args[0].arg
            return same and all(isinstance(line, ast.Expr) for line in each.body[:-1])
    return False


def imported_packages(source: str) -> set[str]:
    """Return the packages that a source imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names}


def request_columns(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return what `add_features` may see of typed rows: no target, and nothing else that a request lacks."""
    derived = [name for name, column in schema.columns.items() if column.derived_from in schema.inputs]
    names = {*schema.inputs, *derived}
    return frame[[name for name in frame if name in names]]


def compute_where_possible(features: Features, inputs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the added columns, missing in rows for which the code fails; and why it does, for each of these rows."""
    try:
        return pd.DataFrame(features.compute(inputs)), []
    except ValueError as error:
        if len(inputs) == 1:
            return pd.DataFrame({name: [None] for name in features.columns}), [str(error)]
    # Some rows of many are found in few calls.
    halves = inputs.iloc[: len(inputs) // 2], inputs.iloc[len(inputs) // 2 :]
    parts = [compute_where_possible(features, half) for half in halves]
    return pd.concat([part for part, _ in parts], ignore_index=True), [line for _, lines in parts for line in lines]


def problems(frame: pd.DataFrame, schema: Schema) -> list[str]:
    """Return what is wrong with features.py, a line each that begins with its path.

    Args:
        frame: rows with the types of the schema, at least one.
        schema: of the data.
    """
    found: list[str] = []
    try:
        features = project_features(schema) or Features(PATH.read_text(encoding="utf-8"), {})
        # What was found before an error stays.
        found.extend(_problems(features, request_columns(frame, schema), schema))
    except ValueError as error:
        found.append(_explained(str(error), schema))
    return [f"{PATH}: {line}" for line in found]


def _problems(features: Features, inputs: pd.DataFrame, schema: Schema) -> Iterator[str]:
    yield from _clocks(features.source)
    yield from _files(features.source)
    if (package := __package__.partition(".")[0]) in imported_packages(features.source):
        yield f"it imports {package}, of which an endpoint has nothing: move what it needs into this file"
    made = added_features.run(features.source, inputs)
    if unlisted := [str(name) for name in made if name not in inputs and name not in features.columns]:
        example = f"`{unlisted[0]}: {{type: {_kind(made[unlisted[0]])}}}`"
        yield f"it adds {', '.join(unlisted)}, which {schema.source} does not list: write {example} under `features:`"
    changed = [str(name) for name in inputs if name not in made or not _equal(made[name], inputs[name])]
    if changed:
        yield (
            f"it changes or drops {changed[0]}, a column of the data: give what it computes another name, and "
            f"{changed[0]} the role input if the model needs it no more"
        )
    if not features.columns:
        return
    computed = pd.DataFrame(features.compute(inputs))
    if empty := [str(name) for name in computed if computed[name].isna().all()]:
        yield f"{', '.join(empty)}: each value is missing"
    again = pd.DataFrame(features.compute(inputs))
    if moved := [str(name) for name in computed if not _equal(computed[name], again[name])]:
        yield f"{', '.join(moved)}: other values each time it is called: a feature may not depend on chance or time"
        return
    yield from _dependent(features, inputs, computed)
    yield from _missing(features, inputs, schema)


def _dependent(features: Features, inputs: pd.DataFrame, computed: pd.DataFrame) -> Iterator[str]:
    """Find columns whose value in a row depends on the other rows, such as a mean: a request may have one row."""
    places = np.linspace(0, len(inputs) - 1, min(len(inputs), _ROWS)).astype(int)
    found: list[str] = []
    for place in np.unique(places):
        # Loaded anew, it has kept nothing of the rows of a call before.
        added_features.function.cache_clear()
        alone = pd.DataFrame(features.compute(inputs.iloc[[place]]))
        one = computed.iloc[[place]].reset_index(drop=True)
        found += [str(name) for name in alone if name not in found and not _equal(alone[name], one[name])]
    if found:
        yield (
            f"{', '.join(found)}: a row alone gets another value than among others, and a request may have one row: "
            "compute it from that row"
        )


def _missing(features: Features, inputs: pd.DataFrame, schema: Schema) -> Iterator[str]:
    """Find a failure where values are missing that may be, which these rows perhaps have not."""
    row = inputs.iloc[[0]].copy()
    names = [name for name in map(str, inputs) if name in schema.columns and schema.columns[name].missing]
    for name in names:
        row[name] = np.nan if row[name].dtype.kind == "f" else None
    try:
        if names:
            features.compute(row)
    except ValueError as error:
        yield f"where {', '.join(names)} are missing, which {schema.source} allows: {error}"


def _clocks(source: str) -> Iterator[str]:
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    for called in calls:
        if isinstance(called, ast.Attribute) and called.attr in _CLOCKS:
            yield (
                f"line {called.lineno}: {called.attr}() makes another value in each request: use a date of the data "
                "in its place"
            )


def _files(source: str) -> Iterator[str]:
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    for called in calls:
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if _READERS.fullmatch(name):
            yield (
                f"line {called.lineno}: {name}() reads what an endpoint does not have, and what may be computed from "
                "held-out rows: write the values that it needs into this file"
            )


def explained(line: str, schema: Schema) -> str:
    """Return a problem of this project's features.py, with its path and the remedy."""
    return f"{PATH}: {_explained(line, schema)}"


def _explained(line: str, schema: Schema) -> str:
    for name in re.findall(r"'([^']+)'", line):
        if name == schema.target:
            return f"{line}: {name} is what the model predicts, and a request does not have it"
        if name in schema.columns and schema.columns[name].role == "ignore":
            return f"{line}: give {name} the role input in {schema.source}"
    return line


def _kind(values: pd.Series) -> str:
    kinds: Mapping[str, str] = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}
    return kinds.get(values.dtype.kind, "category")


def _equal(first: pd.Series, second: pd.Series) -> bool:
    """Return whether two columns have the same values; numbers may differ in their last digits."""
    one, other = first.reset_index(drop=True), second.reset_index(drop=True)
    if one.dtype.kind in "iufb" and other.dtype.kind in "iufb":
        return bool(np.allclose(_floats(one), _floats(other), rtol=1e-9, atol=0, equal_nan=True))
    gone = one.isna()
    return bool((gone == other.isna()).all() and (one[~gone] == other[~gone]).all())


def _floats(values: pd.Series) -> Any:
    return values.to_numpy(dtype="float64", na_value=np.nan)
