"""Objects of azure-ai-ml as documents, so that they get the checks that YAML files get.

An object is made with the values that the verbs put in for the first environment, and written as its YAML file would
be. What it refers to and what is checked for itself (an environment, a component) is replaced by a reference, so that a
mistake is reported once, at its own place.
"""

import ast
import copy
import importlib
import inspect
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from mlops.azureml.backend import (
    ASSUMED_BATCH,
    ASSUMED_ONLINE,
    assumed_model,
    endpoint_identity,
    model_reference,
    watched,
)
from mlops.azureml.python_sdk_v2 import DefinitionError, defined, folder, job_content, named, training_job
from mlops.config import EnvironmentConfig, Project, load_environment
from mlops.lint import lint_documents
from mlops.lint.documents import Document, Fault, did_you_mean
from mlops.lint.sdk import line, quiet

_PATHS = {"path", "code", "conda_file"}
_PROPERTIES = {"_inputs", "_outputs", "_settings"}  # where properties keep what they give
_PASSED_ON = {"command": "CommandComponent", "parallel_run_function": "ParallelComponent", "spark": "SparkComponent"}
"""Functions that hand what they do not know to a class other than the one they return."""


def check_modules(project: Project, modules: Iterable[str]) -> list[Fault]:
    """Check the objects of some modules of mlops/python-sdk-v2, together with what they refer to in the others."""
    definitions = _Definitions(project, load_environment(project, project.first_environment))
    paths = {module: folder(project) / f"{module}.py" for module in modules}
    faults = [fault for path in paths.values() for fault in keyword_faults(path)]
    documents: list[Document] = []
    for module, path in paths.items() if not faults else ():
        try:
            documents += _BUILDERS[module](definitions, path)
        except (DefinitionError, _NoDocumentError) as error:
            faults.append(error.fault)
    # What refers to something that could not be built would be reported too: first things first.
    return lint_documents([] if faults else documents, project, faults)


@dataclass(frozen=True)
class _Definitions:
    """The definitions of a project for one environment; what several documents need is built once."""

    project: Project
    config: EnvironmentConfig

    def built(self, module: str, function: str, *arguments: object) -> Any:
        return defined(self.project, module, function, self.config, *arguments)

    @cached_property
    def environments(self) -> dict[str, Any]:
        return named(self.project, "environments", "Environment")

    @cached_property
    def components(self) -> dict[str, Any]:
        return {name: node.component for name, node in named(self.project, "components", "Command").items()}

    @cached_property
    def job(self) -> Any:
        return training_job(self.project, self.config)


def _environment_documents(definitions: _Definitions, path: Path) -> list[Document]:
    return [document(item, "environment", path, name) for name, item in definitions.environments.items()]


def _data_documents(definitions: _Definitions, path: Path) -> list[Document]:
    return [document(item, "data", path, name) for name, item in named(definitions.project, "data", "Data").items()]


def _component_documents(definitions: _Definitions, path: Path) -> list[Document]:
    environments = definitions.environments.values()
    components = definitions.components.items()
    return [document(item, "commandComponent", path, name, environments) for name, item in components]


def _pipeline_documents(definitions: _Definitions, path: Path) -> list[Document]:
    return [pipeline_document(definitions.job, path, definitions.environments.values(), definitions.components)]


def _online_documents(definitions: _Definitions, path: Path) -> list[Document]:
    identity = endpoint_identity(definitions.config, lambda: "00000000-0000-0000-0000-000000000000")
    model = model_reference(definitions.config, assumed_model(definitions.config, None))
    endpoint = definitions.built("online", "endpoint", identity)
    deployment = definitions.built("online", "deployment", ASSUMED_ONLINE.name, model, 1)
    return [
        document(endpoint, "onlineEndpoint", path, "endpoint"),
        document(deployment, "onlineDeployment", path, "deployment", definitions.environments.values()),
    ]


