"""The doctor: a healthy environment has no finding, and each defect turns its own check red and has a remedy."""

import dataclasses
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import recorded_azure as azure
from command_line import run
from recorded_azure import (
    ADA,
    CLIENT,
    GROUP,
    HEALTHY,
    IDENTITY,
    ML,
    PERSON,
    PRINCIPAL,
    SCOPE,
    Recorded,
    Refusal,
    equipped,
    granted,
)
from small_project import set_key, write_yaml

from mlops import infrastructure, orchestration
from mlops.config import load_environment
from mlops.project import Project, load_yaml
from mlops.subscription import doctor
from mlops.subscription.checks import Context, Finding, ok

Found = list[tuple[str, Finding]]


@pytest.fixture
def new(tmp_path: Path) -> Project:
    """A project that builds everything with Terraform."""
    return equipped(tmp_path / "project", "terraform")


def look(project: Project, recorded: Recorded) -> Found:
    """Run every check against recorded answers."""
    with recorded.in_place():
        context = Context(project, load_environment(project, "dev"))
        return list(doctor.findings(context, infrastructure.of(project), orchestration.of(project), str))


def checks(project: Project) -> list[str]:
    """The names of all checks of a project, in their order."""
    choices = infrastructure.of(project), orchestration.of(project)
    return [*doctor.local_checks(project, *choices), *doctor.ACCOUNT, *choices[0].checks(), *choices[1].checks()]


def bad(found: Found) -> Found:
    """The problems."""
    return [(name, finding) for name, finding in found if finding.level != "ok"]


@pytest.mark.parametrize(("zones", "level"), [([], "error"), ([{"logicalZone": "1"}], "ok")])
def test_copies_in_three_zones_need_a_region_with_zones(new: Project, zones: list[object], level: str) -> None:
    set_key(new.root / "config" / "dev.yml", "storage", {"redundancy": "ZRS"})
    recorded = Recorded(HEALTHY)
    recorded.answers["[?name=='westeurope'].availabilityZoneMappings[]"] = zones
    findings = [finding for name, finding in look(new, recorded) if name == "region"]
    assert findings[-1].level == level
    if level == "error":
        assert "westeurope has no zones, which storage.redundancy ZRS needs" in str(findings[-1])


@pytest.mark.parametrize("tool", ["terraform", "bicep"])
def test_a_healthy_environment_has_no_finding_in_any_check(tmp_path: Path, tool: str) -> None:
    project = equipped(tmp_path / "project", tool)
    found = look(project, Recorded(HEALTHY))
    assert bad(found) == []
    assert list(dict.fromkeys(name for name, _ in found)) == checks(project)


ON_GITHUB = "gh api repos/{owner}/{repo}/environments/dev"
PROTECTED = {"protected_branches": True, "custom_branch_policies": False}
NAMED = {"protected_branches": False, "custom_branch_policies": True}
SIZES = HEALTHY[f"{azure.LISTED}/vmSizes"]["value"]
TAKEN = {"nameAvailable": False, "reason": "AlreadyExists", "message": "The name is\nalready taken."}
ASSIGNED = f"az role assignment list --all --assignee {PRINCIPAL}"
READING = f"az role assignment list --all --assignee {azure.READER}"
VARIABLES_OF_DEV = [{"name": "AZURE_CLIENT_ID", "value": CLIENT}]
BRANCH = "repo:my-org@1/a-project@2:ref:refs/heads/main"
MINE = f"az role assignment list --all --assignee {PERSON}"
VARIABLES = HEALTHY["gh variable list --json"]
ENOUGH, REST = azure.ENOUGH, azure.ENOUGH[2:]
VAULT = {"name": "key-vault-dev", "properties": {"vaultId": f"{SCOPE}/resourceGroups/else/providers/x/key-vault-dev"}}
DELETED = {"value": [{"id": f"{GROUP}/providers/{ML}/workspaces/MLW-dev"}]}
ELSEWHERE = azure.resource("the-registry", f"{ML}/registries") | {"resourceGroup": "rg-other"}


def missing_in_existing(folder: Path, answers: dict[str, Any]) -> Found:
    """The problems in another owner's workspace, with some answers of its own."""
    return bad(look(equipped(folder / "project", "existing", []), Recorded(azure.EXISTING | answers)))


def test_another_owners_workspace_is_checked_and_nothing_that_is_not_built(tmp_path: Path) -> None:
    recorded = Recorded(azure.EXISTING)
    found = look(equipped(tmp_path / "project", "existing", []), recorded)
    assert bad(found) == []
    assert [name for name, _ in found if name == "workspace"] == ["workspace", "workspace"]
    assert recorded.ran("storage account", "keyvault", "terraform", "az bicep") == []


RIGHTS_IN_EXISTING = azure.EXISTING[ASSIGNED]
FOR_SERVICES = (
    " AND @Request[Microsoft.Authorization/roleAssignments:PrincipalType] "
    "ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}"
)
ONLY_BLOBS = f"ForAnyOfAnyValues:GuidEquals {{{azure.BLOBS}}}"


@pytest.mark.parametrize(
    ("answers", "check", "text"),
    [
        ({ASSIGNED: RIGHTS_IN_EXISTING[1:]}, "workflows' rights", "lacks AzureML Data Scientist on"),
        ({ASSIGNED: RIGHTS_IN_EXISTING[:3]}, "workflows' rights", "lacks AzureML Registry User on"),
        ({ASSIGNED: [granted(azure.OWNER)]}, "workflows' rights", "lacks Storage Blob Data Contributor on"),
        ({MINE: [granted(azure.CONTRIBUTOR)]}, "your rights", "lacks Role Based Access Control Administrator on"),
        ({MINE: [granted(azure.ADMINISTRATOR)]}, "your rights", f"lacks Contributor on {SCOPE}"),
        (
            {MINE: [granted(azure.CONTRIBUTOR), granted(azure.ADMINISTRATOR, condition=ONLY_BLOBS)]},
            "your rights",
            "that also allows AzureML Data Scientist",
        ),
    ],
)
def test_rights_that_are_missing_in_another_owners_workspace_are_named(
    tmp_path: Path, answers: dict[str, Any], check: str, text: str
) -> None:
    found = missing_in_existing(tmp_path, answers)
    assert {name for name, _ in found} == {check}
    assert any(text in finding.text for _, finding in found), found


def test_a_contributor_may_use_another_owners_workspace_and_needs_roles_for_its_data(tmp_path: Path) -> None:
    answers = {ASSIGNED: [granted(azure.CONTRIBUTOR), *RIGHTS_IN_EXISTING[1:3]]}
    assert missing_in_existing(tmp_path, answers) == []


