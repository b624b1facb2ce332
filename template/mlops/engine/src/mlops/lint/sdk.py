"""What azure-ai-ml knows: the structure of every file by its schemas, then its own loaders, validation and translation.

Its loaders pass unknown keys in many places, stop at the first broken level, and report unions as a page of text. So
the structure is walked first, with the same marshmallow schemas level by level: each mistake gets its place and one
line.
"""

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import IO, Any

from mlops.definitions.base import Document, Finding, line, quiet
from mlops.errors import did_you_mean

_CLASSES = {
    "commandJob": "job:CommandJobSchema",
    "pipelineJob": "pipeline.pipeline_job:PipelineJobSchema",
    "sweepJob": "_sweep:SweepJobSchema",
    "commandComponent": "component.command_component:CommandComponentSchema",
    "pipelineComponent": "pipeline.pipeline_component:PipelineComponentSchema",
    "parallelComponent": "component.parallel_component:ParallelComponentSchema",
    "sparkComponent": "component.spark_component:SparkComponentSchema",
    "environment": "assets.environment:EnvironmentSchema",
    "data": "assets.data:DataSchema",
    "model": "assets.model:ModelSchema",
    "onlineEndpoint": "_endpoint.online.online_endpoint:ManagedOnlineEndpointSchema",
    "kubernetesOnlineEndpoint": "_endpoint.online.online_endpoint:KubernetesOnlineEndpointSchema",
    "onlineDeployment": "_deployment.online.online_deployment:ManagedOnlineDeploymentSchema",
    "kubernetesOnlineDeployment": "_deployment.online.online_deployment:KubernetesOnlineDeploymentSchema",
    "batchEndpoint": "_endpoint.batch.batch_endpoint:BatchEndpointSchema",
    "modelBatchDeployment": "_deployment.batch.model_batch_deployment:ModelBatchDeploymentSchema",
    "pipelineBatchDeployment": (
        "_deployment.batch.pipeline_component_batch_deployment_schema:PipelineComponentBatchDeploymentSchema"
    ),
    "schedule": "schedule.schedule:JobScheduleSchema",
    "monitor": "monitoring.schedule:MonitorScheduleSchema",
    "registry": "registry:RegistrySchema",
    "workspace": "workspace.workspace:WorkspaceSchema",
    "amlCompute": "compute.aml_compute:AmlComputeSchema",
    "computeInstance": "compute.compute_instance:ComputeInstanceSchema",
    "kubernetesCompute": "compute.kubernetes_compute:KubernetesComputeSchema",
    "azureBlob": "_datastore.azure_storage:AzureBlobSchema",
    "azureFile": "_datastore.azure_storage:AzureFileSchema",
    "azureDataLakeGen2": "_datastore.azure_storage:AzureDataLakeGen2Schema",
}
_PLAIN = {
    "Not a valid integer.": "an integer",
    "Not a valid number.": "a number",
    "Not a valid string.": "text (put quotes around it)",
    "Not a valid boolean.": "true or false",
    "Not a valid list.": "a list",
    "Not a valid mapping type.": "keys and values",
    "Not a valid datetime.": "a date and time such as 2026-01-31T04:00:00",
}


def check_structure(document: Document) -> list[Finding]:
    """Find unknown and missing keys, unknown values and wrong types at every level of a document."""
    schema = _schema(document.kind)
    return [document.finding(where, message) for where, message in _schema_findings(schema, document.content, "")]


@cache
def _schema(kind: str) -> Any:
    module, name = _CLASSES[kind].split(":")
    return getattr(importlib.import_module(f"azure.ai.ml._schema.{module}"), name)(context={"base_path": Path()})


