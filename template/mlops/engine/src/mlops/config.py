"""The project's environments (`config/<environment>.yml`), and what the monitor compares (`config/model.yml`)."""

import contextlib
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, field_validator, model_validator

from mlops import cron, limits
from mlops.errors import UserError
from mlops.project import CHANGE_ANSWER, UNKNOWN, AddOn, Problem, Project, Section, Text, load_yaml, problems_in
from mlops.removed_keys import REMOVED_KEYS

Percent = Annotated[int, Field(ge=1, le=99)]
Count = Annotated[int, Field(ge=1)]
LogDays = Annotated[int, Field(ge=30, le=730)]  # what Log Analytics takes
Range = Annotated[IPv4Network, Field(strict=False)]
Address = Annotated[IPv4Address, Field(strict=False)]
GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
Guid = Annotated[str, StringConstraints(pattern=f"^{GUID}$")]
PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")  # RFC 1918
NOT_PUBLIC = (*PRIVATE_RANGES, "0.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
PRIVATE_NETWORK = "infrastructure/shared/private-network.yml"
COLLECTED = "azureml://datastores/workspaceblobstore/paths/modelDataCollector"  # as Azure ML does by default
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # of a host: RFC 1123
HOST = rf"(?=.{{1,253}}$)(?!.*\.[0-9]+$)(\*\.)?{LABEL}(\.{LABEL})+"  # an address ends in a number, a host does not
RULES = 400  # of each kind in the firewall of a storage account
DOCKER_RANGE = IPv4Network("172.17.0.0/16")


def _each_once(values: list[Any]) -> list[Any]:
    """Return a list in which nothing is there twice, in whatever case: hosts, regions and ids of Azure know none."""
    known = [str(each).casefold() for each in values]
    if twice := [each for each in values if known.count(str(each).casefold()) > 1]:
        raise ValueError(f"{twice[0]} is there twice: remove one")
    return values


Once = AfterValidator(_each_once)
EndpointName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$")]

OF_GROUP = r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers"
ResourceId = Annotated[str, StringConstraints(pattern=rf"^{OF_GROUP}/.+$")]
OF_NETWORK = rf"{OF_GROUP}/Microsoft\.Network"
SubnetId = Annotated[str, StringConstraints(pattern=rf"^{OF_NETWORK}/virtualNetworks/[^/]+/subnets/[^/]+$")]
ZoneId = Annotated[str, StringConstraints(pattern=rf"^{OF_NETWORK}/privateDnsZones/[^/]+$")]
LogAnalyticsId = Annotated[
    str, StringConstraints(pattern=rf"^{OF_GROUP}/Microsoft\.OperationalInsights/workspaces/[^/]+$")
]
VaultId = Annotated[str, StringConstraints(pattern=rf"^{OF_GROUP}/Microsoft\.KeyVault/vaults/[^/]+$")]
IdentityId = Annotated[
    str, StringConstraints(pattern=rf"^{OF_GROUP}/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/]+$")
]
SMALLEST = {"endpoints_subnet": 27, "runners_subnet": 29}
"""The longest prefix of the subnets: room for all private endpoints, and Azure's own minimum."""


class Names(Section):
    """Names of the Azure resources of one environment. What is None is not the project's, or was not chosen."""

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
    registry_resource_group: Text | None = None
    """None in projects from before the key, whose registry is in the group of the environment that builds it."""
    registry_subscription: Guid | None = None
    """None where the registry is in the subscription of the environment."""
    registry_log_analytics: Text | None = None
    online_endpoint: EndpointName
    batch_endpoint: EndpointName


class Deployer(Section):
    """The identity that the workflows sign in with, and the resource group that `mlops bootstrap` made for it."""

    resource_group: Text
    identity: Text

    @property
    def reader(self) -> str:
        """The second identity, which may only read: it plans for pull requests and looks for drift."""
        return f"{self.identity}-read"


def _public_address(text: str) -> str:
    """Return a public IPv4 address or range as the firewall of a storage account takes it."""
    try:
        network = IPv4Network(text, strict=False)
    except ValueError as error:
        form = "write a public IPv4 address or a range, such as 20.50.7.9 or 20.50.7.0/28"
        raise ValueError(f"{text!r} is no address: {form}") from error
    if any(network.overlaps(IPv4Network(each)) for each in NOT_PUBLIC):
        raise ValueError(f"{text} is not public: write the address by which those machines go out, or their subnet")
    if network.prefixlen == 31:
        raise ValueError(f"a firewall takes no range of two: write {network[0]} and {network[1]}")
    if str(network) not in (text, f"{text}/32"):
        raise ValueError(f"{text} is within a range and not its start: write {network}, or one address without a /")
    return text.removesuffix("/32")


class Firewall(Section):
    """Who reaches Terraform's state, beside the sign-in: without any address or subnet it is everyone."""

    addresses: Annotated[
        list[Annotated[str, AfterValidator(_public_address)]], Field(default_factory=list, max_length=RULES), Once
    ]
    subnets: Annotated[list[SubnetId], Field(default_factory=list, max_length=RULES), Once]

    @property
    def admitted(self) -> set[str] | None:
        """The addresses and subnets, whose ids know no case; None for everyone."""
        return {*self.addresses, *(each.casefold() for each in self.subnets)} or None


class TerraformState(Section):
    """Where Terraform keeps its state: a blob in a storage account that exists before everything else."""

    resource_group: Text
    storage_account: Text
    container: Text
    key: Text
    firewall: Firewall | None = None
    """None leaves that of the account as it is."""

    @property
    def place(self) -> tuple[str, str, str]:
        """What names the blob in the world."""
        return self.storage_account, self.container, self.key


class Cluster(Section):
    """A compute cluster. For an existing one only the name is known."""

    name: Text
    vm_size: Text | None = None
    min_nodes: Annotated[int, Field(ge=0)] | None = None
    max_nodes: Count | None = None
    idle_minutes: Count | None = None


class User(Section):
    """A user of a compute instance: a short name, the object id in Entra ID, the name of the instance."""

    name: Text
    object_id: Guid
    instance: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$")]

    @field_validator("instance")
    @classmethod
    def _check_its_end(cls, name: str) -> str:
        if re.search(r"-[0-9]+$", name):
            raise ValueError(f"Azure accepts no instance whose name ends in a hyphen and a number: {name}")
        return name


class Instances(Section):
    """Compute instances: their size, when they start and stop (cron expressions), and their users."""

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
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes of each machine that answer requests, each with its own copy of the model, one request at a time."""


class TrainingCompute(Section):
    """How a distributed training is spread: over which cluster (None is the one of all steps), nodes and processes."""

    cluster: Text | None = None
    nodes: Count = 1
    processes_per_node: Count = 1


class BatchCompute(Section):
    """How a batch job spreads its files over a cluster (None is the one of pipelines), and treats unreadable ones."""

    cluster: Text | None = None
    instance_count: Count
    mini_batch_size: Count
    max_concurrency_per_instance: Count
    bad_files: Literal["report", "stop"] = "stop"  # files from before the key keep their meaning


class Compute(Section):
    """Everything that runs on a machine."""

    cluster: Cluster
    gpu_cluster: Cluster | None = None
    training: TrainingCompute = TrainingCompute()
    instances: Instances | None = None
    online: OnlineCompute
    batch: BatchCompute

    @property
    def training_cluster(self) -> str:
        """The name of the cluster of a distributed training."""
        return self.training.cluster or self.cluster.name

    @property
    def batch_cluster(self) -> str:
        """The name of the cluster of batch jobs."""
        return self.batch.cluster or self.cluster.name


class Model(Section):
    """The model's name, its experiment, and where deployments take it from."""

    name: Text
    experiment: Text
    source: Literal["workspace", "registry"]


class Delivery(Section):
    """Where a model goes from here: `next` is the environment that gets it afterwards, "" for none."""

    next: str = ""


class Rollout(Section):
    """The canary stage of a deployment, and what ends it.

    Its share of the traffic in percent and its length in minutes; the share of failed requests in percent and the
    latency in milliseconds (None: any) that it may not exceed; and what is done when no request comes.
    """

    canary_percent: Percent
    canary_minutes: Annotated[float, Field(ge=0)]
    max_error_percent: Annotated[float, Field(ge=0, le=100)] = 5
    max_latency_ms: Count | None = None  # files from before the key say nothing of how slow is too slow
    without_traffic: Literal["warn", "stop"] = "warn"


class Schedule(Section):
    """The cron expression of monitoring. Retraining has its own in the workflow that trains."""

    monitor_cron: Text
    time_zone: Text


class Monitor(Section):
    """The model monitor: whether there is one, days of production data per run, recipients of alerts, its machine."""

    enabled: bool = True  # files from before the key keep their monitor
    lookback_days: Count
    alert_emails: list[Text]
    vm: Text


class Budget(Section):
    """What the environment may cost a month, in the currency of the subscription's bill."""

    monthly_amount: Count


class Alerts(Section):
    """Alert thresholds: latency in milliseconds, failed requests in percent, failed jobs in an hour."""

    latency_ms: Count
    error_percent: Percent
    failed_jobs: Count


RuleName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]


