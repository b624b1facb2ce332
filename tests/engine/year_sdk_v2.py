"""The Python SDK v2 on the Azure of a simulated year: an `MLClient` whose calls are done by `azure_ml.Memory`.

Each call is bound to the signature of the real operation first, and its entities are real ones. What goes over HTTP
then, and what Azure makes of it, is compared in `test_every_version.py`.
"""

import contextlib
import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.ai.ml.entities
import fake_az
import pytest
from azure.ai.ml import Input, operations
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure_ml import Memory, refuse
from clouds import MODEL
from year_clients import callers, runs_of_monitor

from mlops.azureml.backend import Deployment, ModelVersion
from mlops.azureml.python_sdk_v2 import PythonSdk, azure_errors
from mlops.config import DriftRules, EnvironmentConfig
from mlops.errors import UserError

GROUPS = {
    "data": operations.DataOperations,
    "jobs": operations.JobOperations,
    "models": operations.ModelOperations,
    "registries": operations.RegistryOperations,
    "schedules": operations.ScheduleOperations,
    "online_endpoints": operations.OnlineEndpointOperations,
    "online_deployments": operations.OnlineDeploymentOperations,
    "batch_endpoints": operations.BatchEndpointOperations,
    "batch_deployments": operations.BatchDeploymentOperations,
}
"""The operations of `MLClient` that a year calls."""


def replace_client(memory: Callable[[], Memory], patch: pytest.MonkeyPatch) -> type[PythonSdk]:
    """Take the place of `MLClient`, and of the service that has the metrics of requests; return the backend."""

    def client(config: EnvironmentConfig, registry: str | None = None, group: str | None = None) -> Client:
        return Client(memory(), config, registry)

    def management(sdk: PythonSdk, path: str, parameters: Mapping[str, str]) -> Any:
        with azure_errors(sdk._config), errors_of_azure():
            return metrics(memory(), path, parameters)

    patch.setattr("mlops.azureml.python_sdk_v2.client", client)
    patch.setattr("mlops.azureml.python_sdk_v2.PythonSdk._management", management)
    patch.setenv("AZURE_SUBSCRIPTION_ID", fake_az.SUBSCRIPTION)
    # Whether to warn of a preview is found out by reading source files.
    patch.setattr("azure.ai.ml._utils._experimental._should_skip_warning", lambda: True)
    # Compiled modules are told apart by the second of their files, and in a second a year changes them often.
    patch.setattr(sys, "dont_write_bytecode", True)
    return PythonSdk


@contextlib.contextmanager
def errors_of_azure() -> Iterator[None]:
    """Raise what the SDK raises when Azure refuses."""
    try:
        yield
    except UserError as refusal:
        kind = ResourceNotFoundError if "could not find" in str(refusal) else HttpResponseError
        raise kind(message=str(refusal)) from refusal


