"""The Python SDK v1 on the Azure of a simulated year: its objects, whose calls are done by `azure_ml.Memory`.

Data, jobs, batch scoring and schedules are SDK v1's; all else is `year_sdk_v2`. Steps are built by the real SDK, out of
the project's own definitions. What goes over HTTP then is compared in `test_every_version.py`.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import azureml.core
import azureml.pipeline.core
import azureml.pipeline.steps  # before its classes are replaced, which it imports
import pytest
import requests
import year_sdk_v2
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure_ml import Batch, Memory, refuse
from azureml.data.abstract_dataset import _DatasetRegistration
from msrest.exceptions import HttpOperationError

from mlops.azureml import python_sdk_v1
from mlops.config import EnvironmentConfig
from mlops.errors import UserError

REAL = azureml.core.Dataset


class RefusedError(HttpOperationError):
    """Azure has refused a request."""

    def __init__(self, message: str, status: int = 409) -> None:
        """Keep what the code under test looks at."""
        Exception.__init__(self, message)
        self.message, self.response = message, SimpleNamespace(status_code=status, text="")


@contextlib.contextmanager
def errors_of_sdk() -> Iterator[None]:
    """Raise what SDK v1 raises when Azure refuses, or when no answer comes."""
    try:
        yield
    except UserError as problem:
        if str(problem).startswith("(Timeout)"):
            raise requests.ConnectionError(str(problem)) from problem
        raise RefusedError(str(problem)) from problem


@dataclass
class Published:
    """A published pipeline."""

    name: str
    version: str
    active: bool = True


@dataclass
class PublishedEndpoint:
    """A pipeline endpoint: the pipelines behind it, by their ids, and which of them a job runs."""

    name: str
    pipelines: list[str]
    default: str
    active: bool = True


@dataclass
class Kept:
    """What a workspace keeps for SDK v1 alone: pipelines and their endpoints by id, and the files of its storage."""

    pipelines: dict[str, Published] = field(default_factory=dict)
    endpoints: dict[str, PublishedEndpoint] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(memory: Memory) -> "Kept":
        """Return that of the workspace that a call is about."""
        found: Kept = memory.here.kept.setdefault("SDK v1", Kept())
        return found


def replace_client(memory: Callable[[], Memory], patch: pytest.MonkeyPatch) -> type[python_sdk_v1.PythonSdkV1]:
    """Take the place of SDK v1's classes, and of SDK v2's client; return the backend."""
    year_sdk_v2.replace_client(memory, patch)

    def workspace(config: EnvironmentConfig) -> azureml.core.Workspace:
        names = config.names
        account = azureml.core.authentication.TokenAuthentication(lambda audience: "token", cloud="AzureCloud")
        place = ("subscription", names.resource_group, names.workspace)
        return azureml.core.Workspace(*place, auth=account, _disable_service_check=True, _workspace_id="id")

    patch.setattr(python_sdk_v1, "workspace", workspace)
    patch.setattr(python_sdk_v1, "container", lambda store: Files(memory()))
    patch.setattr(python_sdk_v1, "LOOK", 0)
    patch.setattr(azureml.core, "Dataset", Datasets(memory))
    patch.setattr(azureml.core, "Datastore", SimpleNamespace(get=lambda workspace, name: name))
    classes = {"Pipeline": Graph, "PipelineEndpoint": Endpoints, "PipelineRun": Runs, "Schedule": Schedules}
    for name, made in classes.items():
        patch.setattr(azureml.pipeline.core, name, made(memory))
    return python_sdk_v1.PythonSdkV1


def nowhere(name: str, **known: Any) -> Any:
    """Return a dataset of which only name, version and tags are known."""
    dataset = REAL.File.from_files(f"https://localhost/{name}", validate=False)
    dataset._registration = _DatasetRegistration(None, name, name, name, **known)
    return dataset


class Datasets:
    """The class `Dataset`: a version of a data asset is one of a dataset, whose tag has its content."""

    def __init__(self, memory: Callable[[], Memory]) -> None:
        """Keep what carries the calls out."""
        self._memory = memory
        self.File = SimpleNamespace(from_files=self._from_files)

    def _from_files(self, path: Any, *, validate: bool) -> Any:
        if isinstance(path, str):
            return REAL.File.from_files(path, validate=validate)
        files = nowhere("files")
        files.register = self._register
        return files

    def _register(self, workspace: object, name: str, *, tags: Mapping[str, str], create_new_version: bool) -> None:
        refuse(not create_new_version, "a year makes new versions only")
        memory = self._memory()
        with errors_of_sdk(), memory.connection.change("create data"):
            memory.here.data.setdefault(name, []).append(tags[python_sdk_v1.CONTENT])

    def get_all(self, workspace: object) -> list[str]:
        """Return the names of the datasets."""
        memory = self._memory()
        with errors_of_sdk(), memory.connection.read("list data"):
            return [*memory.here.data]

    def get_by_name(self, workspace: object, name: str, version: int | str = "latest") -> Any:
        """Return a version, which is a number, or the newest."""
        memory = self._memory()
        with errors_of_sdk(), memory.connection.read("show data"):
            versions = memory.here.data.get(name, [])
            number = len(versions) if version == "latest" else int(version)
            refuse(not 0 < number <= len(versions), f"(UserError) no dataset {name} with version {number}")
            return nowhere(name, version=number, tags={python_sdk_v1.CONTENT: versions[number - 1]})


class Files:
    """The client of the default datastore's container; the outputs of jobs are read out of the jobs."""

    def __init__(self, memory: Memory) -> None:
        """Keep what carries the calls out."""
        self._memory = memory

    def upload_blob(self, name: str, content: Any, *, overwrite: bool) -> None:
        data = content if isinstance(content, bytes | str) else content.read()
        with errors_of_sdk(), self._memory.connection.change("upload file"):
            files = Kept.of(self._memory).files
            if name in files and not overwrite:
                raise ResourceExistsError(message="(BlobAlreadyExists)")
            files[name] = data.decode() if isinstance(data, bytes) else data

    def delete_blob(self, name: str) -> None:
        with errors_of_sdk(), self._memory.connection.change("delete file"):
            del Kept.of(self._memory).files[name]

    def download_blob(self, name: str) -> Any:
        with errors_of_sdk(), self._memory.connection.read("download file", late=False):
            files = Kept.of(self._memory).files | self._outputs()
            if name not in files:
                raise ResourceNotFoundError(message="(BlobNotFound)")
            return SimpleNamespace(readall=files[name].encode)

    def list_blob_names(self, *, name_starts_with: str) -> list[str]:
        with errors_of_sdk(), self._memory.connection.read("list files", late=False):
            return [name for name in Kept.of(self._memory).files | self._outputs() if name.startswith(name_starts_with)]

    def _outputs(self) -> dict[str, str]:
        """Return what the steps of jobs, and of runs of the monitor, have written."""
        here, found = self._memory.here, {}
        for name, job in here.jobs.items():
            if job.registration:
                found[f"dataset/{name}~register/registration/registration.json"] = json.dumps(job.registration)
        for run in here.runs:
            column = {"feature": "x", "metric": "a distance", "value": 0.75, "threshold": 0.2, "drifted": run.drift}
            results = json.dumps({"results": [] if run.problem else [column]})
            found[f"dataset/{run.name}~drift/drift/drift.json"] = results
        return found


