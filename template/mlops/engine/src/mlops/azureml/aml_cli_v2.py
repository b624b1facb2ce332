"""The backend of the Azure CLI: every call is one `az ml` command, shown before it runs."""

# ruff: noqa: D102 - the methods are described once for all backends, in mlops.azureml.backend.Backend

import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

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
from mlops.definitions.values import CLIENT_ID, STORAGE_HOSTS, WORKER_COUNT, endpoint_identity, model_reference
from mlops.definitions.yaml_v2 import YamlDefinitions, sweep_document
from mlops.errors import CommandError
from mlops.hyperparameters import run_name
from mlops.pipeline import Component, DataAsset, Pipeline
from mlops.project import Project, load_yaml
from mlops.shell import Shell

RUNS = (
    "[].{name: name, display_name: display_name, status: status, tags: tags, properties: properties, "
    "created: creation_context.created_at, studio: services.Studio.endpoint}"
)
"""What is wanted of a list of jobs, whose definitions would be a hundred times as long."""

MOST_JOBS = "1000"
"""How many of the workspace's jobs are looked through; az lists 50 unless it is told otherwise."""

MISSING = r"(?i)not[ _]?(be )?found|could not find|does(n't| not) exist"
"""How `az` says that there is no such job, which is written nowhere."""

INSTALL = "see https://learn.microsoft.com/cli/azure/install-azure-cli, then run `az login`"


