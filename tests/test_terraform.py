"""Terraform of a rendered project: formatted, valid against the provider's schema, and its own tests pass and can fail.

The provider is a stand-in that serves azurerm's schema, so that nothing is downloaded and no account is needed.
"""

import itertools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from combinations import ROOT, USERS, add_on_sets
from conftest import SUFFIX, Render, git, make_once, short_hash
from resident_terraform import terraform

NONE, ALL = add_on_sets()[:2]
OPEN = [each for each in ALL if each != "private-network"]

# Looser or wrong settings, all at once: each assertion of the project's own tests must notice its own.
CLOSED_OR_OPEN = {"= !var.place.closed": "= var.place.closed", '? "Deny" : "Allow"': '? "Allow" : "Deny"'}
DEV = 'yamldecode(file("../../config/dev.yml"))'
LOOSENED = {
    "storage.tf": {
        '"StorageV2"': '"BlobStorage"',
        "shared_access_key_enabled       = local.storage.shared_keys": "shared_access_key_enabled = true",
        "default_to_oauth_authentication = true": "default_to_oauth_authentication = false",
        "local.studio.origins": '["https://example.com"]',
        "= local.retention.version_days": "= 365",
        "/modelDataCollector/": "/",
        "local_user_enabled              = false": "local_user_enabled              = true",
        "allow_nested_items_to_be_public  = false": "allow_nested_items_to_be_public  = true",
        "cross_tenant_replication_enabled = false": "cross_tenant_replication_enabled = true",
        "https_traffic_only_enabled       = true": "https_traffic_only_enabled       = false",
        "versioning_enabled = true": "versioning_enabled = false",
        "days = 14": "days = 1",
        "= !local.closed": "= local.closed",
        '? "Deny" : "Allow"': '? "Allow" : "Deny"',
        '? ["AzureServices"] : ["AzureServices", "Logging", "Metrics"]': '? ["None"] : ["None"]',
    },
    "main.tf": {
        "rbac_authorization_enabled = true": "rbac_authorization_enabled = false",
        "soft_delete_retention_days = 90": "soft_delete_retention_days = 7",
        "admin_enabled          = false": "admin_enabled          = true",
        "anonymous_pull_enabled = false": "anonymous_pull_enabled = true",
        '"LegacyRegistryPermissions"': '"AbacRepositoryPermissions"',
        '? "Premium" : "Standard"': '? "Standard" : "Premium"',
    },
    "logs.tf": {
        "local_authentication_enabled = false": "local_authentication_enabled = true",
        "  workspace_id     = local.log_analytics_id\n": "  workspace_id     = null\n",
        "    key_vault          = azurerm_key_vault.this.id\n": "",
        "local.log_categories[each.key]": "[]",
    },
    "workspace.tf": {
        ': "Identity"': ': "AccessKey"',
        'type         = "UserAssigned"': 'type         = "SystemAssigned, UserAssigned"',
        "identity_ids = concat([azurerm_user_assigned_identity.workspace.id],": "identity_ids = concat([],",
        "primary_user_assigned_identity = azurerm_user_assigned_identity.workspace.id": (
            "primary_user_assigned_identity = azurerm_user_assigned_identity.compute.id"
        ),
        "? local.config.compute.cluster.name : null": '? null : "cpu"',
        "provision_on_creation_enabled = true": "provision_on_creation_enabled = false",
        'create = "90m"': 'create = "30m"',
        "node_public_ip_enabled    = !local.closed": "node_public_ip_enabled    = local.closed",
        "each.value.min_nodes": "1",
        'M"\n': 'H"\n',
        '"Dedicated"': '"LowPriority"',
        "local_auth_enabled        = false": "local_auth_enabled        = true",
        "ssh_public_access_enabled = false": "ssh_public_access_enabled = true",
        "identity_ids = [azurerm_user_assigned_identity.compute.id]": (
            "identity_ids = [azurerm_user_assigned_identity.workspace.id]"
        ),
    },
    "governance.tf": {
        '"mlops"': '"ml"',
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "use_common_alert_schema = true": "use_common_alert_schema = false",
        '"Monthly"': '"Quarterly"',
        "'01T": "'02T",
        "threshold = 80": "threshold = 95",
        '["Owner"]': '["Reader"]',
        '"CanNotDelete"': '"ReadOnly"',
        "    data_lake          = module.data_lake.id\n": "",
    },
    "modules/data-lake/main.tf": CLOSED_OR_OPEN
    | {
        "tags                = var.place.tags": "tags                = {}",
        "is_hns_enabled           = true": "is_hns_enabled           = false",
        "shared_access_key_enabled       = false": "shared_access_key_enabled       = true",
        "local_user_enabled              = false": "local_user_enabled              = true",
        "allow_nested_items_to_be_public  = false": "allow_nested_items_to_be_public  = true",
        "cross_tenant_replication_enabled = false": "cross_tenant_replication_enabled = true",
        "https_traffic_only_enabled       = true": "https_traffic_only_enabled       = false",
        "days = 14": "days = 1",
        '? ["AzureServices"] : ["AzureServices", "Logging", "Metrics"]': '? ["None"] : ["None"]',
        "= var.redundancy": '= "LRS"',
        "  service_data_identity": "  tags = var.place.tags\n  service_data_identity",
        "  scope                            = azurerm_storage_account.this.id": (
            "  scope = azurerm_storage_container.data.id"
        ),
        '"WorkspaceUserAssignedIdentity"': '"None"',
        "/blobServices/default": "",
    },
    "model-registry.tf": {
        "registries/${local.names.registry}": "registries/mlr-mine",
        "local.model_registry != null && local.registry_group == null ?": "true ?",
        "= local.model_registry.": f"= {DEV}.model_registry.",
        "local.closed && local.registry_home.closed": "true",
        "try(each.names.registry_resource_group, each.names.resource_group)": '"rg-mine"',
        "storageAccountDetails[0].systemCreated": "storageAccountDetails[0].userCreated",
        "    model_registry         = try(module.model_registry[0].id, local.registry_id)\n": "",
        "scope                            = local.registry_group_id": "scope = local.registry_id",
    },
    "modules/model-registry/main.tf": {
        "var.locations[0]": '"northeurope"',
        "for location in var.locations": "for location in slice(var.locations, 0, 1)",
        "allowBlobPublicAccess    = false": "allowBlobPublicAccess    = true",
        '"SystemAssigned"': '"None"',
        '"Incremental"': '"Complete"',
        "= local.id\n  role": "= var.resource_group_id\n  role",
        '? "Enabled" : "Disabled"': '? "Disabled" : "Enabled"',
    },
    "compute-instance.tf": {
        "try(local.config.compute.instances.users, [])": f"{DEV}.compute.instances.users",
        "= local.config.compute.instances\n": f"= {DEV}.compute.instances\n",
    },
    "modules/compute-instance/outputs.tf": {"azurerm_resource_group_template_deployment.this.name": '"ci"'},
    "modules/compute-instance/main.tf": {
        "= !var.place.closed": "= var.place.closed",
        "${var.workspace}/${var.user.instance}": "${var.workspace}/ci",
        "objectId = var.user.object_id": "objectId = var.tenant_id",
        '"personal"': '"shared"',
        'sshPublicAccess = "Disabled"': 'sshPublicAccess = "Enabled"',
        'M"\n': 'H"\n',
        'status      = "Enabled"': 'status      = "Disabled"',
        "principal_id       = var.user.object_id": "principal_id       = var.tenant_id",
        "[template_content, tags]": "[]",
    },
    "monitoring.tf": {'try(local.config.alerts[key], "THRESHOLD")': '"0"'},
    "modules/monitoring/main.tf": {
        "each.value.severity": "4",
        '"Count"': '"Total"',
        "[var.action_group_id]": "[]",
        "skip_query_validation   = true": "skip_query_validation   = false",
        "display_name = var.title": 'display_name = "Dashboard"',
        'replace(var.workbook, "LOG_ANALYTICS_ID", var.log_analytics_id)': "var.workbook",
        "var.endpoint_id != null &&": "var.endpoint_id == null &&",
        "= var.endpoint_id\n": "= var.log_analytics_id\n",
    },
    "modules/private-network/outputs.tf": {
        "azurerm_virtual_network.this[0].name": '"vnet"',
        ": basename(local.network_id)": ': "v"',
    },
    "modules/private-network/main.tf": {
        "[var.network.address_space]": '["10.0.0.0/8"]',
        "[local.ranges[subnet.key]]": '["10.80.2.0/24"]',
        "default_outbound_access_enabled = false": "default_outbound_access_enabled = true",
        'private_endpoint_network_policies = "Enabled"': 'private_endpoint_network_policies = "Disabled"',
        "= security_rule.value.source\n": '= "*"\n',
        "= azurerm_network_security_group.this[subnet.key].id": "= null",
        ": var.network.existing_subnet_id\n}": ": local.network_id\n}",
        "  own     = var.network.existing_subnet_id == null": "  own     = true",
        "local.own && var.network.nat": "true",
        "basename(id) => id }": 'basename(id) => "${id}x" }',
        'var.network.dns == "own" ?': "true ?",
        "{ serviceTag = rule.service_tag,": '{ serviceTag = "Internet",',
        '"Incremental"': '"Complete"',
        "endpoint in local.managed_endpoints : key => {\n": "endpoint in {} : key => {\n",
        '"Static"': '"Dynamic"',
        "subresource_names              = [each.value.group]": 'subresource_names = ["blob"]',
        "is_manual_connection           = false": "is_manual_connection = true",
        ": endpoint.zones": ': concat(["privatelink.example.com"], endpoint.zones)',
        '"link-${var.name}"': '"link"',
        "sub_resource_target = each.value.group": 'sub_resource_target = "web"',
        'create = "90m"': 'create = "30m"',
        "= var.network.dns_servers": '= ["10.0.0.9"]',
        '== "approved" ? var': '!= "approved" ? var',
        "endpoint.on) }\n\n  # Named": 'endpoint.on) && key != "lake-dfs" }\n\n  # Named',
        'local.endpoint_ids[trimsuffix(each.value.on, "_endpoint")]': "var.resources.storage_account",
    },
}

