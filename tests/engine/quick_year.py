"""What thousands of verbs of a year do again with the same files, done once; what they return stays the same."""

import pickle
from collections.abc import Callable, Hashable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from mlops import config, definitions
from mlops.fingerprint import fingerprint, setup_fingerprint
from mlops.project import Project

Copied = TypeVar("Copied")

_KNOWN: dict[Hashable, Any] = {}

MOST = 20_000
"""How many results are remembered, so that ten thousand years need no more memory than a hundred."""


def copied(value: Copied) -> Copied:
    """Return a deep copy, in a tenth of the time of `copy.deepcopy`."""
    result: Copied = pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    return result


def hasten(project: Project, patch: pytest.MonkeyPatch, written: Callable[[], Hashable]) -> None:
    """Remember what files come to; `written` says what all but the data are, None while they are written."""
    schema, endpoint = project.module("core.schema").Schema, project.module("core.endpoint")
    load, sample_request = schema.load, endpoint.sample_request

    def once(key: Hashable, make: Callable[[], Any]) -> Any:
        return make() if written() is None else _once((project.root, written(), key), make)

    def load_schema(path: Path, *tasks: Any) -> Any:
        return _once(("schema", str(path), _content(Path(path)), *map(tuple, tasks)), lambda: load(path, *tasks))

    def request(modality: object, schema: Path, folder: Path, rows: int) -> Any:
        key = ("request", rows, _content(Path(schema)), *map(_content, sorted(Path(folder).rglob("*.*"))))
        return copied(_once(key, lambda: sample_request(modality, schema, folder, rows)))

    read_environment, order = config.read_environment, Project.environments.fget

    def environment(project: Project, name: str) -> Any:
        return once(("environment", project, name), lambda: read_environment(project, name))

    def environments(project: Project) -> list[str]:
        return [*once(("environments", project), lambda: order(project))]

    def definition(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
        def remembered(of: Any, *configs: Any) -> Any:
            key = (name, of.project, *(each.environment for each in configs))
            return once(key, lambda: read(of, *configs))

        return remembered

    def of_commit(make: Callable[..., str]) -> Callable[..., str]:
        return lambda project, config: once((make.__name__, project, config.environment), lambda: make(project, config))

    patch.setattr("mlops.config.read_environment", environment)
    patch.setattr(Project, "environments", property(environments))
    kind = type(definitions.of(project))
    for name in ("pipeline", "online_deployment"):
        patch.setattr(kind, name, definition(name, getattr(kind, name)))
    for module, make in (
        ("models", fingerprint),
        ("online", fingerprint),
        ("models", setup_fingerprint),
        ("candidate", setup_fingerprint),
    ):
        patch.setattr(f"mlops.verbs.{module}.{make.__name__}", of_commit(make))
    patch.setattr("mlops.project.copy", SimpleNamespace(deepcopy=copied))
    patch.setattr(schema, "load", load_schema)
    patch.setattr(endpoint, "sample_request", request)


def _once(key: Hashable, make: Callable[[], Any]) -> Any:
    if key not in _KNOWN:
        if len(_KNOWN) > MOST:
            _KNOWN.clear()
        _KNOWN[key] = make()
    return _KNOWN[key]


def _content(path: Path) -> bytes:
    return path.read_bytes()