class AzureCli:
    """Azure ML by way of `az ml`. The methods are those of `mlops.azureml.backend.Backend`.

    In a dry run nothing is read either, because that needs a login: the answers then are those of a workspace in which
    version 1 of the model is registered and served, so that the commands of a normal case are shown.
    """

    monitors_data = False

    def __init__(self, project: Project, config: EnvironmentConfig, *, dry_run: bool) -> None:
        """Keep what the commands are made of; nothing is run."""
        self._shell = Shell(project.root, dry_run, {"az": INSTALL})
        self._project = project
        self._config = config
        self._names = config.names
        self._root = project.root
        self._definitions = project.definitions
        self._workspace = ("--resource-group", config.names.resource_group, "--workspace-name", config.names.workspace)
        self._generated = project.root / ".local" / "azure" / config.environment

    # Data, jobs and models.

    def data_versions(self, name: str) -> list[str]:
        # Listing the versions of an asset that does not exist is an error, hence the look before.
        assets = self._read("data", "list", *self._workspace, assumed=[])
        if name not in [asset["name"] for asset in assets]:
            return []
        return [asset["version"] for asset in self._read("data", "list", "--name", name, *self._workspace, assumed=[])]

    def create_data(self, asset: DataAsset, version: str) -> None:
        name = ("--name", asset.name, "--version", version)
        self._change("data", "create", "--file", self._file(asset.source), *name, *self._workspace)

    def container(self, datastore: str) -> Container | None:
        assumed = {"account_name": "ACCOUNT", "container_name": "CONTAINER"}
        found = self._read("datastore", "show", "--name", datastore, *self._workspace, assumed=assumed)
        name = found.get("container_name") or found.get("filesystem")
        return Container(found["account_name"], name) if name else None

    def list_files(self, container: Container, path: str) -> list[StoredFile]:
        where: tuple[str, ...] = ("--account-name", container.account, "--container-name", container.name)
        where += ("--prefix", path) if path else ()
        shown = ("--num-results", "*", "--query", "[].[name, properties.contentLength, properties.etag]")
        command = ("az", "storage", "blob", "list", *where, "--auth-mode", "login", *shown)
        return [StoredFile(*found) for found in self._json(*command, assumed=[], explain=storage_remedy)]

    def submit_pipeline(self, job: str, data: Mapping[str, str], overrides: str, *, rerun: bool) -> str:
        pipeline = YamlDefinitions(self._project).pipeline()
        return self._submit(pipeline, self._file(pipeline.source), job, data, overrides, rerun=rerun)

    def submit_tuning(self, job: str, data: Mapping[str, str], overrides: str, sweep: Sweep, *, rerun: bool) -> str:
        # `--set` can add no inputs to the component of the trials, so the search goes into a copy.
        document = sweep_document(self._project, sweep, self._config, self._generated)
        file = self._generate("tuning.yml", document)
        pipeline = YamlDefinitions(self._project).tuning()
        return self._submit(pipeline, file, job, data, overrides, rerun=rerun)

    def _submit(
        self, pipeline: Pipeline, file: str, job: str, data: Mapping[str, str], overrides: str, *, rerun: bool
    ) -> str:
        values = self._pipeline_values(pipeline, data) | ({"settings.force_rerun": "true"} if rerun else {})
        for node in pipeline.nodes.values() if overrides else ():
            if isinstance(node.component, Component) and "overrides" in node.component.inputs:
                values[f"jobs.{node.name}.inputs.overrides"] = overrides
        if overrides:
            values["display_name"] = f"{pipeline.document.get('display_name', 'training')} {run_name(overrides)}"
        self._change("job", "create", "--file", file, "--name", job, *self._workspace, values=values)
        return job

    def stream_job(self, job: str) -> None:
        self._shell.run("az", "ml", "job", "stream", "--name", job, *self._workspace)

    def job(self, name: str) -> Job:
        document = self._read("job", "show", "--name", name, *self._workspace, assumed={"status": "Completed"})
        studio = ((document.get("services") or {}).get("Studio") or {}).get("endpoint") or ""
        return Job(name, document["status"], studio)

    def find_job(self, name: str) -> Job | None:
        try:
            found = self.job(name)
        except CommandError as error:
            if re.search(MISSING, error.output):
                return None
            raise
        return None if self._shell.dry_run else found

    def download_output(self, job: str, output: str, folder: Path) -> None:
        options = ("--output-name", output, "--download-path", self._file(folder))
        self._change("job", "download", "--name", job, *options, *self._workspace)

    def model_versions(self, registry: str | None) -> list[ModelVersion]:
        name = self._config.model.name
        place = self._place(registry)
        models = self._read("model", "list", *place, assumed=[{"name": name}])
        if name not in [model["name"] for model in models]:
            return []
        known = assumed_model(self._config, registry)
        assumed = [{"version": known.version, "tags": known.tags}]
        versions = self._read("model", "list", "--name", name, *place, assumed=assumed)
        return [ModelVersion(str(model["version"]), model.get("tags") or {}, registry) for model in versions]

    def tag_model(self, model: ModelVersion, tags: Mapping[str, str]) -> None:
        place: tuple[str, ...] = self._workspace
        if model.registry:
            # The CLI demands a resource group here, although a registry's model is in none of ours.
            place = ("--resource-group", self._names.resource_group, "--registry-name", model.registry)
        name = ("--name", self._config.model.name, "--version", model.version)
        self._change("model", "update", *name, *place, values={f"tags.{key}": value for key, value in tags.items()})

    def registries(self) -> list[str]:
        return [registry["name"] for registry in self._read("registry", "list", assumed=[])]

    def create_registry(self, name: str, locations: list[str]) -> None:
        values = {"location": locations[0]}
        values |= {f"replication_locations[{index}].location": location for index, location in enumerate(locations)}
        options = ("--name", name, "--resource-group", self._config.registry_group)
        self._change("registry", "create", "--file", self._definition("registry.yml"), *options, values=values)

    def share_model(self, version: str, registry: str) -> None:
        name = self._config.model.name
        target = ("--registry-name", registry, "--share-with-name", name, "--share-with-version", version)
        self._change("model", "share", "--name", name, "--version", version, *target, *self._workspace)

    def create_model(self, model: ModelVersion, folder: Path) -> None:
        name = ("--name", self._config.model.name, "--version", model.version)
        files = ("--type", "mlflow_model", "--path", str(folder))
        self._change("model", "create", *name, *files, *self._place(model.registry))

    def download_model(self, model: ModelVersion, folder: Path) -> None:
        name = ("--name", self._config.model.name, "--version", model.version)
        self._change("model", "download", *name, "--download-path", str(folder), *self._place(model.registry))

    # The online endpoint.

    def online_traffic(self) -> dict[str, int] | None:
        endpoint = self._online_endpoint()
        if endpoint is None:
            return None
        return {name: int(share) for name, share in (endpoint.get("traffic") or {}).items()}

    def online_address(self) -> str:
        return (self._online_endpoint() or {}).get("scoring_uri") or ""

    def _online_endpoint(self) -> dict[str, Any] | None:
        assumed = [{"name": self._names.online_endpoint, "traffic": {ASSUMED_ONLINE.name: 100}}]
        listed = self._read("online-endpoint", "list", *self._workspace, assumed=assumed)
        return next((endpoint for endpoint in listed if endpoint["name"] == self._names.online_endpoint), None)

    def create_online_endpoint(self) -> None:
        values = {"public_network_access": "disabled"} if self._config.closed else {}
        if identity := endpoint_identity(self._config, lambda: self._subscription):
            values["identity.type"] = "user_assigned"
            values["identity.user_assigned_identities[0].resource_id"] = identity
        options = ("--file", self._definition("online/endpoint.yml"), "--name", self._names.online_endpoint)
        self._change("online-endpoint", "create", *options, *self._workspace, values=values)

    def online_deployments(self) -> list[Deployment]:
        endpoint = ("--endpoint-name", self._names.online_endpoint)
        assumed = [{"name": ASSUMED_ONLINE.name}]
        listed = self._read("online-deployment", "list", *endpoint, *self._workspace, assumed=assumed)
        deployments = []
        for name in [deployment["name"] for deployment in listed]:
            # The list leaves the tags out.
            show = ("online-deployment", "show", "--name", name, *endpoint, *self._workspace)
            document = self._read(*show, assumed={"model": ASSUMED_ONLINE.model_version})
            deployments.append(Deployment.of(name, document.get("model"), document.get("tags")))
        return deployments

    def create_online_deployment(self, name: str, model: ModelVersion, tags: Mapping[str, str]) -> None:
        online = self._config.compute.online
        values = {
            "model": model_reference(self._config, model.version, model.registry),
            "instance_type": online.vm_size,
            "instance_count": str(online.instance_count),
            f"environment_variables.{WORKER_COUNT}": str(online.workers),
            "request_settings.max_concurrent_requests_per_instance": str(online.workers),
            **{f"tags.{key}": value for key, value in tags.items()},
            **self._storage_values(),
            **self._collection_values(),
        }
        options = ("--file", self._definition("online/deployment.yml"), *self._online(name))
        self._change("online-deployment", "create", *options, *self._workspace, values=values)

    def _storage_values(self) -> dict[str, str]:
        """Return what a deployment needs to read files that a request names by their address, if its file says so."""
        variables = load_yaml(self._definitions / "online" / "deployment.yml").get("environment_variables") or {}
        if STORAGE_HOSTS not in variables or not self._config.storage_hosts:
            return {}
        more = [host.strip() for host in str(variables[STORAGE_HOSTS] or "").split(",") if host.strip()]
        hosts = dict.fromkeys((*self._config.storage_hosts, *more))
        found = {f"environment_variables.{STORAGE_HOSTS}": ",".join(hosts)}
        if self._names.endpoint_identity:
            # Not from `az ml online-endpoint show`, which leaves the client id out (azure-ai-ml 1.35).
            name = ("--name", self._names.endpoint_identity, "--resource-group", self._names.resource_group)
            identity = self._json("az", "identity", "show", *name, assumed={"clientId": "CLIENT-ID"})
            found[f"environment_variables.{CLIENT_ID}"] = identity["clientId"]
        return found

    def _collection_values(self) -> dict[str, str]:
        """Return the name and the place of the data asset of each collection."""
        values = {}
        for collection in self._collections():
            place = f"data_collector.collections.{collection}.data"
            values[f"{place}.name"] = self._config.collection_name(collection)
            values[f"{place}.path"] = self._config.collection_path(collection)
        return values

    def _collections(self) -> list[str]:
        """Return the collections of an online deployment that have a data asset in its file, and not by default."""
        document = load_yaml(self._definitions / "online" / "deployment.yml")
        collections = (document.get("data_collector") or {}).get("collections") or {}
        return [name for name, content in collections.items() if (content or {}).get("data")]

    def delete_online_deployment(self, name: str) -> None:
        self._change("online-deployment", "delete", *self._online(name), "--yes", *self._workspace)

    def set_traffic(self, traffic: Mapping[str, int]) -> None:
        shares = " ".join(f"{name}={share}" for name, share in traffic.items())
        options = ("--name", self._names.online_endpoint, "--traffic", shares)
        self._change("online-endpoint", "update", *options, *self._workspace)

    def invoke(self, request: Path, deployment: str | None) -> object:
        options: tuple[str, ...] = ("--name", self._names.online_endpoint, "--request-file", self._file(request))
        if deployment:
            options += ("--deployment-name", deployment)
        answer = self._read("online-endpoint", "invoke", *options, *self._workspace, assumed=None)
        # az prints the body of the answer as a JSON string that itself holds JSON.
        try:
            return json.loads(answer) if isinstance(answer, str) else answer
        except json.JSONDecodeError:
            return answer

    def request_metrics(self, deployment: str, since: datetime, until: datetime) -> RequestMetrics:
        endpoint = endpoint_id(self._config, self._subscription)

        def query(metric: str, series: str) -> Any:
            times = ("--start-time", time_text(since), "--end-time", time_text(until), "--interval", INTERVAL)
            wanted = ("--metrics", metric, "--filter", series, "--top", MOST_SERIES, "--aggregation", AGGREGATION)
            command = ("az", "monitor", "metrics", "list", "--resource", endpoint, *wanted, *times)
            return self._json(*command, assumed={"value": []})

        return read_requests(query, deployment, since)

    def show_log(self, deployment: str, lines: int) -> None:
        options = (*self._online(deployment), "--lines", str(lines))
        self._shell.run("az", "ml", "online-deployment", "get-logs", *options, *self._workspace)

    def delete_online_endpoint(self) -> None:
        self._change("online-endpoint", "delete", "--name", self._names.online_endpoint, "--yes", *self._workspace)

    # The batch endpoint.

    def batch_default(self) -> str | None:
        assumed = [{"name": self._names.batch_endpoint, "deployment_name": ASSUMED_BATCH.name}]
        for endpoint in self._read("batch-endpoint", "list", *self._workspace, assumed=assumed):
            if endpoint["name"] == self._names.batch_endpoint:
                return endpoint.get("deployment_name") or ""
        return None

    def create_batch_endpoint(self) -> None:
        options = ("--file", self._definition("batch/endpoint.yml"), "--name", self._names.batch_endpoint)
        self._change("batch-endpoint", "create", *options, *self._workspace)

    def batch_deployments(self) -> list[Deployment]:
        assumed = [{"name": ASSUMED_BATCH.name, "model": ASSUMED_BATCH.model_version}]
        endpoint = ("--endpoint-name", self._names.batch_endpoint)
        listed = self._read("batch-deployment", "list", *endpoint, *self._workspace, assumed=assumed)
        return [Deployment(document["name"], model_version(document.get("model"))) for document in listed]

    def create_batch_deployment(self, name: str, model: ModelVersion) -> None:
        batch = self._config.compute.batch
        values = {
            "model": model_reference(self._config, model.version, model.registry),
            "compute": f"azureml:{self._config.compute.batch_cluster}",
            "resources.instance_count": str(batch.instance_count),
            "settings.mini_batch_size": str(batch.mini_batch_size),
            "settings.max_concurrency_per_instance": str(batch.max_concurrency_per_instance),
            "settings.environment_variables.MLOPS_BAD_FILES": batch.bad_files,
        }
        options = ("--file", self._definition("batch/deployment.yml"), *self._batch(name), "--set-default")
        self._change("batch-deployment", "create", *options, *self._workspace, values=values)

    def delete_batch_deployment(self, name: str) -> None:
        self._change("batch-deployment", "delete", *self._batch(name), "--yes", *self._workspace)

    def delete_batch_endpoint(self) -> None:
        self._change("batch-endpoint", "delete", "--name", self._names.batch_endpoint, "--yes", *self._workspace)

    # Schedules.

    def schedules(self) -> dict[str, bool]:
        listed = self._read("schedule", "list", "--include-disabled", *self._workspace, assumed=[])
        return {schedule["name"]: bool(schedule.get("is_enabled", True)) for schedule in listed}

    def create_monitor(self, name: str, deployment: str, task: str, drift: DriftRules) -> None:
        # `--set` can neither replace text by a list of addresses nor take metrics away, so the values go into a copy.
        template = load_yaml(self._definitions / "monitor.yml")
        document = monitor_definition(template, self._config, deployment, self._collections(), task, drift)
        file = self._generate("monitor.yml", document)
        self._change("schedule", "create", "--file", file, "--name", name, *self._workspace)

    def monitor_runs(self, schedule: str) -> list[MonitorRun]:
        """Look through the newest jobs of the workspace, because `az` can list those of one schedule only no more.

        Of Azure's behavior no recording exists: that a monitor's jobs are named after its schedule is known of other
        schedules, that the list begins with the newest from its use.
        """
        assumed = [{"name": f"{schedule}-RUN", "status": "Completed", "created": "2026-01-01T00:00:00Z"}]
        listed = self._read(
            "job", "list", "--max-results", MOST_JOBS, "--query", RUNS, *self._workspace, assumed=assumed
        )
        runs = [
            MonitorRun(
                job["name"],
                moment(job["created"]),
                job["status"],
                (job.get("tags") or {}).get(ERROR_TAG) or "",
                job.get("studio") or "",
            )
            for job in listed
            if is_of_schedule(schedule, (job["name"], job.get("display_name")), job.get("properties") or {})
        ]
        return sorted(runs, key=lambda run: run.time, reverse=True)

    def breaches(self, run: MonitorRun) -> list[Breach] | None:
        """Read the tags of the steps of a run, as Azure ML's monitoring components write them (azureml-assets)."""

        def children(parent: str) -> list[tuple[str, Mapping[str, str] | None]]:
            options = ("--parent-job-name", parent, "--max-results", MOST_JOBS, "--query", RUNS)
            listed = self._read("job", "list", *options, *self._workspace, assumed=[])
            return [(job["name"], job.get("tags")) for job in listed]

        return find_breaches(run.name, children) or (None if run.problem else [])

    def disable_schedule(self, name: str) -> None:
        self._change("schedule", "disable", "--name", name, *self._workspace)

    def enable_schedule(self, name: str) -> None:
        self._change("schedule", "enable", "--name", name, *self._workspace)

    def delete_schedule(self, name: str) -> None:
        self._change("schedule", "delete", "--name", name, *self._workspace)

    # How a command is made and run.

    def _read(self, *words: str, assumed: Any) -> Any:
        return self._json("az", "ml", *words, assumed=assumed)

    def _json(self, *command: str, assumed: Any, explain: Remedy = remedy) -> Any:
        try:
            output = self._shell.read(*command, "--output", "json")
        except CommandError as error:
            raise explain(error.output, self._config) or error from error
        if self._shell.dry_run:
            return assumed
        return json.loads(output) if output.strip() else None

    @cached_property
    def _subscription(self) -> str:
        return str(self._json("az", "account", "show", assumed={"id": "SUBSCRIPTION-ID"})["id"])

    def _change(self, *words: str, values: Mapping[str, str] | None = None) -> None:
        sets = ("--set", *(f"{key}={value}" for key, value in values.items())) if values else ()
        try:
            self._shell.run("az", "ml", *words, *sets, "--output", "none")
        except CommandError as error:
            raise remedy(error.output, self._config) or error from error

    def _pipeline_values(self, pipeline: Pipeline, data: Mapping[str, str]) -> dict[str, str]:
        training = self._config.compute.training
        spread: dict[str, str] = {}
        for name in pipeline.distributed:
            spread[f"jobs.{name}.compute"] = f"azureml:{self._config.compute.training_cluster}"
            spread[f"jobs.{name}.resources.instance_count"] = str(training.nodes)
            spread[f"jobs.{name}.distribution.process_count_per_instance"] = str(training.processes_per_node)
        return {
            **spread,
            "experiment_name": self._config.model.experiment,
            "settings.default_compute": f"azureml:{self._config.compute.cluster.name}",
            **({"inputs.model_name": self._config.model.name} if "model_name" in pipeline.inputs else {}),
            **{f"inputs.{name}.path": f"azureml:{asset}" for name, asset in data.items()},
        }

    def _place(self, registry: str | None) -> tuple[str, ...]:
        return ("--registry-name", registry) if registry else self._workspace

    def _online(self, deployment: str) -> tuple[str, ...]:
        return ("--name", deployment, "--endpoint-name", self._names.online_endpoint)

    def _batch(self, deployment: str) -> tuple[str, ...]:
        return ("--name", deployment, "--endpoint-name", self._names.batch_endpoint)

    def _generate(self, name: str, document: Mapping[str, Any]) -> str:
        """Write a definition with values in it that the project's own file lacks; return its path."""
        file = self._generated / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return self._file(file)

    def _definition(self, name: str) -> str:
        return self._file(self._definitions / name)

    def _file(self, path: Path) -> str:
        # Short, and the same on every machine: commands run in the project's folder.
        return path.relative_to(self._root).as_posix()


