"""Bicep of a rendered project: it fits Azure's own types, holds our policy, and the portal's form fits it.

The compiler is on no package index: a checker that stands beside this repository reads the files instead, and
bicep_eval works out what they request from Azure. Each check is shown to notice seeded errors.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from bicep_eval import DEPLOYER, BicepError, Deployment, evaluate
from combinations import USERS, add_on_sets, with_add_ons
from conftest import Render

BICEP = "infrastructure/bicep"
ENVIRONMENTS = ("dev", "test", "prod")
NONE, ALL = add_on_sets()[:2]
OPEN = [each for each in ALL if each != "private-network"]
SHARED = "/resourceGroups/rg-flight-delays-shared/"
RIGHT = "Microsoft.Authorization/roleAssignments"

OWN_TYPES = Path(__file__).with_name("bicep_types.json")
"""Types that the checker's own file lacks, in its format, with what the project uses of them."""

# Rendered once for each set of add-ons.
Project = Callable[[list[str]], Path]


@pytest.fixture(scope="session")
def project_with(render: Render) -> Project:
    """A rendered project with Bicep and these add-ons; read it, do not write to it."""
    rendered = cache(lambda *add_ons: render(**with_add_ons(*add_ons, infrastructure_version="bicep")))
    return lambda add_ons: rendered(*add_ons)