def usages(family: int, total: int, used: int = 0) -> dict[str, Any]:
    """Limits of the first family of machines, and of all of them."""
    azure_usage = azure.usage
    return {
        "value": [
            azure_usage("vmFamily", "Standard DASv4 Family Cluster Dedicated vCPUs", family, used),
            azure_usage("vmFamily", "Standard NCASv3_T4 Family Cluster Dedicated vCPUs", -1),
            azure_usage("dedicatedCores", "Total Cluster Dedicated Regional vCPUs", total),
        ]
    }


IN_GROUP = [granted(azure.CONTRIBUTOR, GROUP), granted(azure.ADMINISTRATOR, GROUP), ENOUGH[3]]
TAGS = "4a9ae827-6dc8-4573-8ac7-8239d42aa03f"
BOOTSTRAPPED = IDENTITY.partition("/providers/")[0]


def lock(scope: str, level: str) -> dict[str, str]:
    """A lock, as `az lock list` shows it."""
    return {"id": f"{scope}/providers/Microsoft.Authorization/locks/stay", "name": "stay", "level": level}


# What is recorded instead, and then: the check, the level, words of the text, words of the remedy.
DEFECTS = {
    "old az": (
        {"az version": {"azure-cli": "2.55.0", "extensions": {"ml": "2.44.1"}}},
        "tools", "error", "az 2.55.0 is too old", "az upgrade",
    ),
    "no ml extension": (
        {"az version": {"azure-cli": "2.91.0", "extensions": {}}},
        "tools", "warning", "extension ml of az is not installed", "az extension add --name ml",
    ),
    "old terraform": (
        {"terraform version": {"terraform_version": "1.9.8"}},
        "tools", "warning", "terraform 1.9.8", "https",
    ),
    "broken terraform": (
        {"terraform version": Refusal("segfault")},
        "tools", "warning", "segfault", "https",
    ),
    "a disabled subscription": (
        {"az account show": HEALTHY["az account show"] | {"state": "Warned"}},
        "login", "error", "a subscription is Warned", "az account set",
    ),
    "an unknown provider": (
        {"az provider list": [*HEALTHY["az provider list"][1:]]},
        "resource providers", "error", "Microsoft.ContainerRegistry",
        "az provider register --wait --namespace Microsoft.ContainerRegistry",
    ),
    "a region that is none": (
        {"az account list-locations": ["eastus"]},
        "region", "error", "no region westeurope", "az account list-locations",
    ),
    "a size that the region lacks": (
        {f"{azure.LISTED}/vmSizes": {"value": SIZES[:2] + SIZES[3:]}},
        "machine sizes", "error", "no Standard_NC4as_T4_v3 (cluster gpu)", "another vm_size",
    ),
    "a size for something else": (
        {f"{azure.LISTED}/vmSizes": {"value": [SIZES[0] | {"supportedComputeTypes": ["AmlCompute"]}, *SIZES[1:]]}},
        "machine sizes", "error", "cannot be used for this: compute instances", "another vm_size",
    ),
    "no Spark machine": (
        {f"{azure.LISTED}/vmSizes": {"value": SIZES[:3]}},
        "machine sizes", "warning", "standard_e4s_v3", "monitor.vm",
    ),
    "too small a family": (
        {f"{azure.LISTED}/usages": usages(27, 40)},
        "quota", "error", "standardDASv4Family: 28 cores needed, westeurope grants 27", "request more cores",
    ),
    "too small a total": (
        {f"{azure.LISTED}/usages": usages(28, 31)},
        "quota", "error", "all families together: 32 cores needed, westeurope grants 31", "request more cores",
    ),
    "cores in use": (
        {f"{azure.LISTED}/usages": usages(30, 40, 3)},
        "quota", "warning", "3 of 30 in use", "request more",
    ),
    "a family without a limit": (
        {f"{azure.LISTED}/usages": {"value": usages(28, 40)["value"][::2]}},
        "quota", "warning", "NCASv3_T4 Family: 4 cores needed, and westeurope names no limit", "request more cores",
    ),
    "a taken storage name": (
        {"az storage account check-name --name storageaccountdev": TAKEN},
        "names", "error", "storageaccountdev: The name is already taken.",
        "names.storage_account into config/dev.yml",
    ),
    "a taken lake name": (
        {"az storage account check-name --name lakedev": TAKEN},
        "names", "error", "lakedev", "names.data_lake",
    ),
    "a taken registry name": (
        {"az acr check-name": TAKEN},
        "names", "error", "containerregistrydev", "names.container_registry",
    ),
    "a taken vault name": (
        {"Microsoft.KeyVault/checkNameAvailability": TAKEN},
        "names", "error", "key-vault-dev", "names.key_vault",
    ),
    "a deleted vault": (
        {"az keyvault list-deleted": [VAULT]},
        "names", "error", "a deleted vault of another", "az keyvault purge --name key-vault-dev",
    ),
    "a deleted workspace": (
        {f"providers/{ML}/workspaces --url-parameters": DELETED},
        "deleted workspace", "error", "still holds the name mlw-dev", "forceToPurge=true",
    ),
    "an environment that trusts protected branches": (
        {ON_GITHUB: {"name": "dev", "deployment_branch_policy": PROTECTED}},
        "branches on GitHub", "warning", "trusts protected branches", "mlops bootstrap",
    ),
    "a registry elsewhere": (
        {f"az resource list --resource-type {ML}/registries": [ELSEWHERE]},
        "model registry", "error", "another resource group: rg-other", "names.registry",
    ),
    "an overlapping network": (
        {"az network vnet list": [{"id": "/x/spoke", "ranges": ["10.80.63.0/24"]}]},
        "virtual networks", "error", "overlaps 10.80.63.0/24 of spoke", "a free range",
    ),
    "a workspace that was built open": (
        {"az resource show": azure.WORKSPACE},
        "virtual networks", "error", "mlw-dev was built without a network", "teardown --environment dev --all`",
    ),
    "an unknown user": (
        {"az ad user show": None},
        "users", "error", f"the tenant has no user {ADA}", "az ad user show",
    ),
    "a closed directory": (
        {"az ad user show": Refusal("Insufficient privileges to complete the operation.")},
        "users", "warning", "may not read the directory", "an administrator of the directory",
    ),
    "no Contributor": (
        {ASSIGNED: ENOUGH[1:]},
        "workflows' rights", "error", f"lacks Contributor on {SCOPE}", "bootstrap",
    ),
    "Contributor elsewhere": (
        {ASSIGNED: [granted(azure.CONTRIBUTOR, f"{SCOPE}/resourceGroups/rg-de"), *ENOUGH[1:]]},
        "workflows' rights", "error", "lacks Contributor", "bootstrap",
    ),
    "no right to assign": (
        {ASSIGNED: [ENOUGH[0], *REST]},
        "workflows' rights", "error", "Role Based Access Control", "bootstrap",
    ),
    "an old condition": (
        {ASSIGNED: [ENOUGH[0], granted(azure.ADMINISTRATOR, condition=azure.BLOBS), *REST]},
        "workflows' rights", "error", "Administrator that also allows acr_pull, contributor", "bootstrap",
    ),
    "a condition for services, where users own compute instances": (
        {
            ASSIGNED: [
                ENOUGH[0],
                granted(azure.ADMINISTRATOR, condition=azure.CONDITION + FOR_SERVICES),
                *REST,
            ]
        },
        "workflows' rights", "error", "Administrator that also allows the principal type User", "bootstrap",
    ),
    "no right to the state": (
        {ASSIGNED: ENOUGH[:3]},
        "workflows' rights", "error", "Storage Blob Data Contributor on the state account ststate", "bootstrap",
    ),
    "a custom role": (
        {ASSIGNED: [*ENOUGH[1:], granted("0b" * 16)]},
        "workflows' rights", "warning", "unless one of these has it: 0b0b0b0b", "bootstrap",
    ),
    "rights on the group of the resources alone": (
        {ASSIGNED: IN_GROUP, "az group show": {"name": "rg-dev"}},
        "order of runs", "warning", "id-deploy-dev: lacks the right to tag itself, so that an older run",
        f"ServicePrincipal --scope {IDENTITY} --role ROLE`, with the roles Reader and Tag Contributor",
    ),
    "a right to tag an identity that it does not see": (
        {ASSIGNED: [*IN_GROUP, granted(TAGS, IDENTITY)], "az group show": {"name": "rg-dev"}},
        "order of runs", "warning", "id-deploy-dev: lacks the right to tag itself", "Reader and Tag Contributor",
    ),
    "a read-only lock on what bootstrap made": (
        {"az lock list": [lock(BOOTSTRAPPED, "ReadOnly")]},
        "order of runs", "warning", "id-deploy-dev: the read-only lock stay keeps it from tagging itself",
        f"az lock delete --ids {BOOTSTRAPPED}/providers/Microsoft.Authorization/locks/stay",
    ),
    "no identity": (
        {"az identity show": None},
        "workflows' rights", "warning", "no identity id-deploy-dev", "bootstrap",
    ),
    "no rights of one's own": (
        {MINE: []},
        "your rights", "warning", f"you: lacks Contributor on {SCOPE}", "an owner",
    ),
    "no trust": (
        {"az identity federated-credential list": []},
        "trust in GitHub", "error", f"does not trust {azure.SUBJECT}", "bootstrap",
    ),
    "the subject of older repositories": (
        {"az identity federated-credential list": [{"subject": "repo:my-org/a-project:environment:dev"}]},
        "trust in GitHub", "error", "but repo:my-org/a-project:environment:dev", "bootstrap",
    ),
    "a subject in capitals": (
        {"az identity federated-credential list": [{"subject": azure.SUBJECT.replace("my-org", "My-Org")}]},
        "trust in GitHub", "error", f"does not trust {azure.SUBJECT}", "bootstrap",
    ),
    "trust in every branch": (
        {"az identity federated-credential list": [{"subject": azure.SUBJECT}, {"subject": BRANCH}]},
        "trust in GitHub", "warning", f"id-deploy-dev trusts {BRANCH}, too", "az identity federated-credential list",
    ),
    "no trust in who may only read": (
        {"az identity federated-credential list --identity-name id-deploy-dev-read": []},
        "trust in GitHub", "error", f"id-deploy-dev-read does not trust {azure.SUBJECT}-read", "bootstrap",
    ),
    "nothing to read with": (
        {READING: []},
        "rights to plan", "error", f"id-deploy-dev-read: lacks Reader on {SCOPE}", "bootstrap",
    ),
    "no right to read the state": (
        {READING: [granted(azure.READS)]},
        "rights to plan", "error", "lacks Storage Blob Data Reader on the state account ststate", "bootstrap",
    ),
    "no identity that may only read": (
        {"az identity show --name id-deploy-dev-read": None},
        "rights to plan", "warning", "no identity id-deploy-dev-read", "bootstrap",
    ),
    "a missing variable": (
        {"gh variable list --env dev": Refusal("HTTP 404: Not Found")},
        "GitHub variables", "error", "AZURE_CLIENT_ID is not set for dev", "bootstrap",
    ),
    "another client": (
        {"gh variable list --env dev": [{"name": "AZURE_CLIENT_ID", "value": "x"}]},
        "GitHub variables", "error", f"AZURE_CLIENT_ID of dev is x, not {CLIENT}", "bootstrap",
    ),
    "an environment that may only read and has no ids": (
        {"gh variable list --env dev-read": Refusal("HTTP 404: Not Found")},
        "GitHub variables", "error", "AZURE_CLIENT_ID is not set for dev-read", "bootstrap",
    ),
    "a plan as the identity that changes": (
        {"gh variable list --env dev-read": VARIABLES_OF_DEV},
        "GitHub variables", "error", f"of dev-read is {CLIENT}, not {azure.READING_CLIENT}", "bootstrap",
    ),
    "no runner": (
        {"gh variable list --json": VARIABLES[:2]},
        "runner", "warning", "outside the private network", "gh variable set MLOPS_RUNNER --body mlops",
    ),
    "no answer": (
        {"az network vnet list": Refusal("(AuthorizationFailed) no")},
        "virtual networks", "warning", "no answer", "go on and see",
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_turns_exactly_its_check_red_and_has_a_remedy(new: Project, defect: str) -> None:
    answers, check, level, text, remedy = DEFECTS[defect]
    found = bad(look(new, Recorded(HEALTHY | answers)))
    assert {(name, finding.level) for name, finding in found} == {(check, level)}, found
    assert any(text in finding.text and remedy in finding.remedy for _, finding in found), found


def test_every_check_has_a_defect_that_turns_it_red(new: Project) -> None:
    # What needs no answer from Azure or GitHub, or more in the config, is tested by itself.
    alone = {"network range", "alerts", "what the company gives", "firewall of the state"}
    assert {defect[1] for defect in DEFECTS.values()} == set(checks(new)) - alone


@pytest.mark.parametrize(
    ("answers", "check", "text"),
    [
        ({"az resource show": None}, "workspace", "no workspace mlw-dev in rg-dev"),
        ({"--resource-type computes": None}, "workspace", "mlw-dev has no cluster cluster"),
        ({f"az resource list --resource-type {ML}/registries": []}, "model registry", "no registry the-registry"),
        (
            {"az resource show": azure.WORKSPACE | {"location": "eastus"}},
            "workspace",
            "is in eastus, not in westeurope",
        ),
    ],
)
def test_a_missing_part_of_another_owners_workspace_is_named(
    tmp_path: Path, answers: dict[str, Any], check: str, text: str
) -> None:
    found = missing_in_existing(tmp_path, answers)
    assert [name for name, _ in found] == [check]
    assert text in found[0][1].text


def test_what_is_built_already_is_ours_and_no_name_is_asked_for(new: Project) -> None:
    recorded = Recorded(HEALTHY | {"az resource list --resource-group rg-dev": azure.BUILT, "az group show": {}})
    recorded.answers[f"providers/{ML}/workspaces --url-parameters"] = DELETED
    recorded.answers[f"az resource list --resource-type {ML}/registries"] = [azure.BUILT[5]]
    lock = {"id": f"{azure.BUILT[5]['id']}/providers/Microsoft.Authorization/locks/cannot-delete", "name": "by-hand"}
    recorded.answers["az lock list"] = [lock]
    found = look(new, recorded)
    assert bad(found) == []
    assert ("model registry", ok("the-registry is locked")) in found
    assert recorded.ran("check-name --name storageaccountdev", "az acr check-name", "checkNameAvailability") == []
    assert ("deleted workspace", ok("mlw-dev is ours")) in found


def test_a_deleted_vault_of_our_own_comes_back_by_itself(new: Project) -> None:
    own = {
        "name": "Key_Vault-dev",
        "properties": {"vaultId": f"{GROUP}/providers/Microsoft.KeyVault/vaults/key-vault-dev"},
    }
    assert bad(look(new, Recorded(HEALTHY | {"az keyvault list-deleted": [own]}))) == []


def test_a_workspace_that_was_built_with_a_network_is_as_it_should_be(new: Project) -> None:
    closed = {"storageAccount": "", "managedNetwork": {"isolationMode": "AllowInternetOutbound"}}
    recorded = Recorded(HEALTHY | {"az resource show": azure.WORKSPACE | {"properties": closed}})
    assert bad(look(new, recorded)) == []
    assert recorded.ran("az network vnet list")


def test_without_the_add_on_a_closed_project_gets_no_registry(tmp_path: Path) -> None:
    found = bad(look(equipped(tmp_path / "project", "terraform", ["private-network"]), Recorded(HEALTHY)))
    assert [(name, finding.level) for name, finding in found] == [("model registry", "warning")]
    assert "choose the add-on model-registry" in found[0][1].remedy


def test_before_bootstrap_made_the_state_account_no_right_to_it_is_missing(new: Project) -> None:
    owner = {MINE: [granted(azure.OWNER)]}
    found = bad(look(new, Recorded(HEALTHY | owner)))
    assert [finding.text for _, finding in found] == [
        "you: lacks Storage Blob Data Contributor on the state account ststate"
    ]
    assert bad(look(new, Recorded(HEALTHY | owner | {"az storage account show": None}))) == []


def test_what_the_first_bootstrap_puts_right_is_no_error_before_it(new: Project) -> None:
    found = bad(look(new, Recorded(HEALTHY | {"az provider list": [], "az identity show": None})))
    assert {name for name, _ in found} >= {"resource providers", "workflows' rights"}
    assert {finding.level for _, finding in found} == {"warning"}


def test_a_lock_needs_a_role_of_its_own(new: Project) -> None:
    file = new.root / "config" / "dev.yml"
    document = load_yaml(file)
    document["security"]["delete_lock"] = True
    write_yaml(file, document)
    answers = HEALTHY | {ASSIGNED: [*ENOUGH[:2], ENOUGH[3]]}
    assert [finding.text for _, finding in bad(look(new, Recorded(answers)))] == [
        f"id-deploy-dev: lacks Locks Contributor on {SCOPE}"
    ]


@pytest.mark.parametrize("scope", ["/", "/providers/Microsoft.Management/managementGroups/all", SCOPE, SCOPE.upper()])
def test_a_role_counts_in_all_that_lies_below(new: Project, scope: str) -> None:
    assert bad(look(new, Recorded(HEALTHY | {ASSIGNED: [granted(azure.OWNER, scope), ENOUGH[3]]}))) == []


@pytest.mark.parametrize(("tool", "findings"), [("terraform", 0), ("bicep", 2)])
def test_roles_on_the_group_suffice_for_terraform_only(tmp_path: Path, tool: str, findings: int) -> None:
    """With the right to tag, in its own group or above, by which older runs are refused."""
    here = [*IN_GROUP, granted(TAGS, BOOTSTRAPPED), granted(azure.READS, SCOPE)]
    recorded = Recorded(HEALTHY | {ASSIGNED: here, "az group show": {"name": "rg-dev"}})
    project = equipped(tmp_path / "project", tool)
    assert len(bad(look(project, recorded))) == findings
    # A group whose name begins alike is another one.
    recorded.answers[ASSIGNED] = [item | {"scope": item["scope"].replace("rg-dev", "rg-de")} for item in here]
    assert len(bad(look(project, recorded))) == 2


@pytest.mark.parametrize(
    ("scope", "level"), [(f"{BOOTSTRAPPED}-2", "ReadOnly"), (GROUP, "ReadOnly"), (BOOTSTRAPPED, "CanNotDelete")]
)
def test_a_lock_elsewhere_or_against_deletion_keeps_no_tag_away(new: Project, scope: str, level: str) -> None:
    assert bad(look(new, Recorded(HEALTHY | {"az lock list": [lock(scope, level)]}))) == []


def test_without_an_identity_of_the_workflows_ones_own_rights_count(new: Project) -> None:
    found = bad(look(new, Recorded(HEALTHY | {"az identity show": None, MINE: []})))
    assert {(name, finding.level) for name, finding in found} >= {("your rights", "error")}


def test_in_a_workflow_it_looks_at_the_identity_that_runs_it(new: Project) -> None:
    machine = HEALTHY["az account show"] | {"user": {"name": CLIENT, "type": "servicePrincipal"}}
    recorded = Recorded(HEALTHY | {"az account show": machine, "az ad sp show": {"id": PRINCIPAL}})
    assert bad(look(new, recorded)) == []
    assert recorded.ran(f"az ad sp show --id {CLIENT}")


VNET = "/subscriptions/s/resourceGroups/rg-spoke/providers/Microsoft.Network/virtualNetworks/vnet-spoke"
SUBNET = f"{VNET}/subnets/snet-ml"
ZONE = (
    "/subscriptions/s/resourceGroups/rg-dns/providers/Microsoft.Network/privateDnsZones/privatelink.{}.core.windows.net"
)
ZONES = [ZONE.format(each) for each in ("blob", "dfs")]


def spoke(region: str = "westeurope", **subnet: Any) -> dict[str, Any]:
    """Answers about the network of a landing zone."""
    return {
        f"az resource show --ids {VNET}": {"location": region},
        f"az resource show --ids {SUBNET}": {"properties": {"addressPrefix": "10.9.0.0/26"} | subnet},
        **{f"az resource show --ids {zone}": {"id": zone} for zone in ZONES},
    }


def in_spoke(project: Project, **network: Any) -> None:
    """Let dev use that network."""
    file = project.root / "config" / "dev.yml"
    section = {"existing_subnet_id": SUBNET, "outbound": "internet", "outbound_hosts": []}
    write_yaml(file, load_yaml(file) | {"network": section | network})


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        (spoke("West Europe"), None),
        (spoke("northeurope"), "snet-ml is in northeurope: a private endpoint of westeurope needs a subnet there"),
        (
            spoke(delegations=[{"properties": {"serviceName": "Microsoft.Web/serverFarms"}}]),
            "is delegated to Microsoft",
        ),
        (spoke(addressPrefix="10.9.0.0/28"), "snet-ml has 11 free addresses, and the private endpoints need 25"),
        (spoke(ipConfigurations=[{}] * 40), "snet-ml has 19 free addresses, and the private endpoints need 25"),
        (spoke(addressPrefix=None, addressPrefixes=["10.9.0.0/28", "10.9.1.0/27"]), None),
        (spoke() | {f"az resource show --ids {SUBNET}": None}, "there is no subnet snet-ml, or you may not see it"),
    ],
)
def test_a_subnet_of_others_is_looked_at_before_anything_is_built_in_it(
    new: Project, answers: dict[str, Any], text: str | None
) -> None:
    in_spoke(new)
    found = bad(look(new, Recorded(HEALTHY | answers)))
    assert [name for name, _ in found] == (["virtual networks"] if text else [])
    assert all(text and text in finding.text and SUBNET.split("/")[0] in finding.remedy for _, finding in found)


