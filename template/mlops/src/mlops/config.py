"""The project's choices (`[tool.mlops]` in pyproject.toml) and its environments (`config/<environment>.yml`)."""

import importlib
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mlops import UserError

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f]+$")]
Percent = Annotated[int, Field(ge=1, le=99)]
Count = Annotated[int, Field(ge=1)]
EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$")]


@dataclass(frozen=True)
class Project:
    """A project's root folder and the choices made when it was created."""

    root: Path
    package: str
    version: str
    infrastructure: str

    @classmethod
    def load(cls, root: Path | None = None) -> "Project":
        """Find the project that contains `root` (default: the working directory).

        Raises UserError when no pyproject.toml with a [tool.mlops] table lies there or above.
        """
        start = (root or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            path = folder / "pyproject.toml"
            if not path.is_file():
                continue
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("mlops")
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise UserError(f"{path} is not valid TOML: {error}") from error
            if table is None:
                continue
            try:
                return cls(folder, table["package"], table["version"], table["infrastructure"])
            except KeyError as error:
                raise UserError(f"{path}: [tool.mlops] lacks the key {error.args[0]}") from error
        raise UserError(f"no project at {start}: run mlops in the folder of a generated project (or below it)")

    def module(self, name: str) -> ModuleType:
        """Import a module of the project's data-science package."""
        return importlib.import_module(f"{self.package}.{name}")

    def definition(self, name: str, folder: Path | None = None) -> ModuleType:
        """Import a Python file of `folder` (default: the definitions), which finds its neighbours as a script does.

        Raises UserError when there is no such file.
        """
        folder = (folder or self.definitions).resolve()
        if not (folder / f"{name}.py").is_file():
            raise UserError(f"{folder / name}.py is missing")
        for known in [path.stem for path in folder.glob("*.py")]:
            # A file of the same name in another project's folder is another module.
            if known in sys.modules and Path(sys.modules[known].__file__ or "").parent != folder:
                del sys.modules[known]
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        return importlib.import_module(name)

    @property
    def data(self) -> Path:
        """The folder of the sample data and its schema."""
        return self.root / "data"

    @property
    def schema(self) -> Path:
        """The description of the data's columns."""
        return self.data / "schema.yml"

    @property
    def settings(self) -> Path:
        """The settings of training, evaluation, promotion and drift."""
        return self.root / "config" / "model.yml"

    @property
    def definitions(self) -> Path:
        """The folder of the pipeline, endpoint and schedule definitions of the chosen version."""
        return self.root / "mlops" / self.version

    @property
    def environments(self) -> list[str]:
        """The names of the environments that `config/` describes."""
        return sorted(path.stem for path in (self.root / "config").glob("*.yml") if path != self.settings)


class Section(BaseModel):
    """A part of an environment's file: unknown keys and wrong types are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Names(Section):
    """Names of the Azure resources of one environment."""

    resource_group: Text
    workspace: Text
    storage_account: Text
    key_vault: Text
    container_registry: Text
    log_analytics: Text
    application_insights: Text
    workspace_identity: Text
    compute_identity: Text
    endpoint_identity: Text
    registry: Text
    online_endpoint: EndpointName
    batch_endpoint: EndpointName


class TerraformState(Section):
    """Where Terraform keeps its state: a blob in a storage account that exists before everything else."""

    resource_group: Text
    storage_account: Text
    container: Text
    key: Text


class Cluster(Section):
    """The compute cluster of pipelines and batch jobs."""

    name: Text
    vm_size: Text
    min_nodes: Annotated[int, Field(ge=0)]
    max_nodes: Count
    idle_minutes: Count


class OnlineCompute(Section):
    """The machines behind the online endpoint."""

    vm_size: Text
    instance_count: Count


class BatchCompute(Section):
    """How a batch job spreads its files over the cluster."""

    instance_count: Count
    mini_batch_size: Count
    max_concurrency_per_instance: Count


class Compute(Section):
    """Everything that runs on a machine."""

    cluster: Cluster
    online: OnlineCompute
    batch: BatchCompute


class Model(Section):
    """The model's name, its experiment, and where deployments take it from."""

    name: Text
    experiment: Text
    source: Literal["workspace", "registry"]


class Rollout(Section):
    """The canary stage of a deployment: its share of the traffic in percent and its length in minutes."""

    canary_percent: Percent
    canary_minutes: Annotated[float, Field(ge=0)]


class Schedule(Section):
    """Cron expressions of retraining and monitoring."""

    retrain_cron: Text
    monitor_cron: Text
    time_zone: Text


class Monitor(Section):
    """The model monitor: days of production data per run, who hears of an alert, the Spark machine."""

    lookback_days: Count
    alert_emails: list[Text]
    vm: Text


class Retention(Section):
    """How long logs are kept."""

    log_days: Count


class Security(Section):
    """Switches of the infrastructure's security."""

    purge_protection: bool
    public_network_access: bool


class EnvironmentConfig(Section):
    """One environment, as written in `config/<environment>.yml`."""

    environment: Text
    location: Text
    tags: dict[str, str]
    names: Names
    terraform_state: TerraformState
    compute: Compute
    model: Model
    rollout: Rollout
    schedule: Schedule
    monitor: Monitor
    retention: Retention
    security: Security


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises UserError, naming file and line, when the file is missing, broken or holds something else.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected keys and values, found {type(document).__name__}")
    return document


def load_environment(project: Project, name: str) -> EnvironmentConfig:
    """Read and check `config/<name>.yml`.

    Raises UserError for an unknown environment, broken YAML, and a missing, unknown or ill-typed key.
    """
    if name not in project.environments:
        raise UserError(f"unknown environment {name!r}: config/ describes {', '.join(project.environments) or 'none'}")
    path = project.root / "config" / f"{name}.yml"
    try:
        config = EnvironmentConfig.model_validate(load_yaml(path))
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        problem = {"missing": "the key is missing", "extra_forbidden": "unknown key"}.get(fault["type"], fault["msg"])
        raise UserError(f"config/{name}.yml: {key}: {problem[0].lower()}{problem[1:]}") from error
    if config.environment != name:
        raise UserError(f"config/{name}.yml: environment: is {config.environment!r}, but must be {name!r}")
    return config
