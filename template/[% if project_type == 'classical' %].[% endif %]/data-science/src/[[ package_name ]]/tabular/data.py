"""The data: what `data/schema.yml` promises, reading, checking, and the settings of `config/model.yml`."""

import json
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pandera.errors import SchemaErrors

from .step import StepError

try:
    import pandera.pandas as pa
except ImportError:  # before pandera 0.24, the newest that takes pandas 1.5
    import pandera as pa  # type: ignore[no-redef]

TYPES = ("integer", "number", "category", "boolean", "text")
TASKS = ("regression", "classification")
ROLES = ("feature", "ignore")
_TRUTH = {"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0}


@dataclass(frozen=True)
class Column:
    """One column of the data: its type and what its values may be.

    ``missing`` is the largest allowed share of missing values, 0 to 1; an ignored column may miss all of them.
    """

    name: str
    type: str
    role: str = "feature"
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    missing: float = 0.0
    unit: str = ""
    description: str = ""

    @property
    def is_numerical(self) -> bool:
        """Whether the values are numbers; all others are categories."""
        return self.type in ("integer", "number")


@dataclass(frozen=True)
class Schema:
    """The columns of the data, by name and in order; the target is one of them."""

    target: str
    task: str
    columns: dict[str, Column]
    source: str = "data/schema.yml"
    features: list[str] = field(init=False)
    numerical: list[str] = field(init=False)
    categorical: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the lists of feature names, each in the order of the schema."""
        features = [c for c in self.columns.values() if c.role == "feature" and c.name != self.target]
        object.__setattr__(self, "features", [c.name for c in features])
        object.__setattr__(self, "numerical", [c.name for c in features if c.is_numerical])
        object.__setattr__(self, "categorical", [c.name for c in features if not c.is_numerical])

    @classmethod
    def load(cls, path: Path) -> "Schema":
        """Read a schema file.

        Raises:
            StepError: the file is no YAML, or names an unknown key, type, task, role or target.
        """
        document = _mapping(Path(path))
        _known_keys(document, ("target", "task", "columns"), f"{path}")
        columns = document.get("columns")
        if not isinstance(columns, dict) or not columns:
            raise StepError(f"{path}: give the columns as `columns: {{name: {{type: ...}}}}`")
        parsed = {str(name): _column(str(name), entry, path) for name, entry in columns.items()}
        target, task = document.get("target"), document.get("task")
        if target not in parsed:
            raise StepError(f"{path}: the target '{target}' is not one of the columns")
        if task not in TASKS:
            raise StepError(f"{path}: task '{task}' is unknown; choose one of {', '.join(TASKS)}")
        if task == "regression" and not parsed[target].is_numerical:
            raise StepError(f"{path}: regression needs a target of type number or integer, not {parsed[target].type}")
        schema = cls(target=target, task=task, columns=parsed, source=str(path))
        if not schema.features:
            raise StepError(f"{path}: there is no feature; at least one column besides the target must have that role")
        return schema


def _column(name: str, entry: object, path: Path) -> Column:
    place = f"{path}: column '{name}'"
    if not isinstance(entry, dict):
        raise StepError(f"{place}: give at least `{{type: ...}}`")
    _known_keys(entry, tuple(f.name for f in fields(Column) if f.name != "name"), place)
    if entry.get("type") not in TYPES:
        raise StepError(f"{place}: type '{entry.get('type')}' is unknown; choose one of {', '.join(TYPES)}")
    role = entry.get("role", "feature")
    if role not in ROLES:
        raise StepError(f"{place}: role '{role}' is unknown; choose one of {', '.join(ROLES)}")
    missing = entry.get("missing", 1.0 if role == "ignore" else 0.0)
    for key, value in {**entry, "missing": missing}.items():
        if key in ("minimum", "maximum", "missing") and not _is_number(value):
            raise StepError(f"{place}: {key} must be a number, not '{value}'")
    if not 0 <= missing <= 1:
        raise StepError(f"{place}: missing is a share between 0 and 1, not {missing}")
    values = entry.get("values", [])
    if not isinstance(values, list):
        raise StepError(f"{place}: values must be a list")
    return Column(**{**entry, "name": name, "missing": missing, "values": tuple(str(value) for value in values)})


def _mapping(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise StepError(f"{path} is not valid YAML: {fault}") from fault
    if not isinstance(document, dict):
        raise StepError(f"{path}: expected `key: value` lines")
    return document


def _known_keys(entry: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    unknown = [str(key) for key in entry if key not in known]
    if unknown:
        raise StepError(f"{place}: unknown key '{unknown[0]}'; known are {', '.join(known)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def load_settings(path: Path, overrides: str = "") -> dict[str, Any]:
    """Read the settings file and apply ``overrides``, words of the form ``a.b.c=value`` with YAML values.

    Raises:
        StepError: the file is no YAML, a setting of the training is missing or wrong, or an override is malformed or
            names a key that the file does not have.
    """
    settings = _mapping(Path(path))
    for word in overrides.split():
        key, equals, text = word.partition("=")
        if not equals:
            raise StepError(f"override '{word}': write it as a.b.c=value")
        *parents, last = key.split(".")
        place: Any = settings
        for name in (*parents, last):
            if not isinstance(place, dict) or name not in place:
                raise StepError(f"override '{word}': {path} has no setting '{key}'")
            section, place = place, place[name]
        try:
            section[last] = yaml.safe_load(text)
        except yaml.YAMLError as fault:
            raise StepError(f"override '{word}': '{text}' is not a YAML value") from fault
    _check_training(settings.get("training"), path)
    return settings


def _check_training(training: object, path: Path) -> None:
    if not isinstance(training, dict) or not {"test_size", "seed", "hyperparameters"} <= training.keys():
        raise StepError(f"{path}: the section training needs test_size, seed and hyperparameters")
    test_size, seed = training["test_size"], training["seed"]
    if not _is_number(test_size) or not 0 < test_size < 1:
        raise StepError(f"{path}: training.test_size is a share between 0 and 1, not '{test_size}'")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise StepError(f"{path}: training.seed is a whole number from 0 to 4294967295, not '{seed}'")
    if not isinstance(training["hyperparameters"], dict):
        raise StepError(f"{path}: training.hyperparameters must be `name: value` lines")


def data_files(folder: Path) -> list[Path]:
    """Return the csv and parquet files in ``folder`` and below, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".csv", ".parquet"))


