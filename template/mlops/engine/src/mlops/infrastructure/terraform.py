"""Terraform: each step is one command, shown before it runs; and the storage account that keeps its state."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops.config import EnvironmentConfig, builds_registry_apart
from mlops.errors import CommandError, UserError
from mlops.infrastructure.losses import RULE, check_confirmed, describe, instances, losses, outbound_rules
from mlops.infrastructure.provisioned import Provisioned
from mlops.infrastructure.state import (
    StateAccount,
    StateContainer,
    StateFirewall,
    StateVersions,
    check_firewall,
    check_subnets,
    place_of,
    state_of,
    taken,
)
from mlops.infrastructure.state import (
    describe as describe_firewall,
)
from mlops.infrastructure.workspace import (
    delete_instance,
    enable_serverless_spark,
    existing_instances,
    online_endpoint_exists,
)
from mlops.shell import Shell
from mlops.subscription import account as azure
from mlops.subscription.checks import Check, Context, machines
from mlops.subscription.checks.rights import Granted
from mlops.subscription.checks.tools import Tool
from mlops.subscription.choices import Action
from mlops.subscription.registry import prepare_registry_group
from mlops.subscription.steps import Cloud, Identity, Person, RoleAssignment, Step

FOLDER = "infrastructure/terraform"
REGISTRY_FOLDER = f"{FOLDER}/model-registry"

ROLES = ("azurerm_role_assignment.resources", "azurerm_role_assignment.workspace")
"""The addresses of nearly all role assignments."""

REGISTRY_STATE = "shared.tfstate"
"""The state of the model registry: a blob beside that of the environment which builds it."""

NO_STATE = "no such host|ResourceNotFound|ContainerNotFound|AuthorizationFailure|AuthorizationPermissionMismatch"
"""What `terraform init` writes without account or container of the state, and without the right to them."""

STATE_ROLE, STATE_READER = "Storage Blob Data Contributor", "Storage Blob Data Reader"

INSTALL = "see https://developer.hashicorp.com/terraform/install"


class Terraform(Provisioned):
    """Terraform's commands, and where its state is."""

    finds_vaults_in_any_subscription = False  # azurerm looks for a key's vault in its own

    def tools(self) -> list[Tool]:
        """Return Terraform."""
        version = ("terraform", "version", "-json")
        return [Tool("terraform", version, r'"terraform_version": "([\d.]+)', "1.11", INSTALL)]

    def scope(self, context: Context) -> str:
        """Return the resource group once there is one: the infrastructure makes it."""
        group = context.az("group", "show", "--name", context.config.names.resource_group)
        return context.group if group is not None else context.subscription

    def check_bootstrap(self, cloud: Cloud, config: EnvironmentConfig, *, undo: bool) -> None:
        """Look for the resources, and whether the state's storage account can be made as the config has it.

        Raises:
            UserError: One of them would stop `bootstrap` half-way.
        """
        super().check_bootstrap(cloud, config, undo=undo)
        state = state_of(config)
        if undo:
            return
        found = list(check_subnets(cloud.find, config))
        if not cloud.find("storage", "account", "show", *place_of(state)):
            name = cloud.find("storage", "account", "check-name", "--name", state.storage_account)
            if name and not name["nameAvailable"]:
                raise taken(config)
            found += machines.zones(cloud.find, config)
        if problems := [each for each in found if each.level == "error"]:
            raise UserError(f"{problems[0].text}: {problems[0].remedy}")

    def check_teardown(self, config: EnvironmentConfig) -> None:
        """Connect with the state, which may refuse this machine.

        Raises:
            UserError: It does.
        """
        shell = self._shell(dry_run=False)
        try:
            Module(shell, config, FOLDER, state_of(config).key, _login(shell)).initialise()
        except CommandError as error:
            raise self.remedy(error, config) or error from error

    def steps(
        self, cloud: Cloud, config: EnvironmentConfig, identity: Identity, reader: Identity, *, undo: bool
    ) -> list[Step]:
        """Return the storage account of the state, the rights to it, and the roles to provision."""
        state = state_of(config)
        scope = f"{cloud.subscription}/resourceGroups/{state.resource_group}"
        scope += f"/providers/Microsoft.Storage/storageAccounts/{state.storage_account}"
        account, place = StateAccount(cloud, config), f"storage account {state.storage_account}"
        steps: list[Step] = [account, StateVersions(cloud, state), StateContainer(cloud, state)]
        if state.firewall:  # without it a firewall that was set by hand stays
            steps.append(StateFirewall(cloud, state, state.firewall))
        steps.append(RoleAssignment(cloud, identity, STATE_ROLE, scope, place, within=account))
        steps.append(RoleAssignment(cloud, reader, STATE_READER, scope, place, within=account))
        if cloud.user:  # `mlops provision` run manually reads and writes the state, too
            steps.append(RoleAssignment(cloud, Person(cloud.user), STATE_ROLE, scope, place, within=account))
        return [*steps, *super().steps(cloud, config, identity, reader, undo=undo)]

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of both tools, and that of the state's firewall."""
        return {**super().checks(), "firewall of the state": check_firewall}

    def previews(self, config: EnvironmentConfig) -> bool:
        """Return whether there are deployments of a template: compute instances, or the model registry."""
        return config.compute.instances is not None or config.model_registry is not None

    def missing_user_rights(self, context: Context, granted: Granted) -> Iterator[str]:
        """Yield the rights that a user lacks to provision and to keep the state."""
        yield from super().missing_user_rights(context, granted)
        # `bootstrap` makes the account and grants its user the role.
        if context.az("storage", "account", "show", *place_of(state_of(context.config))):
            yield from self._missing_state_rights(context, granted)

    def missing_workflow_rights(self, context: Context, granted: Granted) -> Iterator[str]:
        """Yield the rights that the workflows' identity lacks to provision and to keep the state."""
        yield from super().missing_workflow_rights(context, granted)
        yield from self._missing_state_rights(context, granted)

    def missing_reader_rights(self, context: Context, granted: Granted) -> Iterator[str]:
        """Yield the rights that the identity which plans lacks, to read the state among them."""
        yield from super().missing_reader_rights(context, granted)
        yield from self._missing_state_rights(context, granted, STATE_READER, STATE_ROLE)

    def _missing_state_rights(
        self, context: Context, granted: Granted, role: str = STATE_ROLE, *wider: str
    ) -> Iterator[str]:
        """Yield the right to the state if it is missing; an owner of the account does not have it automatically."""
        state = state_of(context.config)
        account = f"{context.subscription}/resourceGroups/{state.resource_group}/providers/Microsoft.Storage"
        account += f"/storageAccounts/{state.storage_account}"
        if not granted.at(account, role, *wider, "Storage Blob Data Owner"):
            yield f"{role} on the state account {state.storage_account}"

    def remedy(self, error: CommandError, config: EnvironmentConfig) -> UserError | None:
        """Return the one line that helps; of an error of `terraform init` one about the state."""
        if "init" not in error.command or not re.search(NO_STATE, error.output):
            return super().remedy(error, config)
        state = state_of(config)
        here = ""
        if "AuthorizationFailure" in error.output:  # what Azure calls it; a missing role has another name
            admitted = state.firewall.admitted if state.firewall else None
            here = " Or its firewall keeps this machine out"
            here += f": it admits {describe_firewall(admitted)}" if admitted else ""
        return UserError(
            f"terraform init failed: does the state's container {state.container} in storage account "
            f"{state.storage_account} exist, and have you the role Storage Blob Data Contributor on it? "
            f"`uv run mlops bootstrap --environment {config.environment}` sees to both (details above).{here}"
        )

    def _shell(self, *, dry_run: bool) -> Shell:
        return Shell(self.project.root, dry_run, {**azure.REMEDIES, "terraform": INSTALL})

    def run(
        self, config: EnvironmentConfig, action: Action, *, dry_run: bool, deployer: str | None, confirm: str
    ) -> str:
        """Initialise Terraform for the environment's state, then apply, plan or destroy; a check needs no account."""
        shell = self._shell(dry_run=dry_run)
        if action == "check":
            _check(shell, FOLDER)
            if builds_registry_apart(self.project):
                _check(shell, REGISTRY_FOLDER)
            return ""
        environment = Module(shell, config, FOLDER, state_of(config).key, _login(shell))
        registry = Module(shell, config, REGISTRY_FOLDER, REGISTRY_STATE, environment.sign_in)
        # A plan may be cut off, as that of a pull request is by the next push, and its lock would stay and block the
        # next apply (hashicorp/setup-terraform#441).
        lock = "-lock=false" if action == "plan" else "-lock-timeout=10m"
        arguments = ["-input=false", lock, "-var", f"environment={config.environment}"]
        if deployer:
            arguments += ["-var", f"deployer_principal_id={deployer}"]
        elif _service():
            arguments += ["-var", "deployer_principal_type=ServicePrincipal"]
        if action == "destroy":
            environment.initialise()
            # Also those that have left the config without a run, or whose add-on has left the answers.
            state = environment.state()
            there = [*existing_instances(shell, self.project, config), *instances(state)]
            for instance in dict.fromkeys(there):
                delete_instance(shell, config, instance)
            if len(rules := outbound_rules(state)) > 1:
                # Azure was seen to lose rules that are made at once; whether deletions clash is not documented.
                targets = [f"-target={address}" for address in rules]
                environment.run("destroy", "-auto-approve", "-parallelism=1", *targets, *arguments)
            modules = [environment]
            if config.builds_registry_apart:
                # After the private endpoints to it, but before the group that it is in.
                modules.insert(0 if config.keeps_registry_in_own_group else 1, registry)
            for module in modules:
                if module is registry:
                    module.initialise()
                module.run("destroy", "-auto-approve", *arguments)
            return ""
        plans = []
        if config.builds_registry_apart:
            if missing := prepare_registry_group(shell, config, apply=action == "apply"):
                plans.append(missing)
            else:
                registry.initialise()
                plans.append(registry.plan(arguments, apply=action == "apply", lock=lock, confirm=confirm))
        environment.initialise()
        exists = online_endpoint_exists(shell, self.project, config)
        arguments += ["-var", f"online_endpoint_exists={str(exists).lower()}"]
        plans.append(environment.plan(arguments, apply=action == "apply", lock=lock, confirm=confirm))
        if action == "apply":
            enable_serverless_spark(shell, config)
        return "\n".join(plan for plan in plans if plan)