@pytest.fixture(scope="session")
def types(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All types that the checker needs."""
    merged = json.loads((tools / "schemas" / "bicep-types.json").read_text(encoding="utf-8"))
    for table, own in json.loads(OWN_TYPES.read_text(encoding="utf-8")).items():
        assert not own.keys() & merged[table].keys(), "the checker knows these by now"
        merged[table] |= own
    path = tmp_path_factory.mktemp("types") / "types.json"
    path.write_text(json.dumps(merged), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def errors(tools: Path, types: Path) -> Callable[[Path], list[str]]:
    """What the checker finds in a project, as lines that begin with the file."""

    def errors(project: Path) -> list[str]:
        folder = project / BICEP
        files = [*(path.name for path in entries(project)), *(f"{each}.bicepparam" for each in ENVIRONMENTS)]
        run = subprocess.run(
            [sys.executable, str(tools / "bicep_check.py"), str(types), *files],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert not run.stderr, run.stderr
        return run.stdout.splitlines()

    return errors


@pytest.fixture
def copy_of(project_with: Project, tmp_path: Path) -> Callable[..., Path]:
    """Copy what Bicep reads of a project, with an edit: in a file, each `old` becomes `new`."""

    def copy(add_ons: list[str], file: str, old: str, new: str) -> Path:
        for folder in ("infrastructure", "config"):
            shutil.copytree(project_with(add_ons) / folder, tmp_path / folder)
        path = tmp_path / BICEP / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}: the seed is out of date"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return tmp_path

    return copy


def entries(project: Path) -> list[Path]:
    """The files that are deployed: the environment, and the registry of all of them."""
    names = ("main.bicep", "model-registry.bicep")
    return [project / BICEP / name for name in names if (project / BICEP / name).exists()]


def sources(project: Path) -> dict[str, str]:
    """The Bicep files of a project: path below the folder -> text."""
    folder = project / BICEP
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*.bicep"))
    }


def deployment(project: Path, environment: str = "prod", **parameters: Any) -> Deployment:
    """What the project requests from Azure for an environment; for dev with the registry that is built before it."""
    found = evaluate(project / BICEP / f"{environment}.bicepparam", **parameters)
    registry = project / BICEP / "model-registry.bicep"
    if environment != "dev" or not registry.exists():
        return found
    known = {name: value for name, value in parameters.items() if name.startswith("deployer")}
    apart = evaluate(registry, environment=environment, **known)
    return Deployment([*apart.resources, *found.resources], found.outputs)


# --- The files --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("add_ons", add_on_sets(), ids=lambda add_ons: "+".join(add_ons) or "none")
def test_bicep_fits_the_types_of_azure(project_with: Project, errors: Callable, add_ons: list[str]) -> None:
    assert errors(project_with(add_ons)) == []


@pytest.mark.parametrize("add_ons", [NONE, ALL], ids=["none", "all"])
def test_every_module_is_used(project_with: Project, add_ons: list[str]) -> None:
    files, own = sources(project_with(add_ons)), {path.name for path in entries(project_with(add_ons))}
    used = {each for name in own for each in re.findall(r"^module \w+ '(.+?)'", files[name], re.MULTILINE)}
    assert used | own | {"types.bicep"} == files.keys()


def test_an_add_on_that_was_not_chosen_leaves_no_word(project_with: Project) -> None:
    words = "privateNetwork|private-network|dataLake|data-lake|modelRegistry|model-registry|onitoring|[iI]nstances"
    assert re.findall(words, sources(project_with(NONE))["main.bicep"]) == []


def test_every_type_has_its_newest_stable_version(project_with: Project, types: Path) -> None:
    versions: dict[str, list[str]] = {}
    for each in json.loads(types.read_text(encoding="utf-8"))["resources"]:
        kind, _, version = each.partition("@")
        versions.setdefault(kind, []).append(version)
    # A preview only where there is nothing else.
    newest = {kind: max(found, key=lambda each: ("preview" not in each, each)) for kind, found in versions.items()}
    used = {
        tuple(each.split("@"))
        for text in sources(project_with(ALL)).values()
        for each in re.findall(r"^resource \w+ '(.+?)'", text, re.MULTILINE)
    }
    assert len(used) > 20
    assert {kind: version for kind, version in used if newest[kind] != version} == {}


def test_every_parameter_and_output_says_what_it_is(project_with: Project) -> None:
    for file, text in sources(project_with(ALL)).items():
        found = re.findall(r"^((?:@.+\n)*)((?:param|output|type) \w+)", text, re.MULTILINE)
        assert [name for decorators, name in found if "@description('" not in decorators] == [], file


def test_deployments_have_fixed_names(project_with: Project) -> None:
    main = sources(project_with(ALL))["main.bicep"]
    scope = r"scope: (?:group|resourceGroup\(registrySubscription, registryGroup\))"
    modules = re.findall(rf"^module \w+ '.+?\{{\n  name: '([a-z-]+)'\n  {scope}\n", main, re.MULTILINE)
    assert len(set(modules)) == len(modules) == main.count("\nmodule ")


def test_what_if_can_look_into_every_module(project_with: Project) -> None:
    """A module that is given the output of another is left out of what-if and of the checks before a deployment."""
    for file, text in sources(project_with(ALL)).items():
        used = [line for line in text.splitlines() if ".outputs." in line]
        assert all(line.startswith("output ") for line in used), file


def test_each_environment_has_its_parameter_file(project_with: Project) -> None:
    for environment in ENVIRONMENTS:
        [group, *_] = deployment(project_with(NONE), environment).resources
        assert group.name == f"rg-flight-delays-{environment}"
        assert group.body["tags"]["environment"] == environment


def test_an_environment_that_has_no_config_is_refused(project_with: Project) -> None:
    with pytest.raises(BicepError, match="staging"):
        evaluate(project_with(NONE) / BICEP / "main.bicep", environment="staging")


def test_the_caller_of_the_deployment_gets_the_rights_unless_another_is_named(project_with: Project) -> None:
    for given, expected in (("", DEPLOYER), ("00000000-0000-0000-0000-0000000000ee",) * 2):
        resources = deployment(project_with(NONE), deployerPrincipalId=given).resources
        assigned = [each.body["properties"] for each in resources if each.type == RIGHT]
        people = {one["principalId"] for one in assigned if one.get("principalType") is None}
        assert people == {expected}


def test_a_user_who_also_deploys_gets_no_right_twice(project_with: Project) -> None:
    """Azure refuses a second assignment of the same right, but not the same assignment again."""
    ada = USERS.split("=")[1][:36]
    resources = deployment(project_with(ALL), "dev", deployerPrincipalId=ada).resources
    names: dict[tuple, set[str]] = {}
    for each in resources:
        if each.type == RIGHT:
            right = each.body["properties"]
            names.setdefault((each.scope, right["principalId"], right["roleDefinitionId"]), set()).add(each.name)
    assert len(names) < sum(each.type == RIGHT for each in resources), "there is a right that both have"
    assert all(len(found) == 1 for found in names.values())


def test_a_compute_instance_is_made_once(project_with: Project) -> None:
    """Azure refuses its schedules when it is there already."""

    def made(**parameters: Any) -> set[str]:
        resources = deployment(project_with(ALL), "dev", **parameters).resources
        return {
            each.name.rpartition("/")[2] if "/computes" in each.type else each.id
            for each in resources
            if at(each.body, "properties.computeType") == "ComputeInstance" or each.type == RIGHT
        }

    assert made() - made(existingInstances=["ci-ada-a1b2c3", "ci-other-a1b2c3"]) == {"ci-ada-a1b2c3"}


def test_event_grid_notifies_no_one(project_with: Project) -> None:
    """It has a destination for that, which accepts the events of Key Vault and of no other resource."""
    kinds = {each.type for each in deployment(project_with(ALL)).resources}
    assert "Microsoft.Insights/scheduledQueryRules" in kinds
    assert {kind for kind in kinds if kind.startswith("Microsoft.EventGrid/")} == set()


def too_early(project: Path) -> list[str]:
    """The modules that name a resource of another one, without waiting for it."""
    files = sources(project)
    declared = re.findall(r"^module (\w+) '(.+?)'.+?\n\}\n", files["main.bicep"], re.MULTILINE | re.DOTALL)
    blocks = dict(re.findall(r"^module (\w+) (.+?\n\})\n", files["main.bicep"], re.MULTILINE | re.DOTALL))
    waits = {
        name: re.findall(r"^    (\w+)$", block.partition("dependsOn: [")[2], re.M) for name, block in blocks.items()
    }

    def before(name: str) -> set[str]:
        return set(waits[name]).union(*(before(each) for each in waits[name]))

    made, named = {}, []
    for module, file in declared:
        for kind, existing, condition, name in re.findall(
            r"^resource \w+ '(.+?)@.+?'( existing)? = (?:if \((.+)\) )?\{\n(?:  parent: .+\n)?  name: (.+)$",
            files[file],
            re.M,
        ):
            if condition == "hasModelRegistry" and "    reached: needed\n" in blocks[module]:
                continue  # what the workspace needs: nothing in this condition
            # The data lake's own module has the name from main.bicep.
            key = kind, "lakeName" if "data_lake" in name else name
            if existing:
                named.append((module, key))
            else:
                made[key] = module
    return [f"{module}: {key}" for module, key in named if key in made and made[key] not in {module, *before(module)}]


def test_every_module_waits_for_what_it_names(project_with: Project) -> None:
    assert too_early(project_with(ALL)) == too_early(project_with(NONE)) == []


@pytest.mark.parametrize(
    "awaited", ["logAnalytics", "identities", "storage", "resourceRights", "dataLake", "modelRegistry"]
)
def test_a_module_that_waits_for_too_little_is_noticed(awaited: str, copy_of: Callable) -> None:
    assert too_early(copy_of(ALL, "main.bicep", f"    {awaited}\n", ""))


def awaited(project: Path, module: str) -> set[str]:
    """The modules after which a module is deployed, by what it says itself."""
    main = sources(project)["main.bicep"]
    [block] = re.findall(rf"^module {module} .+?\n\}}\n", main, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^    (\w+)$", block.partition("dependsOn: [")[2], re.MULTILINE))


def test_the_workspace_and_the_locks_wait_for_the_rights(project_with: Project) -> None:
    for module in ("workspace", "locks"):
        assert awaited(project_with(NONE), module) == {"resourceRights"}


def test_what_the_workspace_needs_has_private_endpoints_before_it(project_with: Project) -> None:
    """No reference shows a closed, keyless workspace that had the way of trusted services alone when it was made."""
    project = project_with(ALL)
    assert awaited(project, "workspace") == {"resourceRights", "privateEndpoints"}
    assert awaited(project, "privateEndpoints") >= {"storage", "keyVault", "containerRegistry", "privateNetwork"}
    assert "workspace" in awaited(project, "workspaceEndpoints")
    [needed] = re.findall(r"^var needed = \[(.+)\]$", sources(project)["main.bicep"], re.MULTILINE)
    assert needed.replace("'", "").split(", ") == ["storage_account", "key_vault", "container_registry"]


def test_the_linter_stops_on_what_it_finds(project_with: Project) -> None:
    config = json.loads((project_with(NONE) / BICEP / "bicepconfig.json").read_text(encoding="utf-8"))
    rules = config["analyzers"]["core"]["rules"]
    assert {rule["level"] for rule in rules.values()} == {"error"}
    assert {"no-unused-params", "what-if-short-circuiting", "outputs-should-not-contain-secrets"} <= rules.keys()


# --- Seeded errors ----------------------------------------------------------------------------------------------------
SEEDS: dict[str, dict[str, tuple[str, str, str]]] = {  # file -> label -> old, new, what the checker reports
    "main.bicep": {
        "unused variable": ("closed ? 'closed' : 'open'", "'open'\nvar spare = 1", "never used"),
        "missing module": ("'modules/locks.bicep'", "'modules/lock.bicep'", "does not exist"),
        "missing parameter of a module": ("    blobLogs: logs.storage_blobs\n", "", "'blobLogs' of"),
        "unknown parameter of a module": ("    vaultLogs:", "    keyVaultLogs:", "has no parameter"),
        "wrong type for a module": ("    notes: lockNotes", "    notes: []", "expects string"),
        "truth for a list of a module": ("    vaultLogs: logs.key_vault", "    vaultLogs: true", "expects"),
        "unknown property of a module": ("  scope: group\n", "  scopes: group\n", "module property"),
        "unknown output": ("workspace.outputs.workspaceId", "workspace.outputs.id", "has no output"),
        "not an output": ("workspace.outputs.workspaceId", "workspace.workspaceId", "has no property"),
        "unknown property of a resource": ("group.name", "group.title", "no such property"),
    },
    "dev.bicepparam": {
        "unknown parameter of a file": ("param environment", "param env", "has no parameter"),
        "no parameter in a file": ("param environment = 'dev'\n", "", "'environment' of main.bicep"),
    },
    "test.bicepparam": {
        "a file for nothing": ("using 'main.bicep'", "using 'mine.bicep'", "does not exist"),
        "a file without using": ("using 'main.bicep'\n", "", "no using statement"),
    },
    "prod.bicepparam": {
        "wrong type in a file": ("'prod'", "'prod'\nparam onlineEndpointExists = 'yes'", "expects bool"),
    },
    "modules/alerts.bicep": {
        "no start of a budget": ("      startDate: budgetStart\n", "", "'startDate' is missing"),
        "no short name": ("    groupShortName: 'mlops'\n", "", "'groupShortName' is missing"),
    },
    "modules/container-registry.bicep": {
        "property at the wrong place": ("  sku: {", "  adminUserEnabled: false\n  sku: {", "no such property"),
    },
    "modules/data-lake.bicep": {
        "unknown discriminator": ("'AzureDataLakeGen2'", "'AzureDataLakeGen3'", "is not one of"),
        "unknown access of a container": ("'None'\n  }", "'Private'\n  }", "is not one of"),
    },
    "modules/key-vault.bicep": {
        "misspelt property of a vault": ("softDeleteRetentionInDays", "softDeleteDays", "no such property"),
        "no location": ("  location: location\n", "", "'location' is missing"),
        "no tenant of a vault": ("    tenantId: tenant().tenantId\n", "", "'tenantId' is missing"),
        "unknown sku of a vault": ("name: 'standard'", "name: 'Standard'", "is not one of"),
        "truth for a text, by a parameter": ("tenantId: tenant().tenantId", "tenantId: closed", "expected str"),
        "unknown version": ("vaults@2026-02-01", "vaults@2026-02-02", "api version not in"),
        "no version": ("vaults@2026-02-01", "vaults", "has no api version"),
        "unknown type": ("KeyVault/vaults", "KeyVault/safes", "unknown resource type"),
        "type in other letters": ("Microsoft.KeyVault", "microsoft.keyvault", "spelled"),
        "unknown property of a function": ("tenant().tenantId", "tenant().id", "has no property"),
    },
    "modules/locks.bicep": {
        "no level of a lock": ("    level: 'CanNotDelete'\n", "", "'level' is missing"),
        "declared twice": ("resource vaultLock", "resource storageLock", "declared twice"),
    },
    "modules/logs.bicep": {
        "a quote is missing": ("name: 'PerGB2018'", "name: 'PerGB2018", "syntax error"),
        "no equals sign": ("@2020-02-02' = {", "@2020-02-02' {", "syntax error"),
        "property of another resource": ("retentionInDays", "RetentionInDays", "no such property"),
        "no kind": ("  kind: 'web'\n", "", "'kind' is missing"),
        "undeclared parameter": ("param logDays int\n", "", "does not exist in this file"),
        "unused parameter": ("retentionInDays: logDays", "retentionInDays: 30", "never used"),
    },
    "modules/monitoring.bicep": {
        "unknown kind of a workbook": ("kind: 'shared'", "kind: 'mine'", "is not one of"),
    },
    "modules/private-network.bicep": {
        "no priority": ("            priority: rule.value.priority\n", "", "'priority' is missing"),
        "number for a text": ("sourcePortRange: '*'", "sourcePortRange: 443", "expected str"),
        "object for a list": ("[network.?address_space ?? '']", "{}", "expected array"),
        "a loop without an index": ("parent: zones[i]", "parent: zones.id", "is a loop"),
    },
    "modules/private-network-endpoints.bicep": {
        "unknown decorator": ("@batchSize(1)", "@batch(1)", "unknown decorator"),
    },
    "modules/roles.bicep": {
        "no principal": ("      principalId: principals[each.identity]\n", "", "'principalId' is"),
        "unknown function": ("guid(storage.id", "uuid(storage.id", "unknown function"),
    },
    "modules/storage.bicep": {
        "a bracket is missing": ("  name: names.storage_account\n", "  name: (\n", "syntax error"),
        "misspelt property": ("allowSharedKeyAccess", "allowSharedKeysAccess", "no such property"),
        "no sku": ("  sku: {\n    name: 'Standard_${settings.redundancy}'\n  }\n", "", "'sku' is missing"),
        "unknown value of an ACL": ("? 'Deny'", "? 'Closed'", "is not one of"),
        "text for a truth": ("allowBlobPublicAccess: false", "allowBlobPublicAccess: 'no'", "expected bool"),
        "text for a number": ("days: 14", "days: '14'", "expected int"),
        "undeclared symbol": ("scope: blobs", "scope: blob", "does not exist in this file"),
    },
    "modules/workspace.bicep": {
        "no discriminator": ("      computeType: 'AmlCompute'\n", "", "'computeType' is missing"),
        "read-only property": ("  kind: 'Default'\n", "  kind: 'Default'\n  id: 'x'\n", "read-only"),
        "unknown type of our own": ("clusterSettings", "clusterSetting", "is not exported"),
    },
}


@pytest.mark.parametrize(("file", "label"), [(file, label) for file, seeds in SEEDS.items() for label in seeds])
def test_the_checker_sees_a_seeded_error(file: str, label: str, copy_of: Callable, errors: Callable) -> None:
    old, new, expected = SEEDS[file][label]
    assert [each for each in errors(copy_of(ALL, file, old, new)) if expected in each], expected


# --- The policy -------------------------------------------------------------------------------------------------------
# What checkov demands of Terraform, demanded of what Bicep requests: type -> path -> the value, or a function that
# decides whether a value will do; two values are one with the private network and one without.
STORAGE = "Microsoft.Storage/storageAccounts"
VAULT = "Microsoft.KeyVault/vaults"
IMAGES = "Microsoft.ContainerRegistry/registries"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
REGISTRY = "Microsoft.MachineLearningServices/registries"
LOGS = "Microsoft.OperationalInsights/workspaces"
INSIGHTS = "Microsoft.Insights/components"
NETWORK = "Microsoft.Network/virtualNetworks"
GROUP = "Microsoft.Network/networkSecurityGroups"
DISABLED = ("Disabled", "Enabled")  # closed, open
DENY = ("Deny", "Allow")


def two_weeks(policy: dict[str, Any]) -> bool:
    """What was deleted can be brought back for two weeks."""
    return bool(policy.get("enabled")) and policy["days"] >= 14


def lets_the_studio_in(cors: dict[str, Any] | None) -> bool:
    """A browser reads what is in the account, on the pages of Azure ML and on no others."""
    hosts = {host for rule in (cors or {}).get("corsRules", ()) for host in rule["allowedOrigins"]}
    return bool(hosts) and all(
        re.fullmatch(r"https://(\*\.)?(mlworkspace\.azure|ml\.azure|ai\.azure)\.(ai|com)", h) for h in hosts
    )


def ends(rules: list[dict]) -> bool:
    """Earlier versions end, and what was collected; the other blobs of the account do not."""
    versions, collected = (rule["definition"] for rule in rules)
    prefixes = collected["filters"]["prefixMatch"]
    return "baseBlob" not in versions["actions"] and all(each.endswith("/modelDataCollector/") for each in prefixes)


def thrifty(properties: dict[str, Any]) -> bool:
    """A cluster scales to zero; an instance is one person's, and stops in the evening and when it is idle."""
    own = properties["properties"]
    if properties["computeType"] == "AmlCompute":
        return own["scaleSettings"]["minNodeCount"] == 0 and own["remoteLoginPortPublicAccess"] == "Disabled"
    stops = any(one["action"] == "Stop" and one["status"] == "Enabled" for one in own["schedules"]["computeStartStop"])
    personal = own["applicationSharingPolicy"] == "Personal" and own["sshSettings"]["sshPublicAccess"] == "Disabled"
    return stops and personal and own.get("idleTimeBeforeShutdown", "").startswith("PT")


def private_regions(regions: list[dict]) -> bool:
    """No model can be read without an identity."""
    accounts = [one["systemCreatedStorageAccount"] for region in regions for one in region["storageAccountDetails"]]
    return bool(accounts) and not any(account["allowBlobPublicAccess"] for account in accounts)


def guarded(subnets: list[dict]) -> bool:
    """A machine has no outbound access by default; a security group applies to all, private endpoints too."""
    each = [subnet["properties"] for subnet in subnets]
    return all(
        one["defaultOutboundAccess"] is False
        and one["privateEndpointNetworkPolicies"] == "Enabled"
        and one["networkSecurityGroup"]["id"]
        for one in each
    )


def shut(rules: list[dict]) -> bool:
    """Only HTTPS is allowed, and only from the network; all else stays out, before Azure's own rules come."""
    each = [rule["properties"] for rule in rules]
    allowed = [rule for rule in each if rule["access"] == "Allow"]
    last = max((rule for rule in each if rule["direction"] == "Inbound"), key=lambda rule: rule["priority"])
    wall = [last[key] for key in ("access", "protocol", "sourceAddressPrefix", "destinationPortRange")]
    https = all((rule["protocol"], rule["destinationPortRange"]) == ("Tcp", "443") for rule in allowed)
    return (
        wall == ["Deny", "*", "*", "*"] and https and all(r["sourceAddressPrefix"] == "VirtualNetwork" for r in allowed)
    )


def at(body: dict[str, Any], path: str) -> Any:
    """The value at a path with dots; nothing where there is none."""
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


CLOSED_LOOSENED = {"closed ? 'Disabled'": "closed ? 'Enabled'"}
STORAGE_LOOSENED = CLOSED_LOOSENED | {
    "PublicAccess: false": "PublicAccess: true",
    "TrafficOnly: true": "TrafficOnly: false",
    "'TLS1_2'": "'TLS1_0'",
    "? 'Deny'": "? 'Allow'",
    "days: 14": "days: 1",
}

DEMANDS: dict[str, dict[str, Any]] = {
    STORAGE: {
        "properties.allowSharedKeyAccess": False,
        "properties.defaultToOAuthAuthentication": True,
        "properties.isLocalUserEnabled": False,
        "properties.allowBlobPublicAccess": False,
        "properties.allowCrossTenantReplication": False,
        "properties.supportsHttpsTrafficOnly": True,
        "properties.minimumTlsVersion": "TLS1_2",
        "properties.publicNetworkAccess": DISABLED,
        "properties.networkAcls.defaultAction": DENY,
        "properties.networkAcls.bypass": "AzureServices",
    },
    f"{STORAGE}/blobServices": {
        "properties.deleteRetentionPolicy": two_weeks,
        "properties.containerDeleteRetentionPolicy": two_weeks,
    },
    f"{STORAGE}/fileServices": {
        "properties.shareDeleteRetentionPolicy": two_weeks,
        "properties.cors": lets_the_studio_in,
    },
    f"{STORAGE}/managementPolicies": {"properties.policy.rules": ends},
    f"{STORAGE}/blobServices/containers": {"properties.publicAccess": "None"},
    VAULT: {
        "properties.enableRbacAuthorization": True,
        "properties.enablePurgeProtection": True,
        "properties.enableSoftDelete": True,
        "properties.softDeleteRetentionInDays": 90,
        "properties.publicNetworkAccess": DISABLED,
        "properties.networkAcls.defaultAction": DENY,
    },
    IMAGES: {
        "sku.name": ("Premium", "Standard"),
        "properties.adminUserEnabled": False,
        "properties.anonymousPullEnabled": False,
        "properties.roleAssignmentMode": "LegacyRegistryPermissions",
        "properties.publicNetworkAccess": DISABLED,
    },
    WORKSPACE: {
        "identity.type": "UserAssigned",
        "properties.systemDatastoresAuthMode": "Identity",
        "properties.publicNetworkAccess": DISABLED,
        "properties.managedNetwork": (
            {"isolationMode": "AllowInternetOutbound", "status": {"sparkReady": True}},
            None,
        ),
        "properties.provisionNetworkNow": (True, None),
        "properties.imageBuildCompute": ("cpu-cluster", None),
    },
    f"{WORKSPACE}/computes": {
        "properties.disableLocalAuth": True,
        "properties.properties.enableNodePublicIp": (False, True),
        "properties": thrifty,
    },
    f"{WORKSPACE}/datastores": {"properties.credentials.credentialsType": "None"},
    REGISTRY: {"properties.publicNetworkAccess": DISABLED, "properties.regionDetails": private_regions},
    LOGS: {"properties.features.disableLocalAuth": True},
    INSIGHTS: {"properties.DisableLocalAuth": True, "properties.WorkspaceResourceId": bool},
    NETWORK: {"properties.subnets": guarded},
    GROUP: {"properties.securityRules": shut},
}

# Each is noticed, and each demand notices one of them.
LOOSENED: dict[str, dict[str, str]] = {
    "storage": STORAGE_LOOSENED
    | {
        "Authentication: true": "Authentication: false",
        "isLocalUserEnabled: false": "isLocalUserEnabled: true",
        "Replication: false": "Replication: true",
        "'AzureServices'": "'None'",
        "allowSharedKeyAccess: settings.shared_keys": "allowSharedKeyAccess: true",
        "studio.origins": "['*']",
        "isVersioningEnabled: true\n    deleteRetentionPolicy: {\n      enabled: true": "deleteRetentionPolicy: {",
        "shareDeleteRetentionPolicy: {\n      enabled: true": "shareDeleteRetentionPolicy: {\n      enabled: false",
    },
    "retention": {"/modelDataCollector/": "/", "version: {": "baseBlob: {"},
    "data-lake": STORAGE_LOOSENED
    | {
        "allowSharedKeyAccess: false": "allowSharedKeyAccess: true",
        "enabled: true\n      days": "enabled: false\n      days",
        "publicAccess: 'None'": "publicAccess: 'Blob'",
        "credentialsType: 'None'": "credentialsType: 'AccountKey'",
    },
    "key-vault": CLOSED_LOOSENED
    | {
        "Authorization: true": "Authorization: false",
        "? true : null": "? null : null",
        "SoftDelete: true": "SoftDelete: false",
        "InDays: 90": "InDays: 7",
        "? 'Deny'": "? 'Allow'",
    },
    "container-registry": CLOSED_LOOSENED
    | {
        "'Premium'": "'Standard'",
        "adminUserEnabled: false": "adminUserEnabled: true",
        "PullEnabled: false": "PullEnabled: true",
        "'LegacyRegistryPermissions'": "'AbacRepositoryPermissions'",
    },
    "workspace": CLOSED_LOOSENED
    | {
        "type: 'UserAssigned'": "type: 'SystemAssigned,UserAssigned'",
        ": 'Identity'": ": 'AccessKey'",
        "sparkReady: true": "sparkReady: false",
        "'AllowInternetOutbound'": "'Disabled'",
        "closed ? true : null": "null",
        "clusters[0].name : null": "null : null",
        "disableLocalAuth: true": "disableLocalAuth: false",
        "!closed": "true",
        "cluster.min_nodes": "1",
        "remoteLoginPortPublicAccess: 'Disabled'": "remoteLoginPortPublicAccess: 'Enabled'",
    },
    "compute-instance": {
        "disableLocalAuth: true": "disableLocalAuth: false",
        "!closed": "true",
        "sshPublicAccess: 'Disabled'": "sshPublicAccess: 'Enabled'",
        "applicationSharingPolicy: 'Personal'": "applicationSharingPolicy: 'Shared'",
        "        idleTimeBeforeShutdown: 'PT${instances.idle_minutes}M'\n": "",
        "action: 'Stop'\n              status: 'Enabled'": "action: 'Stop'\n              status: 'Disabled'",
    },
    "model-registry": {": 'Disabled'": ": 'Enabled'", "PublicAccess: false": "PublicAccess: true"},
    "model-registry-protection": {"disableLocalAuth: true": "disableLocalAuth: false"},
    "logs": {
        "disableLocalAuth: true": "disableLocalAuth: false",
        "DisableLocalAuth: true": "DisableLocalAuth: false",
        "logAnalytics.id": "''",
    },
    "private-network": {
        "defaultOutboundAccess: false": "defaultOutboundAccess: true",
        "privateEndpointNetworkPolicies: 'Enabled'": "privateEndpointNetworkPolicies: 'Disabled'",
        "sourceAddressPrefix: rule.value.source": "sourceAddressPrefix: '*'",
        "access: rule.value.access": "access: 'Allow'",
        "destinationPortRange: rule.value.port": "destinationPortRange: '*'",
    },
}


def breaches(project: Path, *environments: str) -> set[tuple[str, str]]:
    """The demands, as type and path, that a resource of one of these environments breaks."""
    found = set()
    for environment in environments:
        resources = deployment(project, environment).resources
        is_open = not any(each.type == NETWORK for each in resources)
        for each in resources:
            for path, wanted in DEMANDS.get(each.type, {}).items():
                demand, value = wanted[is_open] if isinstance(wanted, tuple) else wanted, at(each.body, path)
                if not (demand(value) if callable(demand) else value == demand):
                    found.add((each.type, path))
    return found


@pytest.mark.parametrize("add_ons", [NONE, OPEN, ALL], ids=["none", "open", "closed"])
def test_the_policy_holds(add_ons: list[str], project_with: Project) -> None:
    assert breaches(project_with(add_ons), *ENVIRONMENTS) == set()


@pytest.fixture(scope="session")
def loosened(project_with: Project, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], set]:
    """What breaks in the development environment, which has every resource, when one module is loosened."""
    project = tmp_path_factory.mktemp("loosened")
    for folder in ("infrastructure", "config"):
        shutil.copytree(project_with(ALL) / folder, project / folder)

    @cache
    def loosened(file: str, old: str) -> set[tuple[str, str]]:
        path = project / BICEP / "modules" / f"{file}.bicep"
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}: the seed is out of date"
        path.write_text(text.replace(old, LOOSENED[file][old]), encoding="utf-8")
        try:
            return breaches(project, "dev")
        finally:
            path.write_text(text, encoding="utf-8")

    return loosened


