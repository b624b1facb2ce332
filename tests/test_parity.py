"""Terraform and Bicep build the same: every resource with every setting, in each environment and with each add-on.

Terraform evaluates its side itself, behind a stand-in provider; bicep_eval.py evaluates Bicep's. What is compared is in
parity_table.py.
"""

import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from bicep_eval import evaluate
from combinations import USERS, add_on_sets
from conftest import Render
from parity_table import KINDS, Found, Table, at, bicep_table, differences, table, terraform_table
from resident_terraform import terraform
from terraform_plan import plans
from test_terraform import edit

pytestmark = pytest.mark.xdist_group("parity")  # the tests share what Terraform evaluated

NONE, ALL, *SOME = add_on_sets()
ENVIRONMENTS = ("dev", "test", "prod")
TOOLS = ("terraform", "bicep")

COMPANY = "/subscriptions/00000000-0000-0000-0000-000000000009/resourceGroups/rg-hub/providers"

# Other settings than those of a new project, all at once.
OTHER_CONFIG = {
    "alert_emails: []": 'alert_emails: ["a@example.com", "b@example.com"]',
    "monthly_amount: 300": "monthly_amount: 45",
    'outbound: "internet"': 'outbound: "approved"',
    "outbound_hosts: []": """outbound_hosts: ["packages.example.com", "*.example.com"]
  dns_servers: ["10.0.0.4", "10.0.0.5"]
  outbound_rules:
    database: {resource_id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/s", group: sqlServer}
    packages: {service_tag: AzureDevOps, ports: "443"}""",
    'locations: ["westeurope"]': 'locations: ["westeurope", "northeurope"]',
    "  purge_protection: true": f"""  customer_key:
    key_id: "https://kv-company.vault.azure.net/keys/ml/0123456789abcdef0123456789abcdef"
    vault_id: "{COMPANY}/Microsoft.KeyVault/vaults/kv-company"
    identity_id: "{COMPANY}/Microsoft.ManagedIdentity/userAssignedIdentities/id-encryption"
    identity_client_id: "00000000-0000-0000-0000-0000000000c9"
  purge_protection: false""",
    "\nsecurity:": '\naccess:\n  data_scientists: ["00000000-0000-0000-0000-0000000000e1"]\nsecurity:',
    "delete_lock: false": "delete_lock: true",
    "log_days: 30": "log_days: 90",
    "version_days: 30": "version_days: 7",
    "collected_days: 90": "collected_days: 60",
    'redundancy: "LRS"': 'redundancy: "ZRS"',
    "shared_keys: false": "shared_keys: true",
    "min_nodes: 0": "min_nodes: 1",
    "idle_minutes: 60": "idle_minutes: 45",
    "latency_ms: 1000": "latency_ms: 250",
}