class Client:
    """An `MLClient` of a workspace or of a registry; what no method here does raises NotImplementedError."""

    def __init__(self, memory: Memory, config: EnvironmentConfig, registry: str | None) -> None:
        """Keep what carries the calls out."""
        self._memory, self._names, self._registry = memory, config.names, registry
        refuse(registry and registry != config.names.registry, f"(RegistryNotFound) {registry}")

    def __getattr__(self, name: str) -> SimpleNamespace:
        """Return a group of operations."""
        group = GROUPS[name]
        methods = {
            key: functools.partial(self._call, name, key)
            for key in dir(group)
            if not key.startswith("_") and callable(getattr(group, key))
        }
        return SimpleNamespace(**methods)

    def _call(self, group: str, operation: str, *given: Any, **named: Any) -> Any:
        function = getattr(self, f"_{group}_{operation}".replace("_begin_", "_"), None)
        if function is None:
            raise NotImplementedError(f"{group}.{operation}")
        signature(GROUPS[group], operation).bind(None, *given, **named)
        with errors_of_azure():
            result = function(*given, **named)
        return SimpleNamespace(result=lambda: result) if operation.startswith("begin_") else result

    # Data, jobs and models.

    def _data_list(self, name: str = "") -> list[Any]:
        if not name:
            with self._memory.connection.read("list data"):
                return [SimpleNamespace(name=each) for each in self._memory.here.data]
        versions = self._memory.data_versions(name)
        refuse(not versions, f"(UserError) Could not find asset with name {name}")
        return [SimpleNamespace(name=name, version=version) for version in versions]

    def _data_create_or_update(self, entity: Any) -> None:
        self._memory.create_version(entity.name, entity.version)

    def _jobs_create_or_update(self, job: Any) -> None:
        given = {name: str(value._data.path) for name, value in job.inputs.items() if isinstance(value._data, Input)}
        data = {name: path.removeprefix("azureml:") for name, path in given.items() if path.startswith("azureml:")}
        self._memory.submit_pipeline(job.name, data, "", rerun=False)

    def _jobs_stream(self, name: str) -> None:
        self._memory.stream_job(name)

    def _jobs_get(self, name: str) -> Any:
        found = self._memory.job(name)
        return SimpleNamespace(name=name, status=found.status, studio_url=None)

    def _jobs_download(self, name: str, *, download_path: Path, output_name: str) -> None:
        self._memory.download_output(name, output_name, Path(download_path) / "named-outputs" / output_name)

    def _jobs_list(self, parent_job_name: str = "") -> list[Any]:
        with self._memory.connection.read("list jobs"):
            runs = runs_of_monitor(self._memory)
            jobs = {name: job.status for name, job in self._memory.here.jobs.items()}
        names = runs[parent_job_name]["children"] if parent_job_name else [n for n in runs if not runs[n]["parent"]]
        listed = [SimpleNamespace(name=name, studio_url=None, **run_as_job(runs[name])) for name in names]
        own = {"display_name": None, "tags": {}, "properties": {}}
        return [*listed, *(SimpleNamespace(name=n, status=s, **own) for n, s in jobs.items() if not parent_job_name)]

    def _models_list(self, name: str = "") -> list[Any]:
        found = self._memory.model_versions(self._registry)
        if not name:
            return [SimpleNamespace(name=MODEL)] if found else []
        refuse(not found, f"(UserError) Could not find asset with name {name}")
        return [SimpleNamespace(version=model.version, tags=dict(model.tags)) for model in found]

    def _models_get(self, name: str, version: str) -> Any:
        with self._memory.connection.read("show model"):
            tags = dict(self._memory._model(ModelVersion(version, registry=self._registry)).tags)
        return SimpleNamespace(name=name, version=version, tags=tags, path=None)

    def _models_create_or_update(self, model: Any) -> None:
        if model.path:
            self._memory.create_model(ModelVersion(model.version, registry=self._registry), Path(model.path))
            return
        with self._memory.connection.change("tag model"):
            # All tags are sent, and those that another one has set meanwhile are lost [tags].
            self._memory._model(ModelVersion(model.version, registry=self._registry)).tags = dict(model.tags)

    def _models_share(
        self, name: str, version: str, *, share_with_name: str, share_with_version: str, registry_name: str
    ) -> None:
        refuse((name, version) != (share_with_name, share_with_version), "a year shares models as they are")
        self._memory.share_model(version, registry_name)

    def _models_download(self, name: str, version: str, download_path: Path) -> None:
        target = Path(download_path) / name / "model"
        target.mkdir(parents=True)
        self._memory.download_model(ModelVersion(version, registry=self._registry), target)

    def _registries_list(self, *, scope: str) -> list[Any]:
        refuse(scope != "subscription", scope)
        return [SimpleNamespace(name=name) for name in self._memory.registries()]

    def _registries_create(self, registry: Any) -> None:
        self._memory.create_registry(registry.name, [])

    # The online endpoint.

    def _online_endpoints_list(self) -> list[Any]:
        traffic = self._memory.online_traffic()
        name = self._names.online_endpoint
        return [] if traffic is None else [SimpleNamespace(name=name, traffic=traffic, scoring_uri="https://online")]

    def _online_endpoints_get(self, name: str) -> Any:
        found = [endpoint for endpoint in self._online_endpoints_list() if endpoint.name == name]
        refuse(not found, f"(ResourceNotFound) could not find {name}")
        return found[0]

    def _online_endpoints_create_or_update(self, endpoint: Any) -> None:
        refuse(endpoint.name != self._names.online_endpoint, f"(ResourceNotFound) {endpoint.name}")
        if isinstance(endpoint, azure.ai.ml.entities.OnlineEndpoint) and self._memory.here.online is None:
            self._memory.create_online_endpoint()
        else:
            self._memory.set_traffic(endpoint.traffic)

    def _online_endpoints_delete(self, name: str) -> None:
        self._memory.delete_online_endpoint()

    def _online_endpoints_invoke(self, name: str, *, request_file: str, deployment_name: str | None = None) -> str:
        return json.dumps(self._memory.invoke(Path(request_file), deployment_name))

    def _online_deployments_list(self, endpoint_name: str) -> list[Any]:
        # As in Azure, without the tags.
        return [SimpleNamespace(name=found.name) for found in self._memory.online_deployments()]

    def _online_deployments_get(self, name: str, endpoint_name: str) -> Any:
        found = next((each for each in self._memory.online_deployments() if each.name == name), None)
        if found is None:
            raise UserError(f"(ResourceNotFound) could not find {name}")
        tags = {"generation": str(found.generation), "fingerprint": found.fingerprint}
        return SimpleNamespace(name=name, model=f"azureml:{MODEL}:{found.model_version}", tags=tags)

    def _online_deployments_create_or_update(self, deployment: Any) -> None:
        self._memory.create_online_deployment(deployment.name, self._behind(deployment), deployment.tags)

    def _behind(self, deployment: Any) -> ModelVersion:
        """Return the model that a deployment names: of a registry, or of the workspace."""
        reference = str(deployment.model)
        version = Deployment.of("", reference, {}).model_version
        return ModelVersion(version, registry=self._names.registry if "/registries/" in reference else None)

    def _online_deployments_delete(self, name: str, endpoint_name: str) -> None:
        self._memory.delete_online_deployment(name)

    def _online_deployments_get_logs(self, name: str, endpoint_name: str, lines: int) -> None:
        self._memory.show_log(name, lines)

    # The batch endpoint.

    def _batch_endpoints_list(self) -> list[Any]:
        default = self._memory.batch_default()
        named = SimpleNamespace(deployment_name=default)
        return [] if default is None else [SimpleNamespace(name=self._names.batch_endpoint, defaults=named)]

    def _batch_endpoints_get(self, name: str) -> Any:
        found = self._batch_endpoints_list()
        refuse(not found, f"(ResourceNotFound) could not find {name}")
        return found[0]

    def _batch_endpoints_create_or_update(self, endpoint: Any) -> None:
        defaults = endpoint.defaults
        if not isinstance(defaults, Mapping):
            self._memory.create_batch_endpoint()
            return
        with self._memory.connection.change("set default"):
            batch, name = self._memory._batch(), defaults["deployment_name"]
            refuse(name not in batch.deployments, f"(UserError) there is no deployment {name}")
            batch.default = name

    def _batch_endpoints_delete(self, name: str) -> None:
        self._memory.delete_batch_endpoint()

    def _batch_deployments_list(self, endpoint_name: str) -> list[Any]:
        found = self._memory.batch_deployments()
        return [SimpleNamespace(name=each.name, model=f"azureml:{MODEL}:{each.model_version}") for each in found]

    def _batch_deployments_create_or_update(self, deployment: Any) -> None:
        model = self._behind(deployment)
        with self._memory.connection.change("create batch deployment"):
            self._memory._model(model)
            self._memory._batch().deployments[deployment.name] = model.version

    def _batch_deployments_delete(self, name: str, endpoint_name: str) -> None:
        self._memory.delete_batch_deployment(name)

    # Schedules.

    def _schedules_list(self, *, list_view_type: str) -> list[Any]:
        refuse(list_view_type != "All", list_view_type)
        return [SimpleNamespace(name=name, is_enabled=on) for name, on in self._memory.schedules().items()]

    def _schedules_create_or_update(self, schedule: Any) -> None:
        target = schedule.create_monitor.monitoring_target.endpoint_deployment_id
        self._memory.create_monitor(schedule.name, target.rsplit(":", 1)[-1], "regression", DriftRules({}, []))

    def _schedules_disable(self, name: str) -> None:
        self._memory.disable_schedule(name)

    def _schedules_enable(self, name: str) -> None:
        self._memory.enable_schedule(name)

    def _schedules_delete(self, name: str) -> None:
        self._memory.delete_schedule(name)


@functools.cache
def signature(group: type, operation: str) -> inspect.Signature:
    """Return how an operation of the SDK can be called."""
    return inspect.signature(getattr(group, operation))


def run_as_job(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run of the monitor as the SDK shows it."""
    shown = {key: run[key] for key in ("display_name", "status", "tags", "properties")}
    return {**shown, "creation_context": SimpleNamespace(created_at=run["created"])}


def metrics(memory: Memory, path: str, parameters: Mapping[str, str]) -> Any:
    """Return what Azure Monitor knows of the requests to the online endpoint."""
    refuse(not path.endswith("/Microsoft.Insights/metrics"), f"(ResourceNotFound) {path}")
    with memory.connection.read("read metrics", late=False):
        start, _, end = parameters["timespan"].partition("/")
        return fake_az.metric(
            callers(memory), parameters["metricnames"], parameters["$filter"], start, end, parameters["top"]
        )
