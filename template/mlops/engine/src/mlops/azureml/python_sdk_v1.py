"""The backend of SDK v1 (azureml-core and azureml-pipeline), for teams that still run it.

SDK v1 has pipelines, File datasets and schedules. Managed online endpoints, models and registries are out of its reach:
for these a project has the definitions and the calls of the Python SDK v2. Each change is one call, shown as one line.
"""

# ruff: noqa: D102 - the methods are described once for all backends, in mlops.azureml.backend.Backend

import contextlib
import hashlib
import json
import logging
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.azureml.backend import ASSUMED_BATCH, Deployment, Job, ModelVersion, model_files
from mlops.azureml.monitor_runs import Breach, MonitorRun, moment
from mlops.azureml.python_sdk_v2 import PythonSdk, credential, subscription
from mlops.azureml.remedies import remedy
from mlops.config import DriftRules, EnvironmentConfig, Sweep
from mlops.definitions.base import quiet, require
from mlops.definitions.python_sdk_v1 import (
    DATASTORES,
    PythonSdkV1Definitions,
    build,
    data_assets,
    error_line,
    recurrence,
    snapshot,
)
from mlops.errors import UserError
from mlops.pipeline import DataAsset
from mlops.project import Project

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient
    from azureml.core import Run, Workspace
    from azureml.data import FileDataset
    from azureml.data.azure_storage_datastore import AzureBlobDatastore
    from azureml.pipeline.core import PipelineEndpoint, PublishedPipeline, Schedule
    from azureml.pipeline.core.run import PipelineRun
    from azureml.pipeline.steps import PythonScriptStep

    Steps = list[PythonScriptStep]

CONTENT = "content"
"""The tag on each version of a dataset that has the hash of its content."""

REMOVED = "removed-"
"""How the names of schedules begin that SDK v1 cannot delete and that stand for none any more."""

COMPARED = 10
"""How many of the newest versions of a dataset a new content is compared with."""

LOOK = 10
"""Seconds between two looks at a run."""

STARTED = "started-jobs"
"""Where, in the default datastore, a file for each name of a training says which run was started under it."""

LOOKS = 30
"""How often is looked whether a training that is being started by another has its run."""

_CLOSED = {"Finished": "Completed", "Failed": "Failed", "Canceled": "Canceled"}


