"""What the verbs ask of Azure Machine Learning, whatever API carries it out, and how commands of other programs run.

A backend only translates: one method, one or two calls. Every decision is in `mlops.verbs`. Methods that read give what
is there; the others change something, wait until Azure has done it, and raise UserError when it did not work.
"""

import contextlib
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, cast

from mlops import UserError
from mlops.config import EnvironmentConfig, Project, load_environment, load_yaml
from mlops.pipeline import DataAsset

Thresholds = Mapping[str, Mapping[str, float]]
"""Drift thresholds: feature type ("numerical" or "categorical"), Azure ML metric name, value."""

Action = Literal["apply", "plan", "check", "destroy"]


@dataclass(frozen=True)
class ModelVersion:
    """A registered version of the project's model; `registry` is None for the workspace's own."""

    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    registry: str | None = None


@dataclass(frozen=True)
class Deployment:
    """A deployment behind an endpoint. Of two, the one with the higher `generation` is the newer one."""

    name: str
    model_version: str
    generation: int = 0


@dataclass(frozen=True)
class Job:
    """A run on Azure: its status, as "Completed" or "Failed", and its page in the studio."""

    name: str
    status: str
    studio: str = ""


# What a dry run takes for granted, because asking Azure needs a login (see also `assumed_model`).
ASSUMED_ONLINE = Deployment("blue", "0")
ASSUMED_BATCH = Deployment("model-0", "0")


class Backend(Protocol):
    """One environment's Azure ML workspace, with the names and sizes from its configuration."""

    #: Whether the monitor compares the project's own data, which therefore has to be in the workspace.
    monitors_data: bool

    def data_versions(self, name: str) -> list[str]:
        """Return the versions of a data asset, none when there is no such asset."""

    def create_data(self, asset: DataAsset, version: str) -> None:
        """Create a version of a data asset with the content that lies on this machine."""

    def submit_pipeline(self, job: str, data: Mapping[str, str], overrides: str) -> str:
        """Start the training pipeline; `data` has the asset ("name:version") for each input to be pinned.

        Returns the job's name: `job`, unless Azure chooses one itself.
        """

    def stream_job(self, job: str) -> None:
        """Show a job's progress until it ends."""

    def job(self, name: str) -> Job:
        """Return a job's present state."""

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

    def create_online_endpoint(self) -> None:
        """Create the online endpoint: Entra ID tokens only, with the identity and the openness of the configuration."""

    def online_deployments(self) -> list[Deployment]:
        """Return the deployments behind the online endpoint."""

    def create_online_deployment(self, name: str, model: ModelVersion, generation: int) -> None:
        """Create a deployment without traffic."""

    def delete_online_deployment(self, name: str) -> None:
        """Delete a deployment, which must have no traffic."""

    def set_traffic(self, traffic: Mapping[str, int]) -> None:
        """Set the traffic in percent by deployment; a deployment that is not named gets none."""

    def invoke(self, request: Path, deployment: str | None) -> object:
        """Send a request to one deployment, or through the endpoint's traffic; return the decoded answer."""

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

    def create_monitor(self, name: str, deployment: str, task: str, thresholds: Thresholds) -> str:
        """Create or update the monitor of an online deployment; `task` is "regression" or "classification".

        Returns what it does, as the rest of a sentence that begins with its name.
        """

    def create_retraining(self, name: str, data: Mapping[str, str]) -> None:
        """Create or update the schedule of the training pipeline; `data` as in `submit_pipeline`."""

    def enable_schedule(self, name: str, enabled: bool) -> None:
        """Switch a schedule on or off."""

    def delete_schedule(self, name: str) -> None:
        """Delete a schedule, which must be off."""

    def delete_online_endpoint(self) -> None:
        """Delete the online endpoint and all behind it."""

    def delete_batch_endpoint(self) -> None:
        """Delete the batch endpoint and all behind it."""


def connect(project: Project, config: EnvironmentConfig, *, dry_run: bool) -> Backend:
    """Return the backend of the project's mlops version; with `dry_run` it shows what it would do and does nothing."""
    return cast(Backend, version(project).connect(project, config, dry_run=dry_run))


def version(project: Project) -> ModuleType:
    """Import the module of the project's mlops version.

    It has `connect` (see above), `load_pipeline(project) -> Pipeline`, `check(project) -> list[Fault]`, what the lint
    finds in the definitions, and `NOTICE`, a line that each command shows first unless it is empty.
    """
    return importlib.import_module(f"mlops.backends.{project.version.replace('-', '_')}")


