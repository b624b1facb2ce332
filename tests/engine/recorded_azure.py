"""An Azure and a GitHub of recorded answers, for the verbs that look before they build."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import command_line
from small_project import configuration, create_project, set_key, write_yaml

from mlops.infrastructure.existing import needed_roles
from mlops.project import Project, load_yaml
from mlops.subscription.account import ROLES

SUBSCRIPTION, TENANT = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
PERSON, PRINCIPAL, CLIENT = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in (3, 4, 5))
ADA = "00000000-0000-0000-0000-00000000000a"
SCOPE = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{SCOPE}/resourceGroups/rg-dev"
IDENTITY = f"{SCOPE}/resourceGroups/rg-state/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-deploy-dev"
ML = "Microsoft.MachineLearningServices"
ADD_ONS = ["private-network", "user-with-compute-instance", "monitoring", "gpu-cluster", "model-registry", "data-lake"]
SUBJECT = "repo:my-org@1/a-project@2:environment:dev"
READER, READING_CLIENT = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in (6, 7))
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
ADMINISTRATOR = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
READS = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
READS_BLOBS = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
LOCKS = "28bf596f-4eb7-45ce-b5bc-6cf482fec137"
BLOBS = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"


PRIVATE_NETWORK = {
    "endpoints": {
        "blob": {"on": "storage_account", "group": "blob", "zones": ["privatelink.blob.core.windows.net"]},
        "lake-dfs": {"on": "data_lake", "group": "dfs", "zones": ["privatelink.dfs.core.windows.net"]},
    },
    "managed_endpoints": {
        "storage-queue": {"on": "storage_account", "group": "queue"},
        "lake-dfs": {"on": "data_lake", "group": "dfs"},
    },
}
"""A part of infrastructure/shared/private-network.yml."""

TOOLS = ("terraform", "bicep")
"""The infrastructures that a project can build."""


class Refusal(str):
    """An answer on the error stream, with exit code 1."""


class Recorded:
    """Answers a command by the longest recorded phrase in it; None is a thing that is not there."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        """Take the answers; `missing` names programs that are not installed."""
        self.answers = dict(answers)
        self.log: list[list[str]] = []
        self.missing: set[str] = set()

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Do what `mlops.shell.execute` does."""
        self.log.append(command)
        line = " ".join(command)
        phrase = max((phrase for phrase in self.answers if phrase in line), key=len, default=None)
        assert phrase is not None or not captured, f"no answer is recorded to {line}"
        answer = self.answers[phrase] if phrase else ""
        if answer is None:
            return 3, "", "ERROR: (ResourceNotFound) There is no such thing: it was not found."
        if isinstance(answer, Refusal):
            return 1, "", f"ERROR: {answer}"
        return 0, answer if isinstance(answer, str) else json.dumps(answer), ""

    def which(self, program: str) -> str | None:
        """Do what `shutil.which` does."""
        return None if program in self.missing else program

    def ran(self, *words: str) -> list[str]:
        """The command lines that contain one of `words`, in their order."""
        lines = [" ".join(command) for command in self.log]
        return [line for line in lines if any(word in line for word in words)]

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Answer instead of the real programs."""
        with mock.patch("mlops.shell.execute", self.execute), mock.patch("shutil.which", self.which):
            yield

    def run(self, *words: str) -> int:
        """Run a command line against these answers and return its exit code."""
        with self.in_place():
            return command_line.run(*words)


def equipped(root: Path, infrastructure: str, add_ons: list[str] | None = None) -> Project:
    """Make the small project with one of the infrastructures and with add-ons, by default all of them."""
    project = create_project(root)
    chosen = ADD_ONS if add_ons is None else add_ons
    choices = {"package": project.package, "version": project.version, "infrastructure": infrastructure}
    lists = {"add_ons": chosen, "environments": list(project.environment_order)}
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in (choices | lists).items())
    (root / "pyproject.toml").write_text(f"[tool.mlops]\n{table}", encoding="utf-8")
    for number, (name, source) in enumerate({"dev": "workspace", "test": "registry", "prod": "registry"}.items()):
        write_yaml(root / "config" / f"{name}.yml", environment(name, source, number, infrastructure, chosen))
    roles = {
        "contributor": CONTRIBUTOR,
        "storage_blob_contributor": BLOBS,
        "acr_pull": ACR_PULL,
    }
    assignments = {role: {"identity": "workspace", "role": role, "on": "workspace"} for role in roles}
    shared = {"roles": roles | {"acr_push": "8311e382-0749-4cb8-b61a-304f252e45ec"}, "assignments": assignments}
    write_yaml(root / "infrastructure" / "shared" / "roles.yml", shared)
    write_yaml(root / "infrastructure" / "shared" / "private-network.yml", PRIVATE_NETWORK)
    return Project.load(root)


def environment(name: str, source: str, number: int, infrastructure: str, add_ons: list[str]) -> dict[str, Any]:
    """The content of config/<name>.yml."""
    document = configuration(name, source)
    names, compute = document["names"], document["compute"]
    document["tags"]["managed_by"] = "mlops-template"
    compute["cluster"]["vm_size"] = "Standard_D4as_v4"
    if "private-network" in add_ons:
        names["virtual_network"] = f"vnet-{name}"
        document["network"] = {
            "address_space": f"10.80.{64 * number}.0/18",
            "endpoints_subnet": f"10.80.{64 * number}.0/24",
            "runners_subnet": f"10.80.{64 * number + 1}.0/24",
            "outbound": "internet",
            "outbound_hosts": [],
        }
    if "user-with-compute-instance" in add_ons and name == "dev":
        compute["instances"] = {
            "vm_size": "Standard_D4as_v4", "idle_minutes": 60, "start_cron": "0 8 * * 1-5",
            "stop_cron": "0 18 * * 1-5", "time_zone": "UTC",
            "users": [{"name": "ada", "object_id": ADA, "instance": "ci-ada-a1b2c3"}],
        }  # fmt: skip
    if "monitoring" in add_ons:
        document["alerts"] = {"latency_ms": 1000, "error_percent": 5, "failed_jobs": 1}
        document["monitor"]["alert_emails"] = ["team@example.com"]
    if "gpu-cluster" in add_ons:
        gpu = {"name": "gpu", "vm_size": "Standard_NC4as_T4_v3", "min_nodes": 0, "max_nodes": 1, "idle_minutes": 15}
        compute["gpu_cluster"] = gpu
    if "model-registry" in add_ons and name == "dev":
        document["model_registry"] = {"locations": ["westeurope"], "public_network_access": False}
    if "data-lake" in add_ons:
        names["data_lake"] = f"lake{name}"
    if infrastructure != "terraform":
        del document["terraform_state"]
    if infrastructure == "existing":
        for section in ("budget", "retention", "security"):
            del document[section]
        kept = ("resource_group", "workspace", "registry", "online_endpoint", "batch_endpoint")
        document["names"] = {key: names[key] for key in kept}
        document["compute"]["cluster"] = {"name": document["compute"]["cluster"]["name"]}
    return document


def granted(role: str, scope: str = SCOPE, condition: str | None = None) -> dict[str, Any]:
    """A role assignment, as `az role assignment list` shows it."""
    definition = f"{SCOPE}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    return {"roleDefinitionId": definition, "roleDefinitionName": role[:8], "scope": scope, "condition": condition}


def usage(kind: str, name: str, limit: int, used: int = 0) -> dict[str, Any]:
    """A line of Azure ML's usages, as its management API returns it."""
    return {"type": f"{ML}/{kind}/usages", "name": {"value": name}, "limit": limit, "currentValue": used}


