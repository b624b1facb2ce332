"""What would fail later, said before money is spent: each check is a function in CHECKS and yields what it found."""

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlops.config import EnvironmentConfig, Project, choose, load_environment, load_yaml
from mlops.errors import CommandError, UserError
from mlops.infrastructure.workspace import API_VERSION, CURES, purge_command
from mlops.shell import Shell, quoted
from mlops.subscription import account as azure

OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
BLOB_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
VAULTS_VERSION = "api-version=2023-07-01"
QUOTAS = "https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas"


@dataclass(frozen=True)
class Finding:
    """What a check found; everything but "ok" has a cure."""

    level: Literal["ok", "warning", "fault"]
    text: str
    cure: str = ""


def ok(text: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding("ok", text)


def warning(text: str, cure: str) -> Finding:
    """Return a finding that need not stop anybody."""
    return Finding("warning", text, cure)


def fault(text: str, cure: str) -> Finding:
    """Return a finding that will stop what comes later."""
    return Finding("fault", text, cure)


@dataclass(frozen=True)
class Machines:
    """Some machines of one size: what they do, and how many of them run at most at the same time."""

    role: str
    size: str
    count: int
    compute: str = ""


class Patient:
    """An environment, and what Azure and GitHub say of it; each question is asked once."""

    def __init__(self, project: Project, config: EnvironmentConfig) -> None:
        """Take the environment; nothing is asked yet."""
        self.project, self.config = project, config
        self.shell = Shell(project.root, remedies=CURES, quiet=True)
        self.new = project.infrastructure != "existing"
        self._answers: dict[tuple[str, ...], Any] = {}

    def az(self, *words: str) -> Any:
        """Ask `az`; None when Azure knows no such thing. Raises CommandError when it gives no answer."""
        if words not in self._answers:
            self._answers[words] = azure.find(self.shell, *words)
        return self._answers[words]

    def rest(self, path: str) -> list[dict[str, Any]]:
        """Ask Azure ML's management API for a list of the subscription's, page after page."""
        url = f"/subscriptions/{{subscriptionId}}/providers/Microsoft.MachineLearningServices/{path}"
        items: list[dict[str, Any]] = []
        parameters = [f"api-version={API_VERSION}"]
        while parameters:
            page = self.az("rest", "--method", "get", "--url", url, "--url-parameters", *parameters) or {}
            items += page.get("value") or []
            parameters = [f"{key}={value}" for key, value in parse_qsl(urlsplit(page.get("nextLink") or "").query)]
        return items

    @cached_property
    def account(self) -> azure.Account:
        """The account that `az` is signed in with. Raises UserError when nobody is."""
        return azure.account(self.shell)

    @property
    def subscription(self) -> str:
        """The subscription as a scope of roles."""
        return f"/subscriptions/{self.account.subscription}"

    @property
    def group(self) -> str:
        """The environment's resource group as a scope of roles."""
        return f"{self.subscription}/resourceGroups/{self.config.names.resource_group}"

    def built(self, name: str | None, kind: str) -> bool:
        """Say whether the environment's own group has this resource."""
        found = self.az("resource", "list", "--resource-group", self.config.names.resource_group) or []
        known = [(item["name"].casefold(), item["type"].casefold()) for item in found]
        return (str(name).casefold(), kind.casefold()) in known

    @property
    def deployer(self) -> dict[str, Any] | None:
        """The identity of the workflows, None when there is none."""
        place = self.config.deployer
        found = self.az("identity", "show", "--name", place.identity, "--resource-group", place.resource_group)
        return dict(found) if found else None

    @property
    def state_account(self) -> dict[str, Any] | None:
        """The storage account of Terraform's state, None while there is none."""
        state = self.config.terraform_state
        if state is None:
            return None
        place = ["--name", state.storage_account, "--resource-group", state.resource_group]
        found = self.az("storage", "account", "show", *place)
        return dict(found) if found else None

    @property
    def workspace(self) -> dict[str, Any] | None:
        """The environment's workspace, None when there is none."""
        place = ["--resource-group", self.config.names.resource_group, "--name", self.config.names.workspace]
        found = self.az("resource", "show", *place, "--resource-type", azure.WORKSPACES)
        return dict(found) if found else None

    @property
    def registry(self) -> dict[str, Any] | None:
        """The model registry, None when the subscription has none of this name."""
        name = self.config.names.registry.casefold()
        found = self.az("resource", "list", "--resource-type", azure.REGISTRIES) or []
        return next((dict(item) for item in found if item["name"].casefold() == name), None)

    @cached_property
    def variables(self) -> dict[str, str]:
        """The variables that the environment's workflows see on GitHub. Raises CommandError when `gh` has no answer."""
        found: dict[str, str] = {}
        # The environment's own variables come last, because they win over those of the repository.
        for words in (["variable", "list"], ["variable", "list", "--env", self.config.environment]):
            try:
                answer = self.shell.read("gh", *words, "--json", "name,value")
            except CommandError as error:
                # The repository has no such environment yet.
                if "--env" in words and re.search(azure.NOT_FOUND + "|HTTP 404", error.output):
                    continue
                raise
            found |= {item["name"]: item["value"] for item in json.loads(answer or "[]")}
        return found

    def command(self, verb: str) -> str:
        """Return a command line of ours, as a cure names it."""
        return f"`uv run mlops {verb} --environment {self.config.environment}`"

    @property
    def file(self) -> str:
        """The environment's file, as a cure names it."""
        return f"config/{self.config.environment}.yml"


Check = Callable[[Patient], Iterator[Finding]]


# On this machine.


def tools(patient: Patient) -> Iterator[Finding]:
    """Look for the programs and their versions. The workflows bring their own of all that is not essential."""
    az, has_az = ["az", "version", "--output", "json"], shutil.which("az") is not None
    if has_az:
        yield from _tool(patient, az, r'"azure-cli": "([\d.]+)"', "2.61", "`az upgrade`")
    if has_az and "aml-cli" in patient.project.version:
        pattern, cure = r'"ml": "([\d.]+)"', "`az extension add --name ml --upgrade`"
        yield from _tool(patient, az, pattern, "2.26", cure, "the extension ml of az", essential=False)
    if patient.project.infrastructure == "terraform":
        pattern, cure = r'"terraform_version": "([\d.]+)', CURES["terraform"]
        yield from _tool(patient, ["terraform", "version", "-json"], pattern, "1.11", cure, essential=False)
    if has_az and patient.project.infrastructure == "bicep":
        pattern, cure = r"version ([\d.]+)", "`az bicep upgrade`"
        yield from _tool(patient, ["az", "bicep", "version"], pattern, "0.36", cure, "bicep", essential=False)
    for name in ("gh", "uv"):
        yield from _tool(patient, [name, "--version"], r"([\d.]+\.\d+)", "0", CURES[name], essential=False)


def _tool(
    patient: Patient,
    command: list[str],
    pattern: str,
    minimum: str,
    cure: str,
    name: str = "",
    *,
    essential: bool = True,
) -> Iterator[Finding]:
    name, bad = name or command[0], fault if essential else warning
    try:
        output = patient.shell.read(*command)
    except CommandError as error:
        yield bad(f"{name} does not work: {error}", cure)
        return
    except UserError:
        yield bad(f"{command[0]} is not installed", CURES[command[0]])
        return
    found = re.search(pattern, output)
    if found is None:
        yield bad(f"{name} is not installed", cure)
    elif _version(found[1]) < _version(minimum):
        yield bad(f"{name} {found[1]} is too old: at least {minimum}", cure)
    else:
        yield ok(f"{name} {found[1]}")


def _version(text: str) -> list[int]:
    return [int(number) for number in text.split(".") if number]


def ranges(patient: Patient) -> Iterator[Finding]:
    """Compare the network's range with those of the project's other environments."""
    own = patient.config.network
    if own is None:
        return
    for name in patient.project.environments:
        other = load_environment(patient.project, name).network
        if name != patient.config.environment and other and own.address_space.overlaps(other.address_space):
            yield fault(
                f"{own.address_space} overlaps {other.address_space} of {name}",
                f"give each environment a range of its own: network.address_space in {patient.file}",
            )
            return
    yield ok(f"{own.address_space} is apart from the other environments")


def alerts(patient: Patient) -> Iterator[Finding]:
    """Look whether somebody hears of drift: of all alerts this one is no rule of Azure Monitor."""
    emails = patient.config.monitor.alert_emails
    if "monitoring" not in patient.project.add_ons:
        return
    if patient.project.version == "python-sdk-v1":
        yield ok("a run of the monitor that finds drift fails, and failed jobs are an alert")
    elif emails:
        yield ok(f"drift is told to {', '.join(emails)}")
    else:
        yield warning(
            "nobody hears of drift, which Azure ML tells by e-mail alone",
            f"write an address into monitor.alert_emails of {patient.file}",
        )


# The account.


def login(patient: Patient) -> Iterator[Finding]:
    """Look who is signed in, and whether the subscription can be used."""
    if shutil.which("az") is None:
        yield fault("az is not installed, so nothing else can be asked", CURES["az"])
        return
    account = patient.account
    state = patient.az("account", "show")["state"]
    if state != "Enabled":
        yield fault(
            f"subscription {account.name} is {state}",
            "choose another with `az account set --subscription NAME`, or let its owner enable it",
        )
        return
    yield ok(f"{account.user} in {account.name} ({account.subscription})")


def providers(patient: Patient) -> Iterator[Finding]:
    """Look whether the subscription has the resource providers."""
    registered = azure.registered(patient.shell)
    missing = [name for name in azure.providers(patient.project) if name.lower() not in registered]
    if missing:
        by_hand = f"`az provider register --wait --namespace {missing[0]}`{' and so on' if missing[1:] else ''}"
        # What the first run of `bootstrap` will put right stops nobody.
        bad = warning if patient.deployer is None else fault
        yield bad(f"not registered: {', '.join(missing)}", f"{patient.command('bootstrap')}, or {by_hand}")
    else:
        yield ok("all registered")


def rights(patient: Patient) -> Iterator[Finding]:
    """Look what the one who is signed in may do."""
    person = patient.account
    if person.user_type == "user":
        found = patient.az("ad", "signed-in-user", "show")
    else:
        found = patient.az("ad", "sp", "show", "--id", person.user)
    if found is None:
        yield warning(f"the directory does not know {person.user}", "sign in as a user of this tenant")
        return
    granted = Granted(patient, found["id"])
    cure = "an owner of the subscription grants it to you"
    if patient.new:
        missing = [*_to_provision(patient, granted)]
        # `bootstrap` makes it and lets in whoever runs it.
        if patient.state_account:
            missing += _to_keep_state(patient, granted)
    else:
        missing = [*_to_bootstrap(patient, granted)]
        cure = "whoever runs the workspace grants it to you, or runs `mlops bootstrap`"
    # Whoever cannot provision by hand can still let the workflows do it.
    yield from granted.findings("you", missing, fault if patient.deployer is None else warning, cure)


def deployer(patient: Patient) -> Iterator[Finding]:
    """Look what the identity of the workflows may do."""
    name, found = patient.config.deployer.identity, patient.deployer
    if found is None:
        yield warning(f"there is no identity {name}: the workflows cannot sign in", patient.command("bootstrap"))
        return
    granted = Granted(patient, found["principalId"])
    if patient.new:
        missing = [*_to_provision(patient, granted), *_to_keep_state(patient, granted)]
    else:
        missing = [*_to_use(patient, granted)]
    yield from granted.findings(name, missing, fault, f"{patient.command('bootstrap')} grants it")


class Granted:
    """What a principal has been granted, itself or by a group."""

    def __init__(self, patient: Patient, principal: str) -> None:
        """Ask for all assignments in the subscription and above it."""
        everywhere = ["--all", "--assignee", principal, "--include-groups", "--fill-principal-name", "false"]
        self.assignments = patient.az("role", "assignment", "list", *everywhere) or []

    def at(self, scope: str, *roles: str) -> list[dict[str, Any]]:
        """Return the assignments of these roles, by name or id, that count at a scope."""
        wanted = [azure.ROLES.get(role, role) for role in roles]
        return [item for item in self.assignments if _role(item) in wanted and _covers(item["scope"], scope)]

    def findings(
        self, name: str, missing: list[str], bad: Callable[[str, str], Finding], cure: str
    ) -> Iterator[Finding]:
        """Give a finding for each right that is missing; a role of somebody's own making may have it."""
        known = {*azure.ROLES.values(), OWNER, USER_ACCESS_ADMINISTRATOR, BLOB_OWNER}
        others = {item["roleDefinitionName"] or "a role" for item in self.assignments if _role(item) not in known}
        for text in missing:
            if others:
                yield warning(f"{name}: lacks {text}, unless one of these has it: {', '.join(sorted(others))}", cure)
            else:
                yield bad(f"{name}: lacks {text}", cure)
        if not missing:
            yield ok(f"{name}: enough")


def _to_provision(patient: Patient, granted: Granted) -> Iterator[str]:
    """Say which of the rights that provisioning needs are missing."""
    group = patient.az("group", "show", "--name", patient.config.names.resource_group) is not None
    # The resource group is made by the infrastructure, and Bicep deploys at the subscription.
    place = patient.group if group and patient.project.infrastructure == "terraform" else patient.subscription
    if not granted.at(place, OWNER, "Contributor"):
        yield f"Contributor on {place}"
    listed = load_yaml(patient.project.root / "infrastructure" / "shared" / "roles.yml")
    names = {entry["role"] for entry in listed["assignments"].values()}
    yield from _to_grant(granted, place, {name: listed["roles"][name] for name in names})
    locks = patient.config.security and patient.config.security.delete_lock
    if locks and not granted.at(place, OWNER, USER_ACCESS_ADMINISTRATOR, "Locks Contributor"):
        yield f"Locks Contributor on {place}"


def _to_keep_state(patient: Patient, granted: Granted) -> Iterator[str]:
    """Say whether the right to Terraform's state is missing, which an owner of the account has not by itself."""
    if state := patient.config.terraform_state:
        account = f"{patient.subscription}/resourceGroups/{state.resource_group}/providers/Microsoft.Storage"
        account += f"/storageAccounts/{state.storage_account}"
        if not granted.at(account, "Storage Blob Data Contributor", BLOB_OWNER):
            yield f"Storage Blob Data Contributor on the state account {state.storage_account}"


def _to_bootstrap(patient: Patient, granted: Granted) -> Iterator[str]:
    """Say which of the rights are missing that connect the workflows with somebody else's workspace."""
    group = f"{patient.subscription}/resourceGroups/{patient.config.deployer.resource_group}"
    if not granted.at(group, OWNER, "Contributor"):
        yield f"Contributor on {patient.subscription}"
    needed = _roles_in_existing(patient)
    for place in dict.fromkeys(scope for _, scope in needed):
        yield from _to_grant(granted, place, {role: azure.ROLES[role] for role, scope in needed if scope == place})


def _to_use(patient: Patient, granted: Granted) -> Iterator[str]:
    """Say which of the rights to use somebody else's workspace are missing. No owner has those to data by itself."""
    for role, scope in _roles_in_existing(patient):
        wider = (OWNER, "Contributor") if role.startswith("AzureML") else (BLOB_OWNER,) if "Blob" in role else ()
        if not granted.at(scope, role, *wider):
            yield f"{role} on {scope}"


def _roles_in_existing(patient: Patient) -> list[tuple[str, str]]:
    """Return what the workflows need in somebody else's workspace, if that is there, and in its registry."""
    workspace, registry = patient.workspace, patient.registry
    return azure.roles_in_existing(workspace, registry["id"] if registry else None) if workspace else []


def _to_grant(granted: Granted, place: str, roles: dict[str, str]) -> Iterator[str]:
    """Say what is missing of the right to grant these roles (id by name), which a condition may limit."""
    administrators = granted.at(place, OWNER, USER_ACCESS_ADMINISTRATOR, "Role Based Access Control Administrator")
    if not administrators:
        yield f"Role Based Access Control Administrator on {place}"
        return
    conditions = [(item.get("condition") or "").lower() for item in administrators]
    refused = [sorted(name for name in roles if text and roles[name] not in text) for text in conditions]
    if least := min(refused, key=len):
        yield f"a condition of Role Based Access Control Administrator that also allows {', '.join(least)}"


def _role(assignment: dict[str, Any]) -> str:
    return str(assignment["roleDefinitionId"]).rpartition("/")[2].lower()


def _covers(scope: str, target: str) -> bool:
    """Say whether a role at `scope` counts at `target`; one at a management group counts in all its subscriptions."""
    scope, target = scope.lower().rstrip("/"), target.lower()
    above = scope == "" or scope.startswith("/providers/microsoft.management/")
    return above or target == scope or target.startswith(f"{scope}/")


# The region.


def region(patient: Patient) -> Iterator[Finding]:
    """Look whether the region exists."""
    location = patient.config.location
    known = patient.az("account", "list-locations", "--query", "[].name") or []
    if location.casefold() in [name.casefold() for name in known]:
        yield ok(location)
    else:
        yield fault(f"there is no region {location}", f"write one of `az account list-locations` into {patient.file}")


def machines(config: EnvironmentConfig) -> list[Machines]:
    """Return the machines of the project that an environment can have at the same time."""
    compute, found = config.compute, []
    for cluster in (compute.cluster, compute.gpu_cluster):
        if cluster and cluster.vm_size and cluster.max_nodes:
            found.append(Machines(f"cluster {cluster.name}", cluster.vm_size, cluster.max_nodes, "AmlCompute"))
    if instances := compute.instances:
        found.append(Machines("compute instances", instances.vm_size, len(instances.users), "ComputeInstance"))
    # A rollout has two deployments side by side, and Azure sets aside a fifth more for updates of the machines.
    count = 2 * math.ceil(1.2 * compute.online.instance_count)
    found.append(Machines("online endpoint during a rollout", compute.online.vm_size, count))
    return found


def sizes(patient: Patient) -> Iterator[Finding]:
    """Look whether the region has the sizes of the machines."""
    location = patient.config.location
    known = _sizes(patient)
    cure = f"choose another vm_size in {patient.file}, or another region"
    for some in machines(patient.config):
        size = known.get(some.size.casefold())
        if size is None:
            yield fault(f"{location} has no {some.size} ({some.role})", cure)
        elif some.compute and some.compute not in size.get("supportedComputeTypes", [some.compute]):
            yield fault(f"{some.size} cannot be used for this: {some.role}", cure)
        else:
            yield ok(f"{some.size} ({some.role})")
    vm = patient.config.monitor.vm
    if vm.casefold() not in known:
        # Spark has a list of its own, which Azure publishes in its documentation only.
        yield warning(f"{location} may have no {vm} (model monitor)", f"choose another monitor.vm in {patient.file}")


def _sizes(patient: Patient) -> dict[str, dict[str, Any]]:
    found = patient.rest(f"locations/{patient.config.location}/vmSizes")
    return {item["name"].casefold(): item for item in found}


def quota(patient: Patient) -> Iterator[Finding]:
    """Compare the cores of all machines with the subscription's limits in the region, for each family and in total."""
    known, needed = _sizes(patient), Counter[str]()
    for some in machines(patient.config):
        if size := known.get(some.size.casefold()):
            needed[size["family"]] += size["vCPUs"] * some.count
    usages = patient.rest(f"locations/{patient.config.location}/usages")
    limits: dict[str, Any] = {}
    for usage in usages:
        kind = usage["type"].lower().split("/")[-2]
        if kind == "vmfamily":
            limits[_plain(usage["name"]["value"])] = usage
        elif kind == "dedicatedcores":
            limits["total"] = usage
    for family, cores in needed.items():
        yield _quota(patient, family, cores, limits.get(_plain(family)))
    yield _quota(patient, "all families together", sum(needed.values()), limits.get("total"))


def _plain(family: str) -> str:
    """Make one text of the two that Azure has: standardDASv4Family, Standard DASv4 Family Cluster Dedicated vCPUs."""
    return re.sub(r"[^a-z0-9]", "", family.lower()).removesuffix("clusterdedicatedvcpus")


def _quota(patient: Patient, family: str, cores: int, usage: dict[str, Any] | None) -> Finding:
    location = patient.config.location
    cure = f"ask for more cores at {QUOTAS}, or use smaller or fewer machines in {patient.file}"
    if usage is None:
        return warning(f"{family}: {cores} cores needed, and {location} names no limit", cure)
    limit, used = usage["limit"], usage["currentValue"]
    if limit == -1:
        return ok(f"{family}: {cores} cores, no limit")
    if cores > limit:
        return fault(f"{family}: {cores} cores needed, {location} grants {limit}", cure)
    if cores > limit - used:
        return warning(f"{family}: {cores} cores needed, {used} of {limit} in use now", cure)
    return ok(f"{family}: {cores} of {limit} cores")


# Names.


def names(patient: Patient) -> Iterator[Finding]:
    """Look whether names that must be unique in the world are free, or ours."""
    config = patient.config.names
    accounts = {"storage_account": config.storage_account, "data_lake": config.data_lake}
    asked = [(key, name, ["storage", "account"], "Microsoft.Storage/storageAccounts") for key, name in accounts.items()]
    asked.append(("container_registry", config.container_registry, ["acr"], "Microsoft.ContainerRegistry/registries"))
    for key, name, command, kind in asked:
        if name:
            ours = patient.built(name, kind)
            yield _name(patient, key, name, {} if ours else patient.az(*command, "check-name", "--name", name))
    if vault := config.key_vault:
        ours = patient.built(vault, "Microsoft.KeyVault/vaults")
        deleted = None if ours else _deleted_vault(patient, vault)
        yield deleted or _name(patient, "key_vault", vault, {} if ours else _vault_name(patient, vault))


def _name(patient: Patient, key: str, name: str, answer: dict[str, Any]) -> Finding:
    if not answer:
        return ok(f"{name} is ours")
    if answer["nameAvailable"]:
        return ok(f"{name} is free")
    reason = " ".join(str(answer.get("message") or "it is taken").split())
    return fault(f"{name}: {reason}", f"write another names.{key} into {patient.file}")


def _vault_name(patient: Patient, name: str) -> dict[str, Any]:
    # `az keyvault check-name` knows managed HSMs only.
    url = "/subscriptions/{subscriptionId}/providers/Microsoft.KeyVault/checkNameAvailability"
    body = azure.body(patient.shell, "check-name", {"name": name, "type": "Microsoft.KeyVault/vaults"})
    return dict(patient.az("rest", "--method", "post", "--url", url, "--url-parameters", VAULTS_VERSION, *body))


def _deleted_vault(patient: Patient, name: str) -> Finding | None:
    deleted = patient.az("keyvault", "list-deleted", "--resource-type", "vault") or []
    vault = next((item for item in deleted if item["name"].casefold() == name.casefold()), None)
    if vault is None:
        return None
    if vault["properties"]["vaultId"].casefold().startswith(f"{patient.group}/".casefold()):
        return ok(f"{name} is deleted; `mlops provision` brings it back")
    return fault(
        f"{name} is held by a deleted vault of another resource group",
        f"write another names.key_vault into {patient.file}, or `az keyvault purge --name {name}`",
    )


def leftovers(patient: Patient) -> Iterator[Finding]:
    """Look for a deleted workspace, which keeps its name for 14 days."""
    name = patient.config.names.workspace
    # Azure has no list of deleted workspaces (azure-cli#33756), but its list of all has them (azure-powershell#28286).
    listed = [item["id"].casefold() for item in patient.rest("workspaces")]
    own = f"{patient.group}/providers/{azure.WORKSPACES}/{name}".casefold()
    if patient.built(name, azure.WORKSPACES):
        yield ok(f"{name} is ours")
    elif own in listed:
        yield fault(f"a deleted workspace still holds the name {name}", f"`{quoted(purge_command(patient.config))}`")
    else:
        yield ok("none")


def registry(patient: Patient) -> Iterator[Finding]:
    """Look where the model registry is."""
    name, wanted = patient.config.names.registry, patient.config.model_registry is not None
    item = patient.registry
    if item is None and not patient.new:
        cure = f"correct names.registry in {patient.file}, unless it is in another subscription"
        yield warning(f"there is no registry {name} here", cure)
    elif item is None and patient.config.network and "model-registry" not in patient.project.add_ons:
        text = f"{name} is not there, and the first `mlops promote` makes none that the internet reaches"
        yield warning(text, choose(patient.project, "model-registry"))
    elif item is None:
        made = "`mlops provision` makes it" if wanted else "it comes with dev or the first `mlops promote`"
        yield ok(f"{name} is not there yet: {made}")
    elif wanted and not patient.built(name, azure.REGISTRIES):
        cure = f"write another names.registry into {patient.file}"
        yield fault(f"{name} is in another resource group: {item['resourceGroup']}", cure)
    else:
        yield ok(f"{name} in {item['resourceGroup']}")


def existing(patient: Patient) -> Iterator[Finding]:
    """Look whether the workspace that somebody else runs is there, and its cluster."""
    group, workspace = patient.config.names.resource_group, patient.config.names.workspace
    cure = f"correct {patient.file}, or choose the subscription with `az account set --subscription NAME`"
    if patient.workspace is None:
        yield fault(f"there is no workspace {workspace} in {group}", cure)
        return
    location, wanted = patient.workspace["location"], patient.config.location
    if location == wanted:
        yield ok(f"workspace {workspace} in {location}")
    else:
        yield fault(f"workspace {workspace} is in {location}, not in {wanted}", f"correct location in {patient.file}")
    cluster = patient.config.compute.cluster.name
    below = ["--namespace", "Microsoft.MachineLearningServices", "--parent", f"workspaces/{workspace}"]
    where = ["--resource-group", group, "--name", cluster, "--resource-type", "computes"]
    if patient.az("resource", "show", *where, *below) is None:
        cure = f"correct compute.cluster.name in {patient.file}"
        yield fault(f"workspace {workspace} has no cluster {cluster}", cure)
    else:
        yield ok(f"cluster {cluster}")


# The network and the people.


def networks(patient: Patient) -> Iterator[Finding]:
    """Compare the network's range with those of the other networks in the subscription."""
    config = patient.config.network
    if config is None:
        return
    workspace = patient.workspace
    managed = (workspace["properties"].get("managedNetwork") or {}) if workspace else {}
    if workspace and managed.get("isolationMode", "Disabled") == "Disabled":
        yield fault(
            f"{patient.config.names.workspace} was built without a network, and Azure closes none that has compute",
            f"{patient.command('teardown')[:-1]} --all`, models and data included, or leave the add-on out",
        )
        return
    own = f"{patient.group}/providers/Microsoft.Network/virtualNetworks/{patient.config.names.virtual_network}"
    query = "[].{id: id, ranges: addressSpace.addressPrefixes}"
    for network in patient.az("network", "vnet", "list", "--query", query) or []:
        for text in network["ranges"] or []:
            other = ip_network(text, strict=False)
            overlaps = other.version == 4 and config.address_space.overlaps(other)
            if network["id"].casefold() != own.casefold() and overlaps:
                name = network["id"].rpartition("/")[2]
                yield fault(
                    f"{config.address_space} overlaps {text} of {name}: the two could never be joined",
                    f"write a free range into network of {patient.file}",
                )
                return
    yield ok(f"{config.address_space} is free in this subscription")


def runner(patient: Patient) -> Iterator[Finding]:
    """Look whether the workflows have a machine inside the private network."""
    if patient.config.network is None:
        return
    environment = patient.config.environment
    if name := patient.variables.get("MLOPS_RUNNER"):
        yield ok(f"the workflows run on {name}-{environment}")
    else:
        yield warning(
            "the workflows run outside the private network and cannot reach the workspace",
            f"put a runner labelled mlops-{environment} into the subnet runners, then `gh variable set MLOPS_RUNNER "
            "--body mlops`",
        )


def users(patient: Patient) -> Iterator[Finding]:
    """Look whether the owners of compute instances exist in the tenant."""
    instances = patient.config.compute.instances
    for user in instances.users if instances else ():
        try:
            known = patient.az("ad", "user", "show", "--id", user.object_id, "--query", "id") is not None
        except CommandError:
            yield warning(f"{user.name}: you may not read the directory", "ask somebody who may, or go on and see")
            continue
        if known:
            yield ok(user.name)
        else:
            yield fault(
                f"{user.name}: the tenant has no user {user.object_id}",
                f"write the id of `az ad user show --id NAME@DOMAIN` into compute.instances of {patient.file}",
            )


# GitHub.


def federation(patient: Patient) -> Iterator[Finding]:
    """Compare the subjects that the identity trusts with the one that the repository's workflows have."""
    from mlops.orchestration import github

    if patient.deployer is None:
        return
    expected = github.expected_subjects(patient.shell, patient.config.environment)
    place = patient.config.deployer
    words = ["--identity-name", place.identity, "--resource-group", place.resource_group]
    trusted = [item["subject"] for item in patient.az("identity", "federated-credential", "list", *words) or []]
    # Upper and lower case count: Entra ID compares the texts as they are.
    missing = [subject for subject in expected if subject not in trusted]
    if not missing:
        yield ok(", ".join(expected))
    for subject in missing:
        text = f"{place.identity} does not trust {subject}"
        if trusted:
            text += f", but {', '.join(trusted)}"
        yield fault(text, patient.command("bootstrap"))


def variables(patient: Patient) -> Iterator[Finding]:
    """Compare GitHub's variables with the identity and the account."""
    found, identity = patient.variables, patient.deployer or {}
    wanted = {
        "AZURE_CLIENT_ID": identity.get("clientId"),
        "AZURE_TENANT_ID": patient.account.tenant,
        "AZURE_SUBSCRIPTION_ID": patient.account.subscription,
    }
    wrong = 0
    for name, value in wanted.items():
        if name not in found:
            wrong += 1
            yield fault(f"{name} is not set for {patient.config.environment}", patient.command("bootstrap"))
        elif value and found[name] != value:
            wrong += 1
            yield fault(f"{name} is {found[name]}, not {value}", patient.command("bootstrap"))
    if not wrong:
        yield ok(", ".join(wanted))


LOCAL: dict[str, Check] = {"tools": tools, "network range": ranges, "alerts": alerts}
ACCOUNT: dict[str, Check] = {"login": login}
NEW: dict[str, Check] = {
    "resource providers": providers,
    "your rights": rights,
    "workflows' rights": deployer,
    "region": region,
    "machine sizes": sizes,
    "quota": quota,
    "names": names,
    "deleted workspace": leftovers,
    "model registry": registry,
    "virtual networks": networks,
    "users": users,
}
EXISTING: dict[str, Check] = {
    "resource providers": providers,
    "your rights": rights,
    "workspace": existing,
    "model registry": registry,
    "workflows' rights": deployer,
    "region": region,
    "machine sizes": sizes,
    "quota": quota,
}
GITHUB: dict[str, Check] = {"trust in GitHub": federation, "GitHub variables": variables, "runner": runner}


def findings(patient: Patient, before: Callable[[str], None] = print) -> Iterator[tuple[str, Finding]]:
    """Run every check that applies, in order; `before` gets the name of each. Without a login only the first ones."""
    stages = [LOCAL, ACCOUNT, NEW if patient.new else EXISTING]
    if patient.project.orchestration == "github-actions":
        stages.append(GITHUB)
    for stage in stages:
        failed = False
        for name, check in stage.items():
            before(name)
            try:
                for finding in check(patient):
                    failed = failed or finding.level == "fault"
                    yield name, finding
            except CommandError as error:
                failed = True
                yield name, warning(f"no answer: {error}", "see the message; ask again, or go on and see")
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                # Azure has changed an answer: the other checks are worth as much as before.
                yield name, warning(f"an answer was not understood: {error!r}", "go on and see, or `az upgrade`")
            except UserError as error:
                failed = True
                text, _, cure = str(error).partition(": ")
                # Without GitHub everything can be done by hand.
                yield name, Finding("warning" if stage is GITHUB else "fault", text, cure)
        # What comes next asks Azure.
        if stage is ACCOUNT and failed:
            return


def examine(project: Project, config: EnvironmentConfig) -> None:
    """Show what the checks find, with a cure for each fault. Raises UserError when there is one."""
    console = Console(highlight=False)
    table = Table("", "check", f"{config.environment} of {project.root.name}", box=None, pad_edge=False)
    colours = {"ok": "green", "warning": "yellow", "fault": "red"}
    found: list[tuple[str, Finding]] = []
    with console.status("looking") as status:
        for name, finding in findings(Patient(project, config), lambda name: status.update(f"{name} ...")):
            found.append((name, finding))
            table.add_row(Text(finding.level, colours[finding.level]), name, Text(finding.text))
    console.print(table)
    for name, finding in found:
        if finding.cure:
            # In one piece, so that a command can be copied.
            text = f"{finding.level}: {name}: {finding.text}\n  cure: {finding.cure}"
            console.print(text, soft_wrap=True, markup=False)
    faults = sum(finding.level == "fault" for _, finding in found)
    if faults:
        raise UserError(f"{faults} fault{'s' if faults > 1 else ''}: the cures are above")
