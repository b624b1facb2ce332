"""The thin clients of the mlops versions on the Azure of a simulated year: what they send is done by `azure_ml.Memory`.

Of the Azure CLI each command line is checked against the table of commands, as in `fake_az`, and then carried out. The
Python SDKs are in `year_sdk_v2` and `year_sdk_v1`.
"""

import importlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_az
import pytest
from azure_ml import CALLS, Azure, Memory, Story, answers, refuse
from clouds import MODEL, MONITOR
from monitor_fakes import monitor_runs

from mlops.azureml.aml_cli_v2 import AzureCli
from mlops.azureml.backend import Backend, Deployment, ModelVersion
from mlops.config import DriftRules, EnvironmentConfig, Project, load_yaml
from mlops.errors import UserError


class Clients:
    """Makes the backend of each session: `client` is "memory" for one without a client, or the mlops version."""

    def __init__(self, client: str, project: Project, azure: Azure, story: Story, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the Azure CLI."""
        self._client, self.project, self._azure, self._story = client, project, azure, story
        self._now = threading.local()  # two verbs at once run in threads of their own
        if client == "aml-cli-v2":
            patch.setattr("mlops.shell.shutil", SimpleNamespace(which=lambda program: program))
            patch.setattr("mlops.shell.execute", self._execute)
        elif client != "memory":
            # Imported here because it needs that SDK.
            sdk = importlib.import_module(client.replace("python", "year").replace("-", "_"))
            self._backend = sdk.replace_client(lambda: self._now.memory, patch)

    def connect(self, config: EnvironmentConfig) -> Backend:
        """Return the backend of an environment."""
        memory = Memory(self._azure, self._story, config)
        if self._client == "memory":
            return memory
        self._now.memory = memory
        if self._client != "aml-cli-v2":
            return self._backend(self.project, config, dry_run=False)
        self._now.az = Az(memory, config)
        return AzureCli(self.project, config, dry_run=False)

    def _execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        az: Az = self._now.az
        return az.execute(command, folder)


class Az:
    """An Azure CLI, with one method for each command, named after it; returns what `--output json` prints."""

    def __init__(self, memory: Memory, config: EnvironmentConfig) -> None:
        """Keep what carries the commands out."""
        self._memory, self._names = memory, config.names
        self._given: dict[str, list[str]] = {}
        self._folder = Path()

    def execute(self, line: list[str], folder: Path) -> tuple[int, str, str]:
        """Carry a command line out; return exit code, output and error stream."""
        try:
            wrong = fake_az.mistakes(line)
            refuse(wrong, wrong[0] if wrong else "")
            name = next(name for name in fake_az.TABLE if line[: len(name.split())] == name.split())
            self._given, self._folder = fake_az.options(line[len(name.split()) :]), folder
            self._check_place()
            words = [word for word in name.split()[1:] if word != "ml"]
            result = getattr(self, "_".join(words).replace("-", "_"))()
        except UserError as refusal:
            return 1, "", f"ERROR: {refusal}\n"
        return 0, f"{json.dumps(result)}\n" if line[-2:] == ["--output", "json"] else "", ""

    def _check_place(self) -> None:
        """Refuse a command that is about another place than the environment and its registry."""
        places = {
            "--resource-group": self._names.resource_group,
            "--workspace-name": self._names.workspace,
            "--registry-name": self._names.registry,
        }
        for option, place in places.items():
            given = self._option(option)
            refuse(given and given != place, f"(ResourceNotFound) {given} is not {place}")
        refuse(self._given.get(""), f"unrecognized arguments: {self._given.get('')}")

    def _option(self, key: str) -> str:
        return self._given.get(key, [""])[0]

    @property
    def _name(self) -> str:
        return self._option("--name")

    @property
    def _set(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self._given.get("--set", []))

    @property
    def _registry(self) -> str | None:
        return self._option("--registry-name") or None

    def _path(self, option: str) -> Path:
        return self._folder / self._option(option)

    # Data, jobs and models.

    def account_show(self) -> object:
        return {"id": fake_az.SUBSCRIPTION}

    def data_list(self) -> object:
        if not self._name:
            with self._memory.connection.read("list data"):
                return [{"name": name} for name in self._memory.here.data]
        versions = self._memory.data_versions(self._name)
        refuse(not versions, f"(UserError) Could not find asset with name {self._name}")
        return [{"name": self._name, "version": version} for version in versions]

    def data_create(self) -> None:
        self._memory.create_version(self._name, self._option("--version"))

    def job_create(self) -> None:
        data = {
            key.removeprefix("inputs.").removesuffix(".path"): value.removeprefix("azureml:")
            for key, value in self._set.items()
            if key.startswith("inputs.") and key.endswith(".path")
        }
        self._memory.submit_pipeline(self._name, data, "", rerun=False)

    def job_stream(self) -> None:
        self._memory.stream_job(self._name)

    def job_show(self) -> object:
        found = self._memory.job(self._name)
        return {"name": found.name, "status": found.status, "services": {}}

    def job_download(self) -> None:
        output = self._option("--output-name")
        self._memory.download_output(self._name, output, self._path("--download-path") / "named-outputs" / output)

    def job_list(self) -> object:
        with self._memory.connection.read("list jobs"):
            runs = runs_of_monitor(self._memory)
            jobs = {
                name: {"status": job.status, "created": "2025-12-01"} for name, job in self._memory.here.jobs.items()
            }
        parent = self._option("--parent-job-name")
        names = runs[parent]["children"] if parent else [*(name for name in runs if not runs[name]["parent"]), *jobs]
        # 50 unless told otherwise.
        return [{**{**runs, **jobs}[name], "name": name} for name in names][: int(self._option("--max-results") or 50)]

    def model_list(self) -> object:
        found = self._memory.model_versions(self._registry)
        if not self._name:
            return [{"name": MODEL}] if found else []
        refuse(not found, f"(UserError) Could not find asset with name {self._name}")
        return [{"name": self._name, "version": model.version, "tags": model.tags} for model in found]

    def _model(self, version: str) -> ModelVersion:
        return ModelVersion(version, registry=self._registry)

    def model_update(self) -> None:
        tags = {key.removeprefix("tags."): value for key, value in self._set.items()}
        self._memory.tag_model(self._model(self._option("--version")), tags)

    def model_share(self) -> None:
        self._memory.share_model(self._option("--version"), self._option("--registry-name"))

    def model_download(self) -> None:
        target = Path(self._option("--download-path")) / self._name / "model"
        target.mkdir(parents=True)
        self._memory.download_model(self._model(self._option("--version")), target)

    def registry_list(self) -> object:
        return [{"name": name} for name in self._memory.registries()]

    def registry_create(self) -> None:
        self._memory.create_registry(self._name, [])

    # The online endpoint.

    def online_endpoint_list(self) -> object:
        traffic = self._memory.online_traffic()
        if traffic is None:
            return []
        return [{"name": self._names.online_endpoint, "traffic": traffic, "scoring_uri": "https://online"}]

    def online_endpoint_create(self) -> None:
        self._memory.create_online_endpoint()

    def online_endpoint_delete(self) -> None:
        self._memory.delete_online_endpoint()

    def online_endpoint_update(self) -> None:
        pairs = [pair.split("=") for pair in self._option("--traffic").split(" ")]
        self._memory.set_traffic({name: int(share) for name, share in pairs})

    def online_endpoint_invoke(self) -> object:
        return json.dumps(self._memory.invoke(self._path("--request-file"), self._option("--deployment-name") or None))

    def online_deployment_list(self) -> object:
        # As in Azure, without the tags.
        return [{"name": found.name, "model": found.model_version} for found in self._memory.online_deployments()]

    def online_deployment_show(self) -> object:
        found = next((each for each in self._memory.online_deployments() if each.name == self._name), None)
        if found is None:
            raise UserError(f"(ResourceNotFound) {self._name} does not exist")
        tags = {"generation": str(found.generation), "fingerprint": found.fingerprint}
        return {"name": found.name, "model": f"azureml:{MODEL}:{found.model_version}", "tags": tags}

    def online_deployment_create(self) -> None:
        tags = {key.removeprefix("tags."): value for key, value in self._set.items() if key.startswith("tags.")}
        self._memory.create_online_deployment(self._name, self._model_behind(), tags)

    def _model_behind(self) -> ModelVersion:
        """Return the model that a deployment names: of a registry, or of the workspace."""
        reference = self._set["model"]
        version = Deployment.of("", reference, {}).model_version
        return ModelVersion(version, registry=self._names.registry if "/registries/" in reference else None)

    def online_deployment_delete(self) -> None:
        self._memory.delete_online_deployment(self._name)

    def online_deployment_get_logs(self) -> None:
        self._memory.show_log(self._name, int(self._option("--lines")))

    def monitor_metrics_list(self) -> object:
        with self._memory.connection.read("read metrics", late=False):
            times = (self._option("--start-time"), self._option("--end-time"), self._option("--top"))
            return fake_az.metric(callers(self._memory), self._option("--metrics"), self._option("--filter"), *times)

    # The batch endpoint.

    def batch_endpoint_list(self) -> object:
        default = self._memory.batch_default()
        return [] if default is None else [{"name": self._names.batch_endpoint, "deployment_name": default}]

    def batch_endpoint_create(self) -> None:
        self._memory.create_batch_endpoint()

    def batch_endpoint_delete(self) -> None:
        self._memory.delete_batch_endpoint()

    def batch_deployment_list(self) -> object:
        return [{"name": found.name, "model": found.model_version} for found in self._memory.batch_deployments()]

    def batch_deployment_create(self) -> None:
        refuse("--set-default" not in self._given, "a year knows only deployments that become the default")
        self._memory.create_batch_deployment(self._name, self._model_behind())

    def batch_deployment_delete(self) -> None:
        self._memory.delete_batch_deployment(self._name)

    # Schedules.

    def schedule_list(self) -> object:
        return [{"name": name, "is_enabled": enabled} for name, enabled in self._memory.schedules().items()]

    def schedule_create(self) -> None:
        target = load_yaml(self._path("--file"))["create_monitor"]["monitoring_target"]["endpoint_deployment_id"]
        self._memory.create_monitor(self._name, target.rsplit(":", 1)[-1], "regression", DriftRules({}, []))

    def schedule_enable(self) -> None:
        self._memory.enable_schedule(self._name)

    def schedule_disable(self) -> None:
        self._memory.disable_schedule(self._name)

    def schedule_delete(self) -> None:
        self._memory.delete_schedule(self._name)


def runs_of_monitor(memory: Memory) -> dict[str, Any]:
    """Return the runs of the monitor with all that is below them, the newest first."""
    runs: dict[str, Any] = {}
    for run in sorted(memory.here.runs, key=lambda run: run.time, reverse=True):
        signals = ("data_drift",) if run.drift and run.tagged else ()
        runs |= monitor_runs(MONITOR, run.name, run.time.isoformat(), signals, problem=run.problem)
    return runs


def callers(memory: Memory) -> dict[str, Any]:
    """Return how many requests the deployments answer, as `fake_az.metric` takes it."""
    endpoint = memory.here.online
    if endpoint is None:
        raise UserError("(NotFound)")
    found = {}
    for name, share in endpoint.traffic.items():
        calls = CALLS * share
        failed, refused, latency = answers(calls, endpoint.deployments[name].files if share else "")
        codes = {"200": calls - failed - refused, "500": failed or None, "424 400": refused or None}
        found |= {name: {"codes": codes, "latency": latency, "late": 3}} if share else {}
    return found