class OutboundRule(Section):
    """One more way out for the compute: a private endpoint to a part of a resource, or a service tag with its ports."""

    resource_id: ResourceId | None = None
    group: Text | None = None
    service_tag: Text | None = None
    protocol: Literal["TCP", "UDP", "ICMP", "*"] = "TCP"
    ports: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "OutboundRule":
        to_resource, to_tag = (self.resource_id, self.group), (self.service_tag, self.ports)
        if not (all(to_resource) and not any(to_tag)) and not (all(to_tag) and not any(to_resource)):
            raise ValueError("give resource_id and group (a private endpoint), or service_tag and ports")
        return self


class Network(Section):
    """The private network: ranges of one's own or a subnet that exists, DNS zones, and where the compute may go."""

    address_space: Range | None = None
    endpoints_subnet: Range | None = None
    runners_subnet: Range | None = None
    existing_subnet_id: SubnetId | None = None
    nat: bool = True
    dns: Literal["own", "central", "policy"] = "own"
    dns_zone_ids: Annotated[list[ZoneId], Field(default_factory=list)]
    outbound: Literal["internet", "approved"]
    dns_servers: Annotated[list[Address], Field(default_factory=list, max_length=20), Once]  # as many as Azure takes
    outbound_hosts: Annotated[list[str], Once]
    outbound_rules: Annotated[dict[RuleName, OutboundRule], Field(default_factory=dict)]

    @field_validator("outbound_hosts")
    @classmethod
    def _hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not re.fullmatch(HOST, host):
                remedy = 'write its name alone, such as "index.example.com" or "*.example.com"; 80 and 443 are open'
                raise ValueError(f"{host!r} is no host: {remedy}")
        return hosts

    @field_validator("dns_servers")
    @classmethod
    def _servers(cls, servers: list[IPv4Address]) -> list[IPv4Address]:
        for each in servers:
            if each.is_loopback or each.is_multicast or each.is_reserved or each in IPv4Network("0.0.0.0/8"):
                raise ValueError(f"{each} is no address of a DNS server")
        return servers

    @field_validator("outbound_rules")
    @classmethod
    def _once(cls, rules: dict[str, OutboundRule]) -> dict[str, OutboundRule]:
        ways = [rule.model_dump_json().casefold() for rule in rules.values()]
        for name, way in zip(rules, ways, strict=True):
            if ways.count(way) > 1:
                raise ValueError(f"another rule has the way of {name}, and Azure takes one for each: remove one")
        return rules

    @field_validator("address_space")
    @classmethod
    def _private(cls, space: IPv4Network | None) -> IPv4Network | None:
        if space is None:
            return None
        if not any(space.subnet_of(IPv4Network(each)) for each in PRIVATE_RANGES):
            raise ValueError(f"{space} is no private range: use one inside {', '.join(PRIVATE_RANGES)}")
        if space.overlaps(DOCKER_RANGE):
            raise ValueError(f"{space} overlaps {DOCKER_RANGE}, which Docker on the compute routes to itself")
        return space

    @model_validator(mode="after")
    def _subnets_fit(self) -> "Network":
        names = ("address_space", "endpoints_subnet", "runners_subnet")
        space, endpoints, runners = ranges = (self.address_space, self.endpoints_subnet, self.runners_subnet)
        if self.existing_subnet_id and self.dns_servers:
            raise ValueError("existing_subnet_id is in a network with DNS servers of its own: remove dns_servers")
        if self.existing_subnet_id:
            if given := [name for name, value in zip(names, ranges, strict=True) if value]:
                raise ValueError(f"existing_subnet_id is in a network that exists: remove {', '.join(given)}")
            return self
        if space is None or endpoints is None or runners is None:
            missing = [name for name, value in zip(names, ranges, strict=True) if value is None]
            raise ValueError(f"{', '.join(missing)}: the key is missing, and so is existing_subnet_id")
        for name, subnet in (("endpoints_subnet", endpoints), ("runners_subnet", runners)):
            if not subnet.subnet_of(space):
                raise ValueError(f"{name} {subnet} is not inside address_space {space}")
            if subnet.prefixlen > SMALLEST[name]:
                raise ValueError(f"{name} {subnet} is too small: use a range of /{SMALLEST[name]} or larger")
        if endpoints.overlaps(runners):
            raise ValueError(f"endpoints_subnet {endpoints} overlaps runners_subnet {runners}")
        return self

    @model_validator(mode="after")
    def _zones_fit(self) -> "Network":
        if self.dns_zone_ids and self.dns != "central":
            raise ValueError(f'dns_zone_ids are for dns: "central", and dns is "{self.dns}": change one of the two')
        return self