def size(name: str, family: str, cores: int) -> dict[str, Any]:
    """A machine size, as Azure ML's management API returns it."""
    return {"name": name, "family": family, "vCPUs": cores, "supportedComputeTypes": ["AmlCompute", "ComputeInstance"]}


def resource(name: str, kind: str, *, ours: bool = True) -> dict[str, Any]:
    """A resource in the group of dev, as `az resource list` shows it."""
    tags = {"managed_by": "mlops-template"} if ours else None
    identifier = f"{GROUP}/providers/{kind}/{name}"
    return {"id": identifier, "name": name, "type": kind, "tags": tags, "resourceGroup": "rg-dev"}


PROVIDERS = [
    "ContainerRegistry", "AlertsManagement", "Consumption", "Insights", "KeyVault", "MachineLearningServices",
    "Cdn", "ManagedIdentity", "Network", "PolicyInsights", "OperationalInsights", "Storage",
]  # fmt: skip
FREE = {"nameAvailable": True, "reason": None, "message": None}
CONDITION = f"ForAnyOfAnyValues:GuidEquals {{{CONTRIBUTOR}, {BLOBS}, {ACR_PULL.upper()}}}"
ENOUGH = [granted(CONTRIBUTOR), granted(ADMINISTRATOR, condition=CONDITION), granted(LOCKS), granted(BLOBS)]
LISTED = f"providers/{ML}/locations/westeurope"