EDITS = [(file, old) for file, edits in LOOSENED.items() for old in edits]


@pytest.mark.parametrize(("file", "old"), EDITS)
def test_the_policy_notices_a_loosening(file: str, old: str, loosened: Callable) -> None:
    assert loosened(file, old)


def test_every_demand_of_the_policy_can_fail(loosened: Callable) -> None:
    broken = set().union(*(loosened(*edit) for edit in EDITS))
    assert broken == {(kind, path) for kind, paths in DEMANDS.items() for path in paths}


LOGGED = (WORKSPACE, VAULT, IMAGES, f"{STORAGE}/blobServices")


def unlogged(project: Path) -> list[str]:
    """What has logs, and sends Log Analytics nothing."""
    resources = deployment(project, onlineEndpointExists=True).resources
    settings = {each.scope: each.body["properties"] for each in resources if each.type.endswith("/diagnosticSettings")}
    sending = {
        scope for scope, one in settings.items() if one["workspaceId"] and any(log["enabled"] for log in one["logs"])
    }
    [workspace] = [each.id for each in resources if each.type == WORKSPACE]
    config = yaml.safe_load((project / "config" / "prod.yml").read_text(encoding="utf-8"))
    endpoint = f"{workspace}/onlineEndpoints/{config['names']['online_endpoint']}"
    logged = {each.id for each in resources if each.type in LOGGED} | {endpoint}
    return sorted(logged - sending)


