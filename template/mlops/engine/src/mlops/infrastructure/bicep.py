"""Bicep: a deployment at the subscription, which makes the resource group and all in it."""

import json
from collections.abc import Sequence

from mlops.config import EnvironmentConfig, builds_registry_apart
from mlops.errors import CommandError
from mlops.infrastructure.provisioned import Provisioned
from mlops.infrastructure.workspace import (
    delete_numbered_rules,
    delete_old_rules,
    enable_serverless_spark,
    existing_instances,
    online_endpoint_exists,
    purge_workspace,
)
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription.account import REMEDIES, account, find, role_assignments
from mlops.subscription.checks import Context
from mlops.subscription.checks.tools import Tool
from mlops.subscription.choices import Action
from mlops.subscription.registry import delete_locks, delete_registry, prepare_registry_group

FOLDER = "infrastructure/bicep"


class Bicep(Provisioned):
    """The Bicep commands of `az`; Azure keeps the state."""

    def tools(self) -> list[Tool]:
        """Return Bicep, which comes with `az`."""
        return [Tool("bicep", ("az", "bicep", "version"), r"version ([\d.]+)", "0.36", "`az bicep upgrade`")]

    def scope(self, context: Context) -> str:
        """Return the subscription, at which Bicep deploys."""
        return context.subscription

    def previews(self, config: EnvironmentConfig) -> bool:
        """Return true: the plan is Azure's preview of the deployment."""
        return True

    def run(
        self, config: EnvironmentConfig, action: Action, *, dry_run: bool, deployer: str | None, confirm: str
    ) -> str:
        """Deploy the environment's resources, show what would change, or delete them; a check needs no account.

        A deployment deletes nothing, so that no name has to be typed for it.
        """
        shell = Shell(self.project.root, dry_run, REMEDIES)
        if action == "check":
            _check(shell, self.project)
            return ""
        if action == "destroy":
            _destroy(shell, config)
            if config.builds_registry_apart:  # after the private endpoints to it
                delete_registry(shell, config)
            return ""
        who = []
        if deployer:
            who = [f"deployerPrincipalId={deployer}"]
        elif not dry_run and account(shell).user_type == "servicePrincipal":
            who = ["deployerPrincipalType=ServicePrincipal"]
        plans = [_deploy_registry(shell, config, action, who)] if config.builds_registry_apart else []
        if action == "apply":
            _recover_vault(shell, config)
            delete_numbered_rules(shell, config)
        # A template knows the first two of these parameters only with the add-ons that need them.
        values = ["onlineEndpointExists=true"] if online_endpoint_exists(shell, self.project, config) else []
        if instances := existing_instances(shell, self.project, config):
            # `az` takes single quotes as well, and cmd.exe, which runs it on Windows, leaves them alone.
            values.append(f"existingInstances={instances}")
        values += who
        if start := _budget_start(shell, config):
            values.append(f"budgetStart={start}")
        # One name for all deployments of an environment: Azure then refuses a second one at the same time.
        name = ["--name", config.names.workspace]
        # The file names its template, and each value in a new --parameters overrides it.
        file = f"{FOLDER}/{config.environment}.bicepparam"
        arguments = [*name, "--location", config.location, "--parameters", file]
        if values:
            arguments += ["--parameters", *values]
        plans.append(_deploy(shell, action, arguments))
        if action == "plan":
            return "\n".join(plan for plan in plans if plan)
        delete_old_rules(shell, self.project, config)
        enable_serverless_spark(shell, config)
        outputs = find(shell, "deployment", "sub", "show", *name, "--query", "properties.outputs")
        for key, output in sorted((outputs or {}).items()):
            print(f"{key} = {json.dumps(output['value'])}", flush=True)
        return ""


def _deploy(shell: Shell, action: Action, arguments: Sequence[str]) -> str:
    """Deploy, or return the text of what that would change."""
    if action == "apply":
        shell.run("az", "deployment", "sub", "create", *arguments, "--output", "none")
        return ""
    # What may change is compared with what may be read: an identity that plans has no right to change anything.
    text = shell.read("az", "deployment", "sub", "what-if", *arguments, "--validation-level", "ProviderNoRbac")
    print(text, flush=True)
    return text


