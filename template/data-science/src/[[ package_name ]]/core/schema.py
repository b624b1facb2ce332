"""The schema of `data/schema.yml`: the columns of the data, their types and limits, the target and the task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from .. import conversion, table_file
from .settings import is_number, read_mapping, refuse_unknown_keys
from .split import METHODS, SplitRule
from .step import StepError

TYPES = ("integer", "number", "category", "boolean", "text", "date")
TASKS = ("regression", "classification")
"""Those of numbers and classes; what a type of data has besides makes a text of each example."""
ROLES = ("feature", "calendar", "input", "ignore")

ADDED = "features.py"
"""What the columns are derived from that `features` lists."""

_NUMERICAL = ("integer", "number")
# What has a meaning for some types only.
_TYPES_OF = {
    **dict.fromkeys(("minimum", "maximum", "thousands", "decimal"), _NUMERICAL),
    **dict.fromkeys(("format", "derive"), ("date",)),
    "values": tuple(kind for kind in TYPES if kind != "date"),
}
_SEPARATORS = {"thousands": (",", ".", "'", " "), "decimal": (".", ",")}


class TextLoader(yaml.SafeLoader):
    """YAML whose values stay as they are written: a class may be called no, 007 or 12:30."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Column:
    """One column of the data: its type and the values it may have.

    `missing` is the largest allowed share of missing values, 0 to 1; an ignored column may miss all of them. The role
    `calendar` is a feature that changes with the time of the year by itself, so drift leaves it out. An `input` is a
    part of a request that only features.py reads. A date is not a feature, what is derived from it is. `na_values`,
    `thousands`, `decimal`, `format` and `derive` are those of `conversion`, which also reads a number that is written
    with its unit.
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
    # Texts for missing values; `conversion` has them, and reads a number that is written with its unit.
    na_values: tuple[str, ...] = ()
    thousands: str = ""
    decimal: str = ""
    format: str = ""
    derive: tuple[str, ...] = ()
    derived_from: str = ""

    @property
    def is_numerical(self) -> bool:
        """Whether the values are numbers; all others are categories."""
        return self.type in _NUMERICAL

    def document(self) -> dict[str, Any]:
        """Return what `conversion` needs to know of the column, as plain data."""
        settings = {key: getattr(self, key) for key in ("thousands", "decimal", "format")}
        settings |= {key: list(getattr(self, key)) for key in ("derive", "values", "na_values")}
        if self.is_numerical:
            settings["unit"] = self.unit
        given = {key: value for key, value in settings.items() if value}
        return {"type": self.type, "missing": self.missing > 0, **given}


@dataclass(frozen=True)
class Schema:
    """The columns of the data, by name and in order; the target is one of them.

    Attributes:
        positive: of two classes the one that probabilities and the threshold are about.
        split: what decides which examples are held out; if not given, a hash of all features.
        files: how the files of rows are written, as `table_file` describes.
    """

    target: str
    task: str
    columns: dict[str, Column]
    source: str = "data/schema.yml"
    positive: str | None = None
    split: SplitRule = field(default_factory=SplitRule)
    files: dict[str, Any] = field(default_factory=dict)
    features: list[str] = field(init=False)
    numerical: list[str] = field(init=False)
    categorical: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the lists of feature names, each in the order of the schema."""
        shown = [c for c in self.columns.values() if c.role != "ignore" and c.name != self.target and c.type != "date"]
        features = [c for c in shown if c.role != "input"]
        object.__setattr__(self, "features", [c.name for c in features])
        object.__setattr__(self, "numerical", [c.name for c in features if c.is_numerical])
        object.__setattr__(self, "categorical", [c.name for c in features if not c.is_numerical])
        # A new feature moves no row, and neither does the column that it is made of: a date or a text, ignored before
        # that, is still no key, and a number or category, a feature before that, still is one.
        keys = [c.name for c in shown if c.derived_from != ADDED and (c.role, c.type) != ("input", "text")]
        columns = self.split.columns or tuple(keys) or tuple(self.inputs)
        types = tuple(self.columns[name].type for name in columns)
        object.__setattr__(self, "split", replace(self.split, columns=columns, types=types))

    @property
    def raw_columns(self) -> dict[str, Column]:
        """The columns that the data have; all but the derived and the added ones."""
        return {name: column for name, column in self.columns.items() if not column.derived_from}

    @property
    def inputs(self) -> list[str]:
        """The columns of a request: inputs, and features, with a date in the place of what is derived from it."""
        raw = self.raw_columns.items()
        return [name for name, column in raw if column.role != "ignore" and name != self.target]

    @property
    def added(self) -> dict[str, Column]:
        """The columns that features.py adds."""
        return {name: column for name, column in self.columns.items() if column.derived_from == ADDED}

    def input_columns(self) -> dict[str, dict[str, Any]]:
        """Return the columns of a request as plain data, for the metadata of a model; see `conversion`."""
        return {name: self.columns[name].document() for name in self.inputs}

    @property
    def predicts_texts(self) -> bool:
        """Whether the task makes a text of each example: neither a number nor one of some classes."""
        return self.task not in TASKS

    @property
    def classes(self) -> tuple[str, ...]:
        """The known classes of the target, the positive one of two last; empty if the schema lists none."""
        known = self.columns[self.target].values
        if len(known) == 2 and self.positive == known[0]:
            return known[::-1]
        return known or (() if self.positive is None else (self.positive,))

    def class_names(self, *labels: pd.Series) -> tuple[str, ...]:
        """Return the classes of the target, the positive one of two last; if the schema lists none, those of `labels`.

        Any other task has none.
        """
        if self.task != "classification":
            return ()
        if self.columns[self.target].values:
            return self.classes
        found = sorted({str(label) for each in labels for label in each.dropna().unique()})
        return tuple(sorted(found, key=lambda name: name == self.positive))

    @classmethod
    def load(cls, path: Path, tasks: Sequence[str] = TASKS) -> "Schema":
        """Read a schema file.

        Args:
            path: the YAML file.
            tasks: the tasks that the type of data supports.

        Raises:
            StepError: the file is not valid YAML, or names an unknown key, type, task, role or target.
        """
        document = read_mapping(Path(path), TextLoader)
        refuse_unknown_keys(
            document, ("target", "task", "positive", "files", "split", "columns", "features"), f"{path}"
        )
        columns = document.get("columns")
        if not isinstance(columns, dict) or not columns:
            raise StepError(f"{path}: give the columns as `columns: {{name: {{type: ...}}}}`")
        parsed = {str(name): _column(str(name), entry, path) for name, entry in columns.items()}
        target, task = document.get("target"), str(document.get("task"))
        if target not in parsed:
            raise StepError(f"{path}: the target '{target}' is not one of the columns")
        if task not in tasks:
            raise StepError(f"{path}: task '{task}' is unknown; choose one of {', '.join(tasks)}")
        if task == "regression" and not parsed[target].is_numerical:
            raise StepError(f"{path}: regression needs a target of type number or integer, not {parsed[target].type}")
        if task == "classification" and parsed[target].type == "number":
            raise StepError(f"{path}: classes are names; give '{target}' the type integer, category or boolean")
        if task not in TASKS and parsed[target].type != "text":
            raise StepError(f"{path}: {task} makes texts; give '{target}' the type text, not {parsed[target].type}")
        if parsed[target].type == "date":
            raise StepError(f"{path}: the target '{target}' is a date, which no model here predicts")
        positive = _positive(document.get("positive"), parsed[target], task, path)
        rule = _split_rule(document.get("split"), parsed, target, path)
        # An ignored column may miss values unless it decides where an example belongs.
        parsed |= {name: replace(parsed[name], missing=0.0) for name in (*rule.columns, *filter(None, [rule.group]))}
        columns = _with_added(_with_derived(parsed, path), document.get("features"), path)
        schema = cls(target=target, task=task, columns=columns, source=str(path), positive=positive, split=rule)
        if not schema.features:
            raise StepError(f"{path}: there is no feature; at least one column besides the target must have that role")
        return replace(schema, files=_files(document.get("files"), path))