def test_everything_with_logs_sends_them(project_with: Project) -> None:
    assert unlogged(project_with(ALL)) == []


@pytest.mark.parametrize(
    "file", ["storage", "key-vault", "container-registry", "workspace", "data-lake", "endpoint-monitoring"]
)
def test_logs_that_are_switched_off_are_missed(file: str, copy_of: Callable) -> None:
    assert unlogged(
        copy_of(ALL, f"modules/{file}.bicep", "category: category\n        enabled: true", "enabled: false")
    )


def unreachable(project: Path) -> list[str]:
    """What is closed, and has no private endpoint."""
    resources = deployment(project, "dev").resources
    linked = {
        one["properties"]["privateLinkServiceId"]
        for each in resources
        if each.type == "Microsoft.Network/privateEndpoints"
        for one in each.body["properties"]["privateLinkServiceConnections"]
    }
    closed = {each.id for each in resources if at(each.body, "properties.publicNetworkAccess") == "Disabled"}
    return sorted(closed - linked)


def test_everything_closed_has_a_private_endpoint(project_with: Project) -> None:
    assert unreachable(project_with(ALL)) == []


def test_a_missing_private_endpoint_is_noticed(copy_of: Callable) -> None:
    registry = "['model_registry', 'model_registry_storage']"
    assert unreachable(copy_of(ALL, "main.bicep", registry, "[]"))