@dataclass(frozen=True)
class Module:
    """A folder that Terraform applies, with a state of its own."""

    shell: Shell
    config: EnvironmentConfig
    folder: str
    key: str
    """The blob of its state."""
    sign_in: Mapping[str, str]
    """Variables for Terraform, beside those of the terminal."""

    def run(self, *words: str) -> None:
        """Run a command."""
        self.shell.run("terraform", f"-chdir={self.folder}", *words, variables=dict(self.sign_in))

    def initialise(self) -> None:
        """Connect the folder with its state."""
        # -reconfigure: each environment has its own state, and none is ever copied into another's.
        self.run("init", "-input=false", "-reconfigure", *_backend(self.config, self.key))

    def plan(self, arguments: Sequence[str], *, apply: bool, lock: str, confirm: str = "") -> str:
        """Plan, and then apply that plan or return its text.

        Raises:
            UserError: The plan would delete the model registry, or something else for good without a name for it.
        """
        root = self.shell.folder
        name = self.config.environment if self.folder == FOLDER else Path(self.folder).name
        plan = root / ".local" / "terraform" / f"{name}.tfplan"
        plan.parent.mkdir(parents=True, exist_ok=True)
        # Terraform starts in its own folder, so the plan's path is seen from there.
        file = f"{'../' * len(Path(self.folder).parts)}{plan.relative_to(root).as_posix()}"
        self.run("plan", *arguments, f"-out={file}")
        document = self._show(file, "-json")
        if not apply:
            return "\n".join(filter(None, [describe(losses(document)), self._show(file)]))
        found = losses(document)
        check_confirmed(self.config, found, confirm)
        if removed := [loss.name for loss in found if loss.is_instance]:
            for instance in removed:
                delete_instance(self.shell, self.config, instance)
            # The machines are gone with the records of their deployments, so the rest is another plan.
            self.run("plan", *arguments, f"-out={file}")
            document = self._show(file, "-json")
            check_confirmed(self.config, losses(document), confirm)
        if first := _in_the_way(document):
            # Terraform would make the one while the other, of the same name, is still there.
            self._part(first, arguments, lock, file)
            document = self._show(file, "-json")
        rules = _changed(document, RULE)
        if rules > 1 and _changed(document, "azurerm_role_assignment") > 1:
            # azurerm waits 20 seconds for each role: they need no pace, and go first.
            self._part(ROLES, arguments, lock, file)
        # What is applied is the plan that was shown, and no other.
        self._apply(file, lock, rules)
        plan.unlink(missing_ok=True)
        return ""

    def _part(self, addresses: Sequence[str], arguments: Sequence[str], lock: str, file: str) -> None:
        """Apply a part of the plan that was shown, and plan the rest."""
        self.run("plan", *arguments, *(f"-target={address}" for address in addresses), f"-out={file}")
        self._apply(file, lock, len(re.findall(RULE, " ".join(addresses))))
        self.run("plan", *arguments, f"-out={file}")

    def _apply(self, file: str, lock: str, rules: int) -> None:
        """Apply a plan: one by one if it changes two rules of a managed network.

        Azure loses rules that are made at once (Azure/terraform-provider-azapi#453).
        """
        self.run("apply", "-input=false", lock, *(["-parallelism=1"] if rules > 1 else []), file)

    def state(self) -> str:
        """Return the state as JSON."""
        return self._show("", "-json")

    def _show(self, file: str, *words: str) -> str:
        """Return a plan, or without a file the state, as text or as JSON; a dry run has none."""
        if self.shell.dry_run:
            return "{}" if words else ""
        what = [*words, file] if file else words
        return self.shell.read("terraform", f"-chdir={self.folder}", "show", "-no-color", *what)


