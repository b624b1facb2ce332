"""What `mlops bootstrap` makes: a step queries the cloud for its own state, so that there is none to keep."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from mlops.config import EnvironmentConfig
from mlops.errors import CommandError
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription import account as azure
from mlops.subscription.account import ROLES, Account

# `--undo` removes what carries this tag, and nothing else.
BOOTSTRAP_TAGS = {"created_by": "mlops-bootstrap"}

# What a dry run shows instead of the ids that it would have to look up.
UNKNOWN = Account("SUBSCRIPTION_ID", "TENANT_ID", "SUBSCRIPTION", "USER", "user")

# A new identity or role needs some minutes to reach every part of the directory.
ATTEMPTS, PAUSE_SECONDS = 20, 15
NEW = {"PrincipalNotFound": "identity", "RoleDefinitionDoesNotExist": "role"}


class SkippedError(Exception):
    """A step is impossible and not essential: the message is the consequence."""


class Step(ABC):
    """Something to be made. A method that raises SkippedError skips only this step."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The step's line in the plan; steps of the same name are one step."""

    @abstractmethod
    def done(self) -> bool:
        """Return whether it is there already."""

    @abstractmethod
    def make(self) -> None:
        """Make it."""


class RemovableStep(Step):
    """A step that `--undo` can take back."""

    @abstractmethod
    def removable(self) -> bool:
        """Return whether it is there and was made by `bootstrap`."""

    @abstractmethod
    def remove(self) -> None:
        """Remove it."""


class Cloud:
    """The project, and the command-line programs that query and change the clouds; a dry run queries nothing."""

    def __init__(self, project: Project, *, dry_run: bool) -> None:
        """Keep the project. With `dry_run` each change is only shown."""
        self.project = project
        self.dry_run = dry_run
        self.shell = Shell(project.root, dry_run, azure.REMEDIES, quiet=not dry_run)

    @cached_property
    def account(self) -> Account:
        """Where `az` is signed in."""
        return UNKNOWN if self.dry_run else azure.account(self.shell)

    @property
    def subscription(self) -> str:
        """The subscription as a scope of roles."""
        return f"/subscriptions/{self.account.subscription}"

    def find(self, *command: str) -> Any:
        """Query `az`; None when there is no such resource, and in a dry run."""
        return None if self.dry_run else azure.find(self.shell, *command)

    def change(self, *command: str) -> str:
        """Run a command that changes something, and return its output."""
        return self.shell.read(*command)

    def az(self, *command: str) -> None:
        """Change something in Azure."""
        self.change("az", *command, "--output", "none")

    @cached_property
    def user(self) -> str | None:
        """The object id of the person who is signed in, None for a service and when the directory is closed."""
        if self.dry_run:
            return "YOUR_OBJECT_ID"
        if self.account.user_type != "user":
            return None
        try:
            return str(self.find("ad", "signed-in-user", "show")["id"])
        except (CommandError, TypeError):
            return None


class Identity:
    """An identity that an environment's workflows sign in with: the one that changes it, or the one that reads it."""

    kind = "ServicePrincipal"

    def __init__(self, cloud: Cloud, config: EnvironmentConfig, *, reads: bool = False) -> None:
        """Keep the environment; the identity need not exist yet. With `reads` it is the one that may only read."""
        self.cloud = cloud
        self.name = config.deployer.reader if reads else config.deployer.identity
        self.place = ("--name", self.name, "--resource-group", config.deployer.resource_group)
        self.parent = ("--identity-name", self.name, "--resource-group", config.deployer.resource_group)
        self._found: dict[str, Any] | None = None

    def find(self) -> dict[str, Any] | None:
        """Return the identity as Azure describes it, None while there is none."""
        self._found = self._found or self.cloud.find("identity", "show", *self.place)
        return self._found

    def forget(self) -> None:
        """Query Azure again next time."""
        self._found = None

    @property
    def exists(self) -> bool:
        """Whether roles can be granted to it."""
        return self.find() is not None

    @property
    def made_by_bootstrap(self) -> bool:
        """Whether it exists and `bootstrap` made it."""
        return has_bootstrap_tags(self.find())

    @property
    def client(self) -> str:
        """The id that the workflows sign in with."""
        return str((self.find() or {"clientId": "CLIENT_ID"})["clientId"])

    @property
    def principal(self) -> str:
        """The id that roles are granted to."""
        return str((self.find() or {"principalId": "PRINCIPAL_ID"})["principalId"])


@dataclass(frozen=True)
class Person:
    """The person who runs `bootstrap`, by object id."""

    principal: str
    name: str = "you"
    kind: str = "User"
    exists: bool = True
    made_by_bootstrap: bool = False


