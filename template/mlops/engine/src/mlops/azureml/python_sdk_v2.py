"""The backend of the Python SDK v2: every change is one call of `MLClient`, shown as one line before it is made."""

# ruff: noqa: D102 - the methods are described once for all backends, in mlops.azureml.backend.Backend

import contextlib
import copy
import json
import logging
import operator
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.azureml.backend import (
    ASSUMED_BATCH,
    ASSUMED_ONLINE,
    Deployment,
    Job,
    ModelVersion,
    assumed_model,
    model_version,
)
from mlops.azureml.monitor_runs import ERROR_TAG, Breach, MonitorRun, find_breaches, is_of_schedule, moment
from mlops.azureml.remedies import Remedy, remedy, storage_remedy
from mlops.azureml.request_metrics import (
    AGGREGATION,
    INTERVAL,
    MOST_SERIES,
    RequestMetrics,
    endpoint_id,
    read_requests,
    time_text,
)
from mlops.azureml.storage import Container, StoredFile
from mlops.config import DriftRules, EnvironmentConfig, Sweep
from mlops.definitions.base import error_line, require
from mlops.definitions.python_sdk_v2 import call_definition, entities, training_job, tuning_job
from mlops.definitions.values import CLIENT_ID, STORAGE_HOSTS, endpoint_identity, model_reference
from mlops.errors import CommandError, UserError
from mlops.hyperparameters import run_name
from mlops.pipeline import DataAsset
from mlops.project import Project
from mlops.shell import Shell

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import OnlineEndpoint, PipelineJob
    from azure.core.credentials import TokenCredential

INSTALL = (
    "see https://learn.microsoft.com/cli/azure/install-azure-cli and run `az login`, or set AZURE_SUBSCRIPTION_ID to "
    "the id of your subscription"
)
MANAGEMENT, METRICS_API = "https://management.azure.com", "2023-10-01"
_NOT_FOUND = r"not (be )?found|NotFound|does not exist"


def credential() -> "TokenCredential":
    """Return the account of `az login` or of GitHub's azure/login, or else a compute instance's identity."""
    from azure.identity import AzureCliCredential, ChainedTokenCredential, ManagedIdentityCredential

    # The default limit of 10 s is too short for az on a busy runner.
    found: list[TokenCredential] = [AzureCliCredential(process_timeout=60)]
    if "MSI_ENDPOINT" in os.environ:
        found.append(ManagedIdentityCredential(client_id=os.environ.get("DEFAULT_IDENTITY_CLIENT_ID")))
    return ChainedTokenCredential(*found)


def client(config: EnvironmentConfig, registry: str | None = None, group: str | None = None) -> "MLClient":
    """Return the client of an environment's workspace, or of a registry.

    Args:
        config: The environment.
        registry: The name of the registry; None is the workspace.
        group: The resource group, by default that of the environment.

    Raises:
        UserError: No subscription is known.
    """
    from azure.ai.ml import MLClient

    options: dict[str, Any] = {"registry_name": registry} if registry else {"workspace_name": config.names.workspace}
    place = (credential(), subscription(config), group or config.names.resource_group)
    return MLClient(*place, **options, enable_telemetry=False)


def subscription(config: EnvironmentConfig) -> str:
    """Return the id of the Azure subscription: AZURE_SUBSCRIPTION_ID, or else the one chosen in the Azure CLI.

    Raises:
        UserError: There is neither.
    """
    if found := os.environ.get("AZURE_SUBSCRIPTION_ID"):
        return found
    try:
        account = Shell(Path.cwd(), remedies={"az": INSTALL}).read("az", "account", "show", "--output", "json")
    except CommandError as error:
        raise remedy(error.output, config) or error from error
    return str(json.loads(account)["id"])