class Graph:
    """The class `Pipeline`, of which one is only published."""

    def __init__(self, memory: Callable[[], Memory]) -> None:
        """Keep what carries the calls out."""
        self._memory = memory

    def __call__(self, workspace: object, steps: list[Any]) -> Any:
        """Make a pipeline."""
        return SimpleNamespace(publish=self._publish)

    def _publish(self, name: str, description: str, version: str, *, continue_on_step_failure: bool) -> "Pipeline":
        refuse(continue_on_step_failure, "a failed step must not let the rest go on")
        memory = self._memory()
        with errors_of_sdk(), memory.connection.change("publish pipeline"):
            pipelines = Kept.of(memory).pipelines
            identity = f"pipeline-{len(pipelines) + 1}"
            pipelines[identity] = Published(name, version)
            return Pipeline(memory, identity)


class Pipeline:
    """A published pipeline."""

    def __init__(self, memory: Memory, identity: str) -> None:
        """Say which one."""
        self._memory, self.id = memory, identity
        self.name, self.version = self._kept.name, self._kept.version

    @property
    def _kept(self) -> Published:
        return Kept.of(self._memory).pipelines[self.id]

    def disable(self) -> None:
        """Switch it off."""
        with errors_of_sdk(), self._memory.connection.change("disable pipeline"):
            self._kept.active = False
            show_batch(self._memory)