def _positive(given: object, target: Column, task: str, path: Path) -> str | None:
    if given is None:
        return None
    if task != "classification":
        raise StepError(f"{path}: positive names a class, and this is a {task}; leave it out")
    [name] = _class_names([given], target, f"{path}: positive")
    if target.values and name not in target.values:
        raise StepError(f"{path}: positive: '{given}' is not one of the classes {', '.join(target.values)}")
    return name


def _class_names(given: list[Any], column: Column, place: str) -> list[str]:
    """Return values as the data have them after the conversion."""
    values, wrong = conversion.convert_column(pd.Series(given, dtype=object), replace(column, values=()).document())
    for reason, rows in wrong.items():
        raise StepError(f"{place}: '{given[rows[0]]}' {reason}")
    for value, missing in zip(given, pd.isna(values), strict=True):
        if missing:
            raise StepError(f"{place}: '{value}' stands for a missing value; call it something else in the data")
    return [conversion.class_name(value, column.type) for value in values]


def _with_derived(columns: Mapping[str, Column], path: Path) -> dict[str, Column]:
    """Return the columns with those that are derived from a date after it."""
    result = {}
    for name, column in columns.items():
        result[name] = column
        for part in column.derive:
            derived = f"{name}_{part}"
            if derived in columns:
                raise StepError(f"{path}: column '{derived}': the name is needed for the {part} of {name}; rename it")
            # The hour of a day does not change with the time of the year.
            role = "feature" if part == "hour" else "calendar"
            about = f"{part.replace('_', ' ')} of {name}"
            result[derived] = Column(
                derived, "integer", role, missing=column.missing, description=about, derived_from=name
            )
    return result