# Nothing is built yet, and all is as it should be. The phrases are beginnings of the command lines.
HEALTHY: dict[str, Any] = {
    "az version": {"azure-cli": "2.91.0", "extensions": {"ml": "2.44.1"}},
    "az bicep version": "Bicep CLI version 0.49.2 (abc)",
    "terraform version": {"terraform_version": "1.14.0"},
    "gh --version": "gh version 2.90.0 (2026-08-01)",
    "uv --version": "uv 0.9.1",
    "az account show": {
        "id": SUBSCRIPTION, "tenantId": TENANT, "name": "a subscription", "state": "Enabled",
        "user": {"name": "ada@example.com", "type": "user"},
    },
    "az provider list": [f"Microsoft.{name}" for name in PROVIDERS],
    "az ad signed-in-user show": {"id": PERSON},
    "az identity show": {"principalId": PRINCIPAL, "clientId": CLIENT, "id": IDENTITY},
    "az identity list": [{"principalId": PRINCIPAL}],
    "az identity show --name id-deploy-dev-read": {"principalId": READER, "clientId": READING_CLIENT},
    f"az role assignment list --all --assignee {PERSON}": [granted(OWNER), granted(BLOBS)],
    f"az role assignment list --all --assignee {PRINCIPAL}": ENOUGH,
    f"az role assignment list --all --assignee {READER}": [granted(READS), granted(READS_BLOBS)],
    "az storage account show": {"name": "ststate"},
    "az group show": None,
    "az account list-locations": ["westeurope", "northeurope"],
    f"{LISTED}/vmSizes": {
        "value": [
            size("Standard_D4as_v4", "standardDASv4Family", 4),
            size("Standard_D2as_v4", "standardDASv4Family", 2),
            size("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family", 4),
            size("Standard_E4s_v3", "standardESv3Family", 4),
        ]
    },
    # 2 nodes and 1 instance with 4 cores; 3 machines with 2 cores, twice and with a fifth more; and a GPU node.
    f"{LISTED}/usages": {
        "value": [
            usage("vmFamily", "Standard DASv4 Family Cluster Dedicated vCPUs", 28),
            usage("vmFamily", "Standard NCASv3_T4 Family Cluster Dedicated vCPUs", 4),
            usage("dedicatedCores", "Total Cluster Dedicated Regional vCPUs", 32),
        ]
    },
    "az resource list --resource-group rg-dev": None,
    "az storage account check-name": FREE,
    "az acr check-name": FREE,
    "Microsoft.KeyVault/checkNameAvailability": FREE,
    "az keyvault list-deleted": [],
    "az keyvault show-deleted": None,
    f"providers/{ML}/workspaces --url-parameters": {"value": []},
    f"az resource list --resource-type {ML}/registries": [],
    "az network vnet list": [{"id": f"{SCOPE}/resourceGroups/other/x/hub", "ranges": ["10.0.0.0/16", "fd00::/8"]}],
    "az ad user show": json.dumps(ADA),
    "az identity federated-credential list": [{"subject": SUBJECT}],
    "az identity federated-credential list --identity-name id-deploy-dev-read": [{"subject": f"{SUBJECT}-read"}],
    "gh api repos/{owner}/{repo}": {
        "id": 2, "owner": {"id": 1, "login": "my-org"}, "name": "a-project", "full_name": "my-org/a-project",
        "created_at": "2026-11-01T00:00:00Z",
    },
    "gh api repos/{owner}/{repo}/actions/oidc/customization/sub": {"use_default": True},
    "gh api repos/{owner}/{repo}/environments/dev": {
        "name": "dev",
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
    },
    "gh api repos/{owner}/{repo}/environments/dev/deployment-branch-policies": {"branch_policies": [{"name": "main"}]},
    "gh variable list --json": [
        {"name": "AZURE_TENANT_ID", "value": TENANT}, {"name": "AZURE_SUBSCRIPTION_ID", "value": SUBSCRIPTION},
        {"name": "MLOPS_RUNNER", "value": "in-the-network"},
    ],
    "gh variable list --env dev": [{"name": "AZURE_CLIENT_ID", "value": CLIENT}],
    "gh variable list --env dev-read": [{"name": "AZURE_CLIENT_ID", "value": READING_CLIENT}],
    "az deployment sub what-if": "Resource changes: 1 to create.",
    "terraform -chdir=infrastructure/terraform show": "Plan: 1 to add, 0 to change, 0 to destroy.",
    "terraform -chdir=infrastructure/terraform show -no-color -json": {"resource_changes": []},
    "terraform -chdir=infrastructure/terraform/model-registry show": "Plan: 5 to add, 0 to change, 0 to destroy.",
    "terraform -chdir=infrastructure/terraform/model-registry show -no-color -json": {"resource_changes": []},
    "az deployment group show": None,
    "az deployment sub show": {"workspace": {"type": "String", "value": "mlw-dev"}},
    "az resource show": None,
    "az lock list": [],
    "az ml": [],
}  # fmt: skip

