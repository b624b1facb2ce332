"""The checks of `mlops doctor`: each is a function that yields its findings about one environment."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from mlops.config import EnvironmentConfig
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription import account as azure


@dataclass(frozen=True)
class Finding:
    """The result of a check; everything but "ok" has a remedy."""

    level: Literal["ok", "warning", "error"]
    text: str
    remedy: str = ""


def ok(text: str) -> Finding:
    """Return a passed check."""
    return Finding("ok", text)


def warning(text: str, remedy: str) -> Finding:
    """Return a problem that need not stop the user."""
    return Finding("warning", text, remedy)


def error(text: str, remedy: str) -> Finding:
    """Return a problem that will stop a later command."""
    return Finding("error", text, remedy)


def overlap(own: IPv4Network, others: Iterable[tuple[str, IPv4Network]]) -> str | None:
    """Return which of some named networks the own one overlaps first, None when it is apart from all."""
    return next((f"{own} overlaps {other} of {name}" for name, other in others if own.overlaps(other)), None)


class Context:
    """The environment under check, and what Azure knows of it; each query runs once."""

    def __init__(self, project: Project, config: EnvironmentConfig) -> None:
        """Keep the environment; no query runs yet."""
        self.project, self.config = project, config
        self.shell = Shell(project.root, False, azure.REMEDIES, quiet=True)
        self._answers: dict[tuple[str, ...], Any] = {}

    def az(self, *words: str) -> Any:
        """Query `az`; None when Azure knows no such resource.

        Raises:
            CommandError: The query fails.
        """
        if words not in self._answers:
            self._answers[words] = azure.find(self.shell, *words)
        return self._answers[words]

    def read(self, *command: str) -> str:
        """Run a command of another program and return its output.

        Raises:
            CommandError: The command fails.
        """
        if command not in self._answers:
            self._answers[command] = self.shell.read(*command)
        return str(self._answers[command])

    def rest(self, path: str) -> list[dict[str, Any]]:
        """Query Azure ML's management API for a list of the subscription's, page after page."""
        url = f"/subscriptions/{{subscriptionId}}/providers/Microsoft.MachineLearningServices/{path}"
        items: list[dict[str, Any]] = []
        parameters = [f"api-version={azure.API_VERSION}"]
        while parameters:
            page = self.az("rest", "--method", "get", "--url", url, "--url-parameters", *parameters) or {}
            items += page.get("value") or []
            parameters = [f"{key}={value}" for key, value in parse_qsl(urlsplit(page.get("nextLink") or "").query)]
        return items

    @cached_property
    def account(self) -> azure.Account:
        """The account that `az` is signed in with.

        Raises:
            UserError: `az` is not signed in.
        """
        return azure.account(self.shell)

    @property
    def subscription(self) -> str:
        """The subscription as a scope of roles."""
        return f"/subscriptions/{self.account.subscription}"

    @property
    def group(self) -> str:
        """The environment's resource group as a scope of roles."""
        return f"{self.subscription}/resourceGroups/{self.config.names.resource_group}"

    def has_resource(self, name: str | None, kind: str) -> bool:
        """Return whether the environment's own group has this resource."""
        found = self.az("resource", "list", "--resource-group", self.config.names.resource_group) or []
        known = [(item["name"].casefold(), item["type"].casefold()) for item in found]
        return (str(name).casefold(), kind.casefold()) in known

    @property
    def deployer(self) -> dict[str, Any] | None:
        """The identity of the workflows, None when there is none."""
        place = self.config.deployer
        found = self.az("identity", "show", "--name", place.identity, "--resource-group", place.resource_group)
        return dict(found) if found else None

    @property
    def reader(self) -> dict[str, Any] | None:
        """The identity of the workflows that may only read, None when there is none."""
        place = self.config.deployer
        found = self.az("identity", "show", "--name", place.reader, "--resource-group", place.resource_group)
        return dict(found) if found else None

    @property
    def workspace(self) -> dict[str, Any] | None:
        """The environment's workspace, None when there is none."""
        place = ["--resource-group", self.config.names.resource_group, "--name", self.config.names.workspace]
        found = self.az("resource", "show", *place, "--resource-type", azure.WORKSPACES)
        return dict(found) if found else None

    @property
    def registry(self) -> dict[str, Any] | None:
        """The model registry, None when its subscription has none of this name."""
        name, subscription = self.config.names.registry.casefold(), self.config.names.registry_subscription
        where = ("--subscription", subscription) if subscription else ()
        found = self.az("resource", "list", "--resource-type", azure.REGISTRIES, *where) or []
        return next((dict(item) for item in found if item["name"].casefold() == name), None)

    def command(self, verb: str) -> str:
        """Return an `mlops` command as a remedy names it."""
        return f"`uv run mlops {verb} --environment {self.config.environment}`"

    @property
    def file(self) -> str:
        """The environment's file as a remedy names it."""
        return f"config/{self.config.environment}.yml"


Check = Callable[[Context], Iterator[Finding]]