class PythonSdkV1(PythonSdk):
    """Azure ML by way of SDK v1 where that has what is needed, and by `MLClient` for the rest.

    A dry run queries nothing in Azure, as in PythonSdk.
    """

    monitors_data = True

    def __init__(self, project: Project, config: EnvironmentConfig, *, dry_run: bool) -> None:
        """Keep what the calls are made of; nothing is called.

        Raises:
            UserError: SDK v1, or azure-ai-ml, is not installed.
        """
        require("azureml.pipeline.steps", "azureml-pipeline")
        super().__init__(project, config, dry_run=dry_run)

    # Data.

    def data_versions(self, name: str) -> list[str]:
        """Return those of the newest versions: SDK v1 has no list of them, and makes two queries for each one."""
        return [] if self._dry_run else [found.tags.get(CONTENT, "") for found in self._datasets(name)]

    def create_data(self, asset: DataAsset, version: str) -> None:
        self._show("Dataset.register", f"{asset.name}, {CONTENT}={version}")
        if self._dry_run:
            return
        from azureml.core import Dataset

        with sdk_errors(self._config):
            source = self._upload(asset.path, f"{asset.name}/{version}") if asset.path else self._stored(asset)
            files = Dataset.File.from_files(source, validate=False)
            files.register(self._workspace, asset.name, tags={CONTENT: version}, create_new_version=True)

    def _upload(self, folder: Path, place: str) -> "tuple[AzureBlobDatastore, str]":
        """Put the files of a folder into the default datastore; return where they are."""
        target = container(self._store)
        for file in sorted(item for item in folder.rglob("*") if item.is_file()):
            with file.open("rb") as content:
                target.upload_blob(f"{place}/{file.relative_to(folder).as_posix()}", content, overwrite=True)
        return self._store, f"{place}/**"

    def _stored(self, asset: DataAsset) -> "tuple[AzureBlobDatastore, str]":
        """Return where the files of a dataset are that no folder of the project has."""
        from azureml.core import Datastore

        store, _, path = asset.address.removeprefix(DATASTORES).partition("/paths/")
        return Datastore.get(self._workspace, store), f"{path.rstrip('/')}/**"

    def _datasets(self, name: str) -> "Iterator[FileDataset]":
        """Give the newest versions of a dataset, the newest first."""
        from azureml.core import Dataset

        with sdk_errors(self._config):
            # Not `in`, which mistakes each error for "not there", and not `list()`, which finds nothing.
            if any(known == name for known in Dataset.get_all(self._workspace)):
                newest = Dataset.get_by_name(self._workspace, name)
                yield newest
                for number in range(newest.version - 1, max(0, newest.version - COMPARED), -1):
                    yield Dataset.get_by_name(self._workspace, name, number)

    def _dataset(self, asset: str) -> "FileDataset":
        name, _, version = asset.partition(":")
        for found in self._datasets(name):
            if found.tags.get(CONTENT) == version:
                return found
        command = f"uv run mlops train --environment {self._config.environment}"
        raise UserError(f"there is no dataset {asset} in {self._names.workspace}: run `{command}`")

    # Jobs.

    def submit_pipeline(self, job: str, data: Mapping[str, str], overrides: str, *, rerun: bool) -> str:
        experiment = self._config.model.experiment
        endpoint, values = self._publish_training(data, {"overrides": overrides} if overrides else {}, rerun)
        shown = ", ".join([experiment, *data.values(), *([f"overrides={overrides}"] if overrides else [])])
        self._show("PipelineEndpoint.submit", shown)
        if endpoint is None:
            return job
        # SDK v1 lets Azure name a run. So that there is one run for a name, also when two are started at once, a file
        # of the name is created first, which the storage does for one of them only.
        self._claim(job)
        with sdk_errors(self._config):
            try:
                run = str(endpoint.submit(experiment, pipeline_parameters=values).id)
            except BaseException as error:
                # What Azure refuses has not started; after another error that is not known, and the name stays taken.
                if 400 <= getattr(getattr(error, "response", None), "status_code", 0) < 500:
                    container(self._store).delete_blob(f"{STARTED}/{job}")
                raise
            container(self._store).upload_blob(f"{STARTED}/{job}", run, overwrite=True)
            return run

    def _claim(self, job: str) -> None:
        from azure.core.exceptions import ResourceExistsError

        with sdk_errors(self._config):
            try:
                container(self._store).upload_blob(f"{STARTED}/{job}", b"", overwrite=False)
            except ResourceExistsError as error:
                raise UserError(f"a job named {job} already exists") from error

    def submit_tuning(self, job: str, data: Mapping[str, str], overrides: str, sweep: Sweep, *, rerun: bool) -> str:
        experiment = self._config.model.experiment
        shown = ", ".join([experiment, *data.values(), *([f"overrides={overrides}"] if overrides else [])])
        self._show("Experiment.submit", shown)
        if self._dry_run:
            return job
        from azureml.core import Experiment
        from azureml.pipeline.core import Pipeline as Graph

        # Not published, as the training is: the search that it is made for differs from run to run.
        steps, values = self._steps("tuning", data, {"overrides": overrides} if overrides else {}, rerun, sweep)
        with sdk_errors(self._config), quiet():
            run = Experiment(self._workspace, experiment).submit(
                Graph(self._workspace, steps), pipeline_parameters=values, continue_on_step_failure=False
            )
            return str(run.id)

    def stream_job(self, job: str) -> None:
        self._show("PipelineRun.get_status", job)
        if self._dry_run:
            return
        # Not `wait_for_completion`, which prints addresses of logs that open without a login.
        shown: dict[str, str] = {}
        with sdk_errors(self._config):
            run = self._run(job)
            while run.get_status() not in _CLOSED:
                for step in run.get_steps():
                    status = step.get_status()
                    if shown.get(step.id) != status:
                        shown[step.id] = status
                        print(f"{step.name}: {status}", flush=True)
                time.sleep(LOOK)

    def job(self, name: str) -> Job:
        if self._dry_run:
            return Job(name, "Completed")
        with sdk_errors(self._config):
            run = self._run(name)
            status = run.get_status()
            return Job(name, _CLOSED.get(status, status), run.get_portal_url())

    def find_job(self, name: str) -> Job | None:
        """Look for the file of the name, and wait for its content when another is starting the run at this moment.

        Raises:
            UserError: The file names no run, because its start broke off.
        """
        from azure.core.exceptions import ResourceNotFoundError

        if self._dry_run:
            return None
        for look in range(LOOKS):
            with sdk_errors(self._config):
                try:
                    run = container(self._store).download_blob(f"{STARTED}/{name}").readall().decode()
                except ResourceNotFoundError as error:
                    if "ContainerNotFound" in str(error):
                        raise
                    return None
            if run:
                return self.job(run)
            if look == 0:
                print(f"{name} is being started by another.", flush=True)
            time.sleep(LOOK)
        raise UserError(
            f"the start of {name} broke off before its run was known: look in the studio whether one runs, and if none "
            f"does, name another job, or delete the file {STARTED}/{name} from the default datastore"
        )

    def download_output(self, job: str, output: str, folder: Path) -> None:
        self._show("StepRun.download", f"{job}: {output}")
        if self._dry_run:
            return
        definitions = PythonSdkV1Definitions(self._project)
        # The second pipeline is built for the outputs of a search alone.
        writers = (node for build in (definitions.pipeline, definitions.tuning) for node in build().nodes.values())
        writer = next((node.name for node in writers if output in node.outputs), None)
        if writer is None:
            raise UserError(f"pipelines.py: no step of a pipeline writes an output {output!r}")
        with sdk_errors(self._config):
            for step in self._run(job).find_step_run(writer):
                self._download(f"dataset/{step.id}/{output}/", folder / output)
                # The step of a search has a run for each trial, and what a trial writes lies under the name of that.
                for trial in [] if (folder / output).exists() else _descendants(step):
                    self._download(f"dataset/{trial.id}/{output}/", folder / output / trial.id)

    def _download(self, place: str, folder: Path) -> None:
        source = container(self._store)
        for name in source.list_blob_names(name_starts_with=place):
            target = folder / name.removeprefix(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.download_blob(name).readall())

    def _run(self, name: str) -> "PipelineRun":
        from azureml.pipeline.core import PipelineRun

        return PipelineRun.get(self._workspace, name)

    # Pipelines.

    def _publish_training(
        self, data: Mapping[str, str], values: Mapping[str, str], rerun: bool
    ) -> "tuple[PipelineEndpoint | None, dict[str, Any]]":
        """Publish the training pipeline as it is now; return its endpoint, None in a dry run, and its parameters."""
        name = self._config.model.experiment
        if self._dry_run:
            return self._publish(name, name, []), {}
        steps, given = self._steps("training", data, values, rerun)
        return self._publish(name, name, steps), given

    def _steps(
        self, function: str, data: Mapping[str, str], values: Mapping[str, str], rerun: bool, *arguments: object
    ) -> "tuple[Steps, dict[str, Any]]":
        """Build the steps of a pipeline; return them and its parameters."""
        datasets = {parameter: self._dataset(asset) for parameter, asset in data.items()}
        by_name = {dataset.name: dataset for dataset in datasets.values()}
        steps = build(self._project, function, self._config, by_name, *arguments)
        for step in steps if rerun else ():
            # A published pipeline has no other switch for it.
            step._allow_reuse = False
        known = {parameter for step in steps for parameter in step._params}
        if unknown := values.keys() - known:
            raise UserError(f"pipelines.py: the {function} pipeline has no parameter {', '.join(unknown)}: add it")
        return steps, {**{key: value for key, value in datasets.items() if key in known}, **values}

    def _publish(self, endpoint: str, name: str, steps: "Steps") -> "PipelineEndpoint | None":
        """Make a pipeline the default of an endpoint, which is created when it is missing; None in a dry run.

        What is published already is not published again.
        """
        if self._dry_run:
            self._show("PipelineEndpoint.publish", f"{endpoint}: {name}")
            return None
        from azureml.pipeline.core import Pipeline as Graph
        from azureml.pipeline.core import PipelineEndpoint

        content = fingerprint(steps)
        with sdk_errors(self._config):
            found = self._endpoint(endpoint)
            former = [item for item in found.list_pipelines() if item.name == name] if found else []
            for pipeline in former:
                if found and pipeline.version == content:
                    if found.get_pipeline().id != pipeline.id:
                        self._show("PipelineEndpoint.set_default", f"{endpoint}: {name}")
                        found.set_default(pipeline)
                    return found
            self._show("PipelineEndpoint.publish", f"{endpoint}: {name}")
            with quiet():
                # A failed step must not let the rest go on: nothing may be registered after a failed evaluation.
                new = Graph(self._workspace, steps).publish(name, name, content, continue_on_step_failure=False)
            try:
                if found:
                    found.add_default(new)
                else:
                    found = PipelineEndpoint.publish(self._workspace, endpoint, endpoint, new)
            except BaseException:
                new.disable()
                raise
            for pipeline in former:
                pipeline.disable()
            return found

    def _endpoint(self, name: str) -> "PipelineEndpoint | None":
        from azureml.pipeline.core import PipelineEndpoint
        from msrest.exceptions import HttpOperationError

        try:
            return PipelineEndpoint.get(self._workspace, name=name)
        except HttpOperationError as error:
            if error.response.status_code != 404:
                raise
            return None

    # The batch endpoint: a pipeline endpoint, with a published pipeline for each deployment.

    def batch_default(self) -> str | None:
        if self._dry_run:
            return ASSUMED_BATCH.name
        with sdk_errors(self._config):
            endpoint = self._endpoint(self._names.batch_endpoint)
            return str(endpoint.get_pipeline().name) if endpoint else None

    def create_batch_endpoint(self) -> None:
        """SDK v1 makes an endpoint together with its first pipeline."""

    def batch_deployments(self) -> list[Deployment]:
        if self._dry_run:
            return [ASSUMED_BATCH]
        return [Deployment(found.name, found.name.rpartition("-")[2]) for found in self._batch_pipelines()]

    def create_batch_deployment(self, name: str, model: ModelVersion) -> None:
        endpoint = self._names.batch_endpoint
        if model.registry:
            self._copy_to_workspace(model)
        if self._dry_run:
            self._publish(endpoint, name, [])
            return
        from azureml.core import Dataset

        with sdk_errors(self._config):
            # A pipeline needs some dataset for its parameter: a folder where files to be scored can be put.
            files = Dataset.File.from_files((self._store, f"{endpoint}/**"), validate=False)
        self._publish(endpoint, name, build(self._project, "batch", self._config, files, model.version))

    def delete_batch_deployment(self, name: str) -> None:
        self._show("PublishedPipeline.disable", name)
        for pipeline in [] if self._dry_run else self._batch_pipelines():
            if pipeline.name == name:
                with sdk_errors(self._config):
                    pipeline.disable()

    def delete_batch_endpoint(self) -> None:
        name = self._names.batch_endpoint
        self._show("PipelineEndpoint.archive", f"{name}: off and renamed, SDK v1 deletes no endpoint")
        if not self._dry_run:
            with sdk_errors(self._config):
                if endpoint := self._endpoint(name):
                    endpoint.archive()

    def _batch_pipelines(self) -> "list[PublishedPipeline]":
        with sdk_errors(self._config):
            endpoint = self._endpoint(self._names.batch_endpoint)
            return list(endpoint.list_pipelines()) if endpoint else []

    def _copy_to_workspace(self, model: ModelVersion) -> None:
        """Copy a registry's model into the workspace, under its own version: batch jobs of SDK v1 reach no registry."""
        if not self._dry_run and model.version in [known.version for known in self.model_versions(None)]:
            return
        with model_files(self, model, dry_run=self._dry_run) as folder:
            self.create_model(ModelVersion(model.version), folder)

    # Schedules.

    def schedules(self) -> dict[str, bool]:
        return {} if self._dry_run else {name: item.status == "Active" for name, item in self._schedules().items()}

    def create_monitor(self, name: str, deployment: str, task: str, drift: DriftRules) -> None:
        """Schedule the check for drift. It reads the thresholds out of the same file, and fails when one is passed."""
        # Named and not pinned: each run compares the newest versions.
        steps: Steps = []
        if not self._dry_run:
            data = {key: (self._workspace, key) for key in data_assets(self._project)}
            steps = build(self._project, "drift", self._config, data)
        self._schedule(name, self._publish(name, name, steps))

    def monitor_runs(self, schedule: str) -> list[MonitorRun]:
        found = None if self._dry_run else self._schedules().get(schedule)
        if found is None:
            return []
        with sdk_errors(self._config):
            # Not `get_pipeline_runs`, which makes two more queries for each run.
            listed = found._schedule_provider._service_caller.get_pipeline_runs_by_schedule_id_async(found.id)
        runs = [
            MonitorRun(run.id, moment(run.created_date), _CLOSED.get(run.status.status_code, run.status.status_code))
            for run in listed
        ]
        return sorted(runs, key=lambda run: run.time, reverse=True)

    def breaches(self, run: MonitorRun) -> list[Breach] | None:
        """Read what the step `drift` wrote, also when it failed: that some columns drifted is why it fails."""
        if self._dry_run:
            return []
        with tempfile.TemporaryDirectory() as name, sdk_errors(self._config):
            for step in self._run(run.name).find_step_run("drift"):
                self._download(f"dataset/{step.id}/drift/", Path(name))
            file = Path(name) / "drift.json"
            if not file.is_file():
                return None
            results = json.loads(file.read_text(encoding="utf-8"))["results"]
        return [
            Breach("drift", result["feature"], result["metric"], result["value"], result["threshold"])
            for result in results
            if result["drifted"]
        ] or ([] if results else None)

    def disable_schedule(self, name: str) -> None:
        self._show("Schedule.disable", name)
        if not self._dry_run:
            with sdk_errors(self._config):
                self._schedules()[name].disable(wait_for_provisioning=True)

    def enable_schedule(self, name: str) -> None:
        self._show("Schedule.enable", name)
        if not self._dry_run:
            with sdk_errors(self._config):
                self._schedules()[name].enable(wait_for_provisioning=True)

    def delete_schedule(self, name: str) -> None:
        self._show("Schedule.update", f"{name}: off and renamed, SDK v1 deletes no schedule")
        if self._dry_run:
            return
        from azureml.pipeline.core import PipelineEndpoint

        with sdk_errors(self._config):
            schedule = self._schedules()[name]
            schedule.update(name=f"{REMOVED}{uuid.uuid4()}", status="Disabled")
            PipelineEndpoint.get(self._workspace, id=schedule.pipeline_endpoint_id).archive()

    def _schedules(self) -> "dict[str, Schedule]":
        from azureml.pipeline.core import Schedule

        with sdk_errors(self._config):
            found = Schedule.list(self._workspace, active_only=False)
            return {item.name: item for item in found if not item.name.startswith(REMOVED)}

    def _schedule(self, name: str, endpoint: "PipelineEndpoint | None") -> None:
        """Create or update a schedule of what an endpoint's default pipeline is at that time."""
        from azureml.pipeline.core import Schedule

        cron = self._config.schedule.monitor_cron
        times = recurrence(cron, self._config.schedule.time_zone)
        known = None if self._dry_run else self._schedules().get(name)
        self._show("Schedule.update" if known else "Schedule.create_for_pipeline_endpoint", f"{name}: {cron}")
        if endpoint is None:
            return
        with sdk_errors(self._config):
            if known:
                known.update(recurrence=times, wait_for_provisioning=True)
                return
            Schedule.create_for_pipeline_endpoint(
                self._workspace,
                name,
                endpoint.id,
                self._config.model.experiment,
                times,
                wait_for_provisioning=True,
            )

    # How a call is made.

    @cached_property
    def _workspace(self) -> "Workspace":
        return workspace(self._config)

    @cached_property
    def _store(self) -> "AzureBlobDatastore":
        from azureml.core import Datastore

        # Where OutputFileDatasetConfig puts what has no destination.
        store: AzureBlobDatastore = Datastore.get(self._workspace, "workspaceblobstore")
        return store

    def _show(self, operation: str, shown: str) -> None:
        print(f"{operation}({shown})", flush=True)