@dataclass
class Providers(Step):
    """The resource providers of the subscription; they stay registered."""

    cloud: Cloud
    needed: Sequence[str]

    @property
    def name(self) -> str:
        """The providers by their short names."""
        return f"resource providers {', '.join(name.removeprefix('Microsoft.') for name in self.needed)}"

    def done(self) -> bool:
        """Return whether all are registered."""
        return not self._missing()

    def make(self) -> None:
        """Register those that are missing."""
        for name in self._missing():
            self.cloud.az("provider", "register", "--namespace", name, "--wait")

    def _missing(self) -> list[str]:
        known = set() if self.cloud.dry_run else azure.registered_providers(self.cloud.shell)
        return [name for name in self.needed if name.lower() not in known]


@dataclass
class ResourceGroup(RemovableStep):
    """A group of what has to exist before the infrastructure, or of what outlives it. Environments may share it."""

    cloud: Cloud
    config: EnvironmentConfig
    group: str
    """The group's own name."""

    @property
    def name(self) -> str:
        """The group's name."""
        return f"resource group {self.group}"

    def done(self) -> bool:
        """Return whether there is such a group."""
        return self._find() is not None

    def make(self) -> None:
        """Create the group."""
        place = ("--name", self.group, "--location", self.config.location)
        self.cloud.az("group", "create", *place, "--tags", *tags(self.config))

    def removable(self) -> bool:
        """Return whether `bootstrap` made the group."""
        return has_bootstrap_tags(self._find())

    def remove(self) -> None:
        """Delete the group unless it holds other resources."""
        listed = self.cloud.find("resource", "list", "--resource-group", self.group) or []
        if others := [each["name"] for each in listed if self._is_other(each)]:
            raise SkippedError(f"resource group {self.group} stays: it holds {', '.join(others)}")
        self.cloud.az("group", "delete", "--name", self.group, "--yes")

    def _find(self) -> Any:
        return self.cloud.find("group", "show", "--name", self.group)

    def _is_other(self, resource: dict[str, Any]) -> bool:
        # For some minutes the list still has what this run or the last one deleted (azure-rest-api-specs#21221).
        place = ("--resource-group", self.group, "--name", resource["name"], "--resource-type", resource["type"])
        return not has_bootstrap_tags(resource) or self.cloud.find("resource", "show", *place) is not None


@dataclass
class ManagedIdentity(RemovableStep):
    """The identity itself."""

    cloud: Cloud
    config: EnvironmentConfig
    identity: Identity

    @property
    def name(self) -> str:
        """The identity's name."""
        return f"identity {self.identity.name}"

    def done(self) -> bool:
        """Return whether the identity exists."""
        return self.identity.exists

    def make(self) -> None:
        """Create the identity."""
        place = (*self.identity.place, "--location", self.config.location)
        self.cloud.az("identity", "create", *place, "--tags", *tags(self.config))

    def removable(self) -> bool:
        """Return whether `bootstrap` made the identity."""
        return self.identity.made_by_bootstrap

    def remove(self) -> None:
        """Delete the identity, and with it its federated credentials."""
        self.cloud.az("identity", "delete", *self.identity.place)
        self.identity.forget()


class Credential(NamedTuple):
    """Who vouches for the workflows, and as whom; Entra ID compares both letter by letter."""

    issuer: str
    subject: str


@dataclass
class Trust(RemovableStep):
    """Federated credentials, by which workflows sign in as an identity without a secret."""

    cloud: Cloud
    identity: Identity
    workflows: str
    """Which workflows, in words."""
    credentials: Callable[[], Mapping[str, Credential]]
    """What the workflows sign in with, by the name of the credential."""
    made_by_bootstrap: Callable[[str, Credential], bool]
    """Whether `bootstrap` gives a credential this name and this content."""

    @property
    def name(self) -> str:
        """The identity and the workflows."""
        return f"sign-in as {self.identity.name}: {self.workflows}"

    def done(self) -> bool:
        """Return whether the identity trusts all of them."""
        return not self._missing()

    def make(self) -> None:
        """Create the credentials that are missing, in place of those that `bootstrap` made for what is gone."""
        known = self._find()
        # Entra ID requires this audience of all such tokens.
        audience = ("--audiences", "api://AzureADTokenExchange")
        for name, new in self._missing().items():
            if name in known and self.made_by_bootstrap(name, known[name]):
                self._change("delete", "--name", name, *self.identity.parent, "--yes")
            trust = ("--issuer", new.issuer, "--subject", new.subject, *audience)
            self._change("create", "--name", name, *self.identity.parent, *trust)

    def removable(self) -> bool:
        """Return whether there is a credential that `bootstrap` made."""
        return bool(self._own())

    def remove(self) -> None:
        """Delete the credentials that `bootstrap` made."""
        for name in self._own():
            self._change("delete", "--name", name, *self.identity.parent, "--yes")

    def _change(self, *words: str) -> None:
        self.cloud.az("identity", "federated-credential", *words)

    def _find(self) -> dict[str, Credential]:
        if self.cloud.dry_run or not self.identity.exists:
            return {}
        found = self.cloud.find("identity", "federated-credential", "list", *self.identity.parent) or []
        return {each["name"]: Credential(each["issuer"], each["subject"]) for each in found}

    def _missing(self) -> dict[str, Credential]:
        known = self._find().values()
        return {name: each for name, each in self.credentials().items() if each not in known}

    def _own(self) -> list[str]:
        if self.cloud.dry_run:
            return list(self.credentials())
        return [name for name, each in self._find().items() if self.made_by_bootstrap(name, each)]


