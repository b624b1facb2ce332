"""What Terraform and Bicep have in common: the same resources, rights and checks."""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from mlops import definitions
from mlops.config import EnvironmentConfig
from mlops.errors import CommandError, UserError
from mlops.infrastructure import checks, preview
from mlops.infrastructure.workspace import (
    ENDPOINT_PROVIDERS,
    check_workspace,
    provisioning_remedy,
    workflows_principal,
)
from mlops.project import Project, load_yaml
from mlops.subscription.account import NO_RIGHT
from mlops.subscription.checks import Check, Context, machines, rights
from mlops.subscription.checks.rights import Granted
from mlops.subscription.checks.tools import Tool
from mlops.subscription.choices import WORKFLOWS, Action
from mlops.subscription.order import turn
from mlops.subscription.steps import (
    PAUSE_SECONDS,
    Cloud,
    Identity,
    ResourceGroup,
    RoleAssignment,
    SkippedError,
    Step,
)

NO_OWN_RIGHT = "FailedIdentityOperation"
"""What Azure writes while a role of the workspace's identity has not, which the same apply has granted."""

OWN_RIGHT_MINUTES = 5
"""How long that is waited for, where nothing longer is asked for."""

ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
INSTANCES = "user-with-compute-instance"


class Provisioned(ABC):
    """Infrastructure that the project builds."""

    provisions = True
    finds_vaults_in_any_subscription = True

    def __init__(self, project: Project) -> None:
        """Keep the project."""
        self.project = project

    def provision(
        self,
        config: EnvironmentConfig,
        action: Action,
        *,
        dry_run: bool = False,
        deployer: str | None = None,
        retry_minutes: int = 0,
        confirm: str = "",
    ) -> str:
        """Build, preview, check or remove an environment's resources; see `Infrastructure.provision`."""
        if deployer == WORKFLOWS:
            deployer = workflows_principal(self.project, config, dry_run=dry_run)
        if action in ("plan", "apply") and not dry_run:
            check_workspace(self.project, config)
        run = partial(self.run, config, action, dry_run=dry_run, deployer=deployer, confirm=confirm)
        # `mlops teardown` deletes more than this does, so it takes the turn itself.
        changes = action == "apply" and not dry_run
        with turn(self.project, config, "provision") if changes else nullcontext():
            return self._repeat(run, config, retry_minutes)

    def _repeat(self, run: Callable[[], str], config: EnvironmentConfig, retry_minutes: int) -> str:
        """Run the tool, and again while a right that was granted just now has not taken effect."""
        waited = 0
        while True:
            try:
                return run()
            except CommandError as error:
                minutes = retry_minutes if re.search(NO_RIGHT, error.output) else 0
                if re.search(NO_OWN_RIGHT, error.output):
                    minutes = max(retry_minutes, OWN_RIGHT_MINUTES)
                if waited + PAUSE_SECONDS > minutes * 60:
                    raise self.remedy(error, config) or error from error
            if not waited:
                print(f"A right is missing: new ones need some minutes, {minutes} at most.", flush=True)
            waited += PAUSE_SECONDS
            time.sleep(PAUSE_SECONDS)

    def remedy(self, error: CommandError, config: EnvironmentConfig) -> UserError | None:
        """Return the one line that helps, or None when the error has no known remedy."""
        return provisioning_remedy(error.output, config)

    @abstractmethod
    def run(
        self, config: EnvironmentConfig, action: Action, *, dry_run: bool, deployer: str | None, confirm: str
    ) -> str:
        """Run the tool, and return the text of a plan.

        Raises:
            CommandError: The tool fails.
        """

    @abstractmethod
    def tools(self) -> list[Tool]:
        """Return the programs that build the resources."""

    @abstractmethod
    def scope(self, context: Context) -> str:
        """Return the scope at which provisioning needs its roles."""

    def providers(self) -> list[str]:
        """Return the resource providers of the resources."""
        needed = {"AlertsManagement", "Consumption", "ContainerRegistry", "Insights", "KeyVault"}
        needed |= {"MachineLearningServices", "OperationalInsights", "Storage"}
        if "private-network" in self.project.add_ons:
            needed.add("Network")
        return sorted({*ENDPOINT_PROVIDERS, *(f"Microsoft.{name}" for name in needed)})

    def check_bootstrap(self, cloud: Cloud, config: EnvironmentConfig, *, undo: bool) -> None:
        """Refuse to take the rights away while the resources still stand.

        Raises:
            UserError: The environment's resource group is there.
        """
        group = config.names.resource_group
        if undo and cloud.find("group", "show", "--name", group):
            raise UserError(
                f"resource group {group} is still there, and nothing else could delete it properly: first run "
                f"`uv run mlops teardown --environment {config.environment} --all`"
            )

    def check_teardown(self, config: EnvironmentConfig) -> None:  # noqa: B027 - what only Terraform has a part in
        """Accept every machine: Azure Resource Manager is reached from anywhere."""

    def steps(
        self, cloud: Cloud, config: EnvironmentConfig, identity: Identity, reader: Identity, *, undo: bool
    ) -> list[Step]:
        """Return the roles to provision, and those to plan."""
        # At the subscription and not at the environment's resource group: there is none yet. It is the infrastructure's
        # own (one that is made here would be in Terraform's way), and Bicep deploys at the subscription.
        place, scope = f"subscription {cloud.account.name}", cloud.subscription
        administrator = "Role Based Access Control Administrator"
        steps: list[Step] = [
            RoleAssignment(cloud, identity, "Contributor", scope, place),
            RoleAssignment(cloud, identity, administrator, scope, place, self._condition(config)),
        ]
        if _locks(config):
            steps.append(RoleAssignment(cloud, identity, "Locks Contributor", scope, place))
        keeps_registry = config.environment == self.project.first_environment or config.builds_registry_apart
        if config.names.registry_resource_group and keeps_registry:
            group = ResourceGroup(cloud, config, config.registry_group)
            if not config.keeps_registry_in_own_group:  # which the infrastructure makes
                steps.append(group)
            if config.builds_registry_apart:  # which sets locks there, and may do so there alone
                scope_of_group = f"{cloud.subscription}/resourceGroups/{group.group}"
                within = None if config.keeps_registry_in_own_group else group
                locks = RoleAssignment(cloud, identity, "Locks Contributor", scope_of_group, group.name, within=within)
                steps.append(locks)
        steps.append(RoleAssignment(cloud, reader, "Reader", scope, place))
        if definitions.of(self.project).monitor_writes_files:
            steps.append(ResultsReader(cloud, config, reader))
        return [*steps, *preview.steps(cloud, reader)] if self.previews(config) else steps

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of the subscription, and of the names and ranges that the resources need."""
        return {
            "resource providers": partial(rights.providers, needed=self.providers()),
            "your rights": partial(
                rights.user_rights,
                missing=self.missing_user_rights,
                remedy="an owner of the subscription grants it to you",
            ),
            "workflows' rights": partial(rights.workflow_rights, missing=self.missing_workflow_rights),
            "rights to plan": partial(rights.workflow_rights, missing=self.missing_reader_rights, reads=True),
            "order of runs": lambda context: checks.order_of_runs(context, self.scope(context)),
            "region": machines.region,
            "machine sizes": machines.sizes,
            "quota": machines.quota,
            "names": checks.names,
            "deleted workspace": checks.deleted_workspace,
            "model registry": checks.registry,
            "virtual networks": checks.networks,
            "users": checks.users,
            "what the company gives": partial(
                checks.company, in_any_subscription=self.finds_vaults_in_any_subscription
            ),
        }

    def missing_user_rights(self, context: Context, granted: Granted) -> Iterator[str]:
        """Yield the rights that a user lacks to provision."""
        yield from self._missing_rights(context, granted)

    def missing_workflow_rights(self, context: Context, granted: Granted) -> Iterator[str]:
        """Yield the rights that the workflows' identity lacks to provision."""
        yield from self._missing_rights(context, granted)

    def missing_reader_rights(self, context: Context, granted: Granted) -> Iterator[str]:
        """Yield the rights that the identity which plans lacks."""
        if not granted.at(context.subscription, "Reader", "Contributor", "Owner"):
            yield f"Reader on {context.subscription}"

    def previews(self, config: EnvironmentConfig) -> bool:
        """Return whether a plan needs more than the role Reader: it asks Azure for the preview of a deployment."""
        return False

    def _missing_rights(self, context: Context, granted: Granted) -> Iterator[str]:
        scope = self.scope(context)
        if not granted.at(scope, "Owner", "Contributor"):
            yield f"Contributor on {scope}"
        document = self._roles()
        names = {entry["role"] for entry in document["assignments"].values()}
        kinds = ["ServicePrincipal", *(["User"] if INSTANCES in self.project.add_ons else [])]
        kinds += ["Group"] if context.config.access and context.config.access.data_scientists else []
        yield from granted.missing_to_grant(scope, {name: document["roles"][name] for name in names}, kinds)
        to_lock = ("Owner", "User Access Administrator", "Locks Contributor")
        if _locks(context.config) and not granted.at(scope, *to_lock):
            yield f"Locks Contributor on {scope}"
        if context.config.builds_registry_apart:
            shared = f"{context.subscription}/resourceGroups/{context.config.registry_group}"
            if not granted.at(shared, "Owner", "Contributor"):
                yield f"Contributor on {shared}"
            if not granted.at(shared, *to_lock):
                yield f"Locks Contributor on {shared}"

    def _roles(self) -> dict[str, Any]:
        return load_yaml(self.project.root / "infrastructure" / "shared" / "roles.yml")

    def _condition(self, config: EnvironmentConfig) -> str:
        """Return the condition that limits granting and revoking of roles to those of the infrastructure.

        Roles are granted to services alone; where users own compute instances, or groups work in the workspace, the few
        roles of users to them as well.
        """
        document = self._roles()
        roles = document.get("roles")
        if not isinstance(roles, dict):
            raise UserError("infrastructure/shared/roles.yml: roles: the key is missing")
        granted = [_one_of(roles.values(), "ServicePrincipal")]
        if INSTANCES in self.project.add_ons:
            granted.append(_one_of({roles[role] for role in _roles_of(document, "user")}, "User"))
        if config.access and config.access.data_scientists:
            granted.append(_one_of({roles[role] for role in _roles_of(document, "user")}, "Group"))
        # Revoking is not limited by the kind: the one of a person's who built the environment first goes, too.
        allowed = {"write": " OR ".join(granted), "delete": _one_of(roles.values())}
        # In one line: a line break in an argument does not survive the az of Windows, which is a batch file.
        return " AND ".join(
            f"(!(ActionMatches{{'{ASSIGNMENTS}/{action}'}}) OR {which})" for action, which in allowed.items()
        )


