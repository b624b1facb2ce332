"""From nothing to an environment that can be provisioned: what is run, asked, said and undone, on clouds of paper."""

import copy
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bootstrap_world
import pytest
from bootstrap_world import (
    DENIED,
    EMPTY,
    SHARED,
    STATE,
    SYSTEMS,
    both,
    closed,
    fail,
    fails,
    granted,
    on_a_terminal,
    set_to,
    start,
    written,
)
from fake_cloud import (
    ACCOUNTS,
    IDENTITIES,
    PERSON,
    SUBSCRIPTION,
    TENANT,
    FakeCloud,
    RefusedError,
    elements,
    sent_fields,
)
from rendered import HERE
from small_project import configuration, set_key, write_yaml

from mlops import infrastructure, orchestration
from mlops.config import load_environment
from mlops.errors import UserError
from mlops.orchestration import github
from mlops.project import Project, load_yaml
from mlops.shell import Shell
from mlops.subscription import account as azure

IDS = "repo:ada@101/a-project@202"
NAMES = "repo:ada/a-project"

# Fixtures.
cloud, files, fresh, system = (
    bootstrap_world.cloud,
    bootstrap_world.files,
    bootstrap_world.fresh,
    bootstrap_world.system,
)


def environment(**values: Any) -> dict[str, Any]:
    """An environment on GitHub, with nothing in it but these."""
    return {"variables": {}, "secrets": 0, "reviewers": [], "policy": "", "branches": [], **values}


def branches(there: dict[str, Any]) -> list[str] | str:
    """The branches that may use an environment on GitHub, or what else it says of them."""
    return there["branches"] if there["policy"] == "custom" else there["policy"]


def connected(cloud: FakeCloud, *, private: bool = True) -> None:
    """The project has been pushed to its repository."""
    cloud.create_repository("ada/a-project", private=private)
    cloud.top, cloud.head, cloud.origin = str(cloud.root), "1", "git@github.com:ada/a-project.git"
    cloud.branches["main"] = "1"


# What is made.