def _descendants(run: "Run") -> "Iterator[Run]":
    """Give the runs below a run."""
    for child in run.get_children():
        yield child
        yield from _descendants(child)


def workspace(config: EnvironmentConfig) -> "Workspace":
    """Return SDK v1's workspace, signed in as for SDK v2: no browser, no key."""
    from azureml.core import Workspace
    from azureml.core.authentication import TokenAuthentication

    account = credential()

    def token(audience: str) -> str:
        return account.get_token(f"{audience.rstrip('/')}/.default").token

    with sdk_errors(config):
        # With the name of the cloud, SDK v1 does not query which ones there are.
        signed_in = TokenAuthentication(token, cloud="AzureCloud")
        names = config.names
        return Workspace(subscription(config), names.resource_group, names.workspace, auth=signed_in)


@contextlib.contextmanager
def sdk_errors(config: EnvironmentConfig) -> Iterator[None]:
    """Turn an error of Azure or SDK v1 into one line, with the remedy where it is known."""
    from azure.core.exceptions import AzureError
    from azureml._common.exceptions import AzureMLException
    from msrest.exceptions import ClientException
    from requests import RequestException

    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # SDK v1 writes each error into a log first, and that to the terminal
    try:
        yield
    except (AzureMLException, ClientException, AzureError, RequestException, ValueError) as error:
        text = error_line(error)
        raise remedy(text, config) or UserError(text) from error
    finally:
        logging.disable(disabled)


def container(store: "AzureBlobDatastore") -> "ContainerClient":
    """Return the client of a datastore's container, signed in with a token: the storage accepts no key.

    SDK v1's own `upload` and `download` want a key and pass over a file that fails. Its `Dataset.File.upload_directory`
    would sign in, but calls Azure from native code, where no test can follow.
    """
    from azure.storage.blob import ContainerClient

    account = f"{store.protocol}://{store.account_name}.blob.{store.endpoint}"
    return ContainerClient(account, store.container_name, credential=credential())


def fingerprint(steps: "Steps") -> str:
    """Return a hash of all that a published pipeline consists of, so that nothing is published twice."""
    content = hashlib.sha256()
    for root in sorted({step._source_directory for step in steps}):
        for file in snapshot(Path(root)):
            text = file.read_bytes()
            content.update(f"{file.relative_to(root).as_posix()} {len(text)} ".encode() + text)
    for step in steps:
        arguments = [getattr(item, "default_value", item) for item in step._arguments]
        content.update(repr([step.name, step._script_name, step._allow_reuse, arguments]).encode())
        content.update(repr(step._runconfig).encode())
    return content.hexdigest()[:16]
