"""The workspace, whatever builds it: queries and calls to Azure, and the remedies of the most frequent errors."""

import re
from collections.abc import Sequence
from typing import Any

from mlops.azureml.remedies import remedy
from mlops.config import PRIVATE_NETWORK, EnvironmentConfig
from mlops.errors import UserError
from mlops.project import Project, load_yaml
from mlops.shell import Shell, quoted
from mlops.subscription import account as azure

# An online endpoint needs the first two, and Azure ML's error names neither (MicrosoftLearning/mslearn-azure-ml#106).
ENDPOINT_PROVIDERS = ("Microsoft.Cdn", "Microsoft.PolicyInsights", "Microsoft.ManagedIdentity")


def online_endpoint_exists(shell: Shell, project: Project, config: EnvironmentConfig) -> bool:
    """Return whether the online endpoint exists, whose logs the add-on "monitoring" collects.

    The verbs make the endpoint and not the infrastructure, so its first deployment may come later.
    """
    if "monitoring" not in project.add_ons or shell.dry_run:
        return False
    return _exists(shell, config, "onlineEndpoints", config.names.online_endpoint)


def trains_first(project: Project, config: EnvironmentConfig) -> bool:
    """Return whether the workspace trains and has no model, in whose place the first training puts one.

    A closed workspace needs a runner of the workflows in its network before.
    """
    if config.model.source != "workspace" or config.closed:
        return False
    return not _exists(Shell(project.root, remedies=azure.REMEDIES, quiet=True), config, "models", config.model.name)


def workflows_principal(project: Project, config: EnvironmentConfig, *, dry_run: bool) -> str:
    """Return the object id of the identity that the environment's workflows sign in with.

    Raises:
        UserError: There is no such identity.
    """
    place = ("--name", config.deployer.identity, "--resource-group", config.deployer.resource_group)
    found = azure.find(Shell(project.root, dry_run, azure.REMEDIES, quiet=not dry_run), "identity", "show", *place)
    if found is None and not dry_run:
        raise UserError(
            f"there is no identity {config.deployer.identity}: run `uv run mlops bootstrap --environment "
            f"{config.environment}`"
        )
    return str((found or {"principalId": "PRINCIPAL_ID"})["principalId"])


def existing_instances(shell: Shell, project: Project, config: EnvironmentConfig) -> list[str]:
    """Return the names of the compute instances that are there, which Azure refuses to deploy again."""
    if "user-with-compute-instance" not in project.add_ons or shell.dry_run or not config.compute.instances:
        return []
    names = [user.instance for user in config.compute.instances.users]
    return [name for name in names if _exists(shell, config, "computes", name)]


def check_workspace(project: Project, config: EnvironmentConfig) -> None:
    """Stop what a workspace that is there does not take, before anything is deleted for it: another network, or a key.

    Raises:
        UserError: The config has a network or a key, and the workspace was made without it, or the other way round.
    """
    shell = Shell(project.root, remedies=azure.REMEDIES, quiet=True)
    place = ("--resource-group", config.names.resource_group, "--name", config.names.workspace)
    key = config.security and config.security.customer_key
    try:
        found = azure.find(shell, "resource", "show", *place, "--resource-type", azure.WORKSPACES)
    except UserError:
        if config.closed or key:
            raise
        return  # Terraform builds an open environment also where `az` is not signed in
    if found is None:
        return
    properties, name, file = found["properties"], config.names.workspace, f"config/{config.environment}.yml"
    end = f"first run `uv run mlops teardown --environment {config.environment} --all`, models and data included"
    if key and not has_key(properties):
        raise UserError(
            f"workspace {name} is there without a key of the company, and Azure takes none afterwards: {end}, or take "
            f"security.customer_key out of {file}"
        )
    mode = (properties.get("managedNetwork") or {}).get("isolationMode")
    public = properties.get("publicNetworkAccess")
    if config.network is None:
        # A managed network beside public access is one that a user has added by hand, and no business of ours.
        if public == "Disabled" and mode not in (None, "Disabled"):
            raise UserError(
                f"workspace {name} is there with a private network, and Azure takes none away: this would open its "
                f"storage, vault and registry to the internet and then fail. {end[0].upper()}{end[1:]}, or "
                "put the add-on private-network back"
            )
    elif mode == "Disabled" or (mode is None and public == "Enabled"):
        raise UserError(
            f"workspace {name} is there without a private network, and Azure adds none to a workspace that has "
            f"compute: {end}, or take the add-on private-network back"
        )
    elif mode == "AllowOnlyApprovedOutbound" and config.network.outbound == "internet":
        raise UserError(
            f'workspace {name} is there with the outbound "approved", and Azure offers no way back to "internet": '
            f"{end}, or undo network.outbound in {file}"
        )