def test_one_command_makes_everything_from_nothing(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    subscription = f"/subscriptions/{SUBSCRIPTION}"
    assert granted(cloud, "principal-of-id-deploy-dev") == {
        ("Contributor", subscription),
        ("Role Based Access Control Administrator", subscription),
        ("Locks Contributor", SHARED),
        ("Storage Blob Data Contributor", STATE),
    }
    assert granted(cloud, PERSON) == {("Storage Blob Data Contributor", STATE)}
    for name in ("dev", "dev-read"):
        (credential,) = cloud.credentials[f"id-deploy-{name}"].values()
        assert credential["issuer"] == "https://token.actions.githubusercontent.com"
        assert credential["subject"] == f"{IDS}:environment:{name}"
        assert cloud.environments[name]["variables"] == {
            "AZURE_CLIENT_ID": f"client-of-id-deploy-{name}",
            "AZURE_TENANT_ID": TENANT,
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "MLOPS_CREATED_BY": "mlops-bootstrap",
        }
    assert cloud.repository is not None
    assert cloud.repository["private"]
    assert cloud.branches == {"main": "1"}
    assert cloud.protection is not None
    assert cloud.protection["required_status_checks"] == {"contexts": ["Project", "Infrastructure"]}
    assert cloud.registered == {*infrastructure.of(fresh).providers()}


def test_what_pull_requests_run_with_may_read_and_change_nothing(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    subscription = f"/subscriptions/{SUBSCRIPTION}"
    assert granted(cloud, "principal-of-id-deploy-dev-read") == {
        ("Reader", subscription),
        ("Storage Blob Data Reader", STATE),
        ("to preview", subscription),  # Terraform reads the deployment of the registry
    }


def test_without_a_deployment_of_a_template_terraform_plans_with_the_role_reader_alone(
    fresh: Project, cloud: FakeCloud
) -> None:
    set_key(fresh.root / "config" / "dev.yml", "model_registry", None)
    start(dataclasses.replace(fresh, add_ons=()))
    assert cloud.definitions == {}


def test_what_the_monitor_of_sdk_v1_found_can_be_read_once_its_storage_account_is_there(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    project = dataclasses.replace(fresh, version="python-sdk-v1")
    name = str(load_environment(project, "dev").names.storage_account)
    start(project)
    assert f"cannot read what the monitor finds until storage account {name} is built" in capsys.readouterr().out
    cloud.accounts[name] = {"name": name, "group": "rg-dev", "type": ACCOUNTS, "tags": {}}
    start(project)
    scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-dev/providers/{ACCOUNTS}/{name}"
    assert ("Storage Blob Data Reader", scope) in granted(cloud, "principal-of-id-deploy-dev-read")
    start(project, yes=False)
    assert "Nothing to do." in capsys.readouterr().out


def test_the_identity_that_changes_an_environment_trusts_that_environment_alone(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh, "dev", "prod")
    for name in ("dev", "prod"):
        assert [each["subject"] for each in cloud.credentials[f"id-deploy-{name}"].values()] == [
            f"{IDS}:environment:{name}"
        ]
        assert branches(cloud.environments[name]) == ["main"]


def test_only_the_first_environment_can_be_read_from_every_branch(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "test", "prod")
    policies = {name: (there["reviewers"], branches(there)) for name, there in cloud.environments.items()}
    assert {name: rules for name, rules in policies.items() if name.endswith("-read")} == {
        "dev-read": ([], ""),
        "test-read": ([], ["main"]),
        "prod-read": ([], ["main"]),
    }


def test_without_a_plan_in_pull_requests_no_environment_can_be_read_from_every_branch(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(existing(fresh, cloud))
    assert branches(cloud.environments["dev-read"]) == ["main"]


def test_the_first_push_finds_azure_connected_and_only_the_protection_of_main_comes_later(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh, "dev", "test", "prod")
    lines = [" ".join(line) for line in cloud.changes]
    push = next(number for number, line in enumerate(lines) if " push " in line)
    assert lines[0] == "uv lock"
    assert push == len(lines) - 2
    assert "branches/main/protection" in lines[-1]
    assert "--force" not in lines[push]


def test_terraforms_state_is_closed_to_keys_and_the_public_and_keeps_versions(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    account = cloud.accounts["stdev"]
    assert account["--allow-shared-key-access"] == account["--allow-blob-public-access"] == "false"
    assert (account["--min-tls-version"], account["--https-only"]) == ("TLS1_2", "true")
    assert account["blobs"]["isVersioningEnabled"]
    assert account["blobs"]["deleteRetentionPolicy"] == {"enabled": True, "days": 30}
    assert account["containers"] == ["tfstate"]


SPOKE = "/subscriptions/s/resourceGroups/rg-hub/providers/Microsoft.Network/virtualNetworks/vnet-hub"
SUBNET = f"{SPOKE}/subnets/snet-build"


def put_subnet(cloud: FakeCloud, service: str = "Microsoft.Storage", region: str = "westeurope") -> None:
    """The company has a subnet for the machines that provision."""
    services = [{"service": service}] if service else []
    cloud.networks = {SPOKE: {"location": region}, SUBNET: {"properties": {"serviceEndpoints": services}}}


def firewall(project: Project, **lists: list[str]) -> None:
    """Write the firewall of the state of dev."""
    set_key(project.root / "config" / "dev.yml", "terraform_state.firewall", lists)


def admitted(cloud: FakeCloud) -> tuple[str, set[str]]:
    """What the firewall does by default, and whom it lets in."""
    rules = cloud.accounts["stdev"]["properties"]["networkAcls"]
    return rules["defaultAction"], {
        *(rule["value"] for rule in rules["ipRules"]),
        *(rule["id"] for rule in rules["virtualNetworkRules"]),
    }


@both
def test_the_state_admits_the_addresses_and_subnets_of_the_config_alone(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    put_subnet(cloud)
    firewall(fresh, addresses=["20.50.7.9", "20.50.8.0/28"], subnets=[SUBNET])
    start(fresh)
    assert admitted(cloud) == ("Deny", {"20.50.7.9", "20.50.8.0/28", SUBNET})
    [created] = cloud.ran("storage account create")
    assert "--default-action Deny" in created  # open not even for a moment
    assert len(cloud.ran("state-firewall")) == 1
    assert "  to do  firewall of stdev: admits 20.50.7.9, 20.50.8.0/28, snet-build alone" in capsys.readouterr().out
    before = len(cloud.changes)
    start(fresh, yes=False)
    assert len(cloud.changes) == before
    assert "  done   firewall of stdev: admits 20.50.7.9, 20.50.8.0/28, snet-build alone" in capsys.readouterr().out


def test_what_leaves_the_lists_is_refused_from_then_on_and_empty_lists_admit_everyone(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    put_subnet(cloud)
    firewall(fresh, addresses=["20.50.7.9", "20.50.8.0/28"], subnets=[SUBNET])
    start(fresh)
    firewall(fresh, addresses=["20.50.7.9"])
    start(fresh)
    assert admitted(cloud) == ("Deny", {"20.50.7.9"})
    firewall(fresh)
    start(fresh)
    assert admitted(cloud) == ("Allow", set())
    assert "  to do  firewall of stdev: admits everyone who signs in" in capsys.readouterr().out


@pytest.mark.parametrize("access", ["Disabled", "SecuredByPerimeter"])
@pytest.mark.parametrize("lists", [{"addresses": ["20.50.7.9"]}, {}], ids=["an address", "everyone"])
def test_an_account_without_a_public_address_gets_one_for_what_it_is_to_admit(
    fresh: Project, cloud: FakeCloud, access: str, lists: dict[str, list[str]]
) -> None:
    firewall(fresh, **lists)
    start(fresh)
    cloud.accounts["stdev"]["properties"]["publicNetworkAccess"] = access
    start(fresh)
    assert cloud.accounts["stdev"]["properties"]["publicNetworkAccess"] == "Enabled"
    start(fresh, yes=False)


def test_a_policy_that_takes_the_public_address_away_is_named_each_time(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.public_access = "Disabled"
    firewall(fresh, addresses=["20.50.7.9"])
    for _ in range(2):
        start(fresh)
        said = capsys.readouterr().out
        assert "warning: storage account stdev still admits private endpoints alone: a policy takes its public" in said


def test_without_the_key_rules_that_were_set_by_hand_stay(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    rules = cloud.accounts["stdev"]["properties"]["networkAcls"]
    rules |= {"defaultAction": "Deny", "ipRules": [{"value": "20.50.7.1"}]}
    start(fresh, yes=False)
    assert admitted(cloud) == ("Deny", {"20.50.7.1"})


def test_a_rule_of_defender_stays_beside_ours(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    defender = [{"tenantId": TENANT, "resourceId": "/subscriptions/s/providers/Microsoft.Security/datascanners/x"}]
    cloud.accounts["stdev"]["properties"]["networkAcls"]["resourceAccessRules"] = defender
    firewall(fresh, addresses=["20.50.7.9"])
    start(fresh)
    assert cloud.accounts["stdev"]["properties"]["networkAcls"]["resourceAccessRules"] == defender
    start(fresh, yes=False)


def test_an_address_of_ipv6_that_was_let_in_by_hand_is_no_more(fresh: Project, cloud: FakeCloud) -> None:
    firewall(fresh, addresses=["20.50.7.9"])
    start(fresh)
    rules = cloud.accounts["stdev"]["properties"]["networkAcls"]
    rules["ipv6Rules"] = [{"value": "2001:db8::/64", "action": "Allow"}]
    start(fresh)
    assert cloud.accounts["stdev"]["properties"]["networkAcls"]["ipv6Rules"] == []
    start(fresh, yes=False)


def test_a_subnets_id_knows_no_case(fresh: Project, cloud: FakeCloud) -> None:
    put_subnet(cloud)
    firewall(fresh, subnets=[SUBNET])
    start(fresh)
    [rule] = cloud.accounts["stdev"]["properties"]["networkAcls"]["virtualNetworkRules"]
    rule["id"] = rule["id"].upper()
    start(fresh, yes=False)


def test_the_firewall_of_another_owners_account_is_its_owners(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh)
    cloud.accounts["stdev"]["tags"] = {}
    firewall(fresh, addresses=["20.50.7.9"])
    start(fresh, yes=False)
    assert admitted(cloud) == ("Allow", set())
    said = capsys.readouterr().out
    assert "`mlops bootstrap` did not make storage account stdev, so its owner sets its firewall" in said
    assert "it is to admit 20.50.7.9 alone" in said
    cloud.accounts["stdev"]["properties"]["networkAcls"] |= {
        "defaultAction": "Deny",
        "ipRules": [{"value": "20.50.7.9"}],
    }
    start(fresh, yes=False)
    assert "did not make" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (
            None,
            "there is no subnet snet-build, or you may not see it: correct terraform_state.firewall of config/dev.yml",
        ),
        (
            "",
            "subnet snet-build has no service endpoint Microsoft.Storage, by which the firewall of the state knows it",
        ),
    ],
)
def test_a_subnet_that_the_firewall_cannot_know_is_refused_before_anything_is_made(
    fresh: Project, cloud: FakeCloud, service: str | None, words: str
) -> None:
    firewall(fresh, subnets=[SUBNET])
    fails(fresh, cloud, lambda cloud: None if service is None else put_subnet(cloud, service), words, early=True)


@pytest.mark.parametrize("hidden", [SPOKE, SUBNET], ids=["network", "subnet"])
def test_a_subnet_that_you_may_not_see_is_called_so_before_anything_is_made(
    fresh: Project, cloud: FakeCloud, hidden: str
) -> None:
    put_subnet(cloud)
    firewall(fresh, subnets=[SUBNET])
    words = "there is no subnet snet-build, or you may not see it: correct"
    fails(fresh, cloud, fail(f"--ids {hidden} ", "ERROR: (AuthorizationFailed) no"), words, early=True)


def test_the_right_to_let_a_subnet_in_is_named_where_it_is_missing(fresh: Project, cloud: FakeCloud) -> None:
    put_subnet(cloud)
    firewall(fresh, subnets=[SUBNET])
    refused = "ERROR: (LinkedAuthorizationFailed) The client does not have authorization on the linked scope"
    words = "subnets/joinViaServiceEndpoint/action, which Network Contributor has: ask its owner for it"
    fails(fresh, cloud, fail("state-firewall", refused), words, early=False)


@pytest.mark.parametrize("zones", [[], [{"logicalZone": "1"}]], ids=["none", "three"])
def test_copies_in_three_zones_are_refused_before_anything_is_made_where_the_region_has_none(
    fresh: Project, cloud: FakeCloud, zones: list[dict[str, str]]
) -> None:
    set_key(fresh.root / "config" / "dev.yml", "storage", {"redundancy": "ZRS"})
    if zones:
        cloud.zones = zones
        start(fresh)
        assert "--sku Standard_ZRS" in cloud.ran("storage account create")[0]
    else:
        fails(
            fresh, cloud, lambda cloud: None, "westeurope has no zones, which storage.redundancy ZRS needs", early=True
        )


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (
            "github-actions",
            "label runners that it admits build-dev, build-test, build-prod, and set the variable",
        ),
        ("azure-devops", "a pool for each environment, build-dev, build-test, build-prod, and write build as `provis"),
    ],
    indirect=["system"],
)
def test_a_firewall_needs_machines_that_it_admits_for_what_provisions(
    fresh: Project, cloud: FakeCloud, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh)
    assert "firewall" not in capsys.readouterr().out
    firewall(fresh, addresses=["20.50.7.9"])
    start(fresh)
    [line] = [each for each in capsys.readouterr().out.splitlines() if each.startswith("Terraform's state of dev")]
    assert words in line


ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"


def grants(condition: str, action: str, role: str, kind: str) -> bool:
    """Evaluate a condition as Azure does: what is not about this action is true, and an attribute has one value."""
    source = "@Request" if action == "write" else "@Resource"
    text = re.sub(r"ActionMatches\{'([^']*)'\}", lambda found: str(found[1] == f"{ASSIGNMENTS}/{action}"), condition)

    def compare(found: re.Match[str]) -> str:
        value = {"RoleDefinitionId": role, "PrincipalType": kind}[found[2]]
        values = [each.strip("' ").lower() for each in found[3].split(",")]
        # An attribute that the action does not have is never equal to anything.
        return str(found[1] == source and value.lower() in values)

    pattern = rf"(@\w+)\[{ASSIGNMENTS}:(\w+)\] ForAnyOfAnyValues:(?:GuidEquals|StringEqualsIgnoreCase) \{{([^}}]*)\}}"
    text = re.sub(pattern, compare, text).replace("!", " not ").replace(" OR ", " or ").replace(" AND ", " and ")
    assert re.fullmatch(r"(True|False|and|or|not|[() ])+", text), text
    return bool(eval(text))


def test_an_identity_grants_the_roles_of_users_to_groups_where_the_config_has_some(
    fresh: Project, cloud: FakeCloud
) -> None:
    document = load_yaml(fresh.root / "infrastructure" / "shared" / "roles.yml")
    blobs, vault = document["roles"]["storage_blob_contributor"], document["roles"]["key_vault_administrator"]
    groups = {"data_scientists": ["00000000-0000-0000-0000-0000000000ab"]}
    set_key(fresh.root / "config" / "dev.yml", "access", groups)
    start(fresh)
    conditions = [role["condition"] for role in cloud.roles if role["condition"]]
    assert [grants(each, "write", blobs, "Group") for each in conditions].count(True) == 1
    assert not any(grants(each, "write", vault, "Group") for each in conditions)


@pytest.mark.parametrize("users", [False, True], ids=["services alone", "owners of compute instances"])
def test_an_identity_grants_the_roles_of_the_infrastructure_and_no_others_and_to_services(
    fresh: Project, cloud: FakeCloud, users: bool
) -> None:
    path = fresh.root / "infrastructure" / "shared" / "roles.yml"
    document = load_yaml(path)
    blobs, vault = document["roles"]["storage_blob_contributor"], document["roles"]["key_vault_administrator"]
    more = ("user-with-compute-instance",) if users else ()
    project = dataclasses.replace(fresh, add_ons=(*fresh.add_ons, *more))
    start(project)
    (condition,) = [role["condition"] for role in cloud.roles if role["condition"]]
    for role in document["roles"].values():
        assert grants(condition, "write", role, "ServicePrincipal")
        assert grants(condition, "delete", role, "User")
        assert not grants(condition, "write", role, "Group")
    assert grants(condition, "write", blobs, "User") == users
    assert not grants(condition, "write", vault, "User")
    for action in ("write", "delete"):
        assert not grants(condition, action, azure.ROLES["Owner"], "ServicePrincipal")
    assert azure.ROLES["Role Based Access Control Administrator"] not in condition
    assert "\n" not in condition
    assert condition.count("(") == condition.count(")")


def test_the_providers_are_those_that_terraform_knows_to_need() -> None:
    here = HERE
    text = (here.root / "infrastructure" / "terraform" / "versions.tf").read_text(encoding="utf-8")
    everything = dataclasses.replace(here, add_ons=("private-network", "monitoring"))
    # Every subscription has Microsoft.Authorization.
    assert {*infrastructure.of(everything).providers()} == {*re.findall(r'"(Microsoft\.\w+)"', text)} - {
        "Microsoft.Authorization"
    }


def test_a_lock_on_prod_needs_the_right_to_lock(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "prod")
    locking = ("Locks Contributor", f"/subscriptions/{SUBSCRIPTION}")
    assert locking in granted(cloud, "principal-of-id-deploy-prod")
    assert locking not in granted(cloud, "principal-of-id-deploy-dev")


def test_the_registry_has_a_group_that_no_environment_deletes_and_dev_alone_may_lock_there(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(fresh, "dev", "test", "prod")
    assert {*cloud.groups} == {"rg-state", "rg-shared"}
    locking = {
        name: {scope for role, scope in granted(cloud, f"principal-of-id-deploy-{name}") if role == "Locks Contributor"}
        for name in ("dev", "test", "prod")
    }
    assert locking == {"dev": {SHARED}, "test": set(), "prod": {f"/subscriptions/{SUBSCRIPTION}"}}


def test_a_registry_that_the_first_promotion_creates_has_its_group_too_and_no_lock(
    fresh: Project, cloud: FakeCloud
) -> None:
    set_key(fresh.root / "config" / "dev.yml", "model_registry", None)
    start(dataclasses.replace(fresh, add_ons=()))
    assert {*cloud.groups} == {"rg-state", "rg-shared"}
    assert ("Locks Contributor", SHARED) not in granted(cloud, "principal-of-id-deploy-dev")


def test_another_subscription_gets_no_group_for_the_registry(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "prod")
    assert {*cloud.groups} == {"rg-state"}


def test_a_project_from_before_the_registry_had_a_group_gets_none(fresh: Project, cloud: FakeCloud) -> None:
    for name in ("dev", "test", "prod"):
        set_key(fresh.root / "config" / f"{name}.yml", "names.registry_resource_group", None)
    start(fresh)
    assert {*cloud.groups} == {"rg-state"}
    assert "Locks Contributor" not in {role for role, _ in granted(cloud, "principal-of-id-deploy-dev")}


def test_undo_keeps_the_group_of_a_registry_that_is_still_there(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, "dev")
    registry = {"name": "the-registry", "type": azure.REGISTRIES, "group": "rg-shared", "tags": None}
    cloud.resources.append(registry)
    start(fresh, "dev", undo=True)
    assert {*cloud.groups} == {"rg-shared"}
    assert "resource group rg-shared stays: it holds the-registry" in capsys.readouterr().out


def test_bicep_keeps_no_state(fresh: Project, cloud: FakeCloud) -> None:
    settings = configuration("dev", "workspace")
    del settings["terraform_state"]
    write_yaml(fresh.root / "config" / "dev.yml", settings)
    start(dataclasses.replace(fresh, infrastructure="bicep"))
    assert cloud.accounts == {}
    assert cloud.ran("az storage") == []
    assert {name for name, _ in granted(cloud, "principal-of-id-deploy-dev")} == {
        "Contributor",
        "Role Based Access Control Administrator",
    }


def bicep(project: Project) -> Project:
    """The project with Bicep."""
    for name in ("dev", "prod"):
        settings = configuration(name, "workspace")
        del settings["terraform_state"]
        write_yaml(project.root / "config" / f"{name}.yml", settings)
    return dataclasses.replace(project, infrastructure="bicep")


def test_a_plan_of_bicep_needs_a_role_that_changes_nothing(fresh: Project, cloud: FakeCloud) -> None:
    project = bicep(fresh)
    start(project, "dev", "prod")
    ((number, definition),) = cloud.definitions.items()
    (permissions,) = definition["properties"]["permissions"]
    assert "Microsoft.Resources/deployments/whatIf/action" in permissions["actions"]
    assert all(
        re.fullmatch(r"[\w./]+/(whatIf|validate|exportTemplate)/action", each) for each in permissions["actions"]
    )
    users = {role["principalId"] for role in cloud.roles if role["roleDefinitionId"].endswith(number)}
    assert users == {"principal-of-id-deploy-dev-read", "principal-of-id-deploy-prod-read"}
    before = len(cloud.changes)
    start(project, "dev", "prod")
    assert len(cloud.changes) == before


def test_the_role_for_plans_goes_with_the_last_environment(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    project = bicep(fresh)
    start(project, "dev", "prod")
    start(project, "prod", undo=True)
    assert "the role to preview deployments stays: another environment uses it" in capsys.readouterr().out
    assert cloud.definitions
    start(project, "dev", undo=True)
    assert cloud.contents() == EMPTY


def test_a_new_role_is_waited_for(fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]) -> None:
    grant, refused = cloud.az_role_assignment_create, []

    def refuse_once(one: dict[str, str], many: dict[str, list[str]]) -> object:
        if one["--role"] in cloud.definitions and not refused:
            refused.append(one["--role"])
            raise RefusedError("ERROR: (RoleDefinitionDoesNotExist) The specified role definition does not exist.")
        return grant(one, many)

    cloud.az_role_assignment_create = refuse_once  # type: ignore[method-assign]
    start(bicep(fresh))
    assert "the directory does not know the new role yet" in capsys.readouterr().out
    assert len(refused) == 1


def test_who_may_make_no_role_is_told_who_may(fresh: Project, cloud: FakeCloud) -> None:
    cloud.failures["rest --method put"] = DENIED
    with pytest.raises(UserError, match=r"you may not make a role in subscription Sandbox.* let an Owner"):
        start(bicep(fresh))


def test_test_and_prod_need_an_approval_and_dev_does_not(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "test", "prod")
    assert (cloud.environments["dev"]["reviewers"], branches(cloud.environments["dev"])) == ([], ["main"])
    for name in ("test", "prod"):
        assert (cloud.environments[name]["reviewers"], branches(cloud.environments[name])) == (["7"], ["main"])


@pytest.mark.parametrize(
    ("before", "reviewers", "named"),
    [
        ({"reviewers": ["55"]}, ["55"], ["main"]),
        ({"reviewers": ["55", "66"]}, ["55", "66"], ["main"]),
        ({"policy": "custom", "branches": ["release/*"]}, ["7"], ["release/*"]),
        ({"policy": "custom", "branches": ["main", "release/*"], "reviewers": ["55"]}, ["55"], ["main", "release/*"]),
    ],
)
def test_reviewers_and_branches_that_a_user_chose_stay(
    fresh: Project, cloud: FakeCloud, before: dict[str, Any], reviewers: list[str], named: list[str]
) -> None:
    connected(cloud, private=False)
    cloud.environments["test"] = environment(**before)
    start(fresh, "test")
    there = cloud.environments["test"]
    assert (there["reviewers"], branches(there)) == (reviewers, named)


@pytest.mark.parametrize("reviewers", [[], ["55"]])
def test_an_environment_that_trusted_protected_branches_names_main_from_now_on(
    fresh: Project, cloud: FakeCloud, reviewers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Releases up to 0.9 set that, and whether a ruleset alone protects a branch is written nowhere."""
    connected(cloud, private=False)
    more = {"wait_timer": 30}
    cloud.environments |= {
        "dev": environment(policy="protected"),
        "test": environment(policy="protected", reviewers=reviewers, more=more),
        "test-read": environment(policy="protected"),
    }
    start(fresh, "dev", "test")
    assert "to do  branches of dev: main only" in capsys.readouterr().out
    assert {name: branches(cloud.environments[name]) for name in ("dev", "test", "test-read")} == {
        "dev": ["main"],
        "test": ["main"],
        "test-read": ["main"],
    }
    assert (cloud.environments["test"]["reviewers"], cloud.environments["test"]["more"]) == (reviewers or ["7"], more)
    before = len(cloud.changes)
    start(fresh, "dev", "test", yes=False)
    assert len(cloud.changes) == before


def test_an_environment_that_no_branch_may_use_yet_gets_main(fresh: Project, cloud: FakeCloud) -> None:
    """A run that stopped between its two calls leaves that."""
    connected(cloud, private=False)
    cloud.environments["test"] = environment(policy="custom", reviewers=["55"])
    start(fresh, "test")
    assert branches(cloud.environments["test"]) == ["main"]
    assert cloud.ran("gh api --method PUT repos/ada/a-project/environments/test ") == []


def test_gh_sends_raw_fields_first_so_that_mixed_pairs_of_a_list_would_break() -> None:
    mixed = ["-f", "r[][type]=User", "-F", "r[][id]=1", "-f", "r[][type]=User", "-F", "r[][id]=2"]
    assert elements(sent_fields(mixed), "r") == [{"type": "User"}, {"type": "User", "id": "1"}, {"id": "2"}]
    alike = ["-F" if word == "-f" else word for word in mixed]
    assert elements(sent_fields(alike), "r") == [{"type": "User", "id": "1"}, {"type": "User", "id": "2"}]


def test_what_else_a_user_chose_for_approvals_stays(fresh: Project, cloud: FakeCloud) -> None:
    connected(cloud)
    more = {"wait_timer": 30, "prevent_self_review": True, "can_admins_bypass": False}
    cloud.environments["test"] = environment(reviewers=["55"], more=more)
    start(fresh, "test")
    assert branches(cloud.environments["test"]) == ["main"]
    assert cloud.environments["test"]["more"] == more


def test_a_machine_that_is_signed_in_gets_no_role_of_a_person(fresh: Project, cloud: FakeCloud) -> None:
    cloud.user_type = "servicePrincipal"
    start(fresh)
    assert granted(cloud, PERSON) == set()


def test_a_project_says_where_its_workflows_run_and_its_code_is_to_be() -> None:
    here = HERE
    assert here.orchestration == "github-actions"
    assert re.fullmatch(r"[\w-]+/[a-z0-9-]+", here.repository)


# Existing workspaces.


def existing(project: Project, cloud: FakeCloud) -> Project:
    """The project with workspaces of another owner."""
    write_yaml(project.root / "config" / "dev.yml", configuration("dev", "workspace", "existing"))
    storage = {"storageAccount": "/subscriptions/s/storageAccounts/theirs"}
    cloud.resources = [
        {"group": "rg-dev", "name": "mlw-dev", "type": azure.WORKSPACES, "id": "/the/workspace", "properties": storage},
        {"group": "elsewhere", "name": "the-registry", "type": azure.REGISTRIES, "id": "/the/registry"},
    ]
    return dataclasses.replace(project, infrastructure="existing")


def test_in_an_existing_workspace_the_workflows_get_the_rights_to_use_it_and_no_more(
    fresh: Project, cloud: FakeCloud
) -> None:
    start(existing(fresh, cloud))
    assert granted(cloud, "principal-of-id-deploy-dev") == {
        ("AzureML Data Scientist", "/the/workspace"),
        ("AzureML Registry User", "/the/registry"),
        ("Reader", "/the/workspace"),
        ("Storage Blob Data Contributor", "/subscriptions/s/storageAccounts/theirs"),
        ("Storage File Data Privileged Contributor", "/subscriptions/s/storageAccounts/theirs"),
    }
    assert granted(cloud, "principal-of-id-deploy-dev-read") == {
        ("Reader", "/the/workspace"),
        ("Reader", "/the/registry"),
    }
    assert cloud.registered == {"Microsoft.Cdn", "Microsoft.ManagedIdentity", "Microsoft.PolicyInsights"}
    assert cloud.accounts == {}


def test_a_registry_in_another_subscription_is_left_to_its_owner(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    project = existing(fresh, cloud)
    cloud.resources = cloud.resources[:1]
    start(project)
    assert "AzureML Registry User" not in {name for name, _ in granted(cloud, "principal-of-id-deploy-dev")}
    said = capsys.readouterr().out
    assert "  never  role AzureML Registry User on the-registry for id-deploy-dev" in said
    assert "warning: registry the-registry is not in subscription Sandbox: let its owner grant id-deploy-dev" in said
    start(project, undo=True)
    assert cloud.roles == []


def test_a_dry_run_for_an_existing_workspace_shows_every_role(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(existing(fresh, cloud), dry_run=True)
    said = capsys.readouterr().out
    for scope in ("WORKSPACE_ID", "STORAGE_ACCOUNT_ID", "REGISTRY_ID"):
        assert f"--scope {scope}" in said


def test_a_workspace_that_is_not_there_is_named(fresh: Project, cloud: FakeCloud) -> None:
    project = existing(fresh, cloud)
    cloud.resources = []
    with pytest.raises(
        UserError, match="there is no workspace mlw-dev in resource group rg-dev of subscription Sandbox"
    ):
        start(project)
    assert cloud.changes == []


def test_the_rights_in_an_existing_workspace_go_with_undo(fresh: Project, cloud: FakeCloud) -> None:
    project = existing(fresh, cloud)
    start(project)
    start(project, undo=True)
    assert cloud.roles == []
    assert cloud.groups == {}
    assert len(cloud.resources) == 2


# Subjects.


@pytest.mark.parametrize(
    ("said", "created_at", "subjects"),
    [
        ({"use_default": True, "sub_claim_prefix": IDS, "use_immutable_subject": True}, "2020", [IDS]),
        ({"use_default": True, "sub_claim_prefix": NAMES, "use_immutable_subject": False}, "2026-11", [NAMES]),
        ({"use_default": True, "sub_claim_prefix": IDS, "use_immutable_subject": False}, "2020", [IDS, NAMES]),
        ({"use_default": True, "use_immutable_subject": True}, "2020", [IDS]),
        ({"use_default": True, "use_immutable_subject": False}, "2026-11", [NAMES]),
        ({"use_default": True}, "2026-07-15T00:00:00Z", [IDS]),
        ({"use_default": True}, "2026-07-14T23:59:59Z", [IDS, NAMES]),
        ({"use_default": False, "include_claim_keys": ["repo", "context"]}, "2026-11", [IDS]),
    ],
)
def test_the_subject_is_what_github_sends_and_both_when_it_does_not_say(
    fresh: Project,
    cloud: FakeCloud,
    said: dict[str, Any],
    created_at: str,
    subjects: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud.subject, cloud.created_at = said, created_at
    connected(cloud)
    start(fresh, create_repository=False)
    found = [each["subject"] for each in cloud.credentials["id-deploy-dev"].values()]
    assert found == [f"{subject}:environment:dev" for subject in subjects]
    assert github.expected_prefixes(Shell(fresh.root)) == subjects  # what `mlops doctor` looks for
    assert f"GitHub signs in as {' or '.join(subjects)}:environment:dev" in capsys.readouterr().out


def test_a_subject_of_ones_own_is_refused(fresh: Project, cloud: FakeCloud) -> None:
    connected(cloud)
    cloud.subject = {"use_default": False, "include_claim_keys": ["repository_id"]}
    with pytest.raises(UserError, match=r"a subject of its own .*-F use_default=true"):
        start(fresh)
    assert cloud.changes == []


def test_a_credential_that_was_made_by_hand_is_enough(fresh: Project, cloud: FakeCloud) -> None:
    connected(cloud)
    start(fresh)
    (credential,) = cloud.credentials["id-deploy-dev"].values()
    cloud.credentials["id-deploy-dev"] = {"by-hand": credential | {"name": "by-hand"}}
    start(fresh)
    assert [*cloud.credentials["id-deploy-dev"]] == ["by-hand"]


# Once more, half-way, and back.


@both
def test_a_second_run_has_nothing_to_do(fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]) -> None:
    start(fresh, "dev", "test", "prod")
    before = len(cloud.changes)
    capsys.readouterr()
    start(fresh, "dev", "test", "prod", yes=False)
    assert len(cloud.changes) == before
    assert "Nothing to do." in capsys.readouterr().out


# Of a run for dev and prod; the test below sees when this is wrong.
CHANGES = {"github-actions": 77, "azure-devops": 97}
EACH_CHANGE = [(system, number) for system, changes in CHANGES.items() for number in range(changes)]


@pytest.fixture(scope="module")
def wholes(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What there is in each system after a run for dev and prod that nothing stopped."""
    found = {}
    for system in SYSTEMS:
        root = tmp_path_factory.mktemp("whole")
        project, cloud = written(root, files, system), FakeCloud(root)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mlops.shell.execute", cloud.execute)
            patch.setattr("mlops.shell.shutil.which", lambda program: program)
            start(project, "dev", "prod")
        found[system] = cloud.contents()
    return found


# What a refused change leaves is what the change before it leaves; the undo below begins with each of these.
@pytest.mark.parametrize(("system", "number"), EACH_CHANGE, indirect=["system"])
def test_a_run_that_stopped_anywhere_goes_on_and_ends_the_same(
    fresh: Project,
    cloud: FakeCloud,
    system: str,
    wholes: dict[str, dict[str, object]],
    number: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud.fail_at, cloud.fail_after = number, True
    with pytest.raises(UserError):
        start(fresh, "dev", "prod")
    assert "the same command goes on from here" in capsys.readouterr().out
    # Nothing is done twice: the next run begins after what failed.
    failed, cloud.fail_at = cloud.changes[-1], None
    cloud.log.clear()
    start(fresh, "dev", "prod")
    assert (failed in cloud.changes) <= (failed[:2] == ["git", "add"] or "provider" in failed)
    assert cloud.contents() == wholes[system]


@both
def test_a_run_whose_first_change_was_refused_goes_on_and_ends_the_same(
    fresh: Project, cloud: FakeCloud, system: str, wholes: dict[str, dict[str, object]]
) -> None:
    cloud.fail_at = 0
    with pytest.raises(UserError):
        start(fresh, "dev", "prod")
    assert cloud.contents() == EMPTY
    cloud.fail_at = None
    start(fresh, "dev", "prod")
    assert cloud.contents() == wholes[system]


@both
def test_the_number_of_changes_above_is_right(fresh: Project, cloud: FakeCloud, system: str) -> None:
    start(fresh, "dev", "prod")
    assert len(cloud.changes) == CHANGES[system]


@both
def test_undo_leaves_nothing_but_the_repository(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, "dev", "test", "prod")
    start(fresh, "dev", "test", "prod", undo=True)
    assert cloud.contents() == EMPTY
    assert cloud.branches or cloud.devops.repositories["a-project"]["branches"]
    assert cloud.ran("repo delete") == cloud.ran("repos delete") == cloud.ran("project delete") == []
    capsys.readouterr()
    start(fresh, "dev", "test", "prod", undo=True)
    assert "Nothing to remove." in capsys.readouterr().out


@pytest.mark.parametrize(("system", "number"), EACH_CHANGE, indirect=["system"])
def test_undo_takes_away_what_a_run_that_stopped_has_made(
    fresh: Project, cloud: FakeCloud, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.fail_at = number
    with pytest.raises(UserError):
        start(fresh, "dev", "prod")
    assert "the same command goes on from here" in capsys.readouterr().out
    cloud.fail_at = None
    start(fresh, "dev", "prod", undo=True)
    assert cloud.contents() == EMPTY


@both
def test_an_undo_that_stopped_anywhere_goes_on(fresh: Project, cloud: FakeCloud) -> None:
    number = 0
    while True:
        start(fresh, "dev", "prod")
        cloud.log.clear()
        cloud.fail_at = number
        try:
            start(fresh, "dev", "prod", undo=True)
        except UserError:
            cloud.fail_at = None
            start(fresh, "dev", "prod", undo=True)
        else:
            break
        assert cloud.contents() == EMPTY
        number += 1
    assert number > 15


def test_undo_of_one_environment_leaves_the_others_as_they_are(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, "dev", "prod")
    start(fresh, "dev", undo=True)
    assert (
        "resource group rg-state stays: it holds id-deploy-prod, id-deploy-prod-read, stprod" in capsys.readouterr().out
    )
    assert [*cloud.identities] == ["id-deploy-prod", "id-deploy-prod-read"]
    assert cloud.protection is not None
    start(fresh, "prod", yes=False)
    assert "Nothing to do." in capsys.readouterr().out


def test_undo_leaves_what_another_user_made(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    connected(cloud)
    cloud.registered |= {"Microsoft.Cdn", "Microsoft.ManagedIdentity", "Microsoft.PolicyInsights"}
    cloud.groups["rg-state"] = {"name": "rg-state", "tags": None}
    ids = {"clientId": "client-of-id-deploy-dev", "principalId": "principal-of-id-deploy-dev"}
    place = {"name": "id-deploy-dev", "group": "rg-state", "type": IDENTITIES}
    cloud.identities["id-deploy-dev"] = {**place, "tags": {}, **ids}
    issuer, name = "https://token.actions.githubusercontent.com", "github-dev-by-name"
    theirs = [
        {"name": "by-hand", "issuer": issuer, "subject": f"{NAMES}:environment:dev"},
        {"name": name, "issuer": issuer, "subject": "repo:another@1/owner@2:environment:dev"},
    ]
    cloud.credentials["id-deploy-dev"] = {each["name"]: each for each in theirs}
    cloud.environments["dev"] = environment(variables={"THEIRS": "1"}, secrets=1)
    cloud.protection = {"required_pull_request_reviews": {"required_approving_review_count": 2}}
    start(fresh)
    assert len(cloud.credentials["id-deploy-dev"]) == 3
    capsys.readouterr()
    start(fresh, undo=True)
    assert [*cloud.groups] == ["rg-state"]
    assert [*cloud.identities] == ["id-deploy-dev"]
    assert [*cloud.credentials["id-deploy-dev"].values()] == theirs
    assert cloud.environments["dev"]["variables"] == {"THEIRS": "1"}
    assert cloud.protection
    assert cloud.accounts == {}
    # It is unknown who granted its roles, so each is named with what takes it away.
    said = capsys.readouterr().out
    assert {role["scope"] for role in cloud.roles} == {f"/subscriptions/{SUBSCRIPTION}"}
    for role in cloud.roles:
        assert f"`az role assignment delete --ids {role['id']}` removes it" in said
    assert said.count("  stays  role ") == len(cloud.roles) == 2


def test_undo_leaves_and_names_ones_own_role_on_another_owners_account(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh)
    cloud.accounts["stdev"]["tags"] = {}
    start(fresh, undo=True)
    assert granted(cloud, PERSON) == {("Storage Blob Data Contributor", STATE)}
    assert "  stays  role Storage Blob Data Contributor on storage account stdev for you" in capsys.readouterr().out


@pytest.mark.parametrize(
    "rules", [{"reviewers": ["55"]}, {"policy": "custom", "branches": ["x"]}, {"more": {"wait_timer": 30}}]
)
def test_undo_keeps_an_environment_that_was_there_before(
    fresh: Project, cloud: FakeCloud, rules: dict[str, Any]
) -> None:
    connected(cloud)
    cloud.environments["dev"] = environment(**rules)
    start(fresh)
    start(fresh, undo=True)
    # The rule for branches stays, too, as in test and prod.
    assert cloud.environments == {"dev": environment(**{"policy": "custom", "branches": ["main"], **rules})}


@both
@pytest.mark.parametrize("kind", [ACCOUNTS, "Microsoft.Compute/virtualMachines/extensions"])
def test_undo_keeps_a_group_that_holds_something_else(fresh: Project, cloud: FakeCloud, kind: str) -> None:
    start(fresh)
    cloud.resources = [{"group": "rg-state", "name": "theirs", "type": kind, "tags": None}]
    start(fresh, undo=True)
    assert [*cloud.groups] == ["rg-state"]


OTHERS = {"AZURE_CLIENT_ID": "by-hand", "AZURE_TENANT_ID": TENANT, "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION}


def test_undo_keeps_ids_that_another_user_set(fresh: Project, cloud: FakeCloud) -> None:
    connected(cloud)
    cloud.environments["dev"] = environment(variables=dict(OTHERS))
    start(fresh, undo=True)
    assert cloud.environments["dev"]["variables"] == OTHERS


@both
def test_undo_goes_on_where_the_resource_group_was_deleted(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    cloud.groups, cloud.identities, cloud.credentials, cloud.accounts, cloud.roles = {}, {}, {}, {}, []
    start(fresh, undo=True)
    assert cloud.contents() == EMPTY


def test_an_environment_that_github_made_for_a_workflow_is_taken_over(fresh: Project, cloud: FakeCloud) -> None:
    connected(cloud)
    cloud.environments["dev"] = environment()
    start(fresh)
    assert "gh api --method PUT repos/ada/a-project/environments/dev" not in cloud.ran("PUT")
    start(fresh, undo=True)
    assert cloud.environments == {}


@pytest.mark.parametrize(("variables", "secrets"), [({"THEIRS": "1"}, 0), (OTHERS, 0), ({}, 1)])
def test_undo_keeps_an_environment_that_holds_more(
    fresh: Project, cloud: FakeCloud, variables: dict[str, str], secrets: int, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh)
    cloud.environments["dev"]["variables"] |= variables
    cloud.environments["dev"]["secrets"] = secrets
    start(fresh, undo=True)
    assert "warning: the environment dev stays: it has other variables or secrets" in capsys.readouterr().out
    assert cloud.environments["dev"]["variables"] == variables
    start(fresh, undo=True)
    assert "Nothing to remove." in capsys.readouterr().out


@both
def test_undo_keeps_the_state_of_resources_that_are_still_there(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    cloud.groups["rg-dev"] = {"name": "rg-dev", "tags": {}}
    before = len(cloud.changes)
    with pytest.raises(UserError, match=r"rg-dev is still there.*mlops teardown --environment dev --all"):
        start(fresh, undo=True)
    assert len(cloud.changes) == before


def test_a_condition_that_no_longer_fits_the_roles_is_renewed(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    path = fresh.root / "infrastructure" / "shared" / "roles.yml"
    document = load_yaml(path)
    document["roles"]["another"] = "11111111-1111-1111-1111-111111111111"
    write_yaml(path, document)
    cloud.log.clear()
    start(fresh)
    assert [line.split()[:4] for line in cloud.ran("az")] == [
        ["az", "role", "assignment", "delete"],
        ["az", "role", "assignment", "create"],
    ]
    assert "11111111-1111" in cloud.ran("create")[0]


def test_a_role_without_its_condition_is_narrowed(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    for role in cloud.roles:
        role["condition"] = None
    start(fresh)
    assert len([role for role in cloud.roles if role["condition"]]) == 1


def test_a_new_identity_is_waited_for(fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.unknown_for = 3
    start(fresh)
    assert capsys.readouterr().out.count("the directory does not know the new identity yet") == 1
    assert len(granted(cloud, "principal-of-id-deploy-dev")) == 4


def test_but_not_forever(fresh: Project, cloud: FakeCloud) -> None:
    cloud.unknown_for = 1000
    with pytest.raises(UserError, match="PrincipalNotFound"):
        start(fresh)


# Asking and saying.


def test_the_plan_is_shown_and_one_question_asked_before_anything_is_changed(
    fresh: Project, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = on_a_terminal(monkeypatch, False, cloud)
    cloud.groups["rg-state"] = {"name": "rg-state", "tags": None}
    with pytest.raises(UserError, match="nothing was changed"):
        start(fresh, yes=False)
    shown = capsys.readouterr().out
    assert f"Azure: subscription Sandbox ({SUBSCRIPTION}), tenant {TENANT}, ada@example.com" in shown
    assert "GitHub: ada/a-project, new and private, ada" in shown
    assert "  done   resource group rg-state" in shown
    assert "  to do  identity id-deploy-dev" in shown
    assert "role Storage Blob Data Contributor on storage account stdev for you" in shown
    assert len(asked) == 1
    assert cloud.changes == []


def test_yes_goes_ahead_and_each_step_is_one_line(
    fresh: Project, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = on_a_terminal(monkeypatch, True, cloud)
    start(fresh, yes=False)
    assert len(asked) == 1
    steps = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert steps[0] == "[ 1/29] uv.lock, which the workflows insist on"
    assert steps[-1].startswith("[29/29] protection of main")
    assert len(steps) == 29


@both
def test_undo_asks_too(
    fresh: Project, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh)
    cloud.log.clear()
    asked = on_a_terminal(monkeypatch, False, cloud)
    with pytest.raises(UserError, match="nothing was changed"):
        start(fresh, undo=True, yes=False)
    assert "  to go  storage account stdev" in capsys.readouterr().out
    assert len(asked) == 1


@both
@pytest.mark.parametrize("undo", [False, True])
def test_without_a_terminal_it_needs_yes(fresh: Project, cloud: FakeCloud, undo: bool) -> None:
    if undo:
        start(fresh)
        cloud.log.clear()
    with pytest.raises(UserError, match="--yes"):
        start(fresh, undo=undo, yes=False)
    assert cloud.changes == []


@pytest.mark.parametrize("undo", [False, True])
def test_a_dry_run_shows_the_commands_and_does_not_ask(
    fresh: Project, cloud: FakeCloud, undo: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, "dev", "prod", dry_run=True, undo=undo, yes=False)
    assert cloud.log == []
    assert not (fresh.root / "uv.lock").exists()
    shown = capsys.readouterr().out
    wanted = ["az identity delete --name id-deploy-dev", "gh api --method DELETE repos/ada/a-project/environments/prod"]
    if not undo:
        wanted = ["az identity create --name id-deploy-dev", "gh variable set AZURE_CLIENT_ID --body CLIENT_ID"]
    for words in wanted:
        assert words in shown


@both
def test_a_dry_run_shows_the_commands_that_a_run_gives(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, "dev", "prod", dry_run=True)
    shown = [line.split()[:4] for line in capsys.readouterr().out.splitlines() if re.match(r"(az|gh|git|uv) ", line)]
    start(fresh, "dev", "prod")
    assert [line[0] for line in shown] == [line[0] for line in cloud.changes]


@both
def test_no_command_makes_or_shows_a_secret(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(fresh, "dev", "test", "prod")
    start(fresh, "dev", "test", "prod", undo=True)
    text = capsys.readouterr().out + "\n".join(" ".join(line) for line in cloud.log)
    harmless = (
        r"Only ids are stored, no secret",
        r"/environments/[\w-]+/secrets",
        r"password=\$\(az account get-access-token [^)]*\)",  # which Git runs itself, and does not show
        r"\btoken=(repoV2|vstfs)",  # what Azure DevOps calls the place that a right is for
    )
    text = re.sub("|".join(harmless), "", text)
    assert not re.search(
        r"(?i)secret|password|(?<!azuread)token(?!\.actions)|credential reset|keys list|--sas|connection-string", text
    )


def test_the_end_says_what_to_do_next(fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]) -> None:
    start(fresh, "dev", "test")
    shown = capsys.readouterr().out
    assert "GitHub builds dev now, trains and deploys the first model: `gh run watch`" in shown
    assert "Next: `gh workflow run infrastructure.yml -f environment=test -f action=apply`" in shown
    start(fresh)
    assert "-f environment=dev -f action=apply" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "now", "exposed"),
    [
        ((), ("dev", "test", "prod"), "test and prod"),
        (("dev",), ("prod",), "prod"),
        (("prod",), ("dev",), "prod"),
        ((), ("dev",), ""),
        ((), ("test", "prod"), ""),
    ],
)
def test_what_any_branch_can_change_in_a_shared_subscription_is_said(
    fresh: Project,
    cloud: FakeCloud,
    before: tuple[str, ...],
    now: tuple[str, ...],
    exposed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in before:
        start(fresh, name)
    (fresh.root / "config" / "stage.yml").write_text("x", encoding="utf-8")  # of no concern to the others
    capsys.readouterr()
    start(fresh, *now)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Every user who may push")]
    assert len(said) == bool(exposed)
    for line in said:
        assert f"can also read {exposed} in this subscription, and code on main that runs in dev can change" in line
        assert "a subscription for each is safer" in line
    start(fresh, *now, undo=True)
    assert "Every user who may push" not in capsys.readouterr().out


def test_in_an_existing_workspace_no_identity_can_change_another_environment(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    project = existing(fresh, cloud)
    write_yaml(fresh.root / "config" / "prod.yml", configuration("prod", "registry", "existing"))
    cloud.identities["id-deploy-prod"] = {"group": "rg-state", "tags": {}, "principalId": "another"}
    start(project)
    assert "Every user who may push" not in capsys.readouterr().out


def test_a_private_network_needs_runners_inside_it(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(closed(fresh))
    assert "labelled mlops-dev, and set the variable MLOPS_RUNNER" in capsys.readouterr().out


# The repository.


def test_without_a_repository_it_says_how_to_get_one(fresh: Project, cloud: FakeCloud) -> None:
    with pytest.raises(UserError, match="uv run mlops bootstrap --create-repository"):
        start(fresh, create_repository=False)
    assert cloud.changes == []


def test_a_repository_that_is_there_is_used_and_not_pushed_to(fresh: Project, cloud: FakeCloud) -> None:
    connected(cloud)
    start(fresh, create_repository=False)
    assert not [line for line in cloud.changes if line[0] == "git"]
    assert cloud.environments["dev"]["variables"]


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/ada/a-project",
        "https://github.com/ada/a-project.git",
        "https://ada@github.com/ada/a-project.git/",
        "git@github.com:ada/a-project.git",
        "ssh://git@github.com/ada/a-project.git",
    ],
)
def test_the_remote_says_which_repository_it_is(fresh: Project, cloud: FakeCloud, remote: str) -> None:
    connected(cloud)
    cloud.origin = remote
    start(dataclasses.replace(fresh, repository="another/owner"), create_repository=False)
    assert cloud.environments["dev"]["variables"]


def test_a_repository_that_was_made_and_is_still_empty_is_filled(fresh: Project, cloud: FakeCloud) -> None:
    cloud.create_repository("ada/a-project")
    start(fresh)
    assert cloud.ran("gh repo create") == []
    assert cloud.ran("git remote add") == ["git remote add origin https://github.com/ada/a-project.git"]
    assert cloud.branches == {"main": "1"}


@both
def test_an_own_commit_stays_and_only_the_lock_file_is_added(fresh: Project, cloud: FakeCloud) -> None:
    cloud.top, cloud.head, cloud.tracked = str(fresh.root), "9", ["pyproject.toml"]
    start(fresh)
    assert cloud.ran("git init") == []
    assert cloud.ran("git add") == ["git add uv.lock"]
    assert cloud.ran("git commit") == ["git commit --message Lock the dependencies -- uv.lock"]


def test_a_push_over_https_uses_the_sign_in_of_gh_and_over_ssh_that_of_ssh(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh)
    assert "credential.https://github.com.helper=!gh auth git-credential" in cloud.ran(" push ")[0]
    # A push over SSH needs no scope for workflows.
    cloud.branches, cloud.origin, cloud.protection, cloud.repository = {}, "", None, None
    cloud.protocol, cloud.scopes = "ssh", "repo"
    cloud.log.clear()
    start(fresh)
    assert cloud.ran("push") == ["git push --set-upstream origin main"]


def test_main_that_is_not_pushed_yet_cannot_be_protected(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    connected(cloud)
    cloud.branches.clear()
    start(fresh, create_repository=False)
    assert "warning: main is not protected, because it is not on GitHub yet" in capsys.readouterr().out


@pytest.mark.parametrize("rules", [[{"type": "pull_request"}], []])
def test_a_ruleset_of_the_organisation_is_protection_enough(
    fresh: Project, cloud: FakeCloud, rules: list[dict[str, Any]]
) -> None:
    connected(cloud)
    cloud.rules = rules
    start(fresh, create_repository=False)
    assert (cloud.protection is None) == bool(rules)


@pytest.mark.parametrize(("jobs", "checks"), [(["Project"], {"contexts": ["Project"]}), (["Mine"], None)])
def test_a_check_that_no_workflow_reports_is_not_waited_for(
    fresh: Project, cloud: FakeCloud, jobs: list[str], checks: dict[str, list[str]] | None
) -> None:
    path = fresh.root / ".github" / "workflows" / "pull-request.yml"
    write_yaml(path, {"jobs": {name.lower(): {"name": name} for name in jobs}})
    start(fresh)
    assert cloud.protection is not None
    assert cloud.protection["required_status_checks"] == checks


@pytest.mark.parametrize(
    ("plan", "reviewers", "named", "protected"),
    [("enterprise", ["7"], ["main"], True), ("team", [], ["main"], True), ("free", [], "", False)],
)
def test_what_githubs_plan_lacks_is_a_warning_and_no_failure(
    fresh: Project,
    cloud: FakeCloud,
    plan: str,
    reviewers: list[str],
    named: list[str] | str,
    protected: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud.plan = plan
    start(fresh, "prod")
    shown = capsys.readouterr().out
    assert (cloud.environments["prod"]["reviewers"], branches(cloud.environments["prod"])) == (reviewers, named)
    assert (cloud.protection is not None) == protected
    assert ("warning: prod is changed without approval" in shown) == (not reviewers)
    assert ("warning: GitHub's plan has no protection" in shown) == (not protected)
    before = len(cloud.changes)
    start(fresh, "prod", yes=False)
    shown = capsys.readouterr().out
    assert "Nothing to do." in shown
    assert ("  never  approvals for prod" in shown) == (not reviewers)
    assert len(cloud.changes) == before


@pytest.mark.parametrize(("private", "said"), [(True, 1), (False, 0)])
def test_what_a_private_repository_needs_of_githubs_plan_is_said_before_the_question(
    fresh: Project, cloud: FakeCloud, private: bool, said: int, capsys: pytest.CaptureFixture[str]
) -> None:
    connected(cloud, private=private)
    with pytest.raises(UserError, match="--yes"):
        start(fresh, "prod", yes=False)
    shown = capsys.readouterr().out
    assert shown.count("only by a manual run of deliver.yml with its version and hash typed") == said
    assert cloud.changes == []


def test_a_public_repository_has_approvals_with_every_plan(fresh: Project, cloud: FakeCloud) -> None:
    connected(cloud, private=False)
    cloud.plan = "team"
    cloud.environments["prod"] = environment(policy="protected")
    start(fresh, "prod")
    assert cloud.environments["prod"]["reviewers"] == ["7"]


# Errors: one line that names the remedy, and nothing changed that could have been known before.


def other_repository(cloud: FakeCloud) -> None:
    """The name is in use, by other code."""
    cloud.create_repository("ada/a-project")
    cloud.branches["main"] = "another's"


def other_history(cloud: FakeCloud) -> None:
    """Another user has pushed something else in the meantime."""
    connected(cloud)
    cloud.branches = {"develop": "x"}
    cloud.failures["git push"] = " ! [rejected] main -> main (fetch first)"


def other_subscription(cloud: FakeCloud) -> None:
    """The environment on GitHub was connected to another subscription."""
    connected(cloud)
    variables = {"AZURE_SUBSCRIPTION_ID": "11111111-1111-1111-1111-111111111111"}
    cloud.environments["dev"] = environment(variables=variables)


def not_an_admin(cloud: FakeCloud) -> None:
    """The repository is there, and its owner lets this user push and no more."""
    connected(cloud)
    assert cloud.repository is not None
    cloud.repository["permissions"] = {"admin": False, "push": True}


def public_and_refused(cloud: FakeCloud) -> None:
    """The repository is public, so that no plan is in the way."""
    connected(cloud, private=False)
    cloud.failures["PUT repos/ada/a-project/environments/dev"] = "gh: Not Found (HTTP 404)"


def workflow(text: str) -> Callable[[FakeCloud], None]:
    """The workflow of pull requests was rewritten."""

    def prepare(cloud: FakeCloud) -> None:
        (cloud.root / ".github" / "workflows" / "pull-request.yml").write_text(text, encoding="utf-8")

    return prepare


def within_another(cloud: FakeCloud) -> None:
    """The project lies inside another repository."""
    cloud.top = str(cloud.root.parent)


def on_master(cloud: FakeCloud) -> None:
    """Git's old name of the first branch."""
    cloud.top, cloud.branch = str(cloud.root), "master"


def elsewhere(cloud: FakeCloud) -> None:
    """The code is hosted elsewhere."""
    cloud.top, cloud.head, cloud.origin = str(cloud.root), "1", "https://example.com/ada/a-project.git"


@pytest.mark.parametrize(
    ("prepare", "words", "early"),
    [
        (fail("account show", "ERROR: Please run 'az login' to setup account."), "run `az login`", True),
        (
            fail("az group show", "ERROR: AADSTS50020: User does not exist in tenant."),
            f"run `az login --tenant {TENANT}`",
            True,
        ),
        (fail("role assignment create", DENIED), "you need to be its Owner, or Contributor and Role Based", False),
        (fail("group create", "ERROR: (RequestDisallowedByPolicy) no tags"), "a policy of your organisation", False),
        (set_to(taken={"stdev"}), "choose another one for terraform_state.storage_account in config/dev.yml", True),
        (
            fail("account create", "ERROR: (StorageAccountAlreadyTaken) The storage account named stdev is taken."),
            "choose another one for terraform_state.storage_account in config/dev.yml",
            False,
        ),
        (fail("gh api", "To get started with GitHub CLI, please run:  gh auth login"), "run `gh auth login`", True),
        (fail("gh api", "gh: Bad credentials (HTTP 401)"), "run `gh auth login`", True),
        (
            set_to(scopes="gist"),
            "lacks the scope repo: run `gh auth refresh --hostname github.com --scopes repo`",
            True,
        ),
        (set_to(scopes="repo"), "lacks the scope workflow: run `gh auth refresh", True),
        (
            fail("push", "refusing to allow an OAuth App to create or update workflow without `workflow` scope"),
            "lacks the scope workflow",
            False,
        ),
        (fail("repo create", "GraphQL: ada cannot create a repository for acme."), "you need to be its admin", False),
        (fail("environments/dev", "gh: Must have admin rights (HTTP 403)"), "you need to be its admin", False),
        (fail("PUT repos/ada/a-project/environments/dev", "gh: Not Found (HTTP 404)"), "has no environments", False),
        (fail("git commit", "*** Please tell me who you are."), "git config --global user.name NAME", False),
        (public_and_refused, "gh: Not Found (HTTP 404)", False),
        (not_an_admin, "you may not set up ada/a-project: you need to be its admin", True),
        (workflow("jobs: [lint]\n"), "pull-request.yml: jobs: each job is an id", True),
        (workflow("jobs:\n  lint:\n"), "pull-request.yml: jobs: each job is an id", True),
        (other_repository, "ada/a-project is on GitHub already, with commits of its own", True),
        (other_history, "run `git pull --rebase origin main`", False),
        (other_subscription, "run `az account set --subscription 11111111-1111-1111-1111-111111111111`", True),
        (within_another, "the project lies inside another Git repository", True),
        (on_master, "run `git branch -m main`", True),
        (elsewhere, "the remote origin is not a repository on github.com", True),
    ],
)
def test_each_error_is_one_line_with_its_remedy(
    fresh: Project, cloud: FakeCloud, prepare: Callable[[FakeCloud], None], words: str, early: bool
) -> None:
    fails(fresh, cloud, prepare, words, early=early)


@pytest.mark.parametrize("program", ["az", "gh"])
def test_a_program_that_is_missing_is_named_with_where_to_get_it(
    fresh: Project, cloud: FakeCloud, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.shell.shutil.which", lambda name: None if name == program else name)
    with pytest.raises(UserError, match=f"{program} is not installed: see https://"):
        start(fresh)
    assert cloud.changes == []


def test_a_person_whom_the_directory_does_not_show_goes_without_the_role(fresh: Project, cloud: FakeCloud) -> None:
    cloud.failures["signed-in-user"] = "ERROR: Insufficient privileges to complete the operation."
    start(fresh)
    assert granted(cloud, PERSON) == set()


@pytest.mark.parametrize(
    ("changes", "words"), [({"repository": ""}, "OWNER/NAME"), ({"orchestration": "x"}, "'x' is not")]
)
def test_a_choice_that_is_missing_or_unknown_is_refused(
    fresh: Project, cloud: FakeCloud, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        start(dataclasses.replace(fresh, **changes))  # type: ignore[arg-type]
    assert cloud.changes == []


def test_an_unknown_environment_is_refused(fresh: Project, cloud: FakeCloud) -> None:
    with pytest.raises(UserError, match="unknown environment 'stage'"):
        start(fresh, "dev", "stage")
    assert cloud.log == []


def test_the_first_environment_can_be_read_from_every_branch_whatever_its_name(
    fresh: Project, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dev", "test", "prod"):
        (fresh.root / "config" / f"{name}.yml").unlink()
    for name in ("sandbox", "live"):
        settings = configuration(name, "workspace")
        settings["terraform_state"] |= {"storage_account": f"st{name}", "container": "tfstate"}
        write_yaml(fresh.root / "config" / f"{name}.yml", settings)
    start(dataclasses.replace(fresh, environment_order=("sandbox", "live")), "sandbox", "live")
    policies = {name: (there["reviewers"], branches(there)) for name, there in cloud.environments.items()}
    assert policies == {
        "sandbox": ([], ["main"]),
        "sandbox-read": ([], ""),
        "live": (["7"], ["main"]),
        "live-read": ([], ["main"]),
    }
    shown = capsys.readouterr().out
    assert "can also read live in this subscription" in shown
    assert "GitHub builds sandbox now" in shown
    assert "-f environment=live -f action=apply" in shown


@both
def test_an_environment_named_twice_is_prepared_once(fresh: Project, cloud: FakeCloud) -> None:
    start(fresh, "dev", "dev")
    assert len(cloud.ran("az identity create")) == 2


# One of several projects in a repository.


@pytest.fixture
def two(tmp_path: Path, files: dict[str, str], cloud: FakeCloud) -> tuple[Project, Project]:
    """Two projects in folders of one repository that is on GitHub, with the copies of their workflows at its top."""
    top = tmp_path / "repository"
    (top / ".git").mkdir(parents=True)
    (top / ".github" / "workflows").mkdir(parents=True)
    projects = []
    for folder in ("flights", "topics"):
        names = {
            "id-deploy": f"id-{folder}",
            "rg-state": f"rg-{folder}",
            "-shared": f"-shared-{folder}",
            "account: st": f"account: {folder}",
            "online-": f"online-{folder}-",
            **{f"rg-{name}": f"rg-{folder}-{name}" for name in ("dev", "test", "prod")},
        }
        own = dict(files)
        for old, new in names.items():
            own = {name: text.replace(old, new) for name, text in own.items()}
        projects.append(written(top / folder, own))
        orchestration.of(projects[-1]).write_copies(projects[-1])
    cloud.create_repository("ada/a-project", private=True)
    cloud.top, cloud.head, cloud.origin = str(top), "1", "git@github.com:ada/a-project.git"
    cloud.branches["main"] = "1"
    return projects[0], projects[1]


def test_two_projects_in_a_repository_share_no_environment_identity_or_trust(
    two: tuple[Project, Project], cloud: FakeCloud
) -> None:
    for project in two:
        start(project, "dev", "test", create_repository=False)
    names = ("dev", "dev-read", "test", "test-read")
    assert sorted(cloud.environments) == [f"{project}-{name}" for project in ("flights", "topics") for name in names]
    for project in ("flights", "topics"):
        for name in names:
            identity = f"id-{project}-{name}"
            assert cloud.environments[f"{project}-{name}"]["variables"]["AZURE_CLIENT_ID"] == f"client-of-{identity}"
            subjects = {each["subject"] for each in cloud.credentials[identity].values()}
            assert subjects == {f"{IDS}:environment:{project}-{name}"}
    assert cloud.environments["topics-test"]["reviewers"]
    # A pull request to the other project runs none of a project's jobs, and would wait for them forever.
    assert cloud.protection is not None
    assert cloud.protection["required_status_checks"] is None


def test_a_second_run_for_one_of_two_projects_changes_nothing(two: tuple[Project, Project], cloud: FakeCloud) -> None:
    for project in two:
        start(project, create_repository=False)
    before = len(cloud.changes)
    for project in two:
        start(project, create_repository=False)
    assert len(cloud.changes) == before


def test_undo_of_one_project_leaves_the_other_and_the_protection(
    two: tuple[Project, Project], cloud: FakeCloud
) -> None:
    start(two[1], create_repository=False)
    before = copy.deepcopy(cloud.contents())
    start(two[0], create_repository=False)
    start(two[0], undo=True, create_repository=False)
    assert cloud.contents() == before
    assert cloud.protection is not None


def test_a_project_in_a_folder_without_its_copies_is_not_connected(
    two: tuple[Project, Project], cloud: FakeCloud
) -> None:
    for path in (two[0].root.parent / ".github" / "workflows").glob("flights-*"):
        path.unlink()
    with pytest.raises(UserError, match="where GitHub reads no workflows: run `uv run mlops workflows`"):
        start(two[0], create_repository=False)
    assert cloud.changes == []


def test_a_project_in_a_folder_that_workflows_cannot_name_is_not_connected(
    two: tuple[Project, Project], cloud: FakeCloud
) -> None:
    moved = dataclasses.replace(two[0], root=two[0].root.rename(two[0].root.with_name("my flights")))
    with pytest.raises(UserError, match="the project's folder is my flights: use letters, digits"):
        start(moved, create_repository=False)
    assert cloud.changes == []


def test_the_next_commands_name_the_copies(
    two: tuple[Project, Project], cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    start(two[0], create_repository=False)
    assert "gh workflow run flights-infrastructure.yml -f environment=dev -f action=apply" in capsys.readouterr().out
