"""Workspaces that are there already: the project uses them and builds nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mlops import definitions
from mlops.config import EnvironmentConfig
from mlops.errors import UserError
from mlops.infrastructure.workspace import ENDPOINT_PROVIDERS
from mlops.project import Project
from mlops.subscription import account as azure
from mlops.subscription.account import ROLES
from mlops.subscription.checks import Check, Context, Finding, error, machines, ok, rights, warning
from mlops.subscription.checks.rights import Granted
from mlops.subscription.checks.tools import Tool
from mlops.subscription.choices import Action
from mlops.subscription.steps import Cloud, Identity, RoleAssignment, SkippedError, Step

REGISTRY_USER = "AzureML Registry User"

# Roles that include another one; no owner has the rights to data by itself.
WIDER = {
    "AzureML Data Scientist": ("Owner", "Contributor"),
    "Reader": ("Owner", "Contributor"),
    REGISTRY_USER: ("Owner", "Contributor"),
    "Storage Blob Data Contributor": ("Storage Blob Data Owner",),
}


class Existing:
    """No infrastructure of the project's own."""

    provisions = False

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
        """Do nothing: a check passes.

        Raises:
            UserError: The action would change or preview something.
        """
        text = f"workspace {config.names.workspace} is not the project's own: there is nothing to provision"
        if action != "check":
            raise UserError(f"{text}; `uv run mlops doctor --environment {config.environment}` checks it")
        print(f"{text[0].upper()}{text[1:]}.", flush=True)
        return ""

    def tools(self) -> list[Tool]:
        """Return no program."""
        return []

    def providers(self) -> list[str]:
        """Return the resource providers of what the verbs make."""
        return sorted(ENDPOINT_PROVIDERS)

    def check_bootstrap(self, cloud: Cloud, config: EnvironmentConfig, *, undo: bool) -> None:
        """Accept every state: `steps` looks for the workspace."""

    def check_teardown(self, config: EnvironmentConfig) -> None:
        """Accept every state: nothing of it is deleted."""

    def steps(
        self, cloud: Cloud, config: EnvironmentConfig, identity: Identity, reader: Identity, *, undo: bool
    ) -> list[Step]:
        """Return the identities' roles in the workspace and the registry.

        Raises:
            UserError: The workspace cannot be seen.
        """
        group, workspace, registry = config.names.resource_group, config.names.workspace, config.names.registry
        place = ("--resource-group", group, "--name", workspace)
        found = cloud.find("resource", "show", *place, "--resource-type", azure.WORKSPACES)
        if cloud.dry_run:
            found = {"id": "WORKSPACE_ID", "properties": {"storageAccount": "STORAGE_ACCOUNT_ID"}}
        if found is None and undo:
            return []  # its roles went with it
        if found is None:
            raise UserError(
                f"there is no workspace {workspace} in resource group {group} of subscription {cloud.account.name}: "
                "choose the subscription with `az account set --subscription NAME`, or correct "
                f"config/{config.environment}.yml"
            )
        known = cloud.find("resource", "list", "--name", registry, "--resource-type", azure.REGISTRIES)
        if cloud.dry_run:
            known = [{"id": "REGISTRY_ID"}]
        needed = needed_roles(found, str(known[0]["id"]) if known else None)
        steps: list[Step] = [
            RoleAssignment(cloud, identity, role, scope, scope.rsplit("/", 1)[-1]) for role, scope in needed
        ]
        if definitions.of(self.project).monitor_writes_files:
            storage = str(found["properties"]["storageAccount"])
            steps.append(RoleAssignment(cloud, reader, "Storage Blob Data Reader", storage, storage.rsplit("/", 1)[-1]))
        for scope in (found["id"], *(item["id"] for item in known or ())):
            steps.append(RoleAssignment(cloud, reader, "Reader", scope, scope.rsplit("/", 1)[-1]))
        return steps if known else [*steps, RegistryElsewhere(cloud, identity, registry)]

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of the subscription and of the workspace."""
        return {
            "resource providers": partial(rights.providers, needed=self.providers()),
            "your rights": partial(
                rights.user_rights,
                missing=missing_user_rights,
                remedy="an administrator of the workspace grants it to you, or runs `mlops bootstrap`",
            ),
            "workspace": workspace,
            "model registry": registry,
            "workflows' rights": partial(rights.workflow_rights, missing=missing_workflow_rights),
            "rights to look": partial(rights.workflow_rights, missing=missing_reader_rights, reads=True),
            "region": machines.region,
            "machine sizes": machines.sizes,
            "quota": machines.quota,
        }


@dataclass
class RegistryElsewhere(Step):
    """The role on a registry of another subscription, which only its owner can grant."""

    cloud: Cloud
    identity: Identity
    registry: str

    @property
    def name(self) -> str:
        """The role."""
        return f"role {REGISTRY_USER} on {self.registry} for {self.identity.name}"

    def done(self) -> bool:
        """Refuse: the answer is out of reach."""
        raise SkippedError(
            f"registry {self.registry} is not in subscription {self.cloud.account.name}: let its owner grant "
            f"{self.identity.name} the role {REGISTRY_USER} on it (docs/operate.md)"
        )

    def make(self) -> None:
        """Do nothing: a step that is never to do."""


def needed_roles(workspace: dict[str, Any], registry: str | None) -> list[tuple[str, str]]:
    """Return what the workflows need in a workspace, and in the registry with this id: role and scope."""
    storage = str(workspace["properties"]["storageAccount"])
    needed = [
        ("AzureML Data Scientist", str(workspace["id"])),
        ("Storage Blob Data Contributor", storage),
        ("Storage File Data Privileged Contributor", storage),
        # AzureML Data Scientist does not include the metrics of the endpoint, which a rollout reads.
        ("Reader", str(workspace["id"])),
    ]
    return [*needed, (REGISTRY_USER, registry)] if registry else needed


def missing_user_rights(context: Context, granted: Granted) -> Iterator[str]:
    """Yield the rights that a user lacks to connect the workflows with the workspace."""
    group = f"{context.subscription}/resourceGroups/{context.config.deployer.resource_group}"
    if not granted.at(group, "Owner", "Contributor"):
        yield f"Contributor on {context.subscription}"
    needed = _needed_roles(context)
    for place in dict.fromkeys(scope for _, scope in needed):
        yield from granted.missing_to_grant(
            place, {role: ROLES[role] for role, scope in needed if scope == place}, ["ServicePrincipal"]
        )


def missing_workflow_rights(context: Context, granted: Granted) -> Iterator[str]:
    """Yield the rights that the workflows' identity lacks to use the workspace."""
    for role, scope in _needed_roles(context):
        if not granted.at(scope, role, *WIDER.get(role, ())):
            yield f"{role} on {scope}"