def test_locks_are_where_the_config_wants_them(project_with: Project) -> None:
    locked = {
        environment: {
            each.scope.split("/")[-2]
            for each in deployment(project_with(ALL), environment).resources
            if each.type.endswith("/locks") and SHARED not in each.scope
        }
        for environment in ENVIRONMENTS
    }
    everything = {"storageAccounts", "vaults", "registries", "workspaces"}
    assert locked == {"dev": set(), "test": set(), "prod": everything}


def test_the_registry_of_all_environments_is_apart_and_locked_in_every_config(project_with: Project) -> None:
    resources = deployment(project_with(ALL), "dev").resources
    locked = [each.scope.split("/")[-2:] for each in resources if each.type.endswith("/locks")]
    assert locked == [["registries", "mlr-flight-delays-a1b2c3"], ["workspaces", "log-flight-delays-shared"]]
    registries = [each.id for each in resources if each.type == "Microsoft.MachineLearningServices/registries"]
    assert [SHARED in each for each in registries] == [True]


# --- The portal -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def form(project_with: Project) -> dict[str, Any]:
    """The form that the portal shows before it deploys."""
    path = project_with(NONE) / BICEP / "uiFormDefinition.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


FIELDS = ("subscription", "location", "environment", "deployerPrincipalId")


def fields(form: dict) -> dict[str, dict[str, Any]]:
    """What the form asks, by name."""
    [basics] = form["view"]["properties"]["steps"]
    found = {each["name"]: each for each in basics["elements"] if each["type"] != "Microsoft.Common.InfoBox"}
    assert (basics["name"], tuple(found)) == ("basics", FIELDS)
    return found


