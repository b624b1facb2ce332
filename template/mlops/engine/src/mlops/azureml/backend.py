"""What the verbs need of Azure Machine Learning, whatever API carries it out.

A backend only translates: one method, one or two calls. Every decision is in `mlops.verbs`. Methods that read return
what is there; the others change something, wait until Azure has done it, and raise UserError when it did not work.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from mlops.azureml.monitor_runs import Breach, MonitorRun
from mlops.azureml.request_metrics import RequestMetrics
from mlops.azureml.storage import Container, StoredFile
from mlops.config import DriftRules, EnvironmentConfig, Sweep
from mlops.errors import UserError
from mlops.pipeline import DataAsset


@dataclass(frozen=True)
class ModelVersion:
    """A registered version of the project's model; `registry` is None for the workspace's own."""

    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    registry: str | None = None


@dataclass(frozen=True)
class Deployment:
    """A deployment behind an endpoint. Of two, the one with the higher `generation` is the newer one.

    The `fingerprint` is that of what is deployed beside the model; "" for a deployment of a release until v0.8.0.
    """

    name: str
    model_version: str
    generation: int = 0
    fingerprint: str = ""

    @classmethod
    def of(cls, name: str, model: object, tags: Mapping[str, str] | None) -> "Deployment":
        """Return the deployment that Azure describes with a reference to a model and with tags."""
        known = tags or {}
        return cls(name, model_version(model), int(known.get("generation", 0)), known.get("fingerprint", ""))


@dataclass(frozen=True)
class Job:
    """A run on Azure: its status, as "Completed" or "Failed", and its page in the studio."""

    name: str
    status: str
    studio: str = ""


# What a dry run assumes, because a query to Azure needs a login (see also `assumed_model`).
ASSUMED_ONLINE = Deployment("blue", "0")
ASSUMED_BATCH = Deployment("model-0", "0")


class Backend(Protocol):
    """One environment's Azure ML workspace, with the names and sizes from its configuration."""

    monitors_data: bool
    """Whether the monitor compares the project's own data, and not what a deployment collects."""

    def data_versions(self, name: str) -> list[str]:
        """Return the versions of a data asset, none when there is no such asset."""

    def create_data(self, asset: DataAsset, version: str) -> None:
        """Create a version of a data asset with the content that lies on this machine, or where it is in Azure."""

    def container(self, datastore: str) -> Container | None:
        """Return where a datastore of the workspace keeps its files, None when that is no container."""

    def list_files(self, container: Container, path: str) -> list[StoredFile]:
        """Return the files in a container whose names begin with `path`."""

    def submit_pipeline(self, job: str, data: Mapping[str, str], overrides: str, *, rerun: bool) -> str:
        """Start the training pipeline.

        Args:
            job: Its name.
            data: The asset ("name:version") for each input to be pinned.
            overrides: Other settings for this run.
            rerun: Whether each step runs, although an earlier run had the same inputs.

        Returns:
            The job's name: `job`, unless Azure chooses one itself.

        Raises:
            UserError: It cannot be started; or a job was started under this name, of which there is never a second.
        """

    def submit_tuning(self, job: str, data: Mapping[str, str], overrides: str, sweep: Sweep, *, rerun: bool) -> str:
        """Start the tuning pipeline with a search; the rest is as in `submit_pipeline`."""

    def stream_job(self, job: str) -> None:
        """Show a job's progress until it ends."""

    def job(self, name: str) -> Job:
        """Return a job's present state."""

    def find_job(self, name: str) -> Job | None:
        """Return the state of the training that was started under a name, None when there is none.

        The name in the state is the one that Azure has for it.
        """

    def download_output(self, job: str, output: str, folder: Path) -> None:
        """Put an output of a job below `folder`."""

    def model_versions(self, registry: str | None) -> list[ModelVersion]:
        """Return the versions of the project's model in the workspace, or in a registry."""

    def tag_model(self, model: ModelVersion, tags: Mapping[str, str]) -> None:
        """Add tags to a model version, where it is."""

    def registries(self) -> list[str]:
        """Return the names of the registries in the subscription."""

    def create_registry(self, name: str, locations: list[str]) -> None:
        """Create a registry in the first of the Azure regions, usable from all of them."""

    def share_model(self, version: str, registry: str) -> None:
        """Have Azure copy a model version from the workspace to a registry, under the same name and version."""

    def create_model(self, model: ModelVersion, folder: Path) -> None:
        """Create a model version, in the workspace or in a registry, from the MLflow model in `folder`."""

    def download_model(self, model: ModelVersion, folder: Path) -> None:
        """Put the files of a model version below `folder`."""

    def online_traffic(self) -> dict[str, int] | None:
        """Return the online endpoint's traffic in percent by deployment, or None when there is no endpoint."""

    def online_address(self) -> str:
        """Return the address that the online endpoint is called at, "" when there is none."""

    def create_online_endpoint(self) -> None:
        """Create the online endpoint: Entra ID tokens only, with the identity and the openness of the configuration."""

    def online_deployments(self) -> list[Deployment]:
        """Return the deployments behind the online endpoint."""

    def create_online_deployment(self, name: str, model: ModelVersion, tags: Mapping[str, str]) -> None:
        """Create a deployment without traffic."""

    def delete_online_deployment(self, name: str) -> None:
        """Delete a deployment, which must have no traffic."""

    def set_traffic(self, traffic: Mapping[str, int]) -> None:
        """Set the traffic in percent by deployment; a deployment that is not named gets none."""

    def invoke(self, request: Path, deployment: str | None) -> object:
        """Send a request to one deployment, or through the endpoint's traffic; return the decoded answer."""

    def request_metrics(self, deployment: str, since: datetime, until: datetime) -> RequestMetrics:
        """Return how a deployment has answered its requests in full minutes between two times, as far as is known yet.

        Azure Monitor learns of a minute only some minutes later.
        """

    def show_log(self, deployment: str, lines: int) -> None:
        """Show the last lines of an online deployment's log."""

    def batch_default(self) -> str | None:
        """Return the batch endpoint's default deployment ("" for none), or None when there is no endpoint."""

    def create_batch_endpoint(self) -> None:
        """Create the batch endpoint."""

    def batch_deployments(self) -> list[Deployment]:
        """Return the deployments behind the batch endpoint."""

    def create_batch_deployment(self, name: str, model: ModelVersion) -> None:
        """Create or update a deployment and, when that has worked, make it the endpoint's default."""

    def delete_batch_deployment(self, name: str) -> None:
        """Delete a deployment, which must not be the default."""

    def schedules(self) -> dict[str, bool]:
        """Return the workspace's schedules: name, and whether it is enabled."""

    def create_monitor(self, name: str, deployment: str, task: str, drift: DriftRules) -> None:
        """Create or update the monitor of an online deployment; `task` is "regression" or "classification"."""

    def monitor_runs(self, schedule: str) -> list[MonitorRun]:
        """Return the runs that the monitor's schedule has created, the newest first."""

    def breaches(self, run: MonitorRun) -> list[Breach] | None:
        """Return the thresholds that a run of the monitor found exceeded, None when it compared nothing."""

    def disable_schedule(self, name: str) -> None:
        """Switch a schedule off."""

    def enable_schedule(self, name: str) -> None:
        """Switch a schedule on."""

    def delete_schedule(self, name: str) -> None:
        """Delete a schedule, which must be off."""

    def delete_online_endpoint(self) -> None:
        """Delete the online endpoint and all behind it."""

    def delete_batch_endpoint(self) -> None:
        """Delete the batch endpoint and all behind it."""


def model_version(reference: object) -> str:
    """Return the version in a reference, `azureml:name:7` or `.../versions/7`."""
    return re.split(r"[:/]", str(reference or ""))[-1]


def assumed_model(config: EnvironmentConfig, registry: str | None) -> ModelVersion:
    """Return the version that a dry run finds: registered by the pipeline, and promoted to this environment."""
    return ModelVersion("1", {"sha256": "", f"promoted_{config.environment}": ""}, registry)


@contextlib.contextmanager
def model_files(backend: Backend, model: ModelVersion, *, dry_run: bool) -> Iterator[Path]:
    """Download a model version to a folder that is gone after the block; in a dry run nothing is in it.

    Raises:
        UserError: The version is no MLflow model.
    """
    with tempfile.TemporaryDirectory() as folder:
        backend.download_model(model, Path(folder))
        # az puts the files into folders of its own choice; an MLflow model is where its MLmodel file is.
        found = sorted(Path(folder).rglob("MLmodel"), key=lambda path: len(path.parts))
        if not found and not dry_run:
            place = f"registry {model.registry}" if model.registry else "the workspace"
            raise UserError(f"version {model.version} in {place} is no MLflow model: train a new one")
        yield found[0].parent if found else Path(folder)