def missing_reader_rights(context: Context, granted: Granted) -> Iterator[str]:
    """Yield the rights that the identity which may only read lacks to look at jobs and models."""
    for place in (context.workspace, context.registry):
        if place and not granted.at(place["id"], "Reader", "Contributor", "Owner"):
            yield f"Reader on {place['id']}"


def _needed_roles(context: Context) -> list[tuple[str, str]]:
    workspace, registry = context.workspace, context.registry
    return needed_roles(workspace, registry["id"] if registry else None) if workspace else []


def workspace(context: Context) -> Iterator[Finding]:
    """Look for the workspace and its cluster."""
    group, name = context.config.names.resource_group, context.config.names.workspace
    if context.workspace is None:
        remedy = f"correct {context.file}, or choose the subscription with `az account set --subscription NAME`"
        yield error(f"there is no workspace {name} in {group}", remedy)
        return
    location, wanted = context.workspace["location"], context.config.location
    if location == wanted:
        yield ok(f"workspace {name} in {location}")
    else:
        yield error(f"workspace {name} is in {location}, not in {wanted}", f"correct location in {context.file}")
    cluster = context.config.compute.cluster.name
    below = ["--namespace", "Microsoft.MachineLearningServices", "--parent", f"workspaces/{name}"]
    where = ["--resource-group", group, "--name", cluster, "--resource-type", "computes"]
    if context.az("resource", "show", *where, *below) is None:
        yield error(f"workspace {name} has no cluster {cluster}", f"correct compute.cluster.name in {context.file}")
    else:
        yield ok(f"cluster {cluster}")


def registry(context: Context) -> Iterator[Finding]:
    """Look where the model registry is."""
    name, item = context.config.names.registry, context.registry
    if item is None:
        remedy = f"correct names.registry in {context.file}, unless it is in another subscription"
        yield warning(f"there is no registry {name} here", remedy)
    else:
        yield ok(f"{name} in {item['resourceGroup']}")