def test_a_central_zone_that_is_not_there_is_named(new: Project) -> None:
    in_spoke(new, dns="central", dns_zone_ids=ZONES)
    assert bad(look(new, Recorded(HEALTHY | spoke()))) == []
    found = bad(look(new, Recorded(HEALTHY | spoke() | {f"az resource show --ids {ZONES[1]}": None})))
    assert [(name, finding.level) for name, finding in found] == [("virtual networks", "error")]
    assert "no DNS zone privatelink.dfs.core.windows.net" in found[0][1].text


@pytest.mark.parametrize("closed", [False, True])
def test_an_environment_that_connects_to_a_closed_registry_comes_after_it(new: Project, closed: bool) -> None:
    set_key(new.root / "config" / "dev.yml", "model_registry.public_network_access", not closed)
    with Recorded(HEALTHY).in_place():
        context = Context(new, load_environment(new, "test"))
        found = bad([("", finding) for finding in infrastructure.of(new).checks()["model registry"](context)])
    assert [finding.level for _, finding in found] == (["error"] if closed else [])
    assert all("provision --environment dev` first" in finding.remedy for _, finding in found)


@pytest.mark.parametrize(
    ("group", "subscription", "level"),
    [(None, None, "error"), ({"name": "rg-shared"}, None, "ok"), (None, "00000000-0000-0000-0000-0000000000aa", "ok")],
)
def test_an_environment_that_reads_a_registry_needs_its_group_or_its_subscription(
    new: Project, group: dict[str, str] | None, subscription: str | None, level: str
) -> None:
    azure.put_registry_apart(new.root)
    set_key(new.root / "config" / "dev.yml", "model_registry.public_network_access", True)
    if subscription:
        set_key(new.root / "config" / "test.yml", "names.registry_subscription", subscription)
    listed = [{"id": subscription, "tenantId": azure.TENANT, "name": "models"}]
    recorded = Recorded(HEALTHY | {"az group show --name rg-shared": group, "az account list --all": listed})
    with recorded.in_place():
        context = Context(new, load_environment(new, "test"))
        *_, found = infrastructure.of(new).checks()["model registry"](context)
    assert found.level == level, found
    if level == "error":
        assert "`uv run mlops bootstrap --environment dev` first" in found.remedy
        assert "names.registry_subscription into config/test.yml" in found.remedy