# The same for the registry, which is built apart.
REGISTRY_LOOSENED = {
    "= local.resource_group_id\n  role": "= module.model_registry.id\n  role",
    "local.names.registry_resource_group": '"rg-mine"',
    '{ environment = "shared" }': "{}",
    "local.config.model_registry.log_days": "31",
    "local_authentication_enabled = false": "local_authentication_enabled = true",
    "target_resource_id         = module.model_registry.id": (
        "target_resource_id         = azurerm_log_analytics_workspace.this.id"
    ),
    ".model_registry\n    content": ".workspace\n    content",
    '"CanNotDelete"': '"ReadOnly"',
}

# Values of their own instead of those in the config.
FIXED = {
    "main.tf": {
        "= local.names.resource_group": '= "rg-mine"',
        "= local.config.location": '= "northeurope"',
        "= local.config.tags": "= {}",
        "= local.config.security.purge_protection": "= false",
    },
    "logs.tf": {"local.config.retention.log_days": "31"},
    "storage.tf": {"= local.storage.redundancy": '= "GRS"'},
    "workspace.tf": {"each.value.vm_size": '"Standard_DS3_v2"'},
    "governance.tf": {
        "if local.lock_notes != null": "if local.lock_notes == null",
        "amount     = local.config.budget.monthly_amount": "amount = 1",
        "= local.config.monitor.alert_emails": '= ["me@example.com"]',
    },
}