def _with_added(columns: dict[str, Column], given: object, path: Path) -> dict[str, Column]:
    """Return the columns with those that features.py adds after them."""
    if given is None:
        if unread := [name for name, column in columns.items() if column.role == "input"]:
            remedy = "list what features.py makes of it under `features:`, or choose another role"
            raise StepError(f"{path}: column '{unread[0]}': an input is not for the model: {remedy}")
        return columns
    if not isinstance(given, dict) or not given:
        raise StepError(f"{path}: features: give them as `name: {{type: ...}}` lines, or leave it out")
    added = {}
    for key, entry in given.items():
        name, place = str(key), f"{path}: features: '{key}'"
        if name in columns:
            raise StepError(f"{place}: the data have a column of this name; choose another one")
        column = _column(name, entry, path)
        if column.type == "date" or column.role not in ("feature", "calendar"):
            raise StepError(f"{place}: it is for the model: no date, and its role is feature or calendar")
        if column.thousands or column.decimal:
            raise StepError(f"{place}: thousands and decimal are for the files; features.py makes numbers")
        added[name] = replace(column, derived_from=ADDED)
    return columns | added


def _split_rule(given: object, columns: Mapping[str, Column], target: str, path: Path) -> SplitRule:
    place = f"{path}: split"
    if given is None:
        return SplitRule()
    if not isinstance(given, dict):
        raise StepError(f"{place}: write `by: hash` or `by: time`, with the columns that decide")
    refuse_unknown_keys(given, ("by", "key", "group", "column", "salt"), place)
    by = given.get("by", "hash")
    if by not in METHODS:
        raise StepError(f"{place}.by: '{by}' is unknown; choose one of {', '.join(METHODS)}")
    other = {"hash": ("column",), "time": ("key", "salt")}[by]
    if wrong := [key for key in other if key in given]:
        raise StepError(f"{place}.{wrong[0]}: has no meaning with `by: {by}`; leave it out")
    names = {
        key: _column_names(given.get(key), columns, target, f"{place}.{key}") for key in ("key", "group", "column")
    }
    if len(names["group"]) > 1 or len(names["column"]) > 1:
        raise StepError(f"{place}.{'group' if len(names['group']) > 1 else 'column'}: name one column")
    if by == "time" and not names["column"]:
        raise StepError(f"{place}.column: missing; name the column with the date of each example")
    if names["key"] and names["group"]:
        raise StepError(f"{place}: give a key or a group; the examples of a group stay together, whatever their keys")
    group = names["group"][0] if names["group"] else None
    salt = str(given.get("salt", SplitRule.salt))
    if by == "time" and (kind := columns[names["column"][0]].type) not in ("date", "integer", "number"):
        raise StepError(f"{place}.column: the order of a {kind} is no time; give it the type date, with its format")
    return SplitRule(by, names["column"] or names["group"] or names["key"], salt=salt, group=group)


def _column_names(given: object, columns: Mapping[str, Column], target: str, place: str) -> tuple[str, ...]:
    names = tuple(map(str, given if isinstance(given, list) else [] if given is None else [given]))
    for name in names:
        if name not in columns:
            raise StepError(f"{place}: '{name}' is not one of the columns {', '.join(columns)}")
        if name == target:
            raise StepError(f"{place}: the target cannot decide which examples are held out")
        if columns[name].missing not in (0, 1):
            raise StepError(f"{place}: {name} may be missing, so it cannot decide which examples are held out")
    return names