class Endpoints:
    """The class `PipelineEndpoint`."""

    def __init__(self, memory: Callable[[], Memory]) -> None:
        """Keep what carries the calls out."""
        self._memory = memory

    def get(self, workspace: object, *, name: str = "", id: str = "") -> "Endpoint":
        memory = self._memory()
        with errors_of_sdk(), memory.connection.read("show pipeline endpoint"):
            endpoints = Kept.of(memory).endpoints.items()
            found = next((key for key, each in endpoints if key == id or (each.active and each.name == name)), None)
        if found is None:
            raise RefusedError(f"(UserError) there is no pipeline endpoint {name}", 404)
        return Endpoint(memory, found)

    def publish(self, workspace: object, name: str, description: str, pipeline: Pipeline) -> "Endpoint":
        memory = self._memory()
        with errors_of_sdk(), memory.connection.change("create pipeline endpoint"):
            endpoints = Kept.of(memory).endpoints
            taken = any(each.active and each.name == name for each in endpoints.values())
            refuse(taken, "(Conflict) the name of a pipeline endpoint is taken")
            identity = f"endpoint-{len(endpoints) + 1}"
            endpoints[identity] = PublishedEndpoint(name, [pipeline.id], pipeline.id)
            show_batch(memory)
        return Endpoint(memory, identity)


class Endpoint:
    """A pipeline endpoint."""

    def __init__(self, memory: Memory, identity: str) -> None:
        """Say which one."""
        self._memory, self.id, self._got = memory, identity, Kept.of(memory).endpoints[identity]

    @property
    def _kept(self) -> PublishedEndpoint:
        # A late answer, from before the endpoint was made, is about what was got.
        return Kept.of(self._memory).endpoints.get(self.id, self._got)

    def list_pipelines(self) -> list[Pipeline]:
        with errors_of_sdk(), self._memory.connection.read("list pipelines"):
            active = [each for each in self._kept.pipelines if Kept.of(self._memory).pipelines[each].active]
            return [Pipeline(self._memory, each) for each in active]

    def get_pipeline(self) -> Pipeline:
        with errors_of_sdk(), self._memory.connection.read("show pipeline"):
            return Pipeline(self._memory, self._kept.default)

    def set_default(self, pipeline: Pipeline) -> None:
        with errors_of_sdk(), self._memory.connection.change("set default"):
            refuse(pipeline.id not in self._kept.pipelines, f"(UserError) {pipeline.id} is not behind the endpoint")
            self._kept.default = pipeline.id
            show_batch(self._memory)

    def add_default(self, pipeline: Pipeline) -> None:
        with errors_of_sdk(), self._memory.connection.change("add default"):
            self._kept.pipelines.append(pipeline.id)
            self._kept.default = pipeline.id
            show_batch(self._memory)

    def archive(self) -> None:
        with errors_of_sdk(), self._memory.connection.change("archive pipeline endpoint"):
            self._kept.active = False
            show_batch(self._memory)

    def submit(self, experiment: str, *, pipeline_parameters: Mapping[str, Any]) -> Any:
        datasets = {name: value for name, value in pipeline_parameters.items() if hasattr(value, "tags")}
        data = {name: f"{each.name}:{each.tags[python_sdk_v1.CONTENT]}" for name, each in datasets.items()}
        identity = f"run-{len(self._memory.here.jobs) + 1}"
        with errors_of_sdk():
            self._memory.submit_pipeline(identity, data, "", rerun=False)
        return SimpleNamespace(id=identity)