class ModelRegistry(Section):
    """The Azure ML registry that is built with this environment: its regions, who reaches it, its log."""

    locations: Annotated[list[Text], Field(min_length=1), Once]
    public_network_access: bool
    log_days: LogDays | None = None  # only where the registry has a resource group of its own


class Retention(Section):
    """Days for which logs, earlier versions of blobs and collected requests are kept, and where else logs go."""

    log_days: LogDays
    version_days: Count = 30  # files from before these two keys
    collected_days: Count = 90
    log_analytics_id: LogAnalyticsId | None = None


class Storage(Section):
    """How the storage accounts keep their copies, and whether account keys open that of the workspace."""

    redundancy: Literal["LRS", "ZRS"] = "LRS"
    shared_keys: bool = False


class CustomerKey(Section):
    """A key of the company in a vault of its own, and the identity of the company that may use it."""

    key_id: Annotated[str, StringConstraints(pattern=r"^https://[^/]+/keys/[^/]+/[0-9a-f]{32}$")]
    vault_id: VaultId
    identity_id: IdentityId
    identity_client_id: Guid

    @model_validator(mode="after")
    def _key_is_in_the_vault(self) -> "CustomerKey":
        name = self.vault_id.rpartition("/")[2]
        if not self.key_id.startswith(f"https://{name}.".lower()):
            raise ValueError(f"key_id is of another vault than vault_id, {name}: correct one of the two")
        return self