STATE = "az resource show --name ststate"
ADMITTED = {
    "defaultAction": "Deny",
    "ipRules": [{"value": "20.50.7.9"}],
    "virtualNetworkRules": [{"id": SUBNET.upper()}],
}
BY_BOOTSTRAP = {"created_by": "mlops-bootstrap"}
BUILDING = [*VARIABLES, {"name": "MLOPS_PROVISION_RUNNER", "value": "build"}]


def account(tags: dict[str, str] | None = None, **rules: Any) -> dict[str, Any]:
    """The storage account of the state, as Resource Manager shows it, on the machines that the firewall admits."""
    properties = {"publicNetworkAccess": rules.pop("public", "Enabled"), "networkAcls": ADMITTED | rules}
    return {STATE: {"tags": BY_BOOTSTRAP if tags is None else tags, "properties": properties}}


def close_state(project: Project, **lists: list[str]) -> None:
    """Write the firewall of the account that has the state of all environments."""
    for name in project.environments:
        set_key(project.root / "config" / f"{name}.yml", "terraform_state.firewall", lists)


def with_service(service: str, region: str = "westeurope") -> dict[str, Any]:
    """Answers about a subnet that has a service endpoint."""
    return spoke(region, serviceEndpoints=[{"service": service}])


@pytest.mark.parametrize(
    ("answers", "level", "text", "remedy"),
    [
        (account(), "ok", "", ""),
        (account(ipRules=[]), "error", "ststate admits snet-ml alone, and is to admit 20.50.7.9, snet", "bootstrap"),
        (account(defaultAction="Allow"), "error", "ststate admits everyone who signs in, and is to", "bootstrap"),
        (account(public="Disabled"), "error", "admits private endpoints alone, and is to", "exempt the account"),
        (account(public="Disabled", defaultAction="Allow"), "error", "admits private endpoints alone", "bootstrap"),
        (account(public="SecuredByPerimeter"), "error", "admits private endpoints alone", "bootstrap"),
        (account({}, public="Disabled"), "error", "admits private endpoints alone", "ask its owner"),
        (account({}, ipRules=[]), "error", "ststate admits snet-ml alone, and is to admit", "ask its owner"),
        ({STATE: None}, "ok", "", ""),
        ({f"az resource show --ids {SUBNET}": None}, "error", "there is no subnet snet-ml, or you may", "Reader"),
        (
            {f"az resource show --ids {SUBNET}": Refusal("(AuthorizationFailed) The client does not have")},
            "error",
            "there is no subnet snet-ml, or you may",
            "subnets/joinViaServiceEndpoint/action on the subnet",
        ),
        (
            {f"az resource show --ids {VNET}": Refusal("(AuthorizationFailed) The client does not have")},
            "error",
            "there is no subnet snet-ml, or you may",
            "Reader on the network",
        ),
        (spoke(), "error", "subnet snet-ml has no service endpoint Microsoft.Storage", "let its owner add one"),
        (with_service("Microsoft.Storage", "northeurope"), "warning", "snet-ml is in northeurope", ".Global"),
        (with_service("Microsoft.Storage.Global", "northeurope"), "ok", "", ""),
    ],
)  # fmt: skip
def test_the_firewall_of_the_state_is_that_of_the_config(
    new: Project, answers: dict[str, Any], level: str, text: str, remedy: str
) -> None:
    close_state(new, addresses=["20.50.7.9"], subnets=[SUBNET])
    usual = account() | with_service("Microsoft.Storage") | {"gh variable list --json": BUILDING}
    found = bad(look(new, Recorded(HEALTHY | usual | answers)))
    assert [(name, finding.level) for name, finding in found] == [("firewall of the state", level)] * (level != "ok")
    for _, finding in found:
        assert text in finding.text
        assert remedy in finding.remedy


