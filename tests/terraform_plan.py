"""What Terraform would request from Azure, as Terraform itself evaluates it: offline, with a mocked provider.

A plan shows which values the configuration sets; an apply gives every resource an id, which distinguishes the
references. Both run inside `terraform test`, whose JSON messages hold them.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bicep_eval import DEPLOYER, SUBSCRIPTION, TENANT, resource_id

# What a deployment returns, instead of what its template requests from Azure.
RETURNED = "what-the-template-returns"
REFERENCE = re.compile(r"\[reference\('(.+)', '.+'\)\.([\w.\[\]]+)\]\W")
MOCKS = f"""
mock_provider "azurerm" {{
  mock_data "azurerm_client_config" {{
    defaults = {{
      object_id       = "{DEPLOYER}"
      subscription_id = "{SUBSCRIPTION}"
      tenant_id       = "{TENANT}"
    }}
  }}
  mock_resource "azurerm_resource_group_template_deployment" {{
    defaults = {{
      output_content = jsonencode({{ id = {{ value = "{RETURNED}" }} }})
    }}
  }}
}}
"""
# The types whose ids others refer to, and what Azure calls them.
REFERRED = {
    "azurerm_application_insights": "Microsoft.Insights/components",
    "azurerm_container_registry": "Microsoft.ContainerRegistry/registries",
    "azurerm_key_vault": "Microsoft.KeyVault/vaults",
    "azurerm_log_analytics_workspace": "Microsoft.OperationalInsights/workspaces",
    "azurerm_machine_learning_workspace": "Microsoft.MachineLearningServices/workspaces",
    "azurerm_monitor_action_group": "Microsoft.Insights/actionGroups",
    "azurerm_nat_gateway": "Microsoft.Network/natGateways",
    "azurerm_network_security_group": "Microsoft.Network/networkSecurityGroups",
    "azurerm_private_dns_zone": "Microsoft.Network/privateDnsZones",
    "azurerm_private_endpoint": "Microsoft.Network/privateEndpoints",
    "azurerm_public_ip": "Microsoft.Network/publicIPAddresses",
    "azurerm_storage_account": "Microsoft.Storage/storageAccounts",
    "azurerm_user_assigned_identity": "Microsoft.ManagedIdentity/userAssignedIdentities",
    "azurerm_virtual_network": "Microsoft.Network/virtualNetworks",
}


class Planned(NamedTuple):
    """A resource with the values that its configuration sets; references are resource ids."""

    type: str
    address: str
    values: dict[str, Any]


class Environment(NamedTuple):
    """What one environment consists of."""

    resources: list[Planned]
    outputs: dict[str, Any]


def plans(
    module: Path, environments: Iterable[str], test: Callable[..., str], **variables: Any
) -> dict[str, Environment]:
    """Everything that Terraform would make in each environment; ``test`` runs `terraform test` with some arguments."""
    text = MOCKS
    for each, command in itertools.product(environments, ("plan", "apply")):
        given = "".join(f"{name} = {json.dumps(value)}\n" for name, value in {"environment": each, **variables}.items())
        text += f'run "{each}_{command}" {{\ncommand = {command}\nstate_key = "{each}"\nvariables {{\n{given}}}\n}}\n'
    (module / "tests" / "parity.tftest.hcl").write_text(text, encoding="utf-8")
    printed = test("-verbose", "-json", "-filter=tests/parity.tftest.hcl")
    messages = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    wrong = [each["diagnostic"] for each in messages if each.get("diagnostic", {}).get("severity") == "error"]
    assert not wrong, "; ".join(f"{each['summary']}: {each['detail']}" for each in wrong)
    found = {each["@testrun"]: each[each["type"]] for each in messages if each["type"] in ("test_plan", "test_state")}
    return {each: environment(found[f"{each}_plan"], found[f"{each}_apply"]) for each in environments}


def environment(plan: dict[str, Any], state: dict[str, Any]) -> Environment:
    """Values of the state, but only those that the plan knows or that refer to another resource."""
    made = [each for each in resources(state["root_module"]) if each["mode"] == "managed"]
    unknown = {each["address"]: each["change"]["after_unknown"] for each in plan["resource_changes"]}
    names = dict(references([each["type"], each["values"]] for each in made))
    pattern = re.compile("|".join(map(re.escape, names)))
    names |= {random: pattern.sub(lambda found: names[found[0]], name) for random, name in names.items()}

    def read(value: Any, hidden: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: read(each, hidden if hidden is True else (hidden or {}).get(key)) for key, each in value.items()
            }
        if isinstance(value, list):
            hiding = hidden if isinstance(hidden, list) else [hidden] * len(value)
            return [read(each, one) for each, one in zip(value, hiding, strict=True)]
        if isinstance(value, str) and pattern.search(value):
            return pattern.sub(lambda found: names[found[0]], value)
        return None if hidden is True else value

    planned = [Planned(each["type"], each["address"], read(each["values"], unknown[each["address"]])) for each in made]
    return Environment(planned, {name: read(each["value"], None) for name, each in state.get("outputs", {}).items()})


def resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources(child)


def references(made: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Each random id and principal that the mocks gave, with what it stands for."""
    for kind, values in made:
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{values.get('resource_group_name', '')}"
        if kind == "azurerm_resource_group":
            yield values["id"], f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{values['name']}"
        elif kind in REFERRED:
            yield values["id"], resource_id(group, REFERRED[kind], values["name"])
        elif kind == "azurerm_subnet":
            names = values["virtual_network_name"], values["name"]
            yield values["id"], resource_id(group, "Microsoft.Network/virtualNetworks/subnets", *names)
        elif kind == "azurerm_storage_container":
            yield values["id"], f"{values['storage_account_id']}/blobServices/default/containers/{values['name']}"
        else:
            yield values["id"], f"the {kind} {values.get('name', '')}"
        if reference := REFERENCE.search(values.get("template_content") or ""):
            yield RETURNED, f"{reference[1]}.properties.{reference[2].replace('[', '.').replace(']', '')}"
        if kind == "azurerm_machine_learning_workspace":
            yield values["workspace_id"], f"{resource_id(group, REFERRED[kind], values['name'])}.properties.workspaceId"
        if kind == "azurerm_user_assigned_identity":
            identity = resource_id(group, REFERRED[kind], values["name"])
            yield values["principal_id"], f"{identity}.properties.principalId"