@dataclass
class RoleAssignment(RemovableStep):
    """A role of an identity or of the person who runs `bootstrap`."""

    cloud: Cloud
    assignee: Identity | Person
    role: str
    scope: str
    place: str
    """The scope in words."""
    condition: str = ""
    within: RemovableStep | None = None
    """The step whose resource the role is on: if `bootstrap` made that, it granted the role, too."""
    definition: str = ""
    """The id of the role, if it is none of Azure's own."""

    @property
    def name(self) -> str:
        """The role, where it counts, and who gets it."""
        limits = ", limited to the project's roles" if self.condition else ""
        return f"{self._text}{limits}"

    def done(self) -> bool:
        """Return whether the role is granted under the right condition."""
        return any(self._fits(each) for each in self._find())

    def make(self) -> None:
        """Grant the role, and wait for a new identity until the directory knows it."""
        if outdated := [each["id"] for each in self._find() if not self._fits(each)]:
            # Azure would refuse a second assignment of the role at this scope.
            self.cloud.az("role", "assignment", "delete", "--ids", *outdated)
        assignee = ("--assignee-object-id", self.assignee.principal, "--assignee-principal-type", self.assignee.kind)
        limits = ("--condition-version", "2.0", "--condition", self.condition) if self.condition else ()
        role = ("--role", self._definition, "--scope", self.scope, *limits)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.cloud.az("role", "assignment", "create", *assignee, *role)
            except CommandError as error:
                new = next((what for code, what in NEW.items() if code in error.output), None)
                if new is None or attempt == ATTEMPTS:
                    raise
                if attempt == 1:
                    print(f"  the directory does not know the new {new} yet: waiting, some minutes at most", flush=True)
                time.sleep(PAUSE_SECONDS)
            else:
                return

    def removable(self) -> bool:
        """Return whether the role is granted, and by `bootstrap`."""
        ids = [each["id"] for each in self._find()]
        if ids and not self.assignee.made_by_bootstrap and not (self.within and self.within.removable()):
            raise SkippedError(
                f"{self._text}, which another user may have granted: "
                f"`az role assignment delete --ids {' '.join(ids)}` removes it"
            )
        return bool(ids)

    def remove(self) -> None:
        """Take the role back."""
        ids = ["ROLE_ASSIGNMENT_ID"] if self.cloud.dry_run else [each["id"] for each in self._find()]
        self.cloud.az("role", "assignment", "delete", "--ids", *ids)

    @property
    def _text(self) -> str:
        return f"role {self.role} on {self.place} for {self.assignee.name}"

    def _find(self) -> list[dict[str, Any]]:
        if self.cloud.dry_run or not self.assignee.exists:
            return []
        found = azure.role_assignments(self.cloud.shell, self.scope, self.assignee.principal)
        return [each for each in found if each["roleDefinitionId"].lower().endswith(self._definition)]

    @property
    def _definition(self) -> str:
        return self.definition or ROLES[self.role]

    def _fits(self, assignment: dict[str, Any]) -> bool:
        return "".join((assignment.get("condition") or "").split()) == "".join(self.condition.split())


def tags(config: EnvironmentConfig) -> list[str]:
    """Return the tags of what `bootstrap` makes for an environment, as `az` wants them."""
    return [f"{key}={value}" for key, value in {**config.tags, **BOOTSTRAP_TAGS}.items()]


def has_bootstrap_tags(resource: dict[str, Any] | None) -> bool:
    """Return whether a resource exists and `bootstrap` made it."""
    found = (resource or {}).get("tags") or {}
    return all(found.get(key) == value for key, value in BOOTSTRAP_TAGS.items())