def test_a_firewall_that_was_set_by_hand_is_shown_and_stays(new: Project) -> None:
    found = look(new, Recorded(HEALTHY | account(virtualNetworkRules=[])))
    assert bad(found) == []
    assert ("firewall of the state", ok("ststate admits 20.50.7.9 alone")) in found
    found = look(new, Recorded(HEALTHY | account(public="Disabled", defaultAction="Allow")))
    assert bad(found) == []
    assert ("firewall of the state", ok("ststate admits private endpoints alone")) in found


def test_runs_that_the_firewall_of_the_state_would_refuse_are_named(new: Project) -> None:
    close_state(new, addresses=["20.50.7.9"])
    answers = HEALTHY | account(virtualNetworkRules=[])
    [(name, finding)] = bad(look(new, Recorded(answers)))
    assert (name, finding.level) == ("runner", "warning")
    assert "on GitHub's machines, which the firewall of the state keeps out" in finding.text
    assert (
        "label runners that it admits build-dev, build-test, build-prod, then `gh variable set MLOPS_PROVISION_RUNNER "
        "--body build`, which counts for all environments" in finding.remedy
    )
    # GitHub chooses the machine by the variables of the repository alone.
    of_the_environment = {"gh variable list --env dev --json": [*VARIABLES_OF_DEV, BUILDING[-1]]}
    assert bad(look(new, Recorded(answers | of_the_environment))) == [(name, finding)]
    assert bad(look(new, Recorded(answers | {"gh variable list --json": BUILDING}))) == []