def parameters(project: Path) -> dict[str, bool]:
    """The parameters of main.bicep: name -> whether it must be given."""
    lines = re.findall(r"^param (\w+) (.+)$", sources(project)["main.bicep"], re.MULTILINE)
    return {name: "=" not in rest for name, rest in lines}


@pytest.mark.parametrize("add_ons", [NONE, ALL], ids=["none", "all"])
def test_the_form_gives_what_the_template_needs_and_nothing_else(
    form: dict, project_with: Project, add_ons: list[str]
) -> None:
    known, given = parameters(project_with(add_ons)), form["view"]["outputs"]["parameters"].keys()
    assert given <= known.keys()
    assert {name for name, needed in known.items() if needed} <= given


def test_each_parameter_is_a_field_of_the_form(form: dict) -> None:
    assert form["view"]["outputs"]["parameters"] == {
        name: f"[steps('basics').{name}]" for name in ("environment", "deployerPrincipalId")
    }
    assert all(fields(form)[name]["label"] and fields(form)[name]["toolTip"] for name in FIELDS[1:])


def test_the_form_deploys_into_a_subscription_as_the_template_does(form: dict, project_with: Project) -> None:
    """An older form, createUiDefinition.json, asks for a resource group, which a template of a subscription has not."""
    assert "targetScope = 'subscription'\n" in sources(project_with(NONE))["main.bicep"]
    assert form["$schema"].endswith("/uiFormDefinition.schema.json#")
    assert {key: value for key, value in form["view"]["outputs"].items() if key != "parameters"} == {
        "kind": "Subscription",
        "subscriptionId": "[steps('basics').subscription.subscriptionId]",
        "location": "[steps('basics').location.name]",
    }
    kinds = {name: field["type"].removeprefix("Microsoft.Common.") for name, field in fields(form).items()}
    assert (kinds["subscription"], kinds["location"]) == ("SubscriptionSelector", "LocationSelector")
    assert fields(form)["location"]["scope"] == {"subscriptionId": "[steps('basics').subscription.subscriptionId]"}