class Security(Section):
    """Switches of the infrastructure's security, and the company's own key instead of Azure's."""

    purge_protection: bool
    delete_lock: bool
    customer_key: CustomerKey | None = None


class Access(Section):
    """Who works in the workspace without a compute instance: groups in Entra ID, by object id."""

    data_scientists: Annotated[list[Guid], Field(default_factory=list)]

    @field_validator("data_scientists")
    @classmethod
    def _once(cls, groups: list[str]) -> list[str]:
        if twice := sorted({each for each in groups if [one.casefold() for one in groups].count(each.casefold()) > 1}):
            raise ValueError(f"the group {twice[0]} is there twice: remove one")
        return groups


class EnvironmentConfig(Section):
    """One environment, as written in `config/<environment>.yml`."""

    environment: Text
    protected: bool = True  # a file without the key must not lose its protection
    location: Text
    new_regions: Annotated[list[Text], Field(default_factory=list)]
    """Regions that Azure has and `mlops.limits` does not know yet."""
    tags: dict[str, str]
    names: Names
    deployer: Deployer
    terraform_state: TerraformState | None = None
    compute: Compute
    model: Model
    delivery: Delivery = Delivery()
    rollout: Rollout
    schedule: Schedule
    monitor: Monitor
    budget: Budget | None = None
    alerts: Alerts | None = None
    network: Network | None = None
    model_registry: ModelRegistry | None = None
    retention: Retention | None = None
    storage: Storage | None = None
    security: Security | None = None
    access: Access | None = None

    @property
    def redundancy(self) -> str:
        """How the storage accounts keep their copies; files from before the key have the cheaper way."""
        return (self.storage or Storage()).redundancy

    @property
    def storage_hosts(self) -> list[str]:
        """The hosts of the blobs that the endpoint's identity may read: that of the workspace.

        There is none in a workspace of others, whose storage account has no name here.
        """
        account = self.names.storage_account
        return [f"{account}.blob.core.windows.net"] if account else []

    def collection_name(self, collection: str) -> str:
        """Return the name of the data asset of a collection, such as `model_inputs`: that of all online deployments.

        By default each deployment has its own, so that a monitor sees nothing of the time before the last rollout.
        """
        return f"{self.names.online_endpoint}-{collection}"

    def collection_path(self, collection: str) -> str:
        """Return where all online deployments put what they collect: each machine writes files of its own name."""
        return f"{COLLECTED}/{self.names.online_endpoint}/{collection}"

    @property
    def registry_group(self) -> str:
        """The resource group of the model registry that this environment builds or creates by a promotion."""
        return self.names.registry_resource_group or self.names.resource_group

    @property
    def builds_registry_apart(self) -> bool:
        """Whether the model registry is built with this environment, but in a resource group and a state of its own."""
        return self.model_registry is not None and self.names.registry_resource_group is not None

    @property
    def keeps_registry_in_own_group(self) -> bool:
        """Whether the model registry, which has a state of its own, stays in the environment's resource group."""
        group = self.names.registry_resource_group
        return group is not None and group.casefold() == self.names.resource_group.casefold()

    @property
    def shared_tags(self) -> dict[str, str]:
        """The tags of what belongs to all environments."""
        return self.tags | {"environment": "shared"}

    @property
    def closed(self) -> bool:
        """Whether nothing of the environment can be reached from the internet."""
        return self.network is not None

    @property
    def closed_state(self) -> bool:
        """Whether Terraform's state is reached from some addresses and subnets alone."""
        firewall = self.terraform_state.firewall if self.terraform_state else None
        return firewall is not None and firewall.admitted is not None

    @property
    def provisioned(self) -> bool:
        """Whether the project builds the environment's resources; otherwise the workspace is an existing one."""
        return self.security is not None


