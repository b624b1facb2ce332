"""The files under check: read strictly, recognised by what they hold, and indexed by the names they define."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mlops.definitions.base import Document, Finding
from mlops.errors import UserError, did_you_mean
from mlops.pipeline import Component, mapping
from mlops.project import parse_yaml

SCHEMAS = {
    "commandjob": "commandJob",
    "pipelinejob": "pipelineJob",
    "sweepjob": "sweepJob",
    "commandcomponent": "commandComponent",
    "pipelinecomponent": "pipelineComponent",
    "parallelcomponent": "parallelComponent",
    "sparkcomponent": "sparkComponent",
    "environment": "environment",
    "data": "data",
    "model": "model",
    "managedonlineendpoint": "onlineEndpoint",
    "onlineendpoint": "onlineEndpoint",
    "kubernetesonlineendpoint": "kubernetesOnlineEndpoint",
    "managedonlinedeployment": "onlineDeployment",
    "kubernetesonlinedeployment": "kubernetesOnlineDeployment",
    "batchendpoint": "batchEndpoint",
    "batchdeployment": "modelBatchDeployment",
    "modelbatchdeployment": "modelBatchDeployment",
    "pipelinecomponentbatchdeployment": "pipelineBatchDeployment",
    "schedule": "schedule",
    "monitorschedule": "schedule",
    "registry": "registry",
    "workspace": "workspace",
    "amlcompute": "amlCompute",
    "computeinstance": "computeInstance",
    "kubernetescompute": "kubernetesCompute",
    "azureblob": "azureBlob",
    "azurefile": "azureFile",
    "azuredatalakegen2": "azureDataLakeGen2",
}
"""Kinds by the last part of their `$schema` address, in lower case."""

_TYPES = {
    "pipeline": "pipelineJob",
    "sweep": "sweepJob",
    "parallel": "parallelComponent",
    "spark": "sparkComponent",
    "uri_file": "data",
    "uri_folder": "data",
    "mltable": "data",
    "custom_model": "model",
    "mlflow_model": "model",
    "triton_model": "model",
    "amlcompute": "amlCompute",
    "computeinstance": "computeInstance",
    "kubernetes": "kubernetesCompute",
    "azure_blob": "azureBlob",
    "azure_file": "azureFile",
    "azure_data_lake_gen2": "azureDataLakeGen2",
}
_KEYS = {  # a key that gives the kind away, tried in this order
    "create_monitor": "monitor",
    "create_job": "schedule",
    "jobs": "pipelineJob",
    "search_space": "sweepJob",
    "replication_locations": "registry",
    "conda_file": "environment",
    "image": "environment",
    "build": "environment",
    "traffic": "onlineEndpoint",
    "defaults": "batchEndpoint",
    "key_vault": "workspace",
}


def read(path: Path) -> tuple[dict[str, Any] | None, list[Finding]]:
    """Return the mapping in a file and the findings in its text: broken YAML, doubled keys, no mapping."""
    try:
        content, doubled = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, [Finding(path, "", "no such file")]
    except UnicodeDecodeError:
        return None, [Finding(path, "", "not UTF-8 text: save it as UTF-8")]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f"line {mark.line + 1}" if mark else ""
        return None, [Finding(path, where, f"not valid YAML: {problem or str(error).splitlines()[0]}")]
    message = 'the key "{}" stands here twice; only one can count'
    findings = [Finding(path, f"line {line}", message.format(key)) for line, key in doubled]
    if not isinstance(content, dict):
        return None, [*findings, Finding(path, "", "keys and values are expected in this file")]
    return {str(key): value for key, value in content.items()}, findings


def kind_of(content: Mapping[str, Any], path: Path) -> str | None:
    """Return what a file defines, by its `$schema` or else by its keys and its folder; None when neither is known."""
    kind = SCHEMAS.get(schema_name(content).lower())
    if kind in {None, "schedule"}:
        kind = _kind_by_keys(content, path) or kind
    return kind


def schema_name(content: Mapping[str, Any]) -> str:
    """Return `commandComponent` for `$schema: https://.../commandComponent.schema.json`, or empty text."""
    return str(content.get("$schema") or "").rsplit("/", 1)[-1].removesuffix(".json").removesuffix(".schema")


def _kind_by_keys(content: Mapping[str, Any], path: Path) -> str | None:
    for key, kind in _KEYS.items():
        if key in content and not (key == "image" and "command" in content):
            return kind
    kind = str(content.get("type", "")).lower()
    if "endpoint_name" in content:
        if kind == "pipeline":
            return "pipelineBatchDeployment"
        return "modelBatchDeployment" if kind == "model" or "compute" in content else "onlineDeployment"
    if "auth_mode" in content:
        return "batchEndpoint" if "batch" in path.parts else "onlineEndpoint"
    if "command" in content or kind == "command":
        is_component = "name" in content and not content.keys() & {"compute", "experiment_name"}
        return "commandComponent" if is_component else "commandJob"
    if kind in _TYPES:
        return _TYPES[kind]
    return "schedule" if "trigger" in content else None


@dataclass
class Catalogue:
    """What the files of a project define, so that references between them can be checked."""

    documents: list[Document]
    root: Path | None = None
    unreadable: list[Finding] = field(default_factory=list)

    @classmethod
    def load(cls, paths: Iterable[Path], root: Path | None = None) -> "Catalogue":
        """Read files; those that do not tell what they define, or are broken, give findings instead of documents."""
        catalogue = cls([], root)
        for path in paths:
            content, findings = read(path)
            catalogue.unreadable += findings
            if content is None:
                continue
            catalogue.unreadable += _schema_findings(content, path)
            if kind := kind_of(content, path):
                catalogue.documents.append(Document(path, kind, content))
            elif not content.keys() & {"channels", "dependencies"}:
                catalogue.unreadable.append(
                    Finding(path, "", "cannot tell what this file defines: add a $schema line, or a type")
                )
        return catalogue

    def of_kind(self, *kinds: str) -> Iterator[Document]:
        """Give the documents of some kinds."""
        return (document for document in self.documents if document.kind in kinds)

    def names(self, *kinds: str) -> set[str]:
        """Return the names that the documents of some kinds define."""
        return {str(document.content["name"]) for document in self.of_kind(*kinds) if "name" in document.content}

    def kind_in(self, path: Path) -> str | None:
        """Return what a file defines; None for one that is not under check."""
        return self._kinds.get(path.resolve())

    @cached_property
    def _kinds(self) -> dict[Path, str]:
        kinds: dict[Path, str] = {}
        for document in self.documents:
            kinds.setdefault(document.path.resolve(), document.kind)
        return kinds

    @cached_property
    def collected_assets(self) -> dict[str, bool]:
        """Data assets that deployments fill, and whether they are enabled.

        Without a name of its own that of a collection is `<endpoint>-<deployment>-<collection>`.
        """
        found = {}
        for document in self.of_kind("onlineDeployment"):
            base = f"{document.content.get('endpoint_name')}-{document.content.get('name')}"
            collections = mapping(mapping(document.content.get("data_collector")).get("collections"))
            for name, collection in collections.items():
                content = mapping(collection)
                asset = mapping(content.get("data")).get("name") or f"{base}-{name}"
                found[str(asset)] = str(content.get("enabled", "")).lower() == "true"
        return found

    @cached_property
    def components(self) -> dict[str, Component]:
        """The command components by the text that refers to them, `azureml:<name>`."""
        found = {}
        for document in self.of_kind("commandComponent"):
            name = document.place or document.content.get("name")
            found[f"azureml:{name}"] = Component.from_dict(document.content, document.path)
        return found

    @cached_property
    def models(self) -> set[str]:
        """Names of models in files and in `config/`, and those that the pipelines register (`model_name`)."""
        inputs = (mapping(document.content.get("inputs")) for document in self.of_kind("pipelineJob"))
        found = self.names("model") | {str(values["model_name"]) for values in inputs if "model_name" in values}
        return found | {str(model["name"]) for model in self._sections("model") if "name" in model}

    @cached_property
    def computes(self) -> set[str]:
        """Names of computes in files and in `config/<environment>.yml`."""
        found = self.names("amlCompute", "computeInstance", "kubernetesCompute")
        sections = [mapping(section) for compute in self._sections("compute") for section in compute.values()]
        return found | {str(section["name"]) for section in sections if "name" in section}

    def _sections(self, section: str) -> Iterator[dict[str, object]]:
        """Give a section of each `config/<environment>.yml`."""
        for path in sorted((self.root / "config").glob("*.yml")) if self.root else []:
            yield mapping((read(path)[0] or {}).get(section))


def same_but_for_case(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of names that differ only in upper and lower case."""
    seen: dict[str, str] = {}
    return [(seen[name.lower()], name) for name in names if seen.setdefault(name.lower(), name) != name]


def _schema_findings(content: Mapping[str, Any], path: Path) -> list[Finding]:
    if "$schema" not in content:
        return []
    name = schema_name(content)
    if not re.match(r"^https?://", str(content["$schema"])):
        return [Finding(path, "$schema", f"{content['$schema']!r} is not a web address")]
    if name.lower() in SCHEMAS:
        return []
    return [Finding(path, "$schema", f'Azure ML has no schema "{name}"{did_you_mean(name, SCHEMAS.values())}')]
