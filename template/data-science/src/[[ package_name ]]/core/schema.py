"""The schema of `data/schema.yml`: the columns of the data, their types and limits, the target and the task."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from .settings import is_number, read_mapping, refuse_unknown_keys
from .step import StepError

TYPES = ("integer", "number", "category", "boolean", "text")
TASKS = ("regression", "classification")
ROLES = ("feature", "ignore")


@dataclass(frozen=True)
class Column:
    """One column of the data: its type and the values it may have.

    `missing` is the largest allowed share of missing values, 0 to 1; an ignored column may miss all of them.
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
    def load(cls, path: Path, tasks: Sequence[str] = TASKS) -> "Schema":
        """Read a schema file.

        Args:
            path: the YAML file.
            tasks: the tasks that the type of data supports.

        Raises:
            StepError: the file is not valid YAML, or names an unknown key, type, task, role or target.
        """
        document = read_mapping(Path(path))
        refuse_unknown_keys(document, ("target", "task", "columns"), f"{path}")
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
        schema = cls(target=target, task=task, columns=parsed, source=str(path))
        if not schema.features:
            raise StepError(f"{path}: there is no feature; at least one column besides the target must have that role")
        return schema


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