def monitor_definition(
    document: Mapping[str, Any],
    config: EnvironmentConfig,
    deployment: str,
    collections: Collection[str],
    task: str,
    drift: DriftRules,
) -> dict[str, Any]:
    """Return a copy of the monitor's YAML document with the values of a deployment and its environment in it.

    `collections` are those that all deployments have together, the others are of one deployment alone. `task` is
    "regression" or "classification"; the rules replace the thresholds of the drift signals, and the features
    where the file says `all_features`.
    """
    endpoint = config.names.online_endpoint
    assets = {
        name: config.collection_name(name) if name in collections else f"{endpoint}-{deployment}-{name}"
        for name in ("model_inputs", "model_outputs")
    }
    signals = {}
    for name, signal in document["create_monitor"]["monitoring_signals"].items():
        days = {"lookback_window_size": f"P{config.monitor.lookback_days}D"}
        reference_days = {**days, "lookback_window_offset": f"P{config.monitor.lookback_days}D"}
        signals[name] = {
            **signal,
            "production_data": _collected_data(signal["production_data"], assets, days),
            "reference_data": _collected_data(signal["reference_data"], assets, reference_days),
        }
        if signal["type"] in ("data_drift", "prediction_drift"):
            kinds = signal["metric_thresholds"]
            signals[name]["metric_thresholds"] = {kind: dict(drift.thresholds.get(kind, kinds[kind])) for kind in kinds}
        if signal["type"] == "data_drift" and signal.get("features") == "all_features":
            signals[name]["features"] = drift.features
    monitor = {
        **document["create_monitor"],
        "compute": {**document["create_monitor"]["compute"], "instance_type": config.monitor.vm},
        "monitoring_target": {
            **document["create_monitor"]["monitoring_target"],
            "ml_task": task,
            "endpoint_deployment_id": f"azureml:{endpoint}:{deployment}",
        },
        "monitoring_signals": signals,
    }
    if config.monitor.alert_emails:
        monitor["alert_notification"] = {"emails": list(config.monitor.alert_emails)}
    trigger = {
        **document["trigger"],
        "expression": config.schedule.monitor_cron,
        "time_zone": config.schedule.time_zone,
    }
    return {**document, "trigger": trigger, "create_monitor": monitor}


def _collected_data(data: Mapping[str, Any], assets: Mapping[str, str], days: Mapping[str, str]) -> dict[str, Any]:
    """Point a signal's data at what is collected of its context, unless it names an asset of the project."""
    if not re.search(r"-model_(inputs|outputs):", data["input_data"]["path"]):
        return dict(data)
    path = f"azureml:{assets[data['data_context']]}:1"
    return {
        **data,
        "input_data": {**data["input_data"], "path": path},
        "data_window": {**data["data_window"], **days},
    }