def _batch_documents(definitions: _Definitions, path: Path) -> list[Document]:
    model = model_reference(definitions.config, assumed_model(definitions.config, None))
    endpoint = definitions.built("batch", "endpoint")
    deployment = definitions.built("batch", "deployment", ASSUMED_BATCH.name, model)
    return [
        document(endpoint, "batchEndpoint", path, "endpoint"),
        document(deployment, "modelBatchDeployment", path, "deployment", definitions.environments.values()),
    ]


def _schedule_documents(definitions: _Definitions, path: Path) -> list[Document]:
    retraining = definitions.built("schedules", "retraining", "retraining", definitions.job)
    watching = watched(definitions.project)
    monitor = definitions.built("schedules", "monitor", "monitor", ASSUMED_ONLINE.name, *watching)
    return [document(retraining, "schedule", path, "retraining"), document(monitor, "monitor", path, "monitor")]


def _registry_documents(definitions: _Definitions, path: Path) -> list[Document]:
    config = definitions.config
    registry = defined(definitions.project, "registry", "registry", config.names.registry, [config.location])
    return [document(registry, "registry", path, "registry")]


_BUILDERS = {
    "environments": _environment_documents,
    "data": _data_documents,
    "components": _component_documents,
    "pipeline": _pipeline_documents,
    "online": _online_documents,
    "batch": _batch_documents,
    "schedules": _schedule_documents,
    "registry": _registry_documents,
}
MODULES = tuple(_BUILDERS)
"""The modules of a python-sdk-v2 project."""


def document(entity: Any, kind: str, path: Path, place: str = "", environments: Iterable[Any] = ()) -> Document:
    """The document of an object that stands in the file ``path`` under the name ``place``.

    ``environments`` are those with a document of their own.
    """
    written = copy.copy(entity)
    if hasattr(entity, "identity"):
        # Writing an identity leaves it behind in another form, which azure-ai-ml then cannot send.
        written.identity = copy.deepcopy(entity.identity)
    if kind == "schedule" and not isinstance(entity.create_job, str):
        entity, written.create_job = None, "azureml:job"  # the job has a document of its own
    content = _written(written, written._to_dict, Document(path, kind, {}, place))
    if kind == "data" and entity._is_anonymous:
        del content["name"]
    if kind == "environment" and entity._conda_file_path:
        content["conda_file"] = str(entity._conda_file_path)
    if kind == "modelBatchDeployment":
        # Its settings stand there a second time, beside `settings`.
        content = {key: value for key, value in content.items() if key not in content.get("settings", {})}
    _refer(content, getattr(entity, "environment", None), environments)
    return Document(path, kind, _plain(content, path.parent), place, entity)


def pipeline_document(job: Any, path: Path, environments: Iterable[Any], components: Mapping[str, Any]) -> Document:
    """The document of a pipeline; ``components`` are those with a document of their own, by its place."""
    content = _written(job, partial(job_content, job), Document(path, "pipelineJob", {}))
    for name, node in job.jobs.items():
        spec = content["jobs"][name]
        if getattr(node, "environment", None) == getattr(node.component, "environment", None):
            spec.pop("environment", None)  # the node has a copy of the component's
        known = [place for place, component in components.items() if component is node.component]
        if known:
            spec["component"] = f"azureml:{known[0]}"
        elif isinstance(spec.get("component"), dict):
            _refer(spec["component"], getattr(node.component, "environment", None), environments)
    return Document(path, "pipelineJob", _plain(content, path.parent), "", job)