# One error each, as they slip in: `terraform validate` names it before anything is planned.
ERRORS = {
    "a misspelt argument": ("storage.tf", "shared_access_key_enabled ", "shared_access_keys_enabled "),
    "an argument of azurerm 4": ("logs.tf", "authentication_enabled = false", "authentication_disabled = true"),
    "an argument that azurerm 5 dropped": ("main.tf", "admin_enabled ", "trust_policy_enabled "),
    "a missing argument": ("main.tf", "  rbac_authorization_enabled = true\n", ""),
    "a missing block": ("workspace.tf", "  identity {", "  serverless_compute {"),
    "a block too many": ("storage.tf", "  share_properties {", "  blob_properties {}\n  share_properties {"),
    "an unknown block": ("workspace.tf", "  scale_settings {", "  scaling {"),
    "an unknown resource": ("governance.tf", '"azurerm_management_lock"', '"azurerm_lock"'),
    "an unknown data source": ("main.tf", 'data "azurerm_client_config"', 'data "azurerm_client"'),
    "a wrong type": ("storage.tf", "days = 14", 'days = "a fortnight"'),
    "a list for a word": ("workspace.tf", 'vm_priority = "Dedicated"', 'vm_priority = ["Dedicated"]'),
    "a value that Azure does not know": ("workspace.tf", '"Dedicated"', '"Spot"'),
    "an old TLS version": ("storage.tf", '"TLS1_2"', '"TLS1_0"'),
    "an unknown replication": ("modules/data-lake/main.tf", "var.redundancy", '"XRS"'),
    "a name that Azure refuses": ("modules/data-lake/main.tf", '= "data"', '= "Data"'),
    "a computed attribute": ("workspace.tf", "  image_build_compute_name", "  discovery_url"),
    "a resource that is not there": ("identity.tf", "azurerm_key_vault.this.id", "azurerm_key_vault.main.id"),
    "an attribute that is not there": ("outputs.tf", "azurerm_key_vault.this.name", "azurerm_key_vault.this.title"),
    "a local that is not there": ("storage.tf", "local.closed", "local.private"),
    "a variable that is not there": ("identity.tf", "var.deployer_principal_id", "var.deployer"),
    "a function that is not there": ("governance.tf", "plantimestamp()", "today()"),
    "a module without an input": ("data-lake.tf", "  place            = local.place\n", ""),
    "an input that a module has not": ("monitoring.tf", "  title ", "  name "),
    "an input of the wrong type": ("monitoring.tf", "= local.monitoring.endpoint_logs", '= "all of it"'),
    "an output that a module has not": ("private-network.tf", "module.data_lake.id", "module.data_lake.account"),
    "one address twice": ("outputs.tf", 'output "key_vault"', 'output "workspace"'),
    "two that need each other": (
        "main.tf",
        "= local.names.key_vault",
        "= azurerm_machine_learning_workspace.this.name",
    ),
    "an open brace": ("logs.tf", '"this" {', '"this" {{'),
    "a broken list of roles": ("../shared/roles.yml", "roles:", "roles: ["),
    "an alert without its window": ("../shared/monitoring.yml", '    window: "PT15M"\n', ""),
}

