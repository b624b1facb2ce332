"""The end of an environment: what exists, what would go and what stays, and then the removal in the right order."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from mlops import outputs, verbs
from mlops.config import EnvironmentConfig, load_environment
from mlops.errors import UserError
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription import account as azure
from mlops.subscription.account import LOCK, REMEDIES, find
from mlops.subscription.choices import Infrastructure
from mlops.subscription.order import turn
from mlops.subscription.registry import delete_locks, delete_registry

TAG = ("managed_by", "mlops-template")
WORKSPACE, REGISTRY = azure.WORKSPACES.casefold(), azure.REGISTRIES.casefold()

# What Azure adds to an Application Insights resource by itself.
SMART_DETECTION = ("microsoft.alertsmanagement/smartdetectoralertrules", "application insights smart detection")


@dataclass(frozen=True)
class Resource:
    """A resource in the environment's group; `kind` in lower case, because Azure's own spelling varies."""

    id: str
    name: str
    kind: str
    ours: bool

    @property
    def added_by_azure(self) -> bool:
        """Whether Azure made it for another resource."""
        return self.kind == SMART_DETECTION[0] or self.name.casefold() == SMART_DETECTION[1]


def remove(
    project: Project,
    config: EnvironmentConfig,
    infrastructure: Infrastructure,
    agree: Callable[[], None],
    *,
    dry_run: bool = False,
) -> None:
    """Show what would go and what stays, and once the user agrees delete and purge. Can be repeated after a failure.

    Args:
        project: The project.
        config: The environment.
        infrastructure: The project's choice.
        agree: A function that raises when the user does not agree.
        dry_run: Show the commands and run none.

    Raises:
        UserError: The workspace is not the project's own, its group holds what this project did not make, or another
            environment reads the registry in it, or a newer run has changed the environment.
    """
    if not infrastructure.provisions:
        raise UserError(
            f"workspace {config.names.workspace} is not the project's own: run `uv run mlops teardown --environment "
            f"{config.environment}`, which deletes this project's endpoints and schedules in it"
        )
    # A dry run shows every command; otherwise those that only read would hide the question.
    shell = Shell(project.root, dry_run, REMEDIES, quiet=not dry_run)
    found = find_resources(shell, config)
    resources, registry = found or [], find_registry(shell, project, config)
    workspace = dry_run or _has_workspace(shell, config, resources)
    session = verbs.Session.open(config.environment, dry_run=dry_run, root=project.root) if workspace else None
    if not dry_run:
        _show(project, config, resources, registry, verbs.remains(session) if session else [])
        _refuse(shell, config.names.resource_group, resources)
        _refuse(shell, config.registry_group, registry)
        _refuse_while_read(shell, project, config, [*resources, *registry])
        agree()
    # An older run that waits for its approval must not build again, nor this one delete what a newer one has built.
    with nullcontext() if dry_run else turn(project, config, "teardown"):
        built = found is not None or bool(registry)
        if built and not dry_run:
            infrastructure.check_teardown(config)
        if session:
            verbs.teardown(session)
        shell = Shell(project.root, dry_run, REMEDIES)
        if any(resource.kind == REGISTRY for resource in resources):
            delete_locks(shell, config.names.resource_group, REGISTRY)
        for resource in resources:
            # Terraform knows nothing of these, and deletes no group that still holds something.
            if resource.added_by_azure or (resource.kind == REGISTRY and "model-registry" not in project.add_ons):
                shell.run("az", "resource", "delete", "--ids", resource.id)
        if built or dry_run:
            infrastructure.provision(config, "destroy", dry_run=dry_run)
        if registry and not config.builds_registry_apart:  # a promotion created it
            delete_registry(shell, config)
        _purge_vault(shell, config)
    again = f"`uv run mlops provision --environment {config.environment}` builds it again."
    end = f"{config.environment} is gone. {again}"
    print(f"# {config.environment} will be gone. {again}" if dry_run else end, flush=True)
    if not dry_run:
        lines = "\n".join(f"- {line}" for line in _stays(project, config))
        outputs.add_summary(f"## Teardown of {config.environment}\n\n{end} What stays:\n\n{lines}")


def find_resources(shell: Shell, config: EnvironmentConfig, group: str | None = None) -> list[Resource] | None:
    """Return what is in a resource group, by default the environment's; None when there is no such group."""
    found = find(shell, "resource", "list", "--resource-group", group or config.names.resource_group)
    if found is None:
        return None
    names = {name.casefold() for _, name in config.names if name}
    own = [item["id"].casefold() for item in found if _made_here(item, names)]
    resources = [
        Resource(item["id"], item["name"], item["type"].casefold(), any(_belongs(item, owner) for owner in own))
        for item in found
    ]
    return sorted(resources, key=lambda resource: (resource.kind, resource.name))


