"""The project: its root folder, and the choices that were made when it was created (`[tool.mlops]`)."""

import copy
import importlib
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from mlops.errors import UserError

try:  # the loader on libyaml is ten times as fast; PyYAML may have been built without it
    from yaml import CSafeLoader as _FastLoader
except ImportError:
    from yaml import SafeLoader as _FastLoader  # type: ignore[assignment]

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f]+$")]
UNKNOWN = "unknown key"
CHANGE_ANSWER = "uvx --with copier-template-extensions copier update --trust --vcs-ref=:current: --data"
"""The command that changes an answer; NAME=VALUE follows."""
_MARKER = re.compile(r"(<{7}|>{7})( |$)")
Version = Literal["aml-cli-v2", "python-sdk-v2", "python-sdk-v1"]
AddOn = Literal[
    "private-network", "user-with-compute-instance", "monitoring", "gpu-cluster", "model-registry", "data-lake"
]


NAME = r"[^/\s]([^/]*[^/\s])?"  # in Azure DevOps with spaces inside


class Section(BaseModel):
    """A part of an environment's file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Choices(Section):
    """The table [tool.mlops] in pyproject.toml: what was chosen when the project was created."""

    package: Text
    version: Version
    infrastructure: Literal["terraform", "bicep", "existing"]
    add_ons: list[AddOn] = []
    orchestration: Text = "github-actions"
    repository: Annotated[str, StringConstraints(pattern=rf"^([^/\s]+/({NAME}/)?{NAME})?$")] = ""
    environments: list[Text] = []
    former_endpoints: list[Text] = []
    questions: Literal["few", "all"] = "all"


@dataclass(frozen=True)
class Project:
    """A project's root folder and the choices made when it was created."""

    root: Path
    package: str
    version: Version
    infrastructure: str
    add_ons: tuple[str, ...] = ()
    orchestration: str = "github-actions"
    repository: str = ""
    environment_order: tuple[str, ...] = ()
    former_endpoints: tuple[str, ...] = ()
    questions: str = "all"

    @classmethod
    def load(cls, root: Path | None = None) -> "Project":
        """Find the project that contains `root` (default: the working directory).

        Raises:
            UserError: No pyproject.toml with a valid [tool.mlops] table lies there or above.
        """
        start = (root or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            path = folder / "pyproject.toml"
            if not path.is_file():
                continue
            try:
                text = path.read_text(encoding="utf-8")
                if lines := conflict_markers(text):
                    raise UserError(f"{path}:{lines[0]}: {CONFLICT}")
                table = tomllib.loads(text).get("tool", {}).get("mlops")
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise UserError(f"{path} is not valid TOML: {error}") from error
            if table is None:
                continue
            try:
                choices = Choices.model_validate(table)
            except ValidationError as error:
                raise UserError(f"{path}: [tool.mlops] {problems_in(error)[0]}") from error
            if not (folder / "mlops" / choices.version).is_dir():
                raise UserError(f"{path}: [tool.mlops] version: there is no folder mlops/{choices.version}")
            lists = {"add_ons": tuple(choices.add_ons), "former_endpoints": tuple(choices.former_endpoints)}
            chosen = choices.model_dump(exclude={"environments"}) | lists
            project = cls(folder, **chosen, environment_order=tuple(choices.environments))
            if unknown := [name for name in project.environment_order if name not in project.environments]:
                raise UserError(f"{path}: [tool.mlops] environments: there is no config/{unknown[0]}.yml")
            return project
        raise UserError(f"no project at {start}: run mlops in the folder of a generated project (or below it)")

    def module(self, name: str) -> ModuleType:
        """Import a module of the project's data-science package."""
        return importlib.import_module(f"{self.package}.{name}")

    def check_answers(self) -> None:
        """Check that the questions about Azure have been asked, before anything is made there.

        Raises:
            UserError: They are still open; the text has the command that asks them.
        """
        if self.questions == "few":
            raise UserError(
                f"this project was made for one machine: answer the questions about Azure with `{CHANGE_ANSWER} "
                "questions=all`, commit, and repeat this"
            )

    @property
    def data(self) -> Path:
        """The folder of the sample data and its schema."""
        return self.root / "data"

    @property
    def schema(self) -> Path:
        """The description of the data's columns."""
        return self.data / "schema.yml"

    @property
    def settings(self) -> Path:
        """The settings of training, evaluation, promotion and drift."""
        return self.root / "config" / "model.yml"

    @property
    def definitions(self) -> Path:
        """The folder of the pipeline, endpoint and schedule definitions of the chosen version."""
        return self.root / "mlops" / self.version

    @property
    def environments(self) -> list[str]:
        """The names of the environments that `config/` describes, in the order in which a model passes through them."""
        found = sorted(path.stem for path in (self.root / "config").glob("*.yml") if path != self.settings)
        order = {name: place for place, name in enumerate(self.environment_order)}
        return sorted(found, key=lambda name: order.get(name, len(order)))

    @property
    def planned_environment(self) -> str:
        """The environment that a pull request plans, from its own branch; empty if the project builds none."""
        return "" if self.infrastructure == "existing" else self.first_environment

    @property
    def first_environment(self) -> str:
        """The environment where models are trained, and the default of every verb.

        Raises:
            UserError: `config/` describes no environment, or several in no order.
        """
        found = self.environments
        if not found:
            raise UserError("config/ describes no environment: restore its files from Git")
        if len(found) > 1 and not self.environment_order:
            raise UserError(
                f"{self.root / 'pyproject.toml'}: [tool.mlops] does not order the environments: add the line "
                f"`environments = {json.dumps(found)}`, first the one where models are trained"
            )
        return found[0]


CONFLICT = "a conflict marker: choose between the two sides, delete the markers, then `git add` the file"


def conflict_markers(text: str) -> list[int]:
    """Return the numbers of the lines with which Git's conflicts begin and end."""
    return [number for number, line in enumerate(text.splitlines(), 1) if _MARKER.match(line)]


class _Loader(_FastLoader):
    """Notes doubled keys, of which PyYAML silently keeps the last one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.doubled: list[tuple[int, str]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    self.doubled.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> tuple[Any, list[tuple[int, str]]]:
    """Return what a YAML text says, and the keys that are twice in one place, each with the number of its line.

    Raises:
        yaml.YAMLError: It is not valid YAML.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data(), loader.doubled
    finally:
        loader.dispose()


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: The file is missing, broken or holds something else; the text names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if lines := conflict_markers(text):
            raise UserError(f"{path}:{lines[0]}: {CONFLICT}")
        content, doubled = _content(text)
        for line, key in doubled:
            raise UserError(f"{path}:{line}: the key {key} is there twice: join the two, or delete one")
        document = copy.deepcopy(content)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected keys and values, found {type(document).__name__}")
    return document


@cache
def _content(text: str) -> tuple[Any, list[tuple[int, str]]]:
    """Return `parse_yaml` of a text; one command reads the files of the configuration several times."""
    return parse_yaml(text)


class Problem(NamedTuple):
    """What is wrong with a value in a file: its key, with dots between the parts, and the text."""

    key: str
    text: str

    def __str__(self) -> str:
        """Return both in one line."""
        return ": ".join(filter(None, self))


def problems_in(error: ValidationError) -> list[Problem]:
    """Return pydantic's errors, each with the key that it is about."""
    found = []
    for each in error.errors():
        text = {"missing": "the key is missing", "extra_forbidden": UNKNOWN}.get(each["type"], each["msg"])
        text = text.removeprefix("Value error, ")
        found.append(Problem(".".join(map(str, each["loc"])), text[0].lower() + text[1:]))
    return found


def is_ignored(name: PurePath) -> bool:
    """Return whether a file is none of the project's, but of Python's, an editor's or an installation's."""
    hidden = any(part.startswith(".") or part == "__pycache__" or part.endswith(".egg-info") for part in name.parts)
    return hidden or name.suffix == ".pyc"