# A workspace of another owner.
WORKSPACE = {
    "id": f"{GROUP}/providers/{ML}/workspaces/mlw-dev",
    "location": "westeurope",
    "properties": {"storageAccount": f"{GROUP}/providers/Microsoft.Storage/storageAccounts/theirs"},
}
REGISTRY = resource("the-registry", f"{ML}/registries")
EXISTING = HEALTHY | {
    f"az resource list --resource-type {ML}/registries": [REGISTRY],
    "az resource show": WORKSPACE,
    f"az role assignment list --all --assignee {PRINCIPAL}": [
        granted(ROLES[role], scope) for role, scope in needed_roles(WORKSPACE, REGISTRY["id"])
    ],
    # No pull request plans there.
    "gh api repos/{owner}/{repo}/environments/dev-read/deployment-branch-policies": {
        "branch_policies": [{"name": "main"}]
    },
}

# The model registry in a resource group of its own.
SHARED = f"{SCOPE}/resourceGroups/rg-shared"
APART = [
    resource(name, kind) | {"id": f"{SHARED}/providers/{kind}/{name}", "resourceGroup": "rg-shared"}
    for name, kind in {
        "log-shared": "Microsoft.OperationalInsights/workspaces",
        "the-registry": f"{ML}/registries",
    }.items()
]
LOCKED = [
    {"id": f"{item['id']}/providers/Microsoft.Authorization/locks/cannot-delete", "name": "cannot-delete"}
    for item in APART
]


def put_registry_apart(root: Path) -> None:
    """Give the registry of a project its own resource group, as a new project has it."""
    for name in ("dev", "test", "prod"):
        set_key(root / "config" / f"{name}.yml", "names.registry_resource_group", "rg-shared")
    dev = root / "config" / "dev.yml"
    if load_yaml(dev).get("model_registry"):
        set_key(dev, "names.registry_log_analytics", "log-shared")
        set_key(dev, "model_registry.log_days", 90)


# A whole environment, with what Azure adds by itself.
BUILT = [
    resource("mlw-dev", f"{ML}/workspaces"),
    resource("mlw-dev/online-dev", f"{ML}/workspaces/onlineEndpoints", ours=False)
    | {"id": f"{GROUP}/providers/{ML}/workspaces/mlw-dev/onlineEndpoints/online-dev"},
    resource("storageaccountdev", "Microsoft.Storage/storageAccounts"),
    resource("key-vault-dev", "Microsoft.KeyVault/vaults"),
    resource("containerregistrydev", "Microsoft.ContainerRegistry/registries"),
    resource("the-registry", f"{ML}/registries"),
    resource("pe-blob", "Microsoft.Network/privateEndpoints"),
    resource("pe-blob.nic.0a1b", "Microsoft.Network/networkInterfaces", ours=False),
    resource("Application Insights Smart Detection", "microsoft.insights/actiongroups", ours=False),
]
