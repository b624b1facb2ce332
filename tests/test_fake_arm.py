"""The Azure of fake_arm.py by itself: what it answers and refuses over HTTP, and Bicep's deployments in it, twice."""

import copy
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bicep_eval import Resource, evaluate
from combinations import add_on_sets, with_add_ons
from conftest import Render
from fake_arm import DEPLOYER, ML, STUDIO, SUBSCRIPTION, TENANT, WRITTEN, Azure, FakeArm, RefusalError

NONE, ALL = add_on_sets()[:2]
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/st"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv"
LOCK = "Microsoft.Authorization/locks/cannot-delete"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
DECISIONS = yaml.safe_load(Path(__file__).with_name("azure_writes.yml").read_text(encoding="utf-8"))

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Send a request as the provider does, in a subscription with a group, an account, an identity and a vault."""
    with FakeArm(tmp_path_factory.mktemp("arm")) as arm:
        trust = ssl.create_default_context(cafile=arm.variables["SSL_CERT_FILE"])
        base = f"https://{arm.variables['ARM_METADATA_HOSTNAME']}"

        def ask(method: str, path: str, body: Any = None, *, signed: bool = True) -> tuple[int, Any]:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": "Bearer x"} if signed else {}
            mark = "&" if "?" in path else "?"
            address = f"{base}{path}{mark}api-version=2026-01-01"
            request = urllib.request.Request(address, data, headers, method=method)
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
            )
            try:
                with opener.open(request) as answer:
                    return answer.status, json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())["error"]["code"]

        for name in ("Storage", "ManagedIdentity", "KeyVault", "MachineLearningServices"):
            ask("POST", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.{name}/register")
        ask("PUT", GROUP, {"location": "westeurope"})
        ask("PUT", ACCOUNT, account())
        ask("PUT", IDENTITY, {"location": "westeurope"})
        yield ask


def account(**properties: Any) -> dict[str, Any]:
    return {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "properties": properties}


def test_it_signs_every_caller_in_and_says_where_azure_is(ask: Ask) -> None:
    status, answer = ask("POST", f"/{TENANT}/oauth2/v2.0/token", {})
    assert (status, answer["token_type"]) == (200, "Bearer")
    _, clouds = ask("GET", "/metadata/endpoints")
    assert clouds["resourceManager"] == clouds["authentication"]["loginEndpoint"]


def test_what_is_put_is_there_and_what_is_not_is_not_found(ask: Ask) -> None:
    assert ask("GET", ACCOUNT)[1]["properties"]["networkAcls"]["defaultAction"] == "Allow"
    assert ask("GET", f"{ACCOUNT}x") == (404, "ResourceNotFound")
    assert ask("GET", f"{GROUP}x") == (404, "ResourceGroupNotFound")
    assert ask("PUT", f"{GROUP}x/providers/Microsoft.Storage/storageAccounts/other", account())[0] == 404
    assert ask("PUT", f"{GROUP}/providers/Microsoft.Insights/components/x", {}) == (
        409,
        "MissingSubscriptionRegistration",
    )


def test_cors_rules_that_are_sent_replace_all_and_what_is_not_sent_stays(ask: Ask) -> None:
    service = f"{ACCOUNT}/blobServices/default"
    rule = {"allowedOrigins": ["https://example.com"]}
    ask("PUT", service, {"properties": {"isVersioningEnabled": True, "cors": {"corsRules": [rule]}}})
    assert ask("PUT", service, {"properties": {}})[1]["properties"]["cors"] == {"corsRules": [rule]}
    found = ask("PUT", service, {"properties": {"cors": {}}})[1]["properties"]
    assert found["cors"] == {"corsRules": []}
    assert found["isVersioningEnabled"]


def test_a_lock_keeps_a_resource_and_what_is_on_it(ask: Ask) -> None:
    role = f"{ACCOUNT}/providers/Microsoft.Authorization/roleAssignments/11111111-0000-0000-0000-000000000000"
    principal = ask("GET", IDENTITY)[1]["properties"]["principalId"]
    right = {"roleDefinitionId": f"/x/{CONTRIBUTOR}", "principalId": principal, "principalType": "ServicePrincipal"}
    assert ask("PUT", role, {"properties": right})[0] == 200
    assert ask("PUT", role.replace("/1111", "/2222"), {"properties": right}) == (409, "RoleAssignmentExists")
    ask("PUT", f"{ACCOUNT}/providers/{LOCK}", {"properties": {"level": "CanNotDelete"}})
    assert ask("DELETE", role) == ask("DELETE", ACCOUNT) == ask("DELETE", GROUP) == (409, "ScopeLocked")
    assert ask("DELETE", f"{ACCOUNT}/providers/{LOCK}")[0] == 200
    assert ask("DELETE", role)[0] == 200
    assert ask("DELETE", role)[0] == 204


def test_a_new_identity_is_in_the_directory_for_those_alone_who_name_its_type(ask: Ask) -> None:
    role = f"{ACCOUNT}/providers/Microsoft.Authorization/roleAssignments/33333333-0000-0000-0000-000000000000"
    principal = ask("GET", IDENTITY)[1]["properties"]["principalId"]
    right = {"roleDefinitionId": f"/x/{CONTRIBUTOR}", "principalId": principal}
    assert ask("PUT", role, {"properties": right}) == (400, "PrincipalNotFound")
    assert ask("PUT", role, {"properties": right | {"principalType": "User"}}) == (400, "UnmatchedPrincipalType")


def test_a_deleted_vault_keeps_its_name_until_it_is_recovered(ask: Ask) -> None:
    acls = {"bypass": "AzureServices", "defaultAction": "Allow"}
    sent: dict[str, Any] = {
        "location": "westeurope",
        "properties": {"networkAcls": acls, "enablePurgeProtection": True},
    }
    assert ask("PUT", VAULT, sent)[0] == 200
    ask("DELETE", VAULT)
    assert ask("PUT", VAULT, sent) == (409, "ConflictError")
    recovering = {**sent, "properties": {**sent["properties"], "createMode": "recover"}}
    assert ask("PUT", VAULT, recovering)[0] == 200
    refused = {**sent, "properties": {**sent["properties"], "enablePurgeProtection": False}}
    assert ask("PUT", VAULT, refused) == (400, "BadRequest")


def test_a_second_rule_for_a_host_is_refused() -> None:
    """The careful guess: so a project deletes the one before it makes the other."""
    azure = Azure()
    workspace = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw"
    mode = {"managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound"}}
    azure.resources[workspace.lower()] = {"id": workspace, "properties": mode}
    azure.registered.add("microsoft.machinelearningservices")
    sent = {"properties": {"type": "FQDN", "destination": "a.example.com"}}
    for name in ("host-0", "host-0"):
        azure.put(f"{workspace}/outboundRules/{name}", copy.deepcopy(sent))
    with pytest.raises(RefusalError, match="host-0 has that destination"):
        azure.put(f"{workspace}/outboundRules/host-a_example_com", copy.deepcopy(sent))
    azure.delete(f"{workspace}/outboundRules/host-0", {})
    azure.put(f"{workspace}/outboundRules/host-a_example_com", copy.deepcopy(sent))


# Bicep, as bicep_eval works it out: what a second deployment does to what Azure has written in the meantime.


def deploy(azure: Azure, resources: list[Resource]) -> None:
    """Put each resource as soon as Azure accepts it, which stands for the order that the deployment has."""
    pending, refused = list(resources), [""]
    while pending and refused:
        later, refused = [], []
        for each in pending:
            try:
                azure.put(each.id, resolved(azure, each.body))
            except RefusalError as refusal:
                later.append(each)
                refused.append(f"{each.id}: {refusal.message}")
        if len(later) == len(pending):
            raise AssertionError("\n".join(refused))
        pending = later


def resolved(azure: Azure, value: Any) -> Any:
    """A body with the values of other resources, which the evaluator leaves as `<id>.properties.<name>`."""
    if isinstance(value, dict):
        return {key: resolved(azure, each) for key, each in value.items()}
    if isinstance(value, list):
        return [resolved(azure, each) for each in value]
    if not isinstance(value, str):
        return value
    found = re.search(r"(/subscriptions/.+?)\.properties\.([\w.]+)", value)
    if not found:
        return value
    inner: Any = azure.need(found[1])["properties"]
    for name in found[2].split("."):
        inner = inner[int(name)] if name.isdigit() else inner[name]
    return value.replace(found[0], inner)


@pytest.fixture(scope="module", params=[NONE, ALL], ids=["nothing", "everything"])
def deployed_twice(request: pytest.FixtureRequest, render: Render) -> tuple[Azure, dict[str, Any]]:
    """An environment after a second deployment, and what was there before that."""
    project = render(**with_add_ons(*request.param, infrastructure_version="bicep"))
    folder = project / "infrastructure" / "bicep"
    azure = Azure()
    azure.registered |= {each.lower() for each in KNOWN}
    parameters: dict[str, Any] = {"deployerPrincipalId": DEPLOYER}
    if request.param:
        config = yaml.safe_load((project / "config" / "dev.yml").read_text(encoding="utf-8"))
        group = config["names"]["registry_resource_group"]
        azure.put(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}", {"location": "westeurope"})
        registry = evaluate(folder / "model-registry.bicep", environment="dev", **parameters)
        deploy(azure, registry.resources)
    deploy(azure, evaluate(folder / "dev.bicepparam", **parameters).resources)
    for write in WRITTEN.values():
        write(azure)
    before = copy.deepcopy(azure.resources)
    if request.param:
        instances = [each["name"] for each in azure.of(f"{ML}/computes") if "ci-" in each["name"]]
        assert instances
        parameters["existingInstances"] = instances
    deploy(azure, evaluate(folder / "dev.bicepparam", **parameters).resources)
    return azure, before


KNOWN = [
    f"Microsoft.{name}"
    for name in (
        *("AlertsManagement", "Consumption", "ContainerRegistry", "Insights", "KeyVault", "MachineLearningServices"),
        *("ManagedIdentity", "Network", "OperationalInsights", "Storage"),
    )
]


def test_a_second_deployment_of_bicep_deletes_nothing(deployed_twice: tuple[Azure, dict[str, Any]]) -> None:
    azure, before = deployed_twice
    assert before.keys() - azure.resources.keys() == set()


def test_a_second_deployment_of_bicep_sets_the_rules_of_the_studio_again(
    deployed_twice: tuple[Azure, dict[str, Any]],
) -> None:
    azure, before = deployed_twice
    assert DECISIONS["studio_rules"]["decision"] == "declared"
    [workspace] = azure.of(ML)
    for service in ("blobServices", "fileServices"):
        path = f"{workspace['properties']['storageAccount']}/{service}/default"
        [before_it], [after_it] = (
            all_of[path.lower()]["properties"]["cors"]["corsRules"] for all_of in (before, azure.resources)
        )
        assert before_it["allowedOrigins"] == STUDIO
        assert set(STUDIO) - set(after_it["allowedOrigins"]) == {"https://mlworkspacecanary.azure.ai"}, (
            "a test of Microsoft's"
        )


def test_a_second_deployment_of_bicep_leaves_an_instance_and_the_state_of_a_registry_alone(
    deployed_twice: tuple[Azure, dict[str, Any]],
) -> None:
    azure, before = deployed_twice
    for key, each in before.items():
        if "/computes/ci-" in key or key.endswith("__sys_pe_vault"):
            assert azure.resources[key] == each