def provision(
    project: Project, environment: str, action: Action, *, dry_run: bool = False, deployer: str | None = None
) -> None:
    """Build (`apply`), preview (`plan`), `check` or remove (`destroy`) an environment's resources.

    `deployer` is the object id of the identity that the workflows run as; by default it is whoever runs this. Raises
    UserError for a missing tool or login, when the tool fails, and when the workspace is somebody else's.
    """
    config = load_environment(project, environment)
    if project.infrastructure == "existing":
        text = f"workspace {config.names.workspace} is somebody else's: there is nothing to provision"
        if action != "check":
            raise UserError(f"{text}; `uv run mlops doctor --environment {environment}` checks it")
        print(f"{text[0].upper()}{text[1:]}.", flush=True)
        return
    # This module is what it imports.
    from mlops.backends.infrastructure import provisioning_cure

    module = importlib.import_module(f"mlops.backends.{project.infrastructure}")
    try:
        module.provision(project, config, action, dry_run=dry_run, deployer=deployer)
    except CommandError as error:
        raise provisioning_cure(error.output, config) or error from error


def model_reference(config: EnvironmentConfig, model: ModelVersion) -> str:
    """Return how a definition names a version of the project's model, in the workspace or in a registry."""
    if model.registry:
        return f"azureml://registries/{model.registry}/models/{config.model.name}/versions/{model.version}"
    return f"azureml:{config.model.name}:{model.version}"


def model_version(reference: object) -> str:
    """Return the version in a reference, `azureml:name:7` or `.../versions/7`."""
    return re.split(r"[:/]", str(reference or ""))[-1]


def assumed_model(config: EnvironmentConfig, registry: str | None) -> ModelVersion:
    """Return the version that a dry run finds: registered by the pipeline, and promoted to this environment."""
    return ModelVersion("1", {"sha256": "", f"promoted_{config.environment}": ""}, registry)


def endpoint_identity(config: EnvironmentConfig, subscription: Callable[[], str]) -> str | None:
    """Return the Azure resource id of the identity that was made for the endpoints, or None when there is none.

    `subscription` gives the id of the Azure subscription; it is asked only when there is an identity.
    """
    if config.names.endpoint_identity is None:
        return None
    return (
        f"/subscriptions/{subscription()}/resourceGroups/{config.names.resource_group}"
        f"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{config.names.endpoint_identity}"
    )


@contextlib.contextmanager
def downloaded(backend: Backend, model: ModelVersion, *, dry_run: bool) -> Iterator[Path]:
    """Give the folder of a model version's files, which is gone after the block; in a dry run nothing is in it.

    Raises UserError when the version is no MLflow model.
    """
    with tempfile.TemporaryDirectory() as folder:
        backend.download_model(model, Path(folder))
        # az puts the files into folders of its own choice; an MLflow model is where its MLmodel file is.
        found = sorted(Path(folder).rglob("MLmodel"), key=lambda path: len(path.parts))
        if not found and not dry_run:
            place = f"registry {model.registry}" if model.registry else "the workspace"
            raise UserError(f"version {model.version} in {place} is no MLflow model: train a new one")
        yield found[0].parent if found else Path(folder)


def watched(project: Project) -> tuple[str, Thresholds]:
    """Return what the monitor of the model needs: its task, and the thresholds of drift in config/model.yml.

    Raises UserError when there are none.
    """
    thresholds = load_yaml(project.settings).get("drift")
    if not isinstance(thresholds, dict):
        raise UserError("config/model.yml: drift: the key is missing")
    return str(load_yaml(project.schema).get("task")), thresholds


def watching(config: EnvironmentConfig, deployment: str) -> str:
    """Return what a monitor of Azure ML does, as the rest of a sentence."""
    emails = config.monitor.alert_emails
    alerts = f"alerts go to {', '.join(emails)}" if emails else "alerts go to Azure Monitor"
    return f"watches {deployment} ({config.schedule.monitor_cron}); {alerts}"