class PythonSdk:
    """Azure ML by way of `MLClient`. The methods are those of `mlops.azureml.backend.Backend`.

    In a dry run nothing is read either, because that needs a login: the answers then are those of a workspace in which
    version 1 of the model is registered and served, so that the calls of a normal case are shown.
    """

    monitors_data = False

    def __init__(self, project: Project, config: EnvironmentConfig, *, dry_run: bool) -> None:
        """Keep what the calls are made of; nothing is called.

        Raises:
            UserError: azure-ai-ml is not installed.
        """
        require("azure.ai.ml", "azure-ai-ml")
        self._project = project
        self._config = config
        self._names = config.names
        self._dry_run = dry_run
        self._clients: dict[tuple[str | None, str | None], MLClient] = {}
        # azure-ai-ml warns of each class that it calls experimental or deprecated, its own uses of them included.
        logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=r"azure\.ai\.ml")
        # A user who is not signed in gets one line, and it is ours.
        logging.getLogger("azure.identity").setLevel(logging.CRITICAL)

    # Data, jobs and models.

    def data_versions(self, name: str) -> list[str]:
        # Listing the versions of an asset that does not exist is an error, hence the look before.
        if name not in [asset.name for asset in self._list("data.list")]:
            return []
        return [str(asset.version) for asset in self._list("data.list", name=name)]

    def create_data(self, asset: DataAsset, version: str) -> None:
        known = {entity.name: entity for entity in entities(self._project, "data", "Data").values()}
        entity = copy.copy(known[asset.name])
        entity.version = version
        if asset.path is not None:
            entity.path = asset.path
        self._change("data.create_or_update", entity, shown=f"{asset.name}:{version}")

    def container(self, datastore: str) -> Container | None:
        if self._dry_run:
            return Container("ACCOUNT", "CONTAINER")
        found = self._call("datastores.get", datastore)
        name = getattr(found, "container_name", None) or getattr(found, "filesystem", None)
        return Container(found.account_name, name) if name else None

    def list_files(self, container: Container, path: str) -> list[StoredFile]:
        if self._dry_run:
            return []
        from azure.storage.blob import ContainerClient

        with azure_errors(self._config, storage_remedy):
            account = f"https://{container.account}.blob.core.windows.net"
            source = ContainerClient(account, container.name, credential=credential())
            listed = source.list_blobs(name_starts_with=path or None)
            return [StoredFile(str(item.name), item.size, item.etag) for item in listed]

    def submit_pipeline(self, job: str, data: Mapping[str, str], overrides: str, *, rerun: bool) -> str:
        return self._submit(training_job(self._project, self._config), job, data, overrides, rerun=rerun)

    def submit_tuning(self, job: str, data: Mapping[str, str], overrides: str, sweep: Sweep, *, rerun: bool) -> str:
        return self._submit(tuning_job(self._project, self._config, sweep), job, data, overrides, rerun=rerun)

    def _submit(
        self, pipeline: "PipelineJob", job: str, data: Mapping[str, str], overrides: str, *, rerun: bool
    ) -> str:
        for name, asset in data.items():
            pipeline.inputs[name].path = f"azureml:{asset}"
        pipeline.name = job
        if rerun:
            pipeline.settings.force_rerun = True
        for node in pipeline.jobs.values() if overrides else ():
            if "overrides" in getattr(node._component, "inputs", {}):
                node.inputs.overrides = overrides
        if overrides:
            pipeline.display_name = f"{pipeline.display_name or 'training'} {run_name(overrides)}"
        shown = ", ".join([job, *data.values(), *([f"overrides={overrides}"] if overrides else [])])
        self._change("jobs.create_or_update", pipeline, shown=shown)
        return job

    def stream_job(self, job: str) -> None:
        self._change("jobs.stream", job, shown=job)

    def job(self, name: str) -> Job:
        if self._dry_run:
            return Job(name, "Completed")
        found = self._call("jobs.get", name)
        return Job(name, _status(found), found.studio_url or "")

    def find_job(self, name: str) -> Job | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return None if self._dry_run else self.job(name)
        except UserError as error:
            cause = error.__cause__
            # Of a workspace that is not there Azure says the same, but for that there is a remedy.
            if isinstance(cause, ResourceNotFoundError) and remedy(str(cause), self._config) is None:
                return None
            raise

    def download_output(self, job: str, output: str, folder: Path) -> None:
        options: dict[str, Any] = {"output_name": output, "download_path": folder}
        self._change("jobs.download", job, shown=f"{job}: {output}", **options)

    def model_versions(self, registry: str | None) -> list[ModelVersion]:
        if self._dry_run:
            return [assumed_model(self._config, registry)]
        name = self._config.model.name
        if name not in [model.name for model in self._list("models.list", registry=registry)]:
            return []
        models = self._list("models.list", registry=registry, name=name)
        return [ModelVersion(str(model.version), model.tags or {}, registry) for model in models]

    def tag_model(self, model: ModelVersion, tags: Mapping[str, str]) -> None:
        name = self._config.model.name
        entity = None
        if not self._dry_run:
            entity = self._call("models.get", name, registry=model.registry, version=model.version)
            entity.tags = {**(entity.tags or {}), **tags}
        shown = ", ".join([f"{name}:{model.version}", *(f"{key}={value}" for key, value in tags.items())])
        self._change("models.create_or_update", entity, registry=model.registry, shown=shown)

    def registries(self) -> list[str]:
        return [registry.name for registry in self._list("registries.list", scope="subscription")]

    def create_registry(self, name: str, locations: list[str]) -> None:
        registry = call_definition(self._project, "registry", "registry", name, locations)
        group = self._config.names.registry_resource_group
        self._change("registries.begin_create", registry, shown=f"{name} in {', '.join(locations)}", group=group)

    def share_model(self, version: str, registry: str) -> None:
        name = self._config.model.name
        options = {"share_with_name": name, "share_with_version": version, "registry_name": registry}
        self._change("models.share", name, version, shown=f"{name}:{version} to {registry}", **options)

    def create_model(self, model: ModelVersion, folder: Path) -> None:
        from azure.ai.ml.entities import Model

        entity = Model(name=self._config.model.name, version=model.version, path=folder, type="mlflow_model")
        self._change("models.create_or_update", entity, registry=model.registry, shown=self._shown(model))

    def download_model(self, model: ModelVersion, folder: Path) -> None:
        name, options = self._config.model.name, {"version": model.version, "download_path": folder}
        self._change("models.download", name, registry=model.registry, shown=self._shown(model), **options)

    # The online endpoint.

    def online_traffic(self) -> dict[str, int] | None:
        if self._dry_run:
            return {ASSUMED_ONLINE.name: 100}
        endpoint = self._online_endpoint()
        if endpoint is None:
            return None
        return {name: int(share) for name, share in (endpoint.traffic or {}).items()}

    def online_address(self) -> str:
        return getattr(self._online_endpoint(), "scoring_uri", None) or ""

    def _online_endpoint(self) -> "OnlineEndpoint | None":
        name = self._names.online_endpoint
        return next((endpoint for endpoint in self._list("online_endpoints.list") if endpoint.name == name), None)

    def create_online_endpoint(self) -> None:
        ask = (lambda: "SUBSCRIPTION-ID") if self._dry_run else partial(subscription, self._config)
        identity = endpoint_identity(self._config, ask)
        endpoint = call_definition(self._project, "online", "endpoint", self._config, identity)
        self._change("online_endpoints.begin_create_or_update", endpoint, shown=endpoint.name)

    def online_deployments(self) -> list[Deployment]:
        if self._dry_run:
            return [ASSUMED_ONLINE]
        endpoint = {"endpoint_name": self._names.online_endpoint}
        deployments = []
        for listed in self._list("online_deployments.list", **endpoint):
            # The list leaves the tags out.
            found = self._call("online_deployments.get", listed.name, **endpoint)
            deployments.append(Deployment.of(found.name, found.model, found.tags))
        return deployments

    def create_online_deployment(self, name: str, model: ModelVersion, tags: Mapping[str, str]) -> None:
        reference = model_reference(self._config, model.version, model.registry)
        deployment = call_definition(self._project, "online", "deployment", self._config, name, reference, tags)
        if deployment.environment_variables.get(STORAGE_HOSTS) and not self._dry_run:
            # A user-assigned identity gives a token only to who names it.
            identity = self._call("online_endpoints.get", self._names.online_endpoint).identity
            for user in identity.user_assigned_identities or []:
                # azure-ai-ml 1.35 keeps it under the name that Azure gives it.
                deployment.environment_variables[CLIENT_ID] = user.client_id or vars(user)["clientId"]
        machines = f"{deployment.instance_type} x {deployment.instance_count}"
        shown = f"{name}: {self._config.model.name}:{model.version}, {machines}"
        self._change("online_deployments.begin_create_or_update", deployment, shown=shown)

    def delete_online_deployment(self, name: str) -> None:
        endpoint = {"endpoint_name": self._names.online_endpoint}
        self._change("online_deployments.begin_delete", name, shown=name, **endpoint)

    def set_traffic(self, traffic: Mapping[str, int]) -> None:
        endpoint = None
        if not self._dry_run:
            endpoint = self._call("online_endpoints.get", self._names.online_endpoint)
            endpoint.traffic = dict(traffic)
        shares = " ".join(f"{name}={share}" for name, share in traffic.items())
        shown = f"{self._names.online_endpoint}: {shares}"
        self._change("online_endpoints.begin_create_or_update", endpoint, shown=shown)

    def invoke(self, request: Path, deployment: str | None) -> object:
        options = {"request_file": str(request), **({"deployment_name": deployment} if deployment else {})}
        shown = self._names.online_endpoint + (f": {deployment}" if deployment else "")
        _forget_last_deployment()
        answer = self._change("online_endpoints.invoke", self._names.online_endpoint, shown=shown, **options)
        try:
            return json.loads(answer) if isinstance(answer, str) else answer
        except json.JSONDecodeError:
            return answer

    def request_metrics(self, deployment: str, since: datetime, until: datetime) -> RequestMetrics:
        """Ask Azure Monitor by its REST API, with the credential of all calls: the SDK of Azure ML has no metrics."""
        if self._dry_run:
            return RequestMetrics(0, 0, None)
        endpoint = endpoint_id(self._config, subscription(self._config))

        def query(metric: str, series: str) -> Any:
            parameters = {
                "api-version": METRICS_API,
                "metricnames": metric,
                "$filter": series,
                "top": MOST_SERIES,
                "aggregation": AGGREGATION,
                "interval": INTERVAL,
                "timespan": f"{time_text(since)}/{time_text(until)}",
            }
            return self._management(f"{endpoint}/providers/Microsoft.Insights/metrics", parameters)

        return read_requests(query, deployment, since)

    def show_log(self, deployment: str, lines: int) -> None:
        options: dict[str, Any] = {"endpoint_name": self._names.online_endpoint, "lines": lines}
        shown = f"{deployment}: {lines} lines"
        if log := self._change("online_deployments.get_logs", deployment, shown=shown, **options):
            print(log, flush=True)

    def delete_online_endpoint(self) -> None:
        name = self._names.online_endpoint
        self._change("online_endpoints.begin_delete", name, shown=name)

    # The batch endpoint.

    def batch_default(self) -> str | None:
        if self._dry_run:
            return ASSUMED_BATCH.name
        for endpoint in self._list("batch_endpoints.list"):
            if endpoint.name == self._names.batch_endpoint:
                return getattr(endpoint.defaults, "deployment_name", None) or ""
        return None

    def create_batch_endpoint(self) -> None:
        endpoint = call_definition(self._project, "batch", "endpoint", self._config)
        self._change("batch_endpoints.begin_create_or_update", endpoint, shown=endpoint.name)

    def batch_deployments(self) -> list[Deployment]:
        if self._dry_run:
            return [ASSUMED_BATCH]
        listed = self._list("batch_deployments.list", endpoint_name=self._names.batch_endpoint)
        return [Deployment(found.name, model_version(found.model)) for found in listed]

    def create_batch_deployment(self, name: str, model: ModelVersion) -> None:
        reference = model_reference(self._config, model.version, model.registry)
        deployment = call_definition(self._project, "batch", "deployment", self._config, name, reference)
        shown = f"{name}: {self._config.model.name}:{model.version}"
        self._change("batch_deployments.begin_create_or_update", deployment, shown=shown)
        endpoint = None
        if not self._dry_run:
            endpoint = self._call("batch_endpoints.get", self._names.batch_endpoint)
            endpoint.defaults = {"deployment_name": name}
        shown = f"{self._names.batch_endpoint}: default {name}"
        self._change("batch_endpoints.begin_create_or_update", endpoint, shown=shown)

    def delete_batch_deployment(self, name: str) -> None:
        endpoint = {"endpoint_name": self._names.batch_endpoint}
        self._change("batch_deployments.begin_delete", name, shown=name, **endpoint)

    def delete_batch_endpoint(self) -> None:
        name = self._names.batch_endpoint
        self._change("batch_endpoints.begin_delete", name, shown=name)

    # Schedules.

    def schedules(self) -> dict[str, bool]:
        # By default the list leaves out the disabled ones; the enumeration of its options is not public.
        listed = self._list("schedules.list", list_view_type="All")
        return {schedule.name: bool(schedule.is_enabled) for schedule in listed}

    def create_monitor(self, name: str, deployment: str, task: str, drift: DriftRules) -> None:
        monitor = call_definition(self._project, "schedules", "monitor", self._config, name, deployment, task, drift)
        self._change("schedules.begin_create_or_update", monitor, shown=f"{name}: {deployment}")

    def monitor_runs(self, schedule: str) -> list[MonitorRun]:
        """Look through all jobs of the workspace: the SDK can list those of one schedule only no more.

        Of Azure's behavior no recording exists: that a monitor's jobs are named after its schedule is known of other
        schedules. A job that the SDK cannot read is None in its list.
        """
        runs = [
            MonitorRun(
                job.name,
                moment(job.creation_context.created_at),
                _status(job),
                (job.tags or {}).get(ERROR_TAG) or "",
                job.studio_url or "",
            )
            for job in self._list("jobs.list")
            if job and is_of_schedule(schedule, (job.name, job.display_name), job.properties or {})
        ]
        return sorted(runs, key=lambda run: run.time, reverse=True)

    def breaches(self, run: MonitorRun) -> list[Breach] | None:
        """Read the tags of the steps of a run, as Azure ML's monitoring components write them (azureml-assets)."""

        def children(parent: str) -> list[tuple[str, Mapping[str, str] | None]]:
            return [(job.name, job.tags) for job in self._list("jobs.list", parent_job_name=parent) if job]

        return find_breaches(run.name, children) or (None if run.problem else [])

    def disable_schedule(self, name: str) -> None:
        self._change("schedules.begin_disable", name, shown=name)

    def enable_schedule(self, name: str) -> None:
        self._change("schedules.begin_enable", name, shown=name)

    def delete_schedule(self, name: str) -> None:
        self._change("schedules.begin_delete", name, shown=name)

    # How a call is made.

    def _management(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Read from a service of Azure for which this project has no SDK."""
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy
        from azure.core.rest import HttpRequest

        policies = [RetryPolicy(), BearerTokenCredentialPolicy(credential(), f"{MANAGEMENT}/.default")]
        with azure_errors(self._config), PipelineClient(MANAGEMENT, policies=policies) as service:
            answer = service.send_request(HttpRequest("GET", f"{MANAGEMENT}{path}", params=dict(parameters)))
            answer.raise_for_status()
            return answer.json()

    def _list(self, operation: str, *, registry: str | None = None, **options: Any) -> list[Any]:
        """Read all of a list; it is empty in a dry run."""
        if self._dry_run:
            return []
        pages = self._call(operation, registry=registry, **options)
        with azure_errors(self._config):
            # The query is made when the first item is read.
            return list(pages)

    def _change(self, operation: str, *arguments: Any, shown: str, registry: str | None = None, **options: Any) -> Any:
        """Show a call and make it, unless this is a dry run; `shown` stands for its arguments."""
        print(f"MLClient.{operation}({shown})", flush=True)
        return None if self._dry_run else self._call(operation, *arguments, registry=registry, **options)

    def _call(
        self, operation: str, *arguments: Any, registry: str | None = None, group: str | None = None, **options: Any
    ) -> Any:
        """Make a call and wait for the end of what it starts."""
        place = (registry, group)
        with azure_errors(self._config):
            if place not in self._clients:
                # For a registry this queries Azure where it is.
                self._clients[place] = client(self._config, *place)
            result = operator.attrgetter(operation)(self._clients[place])(*arguments, **options)
            return result.result() if operation.partition(".")[2].startswith("begin_") else result

    def _shown(self, model: ModelVersion) -> str:
        place = f" in {model.registry}" if model.registry else ""
        return f"{self._config.model.name}:{model.version}{place}"


def _forget_last_deployment() -> None:
    """Let a request to an endpoint go where its traffic goes: azure-ai-ml sends all to the deployment of the last."""
    fields = getattr(sys.modules.get("azure.ai.ml.constants._endpoint"), "EndpointInvokeFields", None)
    getattr(fields, "DEFAULT_HEADER", {}).pop("azureml-model-deployment", None)


def _status(job: Any) -> str:
    """Return a job's status: an enum whose text is its own name, or that name."""
    return str(getattr(job.status, "value", job.status))


@contextlib.contextmanager
def azure_errors(config: EnvironmentConfig, explain: Remedy = remedy) -> Iterator[None]:
    """Turn an error of Azure or its SDK into one line, with the remedy where it is known."""
    from azure.core.exceptions import AzureError
    from marshmallow.exceptions import ValidationError

    try:
        yield
    except (AzureError, ValidationError) as error:
        hint = ": check its name and version in the definitions" if re.search(_NOT_FOUND, str(error)) else ""
        raise explain(str(error), config) or UserError(error_line(error).rstrip(".") + hint) from error