def load_environment(project: Project, name: str) -> EnvironmentConfig:
    """Read and check `config/<name>.yml`.

    Raises:
        UserError: The environment is unknown, the YAML is broken, or a key is missing, unknown or of a wrong type.
    """
    if name not in project.environments:
        raise UserError(f"unknown environment {name!r}: config/ describes {', '.join(project.environments) or 'none'}")
    config, problems = read_environment(project, name)
    if config is None or problems:
        raise UserError(f"config/{name}.yml: {problems[0]}")
    return config


def builds_registry_apart(project: Project) -> bool:
    """Return whether an environment builds the model registry in a resource group of its own."""
    return any(load_environment(project, name).builds_registry_apart for name in project.environments)


def read_environment(project: Project, name: str) -> tuple[EnvironmentConfig | None, list[Problem]]:
    """Read `config/<name>.yml` and return it with all that is wrong in it; None when its values have no valid form.

    Raises:
        UserError: The YAML is broken.
    """
    document = load_yaml(project.root / "config" / f"{name}.yml")
    try:
        config = EnvironmentConfig.model_validate(document)
    except ValidationError as error:
        return None, [_explained(problem, document, project) for problem in problems_in(error)]
    problems = list(_section_problems(project, config))
    if config.environment != name:
        problems.insert(0, Problem("environment", f"is {config.environment!r}, but must be {name!r}"))
    return config, problems


def _explained(problem: Problem, document: Mapping[str, Any], project: Project) -> Problem:
    """Return the problem of an unknown key with its successor, if a release removed it."""
    if problem.key not in REMOVED_KEYS or problem.text != UNKNOWN:
        return problem
    value: Any = document
    for part in problem.key.split("."):
        value = value[part]
    return Problem(problem.key, successor(project, problem.key, value))


def successor(project: Project, key: str, value: object) -> str:
    """Return what a key that a release removed is now, and what happens to an environment that only loses it."""
    removed = REMOVED_KEYS[key]
    text = f"{removed.release} removed this key, and {removed.now}"
    if removed.add_on in project.add_ons or (removed.unless is not None and value == removed.unless):
        return f"{text}: delete this key, which changes nothing here"
    if removed.add_on is None:
        return f"{text}; {removed.consequence}"
    if project.infrastructure == "existing":
        return f"{text}; in workspaces of others it is their owners who close them: delete this key"
    remedy = f"commit the update, then {choose(project, removed.add_on)}"
    deployed = "a workspace that is deployed must be torn down before (docs/update.md)"
    return f"{text}: {remedy}; {deployed}; {removed.consequence}"


@dataclass(frozen=True)
class DriftRules:
    """What the monitor of a deployment compares.

    Attributes:
        thresholds: For "numerical" and "categorical" features, a metric of Azure ML with its threshold.
        features: The names of the features to compare, or "all_features".
    """

    thresholds: Mapping[str, Mapping[str, float]]
    features: Sequence[str] | Literal["all_features"] = "all_features"


def drift_rules(project: Project) -> DriftRules:
    """Return what a monitor compares: the features but those of the calendar, by the thresholds of config/model.yml.

    The SDK and the CLI of Azure ML send one metric for each type of feature and drop others silently, so that the first
    one is chosen here.

    Raises:
        UserError: There are no thresholds, or they are malformed.
    """
    thresholds = load_yaml(project.settings).get("drift")
    if not isinstance(thresholds, dict):
        raise UserError("config/model.yml: drift: the key is missing")
    if not all(isinstance(metrics, dict | None) for metrics in thresholds.values()):
        raise UserError("config/model.yml: drift: give `metric: threshold` lines under numerical and categorical")
    first = {kind: dict([next(iter(metrics.items()))]) for kind, metrics in thresholds.items() if metrics}
    schema = load_yaml(project.schema)
    inputs = {
        name: column
        for name, column in {**schema.get("columns", {}), **(schema.get("features") or {})}.items()
        if column.get("role") != "ignore" and name != schema.get("target")
    }
    left_out = ("calendar", "input")
    compared = [
        name for name, column in inputs.items() if column.get("role") not in left_out and column["type"] != "date"
    ]
    return DriftRules(first) if len(compared) == len(inputs) else DriftRules(first, compared)


