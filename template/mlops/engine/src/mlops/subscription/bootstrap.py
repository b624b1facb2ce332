"""From nothing to an environment that can be provisioned: an identity without a secret, its rights, and the workflows.

What is to be made is a list of steps. Each asks the cloud whether it is done, so there is no state to keep: a run that
stopped half-way goes on where it was, and one more run has nothing to do.
"""

import contextlib
import importlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import typer

from mlops.config import EnvironmentConfig, Project, TerraformState, load_environment, load_yaml
from mlops.errors import CommandError, UserError
from mlops.shell import Shell
from mlops.subscription import account as azure
from mlops.subscription.account import ROLES, Account

ORCHESTRATIONS = {"github-actions": "mlops.orchestration.github"}

# Whatever carries this tag may go with `--undo`; what somebody else made stays.
MADE_HERE = {"created_by": "mlops-bootstrap"}

# What a dry run shows instead of the ids that it would have to ask for.
UNKNOWN = Account("SUBSCRIPTION_ID", "TENANT_ID", "SUBSCRIPTION", "USER", "user")

# A new identity takes some minutes to reach every part of the directory.
PATIENCE, PAUSE_SECONDS = 20, 15


class SkippedError(Exception):
    """A step cannot be taken and is not essential: the message says what that means."""


def _no() -> bool:
    return False


@dataclass(frozen=True)
class Step:
    """Something to be made: its name, whether it is done, how it is made and, if it may go again, how it is removed.

    `removable` says whether it is there and may go. Each of them raises SkippedError when that cannot be, and the rest
    can go on without it.
    """

    name: str
    done: Callable[[], bool]
    make: Callable[[], object]
    removable: Callable[[], bool] = _no
    remove: Callable[[], object] | None = None


class Orchestration(Protocol):
    """Where the workflows run: `connect` of its module returns it, with the same arguments as in `mlops.orchestration.github`."""

    def describe(self) -> list[str]:
        """Return what the plan says about it. Raises UserError when it cannot be used as it is."""

    def before(self) -> list[Step]:
        """Return what comes before the environments."""

    def environment(self, config: EnvironmentConfig, identity: "Identity") -> list[Step]:
        """Return what connects an environment: the identity's trust in the workflows, and its ids for them."""

    def after(self) -> list[Step]:
        """Return what comes last, when the workflows find everything ready."""

    def advice(self) -> list[str]:
        """Return what to do next."""


class Cloud:
    """The project, and the command-line programs that ask the clouds and change them; a dry run asks nothing."""

    def __init__(self, project: Project, *, dry_run: bool) -> None:
        """Take the project. With `dry_run` each change is only shown."""
        self.project = project
        self.dry_run = dry_run
        self.shell = Shell(project.root, dry_run, azure.CURES, quiet=not dry_run)

    @cached_property
    def account(self) -> Account:
        """Where `az` is signed in."""
        return UNKNOWN if self.dry_run else azure.account(self.shell)

    @property
    def subscription(self) -> str:
        """The subscription as a scope of roles."""
        return f"/subscriptions/{self.account.subscription}"

    def find(self, *command: str) -> Any:
        """Ask `az`; None when there is no such thing, and in a dry run."""
        return None if self.dry_run else azure.find(self.shell, *command)

    def change(self, *command: str) -> str:
        """Run a command that changes something, and return what it wrote."""
        return self.shell.read(*command)

    def az(self, *command: str) -> None:
        """Change something in Azure."""
        self.change("az", *command, "--output", "none")

    @cached_property
    def user(self) -> str | None:
        """The object id of the person who is signed in, None for a machine and when the directory does not say."""
        if self.dry_run:
            return "YOUR_OBJECT_ID"
        if self.account.user_type != "user":
            return None
        try:
            return str(self.find("ad", "signed-in-user", "show")["id"])
        except (CommandError, TypeError):
            return None