def _in_the_way(plan: str) -> list[str]:
    """Return the addresses of what goes while another address makes the same: Azure has one of each name.

    So does each private endpoint when `network.dns` becomes "policy", or another one afterwards. Azure may refuse a
    second rule for the same host, too, and until v0.13 the rules had other names.
    """
    found: dict[str, dict[tuple[str, str], str]] = {"create": {}, "delete": {}}
    for each in json.loads(plan).get("resource_changes", ()):
        change = each["change"]
        values = change.get("before") or change.get("after") or {}
        same = values.get("destination_fqdn") or values.get("name")
        if change["actions"] in (["create"], ["delete"]) and same:
            found[change["actions"][0]][each["type"], same] = str(each["address"])
    return [address for which, address in found["delete"].items() if which in found["create"]]


def _changed(plan: str, kind: str) -> int:
    """Return how many resources a plan changes whose addresses match a pattern."""
    changes = json.loads(plan).get("resource_changes", ())
    found = [each for each in changes if re.search(kind, str(each["address"]))]
    return sum(each["change"]["actions"] not in (["no-op"], ["read"]) for each in found)


def _check(shell: Shell, folder: str) -> None:
    """Run what needs no account: format, validity, and the project's own tests."""
    for words in (
        ["fmt", "-check", "-recursive"],
        ["init", "-input=false", "-backend=false"],
        ["validate"],
        ["test"],
    ):
        shell.run("terraform", f"-chdir={folder}", *words)