@dataclass(frozen=True)
class Sweep:
    """A search for hyperparameters in Azure ML's own terms: what the section `tuning` of config/model.yml means there.

    Attributes:
        search_space: The distribution of each hyperparameter by its name on Azure ML, where a dot is `__`.
        objective: Its `goal`, minimize or maximize, and the `primary_metric` that each trial logs.
        sampling_algorithm: A name, or a mapping with a `type`.
        early_termination: The policy with its `type`; None never stops a trial.
        limits: `max_total_trials`, `max_concurrent_trials`, and the `timeout` in seconds, if there is one.
        inputs: The type of the input that a trial has for each hyperparameter.
        candidate: The option of a trial: each hyperparameter by its name in config/model.yml, with a placeholder such
            as `${{inputs.learning_rate}}` for its value.
    """

    search_space: Mapping[str, Mapping[str, Any]]
    objective: Mapping[str, str]
    sampling_algorithm: str | Mapping[str, Any]
    early_termination: Mapping[str, Any] | None
    limits: Mapping[str, int]
    inputs: Mapping[str, str]
    candidate: str


def model_task(project: Project) -> str:
    """Return the task of the model, by what is collected of its predictions: "regression" or "classification".

    Of a prediction that is a text a deployment collects how long it is, which is a number.
    """
    task = str(load_yaml(project.schema).get("task"))
    return task if task == "classification" else "regression"


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
    "access": ("terraform", "bicep"),
}
"""The parts that the tools of the infrastructure read."""


GPUS = {
    "nc4as_t4_v3 nc8as_t4_v3 nc16as_t4_v3 nc6s_v3 nc24ads_a100_v4 nc40ads_h100_v5 ncc40ads_h100_v5": 1,
    "nv6ads_a10_v5 nv12ads_a10_v5 nv18ads_a10_v5 nv36ads_a10_v5 nv36adms_a10_v5": 1,
    "nc12s_v3 nc48ads_a100_v4 nc80adis_h100_v5 nv72ads_a10_v5": 2,
    "nc64as_t4_v3 nc24s_v3 nc24rs_v3 nc96ads_a100_v4": 4,
    "nd40rs_v2 nd96asr_v4 nd96amsr_a100_v4 nd96isr_h100_v5 nd96isr_h200_v5": 8,
}
"""How many GPUs the sizes have, as far as that is known; a share of a GPU counts as one."""


def gpus(vm_size: str | None) -> int | None:
    """Return how many GPUs a machine of a size has; None of a size that is not in the table, or without any."""
    name = (vm_size or "").lower().removeprefix("standard_")
    return next((count for names, count in GPUS.items() if name in names.split()), None)


def _cluster_problems(compute: Compute) -> Iterator[Problem]:
    """Find jobs for a cluster that is not there, or that is too small for them."""
    clusters = {cluster.name: cluster for cluster in (compute.cluster, compute.gpu_cluster) if cluster}
    if compute.gpu_cluster and compute.gpu_cluster.name == compute.cluster.name:
        yield Problem("compute.gpu_cluster.name", f"compute.cluster is {compute.cluster.name}, too: use another name")
    for name, each in (("cluster", compute.cluster), ("gpu_cluster", compute.gpu_cluster)):
        if each and (each.min_nodes or 0) > (each.max_nodes or each.min_nodes or 0):
            yield Problem(f"compute.{name}.min_nodes", f"{each.min_nodes} are more than max_nodes, {each.max_nodes}")
    for section, name in (("training", compute.training_cluster), ("batch", compute.batch_cluster)):
        if name not in clusters:
            yield Problem(f"compute.{section}.cluster", f"there is no cluster {name}: use {' or '.join(clusters)}")
    cluster = clusters.get(compute.training_cluster)
    if cluster and cluster.max_nodes is not None and compute.training.nodes > cluster.max_nodes:
        problem = f"{compute.training.nodes} are more than the max_nodes of {cluster.name}, {cluster.max_nodes}"
        yield Problem("compute.training.nodes", problem)
    found, wanted = gpus(cluster.vm_size if cluster else None), compute.training.processes_per_node
    if cluster and found is not None and wanted > found:
        problem = f"{wanted} processes, and {cluster.vm_size} of {cluster.name} has {found}: use one process per GPU"
        yield Problem("compute.training.processes_per_node", problem)


def _delivery_problems(project: Project, config: EnvironmentConfig) -> Iterator[Problem]:
    """Find a next environment that cannot get the model."""
    following = config.delivery.next
    if not following:
        return
    others = [name for name in project.environments if name != config.environment]
    if following not in others:
        yield Problem(
            "delivery.next", f"is {following!r}, but the other environments are {', '.join(others) or 'none'}"
        )
        return
    with contextlib.suppress(UserError):  # what is wrong with the other file is reported for that one
        source = load_yaml(project.root / "config" / f"{following}.yml").get("model")
        if isinstance(source, dict) and source.get("source") == "workspace":
            problem = f"{following} takes its models from its own workspace: choose one with model.source registry"
            yield Problem("delivery.next", problem)