def test_the_form_offers_the_environments_that_there_are(form: dict, project_with: Project) -> None:
    field = fields(form)["environment"]
    offered = field["constraints"]["allowedValues"]
    assert [each["value"] for each in offered] == list(ENVIRONMENTS)
    assert field["defaultValue"] in [each["label"] for each in offered]
    declared = " | ".join(f"'{each}'" for each in ENVIRONMENTS)
    assert f"param environment {declared}\n" in sources(project_with(NONE))["main.bicep"]


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("", True),
        ("12345678-90ab-cdef-1234-567890ABCDEF", True),
        ("ada@example.com", False),
        ("12345678-90ab-cdef-1234", False),
        (" 12345678-90ab-cdef-1234-567890ABCDEF", False),
    ],
)
def test_the_form_refuses_what_is_no_object_id(form: dict, text: str, accepted: bool) -> None:
    field = fields(form)["deployerPrincipalId"]
    assert bool(re.search(field["constraints"]["regex"], text)) is accepted


# --- The dashboard and the alerts -------------------------------------------------------------------------------------
# As Azure Monitor's reference of tables has them.
COLUMNS = {
    "AmlOnlineEndpointTrafficLog": (
        "TimeGenerated EndpointName DeploymentName ResponseCode ResponseCodeReason TotalDurationMs"
    ),
    "AmlRunStatusChangedEvent": "TimeGenerated RunId RootRunId Status TriggeringUserName Message",
}