@pytest.mark.parametrize(
    ("labels", "missing"),
    [
        ("self-hosted\nbuild-dev\n", False),
        ("self-hosted\nbuild-test\nbuild-dev-2\n", True),
        ("", True),
        (Refusal("HTTP 403: Resource not accessible by integration"), False),
    ],
    ids=["one", "others", "none", "not said"],
)
def test_an_open_state_needs_a_runner_too_once_the_variable_is_set(
    new: Project, labels: str | Refusal, missing: bool
) -> None:
    runners = {"gh variable list --json": BUILDING, "gh api repos/{owner}/{repo}/actions/runners": labels}
    found = bad(look(new, Recorded(HEALTHY | runners)))
    assert [(name, finding.level) for name, finding in found] == [("runner", "warning")] * missing
    for _, finding in found:
        assert "MLOPS_PROVISION_RUNNER counts for all environments, and the repository has no runner build-dev" in (
            finding.text
        )


OF_COMPANY = f"{azure.SCOPE}/resourceGroups/rg-hub/providers"
VAULT, LOGS = (
    f"{OF_COMPANY}/Microsoft.KeyVault/vaults/kv-hub",
    f"{OF_COMPANY}/Microsoft.OperationalInsights/workspaces/l",
)
BY_KEY = f"{OF_COMPANY}/Microsoft.ManagedIdentity/userAssignedIdentities/id-key"
KEY = {
    "key_id": f"https://kv-hub.vault.azure.net/keys/ml/{'0' * 32}",
    "vault_id": VAULT,
    "identity_id": BY_KEY,
    "identity_client_id": "00000000-0000-0000-0000-00000000000c",
}
GIVEN = {
    f"az resource show --ids {LOGS}": {"location": "northeurope"},
    f"az resource show --ids {VAULT}": {"location": "West Europe", "properties": {"enablePurgeProtection": True}},
    f"az resource show --ids {BY_KEY}": {"properties": {"clientId": "00000000-0000-0000-0000-00000000000C"}},
    "az ad group show": json.dumps("data scientists"),
}


@pytest.mark.parametrize(
    ("answers", "check", "text"),
    [
        ({}, "", ""),
        ({f"az resource show --ids {LOGS}": None}, "what the company gives", "no Log Analytics workspace l"),
        ({f"az resource show --ids {VAULT}": None}, "what the company gives", "no key vault kv-hub"),
        (
            {f"az resource show --ids {VAULT}": {"location": "northeurope", "properties": {}}},
            "what the company gives",
            "kv-hub is in northeurope, and a key must be in the region of the workspace, westeurope",
        ),
        (
            {f"az resource show --ids {VAULT}": {"location": "westeurope", "properties": {}}},
            "what the company gives",
            "kv-hub has no purge protection",
        ),
        (
            {
                "az resource show --resource-group": azure.WORKSPACE
                | {"properties": {"managedNetwork": {"isolationMode": "X"}}}
            },
            "what the company gives",
            "mlw-dev was made without this key",
        ),
        (
            {f"az resource show --ids {BY_KEY}": None},
            "what the company gives",
            "there is no identity id-key, or",
        ),
        (
            {f"az resource show --ids {BY_KEY}": {"properties": {"clientId": "another"}}},
            "what the company gives",
            "id-key has another client id than 00000000-0000-0000-0000-00000000000c",
        ),
        ({"az ad group show": None}, "users", "the tenant has no group"),
    ],
)
def test_what_the_company_gives_is_looked_at(new: Project, answers: dict[str, Any], check: str, text: str) -> None:
    file = new.root / "config" / "dev.yml"
    set_key(file, "security.customer_key", KEY)
    set_key(file, "retention.log_analytics_id", LOGS)
    set_key(file, "access", {"data_scientists": ["00000000-0000-0000-0000-0000000000ab"]})
    found = bad(look(new, Recorded(HEALTHY | GIVEN | answers)))
    found = [(name, finding) for name, finding in found if name in ("what the company gives", "users")]
    assert [name for name, _ in found] == ([check] if check else [])
    assert all(text in finding.text and finding.remedy for _, finding in found)


@pytest.mark.parametrize("tool", ["terraform", "bicep"])
def test_terraforms_provider_finds_no_vault_of_another_subscription(tmp_path: Path, tool: str) -> None:
    """It lists those of the subscription that it builds in (tests/test_idempotency.py: one there is found)."""
    project, elsewhere = equipped(tmp_path / "project", tool), VAULT.replace(azure.SUBSCRIPTION, "other")
    set_key(project.root / "config" / "dev.yml", "security.customer_key", KEY | {"vault_id": elsewhere})
    there = {f"az resource show --ids {elsewhere}": GIVEN[f"az resource show --ids {VAULT}"]}
    recorded = Recorded(HEALTHY | GIVEN | there)
    found = [finding for name, finding in look(project, recorded) if name == "what the company gives"]
    assert ["another subscription" in finding.text for finding in found] == [tool == "terraform"]
    assert found[0].level == ("error" if tool == "terraform" else "ok")