def find_registry(shell: Shell, project: Project, config: EnvironmentConfig) -> list[Resource]:
    """Return what is in the registry's own resource group, which goes with the environment that builds the registry."""
    keeps = config.builds_registry_apart or config.environment == project.first_environment
    if config.names.registry_resource_group is None or config.keeps_registry_in_own_group or not keeps:
        return []
    return find_resources(shell, config, config.registry_group) or []


def _has_workspace(shell: Shell, config: EnvironmentConfig, resources: list[Resource]) -> bool:
    """Return whether the workspace exists: for some minutes the list has deleted ones (azure-rest-api-specs#21221)."""
    listed = any(resource.kind == WORKSPACE for resource in resources)
    place = ("--resource-group", config.names.resource_group, "--name", config.names.workspace)
    return listed and find(shell, "resource", "show", *place, "--resource-type", azure.WORKSPACES) is not None


def _made_here(item: dict[str, Any], names: set[str]) -> bool:
    return (item.get("tags") or {}).get(TAG[0]) == TAG[1] or item["name"].casefold() in names


def _belongs(item: dict[str, Any], owner: str) -> bool:
    """Return whether a resource is `owner`, lies below it, or is the network card that Azure made for it."""
    identifier = item["id"].casefold()
    card = item["type"].casefold() == "microsoft.network/networkinterfaces"
    name = owner.rpartition("/")[2]
    return identifier == owner or identifier.startswith(f"{owner}/") or (card and f"/{name}.nic." in identifier)


def _show(
    project: Project,
    config: EnvironmentConfig,
    resources: list[Resource],
    registry: list[Resource],
    made: list[str],
) -> None:
    print(f"Deleted for good, in resource group {config.names.resource_group}:")
    for line in made:
        print(f"  {line}")
    _list(resources)
    if not resources:
        print("  nothing: there is no such group, or it is empty")
    if registry:
        print(f"And last, in resource group {config.registry_group}, with the models of all environments:")
        _list(registry)
    print("What stays:")
    for line in _stays(project, config):
        print(f"  {line}")
    print(flush=True)


def _list(resources: list[Resource]) -> None:
    kinds: dict[str, list[str]] = defaultdict(list)
    for resource in resources:
        kinds[resource.kind].append(resource.name)
    for kind, names in kinds.items():
        print(f"  {kind}: {', '.join(names)}")


def _stays(project: Project, config: EnvironmentConfig) -> Iterator[str]:
    names, provision = config.names, f"uv run mlops provision --environment {config.environment}"
    if config.security and config.security.purge_protection:
        yield f"key vault {names.key_vault}: deleted, but protected for 90 days; `{provision}` recovers it"
    yield f"Log Analytics {names.log_analytics}: deleted, but Azure keeps it for 14 days; `{provision}` recovers it"
    state = f", storage account {config.terraform_state.storage_account}" if config.terraform_state else ""
    what = f"resource group {config.deployer.resource_group}: identity {config.deployer.identity}{state}"
    own = names.registry_resource_group and not config.keeps_registry_in_own_group
    if own and config.environment == project.first_environment:
        what += f"; resource group {names.registry_resource_group}, empty"
    what += "; what connects the workflows with it"
    yield f"{what}: `uv run mlops bootstrap --environment {config.environment} --undo` removes that"