def read_folder(folder: Path, schema: Schema | None = None) -> pd.DataFrame:
    """Read and join all csv and parquet files in ``folder``, in the order of their names.

    With a schema, the columns that it calls category or text are read as text, so that "007" stays "007".

    Raises:
        StepError: no file, an empty or broken file, or files that do not have the same columns.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StepError(f"{folder}: no such folder; give the folder that holds the csv or parquet files")
    paths = data_files(folder)
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
    as_text = {c.name: str for c in schema.columns.values() if c.type in ("category", "text")} if schema else {}
    try:
        frame = pd.read_csv(path, dtype=as_text) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except pd.errors.EmptyDataError as fault:
        raise StepError(f"{path} is empty; it needs a header line and rows") from fault
    # A ParserError and a UnicodeDecodeError are ValueErrors, and so are pyarrow's faults.
    except ValueError as fault:
        raise StepError(f"{path} cannot be read: {_first_line(fault)}") from fault
    if frame.empty:
        raise StepError(f"{path} has no rows")
    return frame


def _first_line(fault: Exception) -> str:
    return str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__


def validate(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Check ``frame`` against ``schema`` with pandera and return it typed, with the columns of the schema in order.

    Types of the result: number -> float64; integer and boolean -> int64 and bool, or float64 where the schema allows
    missing values; category and text -> str objects, None where missing. Columns unknown to the schema are left out.

    Raises:
        StepError: names each failing column, what is wrong with it and how many values are.
    """
    checks = pa.DataFrameSchema({name: _checks(column) for name, column in schema.columns.items()})
    try:
        checks.validate(frame, lazy=True)
    except SchemaErrors as fault:
        raise StepError(f"data does not fit {schema.source}: {_summary(fault.failure_cases, schema)}") from fault
    return pd.DataFrame({name: _typed(frame[name], column) for name, column in schema.columns.items()})


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
    # convert_dtypes writes a whole number as "1" also where missing values made the column one of floats.
    return values.convert_dtypes().astype("string").astype(object).where(values.notna(), None)