def queries(project: Path) -> dict[str, str]:
    """The queries of the alerts and of the dashboard, by name."""
    shared = project / "infrastructure" / "shared"
    alerts = yaml.safe_load((shared / "monitoring.yml").read_text(encoding="utf-8"))["alerts"]
    items = json.loads((shared / "monitoring-workbook.json").read_text(encoding="utf-8"))["items"]
    charts = {item["name"]: item["content"]["query"] for item in items if item["type"] == 3}
    return {name: alert["query"] for name, alert in alerts.items()} | charts


def test_queries_use_columns_that_there_are(project_with: Project) -> None:
    found = queries(project_with(ALL))
    assert len(found) == 9
    for name, query in found.items():
        [table] = re.findall(r"\bAml\w+", query)
        made = re.findall(r"\b([A-Z]\w+) = ", query)
        words = set(re.findall(r"\b[A-Z][A-Za-z]+\b", re.sub(r'"[^"]*"', "", query))) - {table, "THRESHOLD", *made}
        assert words <= set(COLUMNS[table].split()), name


# A leg that is left out while its table is missing, beside an empty one; the last part is the rest of the query.
BEFORE_THE_TABLE = re.compile(
    r"union isfuzzy=true \(datatable\((.+)\) \[\]\),\n  \(Aml\w+ \| project (.+)\)\n((?:\| .+\n)+)"
)


def test_an_alert_can_be_asked_before_there_is_a_table(project_with: Project) -> None:
    """Azure switches off an alert whose query failed for a week."""
    alerts = [each for each in deployment(project_with(ALL)).resources if each.type.endswith("/scheduledQueryRules")]
    assert len(alerts) == 3
    for alert in alerts:
        found = BEFORE_THE_TABLE.fullmatch(at(alert.body, "properties.criteria")["allOf"][0]["query"])
        assert found, alert.name
        types = dict(column.split(": ") for column in found[1].split(", "))
        made = dict(f"{column} = ".split(" = ")[:2] for column in re.sub(r"\(.+?\)", "", found[2]).split(", "))
        assert made.keys() == types.keys()
        casts = {name: cast.removeprefix("to") for name, cast in made.items() if cast.startswith("to")}
        assert {name: kind for name, kind in types.items() if kind != "string"} == casts


def test_alerts_query_with_the_thresholds_of_the_config(project_with: Project) -> None:
    alerts = [each for each in deployment(project_with(ALL)).resources if each.type.endswith("/scheduledQueryRules")]
    limits = {each.name: at(each.body, "properties.criteria")["allOf"][0]["query"].splitlines()[-1] for each in alerts}
    assert limits == {
        "alert-latency-ms": "| where slow > 1000",
        "alert-error-percent": "| where 100.0 * failed / total > 5",
        "alert-failed-jobs": "| where failed >= 1",
    }
    [group] = [each.id for each in deployment(project_with(ALL)).resources if each.type.endswith("/actionGroups")]
    assert all(at(each.body, "properties.actions.actionGroups") == [group] for each in alerts)


def test_the_dashboard_asks_this_environment(project_with: Project) -> None:
    resources = deployment(project_with(ALL)).resources
    [workbook] = [each.body["properties"] for each in resources if each.type.endswith("/workbooks")]
    [logs] = [each.id for each in resources if each.type == LOGS]
    content = json.loads(workbook["serializedData"])
    assert (content["version"], content["fallbackResourceIds"]) == ("Notebook/1.0", [logs])
    assert workbook["sourceId"] == logs.lower()
    assert workbook["displayName"] == "flight-delays prod"
    names = [item["name"] for item in content["items"]]
    assert len(set(names)) == len(names)
    assert [item["type"] for item in content["items"]][:2] == [1, 9], "what to do, then the time range"