RELEASES = yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))
UPGRADE = """
mock_provider "azurerm" {
  source = "./tests/mocks"
}

run "built_with_the_release" {
  command   = apply
  state_key = "upgrade"
  module {
    source = "../../release/infrastructure/terraform"
  }
}

run "planned_with_this_commit" {
  command   = plan
  state_key = "upgrade"
}

variables {
  environment = "prod"
}
"""

Prepared = Callable[[list[str]], Path]


@pytest.fixture(scope="session")
def prepared(render: Render, tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Prepared:
    """An initialised Terraform folder with these add-ons, beside its config; read it, do not write to it."""

    @cache
    def build(*add_ons: str) -> Path:
        project = render(infrastructure_version="terraform", add_ons=list(add_ons), instance_users=USERS)
        folder = tmp_path_factory.mktemp("terraform")
        for name in ("infrastructure", "config"):
            shutil.copytree(project / name, folder / name)
        module = folder / "infrastructure" / "terraform"
        for each in (module, *([module / "model-registry"] if "model-registry" in add_ons else [])):
            started = terraform(each, tools, "init", "-backend=false", "-input=false")
            assert started.returncode == 0, started.stdout + started.stderr
        return module

    return lambda add_ons: build(*add_ons)


Copied = Callable[[list[str]], Path]


@pytest.fixture
def copied(prepared: Prepared, tmp_path: Path) -> Copied:
    """The same, to write to."""

    def copy(add_ons: list[str]) -> Path:
        shutil.copytree(prepared(add_ons).parents[1], tmp_path, dirs_exist_ok=True)
        return tmp_path / "infrastructure" / "terraform"

    return copy


def errors(result: subprocess.CompletedProcess) -> list[str]:
    """The errors that `terraform validate -json` reports."""
    return [each["summary"] for each in json.loads(result.stdout)["diagnostics"]]


def output(result: subprocess.CompletedProcess) -> str:
    """Everything that Terraform wrote, on one line: it breaks long messages."""
    return " ".join((result.stdout + result.stderr).split())


def edit(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, f"{path.name} has no {old!r} any more: bring this test up to date"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def test_the_sets_of_add_ons_hold_each_pair_in_all_four_ways() -> None:
    for one, other in itertools.combinations(ALL, 2):
        assert len({(one in each, other in each) for each in add_on_sets()}) == 4, (one, other)


@pytest.mark.parametrize("add_ons", add_on_sets(), ids="+".join)
def test_it_is_formatted_and_valid_whatever_was_chosen(prepared: Prepared, tools: Path, add_ons: list[str]) -> None:
    module = prepared(add_ons)
    formatted = terraform(module, tools, "fmt", "-check", "-recursive", "-diff")
    assert formatted.returncode == 0, formatted.stdout
    for each in (module, *([module / "model-registry"] if "model-registry" in add_ons else [])):
        assert errors(terraform(each, tools, "validate", "-json")) == []


@pytest.mark.parametrize("add_ons", [NONE, OPEN, ALL], ids=["nothing", "open", "closed"])
def test_its_own_tests_pass_without_an_account(prepared: Prepared, tools: Path, add_ons: list[str]) -> None:
    result = terraform(prepared(add_ons), tools, "test")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Success! \d\d passed, 0 failed", result.stdout)


def test_the_registrys_own_tests_pass_and_each_assertion_notices_a_loosened_setting(
    copied: Copied, tools: Path
) -> None:
    module = copied(ALL) / "model-registry"
    result = terraform(module, tools, "test")
    assert "Success! 5 passed, 0 failed" in result.stdout, output(result)
    edit(module / "main.tf", REGISTRY_LOOSENED)
    result = terraform(module, tools, "test")
    promised = re.findall(r'error_message = "(.+)"', (module / "tests" / "registry.tftest.hcl").read_text("utf-8"))
    assert [message for message in promised if message not in output(result)] == []


def planned_deletions(
    module: Path, tools: Path, release: dict[str, str], environment: str = "prod", **answers: Any
) -> list[str]:
    """What Terraform deletes or replaces when the working tree's module plans on what the release built."""
    render_release(module, release, **answers)
    return deletions(module, tools, environment)


def render_release(module: Path, release: dict[str, str], **answers: Any) -> None:
    """Have a project of a release beside a module."""
    if git(ROOT, "rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone does not hold the releases: git fetch --unshallow")
    copier.run_copy(
        str(ROOT),
        module.parents[1] / "release",
        data={"name_suffix": SUFFIX, **answers},
        defaults=True,
        quiet=True,
        unsafe=True,
        vcs_ref=release["commit"],
    )


def deletions(module: Path, tools: Path, environment: str = "prod") -> list[str]:
    """What the module deletes or replaces of what the project beside it built."""
    test = UPGRADE.replace('"prod"', f'"{environment}"')
    (module / "tests" / "upgrade.tftest.hcl").write_text(test, encoding="utf-8")
    terraform(module, tools, "init", "-backend=false", "-input=false")
    result = terraform(module, tools, "test", "-verbose", "-filter=tests/upgrade.tftest.hcl")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^(Plan: \d+ to add|No changes\.)", result.stdout, re.MULTILINE), result.stdout
    return re.findall(r"^ *# (.+) (?:will be destroyed|must be replaced)", result.stdout, re.MULTILINE)


def waits_for(graph: str, start: str) -> set[str]:
    """The resources after which one is made, by a graph of `terraform graph`."""
    edges: dict[str, set[str]] = {}
    for one, other in re.findall(
        r'"(?:\[root\] )?([^"\n]+?)(?: \(expand\))?" -> "(?:\[root\] )?([^"\n]+?)(?: \(expand\))?"', graph
    ):
        edges.setdefault(one, set()).add(other)
    found: set[str] = set()
    left = [start]
    while left:
        for each in edges.get(left.pop(), set()) - found:
            found.add(each)
            left.append(each)
    return found


WORKSPACE = "azurerm_machine_learning_workspace.this"
ENDPOINTS = "module.private_network.azurerm_private_endpoint"


def test_what_the_workspace_needs_has_private_endpoints_before_it(copied: Copied, tools: Path) -> None:
    """As in Bicep (tests/test_bicep.py): its own endpoint comes after it, of course."""
    module = copied(ALL)
    (module / "state_override.tf").write_text(LOCAL_STATE, encoding="utf-8")
    assert terraform(module, tools, "init", "-input=false").returncode == 0
    graph = terraform(module, tools, "graph", "-type=plan")
    assert graph.returncode == 0, graph.stdout + graph.stderr
    before = waits_for(graph.stdout, WORKSPACE)
    assert {f"{ENDPOINTS}.this", f"{ENDPOINTS}.policy", "module.private_network.azurerm_role_assignment.this"} <= before
    assert WORKSPACE in waits_for(graph.stdout, f"{ENDPOINTS}.workspace")
    assert f"{ENDPOINTS}.workspace" not in before
    edit(module / "workspace.tf", {", module.private_network.endpoints]": "]"})
    assert f"{ENDPOINTS}.this" not in waits_for(terraform(module, tools, "graph", "-type=plan").stdout, WORKSPACE)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release["version"])
def test_nothing_that_a_release_built_is_deleted_by_an_update(
    copied: Copied, tools: Path, release: dict[str, str], shared_folder: Path
) -> None:
    module = copied(NONE)
    render_release(module, release)
    known = shared_folder / "deletions" / what_is_built(module.parents[1] / "release")
    # Several releases build the same.
    make_once(known, lambda file: file.write_text(json.dumps(deletions(module, tools)), encoding="utf-8"))
    assert json.loads(known.read_text(encoding="utf-8")) == []


def what_is_built(project: Path) -> str:
    """A name for the Terraform of a project and what it reads, without comments."""
    code = [path for path in (project / "infrastructure").rglob("*") if path.is_file() and path.suffix != ".md"]
    texts = {
        path.relative_to(project).as_posix(): re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
        for path in code
    }
    configs = [path for path in (project / "config").glob("*.yml") if path.name != "model.yml"]
    return short_hash(
        {"texts": texts, "config": {each.name: yaml.safe_load(each.read_text(encoding="utf-8")) for each in configs}}
    )


# The last release that had all private endpoints of an environment in one resource block.
ONE_BLOCK = next(release for release in RELEASES if release["version"] == "v0.12.0")


def test_an_update_deletes_nothing_of_a_private_network(copied: Copied, tools: Path) -> None:
    """The endpoint of the workspace has another address in the state, which it is moved to."""
    chosen = ["private-network", "data-lake"]
    module = copied(chosen)
    assert planned_deletions(module, tools, ONE_BLOCK, add_ons=chosen) == []
    path = module / "modules" / "private-network" / "main.tf"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"^moved \{.+?\n\}\n", "", text, flags=re.DOTALL | re.MULTILINE), encoding="utf-8")
    shutil.rmtree(module.parents[1] / "release")
    deleted = planned_deletions(module, tools, ONE_BLOCK, add_ons=chosen)
    assert deleted == ['module.private_network.azurerm_private_endpoint.this["workspace"]']


