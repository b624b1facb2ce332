"""The project's choices (`[tool.mlops]` in pyproject.toml) and its environments (`config/<environment>.yml`)."""

import importlib
import operator
import re
import sys
import tomllib
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from mlops.errors import UserError

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f]+$")]
Percent = Annotated[int, Field(ge=1, le=99)]
Count = Annotated[int, Field(ge=1)]
Range = Annotated[IPv4Network, Field(strict=False)]
GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
Guid = Annotated[str, StringConstraints(pattern=f"^{GUID}$")]
AddOn = Literal[
    "private-network", "user-with-compute-instance", "monitoring", "gpu-cluster", "model-registry", "data-lake"
]
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")  # RFC 1918
DOCKER_RANGE = IPv4Network("172.17.0.0/16")
EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$")]


@dataclass(frozen=True)
class Project:
    """A project's root folder and the choices made when it was created."""

    root: Path
    package: str
    version: str
    infrastructure: str
    add_ons: tuple[str, ...] = ()
    orchestration: str = "github-actions"
    repository: str = ""
    environment_order: tuple[str, ...] = ()

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
                choices = Choices.model_validate(table)
            except ValidationError as error:
                raise UserError(f"{path}: [tool.mlops] {_first_fault(error)}") from error
            if not (folder / "mlops" / choices.version).is_dir():
                raise UserError(f"{path}: [tool.mlops] version: there is no folder mlops/{choices.version}")
            chosen = choices.model_dump(exclude={"environments"}) | {"add_ons": tuple(choices.add_ons)}
            project = cls(folder, **chosen, environment_order=tuple(choices.environments))
            if unknown := [name for name in project.environment_order if name not in project.environments]:
                raise UserError(f"{path}: [tool.mlops] environments: there is no config/{unknown[0]}.yml")
            return project
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
        """The names of the environments that `config/` describes, in the order in which a model passes through them."""
        found = sorted(path.stem for path in (self.root / "config").glob("*.yml") if path != self.settings)
        order = {name: place for place, name in enumerate(self.environment_order)}
        return sorted(found, key=lambda name: order.get(name, len(order)))

    @property
    def first_environment(self) -> str:
        """The environment where models are trained, and the default of every verb.

        Raises:
            UserError: `config/` describes no environment.
        """
        if not self.environments:
            raise UserError("config/ describes no environment: restore its files from Git")
        return self.environments[0]


class Section(BaseModel):
    """A part of an environment's file: unknown keys and wrong types are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Choices(Section):
    """The table [tool.mlops] in pyproject.toml: what was chosen when the project was created."""

    package: Text
    version: Literal["aml-cli-v2", "python-sdk-v2", "python-sdk-v1"]
    infrastructure: Literal["terraform", "bicep", "existing"]
    add_ons: list[AddOn] = []
    orchestration: Text = "github-actions"
    repository: Annotated[str, StringConstraints(pattern=r"^([^/\s]+/[^/\s]+)?$")] = ""
    environments: list[Text] = []


class Names(Section):
    """Names of the Azure resources of one environment. What is None was built by somebody else, or not chosen."""

    resource_group: Text
    workspace: Text
    storage_account: Text | None = None
    key_vault: Text | None = None
    container_registry: Text | None = None
    log_analytics: Text | None = None
    application_insights: Text | None = None
    workspace_identity: Text | None = None
    compute_identity: Text | None = None
    endpoint_identity: Text | None = None
    action_group: Text | None = None
    budget: Text | None = None
    data_lake: Text | None = None
    virtual_network: Text | None = None
    registry: Text
    online_endpoint: EndpointName
    batch_endpoint: EndpointName


class Deployer(Section):
    """The identity that the workflows sign in with, and the resource group that `mlops bootstrap` made for it."""

    resource_group: Text
    identity: Text


class TerraformState(Section):
    """Where Terraform keeps its state: a blob in a storage account that exists before everything else."""

    resource_group: Text
    storage_account: Text
    container: Text
    key: Text


class Cluster(Section):
    """A compute cluster. Of one that somebody else runs the project knows the name alone."""

    name: Text
    vm_size: Text | None = None
    min_nodes: Annotated[int, Field(ge=0)] | None = None
    max_nodes: Count | None = None
    idle_minutes: Count | None = None


class User(Section):
    """Somebody with a compute instance: a short name, the object id in Entra ID, the name of the instance."""

    name: Text
    object_id: Guid
    instance: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$")]

    @field_validator("instance")
    @classmethod
    def _no_number_at_the_end(cls, name: str) -> str:
        if re.search(r"-[0-9]+$", name):
            raise ValueError(f"Azure takes no instance whose name ends in a hyphen and a number: {name}")
        return name


class Instances(Section):
    """Compute instances: their size, when they start and stop (cron expressions), and whose they are."""

    vm_size: Text
    idle_minutes: Annotated[int, Field(ge=15, le=4320)]
    start_cron: Text
    stop_cron: Text
    time_zone: Text
    users: Annotated[list[User], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_for_each(self) -> "Instances":
        for key in ("name", "object_id", "instance"):
            values = [str(getattr(user, key)).casefold() for user in self.users]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"users: the {key} {value} is there twice")
        return self


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
    gpu_cluster: Cluster | None = None
    instances: Instances | None = None
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


class Budget(Section):
    """What the environment may cost a month, in the currency of the subscription's bill."""

    monthly_amount: Count


class Alerts(Section):
    """When somebody is called: latency in milliseconds, failed requests in percent, failed jobs in an hour."""

    latency_ms: Count
    error_percent: Percent
    failed_jobs: Count


