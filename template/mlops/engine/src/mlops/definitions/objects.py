"""Objects of azure-ai-ml as documents, so that they get the checks that YAML files get.

An object is written as its YAML file would be. What it refers to and what is checked for itself (an environment, a
component) is replaced by a reference, so that a mistake is reported once, at its own place.
"""

import copy
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.definitions.base import DefinitionError, Document, line, quiet

if TYPE_CHECKING:
    from azure.ai.ml.entities import PipelineJob

_PATHS = {"path", "code", "conda_file"}
_PROPERTIES = {"_inputs", "_outputs", "_settings"}  # where properties keep what they give


def job_content(job: "PipelineJob") -> dict[str, Any]:
    """Return what the YAML file of a pipeline object would hold."""
    from azure.ai.ml import Input

    content: dict[str, Any] = job._to_dict()
    for node in content.get("jobs", {}).values():
        # An input that is left out stands there with the type that the component gives it.
        given = node.get("inputs", {}).items()
        node["inputs"] = {name: value for name, value in given if not isinstance(value, dict) or "path" in value}
    parts = [(job, content), *((node, content["jobs"][name]) for name, node in job.jobs.items())]
    for part, document in parts:
        for name, value in document.get("inputs", {}).items():
            data = part.inputs[name]._data
            path = str(data.path if isinstance(data, Input) else data)
            # azure-ai-ml writes a local path as `azureml:<path>`, and an input with a wrong value as text.
            if isinstance(value, dict) and value.get("path") == f"azureml:{path}":
                value["path"] = path
            elif isinstance(data, Input) and isinstance(value, str) and value.startswith("{"):
                document["inputs"][name] = data._to_dict()
    return content


def document(entity: Any, kind: str, path: Path, place: str = "", environments: Iterable[Any] = ()) -> Document:
    """Return the document of an object that stands in the file `path` under the name `place`.

    `environments` are those with a document of their own.
    """
    written = copy.copy(entity)
    if hasattr(entity, "identity"):
        # Writing an identity leaves it behind in another form, which azure-ai-ml then cannot send.
        written.identity = copy.deepcopy(entity.identity)
    if kind == "schedule" and not isinstance(entity.create_job, str):
        entity, written.create_job = None, "azureml:job"  # the job has a document of its own
    content = _write(written, written._to_dict, Document(path, kind, {}, place))
    if kind == "data" and entity._is_anonymous:
        del content["name"]
    if kind == "environment" and entity._conda_file_path:
        content["conda_file"] = str(entity._conda_file_path)
    if kind == "modelBatchDeployment":
        # Its settings stand there a second time, beside `settings`.
        content = {key: value for key, value in content.items() if key not in content.get("settings", {})}
    _refer(content, getattr(entity, "environment", None), environments)
    return Document(path, kind, _plain(content, path.parent), place, entity)


def pipeline_document(
    job: Any, path: Path, environments: Iterable[Any], components: Mapping[str, Any], place: str = ""
) -> Document:
    """Return the document of a pipeline; `components` are those with a document of their own, by its place."""
    content = _write(job, partial(job_content, job), Document(path, "pipelineJob", {}, place))
    for name, node in job.jobs.items():
        spec = content["jobs"][name]
        key = "trial" if "trial" in spec else "component"
        component = getattr(node, key)
        if getattr(node, "environment", None) == getattr(component, "environment", None):
            spec.pop("environment", None)  # the node has a copy of the component's
        known = [name for name, item in components.items() if item is component]
        if known:
            spec[key] = f"azureml:{known[0]}"
        elif isinstance(spec.get(key), dict):
            _refer(spec[key], getattr(component, "environment", None), environments)
            if key == "trial":
                del spec[key]["type"]  # a trial is always a command
    return Document(path, "pipelineJob", _plain(content, path.parent), place, job)


def _write(entity: Any, write: Callable[[], dict[str, Any]], document: Document) -> dict[str, Any]:
    try:
        with quiet():
            return write()
    except Exception as error:  # marshmallow's own error, azure's, and those of Python where a type is wrong
        messages = getattr(error, "messages", None) or [str(error)]
        texts = [str(item) for item in (messages if isinstance(messages, list) else [messages])]
        refused = [match for text in texts for match in re.findall(r"Value (.+?) passed is not in set \[(.+?)\]", text)]
        if not refused:
            raise DefinitionError(document.finding("", line(texts[0]))) from error
        value = refused[0][0]
        known = ", ".join(known.replace("'", "") for item, known in refused if item == value)
        raise DefinitionError(document.finding(_place(entity, value), f"{value} is not one of: {known}")) from error


def _place(entity: Any, value: str) -> str:
    """Return where in an object a value is: azure-ai-ml reports what is wrong, and not where."""
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
    """Return plain mappings and lists without empty values; paths of the project are relative to `folder`."""
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