def _rollout_problems(config: EnvironmentConfig) -> Iterator[Problem]:
    """Find a canary that no request could ever reach."""
    if config.rollout.without_traffic == "stop" and not config.rollout.canary_minutes:
        problem = 'is "stop", but a canary of 0 minutes is not watched: raise rollout.canary_minutes, or choose "warn"'
        yield Problem("rollout.without_traffic", problem)


OF_THE_REGISTRY = ("names.registry_resource_group", "names.registry_log_analytics", "names.registry_subscription")
"""Names that an environment may lack: projects from before them have the registry in an environment's group."""


def _registry_problems(config: EnvironmentConfig) -> Iterator[Problem]:
    """Find a registry that would not be apart from the environment, or would be without its log."""
    # Of a registry that is there Terraform can move the state, and Azure not the place (docs/infrastructure.md).
    if config.keeps_registry_in_own_group and config.terraform_state is None:
        group = config.names.registry_resource_group
        yield Problem(OF_THE_REGISTRY[0], f"{group} is the environment's own group, which a teardown deletes")
    if config.builds_registry_apart and config.names.registry_log_analytics is None:
        yield Problem(OF_THE_REGISTRY[1], "the key is missing, and the registry in a group of its own needs it")
    if config.builds_registry_apart and config.model_registry and config.model_registry.log_days is None:
        yield Problem("model_registry.log_days", "the key is missing, and the registry in a group of its own needs it")


def _firewall_problems(project: Project, config: EnvironmentConfig) -> Iterator[Problem]:
    """Find another environment that has its state in the same account, and another firewall for it."""
    state = config.terraform_state
    if state is None or state.firewall is None:
        return
    for name in project.environments:
        with contextlib.suppress(UserError, ValidationError):  # what is wrong there is reported for that one
            found = load_yaml(project.root / "config" / f"{name}.yml").get("terraform_state")
            other = TerraformState.model_validate(found)
            same = other.firewall is not None and other.firewall.admitted == state.firewall.admitted
            if other.storage_account == state.storage_account and not same:
                problem = f"{name} has its state in {state.storage_account}, too, and another firewall: write the same"
                yield Problem("terraform_state.firewall", problem)


def _zone_problems(project: Project, config: EnvironmentConfig) -> Iterator[Problem]:
    """Find central DNS zones that are missing, or of which no private endpoint has a use."""
    network = config.network
    if network is None or network.dns != "central":
        return
    endpoints = load_yaml(project.root / PRIVATE_NETWORK)["endpoints"].values()
    zones: dict[str, set[str]] = {}
    for each in endpoints:
        zones.setdefault(each["on"], set()).update(each["zones"])
    needed = set().union(*(found for on, found in zones.items() if on != "data_lake" or config.names.data_lake))
    given = [each.rpartition("/")[2] for each in network.dns_zone_ids]
    if strange := sorted(set(given) - set().union(*zones.values())):
        problem = f"no private endpoint has a use for {', '.join(strange)}: the zones are {', '.join(sorted(needed))}"
        yield Problem("network.dns_zone_ids", problem)
    if missing := sorted(needed - set(given)):
        yield Problem("network.dns_zone_ids", f"add the id of the zone {', '.join(missing)}")
    if twice := sorted({each for each in given if given.count(each) > 1}):
        yield Problem("network.dns_zone_ids", f"{', '.join(twice)} is there twice: keep the one that your network uses")


def _azure_problems(config: EnvironmentConfig) -> Iterator[Problem]:
    """Find what Azure would refuse by its form, perhaps in the middle of a deployment."""
    yield from (Problem(key, text) for key, text in _forms(config) if text)
    # Of a workspace of others the tags are on what `mlops bootstrap` makes.
    zones = config.network is not None and config.network.dns == "own"
    for name, text in limits.tag_problems(config.tags, zones=zones):
        yield Problem(".".join(filter(None, ("tags", name))), text)
    state = config.terraform_state
    # Terraform makes the group, and fails where it is there; Bicep takes it as it is.
    kept = {config.deployer.resource_group: "deployer", state.resource_group: "terraform_state"} if state else {}
    for key in ("resource_group", "registry_resource_group"):
        group = getattr(config.names, key)
        for other, section in kept.items():
            if config.provisioned and group and group.casefold() == other.casefold():
                problem = f"{group} is the group of {section}, too, and a teardown deletes all that is in it"
                yield Problem(f"names.{key}", f"{problem}: use another name")


