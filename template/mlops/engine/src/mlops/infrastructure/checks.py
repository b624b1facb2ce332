"""Checks of the resources that the project builds."""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from typing import Any

from mlops.config import CustomerKey, Network, choose, load_environment
from mlops.errors import CommandError
from mlops.infrastructure.workspace import has_key, purge_command
from mlops.shell import quoted
from mlops.subscription import account as azure
from mlops.subscription.checks import Context, Finding, error, ok, overlap, warning
from mlops.subscription.checks.rights import Granted

VAULTS_VERSION = "api-version=2023-07-01"
AZURES_ADDRESSES = 5  # of each range of a subnet
ENDPOINT_ADDRESSES = 25  # all endpoints with all add-ons; that of the workspace has several


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


def order_of_runs(context: Context, scope: str) -> Iterator[Finding]:
    """Look whether the workflows' identity may tag itself, by which a run that is approved late is known to be older.

    Args:
        context: The environment.
        scope: Where it builds: that it may not do so there is the finding of another check.
    """
    identity, builds, name = context.deployer, ("Owner", "Contributor"), context.config.deployer.identity
    if identity is None or not (granted := Granted(context, identity["principalId"])).at(scope, *builds):
        return
    own, late = identity["id"], "so that an older run which is approved late would go through"
    # Tag Contributor alone does not see the identity.
    tags = granted.at(own, *builds) or (granted.at(own, "Tag Contributor") and granted.at(own, "Reader"))
    grant = f"`az role assignment create --assignee-object-id {identity['principalId']} --assignee-principal-type"
    remedy = f"{grant} ServicePrincipal --scope {own} --role ROLE`, with the roles Reader and Tag Contributor"
    yield from granted.findings(name, [] if tags else [f"the right to tag itself, {late}"], warning, remedy)
    for lock in context.az("lock", "list") or []:
        place = lock["id"].casefold().partition("/providers/microsoft.authorization/locks/")[0]
        if lock.get("level") == "ReadOnly" and f"{own.casefold()}/".startswith(f"{place}/"):
            text = f"{name}: the read-only lock {lock['name']} keeps it from tagging itself, {late}"
            yield warning(text, f"lock less, or `az lock delete --ids {lock['id']}`")


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
    if subscription := context.config.names.registry_subscription:
        yield from _other_subscription(context, subscription)
    item = context.registry
    if item is None and context.config.network and "model-registry" not in project.add_ons:
        text = f"{name} is not there, and the first `mlops promote` makes none that the internet reaches"
        yield warning(text, choose(project, "model-registry"))
    elif item is None and (home := _closed_home(context)):
        text = f"{name} is not there, and the network of {context.config.environment} connects to it"
        yield error(text, f"`uv run mlops provision --environment {home}` first")
    elif item is None and (home := _home_without_group(context)):
        group, file = context.config.registry_group, context.file
        text = f"there is no resource group {group} here, and {context.config.environment} grants rights to read there"
        remedy = (
            f"`uv run mlops bootstrap --environment {home}` first, or, if it is in another subscription, write that"
        )
        yield error(text, f"{remedy} as names.registry_subscription into {file}")
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


def _closed_home(context: Context) -> str | None:
    """Return the other environment that builds the closed registry to which this one connects."""
    if context.config.network is None or context.config.model_registry is not None:
        return None
    for name in context.project.environments:
        section = load_environment(context.project, name).model_registry
        if section and not section.public_network_access:
            return name
    return None


def _home_without_group(context: Context) -> str | None:
    """Return the environment that builds the registry which this one reads, while its resource group is not here."""
    config = context.config
    if config.model.source != "registry" or config.names.registry_subscription:
        return None
    configs = [load_environment(context.project, name) for name in context.project.environments]
    homes = [each for each in configs if each.builds_registry_apart and not each.keeps_registry_in_own_group]
    missing = homes and context.az("group", "show", "--name", config.registry_group) is None
    return homes[0].environment if missing else None


def _other_subscription(context: Context, subscription: str) -> Iterator[Finding]:
    """Look whether the subscription of the registry is of this tenant: Azure ML reads no registry of another one."""
    found = next((each for each in context.az("account", "list", "--all") or [] if each["id"] == subscription), None)
    key = f"names.registry_subscription of {context.file}"
    if found is None:
        yield warning(f"you do not see the subscription {subscription} of the registry", f"check {key}")
    elif found["tenantId"] != context.account.tenant:
        remedy = f"write a subscription of tenant {context.account.tenant} into {key}"
        yield error(f"the registry is in another tenant, {found['tenantId']}, and Azure ML cannot read it", remedy)
    else:
        yield ok(f"subscription {found['name']} is of the same tenant")


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
    yield from _zones(context, config)
    if config.existing_subnet_id or config.address_space is None:
        yield from _existing_subnet(context, str(config.existing_subnet_id), built=workspace is not None)
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