# The first and the last that built it among the resources of dev.
WITH_REGISTRY = [release for release in RELEASES if release["version"] in ("v0.3.0", "v0.9.0")]
REGISTRY = "module.model_registry[0].azurerm_resource_group_template_deployment.this"


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("release", WITH_REGISTRY, ids=lambda release: release["version"])
def test_an_update_deletes_no_registry_that_a_release_built(
    copied: Copied, tools: Path, release: dict[str, str], closed: bool
) -> None:
    """As an update leaves the config: without the key that a new project has (tests/test_update.py)."""
    add_ons = ["private-network", "model-registry"] if closed else ["model-registry"]
    module = copied(ALL)
    for path in (module.parents[1] / "config").glob("*.yml"):
        kept = [line for line in path.read_text("utf-8").splitlines(True) if "  registry_resource_group: " not in line]
        path.write_text("".join(kept), encoding="utf-8")
    deleted = planned_deletions(module, tools, release, "dev", add_ons=add_ons)
    assert deleted == []


def test_a_registry_that_is_given_a_group_by_hand_would_be_deleted_which_provision_refuses(
    copied: Copied, tools: Path
) -> None:
    """So the test above can fail; the refusal is in tests/engine/test_provision.py, with this address."""
    deleted = planned_deletions(copied(ALL), tools, WITH_REGISTRY[-1], "dev", add_ons=["model-registry"])
    assert REGISTRY in [each.replace(".this[0]", ".this") for each in deleted]