def has_key(properties: dict[str, Any]) -> bool:
    """Return whether a workspace was made with a key of the company."""
    return (properties.get("encryption") or {}).get("status") == "Enabled"


def delete_instance(shell: Shell, config: EnvironmentConfig, name: str) -> None:
    """Delete a compute instance, and the record of its deployment, by which azurerm would try the same.

    azurerm 5.2 does not state what happens to the machine, which Azure requires.
    """
    record = ("--resource-group", config.names.resource_group, "--name", name)
    if not shell.dry_run and not _exists(shell, config, "computes", name):
        shell.run("az", "deployment", "group", "delete", *record)
        return
    parameters = [f"api-version={azure.API_VERSION}", "underlyingResourceAction=Delete"]
    url = f"{_workspace(config)}/computes/{name}"
    shell.run("az", "rest", "--method", "delete", "--url", url, "--url-parameters", *parameters)
    shell.run("az", "resource", "wait", "--deleted", *_in_workspace(config, "computes", name))
    shell.run("az", "deployment", "group", "delete", *record)


def delete_old_rules(shell: Shell, project: Project, config: EnvironmentConfig) -> None:
    """Delete the outbound rules that an earlier deployment made and the last one did not: no deployment deletes any.

    A host that is no longer in `network.outbound_hosts` would stay within reach. Rules of other names are not ours.
    """
    if not config.closed or shell.dry_run:
        return
    kept = _deployed_rules(shell, config)
    if kept is None:
        return
    endpoints = load_yaml(project.root / PRIVATE_NETWORK)["managed_endpoints"]
    # Of a host the name has a "_" in place of each dot.
    ours = "|".join([r"host-[a-z0-9-]*(_[a-z0-9-]+)+", "rule-.+", *endpoints])
    _delete_rules(shell, config, [rule for rule in _rules(shell, config, ours) if rule not in kept])


def delete_numbered_rules(shell: Shell, config: EnvironmentConfig) -> None:
    """Delete the outbound rules of hosts that have numbers, as until v0.13, before those with names are made.

    Azure may refuse a second rule for the same host. A user may have given such a name, too: ours are those that the
    last deployment made, or that lead to a host of the config.
    """
    network = config.network
    if network is None or network.outbound != "approved" or shell.dry_run:
        return
    numbered = _rules(shell, config, r"host-\d+")
    if numbered:
        made = _deployed_rules(shell, config) or []
        ours = [name for name, host in numbered.items() if name in made or host in network.outbound_hosts]
        if others := [f"{name} ({host})" for name, host in numbered.items() if name not in ours]:
            print(f"not made by this project, so left alone: the outbound rules {', '.join(others)}", flush=True)
        _delete_rules(shell, config, ours)


def _deployed_rules(shell: Shell, config: EnvironmentConfig) -> list[str] | None:
    """Return the names of the outbound rules that the last deployment made, or None without a record of it."""
    place = ("--resource-group", config.names.resource_group, "--name", "private-network-outbound")
    deployed = azure.find(shell, "deployment", "group", "show", *place, "--query", "properties.outputResources[].id")
    if deployed is None:
        return None
    return [each.rpartition("/")[2] for each in deployed if "/outboundrules/" in each.lower()]


def _rules(shell: Shell, config: EnvironmentConfig, names: str) -> dict[str, Any]:
    """Return where the outbound rules lead that users or deployments made, of those whose names match a pattern."""
    parameters = ("--url-parameters", f"api-version={azure.API_VERSION}")
    url = f"{_workspace(config)}/outboundRules"
    found = azure.find(shell, "rest", "--method", "get", "--url", url, *parameters) or {}
    return {
        rule["name"]: rule["properties"].get("destination")
        for rule in found.get("value", ())
        if rule["properties"]["category"] == "UserDefined" and re.fullmatch(names, rule["name"])
    }