def _forms(config: EnvironmentConfig) -> Iterator[tuple[str, str]]:
    """Give each value with a form of its own: its key, and what is wrong, if anything."""
    yield "location", limits.region_problem(config.location, config.new_regions)
    for number, region in enumerate(config.model_registry.locations if config.model_registry else ()):
        yield f"model_registry.locations.{number}", limits.region_problem(region, config.new_regions)
    if config.provisioned:  # what others have built is there, by whatever name
        for kind, name in config.names:
            if name is not None and kind in limits.NAMES:
                yield f"names.{kind}", limits.name_problem(kind, name)
        for key, cluster in (("cluster", config.compute.cluster), ("gpu_cluster", config.compute.gpu_cluster)):
            if cluster:
                yield f"compute.{key}.name", limits.name_problem("cluster", cluster.name)
    for kind in ("resource_group", "identity"):
        yield f"deployer.{kind}", limits.name_problem(kind, getattr(config.deployer, kind))
    for kind in ("resource_group", "storage_account", "container") if config.terraform_state else ():
        yield f"terraform_state.{kind}", limits.name_problem(kind, getattr(config.terraform_state, kind))
    for number, address in enumerate(config.monitor.alert_emails):
        yield f"monitor.alert_emails.{number}", limits.mail_problem(address)
    instances = config.compute.instances
    hours = [("schedule.monitor_cron", config.schedule.monitor_cron)]
    zones = [("schedule.time_zone", config.schedule.time_zone)]
    if instances:
        hours += [(f"compute.instances.{key}", getattr(instances, key)) for key in ("start_cron", "stop_cron")]
        zones += [("compute.instances.time_zone", instances.time_zone)]
    yield from ((key, problem) for key, expression in hours for problem in cron.problems(expression))
    yield from ((key, limits.time_zone_problem(zone)) for key, zone in zones)


def _section_problems(project: Project, config: EnvironmentConfig) -> Iterator[Problem]:
    """Find parts of the file that nothing would build, and infrastructure without its settings."""
    yield from _azure_problems(config)
    yield from _cluster_problems(config.compute)
    yield from _delivery_problems(project, config)
    yield from _rollout_problems(config)
    yield from _registry_problems(config)
    yield from _zone_problems(project, config)
    yield from _firewall_problems(project, config)
    if config.names.data_lake and config.names.data_lake == config.names.storage_account:
        yield Problem("names.data_lake", "is the storage account of the workspace, too: use another name")
    optional = {path for paths in ADD_ONS.values() for path in paths} | {*OF_THE_REGISTRY}
    for add_on, paths in ADD_ONS.items():
        for path in paths:
            there = operator.attrgetter(path)(config) is not None
            if there and add_on not in project.add_ons:
                remedy = choose(project, add_on) if config.provisioned else "remove the key"
                yield Problem(path, f"the project does not build this: {remedy}")
            if not there and add_on in project.add_ons and path not in ONLY_IN_SOME:
                yield Problem(path, f"the key is missing, and the add-on {add_on} needs it")
    for key, tools in TOOLS.items():
        there = getattr(config, key) is not None
        if there and project.infrastructure not in tools:
            yield Problem(key, "the project does not build this: remove the key")
        if not there and project.infrastructure in tools and key != "access":
            yield Problem(key, "the key is missing")
    if config.storage is not None and project.infrastructure not in TOOLS["security"]:
        yield Problem("storage", "the project does not build this: remove the key")
    if config.retention and config.retention.collected_days < 2 * config.monitor.lookback_days:
        least = 2 * config.monitor.lookback_days
        problem = f"the monitor compares two times {config.monitor.lookback_days} days: keep {least} at least"
        yield Problem("retention.collected_days", problem)
    if config.provisioned != (project.infrastructure in TOOLS["security"]):
        return  # what else belongs here depends on that section
    for name, cluster in (("cluster", config.compute.cluster), ("gpu_cluster", config.compute.gpu_cluster)):
        for key, value in cluster or ():
            if key != "name" and (value is None) == config.provisioned:
                problem = "the key is missing" if value is None else "the project does not build this: remove the key"
                yield Problem(f"compute.{name}.{key}", problem)
    for name, value in config.names:
        if value is None and config.provisioned and f"names.{name}" not in optional:
            yield Problem(f"names.{name}", "the key is missing")


def choose(project: Project, add_on: str) -> str:
    """Return how an add-on is chosen, as the end of a sentence."""
    chosen = ", ".join([*project.add_ons, add_on])
    return f"choose the add-on {add_on} with `{CHANGE_ANSWER} 'add_ons=[{chosen}]'`"