def _schema_findings(schema: Any, value: object, where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield where, f"keys and values are expected, not {value!r}"
        return
    known = {field.data_key or name: field for name, field in schema.fields.items()}
    for key, item in value.items():
        place = f"{where}.{key}" if where else str(key)
        if key == "$schema":
            continue
        if key not in known:
            yield place, f"unknown key{did_you_mean(key, (name for name in known if name != '$schema'))}"
        elif not known[key].dump_only:
            yield from _field_findings(known[key], item, place)
    for key, field in known.items():
        if field.required and key not in value:
            yield f"{where}.{key}" if where else key, "this key is missing"


def _field_findings(field: Any, value: object, where: str) -> Iterator[tuple[str, str]]:
    # Names of classes, not isinstance: importing them here would cost every user of this module the 2 s of azure.
    kinds = {base.__name__ for base in type(field).__mro__}
    if value is None:
        if not field.allow_none:
            yield where, "a value is missing"
    elif isinstance(value, str) and "${{" in value:
        return  # the graph checks follow these
    elif "ExperimentalField" in kinds:
        yield from _field_findings(field.experimental_field, value, where)
    elif "UnionField" in kinds:
        yield from _union_findings(field, value, where)
    elif "Nested" in kinds:
        is_file = isinstance(value, str) and value.startswith("file:")
        if not is_file or "YamlFileSchema" not in {base.__name__ for base in type(field.schema).__mro__}:
            yield from _schema_findings(field.schema, value, where)
    elif "Dict" in kinds and isinstance(value, Mapping):
        for key, item in value.items():
            if field.key_field:
                yield from _leaf_findings(field.key_field, str(key), f"{where}.{key}")
            if field.value_field:
                yield from _field_findings(field.value_field, item, f"{where}.{key}")
    elif "List" in kinds and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _field_findings(field.inner, item, f"{where}[{number}]")
    else:
        yield from _leaf_findings(field, value, where)


def _union_findings(field: Any, value: object, where: str) -> Iterator[tuple[str, str]]:
    members = list(field.union_fields)
    by_type = getattr(field, "_type_sensitive_fields_dict", None)
    if by_type and isinstance(value, Mapping) and "type" in value:
        if value["type"] not in by_type:
            yield f"{where}.type", _unknown_value(value["type"], by_type)
            return
        members = by_type[value["type"]]
    tries = [list(_field_findings(member, value, where)) for member in members]
    best = min(tries, key=lambda findings: _distance(findings, value, where))
    if isinstance(value, Mapping) and "type" in value and any(place == f"{where}.type" for place, _ in best):
        types = [member.schema.fields["type"] for member in members if "type" in _fields(member)]
        yield (
            f"{where}.type",
            _unknown_value(value["type"], [text for field in types for text in _allowed_values(field)]),
        )
    elif best and not isinstance(value, Mapping | list):
        values = [text for member in members for text in _allowed_values(member)]
        plain = [
            message for findings in tries for _, message in findings if "expected" in message and "keys" not in message
        ]
        yield where, (_unknown_value(value, values) if values and not plain else (plain or [best[0][1]])[0])
    else:
        yield from best


def _fields(field: Any) -> dict[str, Any]:
    return field.schema.fields if hasattr(field, "schema") else {}


def _distance(findings: list[tuple[str, str]], value: object, where: str) -> tuple[bool, bool, int]:
    """Return how far a member of a union is from what was meant: shape first, then type, then other findings."""
    shape = any(place == where for place, _ in findings)
    wrong_type = isinstance(value, Mapping) and any(place == f"{where}.type" for place, _ in findings)
    return shape, wrong_type, len(findings)


def _leaf_findings(field: Any, value: object, where: str) -> Iterator[tuple[str, str]]:
    kinds = {base.__name__ for base in type(field).__mro__}
    choices = [item for validator in field.validators for item in getattr(validator, "choices", [])]
    if allowed := _allowed_values(field) or choices:
        transform = getattr(field, "casing_transform", str)
        if not isinstance(value, str) or transform(value) not in allowed:
            yield where, _unknown_value(value, allowed)
        return
    if kinds & {"LocalPathField", "FileRefField", "ComponentYamlRefField"}:
        # Whether the file is there is checked elsewhere, from the folder of the right file.
        if not isinstance(value, str):
            yield where, f"a path is expected, not {value!r}"
        elif value.startswith("azureml:"):
            yield where, f"a path is expected, not the asset {value!r}"
        return
    if "RegistryStr" in kinds and not str(value).startswith("azureml://registries/"):
        yield where, f"{value!r} is not in a registry: azureml://registries/<registry>/..."
        return
    if "ArmStr" in kinds and not re.match(r"^azureml:(?!//)\S+$", str(value)):
        yield where, f"a reference such as azureml:<name>@latest is expected, not {value!r}"
        return
    if isinstance(value, date):  # YAML makes one of a time without quotes
        yield where, f"text is expected: put quotes around {value}"
        return
    try:
        field.deserialize(value)
    except Exception as error:  # marshmallow's own error and, in a few fields, azure's
        messages = getattr(error, "messages", None) or [str(error)]
        text = str(messages[0] if isinstance(messages, list) else messages).strip().splitlines()[0]
        yield where, f"{_PLAIN[text]} is expected, not {value!r}" if text in _PLAIN else f"{value!r}: {text}"


def _allowed_values(field: Any) -> list[str]:
    allowed = getattr(field, "allowed_values", None) or []
    return [str(value) for value in ([allowed] if isinstance(allowed, str) else allowed)]


def _unknown_value(value: object, allowed: Any) -> str:
    if isinstance(value, bool):
        return f'text is expected: put quotes around it, "{str(value).lower()}"'
    return f"{value!r} is not one of: {', '.join(dict.fromkeys(str(item) for item in allowed))}"


_LOADERS = {  # kind of document: name of the loader, arguments of the translation
    "commandJob": "load_job",
    "pipelineJob": "load_job",
    "sweepJob": "load_job",
    "commandComponent": "load_component",
    "pipelineComponent": "load_component",
    "parallelComponent": "load_component",
    "sparkComponent": "load_component",
    "environment": "load_environment",
    "data": "load_data",
    "model": "load_model",
    "onlineEndpoint": "load_online_endpoint",
    "kubernetesOnlineEndpoint": "load_online_endpoint",
    "onlineDeployment": "load_online_deployment",
    "kubernetesOnlineDeployment": "load_online_deployment",
    "batchEndpoint": "load_batch_endpoint",
    "modelBatchDeployment": "load_model_batch_deployment",
    "pipelineBatchDeployment": "load_pipeline_component_batch_deployment",
    "schedule": "load_schedule",
    "monitor": "load_schedule",
    "registry": "load_registry",
    "workspace": "load_workspace",
    "amlCompute": "load_compute",
    "computeInstance": "load_compute",
    "kubernetesCompute": "load_compute",
    "azureBlob": "load_datastore",
    "azureFile": "load_datastore",
    "azureDataLakeGen2": "load_datastore",
}
_TRANSLATIONS = {
    "onlineEndpoint": ("_to_rest_online_endpoint", True),
    "kubernetesOnlineEndpoint": ("_to_rest_online_endpoint", True),
    "batchEndpoint": ("_to_rest_batch_endpoint", True),
    "onlineDeployment": ("_to_rest_object", True),
    "kubernetesOnlineDeployment": ("_to_rest_object", True),
    "modelBatchDeployment": ("_to_rest_object", True),
}
_NO_TRANSLATION = {"workspace", "pipelineBatchDeployment", "computeInstance"}


def check(document: Document, text: IO[str] | None = None) -> list[Finding]:
    """Load and validate a definition with azure-ai-ml; a finding without a place has an empty `where`.

    `text` stands for the content of the document's file.
    """
    if document.entity is None and document.place:
        return []  # an object whose parts have documents of their own
    with quiet():
        from azure.ai.ml.entities import _load_functions

        load: Callable[..., Any] = getattr(_load_functions, _LOADERS[document.kind])
        try:
            entity = document.entity or load(text or document.path, relative_origin=str(document.path))
        except NotImplementedError:
            # load_schedule tries the schema of jobs when that of monitors fails, and reports neither error.
            return [document.finding("", "azure-ai-ml cannot load this file")]
        except Exception as error:  # the loaders raise marshmallow's, azure's and plain Python's errors
            return list(_load_findings(document, error))
        try:
            result = entity._validate()
            messages = result.error_messages.items()
            findings = [document.finding(_place(path), line(text)) for path, text in messages]
            findings = [finding for finding in findings if not _elsewhere(finding, document)]
        except (AttributeError, NotImplementedError):
            findings = []  # this kind has no validation
        except Exception as error:  # as above
            return [document.finding("", line(str(error)))]
        if findings or document.kind in _NO_TRANSLATION:
            return findings
        method, takes_location = _TRANSLATIONS.get(document.kind, ("_to_rest_object", False))
        try:
            getattr(entity, method)(*(["westeurope"] if takes_location else []))
        except Exception as error:  # as above
            return [document.finding("", line(str(error)))]
    return []


def _load_findings(document: Document, error: Exception) -> Iterator[Finding]:
    text = str(error)
    if match := re.search(r"\{.*\}", text, re.DOTALL):
        try:
            found = json.loads(match[0])
        except ValueError:
            found = None
        if isinstance(found, Mapping):
            yield from _json_findings(document, found)
            return
    yield document.finding("", line(text))


def _json_findings(document: Document, found: Mapping[str, Any]) -> Iterator[Finding]:
    errors = found.get("errors")
    if isinstance(errors, list):
        for item in errors:
            yield document.finding(_place(str(item.get("path", ""))), line(str(item.get("message", ""))))
        return
    for key, value in found.items():
        yield document.finding(str(key), line(value if isinstance(value, str) else json.dumps(value)))


def _elsewhere(finding: Finding, document: Document) -> bool:
    """Whether a finding is that of an object's component, which has a document of its own."""
    match = re.match(r"jobs\.([^.]+)\.component\.", finding.where) if document.entity else None
    return match is not None and isinstance(document.content["jobs"][match[1]].get("component"), str)


def _place(path: str) -> str:
    return "" if path == "*" else path