def _delete_rules(shell: Shell, config: EnvironmentConfig, names: Sequence[str]) -> None:
    """Say which outbound rules go, and delete them."""
    if names:
        print(f"deletes the outbound rules {', '.join(names)}, minutes for each", flush=True)
    for name in names:
        url = f"{_workspace(config)}/outboundRules/{name}"
        parameters = ("--url-parameters", f"api-version={azure.API_VERSION}")
        shell.run("az", "rest", "--method", "delete", "--url", url, *parameters)
        # Azure loses rules that change at the same time.
        shell.run("az", "resource", "wait", "--deleted", *_in_workspace(config, "outboundRules", name))


def _exists(shell: Shell, config: EnvironmentConfig, kind: str, name: str) -> bool:
    return azure.find(shell, "resource", "show", *_in_workspace(config, kind, name)) is not None


def _in_workspace(config: EnvironmentConfig, kind: str, name: str) -> tuple[str, ...]:
    """Return the options of `az resource` for something in the workspace."""
    place = ("--resource-group", config.names.resource_group, "--name", name)
    kinds = ("--namespace", "Microsoft.MachineLearningServices", "--resource-type", kind)
    return (*place, *kinds, "--parent", f"workspaces/{config.names.workspace}")


def purge_command(config: EnvironmentConfig) -> tuple[str, ...]:
    """Return the command that deletes the workspace for good, also when it is in Azure's bin.

    Azure keeps a deleted workspace for 14 days, and its name with it. The Azure ML extension of `az` has a switch for
    this too, but not every version of this project needs that extension.
    """
    # Not as a part of the address: cmd.exe, which runs az on Windows, ends a command at an ampersand.
    parameters = [f"api-version={azure.API_VERSION}", "forceToPurge=true"]
    return ("az", "rest", "--method", "delete", "--url", _workspace(config), "--url-parameters", *parameters)


def _workspace(config: EnvironmentConfig) -> str:
    """Return the workspace's address for `az rest`, which fills the subscription in."""
    group = f"/subscriptions/{{subscriptionId}}/resourceGroups/{config.names.resource_group}"
    return f"{group}/providers/{azure.WORKSPACES}/{config.names.workspace}"


def purge_workspace(shell: Shell, config: EnvironmentConfig) -> None:
    """Delete the workspace for good and wait until it is gone; without one there is nothing to do."""
    group, workspace = config.names.resource_group, config.names.workspace
    shell.run(*purge_command(config))
    kind = ["--resource-type", azure.WORKSPACES]
    shell.run("az", "resource", "wait", "--deleted", "--resource-group", group, "--name", workspace, *kind)


def enable_serverless_spark(shell: Shell, config: EnvironmentConfig) -> None:
    """Enable serverless Spark, on which the model monitor runs, in the network that a closed workspace manages.

    Azure does so only after this call, and in the background.
    """
    if not config.closed:
        return
    url = f"{_workspace(config)}/provisionManagedNetwork"
    options = azure.body(shell, "provision-network", {"includeSpark": True})
    parameters = ("--url-parameters", f"api-version={azure.API_VERSION}")
    shell.run("az", "rest", "--method", "post", "--url", url, *parameters, *options)


