"""What a plan of Terraform would delete for good: only the environment's name, typed by the user, lets it do so."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlops.config import EnvironmentConfig
from mlops.errors import UserError

DEPLOYMENT = "azurerm_resource_group_template_deployment"
KINDS = {
    "azurerm_resource_group": "resource group",
    "azurerm_storage_account": "storage account",
    "azurerm_storage_container": "container",
    "azurerm_key_vault": "key vault",
    "azurerm_container_registry": "container registry",
    "azurerm_log_analytics_workspace": "Log Analytics",
    "azurerm_machine_learning_workspace": "workspace",
    DEPLOYMENT: "compute instance",
}
"""What holds something that no apply brings back, with the words for it."""

MODELS = "model registry"
INSTANCE = re.compile(r"\bmodule\.compute_instance\[")
REGISTRY = re.compile(r"\bmodule\.model_registry(\[0\])?\.azurerm_resource_group_template_deployment\.this\b")

RULE = r"_network_outbound_rule_|\bmodule\.private_network\.azurerm_resource_group_template_deployment\.rule\b"
"""The addresses of the outbound rules of a managed network."""

PREFIX = "Deletes for good, with all that is in it: "
"""Begins the line of a plan that a reader must not overlook."""


@dataclass(frozen=True)
class Loss:
    """A resource that goes, or that is replaced by an empty one."""

    address: str
    kind: str
    name: str

    @property
    def is_instance(self) -> bool:
        """Whether it is the machine of a user."""
        return self.kind == KINDS[DEPLOYMENT]

    def __str__(self) -> str:
        """Return the words for it."""
        return f"{self.kind} {self.name}"


def losses(plan: str) -> list[Loss]:
    """Return what a plan, as JSON, deletes of what no apply makes again."""
    return list(_losses(plan))


def _losses(plan: str) -> Iterator[Loss]:
    for resource in json.loads(plan).get("resource_changes", ()):
        change, address = resource["change"], str(resource["address"])
        if "delete" not in change["actions"]:
            continue
        kind = KINDS.get(str(resource.get("type", "")))
        if REGISTRY.search(address):
            kind = MODELS
        elif kind == KINDS[DEPLOYMENT] and not INSTANCE.search(address):
            continue  # a deployment that only looks something up
        # What a creation that failed has left behind never held anything.
        if kind is None or resource.get("action_reason") == "replace_because_tainted":
            continue
        yield Loss(address, kind, str((change.get("before") or {}).get("name", address)))


def instances(state: str) -> list[str]:
    """Return the names of the compute instances in a state, as JSON."""
    found = [each for each in _in_modules(state) if each["type"] == DEPLOYMENT and INSTANCE.search(each["address"])]
    return [str(each["values"]["name"]) for each in found]


def outbound_rules(state: str) -> list[str]:
    """Return the addresses of the outbound rules in a state, as JSON."""
    return [str(each["address"]) for each in _in_modules(state) if re.search(RULE, each["address"])]


def _in_modules(state: str) -> list[dict[str, Any]]:
    root = json.loads(state).get("values", {}).get("root_module", {})
    return [each for module in root.get("child_modules", ()) for each in module.get("resources", ())]


def describe(found: list[Loss]) -> str:
    """Return the line for the page of a plan; empty without a loss."""
    return f"{PREFIX}{', '.join(map(str, found))}." if found else ""


def check_confirmed(config: EnvironmentConfig, found: list[Loss], confirm: str) -> None:
    """Stop a plan with a loss unless the user has typed the environment's name.

    Raises:
        UserError: The name is missing, or it is that of another environment; or the model registry would go, which no
            name allows.
    """
    name = config.environment
    for each in found:
        if each.kind == MODELS:
            raise _registry_stays(config, each.address)
    if confirm and confirm != name:
        raise UserError(f"--confirm names {confirm}, but this is {name}: nothing was changed")
    if found and confirm != name:
        whats = ", ".join(f"{each} ({each.address})" for each in found)
        raise UserError(
            f"this would delete for good, with all that is in it: {whats}; undo the change in config/ or the answers, "
            f"or, if you mean it, repeat it with `--confirm {name}`, in a run of Infrastructure with confirm={name}"
        )


def _registry_stays(config: EnvironmentConfig, address: str) -> UserError:
    """Return the refusal: Azure deletes the registry with the record of its deployment, and all models in it."""
    module = address.partition(".azurerm_")[0]
    remedy = "undo the change of its name, its place or its group in config/"
    if config.keeps_registry_in_own_group:
        remedy = "move its state first, as docs/infrastructure.md says (Model registry)"
    if config.model_registry is None:
        command = f"terraform -chdir=infrastructure/terraform state rm '{module}'"
        remedy = (
            "put the add-on model-registry back (the answer add_ons), or let Terraform forget the registry, which then "
            f"stays: `{command}`"
        )
    return UserError(
        f"this would delete the model registry {config.names.registry} with its models ({address}), which only "
        f"`mlops teardown --all` does: {remedy}"
    )