def _backend(config: EnvironmentConfig, key: str) -> list[str]:
    state = state_of(config)
    values = {
        "resource_group_name": state.resource_group,
        "storage_account_name": state.storage_account,
        "container_name": state.container,
        "key": key,
        "use_azuread_auth": "true",
    }
    if _oidc():
        values["use_oidc"] = "true"
    return [f"-backend-config={key}={value}" for key, value in values.items()]


def _login(shell: Shell) -> dict[str, str]:
    """Return the variables that Terraform needs beside those of the terminal.

    The provider reads the subscription from a variable; on a developer's machine that is the one of `az`.
    """
    if _oidc() or os.environ.get("ARM_SUBSCRIPTION_ID"):
        return {}
    if shell.dry_run:
        azure.find(shell, "account", "show")
        return {}
    account = azure.account(shell)
    print(f"# ARM_SUBSCRIPTION_ID={account.subscription} ({account.name})", flush=True)
    return {"ARM_SUBSCRIPTION_ID": account.subscription}


def _oidc() -> bool:
    return os.environ.get("ARM_USE_OIDC", "").lower() in ("true", "1")


def _service() -> bool:
    """Return whether Terraform signs in as a service, and not as the person who is signed in to `az`."""
    msi = os.environ.get("ARM_USE_MSI", "").lower() in ("true", "1")
    return _oidc() or msi or bool(os.environ.get("ARM_CLIENT_ID"))