# The migration of a registry that a release built with dev (docs/infrastructure.md of the project).

LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'


def moving_commands() -> list[list[str]]:
    """The commands of the page between the two looks at the plan, without `terraform`."""
    text = (ROOT / "template" / "docs" / "infrastructure.md.jinja").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    (block,) = [block for block in blocks if "state mv" in block]
    first, *commands, last = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    assert first[:6] == last[:6] == ["uv", "run", "mlops", "provision", "--environment", "dev"]
    assert "--plan" in last
    return [command[1:] for command in commands]


def keep_registry_in_the_group_of_dev(config: Path) -> None:
    """Write into the config what the page says."""
    for path in [config / f"{name}.yml" for name in ("dev", "test", "prod")]:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["names"]["registry_resource_group"] = "rg-flight-delays-dev"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")


def state(*resources: tuple[str, str, str, list[object]]) -> str:
    """A state with resources: module, type, name, and the keys of the instances."""
    return json.dumps(
        {
            "version": 4,
            "terraform_version": "1.11.0",
            "serial": 7,
            "lineage": "11111111-2222-3333-4444-555555555555",
            "outputs": {},
            "resources": [
                {
                    **({"module": module} if module else {}),
                    "mode": "managed",
                    "type": kind,
                    "name": name,
                    "provider": 'provider["registry.terraform.io/hashicorp/azurerm"]',
                    "instances": [
                        {"schema_version": 0, "attributes": {"id": f"/{name}/{key}"}, "index_key": key}
                        if key is not None
                        else {"schema_version": 0, "attributes": {"id": f"/{name}"}}
                        for key in keys
                    ],
                }
                for module, kind, name, keys in resources
            ],
        }
    )