def _existing_subnet(context: Context, subnet_id: str, *, built: bool) -> Iterator[Finding]:
    """Look whether the private endpoints fit into a subnet that another team made."""
    name, key = subnet_id.rpartition("/")[2], f"network.existing_subnet_id of {context.file}"
    subnet = context.az("resource", "show", "--ids", subnet_id)
    network = context.az("resource", "show", "--ids", subnet_id.partition("/subnets/")[0])
    if subnet is None or network is None:
        yield error(f"there is no subnet {name}, or you may not see it", f"correct {key}, or ask its owner for Reader")
        return
    region, wanted = _region(network["location"]), _region(context.config.location)
    if region != wanted:
        remedy = f"write a subnet in {wanted} into {key}"
        yield error(f"{name} is in {region}: a private endpoint of {wanted} needs a subnet there", remedy)
    if delegated := [each["properties"]["serviceName"] for each in subnet["properties"].get("delegations") or ()]:
        remedy = f"write one without a delegation into {key}"
        yield error(f"{name} is delegated to {', '.join(delegated)}, and takes no private endpoint", remedy)
    properties = subnet["properties"]
    prefixes = properties.get("addressPrefixes") or [properties["addressPrefix"]]
    taken = AZURES_ADDRESSES * len(prefixes) + len(properties.get("ipConfigurations") or ())
    free = sum(ip_network(each).num_addresses for each in prefixes) - taken
    if free < ENDPOINT_ADDRESSES and not built:
        remedy = f"write a subnet with more room, such as a /27 of its own, into {key}"
        yield error(f"{name} has {free} free addresses, and the private endpoints need {ENDPOINT_ADDRESSES}", remedy)
    elif region == wanted and not delegated:
        yield ok(f"{name} takes the private endpoints")


def _zones(context: Context, network: Network) -> Iterator[Finding]:
    """Look whether the DNS zones exist that another team made."""
    for zone in network.dns_zone_ids:
        if context.az("resource", "show", "--ids", zone) is None:
            remedy = f"correct network.dns_zone_ids of {context.file}, or ask the owner of the zones for Reader"
            yield error(f"there is no DNS zone {zone.rpartition('/')[2]} at this id, or you may not see it", remedy)


def _region(name: str) -> str:
    """Return a region as the config writes it: Azure also writes "West Europe"."""
    return name.replace(" ", "").lower()


def _groups(context: Context) -> Iterator[Finding]:
    """Look whether the groups of data scientists exist in the tenant."""
    access = context.config.access
    for group in access.data_scientists if access else ():
        try:
            known = context.az("ad", "group", "show", "--group", group, "--query", "displayName")
        except CommandError:
            remedy = "ask an administrator of the directory, or go on and see"
            yield warning(f"{group}: you may not read the directory", remedy)
            continue
        if known is None:
            remedy = f"write the id of `az ad group show --group NAME --query id` into access of {context.file}"
            yield error(f"the tenant has no group {group}", remedy)
        else:
            yield ok(str(known))


def company(context: Context, *, in_any_subscription: bool = True) -> Iterator[Finding]:
    """Look at the company's own key and Log Analytics workspace.

    Args:
        context: The environment.
        in_any_subscription: Whether what builds the resources finds the key there.
    """
    retention, security = context.config.retention, context.config.security
    if retention and retention.log_analytics_id:
        name, key = retention.log_analytics_id.rpartition("/")[2], f"retention.log_analytics_id of {context.file}"
        if context.az("resource", "show", "--ids", retention.log_analytics_id) is None:
            remedy = f"correct {key}, or ask its owner for Log Analytics Contributor"
            yield error(f"there is no Log Analytics workspace {name}, or you may not see it", remedy)
        else:
            yield ok(f"logs go to {name}")
    if security and security.customer_key:
        yield from _customer_key(context, security.customer_key, in_any_subscription)
    elif retention is None or retention.log_analytics_id is None:
        yield ok("neither logs nor a key")


def _customer_key(context: Context, customer: CustomerKey, in_any_subscription: bool) -> Iterator[Finding]:
    name, key = customer.vault_id.rpartition("/")[2], f"security.customer_key of {context.file}"
    vault = context.az("resource", "show", "--ids", customer.vault_id)
    if vault is None:
        yield error(
            f"there is no key vault {name}, or you may not see it", f"correct {key}, or ask its owner for Reader"
        )
        return
    region, wanted = _region(vault["location"]), _region(context.config.location)
    if region != wanted:
        remedy = f"write a key of a vault in {wanted} into {key}"
        yield error(f"{name} is in {region}, and a key must be in the region of the workspace, {wanted}", remedy)
    elif not vault["properties"].get("enablePurgeProtection"):
        remedy = f"its owner turns it on: `az keyvault update --name {name} --enable-purge-protection true`"
        yield error(f"{name} has no purge protection, without which Azure takes no key", remedy)
    elif not in_any_subscription and not _is_in(customer.vault_id, context.subscription):
        remedy = f"write a key of a vault in {context.subscription} into {key}"
        yield error(f"{name} is in another subscription, where Terraform's provider does not look for it", remedy)
    elif (workspace := context.workspace) and not has_key(workspace["properties"]):
        remedy = f"{context.command('teardown')[:-1]} --all` first, models and data included, or remove {key}"
        yield error(f"{context.config.names.workspace} was made without this key, and takes none any more", remedy)
    else:
        yield _key_identity(context, customer) or ok(f"{name} has the key")


def _key_identity(context: Context, customer: CustomerKey) -> Finding | None:
    """Look whether the identity that may use the key is there, and is the one of both ids."""
    name, section = customer.identity_id.rpartition("/")[2], f"security.customer_key of {context.file}"
    identity = context.az("resource", "show", "--ids", customer.identity_id)
    if identity is None:
        remedy = f"correct identity_id in {section}, or ask its owner for Reader"
        return error(f"there is no identity {name}, or you may not see it", remedy)
    client = identity["properties"]["clientId"]
    if client.casefold() != customer.identity_client_id.casefold():
        remedy = f"write {client} as identity_client_id into {section}, or correct identity_id"
        return error(f"{name} has another client id than {customer.identity_client_id}", remedy)
    return None


def _is_in(resource: str, scope: str) -> bool:
    return resource.casefold().startswith(f"{scope.casefold()}/")


def users(context: Context) -> Iterator[Finding]:
    """Look whether the owners of compute instances and the groups of data scientists exist in the tenant."""
    yield from _groups(context)
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