def _one_of(roles: Iterable[object], kind: str = "") -> str:
    """Return the part of a condition for assignments of these roles; `kind` is what they are granted to."""
    source, ids = "@Request" if kind else "@Resource", ", ".join(sorted(map(str, roles)))
    which = f"{source}[{ASSIGNMENTS}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{ids}}}"
    whom = f"{source}[{ASSIGNMENTS}:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{'{kind}'}}"
    return f"({which} AND {whom})" if kind else which


def _roles_of(document: dict[str, Any], identity: str) -> set[str]:
    return {entry["role"] for entry in document["assignments"].values() if entry["identity"] == identity}


@dataclass
class ResultsReader(Step):
    """The right to read what the monitor of SDK v1 found, in a storage account that comes with the infrastructure."""

    cloud: Cloud
    config: EnvironmentConfig
    reader: Identity

    @property
    def name(self) -> str:
        """The role, its place and who gets it."""
        return self._role.name

    def done(self) -> bool:
        """Return whether the role is granted; without the storage account that is impossible."""
        names = self.config.names
        place = ("--name", str(names.storage_account), "--resource-group", names.resource_group)
        if self.cloud.find("storage", "account", "show", *place) is None:
            raise SkippedError(
                f"{self.reader.name} cannot read what the monitor finds until storage account {names.storage_account} "
                f"is built: run `uv run mlops bootstrap --environment {self.config.environment}` once more then"
            )
        return self._role.done()

    def make(self) -> None:
        """Grant the role."""
        self._role.make()

    @property
    def _role(self) -> RoleAssignment:
        names = self.config.names
        scope = f"{self.cloud.subscription}/resourceGroups/{names.resource_group}/providers/Microsoft.Storage"
        account = f"{scope}/storageAccounts/{names.storage_account}"
        place = f"storage account {names.storage_account}"
        return RoleAssignment(self.cloud, self.reader, "Storage Blob Data Reader", account, place)


def _locks(config: EnvironmentConfig) -> bool:
    return config.security is not None and config.security.delete_lock