class Network(Section):
    """Address ranges of the private network, and where the compute may go."""

    address_space: Range
    endpoints_subnet: Range
    runners_subnet: Range
    outbound: Literal["internet", "approved"]
    outbound_hosts: list[Annotated[str, StringConstraints(pattern=r"^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$")]]

    @field_validator("address_space")
    @classmethod
    def _private(cls, space: IPv4Network) -> IPv4Network:
        if not any(space.subnet_of(IPv4Network(each)) for each in PRIVATE_RANGES):
            raise ValueError(f"{space} is no private range: use one inside {', '.join(PRIVATE_RANGES)}")
        if space.overlaps(DOCKER_RANGE):
            raise ValueError(f"{space} overlaps {DOCKER_RANGE}, which Docker on the compute routes to itself")
        return space

    @model_validator(mode="after")
    def _subnets_fit(self) -> "Network":
        for name, subnet in (("endpoints_subnet", self.endpoints_subnet), ("runners_subnet", self.runners_subnet)):
            if not subnet.subnet_of(self.address_space):
                raise ValueError(f"{name} {subnet} is not inside address_space {self.address_space}")
        if self.endpoints_subnet.overlaps(self.runners_subnet):
            raise ValueError(f"endpoints_subnet {self.endpoints_subnet} overlaps runners_subnet {self.runners_subnet}")
        return self


class ModelRegistry(Section):
    """The Azure ML registry that is built with this environment: its regions, and whether the internet reaches it."""

    locations: Annotated[list[Text], Field(min_length=1)]
    public_network_access: bool


class Retention(Section):
    """How long logs are kept."""

    log_days: Count


class Security(Section):
    """Switches of the infrastructure's security."""

    purge_protection: bool
    delete_lock: bool


class EnvironmentConfig(Section):
    """One environment, as written in `config/<environment>.yml`."""

    environment: Text
    protected: bool = True  # a file without the key must not lose its protection
    location: Text
    tags: dict[str, str]
    names: Names
    deployer: Deployer
    terraform_state: TerraformState | None = None
    compute: Compute
    model: Model
    rollout: Rollout
    schedule: Schedule
    monitor: Monitor
    budget: Budget | None = None
    alerts: Alerts | None = None
    network: Network | None = None
    model_registry: ModelRegistry | None = None
    retention: Retention | None = None
    security: Security | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing of the environment can be reached from the internet."""
        return self.network is not None

    @property
    def provisioned(self) -> bool:
        """Whether the project builds the environment's resources; otherwise somebody else runs the workspace."""
        return self.security is not None


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises UserError, naming file and line, when the file is missing, broken or holds something else.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
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
        raise UserError(f"config/{name}.yml: {_first_fault(error)}") from error
    if config.environment != name:
        raise UserError(f"config/{name}.yml: environment: is {config.environment!r}, but must be {name!r}")
    _check_sections(project, config)
    return config


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    problem = {"missing": "the key is missing", "extra_forbidden": "unknown key"}.get(fault["type"], fault["msg"])
    problem = problem.removeprefix("Value error, ")
    return ": ".join([*filter(None, [".".join(map(str, fault["loc"]))]), problem[0].lower() + problem[1:]])


# The parts of an environment's file that an add-on reads.
ADD_ONS: dict[AddOn, tuple[str, ...]] = {
    "private-network": ("network", "names.virtual_network"),
    "user-with-compute-instance": ("compute.instances",),
    "monitoring": ("alerts",),
    "gpu-cluster": ("compute.gpu_cluster",),
    "model-registry": ("model_registry",),
    "data-lake": ("names.data_lake",),
}
ONLY_IN_SOME = ("compute.instances", "compute.gpu_cluster", "model_registry")
"""Parts that an environment may lack although the add-on is chosen."""

TOOLS = {
    "terraform_state": ("terraform",),
    "budget": ("terraform", "bicep"),
    "retention": ("terraform", "bicep"),
    "security": ("terraform", "bicep"),
}
"""The parts that the tools of the infrastructure read."""


def _check_sections(project: Project, config: EnvironmentConfig) -> None:
    """Refuse a part of the file that nothing would build, and infrastructure without its settings."""
    file = f"config/{config.environment}.yml"
    optional = {path for paths in ADD_ONS.values() for path in paths}
    for add_on, paths in ADD_ONS.items():
        for path in paths:
            there = operator.attrgetter(path)(config) is not None
            if there and add_on not in project.add_ons:
                cure = choose(project, add_on) if config.provisioned else "remove the key"
                raise UserError(f"{file}: {path}: the project does not build this: {cure}")
            if not there and add_on in project.add_ons and path not in ONLY_IN_SOME:
                raise UserError(f"{file}: {path}: the key is missing, and the add-on {add_on} needs it")
    for key, tools in TOOLS.items():
        there = getattr(config, key) is not None
        if there and project.infrastructure not in tools:
            raise UserError(f"{file}: {key}: the project does not build this: remove the key")
        if not there and project.infrastructure in tools:
            raise UserError(f"{file}: {key}: the key is missing")
    for name, cluster in (("cluster", config.compute.cluster), ("gpu_cluster", config.compute.gpu_cluster)):
        for key, value in cluster or ():
            if key != "name" and (value is None) == config.provisioned:
                problem = "the key is missing" if value is None else "the project does not build this: remove the key"
                raise UserError(f"{file}: compute.{name}.{key}: {problem}")
    for name, value in config.names:
        if value is None and config.provisioned and f"names.{name}" not in optional:
            raise UserError(f"{file}: names.{name}: the key is missing")


def choose(project: Project, add_on: str) -> str:
    """Return how an add-on is chosen, as the end of a sentence."""
    chosen = ", ".join([*project.add_ons, add_on])
    return f"choose the add-on {add_on} with `copier update --trust --vcs-ref=:current: --data 'add_ons=[{chosen}]'`"
