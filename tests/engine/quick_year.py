"""What thousands of verbs of a year do again with the same files, done once; what they return stays the same."""

import os
import pickle
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from mlops import config, definitions
from mlops.project import Project

Copied = TypeVar("Copied")

_KNOWN: dict[Hashable, Any] = {}


def copied(value: Copied) -> Copied:
    """Return a deep copy, in a tenth of the time of `copy.deepcopy`."""
    result: Copied = pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    return result


def hasten(project: Project, patch: pytest.MonkeyPatch) -> None:
    """Remember what files with the same content come to."""
    schema, endpoint = project.module("core.schema").Schema, project.module("core.endpoint")
    load, sample_request = schema.load, endpoint.sample_request

    def load_schema(path: Path, *tasks: Any) -> Any:
        return _once(("schema", str(path), _content(Path(path)), *map(tuple, tasks)), lambda: load(path, *tasks))

    def request(modality: object, schema: Path, folder: Path, rows: int) -> Any:
        key = ("request", rows, _content(Path(schema)), *map(_content, sorted(Path(folder).rglob("*.*"))))
        return copied(_once(key, lambda: sample_request(modality, schema, folder, rows)))

    read_environment, order = config.read_environment, Project.environments.fget

    def environment(project: Project, name: str) -> Any:
        key = ("environment", project, name, _content(project.root / "config" / f"{name}.yml"))
        return _once(key, lambda: read_environment(project, name))

    def environments(project: Project) -> list[str]:
        files = frozenset(entry.name for entry in os.scandir(project.root / "config"))
        return [*_once(("environments", project, files), lambda: order(project))]

    patch.setattr("mlops.config.read_environment", environment)
    patch.setattr(Project, "environments", property(environments))
    kind = type(definitions.of(project))
    for name in ("pipeline", "online_deployment"):
        patch.setattr(kind, name, _definition(name, getattr(kind, name)))
    patch.setattr("mlops.project.copy", SimpleNamespace(deepcopy=copied))
    patch.setattr(schema, "load", load_schema)
    patch.setattr(endpoint, "sample_request", request)


def _definition(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that reads a definition, for the whole project or for one environment."""

    def definition(of: Any, *configs: Any) -> Any:
        project: Project = of.project
        environments = [each.environment for each in configs] or project.environments[:1]
        files = [
            *_once(("files", project.root), lambda: [*_files(project)]),
            *(project.root / "config" / f"{each}.yml" for each in environments),
        ]
        content = hash(b"\0".join(map(_content, files)))
        return _once((name, project, *environments, content), lambda: read(of, *configs))

    return definition


def _files(project: Project) -> Iterator[Path]:
    for folder in (project.root / "mlops", project.root / "data-science" / "environment"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".yml", ".py") and path.is_file():
                yield path


def _once(key: Hashable, make: Callable[[], Any]) -> Any:
    if key not in _KNOWN:
        _KNOWN[key] = make()
    return _KNOWN[key]


def _content(path: Path) -> bytes:
    return path.read_bytes()