def test_a_deployer_who_may_not_grant_to_groups_is_named(new: Project) -> None:
    """`bootstrap` adds groups to the condition once the config has one."""
    set_key(new.root / "config" / "dev.yml", "access", {"data_scientists": ["00000000-0000-0000-0000-0000000000ab"]})
    for_users = azure.CONDITION + FOR_SERVICES.replace("'ServicePrincipal'", "'ServicePrincipal', 'User'")
    roles = [ENOUGH[0], granted(azure.ADMINISTRATOR, condition=for_users), *REST]
    found = bad(look(new, Recorded(HEALTHY | GIVEN | {ASSIGNED: roles})))
    assert {name for name, _ in found} == {"workflows' rights"}
    assert "the principal type Group" in found[0][1].text


@pytest.mark.parametrize(
    ("tenant", "level", "text"),
    [
        (azure.TENANT, "", ""),
        ("another", "error", "the registry is in another tenant, another, and Azure ML cannot read it"),
        (None, "warning", "you do not see the subscription"),
    ],
)
def test_a_registry_of_another_tenant_is_refused(new: Project, tenant: str | None, level: str, text: str) -> None:
    subscription = "00000000-0000-0000-0000-0000000000aa"
    set_key(new.root / "config" / "dev.yml", "names.registry_subscription", subscription)
    listed = [{"id": subscription, "tenantId": tenant, "name": "models"}] if tenant else []
    recorded = Recorded(HEALTHY | {"az account list --all": listed})
    found = bad(look(new, recorded))
    assert [(name, finding.level) for name, finding in found] == ([("model registry", level)] if level else [])
    assert all(text in finding.text for _, finding in found)
    assert recorded.ran(f"registries --subscription {subscription}")


@pytest.mark.parametrize("other", ["10.80.63.0/24", "10.0.0.0/8"])
def test_environments_whose_ranges_overlap_are_named(new: Project, other: str) -> None:
    file = new.root / "config" / "prod.yml"
    document = load_yaml(file)
    subnets = list(ipaddress.ip_network(other).subnets(prefixlen_diff=2))
    document["network"] |= {
        "address_space": other, "endpoints_subnet": str(subnets[0]), "runners_subnet": str(subnets[1]),
    }  # fmt: skip
    write_yaml(file, document)
    found = bad(look(new, Recorded(HEALTHY)))
    assert [(name, finding.text) for name, finding in found] == [
        ("network range", f"10.80.0.0/18 overlaps {other} of prod")
    ]


@pytest.mark.parametrize(
    ("here", "there", "subnet", "refused"),
    [
        ("own", "own", SUBNET.replace("vnet-spoke", "VNET-spoke"), True),
        ("own", "policy", SUBNET, False),
        ("policy", "own", SUBNET, False),
        ("own", "own", SUBNET.replace("vnet-spoke", "vnet-other"), False),
    ],
)
def test_two_environments_do_not_link_zones_of_one_name_to_a_network(
    new: Project, here: str, there: str, subnet: str, refused: bool
) -> None:
    in_spoke(new, dns=here)
    file = new.root / "config" / "prod.yml"
    section = {"existing_subnet_id": subnet, "dns": there, "outbound": "internet", "outbound_hosts": []}
    write_yaml(file, load_yaml(file) | {"network": section})
    found = [finding.text for name, finding in bad(look(new, Recorded(HEALTHY | spoke()))) if name == "network range"]
    assert [text[:34] for text in found] == ['dns is "own" here and in prod, and'] * refused


@pytest.mark.parametrize(("version", "level"), [("aml-cli-v2", "warning"), ("python-sdk-v1", "ok")])
def test_drift_without_a_recipient_is_named(new: Project, version: str, level: str) -> None:
    file = new.root / "config" / "dev.yml"
    document = load_yaml(file)
    document["monitor"]["alert_emails"] = []
    write_yaml(file, document)
    found = look(dataclasses.replace(new, version=version), Recorded(HEALTHY))
    assert [finding.level for name, finding in found if name == "alerts"] == [level]


def test_a_list_of_several_pages_is_read_to_its_end(new: Project) -> None:
    link = f"https://management.azure.com{SCOPE}/providers/{ML}/workspaces?api-version=2026-05-01&$skipToken=a%20b"
    answers = {
        f"providers/{ML}/workspaces --url-parameters": {"value": [], "nextLink": link},
        f"providers/{ML}/workspaces --url-parameters api-version=2026-05-01 $skipToken=a b": DELETED,
    }
    assert [name for name, _ in bad(look(new, Recorded(HEALTHY | answers)))] == ["deleted workspace"]


def test_without_a_login_it_says_so_and_asks_nothing_more(new: Project) -> None:
    recorded = Recorded(HEALTHY | {"az account show": Refusal("Please run 'az login' to setup account.")})
    found = bad(look(new, recorded))
    assert [(name, finding.text, finding.remedy) for name, finding in found] == [
        ("login", "you are not signed in to Azure", "run `az login`")
    ]
    assert recorded.ran("resource list", "gh variable") == []


def test_without_az_it_says_so_once(new: Project) -> None:
    recorded = Recorded(HEALTHY)
    recorded.missing = {"az"}
    found = bad(look(new, recorded))
    assert [(name, finding.level) for name, finding in found] == [("login", "error")]
    assert "az is not installed" in found[0][1].text
    assert "https://learn.microsoft.com" in found[0][1].remedy


def test_without_gh_all_of_azure_is_looked_at(new: Project) -> None:
    recorded = Recorded(HEALTHY)
    recorded.missing = {"gh"}
    found = look(new, recorded)
    assert {finding.level for _, finding in bad(found)} == {"warning"}
    assert {name for name, _ in bad(found)} == {
        "tools",
        "trust in GitHub",
        "branches on GitHub",
        "GitHub variables",
        "runner",
    }
    assert {name for name, _ in found} > set(infrastructure.of(new).checks())


def test_each_question_is_asked_once(new: Project) -> None:
    recorded = Recorded(HEALTHY)
    look(new, recorded)
    asked = [line for line in recorded.ran("az ", "gh ") if not line.startswith(("az version", "az account show"))]
    assert sorted(asked) == sorted(set(asked))


@pytest.fixture
def here(new: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], int]:
    """Run the command in the project, with some answers of its own."""
    monkeypatch.chdir(new.root)
    monkeypatch.setenv("COLUMNS", "60")

    def command(answers: dict[str, Any]) -> int:
        with Recorded(HEALTHY | answers).in_place():
            return run("doctor", "--environment", "dev")

    return command