def _deploy_registry(shell: Shell, config: EnvironmentConfig, action: Action, who: Sequence[str]) -> str:
    """Deploy the model registry into its own resource group, or return the text of what that would change."""
    if missing := prepare_registry_group(shell, config, apply=action == "apply"):
        return missing
    name = ["--name", config.names.registry, "--location", config.location]
    file = ["--template-file", f"{FOLDER}/model-registry.bicep"]
    return _deploy(shell, action, [*name, *file, "--parameters", f"environment={config.environment}", *who])


def _check(shell: Shell, project: Project) -> None:
    """Compile the template and every environment's parameters, with the linter's findings, and keep the results."""
    folder = project.root / ".local" / "bicep"
    folder.mkdir(parents=True, exist_ok=True)
    output = folder.relative_to(project.root).as_posix()
    shell.run("az", "bicep", "lint", "--file", f"{FOLDER}/main.bicep")
    shell.run("az", "bicep", "build", "--file", f"{FOLDER}/main.bicep", "--outfile", f"{output}/main.json")
    if builds_registry_apart(project):
        file, target = f"{FOLDER}/model-registry.bicep", f"{output}/model-registry.json"
        shell.run("az", "bicep", "lint", "--file", file)
        shell.run("az", "bicep", "build", "--file", file, "--outfile", target)
    for environment in project.environments:
        file, target = f"{FOLDER}/{environment}.bicepparam", f"{output}/{environment}.json"
        shell.run("az", "bicep", "build-params", "--file", file, "--outfile", target)


def _budget_start(shell: Shell, config: EnvironmentConfig) -> str | None:
    """Return the first day of a budget that exists: Azure refuses another one, such as the template's default."""
    names = config.names
    place = ["--resource-group", names.resource_group, "--name", str(names.budget)]
    budget = find(shell, "resource", "show", *place, "--resource-type", "Microsoft.Consumption/budgets")
    return str(budget["properties"]["timePeriod"]["startDate"])[:10] if budget else None


def _recover_vault(shell: Shell, config: EnvironmentConfig) -> None:
    """Bring a deleted key vault back, which a deployment cannot, and whose name is taken as long as it is deleted."""
    names = config.names
    assert names.key_vault is not None  # only a project without infrastructure lacks it
    vault = ["--name", names.key_vault, "--location", config.location]
    try:
        deleted = find(shell, "keyvault", "show-deleted", *vault)
    except CommandError:
        # Without the right to look, the deployment reports it.
        return
    if deleted is None:
        return
    # It comes back to its old resource group, which a teardown has deleted.
    tags = [f"{key}={value}" for key, value in config.tags.items()]
    group = ["--name", names.resource_group, "--location", config.location]
    shell.run("az", "group", "create", *group, "--tags", *tags, "--output", "none")
    shell.run("az", "keyvault", "recover", *vault, "--output", "none")


def _destroy(shell: Shell, config: EnvironmentConfig) -> None:
    """Delete what the deployment made: our locks, which would stop the rest, the workspace for good, the group."""
    group = config.names.resource_group
    if not shell.dry_run and find(shell, "group", "show", "--name", group) is None:
        print(f"# There is no resource group {group}.", flush=True)
        return
    delete_locks(shell, group)
    _delete_rights_to_registry(shell, config)
    purge_workspace(shell, config)
    shell.run("az", "group", "delete", "--name", group, "--yes")


def _delete_rights_to_registry(shell: Shell, config: EnvironmentConfig) -> None:
    """Delete what the environment's identities may do in the group of the registry, which outlives the environment.

    A deployment gives it to the next identities of these names, and Azure refuses that while the old ones have it.
    """
    names = config.names
    has_rights = config.closed or config.model.source == "registry"
    if not has_rights or names.registry_resource_group is None or shell.dry_run:
        return
    identities = find(shell, "identity", "list", "--resource-group", names.resource_group)
    if not identities:
        return
    subscription = names.registry_subscription or account(shell).subscription
    scope = f"/subscriptions/{subscription}/resourceGroups/{names.registry_resource_group}"
    roles = [role for each in identities for role in role_assignments(shell, scope, each["principalId"])]
    if ids := [role["id"] for role in roles]:
        shell.run("az", "role", "assignment", "delete", "--ids", *ids)