class Identity:
    """The identity that an environment's workflows sign in with."""

    def __init__(self, cloud: Cloud, config: EnvironmentConfig) -> None:
        """Take the environment; the identity need not be there yet."""
        self.cloud = cloud
        self.name = config.deployer.identity
        self.place = ("--name", config.deployer.identity, "--resource-group", config.deployer.resource_group)
        self.parent = ("--identity-name", config.deployer.identity, "--resource-group", config.deployer.resource_group)
        self._found: dict[str, Any] | None = None

    def find(self) -> dict[str, Any] | None:
        """Return the identity as Azure describes it, None while there is none."""
        self._found = self._found or self.cloud.find("identity", "show", *self.place)
        return self._found

    def forget(self) -> None:
        """Ask Azure again next time."""
        self._found = None

    @property
    def made_here(self) -> bool:
        """Whether it is there and made by `bootstrap`."""
        return _made_here(self.find())

    @property
    def client(self) -> str:
        """The id that the workflows sign in with."""
        return str((self.find() or {"clientId": "CLIENT_ID"})["clientId"])

    @property
    def principal(self) -> str:
        """The id that roles are granted to."""
        return str((self.find() or {"principalId": "PRINCIPAL_ID"})["principalId"])

    def trusts(
        self, whom: str, issuer: str, subjects: Callable[[], dict[str, str]], ours: Callable[[str, str], bool]
    ) -> Step:
        """Return the step that lets workflows sign in without a secret; `subjects` by the name of the credential.

        `ours` says of a credential's name and subject whether `bootstrap` makes such a one.
        """
        # The audience is what Entra ID asks of all such tokens.
        audience = ("--audiences", "api://AzureADTokenExchange")
        command = ("identity", "federated-credential")

        def find() -> list[dict[str, Any]]:
            return self.cloud.find(*command, "list", *self.parent) or [] if self.find() else []

        def missing() -> dict[str, str]:
            there = [each["subject"] for each in find() if each["issuer"] == issuer]
            return {name: subject for name, subject in subjects().items() if subject not in there}

        def make() -> None:
            for name, subject in missing().items():
                trust = ("--issuer", issuer, "--subject", subject, *audience)
                self.cloud.az(*command, "create", "--name", name, *self.parent, *trust)

        def made() -> list[str]:
            if self.cloud.dry_run:
                return list(subjects())
            return [each["name"] for each in find() if each["issuer"] == issuer and ours(each["name"], each["subject"])]

        def remove() -> None:
            for name in made():
                self.cloud.az(*command, "delete", "--name", name, *self.parent, "--yes")

        return Step(f"sign-in as {self.name}: {whom}", lambda: not missing(), make, lambda: bool(made()), remove)