class _NoDocumentError(Exception):
    """Azure-ai-ml cannot write an object, because something in it has a wrong value or type."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _written(entity: Any, write: Callable[[], dict[str, Any]], document: Document) -> dict[str, Any]:
    try:
        with quiet():
            return write()
    except Exception as error:  # marshmallow's own error, azure's, and those of Python where a type is wrong
        messages = getattr(error, "messages", None) or [str(error)]
        texts = [str(item) for item in (messages if isinstance(messages, list) else [messages])]
        refused = [match for text in texts for match in re.findall(r"Value (.+?) passed is not in set \[(.+?)\]", text)]
        if not refused:
            raise _NoDocumentError(document.fault("", line(texts[0]))) from error
        value = refused[0][0]
        known = ", ".join(known.replace("'", "") for item, known in refused if item == value)
        raise _NoDocumentError(document.fault(_place(entity, value), f"{value} is not one of: {known}")) from error


def _place(entity: Any, value: str) -> str:
    """Where in an object a value stands: azure-ai-ml says what is wrong, and not where."""
    parts, seen = deque([("", entity)]), set()
    while parts:
        place, part = parts.popleft()
        if isinstance(part, str | bool | int | float):
            if value in (str(part), repr(part)):
                return place
        elif id(part) not in seen:
            seen.add(id(part))
            if isinstance(part, list):
                parts += [(f"{place}[{number}]", item) for number, item in enumerate(part)]
            inner = part if isinstance(part, Mapping) else getattr(part, "__dict__", {})
            for name, item in inner.items():
                if not str(name).startswith("_") or name in _PROPERTIES:
                    parts.append((f"{place}.{str(name).strip('_')}".lstrip("."), item))
    return ""


def _refer(content: dict[str, Any], environment: object, known: Iterable[Any]) -> None:
    """Put a reference where the content of an environment stands that has its own document."""
    if any(environment is item for item in known):
        version = getattr(environment, "version", None)
        content["environment"] = f"azureml:{getattr(environment, 'name', None)}" + (f":{version}" if version else "")


def _plain(value: Any, folder: Path) -> Any:
    """A copy of plain mappings and lists without empty values; paths of the project are relative to ``folder``."""
    content = json.loads(json.dumps(value, default=str))
    return _relative(content, folder)


def _relative(value: Any, folder: Path, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _relative(item, folder, name) for name, item in value.items() if item not in (None, {})}
    if isinstance(value, list):
        return [_relative(item, folder, key) for item in value]
    if key in _PATHS and isinstance(value, str) and Path(value).is_absolute():
        return Path(os.path.relpath(value, folder)).as_posix()
    return value


def keyword_faults(path: Path) -> Iterator[Fault]:
    """Keywords that a class or function of azure-ai-ml does not have.

    Many of them take any keyword, and pass over it or say something else about it.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return  # reported when it is imported
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = {alias.asname or alias.name: (str(node.module), alias.name) for node in imports for alias in node.names}
    for node in ast.walk(tree):
        called = _called(node.func, names) if isinstance(node, ast.Call) and node.keywords else None
        if called is None or not isinstance(node, ast.Call):
            continue
        known, name = _keywords(called), ast.unparse(node.func)
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in known:
                message = f'{name} has no keyword "{keyword.arg}"{did_you_mean(keyword.arg, known)}'
                yield Fault(path, f"line {keyword.lineno}", message)


def _called(function: ast.expr, names: Mapping[str, tuple[str, str]]) -> Any:
    """The class or function of azure-ai-ml behind a name, or None."""
    if isinstance(function, ast.Attribute):
        return getattr(_called(function.value, names), function.attr, None)
    module, name = names.get(getattr(function, "id", ""), ("", ""))
    return getattr(importlib.import_module(module), name, None) if module.startswith("azure.ai.ml") else None


@cache
def _keywords(called: Any) -> set[str]:
    """The keywords of a function or class: named in its signature, or taken out of ``**kwargs`` in its code."""
    from azure.ai.ml import entities

    functions, classes = [called], [called]
    if not inspect.isclass(called):
        classes = [inspect.signature(called).return_annotation]
        classes += [getattr(entities, _PASSED_ON[called.__name__])] if called.__name__ in _PASSED_ON else []
    bases = [base for item in classes if inspect.isclass(item) for base in item.__mro__]
    functions += [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    found = set()
    for function in map(inspect.unwrap, functions):
        if inspect.isfunction(function):
            found |= set(inspect.signature(function).parameters)
            found |= set(re.findall(r"""kwargs\.(?:get|pop)\(\s*["'](\w+)["']""", inspect.getsource(function)))
    return found