def test_a_healthy_environment_has_no_error(here: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert here({}) == 0
    shown = capsys.readouterr()
    assert "remedy" not in shown.out
    assert shown.err == ""


def test_a_warning_is_shown_with_its_remedy_and_stops_no_user(
    here: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert here({"gh variable list --json": VARIABLES[:2]}) == 0
    assert "then `gh variable set MLOPS_RUNNER --body mlops`\n" in capsys.readouterr().out


def test_an_error_ends_with_exit_code_1_and_its_remedy_in_one_line(
    here: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert here({f"providers/{ML}/workspaces --url-parameters": DELETED}) == 1
    shown = capsys.readouterr()
    assert shown.err == "error: 1 error: the remedies are above\n"
    [remedy] = [line for line in shown.out.splitlines() if "remedy:" in line]
    assert remedy.endswith("--url-parameters api-version=2026-05-01 forceToPurge=true`")


def test_brackets_in_a_message_of_azure_are_shown_as_they_are(
    here: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    taken = {"nameAvailable": False, "message": "not [/bold] allowed"}
    assert here({"az acr check-name": taken}) == 1
    assert "not [/bold] allowed" in capsys.readouterr().out


def test_the_question_for_a_vaults_name_is_a_file_because_windows_takes_quotes_away(new: Project) -> None:
    recorded = Recorded(HEALTHY)
    look(new, recorded)
    [line] = [line for line in recorded.log if any("checkNameAvailability" in word for word in line)]
    file = new.root / line[-3].removeprefix("@") if line[-2] == "--output" else new.root / line[-1].removeprefix("@")
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "name": "key-vault-dev",
        "type": "Microsoft.KeyVault/vaults",
    }


@pytest.mark.parametrize("answer", ["no JSON", [{}], {"value": [{"name": None}]}])
def test_an_answer_in_another_form_than_expected_is_a_warning_and_no_traceback(new: Project, answer: Any) -> None:
    found = look(new, Recorded(HEALTHY | {f"{azure.LISTED}/vmSizes": answer}))
    assert {(name, finding.level) for name, finding in bad(found)} == {
        ("machine sizes", "warning"),
        ("quota", "warning"),
    }
    assert [name for name, _ in found][-1] == "runner"


def test_a_registry_without_a_lock_is_reported_with_the_command_that_sets_one(new: Project) -> None:
    recorded = Recorded(HEALTHY | {f"az resource list --resource-type {ML}/registries": [azure.BUILT[5]]})
    elsewhere = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/the-registry/providers/Microsoft.Authorization"
    recorded.answers["az lock list"] = [{"id": f"{elsewhere}/locks/cannot-delete", "name": "cannot-delete"}]
    [(check, finding)] = bad(look(new, recorded))
    assert (check, finding.level) == ("model registry", "warning")
    assert finding.remedy == (
        "`az lock create --name cannot-delete --lock-type CanNotDelete --resource-group rg-dev --resource the-registry "
        f"--resource-type {ML}/registries`"
    )


@pytest.fixture
def apart(new: Project) -> Project:
    """The same with a registry in a resource group of its own."""
    azure.put_registry_apart(new.root)
    return new


LOCKS_THERE = azure.granted(azure.LOCKS, azure.SHARED)


def test_the_registry_is_looked_for_in_its_own_group(apart: Project) -> None:
    recorded = Recorded(HEALTHY | {"az lock list --resource-group rg-shared": azure.LOCKED})
    listed = f"az resource list --resource-type {ML}/registries"
    recorded.answers[listed] = [azure.APART[1]]
    found = look(apart, recorded)
    assert bad(found) == []
    assert ("model registry", ok("the-registry in rg-shared")) in found
    unlocked = Recorded(HEALTHY | {listed: [azure.APART[1]]})
    [(check, finding)] = bad(look(apart, unlocked))
    assert (check, finding.remedy) == ("model registry", "`uv run mlops provision --environment dev`")
    recorded.answers[listed] = [azure.BUILT[5]]
    [(check, finding)] = bad(look(apart, recorded))
    assert (check, finding.text) == ("model registry", "the-registry is in another resource group: rg-dev")


def test_the_workflows_of_dev_need_the_right_to_lock_in_the_group_of_the_registry(apart: Project) -> None:
    enough = [role for role in azure.ENOUGH if not role["roleDefinitionId"].endswith(azure.LOCKS)]
    recorded = Recorded(HEALTHY | {ASSIGNED: enough})
    lacking = [finding.text for name, finding in bad(look(apart, recorded)) if name == "workflows' rights"]
    assert lacking == [f"id-deploy-dev: lacks Locks Contributor on {azure.SHARED}"]
    recorded.answers[ASSIGNED] = [*enough, LOCKS_THERE]
    assert bad(look(apart, recorded)) == []


@pytest.mark.parametrize(
    ("policy", "names", "text"),
    [
        (None, [], "every branch may use dev"),
        (PROTECTED, [], "dev trusts protected branches, and a ruleset alone may make none"),
        (NAMED, [], "no branch may use dev"),
        (NAMED, ["main", "release/*"], ""),
    ],
)
def test_which_branches_reach_an_environment_is_reported(
    new: Project, policy: dict[str, bool] | None, names: list[str], text: str
) -> None:
    recorded = Recorded(HEALTHY)
    recorded.answers[ON_GITHUB] = {"name": "dev", "protection_rules": [], "deployment_branch_policy": policy}
    recorded.answers[f"{ON_GITHUB}/deployment-branch-policies"] = {
        "branch_policies": [{"name": name} for name in names]
    }
    found = bad(look(new, recorded))
    assert [(check, finding.level, finding.text) for check, finding in found] == (
        [("branches on GitHub", "warning", text)] if text else []
    )
    assert all("`uv run mlops bootstrap --environment dev`" in finding.remedy for _, finding in found)


def test_pull_requests_plan_from_their_own_branches_so_that_no_rule_is_missing_there(new: Project) -> None:
    recorded = Recorded(HEALTHY)
    look(new, recorded)
    assert recorded.ran("environments/dev-read") == []


def test_where_nothing_is_planned_main_alone_may_use_the_identity_that_reads(tmp_path: Path) -> None:
    recorded = Recorded(azure.EXISTING)
    project = equipped(tmp_path / "project", "existing", [])
    assert bad(look(project, recorded)) == []
    recorded.answers[f"{ON_GITHUB}-read"] = {"name": "dev-read", "deployment_branch_policy": None}
    ((_, finding),) = bad(look(project, recorded))
    assert finding.text == "every branch may use dev-read"


def test_an_environment_that_github_does_not_have_yet_is_the_variables_finding(new: Project) -> None:
    recorded = Recorded(HEALTHY | {ON_GITHUB: Refusal("gh: Not Found (HTTP 404)")})
    assert bad(look(new, recorded)) == []
