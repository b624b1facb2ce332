"""The resource group of the model registry, which belongs to no environment: made before it, and emptied at the end."""

from mlops.config import EnvironmentConfig
from mlops.errors import UserError
from mlops.shell import Shell
from mlops.subscription import account as azure


def prepare_registry_group(shell: Shell, config: EnvironmentConfig, *, apply: bool) -> str:
    """Make the resource group of the model registry, where `bootstrap` did not run.

    Returns:
        What a plan shows instead of the registry while the group is missing; otherwise empty.

    Raises:
        UserError: The group is that of the environment, which is gone with the registry in it.
    """
    group = config.registry_group
    if shell.dry_run or azure.find(shell, "group", "show", "--name", group) is not None:
        return ""
    if config.keeps_registry_in_own_group:
        raise UserError(
            f"there is no resource group {group}, so no model registry in it that could stay there: give "
            f"names.registry_resource_group in config/*.yml a name of its own, such as {group}-shared"
        )
    if not apply:
        text = f"Resource group {group} and the model registry {config.names.registry} in it: to create."
        print(text, flush=True)
        return text
    tags = [f"{key}={value}" for key, value in config.shared_tags.items()]
    place = ("--name", group, "--location", config.location)
    shell.run("az", "group", "create", *place, "--tags", *tags, "--output", "none")
    return ""


def delete_registry(shell: Shell, config: EnvironmentConfig) -> None:
    """Delete what is in the resource group of the model registry, our locks first; the group itself stays.

    Without the record of its deployment, too, by which Terraform would take the registry to be there.
    """
    delete_locks(shell, config.registry_group)
    found = azure.find(shell, "resource", "list", "--resource-group", config.registry_group) or []
    for resource in sorted(found, key=lambda resource: resource["type"].casefold() != azure.REGISTRIES.casefold()):
        shell.run("az", "resource", "delete", "--ids", resource["id"])
    record = ("--resource-group", config.registry_group, "--name", config.names.registry)
    if not shell.dry_run and azure.find(shell, "deployment", "group", "show", *record):
        shell.run("az", "deployment", "group", "delete", *record)


def delete_locks(shell: Shell, group: str, kind: str = "") -> None:
    """Delete the locks that this project set in a resource group, or those on one kind (in lower case) alone."""
    for lock in azure.find(shell, "lock", "list", "--resource-group", group) or []:
        if lock["name"] == azure.LOCK and kind in lock["id"].casefold():
            shell.run("az", "lock", "delete", "--ids", lock["id"])