def _refuse_while_read(shell: Shell, project: Project, config: EnvironmentConfig, resources: list[Resource]) -> None:
    """Keep a registry that another environment gets its models from."""
    for registry in (resource for resource in resources if resource.kind == REGISTRY):
        if readers := [name for name in _readers(project, config, registry.name) if _stands(shell, project, name)]:
            commands = " and ".join(f"`uv run mlops teardown --environment {name} --all`" for name in readers)
            raise UserError(
                f"the model registry {registry.name} would go too, with the models of {', '.join(readers)}: first run "
                f"{commands}"
            )
        # An environment in another subscription cannot be seen from here, but the role that it needs can.
        if roles := _foreign_roles(shell, config, registry.id):
            raise UserError(
                f"the model registry {registry.name} would go too, and identities of other environments have a role on "
                f"it: once these are gone, run `az role assignment delete --ids {' '.join(roles)}`"
            )


def _readers(project: Project, config: EnvironmentConfig, registry: str) -> list[str]:
    """Return the other environments that get their models from a registry."""
    others = [load_environment(project, name) for name in project.environments if name != config.environment]
    readers = [other for other in others if other.names.registry == registry and other.model.source == "registry"]
    return [other.environment for other in readers]


def _stands(shell: Shell, project: Project, name: str) -> bool:
    """Return whether the workspace of another environment is in this subscription."""
    names = load_environment(project, name).names
    place = ("--resource-group", names.resource_group, "--name", names.workspace)
    return find(shell, "resource", "show", *place, "--resource-type", azure.WORKSPACES) is not None


def _foreign_roles(shell: Shell, config: EnvironmentConfig, scope: str) -> list[str]:
    """Return the role assignments on a resource that a service has, other than the environment's own deployer."""
    deployer = config.deployer
    own = find(shell, "identity", "show", "--name", deployer.identity, "--resource-group", deployer.resource_group)
    names = ("--fill-principal-name", "false", "--fill-role-definition-name", "false")
    found = find(shell, "role", "assignment", "list", "--scope", scope, *names) or []
    return [
        item["id"]
        for item in found
        if item["scope"].casefold() == scope.casefold()
        and item["principalType"] == "ServicePrincipal"
        and item["principalId"] != (own or {}).get("principalId")
    ]


def _refuse(shell: Shell, group: str, resources: list[Resource]) -> None:
    foreign = [item for item in resources if not item.ours and not item.added_by_azure]
    if foreign:
        named = ", ".join(f"{item.name} ({item.kind})" for item in foreign)
        raise UserError(
            f"{group} also holds what this project did not make: {named}; move or delete that first, or tag it "
            f"{TAG[0]}={TAG[1]} when it may go"
        )
    if not resources:
        return
    locks = find(shell, "lock", "list", "--resource-group", group) or []
    if others := [lock["name"] for lock in locks if lock["name"] != LOCK]:
        raise UserError(f"{group} has locks that this project did not set: {', '.join(others)}; remove them first")


def _purge_vault(shell: Shell, config: EnvironmentConfig) -> None:
    """Free the name of the key vault, unless its purge protection forbids it."""
    if config.names.key_vault is None or (config.security and config.security.purge_protection):
        return
    vault = ["--name", config.names.key_vault, "--location", config.location]
    deleted = find(shell, "keyvault", "show-deleted", *vault)
    # The vault's own setting counts: once on, purge protection cannot be switched off.
    if shell.dry_run or (deleted and not deleted["properties"].get("purgeProtectionEnabled")):
        shell.run("az", "keyvault", "purge", *vault)