def _booleans(values: pd.Series) -> pd.Series:
    return values.map(str).str.strip().str.lower().map(_TRUTH).astype("float64")


def _typed(values: pd.Series, column: Column) -> pd.Series:
    if column.is_numerical:
        numbers = _numbers(values)
        return numbers.astype("int64") if column.type == "integer" and column.missing == 0 else numbers
    if column.type == "boolean":
        return _booleans(values).astype("bool") if column.missing == 0 else _booleans(values)
    return _texts(values)


def _summary(failures: pd.DataFrame, schema: Schema) -> str:
    missing = set(failures.loc[failures["check"] == "column_in_dataframe", "failure_case"])
    faults = []
    for name in schema.columns:
        if name in missing:
            faults.append(f"{name}: the column is missing")
        for check, cases in failures[failures["column"] == name].groupby("check", sort=True):
            what = "missing values" if check == "not_nullable" else str(check)
            count = f"{len(cases)} {what.replace('values', 'value', 1) if len(cases) == 1 else what}"
            example = cases["failure_case"].dropna().head(1)
            faults.append(f"{name}: {count}" + (f" (such as '{example.iloc[0]}')" if len(example) else ""))
    return "; ".join(faults)


def sample_request(schema_path: Path, data_dir: Path, rows: int) -> dict[str, Any]:
    """Return a request with the features of the first ``rows`` rows of the data, in the form that the endpoint takes.

    Raises:
        StepError: the data cannot be read, do not fit the schema, or have fewer rows.
    """
    schema = Schema.load(schema_path)
    frame = validate(read_folder(data_dir, schema), schema)[schema.features]
    if len(frame) < rows:
        raise StepError(f"{data_dir}: a request of {rows} rows was asked for, and there are {len(frame)}")
    return {"input_data": json.loads(frame.head(rows).to_json(orient="split", double_precision=15))}


def check_response(response: object, rows: int, schema_path: Path) -> list[str]:
    """Return the faults of an endpoint's answer to ``rows`` rows; an empty list means that it is fine.

    A number must be finite and within the target's range widened by its width on both sides; a class must be one
    that the schema lists, if it lists them.
    """
    if not isinstance(response, dict) or not isinstance(response.get("predictions"), list):
        return [f"the answer has no list of predictions: {str(response)[:200]}"]
    predictions = response["predictions"]
    if len(predictions) != rows:
        return [f"{rows} rows were sent and {len(predictions)} predictions came back"]
    schema = Schema.load(schema_path)
    target = schema.columns[schema.target]
    if schema.task == "classification":
        wrong = [p for p in predictions if not _is_class(p, target)]
        return [f"{len(wrong)} of {rows} predictions are not a known class (such as {wrong[0]!r})"] if wrong else []
    wrong = [p for p in predictions if not _is_number(p) or not _in_reach(p, target)]
    return [f"{len(wrong)} of {rows} predictions are not plausible numbers (such as {wrong[0]!r})"] if wrong else []


def _is_class(value: object, target: Column) -> bool:
    if target.values:
        return str(value) in target.values
    return _is_number(value) if target.is_numerical else isinstance(value, str | bool)


def _in_reach(value: float, target: Column) -> bool:
    if target.minimum is None or target.maximum is None:
        return True
    width = target.maximum - target.minimum
    return target.minimum - width <= value <= target.maximum + width