def bootstrap(
    project: Project,
    environments: Sequence[str],
    *,
    undo: bool = False,
    create_repository: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Prepare environments: show what is to be done, ask once, do it. With `undo` take it away again.

    Raises UserError for anything that needs the user; what is done by then stays, and the next run goes on from there.
    """
    configs = [load_environment(project, name) for name in environments]
    cloud = Cloud(project, dry_run=dry_run)
    try:
        _bootstrap(cloud, configs, undo, create_repository, yes)
    except CommandError as error:
        raise _cure(error, cloud, configs) or error from error


def _bootstrap(
    cloud: Cloud, configs: Sequence[EnvironmentConfig], undo: bool, create_repository: bool, yes: bool
) -> None:
    names = [config.environment for config in configs]
    orchestration = _orchestration(cloud, names, create_repository=create_repository and not undo, undo=undo)
    if not cloud.dry_run:
        account = cloud.account
        print(f"Azure: subscription {account.name} ({account.subscription}), tenant {account.tenant}, {account.user}")
        for line in orchestration.describe():
            print(line)
        _check(cloud, configs, undo)
        if not undo and (others := _exposed(cloud, configs)):
            print(
                f"Whoever can push a branch to this repository can also change {' and '.join(others)} in this "
                "subscription: a subscription for each is safer"
            )
    steps = orchestration.before() if not undo else []
    steps.append(_providers(cloud))
    for config in configs:
        identity = Identity(cloud, config)
        steps += [*_azure(cloud, config, identity, undo), *orchestration.environment(config, identity)]
    steps += orchestration.after()
    # Environments share a resource group, which is made with the first and removed with the last.
    unique: dict[str, Step] = {}
    for step in steps:
        unique.setdefault(step.name, step)
    if undo:
        _remove(cloud, list(unique.values()), yes)
    else:
        _make(cloud, list(unique.values()), yes)
        for line in orchestration.advice():
            print(line)


def _orchestration(cloud: Cloud, environments: Sequence[str], *, create_repository: bool, undo: bool) -> Orchestration:
    name = cloud.project.orchestration
    if name not in ORCHESTRATIONS:
        known = ", ".join(ORCHESTRATIONS)
        raise UserError(f"pyproject.toml: [tool.mlops] orchestration: {name!r} is not one of {known}")
    module = importlib.import_module(ORCHESTRATIONS[name])
    connected = module.connect(cloud, environments, create_repository=create_repository, undo=undo)
    return cast(Orchestration, connected)


def _make(cloud: Cloud, steps: Sequence[Step], yes: bool) -> None:
    if cloud.dry_run:
        for step in steps:
            print(f"\n# {step.name}")
            step.make()
        return
    missing, reasons = [], []
    for step in steps:
        try:
            state = "done " if step.done() else "to do"
        except SkippedError as reason:
            state = "never"
            reasons.append(str(reason))
        if state == "to do":
            missing.append(step)
        print(f"  {state}  {step.name}", flush=True)
    for text in reasons:
        print(f"warning: {text}")
    if not missing:
        print("Nothing to do.")
        return
    _confirm(f"Do {'these' if len(missing) > 1 else 'this'} {len(missing)}? Only ids are stored, no secret.", yes)
    _run([(step.name, step.make) for step in missing])


def _remove(cloud: Cloud, steps: Sequence[Step], yes: bool) -> None:
    backwards = [(step, step.remove) for step in reversed(steps) if step.remove is not None]
    if cloud.dry_run:
        for step, remove in backwards:
            print(f"\n# remove {step.name}")
            remove()
        return
    there, reasons = [], []
    for step, remove in backwards:
        try:
            if step.removable():
                there.append((step.name, remove))
        except SkippedError as reason:
            reasons.append(str(reason))
    for name, _ in there:
        print(f"  to go  {name}")
    for text in reasons:
        print(f"  stays  {text}")
    if not there:
        print("Nothing to remove.")
        return
    print("The repository stays, and so does what `mlops bootstrap` did not make, with the groups that hold it.")
    _confirm(f"Remove {'these' if len(there) > 1 else 'this'} {len(there)}?", yes)
    _run(there)


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask in: repeat it with --yes")
    if not typer.confirm(question):
        raise UserError("nothing was changed")


def _run(actions: Sequence[tuple[str, Callable[[], object]]]) -> None:
    for number, (name, action) in enumerate(actions, 1):
        print(f"[{number:>{len(str(len(actions)))}}/{len(actions)}] {name}", flush=True)
        try:
            action()
        except SkippedError as reason:
            print(f"warning: {reason}", flush=True)
        except UserError:
            print("It stopped here. What is done stays: the same command goes on from here.", flush=True)
            raise


def _check(cloud: Cloud, configs: Sequence[EnvironmentConfig], undo: bool) -> None:
    """Refuse what would only fail half-way. Raises UserError."""
    for config in configs:
        group, state = config.names.resource_group, config.terraform_state
        if undo and cloud.project.infrastructure != "existing" and cloud.find("group", "show", "--name", group):
            raise UserError(
                f"resource group {group} is still there, and nothing else could delete it properly: first run "
                f"`uv run mlops teardown --environment {config.environment} --all`"
            )
        if state and not undo and not cloud.find("storage", "account", "show", *_state(state)):
            name = cloud.find("storage", "account", "check-name", "--name", state.storage_account)
            if name and not name["nameAvailable"]:
                raise _taken(config)


def _exposed(cloud: Cloud, configs: Sequence[EnvironmentConfig]) -> list[str]:
    """Return the environments in this subscription that the identity of dev, which any branch may use, can change."""
    if cloud.project.infrastructure == "existing":
        return []
    here = [config.environment for config in configs]
    for name in cloud.project.environments:
        # What is wrong with another environment is for its own run to say.
        with contextlib.suppress(UserError):
            if name not in here and Identity(cloud, load_environment(cloud.project, name)).find():
                here.append(name)
    return [name for name in here if name != "dev"] if "dev" in here else []


def _taken(config: EnvironmentConfig) -> UserError:
    state = cast(TerraformState, config.terraform_state)
    return UserError(
        f"the name {state.storage_account} belongs to somebody else's storage account: choose another one for "
        f"terraform_state.storage_account in config/{config.environment}.yml"
    )


def _providers(cloud: Cloud) -> Step:
    needed = azure.providers(cloud.project)

    def missing() -> list[str]:
        known = set() if cloud.dry_run else azure.registered(cloud.shell)
        return [name for name in needed if name.lower() not in known]

    def make() -> None:
        for name in missing():
            cloud.az("provider", "register", "--namespace", name, "--wait")

    names = ", ".join(name.removeprefix("Microsoft.") for name in needed)
    return Step(f"resource providers {names}", lambda: not missing(), make)


def _azure(cloud: Cloud, config: EnvironmentConfig, identity: Identity, undo: bool) -> list[Step]:
    """Return what an environment needs in Azure before its infrastructure can be built."""
    steps = [_group(cloud, config), _identity(cloud, config, identity)]
    if cloud.project.infrastructure == "existing":
        return [*steps, *_existing_roles(cloud, config, identity, undo)]
    if state := config.terraform_state:
        account = f"{cloud.subscription}/resourceGroups/{state.resource_group}"
        account += f"/providers/Microsoft.Storage/storageAccounts/{state.storage_account}"
        made = _state_account(cloud, config, state)
        steps += [made, _state_versions(cloud, state), _state_container(cloud, state)]
        role, what = "Storage Blob Data Contributor", f"storage account {state.storage_account}"
        steps.append(_role(cloud, config.deployer.identity, identity, role, account, what, within=made.removable))
        if cloud.user:  # `mlops provision` by hand reads and writes the state, too
            steps.append(_role(cloud, "you", cloud.user, role, account, what, within=made.removable))
    # At the subscription and not at the environment's resource group: there is none yet. It is the infrastructure's
    # own (one that is made here would be in Terraform's way), and Bicep deploys at the subscription.
    what, scope = f"subscription {cloud.account.name}", cloud.subscription
    name = config.deployer.identity
    steps.append(_role(cloud, name, identity, "Contributor", scope, what))
    grant = _condition(cloud.project)
    steps.append(_role(cloud, name, identity, "Role Based Access Control Administrator", scope, what, grant))
    if config.security and config.security.delete_lock:
        steps.append(_role(cloud, name, identity, "Locks Contributor", scope, what))
    return steps


def _existing_roles(cloud: Cloud, config: EnvironmentConfig, identity: Identity, undo: bool) -> list[Step]:
    """Return the roles in a workspace that somebody else runs. Raises UserError when it cannot be seen."""
    group, workspace, registry = config.names.resource_group, config.names.workspace, config.names.registry
    place = ("--resource-group", group, "--name", workspace)
    found = cloud.find("resource", "show", *place, "--resource-type", azure.WORKSPACES)
    if cloud.dry_run:
        found = {"id": "WORKSPACE_ID", "properties": {"storageAccount": "STORAGE_ACCOUNT_ID"}}
    if found is None and undo:
        return []  # its roles went with it
    if found is None:
        raise UserError(
            f"there is no workspace {workspace} in resource group {group} of subscription {cloud.account.name}: choose "
            f"the subscription with `az account set --subscription NAME`, or correct config/{config.environment}.yml"
        )
    known = cloud.find("resource", "list", "--name", registry, "--resource-type", azure.REGISTRIES)
    if cloud.dry_run:
        known = [{"id": "REGISTRY_ID"}]
    name = config.deployer.identity
    needed = azure.roles_in_existing(found, str(known[0]["id"]) if known else None)
    steps = [_role(cloud, name, identity, role, scope, scope.rsplit("/", 1)[-1]) for role, scope in needed]
    if not known:

        def elsewhere() -> bool:
            raise SkippedError(
                f"registry {registry} is not in subscription {cloud.account.name}: let its owner grant {name} the role "
                "AzureML Registry User on it (docs/operate.md)"
            )

        steps.append(Step(f"role AzureML Registry User on {registry} for {name}", elsewhere, elsewhere))
    return steps


def _group(cloud: Cloud, config: EnvironmentConfig) -> Step:
    group = config.deployer.resource_group
    create = ("--name", group, "--location", config.location, "--tags", *_tags(config))

    def find() -> Any:
        return cloud.find("group", "show", "--name", group)

    def there(each: dict[str, Any]) -> bool:
        # For some minutes the list still has what this run or the last one deleted (azure-rest-api-specs#21221).
        place = ("--resource-group", group, "--name", each["name"], "--resource-type", each["type"])
        return not _made_here(each) or cloud.find("resource", "show", *place) is not None

    def remove() -> None:
        listed = cloud.find("resource", "list", "--resource-group", group) or []
        if others := [each["name"] for each in listed if there(each)]:
            raise SkippedError(f"resource group {group} stays: it holds {', '.join(others)}")
        cloud.az("group", "delete", "--name", group, "--yes")

    return Step(
        f"resource group {group}",
        lambda: find() is not None,
        lambda: cloud.az("group", "create", *create),
        lambda: _made_here(find()),
        remove,
    )


def _identity(cloud: Cloud, config: EnvironmentConfig, identity: Identity) -> Step:
    def remove() -> None:
        cloud.az("identity", "delete", *identity.place)
        identity.forget()

    return Step(
        f"identity {config.deployer.identity}",
        lambda: identity.find() is not None,
        lambda: cloud.az(
            "identity", "create", *identity.place, "--location", config.location, "--tags", *_tags(config)
        ),
        lambda: identity.made_here,
        remove,
    )


def _state(state: TerraformState) -> tuple[str, ...]:
    return ("--name", state.storage_account, "--resource-group", state.resource_group)


def _state_account(cloud: Cloud, config: EnvironmentConfig, state: TerraformState) -> Step:
    safe = ["--https-only", "true", "--min-tls-version", "TLS1_2", "--allow-shared-key-access", "false"]
    safe += ("--allow-blob-public-access", "false", "--allow-cross-tenant-replication", "false")
    place = ("--location", config.location, "--kind", "StorageV2", "--sku", "Standard_LRS")

    def find() -> Any:
        return cloud.find("storage", "account", "show", *_state(state))

    return Step(
        f"storage account {state.storage_account}",
        lambda: find() is not None,
        lambda: cloud.az("storage", "account", "create", *_state(state), *place, *safe, "--tags", *_tags(config)),
        lambda: _made_here(find()),
        lambda: cloud.az("storage", "account", "delete", *_state(state), "--yes"),
    )


def _state_versions(cloud: Cloud, state: TerraformState) -> Step:
    place = ("--account-name", state.storage_account, "--resource-group", state.resource_group)
    command = ("storage", "account", "blob-service-properties")
    blobs = ["--enable-versioning", "true", "--enable-delete-retention", "true", "--delete-retention-days", "30"]
    blobs += ("--enable-container-delete-retention", "true", "--container-delete-retention-days", "30")

    def done() -> bool:
        found = cloud.find(*command, "show", *place) or {}
        policies = [found.get(key) or {} for key in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy")]
        return bool(found.get("isVersioningEnabled")) and all(policy.get("enabled") for policy in policies)

    return Step(
        f"versions and soft delete in {state.storage_account}",
        done,
        lambda: cloud.az(*command, "update", *place, *blobs),
    )


def _state_container(cloud: Cloud, state: TerraformState) -> Step:
    account = ("--storage-account", state.storage_account, "--resource-group", state.resource_group)
    place = ("--name", state.container, *account)
    return Step(
        f"container {state.container} in {state.storage_account}",
        lambda: cloud.find("storage", "container-rm", "show", *place) is not None,
        lambda: cloud.az("storage", "container-rm", "create", *place),
    )


def _condition(project: Project) -> str:
    """Return the condition under which roles may be granted and taken away: those of the infrastructure, no others."""
    roles = load_yaml(project.root / "infrastructure" / "shared" / "roles.yml").get("roles")
    if not isinstance(roles, dict):
        raise UserError("infrastructure/shared/roles.yml: roles: the key is missing")
    ids = ", ".join(sorted(str(role) for role in roles.values()))
    # In one line: a line break in an argument does not survive the az of Windows, which is a batch file.
    return " AND ".join(
        f"(!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{action}'}}) OR "
        f"@{source}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{ids}}})"
        for action, source in (("write", "Request"), ("delete", "Resource"))
    )


def _role(
    cloud: Cloud,
    name: str,
    to: Identity | str,
    role: str,
    scope: str,
    what: str,
    condition: str = "",
    within: Callable[[], bool] = _no,
) -> Step:
    """Return the step that grants a role to an identity, or to the person with this object id.

    `within` says whether `bootstrap` made what the role is on, and so the role, whoever has it.
    """
    kind = "ServicePrincipal" if isinstance(to, Identity) else "User"

    def principal() -> str:
        return to.principal if isinstance(to, Identity) else to

    def granted() -> list[dict[str, Any]]:
        if cloud.dry_run or (isinstance(to, Identity) and to.find() is None):
            return []
        found = azure.role_assignments(cloud.shell, scope, principal())
        return [each for each in found if each["roleDefinitionId"].lower().endswith(ROLES[role])]

    def fits(assignment: dict[str, Any]) -> bool:
        return "".join((assignment.get("condition") or "").split()) == "".join(condition.split())

    def make() -> None:
        if outdated := [each["id"] for each in granted() if not fits(each)]:
            # A second assignment of the role at this scope would be refused.
            cloud.az("role", "assignment", "delete", "--ids", *outdated)
        assignee = ("--assignee-object-id", principal(), "--assignee-principal-type", kind)
        limits = ("--condition-version", "2.0", "--condition", condition) if condition else ()
        grant = ("role", "assignment", "create", *assignee, "--role", ROLES[role], "--scope", scope, *limits)
        for attempt in range(1, PATIENCE + 1):
            try:
                cloud.az(*grant)
            except CommandError as error:
                if "PrincipalNotFound" not in error.output or attempt == PATIENCE:
                    raise
                if attempt == 1:
                    print(
                        "  the directory does not know the new identity yet: waiting, some minutes at most", flush=True
                    )
                time.sleep(PAUSE_SECONDS)
            else:
                return

    def removable() -> bool:
        ids = [each["id"] for each in granted()]
        if ids and not (isinstance(to, Identity) and to.made_here) and not within():
            raise SkippedError(
                f"role {role} on {what} for {name}, which somebody else may have granted: "
                f"`az role assignment delete --ids {' '.join(ids)}` takes it away"
            )
        return bool(ids)

    def remove() -> None:
        ids = ["ROLE_ASSIGNMENT_ID"] if cloud.dry_run else [each["id"] for each in granted()]
        cloud.az("role", "assignment", "delete", "--ids", *ids)

    return Step(
        f"role {role} on {what} for {name}" + (", limited to the project's roles" if condition else ""),
        lambda: any(fits(each) for each in granted()),
        make,
        removable,
        remove,
    )


def _tags(config: EnvironmentConfig) -> list[str]:
    return [f"{key}={value}" for key, value in {**config.tags, **MADE_HERE}.items()]


def _made_here(resource: dict[str, Any] | None) -> bool:
    tags = (resource or {}).get("tags") or {}
    return all(tags.get(key) == value for key, value in MADE_HERE.items())


def _cure(error: CommandError, cloud: Cloud, configs: Sequence[EnvironmentConfig]) -> UserError | None:
    """Return the one line that helps, or None when the fault has no known cure."""
    output = error.output
    for config in configs:
        state = config.terraform_state
        if state and re.search(rf"AlreadyTaken.*\b{re.escape(state.storage_account)}\b", output):
            return _taken(config)
    cures = {
        r"AADSTS|az login|InteractionRequired|ExpiredAuthenticationToken": (
            f"Azure wants you to sign in again: run `az login --tenant {cloud.account.tenant}`"
        ),
        r"AuthorizationFailed|does not have authorization": (
            f"you may not do this in subscription {cloud.account.name}: you need to be its Owner, or Contributor and "
            "Role Based Access Control Administrator"
        ),
        r"RequestDisallowedByPolicy": f"a policy of your organisation forbids this: {error}",
        r"SubscriptionNotFound|InvalidSubscriptionId": (
            "there is no such subscription for you: choose one with `az account set --subscription NAME`"
        ),
    }
    return next((UserError(text) for pattern, text in cures.items() if re.search(pattern, output)), None)