def test_the_documented_commands_move_the_registry_alone_into_its_own_state(copied: Copied, tools: Path) -> None:
    module = copied(OPEN)
    (module.parents[1] / ".local").mkdir()
    held: list[tuple[str, str, str, list[object]]] = [
        ("", "azurerm_resource_group", "this", [None]),
        ("module.model_registry[0]", "azurerm_resource_group_template_deployment", "this", [None]),
        ("module.model_registry[0]", "azurerm_role_assignment", "this", ["deployer_registry"]),
    ]
    (module / "terraform.tfstate").write_text(state(*held), encoding="utf-8")
    for folder in (module, module / "model-registry"):
        (folder / "state_override.tf").write_text(LOCAL_STATE, encoding="utf-8")
        assert terraform(folder, tools, "init", "-reconfigure", "-input=false").returncode == 0
    for chdir, *words in moving_commands():
        folder = module.parents[1] / chdir.removeprefix("-chdir=")
        *words, _, target = words if ">" in words else (*words, "", "")
        result = terraform(folder, tools, *[word for word in words if word])
        assert result.returncode == 0, output(result)
        if target:
            (module.parents[1] / target).write_text(result.stdout, encoding="utf-8")
    assert terraform(module, tools, "state", "list").stdout.split() == ["azurerm_resource_group.this"]
    moved = terraform(module / "model-registry", tools, "state", "list").stdout.split()
    assert moved == [REGISTRY.replace("[0]", "")]
    attributes = json.loads((module / "model-registry" / "terraform.tfstate").read_text(encoding="utf-8"))
    assert attributes["resources"][0]["instances"][0]["attributes"]["id"] == "/this", "it is the same in Azure"


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_plan_of_dev_deletes_nothing_but_what_the_commands_have_taken_out_of_its_state(
    copied: Copied, tools: Path, closed: bool
) -> None:
    module = copied(ALL)
    keep_registry_in_the_group_of_dev(module.parents[1] / "config")
    add_ons = ["private-network", "model-registry"] if closed else ["model-registry"]
    deleted = planned_deletions(module, tools, WITH_REGISTRY[-1], "dev", add_ons=add_ons)
    assert REGISTRY in [each.replace(".this[0]", ".this") for each in deleted]
    assert [each for each in deleted if not each.startswith("module.model_registry[0].")] == []


BEFORE = """
provider "azurerm" {
  features {}
}

module "model_registry" {
  source                = "../../modules/model-registry"
  name                  = "NAME"
  place                 = { resource_group = "rg-flight-delays-dev", location = "westeurope", tags = { a = "b" } }
  resource_group_id     = "/subscriptions/1/resourceGroups/rg-flight-delays-dev"
  locations             = ["westeurope"]
  public_network_access = true
  assignments           = {}
}
"""
MOVED = """
mock_provider "azurerm" {
  source = "../tests/mocks"
}

variables {
  environment = "dev"
}

run "built_with_dev" {
  command   = apply
  state_key = "moved"
  module {
    source = "./before"
  }
}

run "planned_by_its_own_module" {
  command   = plan
  state_key = "moved"
}
"""


def test_its_own_module_leaves_name_and_group_of_the_moved_registry(copied: Copied, tools: Path) -> None:
    """Azure's provider would replace a deployment with another name or group."""
    module = copied(OPEN) / "model-registry"
    keep_registry_in_the_group_of_dev(module.parents[2] / "config")
    name = yaml.safe_load((module.parents[2] / "config" / "dev.yml").read_text(encoding="utf-8"))["names"]["registry"]
    (module / "before").mkdir()
    (module / "before" / "main.tf").write_text(BEFORE.replace("NAME", name), encoding="utf-8")
    (module / "tests" / "moved.tftest.hcl").write_text(MOVED, encoding="utf-8")
    terraform(module, tools, "init", "-backend=false", "-input=false")
    result = terraform(module, tools, "test", "-verbose", "-filter=tests/moved.tftest.hcl")
    assert result.returncode == 0, output(result)
    planned = result.stdout.partition("planned_by_its_own_module")[2]
    found = re.findall(r"# (\S+) (?:will be destroyed|must be replaced|will be updated)", planned)
    assert found == [REGISTRY.replace("[0]", "")]
    changed = re.findall(r"^ +[-+~] (name|resource_group_name|deployment_mode) +=.*->", planned, re.MULTILINE)
    assert changed == []