def cure(output: str, config: EnvironmentConfig) -> UserError | None:
    """Return the one line that helps when Azure said `output`, or None when it is no fault that has a known cure."""
    names, workspace, environment = config.names, config.names.workspace, config.environment
    provide = f"run `uv run mlops provision --environment {environment}`"
    storage = f"storage account {names.storage_account}"
    if not config.provisioned:
        storage = f"the storage account of {workspace}"
        provide = f"correct names.workspace and names.resource_group in config/{environment}.yml"
    cures = {
        r"Azure CLI not found": "az is not installed: see https://learn.microsoft.com/cli/azure, then run `az login`",
        r"az account set|SubscriptionNotFound|InvalidSubscriptionId": (
            "there is no such subscription for you: choose one with `az account set --subscription NAME`, or name its "
            "id in AZURE_SUBSCRIPTION_ID"
        ),
        # The token that a workflow signs in with ends within minutes, and az cannot renew it (azure-cli#28708).
        r"AADSTS700024": "the workflow's sign-in has expired: run the job again",
        r"az login|AADSTS|Credential ?Unavailable|failed to retrieve a token": (
            "you are not signed in to Azure: run `az login`"
        ),
        r"'ml' is (misspelled|not in)|requires the extension ml": (
            "the Azure CLI lacks its Azure ML extension: run `az extension add --name ml`"
        ),
        rf"ResourceGroupNotFound|Workspace not found|workspaces/{re.escape(workspace)}'? .*not (be )?found": (
            f"there is no workspace {workspace} in your subscription: {provide}, or choose the subscription with `az "
            "account set --subscription NAME`"
        ),
        # Of Azure ML in two wordings, and of the storage account.
        r"(?i)private link|AuthorizationFailure\b|not authorized to perform this operation\.": (
            f"{workspace} and what belongs to it cannot be reached from here: run this on a machine in its private "
            "network"
        ),
        rf"RegistryNotFound|registr(y|ies)\W+{re.escape(names.registry)}\b.*not (be )?found": (
            f"there is no registry {names.registry} for you: correct names.registry in config/{environment}.yml, or "
            "ask for the role AzureML Registry User"
        ),
        r"AuthorizationFailed|does not have authorization": (
            f"you may not do this in {workspace}: ask for the role AzureML Data Scientist"
        ),
        r"AuthorizationPermissionMismatch": (
            f"you may not write to {storage}: ask for the role Storage Blob Data Contributor"
        ),
        r"Docker image or Dockerfile is required": (
            "an environment has no image: name one in its definition, as `uv run mlops lint` says"
        ),
        r"(?i)(model|asset)[ _]?name\W.*\b(must|may only|can only|not valid|invalid|unsupported)": (
            f"Azure ML does not take the model name {config.model.name!r}: in config/{environment}.yml, use letters, "
            "digits, dots, dashes and underscores"
        ),
    }
    return next((UserError(text) for pattern, text in cures.items() if re.search(pattern, output)), None)


class CommandError(UserError):
    """An external command ended with an error; `output` is what it wrote to its error stream."""

    def __init__(self, command: tuple[str, ...], code: int, output: str) -> None:
        """Make the one-line message from the last line that the command wrote."""
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or [f"exit code {code}"]
        name = " ".join(word for word in command[:4] if not word.startswith("-"))
        super().__init__(f"`{name}` failed: {errors[0].removeprefix('ERROR:').strip()}")
        self.output = output


def quoted(command: tuple[str, ...]) -> str:
    """Return the command as one line for this system's terminal."""
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


@dataclass(frozen=True)
class Shell:
    """Shows each command and runs it in `folder`; with `dry_run` it only shows.

    `cures` says, for each program that may be missing, how to get it. With `quiet` it shows no command that only reads.
    """

    folder: Path
    dry_run: bool = False
    cures: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False

    def read(self, *command: str) -> str:
        """Run a command for its output. Raises CommandError when it fails, UserError when the program is missing."""
        return self._executed(command, captured=True, variables={})

    def run(self, *command: str, variables: Mapping[str, str] | None = None) -> None:
        """Run a command whose output goes to the terminal while it works; `variables` are added to the environment.

        Raises CommandError when it fails, UserError when the program is missing.
        """
        self._executed(command, captured=False, variables=variables or {})

    def _executed(self, command: tuple[str, ...], *, captured: bool, variables: Mapping[str, str]) -> str:
        if not (self.quiet and captured):
            print(quoted(command), flush=True)
        if self.dry_run:
            return ""
        # On Windows az is a script, az.cmd, which CreateProcess finds only by its full name.
        program = shutil.which(command[0])
        if program is None:
            raise UserError(f"{command[0]} is not installed: {self.cures.get(command[0], 'install it')}")
        code, output, errors = execute([program, *command[1:]], self.folder, variables, captured=captured)
        if code:
            raise CommandError(command, code, errors)
        return output


def execute(command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool) -> tuple[int, str, str]:
    """Run a command in `folder` and return its exit code, its output if `captured`, and its error stream.

    What is not captured is shown at once; the error stream is both shown and returned then.
    """
    environment = {**os.environ, **variables}
    # Without input a command that would ask a question fails instead of waiting for an answer for ever.
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if captured else None,
        stderr=subprocess.PIPE,
    )
    with process:
        if captured:
            output, errors = process.communicate()
            return process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
        assert process.stderr is not None
        stream, text = process.stderr.fileno(), ""
        # In pieces and not in lines: az shows progress as dots without a line break.
        for piece in iter(lambda: os.read(stream, 4096), b""):
            text += piece.decode("utf-8", "replace")
            print(piece.decode("utf-8", "replace"), end="", file=sys.stderr, flush=True)
        return process.wait(), "", text
