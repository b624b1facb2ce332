"""The schema of `data/schema.yml`: the columns of the data, their types and limits, the target and the task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .settings import is_number, read_mapping, refuse_unknown_keys
from .split import METHODS, SplitRule
from .step import StepError

TYPES = ("integer", "number", "category", "boolean", "text")
TASKS = ("regression", "classification")
ROLES = ("feature", "calendar", "ignore")


@dataclass(frozen=True)
class Column:
    """One column of the data: its type and the values it may have.

    `missing` is the largest allowed share of missing values, 0 to 1; an ignored column may miss all of them. The role
    `calendar` is a feature that changes with the time of the year by itself, so drift leaves it out.
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
    """The columns of the data, by name and in order; the target is one of them.

    Attributes:
        positive: of two classes the one that probabilities and the threshold are about.
        split: what decides which examples are held out; if not given, a hash of all features.
    """

    target: str
    task: str
    columns: dict[str, Column]
    source: str = "data/schema.yml"
    positive: str | None = None
    split: SplitRule = SplitRule("hash", ())
    features: list[str] = field(init=False)
    numerical: list[str] = field(init=False)
    categorical: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the lists of feature names, each in the order of the schema."""
        features = [c for c in self.columns.values() if c.role != "ignore" and c.name != self.target]
        object.__setattr__(self, "features", [c.name for c in features])
        object.__setattr__(self, "numerical", [c.name for c in features if c.is_numerical])
        object.__setattr__(self, "categorical", [c.name for c in features if not c.is_numerical])
        if not self.split.columns:
            object.__setattr__(self, "split", replace(self.split, columns=tuple(self.features)))

    @property
    def classes(self) -> tuple[str, ...]:
        """The known classes of the target, the positive one of two last; empty if the schema lists none."""
        known = self.columns[self.target].values
        if len(known) == 2 and self.positive == known[0]:
            return known[::-1]
        return known or (() if self.positive is None else (self.positive,))

    @classmethod
    def load(cls, path: Path, tasks: Sequence[str] = TASKS) -> "Schema":
        """Read a schema file.

        Args:
            path: the YAML file.
            tasks: the tasks that the type of data supports.

        Raises:
            StepError: the file is not valid YAML, or names an unknown key, type, task, role or target.
        """
        document = read_mapping(Path(path))
        refuse_unknown_keys(document, ("target", "task", "positive", "split", "columns"), f"{path}")
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
        positive = _positive(document.get("positive"), parsed[target], task, path)
        rule = _split_rule(document.get("split"), parsed, target, path)
        # An ignored column may miss values unless it decides where an example belongs.
        parsed |= {name: replace(parsed[name], missing=0.0) for name in (*rule.columns, *filter(None, [rule.group]))}
        schema = cls(target=target, task=task, columns=parsed, source=str(path), positive=positive, split=rule)
        if not schema.features:
            raise StepError(f"{path}: there is no feature; at least one column besides the target must have that role")
        return schema


def _positive(given: object, target: Column, task: str, path: Path) -> str | None:
    if given is None:
        return None
    if task != "classification":
        raise StepError(f"{path}: positive names a class, and this is a {task}; leave it out")
    if target.values and str(given) not in target.values:
        raise StepError(f"{path}: positive: '{given}' is not one of the classes {', '.join(target.values)}")
    return str(given)


def _split_rule(given: object, columns: Mapping[str, Column], target: str, path: Path) -> SplitRule:
    place = f"{path}: split"
    if given is None:
        return SplitRule("hash", ())
    if not isinstance(given, dict):
        raise StepError(f"{place}: write `by: hash` or `by: time`, with the columns that decide")
    refuse_unknown_keys(given, ("by", "key", "group", "column", "salt"), place)
    by = given.get("by", "hash")
    if by not in METHODS:
        raise StepError(f"{place}.by: '{by}' is unknown; choose one of {', '.join(METHODS)}")
    other = {"hash": ("column",), "time": ("key", "salt")}[by]
    if wrong := [key for key in other if key in given]:
        raise StepError(f"{place}.{wrong[0]}: has no meaning with `by: {by}`; leave it out")
    names = {key: _column_names(given.get(key), columns, target, f"{place}.{key}") for key in ("key", "group", "column")}
    if len(names["group"]) > 1 or len(names["column"]) > 1:
        raise StepError(f"{place}.{'group' if len(names['group']) > 1 else 'column'}: name one column")
    if by == "time" and not names["column"]:
        raise StepError(f"{place}.column: missing; name the column with the date of each example")
    if names["key"] and names["group"]:
        raise StepError(f"{place}: give a key or a group; the examples of a group stay together, whatever their keys")
    group = names["group"][0] if names["group"] else None
    salt = str(given.get("salt", SplitRule.salt))
    return SplitRule(by, names["column"] or names["group"] or names["key"], salt, group)


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


def _column(name: str, entry: object, path: Path) -> Column:
    place = f"{path}: column '{name}'"
    if not isinstance(entry, dict):
        raise StepError(f"{place}: give at least `{{type: ...}}`")
    refuse_unknown_keys(entry, tuple(f.name for f in fields(Column) if f.name != "name"), place)
    if entry.get("type") not in TYPES:
        raise StepError(f"{place}: type '{entry.get('type')}' is unknown; choose one of {', '.join(TYPES)}")
    role = entry.get("role", "feature")
    if role not in ROLES:
        raise StepError(f"{place}: role '{role}' is unknown; choose one of {', '.join(ROLES)}")
    missing = entry.get("missing", 1.0 if role == "ignore" else 0.0)
    for key, value in {**entry, "missing": missing}.items():
        if key in ("minimum", "maximum", "missing") and not is_number(value):
            raise StepError(f"{place}: {key} must be a number, not '{value}'")
    if not 0 <= missing <= 1:
        raise StepError(f"{place}: missing is a share between 0 and 1, not {missing}")
    values = entry.get("values", [])
    if not isinstance(values, list):
        raise StepError(f"{place}: values must be a list")
    return Column(**{**entry, "name": name, "missing": missing, "values": tuple(str(value) for value in values)})