# One-sided changes, all at once: what the comparison must report, and the edit of each tool that causes it.
EDITS = {
    "role assignment .*: only in": (
        ("identity.tf", "try(assignment.only, local.access) == local.access", "!can(assignment.only)"),
        ("main.bicep", "(one.value.?only ?? access) == access", "!contains(one.value, 'only')"),
    ),
    "output workspace_id: value": (
        ("outputs.tf", "= azurerm_machine_learning_workspace.this.id", "= azurerm_resource_group.this.id"),
        ("main.bicep", "= workspace.outputs.workspaceId", "= group.id"),
    ),
    "storage account .*: shared keys": (
        ("storage.tf", "= local.storage.shared_keys", "= false"),
        ("modules/storage.bicep", "allowSharedKeyAccess: settings.shared_keys", "allowSharedKeyAccess: false"),
    ),
    "storage account .*: local users": (  # left to Azure, which is not the same as off
        ("storage.tf", "local_user_enabled              = false", ""),
        ("modules/storage.bicep", "isLocalUserEnabled: false", ""),
    ),
    "storage account .*: versioning": (
        ("storage.tf", "versioning_enabled = true", "versioning_enabled = false"),
        ("modules/storage.bicep", "isVersioningEnabled: true", "isVersioningEnabled: false"),
    ),
    "storage account .*: days to undelete shares": (
        (
            "storage.tf",
            "  share_properties {\n    retention_policy {\n      days = 14",
            "  share_properties {\n    retention_policy {\n      days = 1",
        ),
        (
            "modules/storage.bicep",
            "shareDeleteRetentionPolicy: {\n      enabled: true",
            "shareDeleteRetentionPolicy: {\n      enabled: false",
        ),
    ),
    "storage account .*dldev.*: hierarchical namespace": (
        ("modules/data-lake/main.tf", "is_hns_enabled           = true", "is_hns_enabled           = false"),
        ("modules/data-lake.bicep", "isHnsEnabled: true", "isHnsEnabled: false"),
    ),
    "storage account .*: what a browser may do with blobs": (
        ("storage.tf", "allowed_origins    = local.studio.origins", 'allowed_origins    = ["https://example.com"]'),
        ("modules/storage.bicep", "allowedOrigins: studio.origins", "allowedOrigins: ['https://example.com']"),
    ),
    "storage account .*: what a browser may do with files": (
        ("storage.tf", "max_age_in_seconds = local.studio.max_age_seconds", "max_age_in_seconds = 60"),
        ("modules/storage.bicep", "maxAgeInSeconds: studio.max_age_seconds", "maxAgeInSeconds: 60"),
    ),
    "storage account .*: sku": (
        ("storage.tf", "= local.storage.redundancy", '= "GRS"'),
        ("modules/storage.bicep", "'Standard_${settings.redundancy}'", "'Standard_GRS'"),
    ),
    "retention .*: rules": (
        ("storage.tf", "= local.retention.version_days", "= 8"),
        ("modules/retention.bicep", "daysAfterCreationGreaterThan: versionDays", "daysAfterCreationGreaterThan: 8"),
    ),
    "key vault .*: firewall": (
        ("main.tf", 'default_action = local.closed ? "Deny"', 'default_action = local.closed ? "Allow"'),
        ("modules/key-vault.bicep", "defaultAction: closed ? 'Deny'", "defaultAction: closed ? 'Allow'"),
    ),
    "key vault .*: purge protection": (
        ("main.tf", "= local.config.security.purge_protection", "= true"),
        ("modules/key-vault.bicep", "purgeProtection ? true : null", "true"),
    ),
    "container registry .*: admin": (
        ("main.tf", "admin_enabled          = false", "admin_enabled          = true"),
        ("modules/container-registry.bicep", "adminUserEnabled: false", "adminUserEnabled: true"),
    ),
    "container registry .*: public access": (
        (
            "main.tf",
            "public_network_access_enabled = !local.closed\n  network_rule",
            "public_network_access_enabled = true\n  network_rule",
        ),
        ("modules/container-registry.bicep", "closed ? 'Disabled'", "closed ? 'Enabled'"),
    ),
    "Log Analytics .*: keys": (
        (
            "logs.tf",
            "log_days\n  local_authentication_enabled = false",
            "log_days\n  local_authentication_enabled = true",
        ),
        ("modules/logs.bicep", "disableLocalAuth: true", "disableLocalAuth: false"),
    ),
    "diagnostic setting .*: logs": (
        ("logs.tf", "local.log_categories[each.key]", '["Other"]'),
        ("modules/key-vault.bicep", "category: category", "category: 'Other'"),
    ),
    "workspace .*: datastores sign in with": (
        ("workspace.tf", '? "AccessKey"', '? "Identity"'),
        ("modules/workspace.bicep", "? 'AccessKey'", "? 'Identity'"),
    ),
    "workspace .*: managed network": (
        ("workspace.tf", '"AllowOnlyApprovedOutbound"', '"AllowInternetOutbound"'),
        ("modules/workspace.bicep", "'AllowOnlyApprovedOutbound'", "'AllowInternetOutbound'"),
    ),
    "workspace .*: identities": (
        (
            "workspace.tf",
            "concat([azurerm_user_assigned_identity.workspace.id],",
            "concat([azurerm_user_assigned_identity.endpoint.id],",
        ),
        ("modules/workspace.bicep", "'${workspaceIdentity.id}': {}", "'${computeIdentity.id}': {}"),
    ),
    "cluster .*: SSH": (
        ("workspace.tf", "ssh_public_access_enabled = false", "ssh_public_access_enabled = true"),
        (
            "modules/workspace.bicep",
            "remoteLoginPortPublicAccess: 'Disabled'",
            "remoteLoginPortPublicAccess: 'Enabled'",
        ),
    ),
    "cluster .*: public addresses": (
        ("workspace.tf", "node_public_ip_enabled    = !local.closed", "node_public_ip_enabled    = local.closed"),
        ("modules/workspace.bicep", "enableNodePublicIp: !closed", "enableNodePublicIp: closed"),
    ),
    "cluster .*: fewest nodes": (
        ("workspace.tf", "= each.value.min_nodes", "= 2"),
        ("modules/workspace.bicep", "minNodeCount: cluster.min_nodes", "minNodeCount: 2"),
    ),
    "budget .*: notices": (
        ("governance.tf", "threshold = 80", "threshold = 95"),
        ("modules/alerts.bicep", "threshold: 80", "threshold: 95"),
    ),
    "action group .*: e-mails": (
        ("governance.tf", "use_common_alert_schema = true", "use_common_alert_schema = false"),
        ("modules/alerts.bicep", "useCommonAlertSchema: true", "useCommonAlertSchema: false"),
    ),
    "lock .*: level": (
        ("governance.tf", '"CanNotDelete"', '"ReadOnly"'),
        ("modules/locks.bicep", "level: 'CanNotDelete'", "level: 'ReadOnly'"),
    ),
    "lock on .*registries/mlr.*: level": (
        ("model-registry/main.tf", '"CanNotDelete"', '"ReadOnly"'),
        ("modules/model-registry-protection.bicep", "level: 'CanNotDelete'", "level: 'ReadOnly'"),
    ),
    "Log Analytics log-flight-delays-shared: days": (
        ("model-registry/main.tf", "local.config.model_registry.log_days", "31"),
        ("model-registry.bicep", "config.model_registry.log_days", "31"),
    ),
    "model registry .*: tags.environment": (
        ("model-registry/main.tf", 'environment = "shared"', 'environment = "dev"'),
        ("model-registry.bicep", "environment: 'shared'", "environment: 'dev'"),
    ),
    "model registry .*: properties.publicNetworkAccess": (
        ("modules/model-registry/main.tf", ': "Disabled"', ': "Enabled"'),
        ("modules/model-registry.bicep", ": 'Disabled'", ": 'Enabled'"),
    ),
    "private endpoint pe-model-registry-blob: leads to": (
        ("model-registry.tf", "armResourceId.resourceId", "storageAccountName"),
        ("modules/private-network-endpoints.bicep", "armResourceId.resourceId", "storageAccountName"),
    ),
    "compute instance .*: properties.properties.idleTimeBeforeShutdown": (
        ("modules/compute-instance/main.tf", '"PT${var.machine.idle_minutes}M"', '"PT5H"'),
        ("modules/compute-instance.bicep", "'PT${instances.idle_minutes}M'", "'PT5H'"),
    ),
    "compute instance .*: properties.properties.sshSettings.sshPublicAccess": (
        ("modules/compute-instance/main.tf", 'sshPublicAccess = "Disabled"', 'sshPublicAccess = "Enabled"'),
        ("modules/compute-instance.bicep", "sshPublicAccess: 'Disabled'", "sshPublicAccess: 'Enabled'"),
    ),
    "alert .*: severity": (
        ("modules/monitoring/main.tf", "= each.value.severity", "= 4"),
        ("modules/monitoring.bicep", "severity: alert.value.severity", "severity: 4"),
    ),
    "alert .*: query": (
        ("monitoring.tf", "local.config.alerts[key]", "1"),
        ("modules/monitoring.bicep", "string(thresholds[alert.key])", "'1'"),
    ),
    "security group .*: rules": (
        ("modules/private-network/main.tf", "= security_rule.value.port", '= "22"'),
        ("modules/private-network.bicep", "destinationPortRange: rule.value.port", "destinationPortRange: '22'"),
    ),
    "subnet .*: way out by default": (
        (
            "modules/private-network/main.tf",
            "default_outbound_access_enabled = false",
            "default_outbound_access_enabled = true",
        ),
        ("modules/private-network.bicep", "defaultOutboundAccess: false", "defaultOutboundAccess: true"),
    ),
    "private endpoint .*: part": (
        ("modules/private-network/main.tf", "= [each.value.group]", '= ["web"]'),
        ("modules/private-network-endpoints.bicep", "groupIds: [each.value.group]", "groupIds: ['web']"),
    ),
    "DNS link .*: registers machines": (
        ("modules/private-network/main.tf", "registration_enabled = false", "registration_enabled = true"),
        ("modules/private-network.bicep", "registrationEnabled: false", "registrationEnabled: true"),
    ),
    "storage account .*: key of the company": (
        ("storage.tf", "= local.customer_key_name", '= "https://kv.vault.azure.net/keys/other"'),
        ("modules/storage.bicep", "keyname: split(customerKey.?key_id ?? '', '/')[4]", "keyname: 'other'"),
    ),
    "workspace .*: key of the company": (
        ("workspace.tf", "= encryption.value.key_id", "= local.customer_key_name"),
        ("modules/workspace.bicep", "keyIdentifier: customerKey!.key_id", "keyIdentifier: 'other'"),
    ),
    "role assignment .*00e1: kind": (
        ("identity.tf", '= "Group"', '= "User"'),
        ("main.bicep", "kind: 'Group'", "kind: 'User'"),
    ),
    "outbound service tag .*: properties.destination.portRanges": (
        ("modules/private-network/main.tf", "portRanges = rule.ports", 'portRanges = "1"'),
        ("modules/private-network-outbound.bicep", "portRanges: rule.value.ports", "portRanges: '1'"),
    ),
    "network .*: DNS servers": (
        ("modules/private-network/main.tf", "= var.network.dns_servers", '= ["10.9.9.9"]'),
        ("modules/private-network.bicep", "dnsServers: network.?dns_servers ?? []", "dnsServers: ['10.9.9.9']"),
    ),
    "outbound host .*: only in": (  # its name
        ("modules/private-network/main.tf", 'trimprefix(host, "*")', "host"),
        ("modules/private-network-outbound.bicep", "replace(host, '*', '')", "host"),
    ),
    "outbound host .*: host": (
        ("modules/private-network/main.tf", "destination_fqdn = each.value", 'destination_fqdn = "example.com"'),
        ("modules/private-network-outbound.bicep", "destination: host", "destination: 'example.com'"),
    ),
}