def test_without_the_moved_blocks_an_update_would_delete_the_cluster(copied: Copied, tools: Path) -> None:
    module = copied(NONE)
    (module / "moved.tf").unlink()
    deleted = planned_deletions(module, tools, RELEASES[0])
    assert "azurerm_machine_learning_compute_cluster.this" in deleted


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_not_valid(copied: Copied, tools: Path, error: str) -> None:
    file, old, new = ERRORS[error]
    module = copied(ALL)
    edit(module / file, {old: new})
    assert errors(terraform(module, tools, "validate", "-json"))


def test_each_assertion_notices_a_loosened_setting(copied: Copied, tools: Path) -> None:
    module = copied(ALL)
    for name, changes in LOOSENED.items():
        edit(module / name, changes)
    others = ("config", "environment", "roles")
    tests = [path for path in (module / "tests").glob("*.hcl") if path.name.split(".")[0] not in others]
    result = terraform(module, tools, "test", *(f"-filter=tests/{path.name}" for path in tests))
    promised = [each for path in tests for each in re.findall(r'error_message = "(.+)"', path.read_text("utf-8"))]
    assert len(promised) > 90
    assert [message for message in promised if message not in output(result)] == []


@pytest.mark.parametrize("name", ["acr_pull", "acr_push", "key_vault_administrator", "azureml_data_scientist"])
def test_another_role_is_noticed(copied: Copied, tools: Path, name: str) -> None:
    owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
    module = copied(ALL if name == "acr_push" else NONE)
    roles = module.parent / "shared" / "roles.yml"
    roles.write_text(re.sub(rf'(\b{name}: )"[\w-]+"', rf'\1"{owner}"', roles.read_text("utf-8")), encoding="utf-8")
    result = terraform(module, tools, "test", "-filter=tests/roles.tftest.hcl")
    assert "differ from this list" in output(result)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (': "ServicePrincipal"', ': "User"'),
        ("? var.deployer_principal_type :", '? "User" :'),
        ("each.value.principal_type", '"User"'),
    ],
)
def test_a_right_that_does_not_say_that_it_is_for_a_service_is_noticed(
    copied: Copied, tools: Path, old: str, new: str
) -> None:
    module = copied(NONE)
    edit(module / "identity.tf", {old: new})
    result = terraform(module, tools, "test", "-filter=tests/roles.tftest.hcl")
    assert "may grant to services alone" in output(result)


def test_a_value_that_is_not_from_the_config_is_noticed_in_each_environment(copied: Copied, tools: Path) -> None:
    module = copied(NONE)
    for name, changes in FIXED.items():
        edit(module / name, changes)
    result = terraform(module, tools, "test", "-filter=tests/config.tftest.hcl")
    promised = re.findall(r'error_message = "(.+)"', (module / "tests" / "config.tftest.hcl").read_text("utf-8"))
    assert len(promised) == 3 * 10  # dev, test, prod
    assert [message for message in promised if output(result).count(message) != 3] == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("monthly_amount: 300", "monthly_amount: 0", "budget.monthly_amount in config/dev.yml must be greater than 0"),
        ('runners_subnet: "10.80', 'runners_subnet: "10.81', "inside network.address_space"),
        ("idle_minutes: 60", "idle_minutes: 5", "stops an idle instance after 15 minutes at the earliest"),
        ("  failed_jobs: 1", "  failed: 1", "Each alert needs its threshold"),
    ],
)
def test_a_config_that_azure_would_refuse_is_refused_at_once(
    copied: Copied, tools: Path, old: str, new: str, message: str
) -> None:
    module = copied(ALL)
    edit(module.parents[1] / "config" / "dev.yml", {old: new})
    result = terraform(module, tools, "test", "-filter=tests/environment.tftest.hcl")
    assert result.returncode == 1
    assert message in output(result)


def test_an_unknown_environment_is_answered_with_those_of_config(copied: Copied, tools: Path) -> None:
    module = copied(NONE)
    (module.parents[1] / "config" / "prod.yml").rename(module.parents[1] / "config" / "live.yml")
    expected = '= "staging"\n  }\n\n  expect_failures = [var.environment]'
    edit(module / "tests" / "environment.tftest.hcl", {expected: '= "staging"\n  }'})
    result = terraform(module, tools, "test", "-filter=tests/environment.tftest.hcl")
    assert result.returncode == 1
    assert "config/ holds dev.yml, live.yml, test.yml: use one of them" in output(result)