def provisioning_remedy(output: str, config: EnvironmentConfig) -> UserError | None:
    """Return the one line that helps when a tool ended with `output`, or None when the error has no known remedy."""
    names, environment = config.names, config.environment
    file, doctor = f"config/{environment}.yml", f"`uv run mlops doctor --environment {environment}`"
    known = {
        r"(?i)soft-?deleted workspace": (
            f"a deleted workspace still holds the name {names.workspace}: delete it for good with "
            f"`{quoted(purge_command(config))}`"
        ),
        r"(?i)same name already exists in deleted state|vault.{1,200}soft-?deleted": (
            f"a deleted key vault still holds the name {names.key_vault}: bring it back with `az keyvault recover "
            f"--name {names.key_vault}`"
        ),
        r"VaultAlreadyExists|vault name .{1,80} is already in use": (
            f"the key vault name {names.key_vault} is taken: write another names.key_vault into {file}"
        ),
        r"StorageAccountAlreadyTaken|StorageAccountAlreadyExists": (
            f"the storage account name {names.storage_account} is taken: write another names.storage_account into "
            f"{file}"
        ),
        r"AlreadyInUse|registry DNS name .{1,80} is already in use": (
            f"the container registry name {names.container_registry} is taken: write another names.container_registry "
            f"into {file}"
        ),
        r"RoleAssignmentUpdateNotPermitted": (
            "an identity was deleted and made again under its name, and a role of the first one is still there: delete "
            "what the portal shows as `Identity not found` under Access control (IAM) of the resource in the details "
            "above, then run this again"
        ),
        r"RoleAssignmentExists": (
            "a role that this would grant was granted by hand already (details above): take that one back with `az "
            "role assignment delete --ids ID`, then run this again"
        ),
        r"unable to find the Resource Manager ID for the Key Vault URI": (
            "Terraform's provider looks for the vault of security.customer_key in the subscription of the environment "
            f"alone: write a key of a vault there into {file}"
        ),
        r"FailedIdentityOperation": (
            "the workspace's identity has a role that has not taken effect yet: run this again in some minutes"
        ),
        r"underlyingResourceAction": (
            "a compute instance goes before its entry in the config does: `uv run mlops provision --environment "
            f"{environment} --confirm {environment}` deletes it properly"
        ),
        r"(?i)roleAssignments/(write|delete)|RoleAssignment\w*NotPermitted": (
            "you may not assign roles here: ask for Role Based Access Control Administrator, limited to the roles of "
            "infrastructure/shared/roles.yml, as `uv run mlops bootstrap` gives it to the workflows"
        ),
        r"(?i)locks/(write|delete)": "you may not set or remove locks: ask for the role Locks Contributor",
        r"AuthorizationFailed|LinkedAuthorizationFailed|does not have authorization": (
            f"you may not build in resource group {names.resource_group}: ask for Contributor; "
            f"{doctor} lists what is missing"
        ),
        r"(?i)QuotaExceeded|QuotaReached|exceed\w* .{0,60}quota|quota .{0,60}exceeded": (
            f"the quota of {config.location} is too small for the machines in {file}: ask for more in the portal under "
            f"Quotas, or choose smaller ones; {doctor} has the figures"
        ),
        r"SkuNotAvailable|NotAvailableForSubscription|(?i:vm ?size .{1,120} (is )?not (supported|available))": (
            f"{config.location} lacks one of the machines in {file}: choose another vm_size there; {doctor} names it"
        ),
        r"MissingSubscriptionRegistration|not registered to use namespace": (
            f"the subscription lacks a resource provider: {doctor} has the command that registers it"
        ),
        r"(?i)data sink .{1,400} already used in diagnostic setting": (
            "the logs of a resource are sent there by another diagnostic setting already, such as that of a policy "
            "(details above): write [] for that resource in infrastructure/shared/diagnostics.yml, or monitoring.yml"
        ),
        r"RequestDisallowedByPolicy": (
            "a policy of your organisation forbids one of the resources (details above): ask its owner"
        ),
        r"ResourceNotFound.{1,300}MachineLearningServices/registries": (
            f"there is no model registry {names.registry} that {environment} could connect to: first provision the "
            "environment that builds it (model_registry in its file)"
        ),
        rf"ResourceGroupNotFound.{{1,100}}{re.escape(names.registry_resource_group or 'of a registry')}": (
            f"the model registry's resource group {names.registry_resource_group} is not in this subscription: run "
            "`uv run mlops bootstrap` for the environment that builds the registry (model_registry in its file), or, "
            f"where that is in another subscription, write its id as names.registry_subscription into {file}"
        ),
        r"ScopeLocked": "a lock forbids the change (details above): remove it in the portal, then run this again",
        r"DeploymentActive": "another run is at work on this environment: wait for its end, then run this again",
        r"(?i)error acquiring the state lock": (
            "another run is at work on this environment, or one was cut off: wait for its end, or see "
            "`terraform force-unlock`"
        ),
    }
    found = next((text for pattern, text in known.items() if re.search(pattern, output, re.DOTALL)), None)
    return UserError(found) if found else remedy(output, config)