Built = Callable[..., dict[str, Path]]
Tables = Callable[..., dict[str, tuple[Table, Table]]]


@pytest.fixture(scope="session")
def built(render: Render, tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The infrastructure with these add-ons in each tool, beside the config that it reads; Terraform is initialised."""

    @cache
    def build(*add_ons: str) -> dict[str, Path]:
        folders = {}
        for tool in TOOLS:
            project = render(infrastructure_version=tool, add_ons=list(add_ons), instance_users=USERS)
            folder = tmp_path_factory.mktemp(tool)
            for name in ("infrastructure", "config"):
                shutil.copytree(project / name, folder / name)
            folders[tool] = folder
        initialise(folders["terraform"], tools)
        return folders

    return build


def initialise(folder: Path, tools: Path) -> None:
    """Let Terraform install what the project's modules refer to, without a backend."""
    for module in modules(folder):
        started = terraform(module, tools, "init", "-backend=false")
        assert started.returncode == 0, started.stdout + started.stderr


def modules(folder: Path) -> list[Path]:
    """The folders that Terraform applies: the environment, and the registry of all of them."""
    module = folder / "infrastructure" / "terraform"
    return [each for each in (module, module / "model-registry") if each.exists()]


def builds_registry_apart(folder: Path, environment: str) -> bool:
    config = yaml.safe_load((folder / "config" / f"{environment}.yml").read_text(encoding="utf-8"))
    return "model_registry" in config and "registry_resource_group" in config["names"]


def compared(folders: dict[str, Path], tools: Path, environments: tuple[str, ...], **inputs: Any) -> dict[str, Any]:
    """Both tables of each environment, each with the registry that is built before it."""
    tables: dict[str, Table] = {each: {} for each in environments}
    for module in modules(folders["terraform"]):
        run = lambda *arguments, module=module: terraform(module, tools, "test", *arguments).stdout  # noqa: E731
        given, built = inputs, environments
        if module.name == "model-registry":
            given = {name: value for name, value in inputs.items() if name.startswith("deployer")}
            built = tuple(each for each in environments if builds_registry_apart(folders["terraform"], each))
        for each, planned in (plans(module, built, run, **given) if built else {}).items():
            tables[each] |= terraform_table(planned)
    return {each: (tables[each], in_bicep(folders["bicep"], each, **inputs)) for each in environments}


def in_bicep(folder: Path, environment: str, **inputs: Any) -> Table:
    bicep = folder / "infrastructure" / "bicep"
    if not (bicep / "modules" / "monitoring.bicep").exists():  # the only one that needs it
        inputs.pop("online_endpoint_exists", None)
    parameters = {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in inputs.items()}
    rows = bicep_table(evaluate(bicep / f"{environment}.bicepparam", **parameters))
    if builds_registry_apart(folder, environment):
        known = {name: value for name, value in parameters.items() if name.startswith("deployer")}
        rows |= bicep_table(evaluate(bicep / "model-registry.bicep", environment=environment, **known))
    return rows


@pytest.fixture(scope="session")
def tables(built: Built, tools: Path) -> Tables:
    """Both tables of each environment: of dev alone with some sets of add-ons."""

    @cache
    def build(*add_ons: str) -> dict[str, tuple[Table, Table]]:
        environments = ("dev",) if list(add_ons) in SOME else ENVIRONMENTS
        return compared(built(*add_ons), tools, environments, online_endpoint_exists=True)

    return build


@pytest.fixture(scope="session")
def other(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All add-ons, and OTHER_CONFIG in dev; read them, do not write to them."""
    folders = copies(built(*ALL), tmp_path_factory.mktemp("other"))
    for folder in folders.values():
        edit(folder / "config" / "dev.yml", OTHER_CONFIG)
    return folders


def copies(folders: dict[str, Path], to: Path) -> dict[str, Path]:
    return {tool: Path(shutil.copytree(folder, to / tool)) for tool, folder in folders.items()}


def same(pair: tuple[Table, Table]) -> None:
    if lines := differences(*pair):
        pytest.fail("\n".join(["Terraform and Bicep differ:", *lines]), pytrace=False)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("add_ons", [NONE, ALL], ids=["nothing", "everything"])
def test_both_tools_build_the_same_in_each_environment(tables: Tables, add_ons: list[str], environment: str) -> None:
    same(tables(*add_ons)[environment])


@pytest.mark.parametrize("add_ons", SOME, ids="+".join)
def test_both_tools_build_the_same_with_each_pair_of_add_ons(tables: Tables, add_ons: list[str]) -> None:
    same(tables(*add_ons)["dev"])


OTHER_DEPLOYER = "00000000-0000-0000-0000-0000000000d2"


@pytest.fixture(scope="session")
def other_tables(other: dict[str, Path], tools: Path) -> tuple[Table, Table]:
    """Both tables of dev as OTHER_CONFIG has it, for another deployer, before there is an online endpoint."""
    return compared(other, tools, ("dev",), deployer_principal_id=OTHER_DEPLOYER, online_endpoint_exists=False)["dev"]


def test_both_tools_follow_the_config_and_their_inputs(other_tables: tuple[Table, Table]) -> None:
    same(other_tables)
    kinds = [kind for kind, _ in other_tables[0]]
    assert kinds.count("lock") == 5 + 2  # of the environment, and of the registry
    hosts = {name for kind, name in other_tables[0] if kind == "outbound host"}
    assert {name.rpartition(" ")[2] for name in hosts} == {"host-packages_example_com", "host-_example_com"}
    assert not any("onlineEndpoints" in name for _, name in other_tables[0])
    assert any(OTHER_DEPLOYER in name for kind, name in other_tables[0] if kind == "role assignment")


def test_a_user_who_also_deploys_gets_each_right_once_from_terraform(built: Built, tools: Path) -> None:
    """Azure refuses a right that is there already, and a table refuses a row that is there twice."""
    ada = USERS.split("=")[1][:36]
    module = built(*ALL)["terraform"] / "infrastructure" / "terraform"
    run: Callable[..., str] = lambda *arguments: terraform(module, tools, "test", *arguments).stdout  # noqa: E731
    rows = terraform_table(plans(module, ("dev",), run, deployer_principal_id=ada)["dev"])
    assert sum(ada in name for kind, name in rows if kind == "role assignment") >= 5


def test_the_private_network_takes_no_right_away(tables: Tables) -> None:
    """Terraform would delete it, which a lock on the resource forbids."""
    rights = [
        {name for kind, name in tables(*add_ons)["dev"][0] if kind == "role assignment"} for add_ons in (NONE, ALL)
    ]
    assert rights[0] - rights[1] == set()


def test_an_open_model_registry_has_no_private_endpoint(other: dict[str, Path], tools: Path, tmp_path: Path) -> None:
    folders = copies(other, tmp_path)
    for folder in folders.values():
        edit(folder / "config" / "dev.yml", {"  public_network_access: false": "  public_network_access: true"})
    pair = compared(folders, tools, ("dev",))["dev"]
    same(pair)
    endpoints = {name for kind, name in pair[0] if kind == "private endpoint"}
    assert "pe-workspace" in endpoints
    assert {name for name in endpoints if "registry" in name} == {"pe-container-registry"}
    [registry] = [row for (kind, _), row in pair[0].items() if kind == "model registry"]
    assert registry["properties.publicNetworkAccess"] == "Enabled"


NETWORKS, LOGS = f"{COMPANY}/Microsoft.Network", f"{COMPANY}/Microsoft.OperationalInsights/workspaces/log-platform"
# What a landing zone gives: a subnet, the zones of each endpoint, the logs, and a registry in another subscription.
OF_THE_COMPANY = {
    r"  address_space: .*\n": f"  existing_subnet_id: {NETWORKS}/virtualNetworks/vnet-spoke/subnets/snet-ml\n",
    r"  (endpoints|runners)_subnet: .*\n": "",
    r'  dns: "own".*\n': "  dns: central\n  dns_zone_ids:\n"
    + "".join(
        f"    - {NETWORKS}/privateDnsZones/privatelink.{zone}\n"
        for zone in (
            *("api.azureml.ms", "notebooks.azure.net", "vaultcore.azure.net", "azurecr.io"),
            *(f"{part}.core.windows.net" for part in ("blob", "file", "queue", "table", "dfs")),
        )
    ),
    r"retention:\n": f"retention:\n  log_analytics_id: {LOGS}\n",
    r"(  registry: .*\n)": r'\1  registry_subscription: "00000000-0000-0000-0000-000000000008"\n',
}


def test_both_tools_use_what_a_landing_zone_gives(built: Built, tools: Path, tmp_path: Path) -> None:
    folders = copies(built(*ALL), tmp_path)
    for folder in folders.values():
        path = folder / "config" / "prod.yml"
        text = path.read_text(encoding="utf-8")
        for old, new in OF_THE_COMPANY.items():
            text, times = re.subn(old, new, text)
            assert times, old
        path.write_text(text, encoding="utf-8")
    pair = compared(folders, tools, ("prod",))["prod"]
    same(pair)
    endpoints = {name: row for (kind, name), row in pair[0].items() if kind == "private endpoint"}
    assert all(NETWORKS in row["subnet"] and NETWORKS in row["zones"][0] for row in endpoints.values())
    logged = [row["sent to"] for (kind, _), row in pair[0].items() if kind == "diagnostic setting"]
    assert logged == [LOGS] * len(logged) != []
    assert "subscriptions/00000000-0000-0000-0000-000000000008/" in endpoints["pe-model-registry"]["leads to"]
    assert not {"Log Analytics", "network", "subnet", "security group", "DNS zone", "NAT gateway"} & {
        kind for kind, _ in pair[0]
    }


def test_an_empty_list_of_logs_makes_no_setting_in_either_tool(built: Built, tools: Path, tmp_path: Path) -> None:
    """Azure takes no setting without a category, and no second one that sends the same logs to the same place."""
    folders = copies(built(*ALL), tmp_path)
    for folder in folders.values():
        for name in ("diagnostics", "monitoring"):
            path = folder / "infrastructure" / "shared" / f"{name}.yml"
            lists = re.compile(r"^(?!model_registry)([a-z_]+): \[.+\]$", re.MULTILINE)
            text, times = lists.subn(r"\1: []", path.read_text(encoding="utf-8"))
            assert times == {"diagnostics": 5, "monitoring": 1}[name]
            path.write_text(text, encoding="utf-8")
    pair = compared(folders, tools, ("dev",), online_endpoint_exists=True)["dev"]
    same(pair)
    assert [kind for kind, _ in pair[0]].count("diagnostic setting") == 1  # of the model registry


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_environment_that_reads_a_closed_registry_reaches_it(tables: Tables, environment: str) -> None:
    rows = tables(*ALL)[environment][0]
    for name in ("pe-model-registry", "pe-model-registry-blob"):
        assert ("private endpoint", name) in rows
    assert {name for kind, name in rows if kind == "outbound endpoint"} >= {"model-registry", "model-registry-blob"}
    approves = [name for kind, name in rows if kind == "role assignment" and "b556d68e-0be0-4f35" in name]
    assert sum(name.split()[1].endswith("/rg-flight-delays-shared") for name in approves) == 1


READER, REGISTRY_USER = "acdd72a7-3385-48ef-bd42-f606fba81ae7", "1823dd4f-9b8c-4ab6-ab4e-7397a3684615"


def rights_to_the_registry(rows: Table) -> dict[str, int]:
    """How many identities have each role on the resource group of the model registry."""
    found = [name.split() for kind, name in rows if kind == "role assignment"]
    places = [words for words in found if words[1].endswith("/rg-flight-delays-shared")]
    return {role: sum(role in " ".join(words) for words in places) for role in (READER, REGISTRY_USER)}


@pytest.mark.parametrize("chosen", [["model-registry"], ALL], ids=["open", "closed"])
def test_dev_writes_into_the_registry_and_what_loads_models_elsewhere_reads_it(
    tables: Tables, chosen: list[str]
) -> None:
    pairs = tables(*chosen)
    for pair in pairs.values():
        same(pair)
    found = {each: rights_to_the_registry(pair[0]) for each, pair in pairs.items()}
    reads = {READER: 2, REGISTRY_USER: 0}
    assert found == {"dev": {READER: 0, REGISTRY_USER: 1}, "test": reads, "prod": reads}


def test_the_rights_to_an_open_registry_are_there_before_the_first_delivery(built: Built, tools: Path) -> None:
    """The first deployment loads a model under the endpoint's identity, when there is no endpoint yet."""
    pairs = compared(built("model-registry", "monitoring"), tools, ENVIRONMENTS, online_endpoint_exists=False)
    for pair in pairs.values():
        same(pair)
        assert not any("onlineEndpoints" in name for _, name in pair[0])
    reads = {READER: 2, REGISTRY_USER: 0}
    found = {each: rights_to_the_registry(pair[0]) for each, pair in pairs.items()}
    assert found == {"dev": {READER: 0, REGISTRY_USER: 1}, "test": reads, "prod": reads}


def test_the_owner_of_an_open_registry_elsewhere_lets_it_be_read(built: Built, tools: Path, tmp_path: Path) -> None:
    """The identity that builds the environment has no right in that subscription."""
    folders = copies(built("model-registry"), tmp_path)
    for folder in folders.values():
        key = '\\1  registry_subscription: "00000000-0000-0000-0000-000000000008"\n'
        path = folder / "config" / "prod.yml"
        path.write_text(re.sub(r"(  registry: .*\n)", key, path.read_text(encoding="utf-8")), encoding="utf-8")
        assert "registry_subscription" in path.read_text(encoding="utf-8")
    pair = compared(folders, tools, ("prod",))["prod"]
    same(pair)
    assert rights_to_the_registry(pair[0]) == {READER: 0, REGISTRY_USER: 0}


# A project from before the registry had a resource group of its own has no such keys.
FROM_BEFORE = [
    r"  nat: .*\n",
    r"  dns: .*\n",
    r"  registry_resource_group: .*\n",
    r"  registry_log_analytics: .*\n",
    r"  log_days: 90 # how .*\n",
]


def without_group(folder: Path) -> None:
    """Take the resource group of the registry out of the config, as an update from an older release leaves it."""
    for path in (folder / "config").glob("*.yml"):
        path.write_text(re.sub("|".join(FROM_BEFORE), "", path.read_text(encoding="utf-8")), encoding="utf-8")


def test_a_project_from_before_keeps_the_registry_in_the_group_of_dev(
    other: dict[str, Path], tools: Path, tmp_path: Path
) -> None:
    folders = copies(other, tmp_path)
    for folder in folders.values():
        without_group(folder)
    pair = compared(folders, tools, ("dev",))["dev"]
    same(pair)
    [name] = [name for kind, name in pair[0] if kind == "model registry"]
    assert "/resourceGroups/rg-flight-delays-dev/" in name or "mlr-" in name
    kinds = [kind for kind, _ in pair[0]]
    assert (kinds.count("Log Analytics"), kinds.count("lock")) == (1, 5)
    assert ("private endpoint", "pe-model-registry-blob") in pair[0]


def test_an_instance_comes_after_the_rights_of_its_owner(built: Built) -> None:
    """Without account keys its file share is mounted as the user while it is set up."""
    folders = built(*ALL)
    words = {
        "terraform": r'_deployment" "this" \{.+?  depends_on = \[azurerm_role_assignment.this\]\n\}\n',
        "bicep": r"^resource computeInstances .+?    dependsOn: \[\n      storageRights\n    \]\n  \}\n\]\n",
    }
    files = {"terraform": "modules/compute-instance/main.tf", "bicep": "modules/compute-instance.bicep"}
    for tool, pattern in words.items():
        text = (folders[tool] / "infrastructure" / tool / files[tool]).read_text(encoding="utf-8")
        assert re.search(pattern, text, re.DOTALL | re.MULTILINE), tool


def test_every_setting_has_a_value_somewhere(tables: Tables, other_tables: tuple[Table, Table]) -> None:
    """One that is empty on both sides everywhere compares nothing."""
    found = [pair[0] for add_ons in (NONE, ALL, *SOME) for pair in tables(*add_ons).values()]
    used = {
        (kind, setting)
        for rows in [*found, other_tables[0]]
        for (kind, _), row in rows.items()
        for setting, value in row.items()
        if value is not None
    }
    assert {(name, setting) for name, kind in KINDS.items() for setting in kind.settings} - used == set()
    assert KINDS.keys() - {kind for kind, _ in used} == set()


@pytest.fixture(scope="session", params=TOOLS)
def edited(
    request: pytest.FixtureRequest, other: dict[str, Path], tools: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """What the comparison reports when one of the tools is edited and the other is not."""
    folders = copies(other, tmp_path_factory.mktemp("edited"))
    for pair in EDITS.values():
        file, old, new = pair[TOOLS.index(request.param)]
        edit(folders[request.param] / "infrastructure" / request.param / file, {old: new})
    return differences(*compared(folders, tools, ("dev",))["dev"])


@pytest.mark.parametrize("words", EDITS)
def test_a_change_of_one_tool_is_noticed(edited: list[str], words: str) -> None:
    assert any(re.match(words, line) for line in edited), "\n".join(edited)


def test_a_difference_is_reported_with_both_values() -> None:
    ids = [f"/subscriptions/s/resourceGroups/{group}/providers/Microsoft.X/y/z" for group in ("a", "b")]
    ours: Table = {("key vault", "kv"): {"sku": "standard", "tags": {}, "on": ids[0]}, ("lock", "on kv"): {}}
    theirs: Table = {("key vault", "kv"): {"sku": "premium", "tags": {}, "on": ids[1]}}
    assert differences(ours, theirs) == [
        f"key vault kv: on: Terraform {ids[0]!r}, Bicep {ids[1]!r}",
        "key vault kv: sku: Terraform 'standard', Bicep 'premium'",
        "lock on kv: only in Terraform",
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Found("Microsoft.Batch/batchAccounts", {}), "Microsoft.Batch/batchAccounts is not a kind"),
        (Found("Microsoft.KeyVault/vaults", {"properties": {"new": [{"thing": 1}]}}), "reads properties.new.thing"),
        (Found("Microsoft.KeyVault/vaults", {"name": "kv"}), "is there twice"),
    ],
)
def test_nothing_is_left_out_silently(found: Found, words: str) -> None:
    known = Found("Microsoft.KeyVault/vaults", {"name": "kv"})
    with pytest.raises(AssertionError, match=words):
        table([known, found], {kind.azure: name for name, kind in KINDS.items()}, 1)


def test_one_of_several_blocks_does_not_stand_for_all() -> None:
    assert at({"rules": [{"open": False}]}, "rules.open") is False
    with pytest.raises(AssertionError, match="there 2 times"):
        at({"rules": [{"open": False}, {"open": True}]}, "rules.open")
