"""Checks of the resources that the project builds."""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from typing import Any

from mlops.config import choose
from mlops.errors import CommandError
from mlops.infrastructure.workspace import purge_command
from mlops.shell import quoted
from mlops.subscription import account as azure
from mlops.subscription.checks import Context, Finding, error, ok, overlap, warning

VAULTS_VERSION = "api-version=2023-07-01"


def names(context: Context) -> Iterator[Finding]:
    """Look whether names that must be unique in the world are free, or taken by the environment itself."""
    config = context.config.names
    accounts = {"storage_account": config.storage_account, "data_lake": config.data_lake}
    queries = [
        (key, name, ["storage", "account"], "Microsoft.Storage/storageAccounts") for key, name in accounts.items()
    ]
    queries.append(("container_registry", config.container_registry, ["acr"], "Microsoft.ContainerRegistry/registries"))
    for key, name, command, kind in queries:
        if name:
            ours = context.has_resource(name, kind)
            yield _name(context, key, name, {} if ours else context.az(*command, "check-name", "--name", name))
    if vault := config.key_vault:
        ours = context.has_resource(vault, "Microsoft.KeyVault/vaults")
        deleted = None if ours else _deleted_vault(context, vault)
        yield deleted or _name(context, "key_vault", vault, {} if ours else _vault_name(context, vault))


def _name(context: Context, key: str, name: str, answer: dict[str, Any]) -> Finding:
    if not answer:
        return ok(f"{name} is ours")
    if answer["nameAvailable"]:
        return ok(f"{name} is free")
    reason = " ".join(str(answer.get("message") or "it is taken").split())
    return error(f"{name}: {reason}", f"write another names.{key} into {context.file}")


def _vault_name(context: Context, name: str) -> dict[str, Any]:
    # `az keyvault check-name` knows managed HSMs only.
    url = "/subscriptions/{subscriptionId}/providers/Microsoft.KeyVault/checkNameAvailability"
    body = azure.body(context.shell, "check-name", {"name": name, "type": "Microsoft.KeyVault/vaults"})
    return dict(context.az("rest", "--method", "post", "--url", url, "--url-parameters", VAULTS_VERSION, *body))


def _deleted_vault(context: Context, name: str) -> Finding | None:
    deleted = context.az("keyvault", "list-deleted", "--resource-type", "vault") or []
    vault = next((item for item in deleted if item["name"].casefold() == name.casefold()), None)
    if vault is None:
        return None
    if vault["properties"]["vaultId"].casefold().startswith(f"{context.group}/".casefold()):
        return ok(f"{name} is deleted; `mlops provision` brings it back")
    return error(
        f"{name} is held by a deleted vault of another resource group",
        f"write another names.key_vault into {context.file}, or `az keyvault purge --name {name}`",
    )


def deleted_workspace(context: Context) -> Iterator[Finding]:
    """Look for a deleted workspace, which keeps its name for 14 days."""
    name = context.config.names.workspace
    # Azure has no list of deleted workspaces (azure-cli#33756), but its list of all has them (azure-powershell#28286).
    listed = [item["id"].casefold() for item in context.rest("workspaces")]
    own = f"{context.group}/providers/{azure.WORKSPACES}/{name}".casefold()
    if context.has_resource(name, azure.WORKSPACES):
        yield ok(f"{name} is ours")
    elif own in listed:
        yield error(f"a deleted workspace still holds the name {name}", f"`{quoted(purge_command(context.config))}`")
    else:
        yield ok("none")


def registry(context: Context) -> Iterator[Finding]:
    """Look where the model registry is."""
    project, name, wanted = context.project, context.config.names.registry, context.config.model_registry is not None
    item = context.registry
    if item is None and context.config.network and "model-registry" not in project.add_ons:
        text = f"{name} is not there, and the first `mlops promote` makes none that the internet reaches"
        yield warning(text, choose(project, "model-registry"))
    elif item is None:
        later = f"it comes with {project.first_environment} or the first `mlops promote`"
        yield ok(f"{name} is not there yet: {'`mlops provision` makes it' if wanted else later}")
    elif wanted and item["resourceGroup"].casefold() != context.config.registry_group.casefold():
        yield error(
            f"{name} is in another resource group: {item['resourceGroup']}",
            f"write another names.registry into {context.file}",
        )
    else:
        yield ok(f"{name} in {item['resourceGroup']}")
        if wanted or context.config.environment == project.first_environment:
            yield _lock(context, item)


def _lock(context: Context, registry: dict[str, Any]) -> Finding:
    """Look whether a lock keeps the registry from being deleted."""
    group, name = registry["resourceGroup"], registry["name"]
    locks = context.az("lock", "list", "--resource-group", group) or []
    if any(lock["id"].casefold().startswith(f"{registry['id']}/".casefold()) for lock in locks):
        return ok(f"{name} is locked")
    place = f"--resource-group {group} --resource {name} --resource-type {azure.REGISTRIES}"
    remedy = f"`az lock create --name {azure.LOCK} --lock-type CanNotDelete {place}`"
    if context.config.builds_registry_apart:
        # Terraform would meet a lock that it did not make, and stop.
        remedy = context.command("provision")
    return warning(f"{name} has no lock: a wrong command deletes the models of all environments", remedy)


def networks(context: Context) -> Iterator[Finding]:
    """Compare the network's range with those of the other networks in the subscription."""
    config = context.config.network
    if config is None:
        return
    workspace = context.workspace
    managed = (workspace["properties"].get("managedNetwork") or {}) if workspace else {}
    if workspace and managed.get("isolationMode", "Disabled") == "Disabled":
        yield error(
            f"{context.config.names.workspace} was built without a network, and Azure closes none that has compute",
            f"{context.command('teardown')[:-1]} --all`, models and data included, or leave the add-on out",
        )
        return
    own = f"{context.group}/providers/Microsoft.Network/virtualNetworks/{context.config.names.virtual_network}"
    query = "[].{id: id, ranges: addressSpace.addressPrefixes}"
    others = [
        (network["id"].rpartition("/")[2], other)
        for network in context.az("network", "vnet", "list", "--query", query) or []
        if network["id"].casefold() != own.casefold()
        for text in network["ranges"] or []
        if isinstance(other := ip_network(text, strict=False), IPv4Network)
    ]
    if found := overlap(config.address_space, others):
        yield error(f"{found}: the two could never be joined", f"write a free range into network of {context.file}")
    else:
        yield ok(f"{config.address_space} is free in this subscription")


def users(context: Context) -> Iterator[Finding]:
    """Look whether the owners of compute instances exist in the tenant."""
    instances = context.config.compute.instances
    for user in instances.users if instances else ():
        try:
            known = context.az("ad", "user", "show", "--id", user.object_id, "--query", "id") is not None
        except CommandError:
            remedy = "ask an administrator of the directory, or go on and see"
            yield warning(f"{user.name}: you may not read the directory", remedy)
            continue
        if known:
            yield ok(user.name)
        else:
            yield error(
                f"{user.name}: the tenant has no user {user.object_id}",
                f"write the id of `az ad user show --id NAME@DOMAIN` into compute.instances of {context.file}",
            )