def _files(given: object, path: Path) -> dict[str, Any]:
    place = f"{path}: files"
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise StepError(f'{place}: write how the files are written, such as `{{delimiter: ";", encoding: cp1252}}`')
    refuse_unknown_keys(given, (*table_file.Form._fields, "rename"), place)
    found: dict[str, Any] = {key: str(given[key]) for key in ("delimiter", "encoding") if key in given}
    delimiter = found.get("delimiter", ",")
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n':
        raise StepError(f'{place}.delimiter: {delimiter!r} is not one sign, such as ";" or "\\t"')
    try:
        "".encode(found.get("encoding", "utf-8"))
    except LookupError as error:
        raise StepError(f"{place}.encoding: Python knows no encoding {found['encoding']!r}, such as cp1252") from error
    if "skip_lines" in given:
        lines = _number(given["skip_lines"], f"{place}.skip_lines")
        if not isinstance(lines, int) or lines < 0:
            raise StepError(f"{place}.skip_lines: the number of lines before the header, not {lines}")
        found["skip_lines"] = lines
    if "rename" in given:
        names = given["rename"]
        if not isinstance(names, dict) or len({*names.values()}) < len(names):
            raise StepError(f"{place}.rename: write `name in the files: another name` for each, which all differ")
        found["rename"] = {str(old): str(new) for old, new in names.items()}
    return found


def _column(name: str, entry: object, path: Path) -> Column:
    place = f"{path}: column '{name}'"
    if not isinstance(entry, dict):
        raise StepError(f"{place}: give at least `{{type: ...}}`")
    refuse_unknown_keys(entry, tuple(f.name for f in fields(Column) if f.name not in ("name", "derived_from")), place)
    kind = entry.get("type")
    if kind not in TYPES:
        raise StepError(f"{place}: type '{kind}' is unknown; choose one of {', '.join(TYPES)}")
    role = entry.get("role", "feature")
    if role not in ROLES:
        raise StepError(f"{place}: role '{role}' is unknown; choose one of {', '.join(ROLES)}")
    if wrong := [key for key in entry if kind not in _TYPES_OF.get(key, TYPES)]:
        raise StepError(f"{place}: {wrong[0]} has no meaning for the type {kind}; leave it out")
    numbers = {key: _number(entry[key], f"{place}: {key}") for key in ("minimum", "maximum", "missing") if key in entry}
    missing = numbers.setdefault("missing", 1.0 if role == "ignore" else 0.0)
    if not 0 <= missing <= 1:
        raise StepError(f"{place}: missing is a share between 0 and 1, not {missing}")
    lists = {key: entry[key] for key in ("values", "derive", "na_values") if key in entry}
    if wrong := [key for key, value in lists.items() if not isinstance(value, list)]:
        raise StepError(f"{place}: {wrong[0]} must be a list")
    column = Column(**{**entry, **numbers, **{key: tuple(value) for key, value in lists.items()}, "name": name})
    _check_separators(column, place)
    if kind == "date":
        _check_date(column, place)
    values = _class_names(list(column.values), column, f"{place}: values")
    if repeated := [value for value in values if values.count(value) > 1]:
        raise StepError(f"{place}: values: '{repeated[0]}' is there twice; delete one")
    return replace(column, values=tuple(values))


def _number(given: object, place: str) -> float:
    """Return a number of the schema, whose values are texts."""
    for kind in (int, float):
        try:
            value = kind(str(given))
        except ValueError:
            continue
        if is_number(value):
            return value
    raise StepError(f"{place} must be a number, not '{given}'")


def _check_separators(column: Column, place: str) -> None:
    for key, known in _SEPARATORS.items():
        if getattr(column, key) not in ("", *known):
            choices = ", ".join(f'"{separator}"' for separator in known)
            raise StepError(f"{place}: {key}: '{getattr(column, key)}' is unknown; choose one of {choices}")
    if column.thousands == (column.decimal or "."):
        raise StepError(f"{place}: thousands and decimal (if left out, a point) must differ")


def _check_date(column: Column, place: str) -> None:
    if unknown := [part for part in column.derive if part not in conversion.PARTS]:
        raise StepError(f"{place}: derive: '{unknown[0]}' is unknown; choose from {', '.join(conversion.PARTS)}")
    if bool(column.derive) == (column.role in ("ignore", "input")):
        parts = ", ".join(list(conversion.PARTS)[1:4])
        others = "`role: ignore`, or `role: input` for features.py"
        raise StepError(f"{place}: a date is no feature itself: give either `derive: [{parts}]` or {others}")
    if not column.format:
        return
    # Day and month differ, and no other part of the date has their values.
    moment = datetime(2013, 2, 1)
    try:
        written = moment.strftime(column.format)
        read = datetime.strptime(written, column.format)
    except ValueError as error:
        raise StepError(f"{place}: format: '{column.format}' is not valid: {error}") from error
    if read.date() != moment.date():
        raise StepError(f"{place}: format: '{column.format}' does not hold day, month and year, such as %d.%m.%Y")
    try:
        iso = datetime.fromisoformat(written)
    except ValueError:
        return
    if iso.date() != moment.date():
        raise StepError(f"{place}: format: '{column.format}' looks like ISO 8601 and is not; write the dates otherwise")