def show_batch(memory: Memory) -> None:
    """Write the pipeline endpoint for batch scoring down as the batch endpoint that it stands for."""
    here, kept = memory.here, Kept.of(memory)
    endpoints = [each for each in kept.endpoints.values() if each.active and each.name == memory.batch_endpoint]
    here.batch = None
    for endpoint in endpoints:
        behind = [kept.pipelines[each] for each in endpoint.pipelines]
        deployments = {each.name: each.name.rpartition("-")[2] for each in behind if each.active}
        here.batch = Batch(kept.pipelines[endpoint.default].name, deployments)


class Runs:
    """The class `PipelineRun`."""

    def __init__(self, memory: Callable[[], Memory]) -> None:
        """Keep what carries the calls out."""
        self._memory = memory

    def get(self, workspace: object, identity: str) -> Any:
        memory = self._memory()
        found = partial(self._status, memory, identity, [])
        return SimpleNamespace(
            get_status=found,
            get_steps=list,
            get_portal_url=lambda: "",
            find_step_run=lambda step: [SimpleNamespace(id=f"{identity}~{step}", get_children=list)],
        )

    def _status(self, memory: Memory, identity: str, looked: list[bool]) -> str:
        """Return the status; a job that runs ends between two looks of one who waits."""
        with errors_of_sdk(), memory.connection.read("show job"):
            here = memory.here
            refuse(identity not in here.jobs, f"(UserError) could not find job {identity}")
            job = here.jobs[identity]
            if job.status == "Running" and looked:
                memory.story.pause()
                if job.status == "Running":
                    memory.story.train(here, job)
            looked.append(True)
            return job.status.replace("Completed", "Finished")


class Schedules:
    """The class `Schedule`."""

    def __init__(self, memory: Callable[[], Memory]) -> None:
        """Keep what carries the calls out."""
        self._memory = memory

    def list(self, workspace: object, *, active_only: bool) -> list[Any]:
        memory = self._memory()
        refuse(active_only, "a year asks for all schedules")
        with errors_of_sdk():
            found = memory.schedules()
        return [Schedule(memory, name, active) for name, active in found.items()]

    def create_for_pipeline_endpoint(
        self,
        workspace: object,
        name: str,
        endpoint: str,
        experiment: str,
        recurrence: object,
        *,
        wait_for_provisioning: bool,
    ) -> None:
        memory = self._memory()
        with errors_of_sdk(), memory.connection.change("create schedule"):
            refuse(endpoint not in Kept.of(memory).endpoints, f"(UserError) there is no pipeline endpoint {endpoint}")
            memory.here.schedules[name] = True
            memory.here.kept["schedule"] = endpoint


class Schedule:
    """A schedule."""

    def __init__(self, memory: Memory, name: str, active: bool) -> None:
        """Say which one, and whether it is on."""
        self._memory, self.name, self.id = memory, name, name
        self.status = "Active" if active else "Disabled"
        caller = SimpleNamespace(get_pipeline_runs_by_schedule_id_async=self._runs)
        self._schedule_provider = SimpleNamespace(_service_caller=caller)

    @property
    def pipeline_endpoint_id(self) -> str:
        """What it starts."""
        return str(self._memory.here.kept["schedule"])

    def _runs(self, identity: str) -> list[Any]:
        def listed() -> list[Any]:
            return sorted(self._memory.here.runs, key=lambda run: run.time, reverse=True)

        with errors_of_sdk():
            found = self._memory.listed("list runs", listed)
        ends = {run.name: SimpleNamespace(status_code="Failed" if run.drift else "Finished") for run in found}
        return [SimpleNamespace(id=run.name, created_date=run.time, status=ends[run.name]) for run in found]

    def update(self, *, wait_for_provisioning: bool = False, **values: Any) -> None:
        with errors_of_sdk(), self._memory.connection.change("update schedule"):
            here = self._memory.here
            refuse(self.name not in here.schedules, f"(UserError) there is no schedule {self.name}")
            if values.get("name", "").startswith(python_sdk_v1.REMOVED):
                del here.schedules[self.name]

    def enable(self, *, wait_for_provisioning: bool) -> None:
        with errors_of_sdk():
            self._memory.enable_schedule(self.name)

    def disable(self, *, wait_for_provisioning: bool) -> None:
        with errors_of_sdk():
            self._memory.disable_schedule(self.name)
