"""The account, the resource providers of its subscription, and the rights of the user and of the workflows."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mlops.subscription import account as azure
from mlops.subscription.account import REMEDIES, ROLES
from mlops.subscription.checks import Context, Finding, error, ok, warning


class Granted:
    """The roles of a principal, its own and those of its groups."""

    def __init__(self, context: Context, principal: str) -> None:
        """Query all assignments in the subscription and above it."""
        everywhere = ["--all", "--assignee", principal, "--include-groups", "--fill-principal-name", "false"]
        self.assignments = context.az("role", "assignment", "list", *everywhere) or []

    def at(self, scope: str, *roles: str) -> list[dict[str, Any]]:
        """Return the assignments of these roles that count at a scope."""
        ids = [ROLES[role] for role in roles]
        return [item for item in self.assignments if _role(item) in ids and _covers(item["scope"], scope)]

    def missing_to_grant(self, scope: str, roles: dict[str, str], kinds: Iterable[str]) -> Iterator[str]:
        """Yield what is missing of the right to grant these roles, which a condition may limit.

        Args:
            scope: Where.
            roles: The roles, id by name.
            kinds: To what: `ServicePrincipal`, `User`.
        """
        administrators = self.at(scope, "Owner", "User Access Administrator", "Role Based Access Control Administrator")
        if not administrators:
            yield f"Role Based Access Control Administrator on {scope}"
            return
        conditions = [(item.get("condition") or "").lower() for item in administrators]
        refused = [
            [*sorted(name for name in roles if text and roles[name] not in text), *_refused_kinds(text, kinds)]
            for text in conditions
        ]
        if least := min(refused, key=len):
            yield f"a condition of Role Based Access Control Administrator that also allows {', '.join(least)}"

    def findings(
        self, name: str, missing: Iterable[str], problem: Callable[[str, str], Finding], remedy: str
    ) -> Iterator[Finding]:
        """Yield a finding for each missing right; a custom role may include it."""
        others = {
            item["roleDefinitionName"] or "a role" for item in self.assignments if _role(item) not in ROLES.values()
        }
        lacks = [f"{name}: lacks {text}" for text in missing]
        for text in lacks:
            if others:
                yield warning(f"{text}, unless one of these has it: {', '.join(sorted(others))}", remedy)
            else:
                yield problem(text, remedy)
        if not lacks:
            yield ok(f"{name}: enough")


Missing = Callable[[Context, Granted], Iterable[str]]
"""Returns the rights that a principal lacks."""


def login(context: Context) -> Iterator[Finding]:
    """Look for the sign-in, and whether the subscription can be used."""
    if shutil.which("az") is None:
        yield error("az is not installed, so no other check is possible", REMEDIES["az"])
        return
    account = context.account
    state = context.az("account", "show")["state"]
    if state != "Enabled":
        yield error(
            f"subscription {account.name} is {state}",
            "choose another with `az account set --subscription NAME`, or let its owner enable it",
        )
        return
    yield ok(f"{account.user} in {account.name} ({account.subscription})")


def providers(context: Context, needed: Iterable[str]) -> Iterator[Finding]:
    """Look whether the subscription has the resource providers."""
    registered = azure.registered_providers(context.shell)
    missing = [name for name in needed if name.lower() not in registered]
    if missing:
        by_hand = f"`az provider register --wait --namespace {missing[0]}`{' and so on' if missing[1:] else ''}"
        # What the first run of `bootstrap` will put right is no error.
        problem = warning if context.deployer is None else error
        yield problem(f"not registered: {', '.join(missing)}", f"{context.command('bootstrap')}, or {by_hand}")
    else:
        yield ok("all registered")


def user_rights(context: Context, missing: Missing, remedy: str) -> Iterator[Finding]:
    """Compare the rights of the account that is signed in with those that it needs."""
    account = context.account
    if account.user_type == "user":
        found = context.az("ad", "signed-in-user", "show")
    else:
        found = context.az("ad", "sp", "show", "--id", account.user)
    if found is None:
        yield warning(f"the directory does not know {account.user}", "sign in as a user of this tenant")
        return
    granted = Granted(context, found["id"])
    # A user who may not provision can still let the workflows do it.
    problem = error if context.deployer is None else warning
    yield from granted.findings("you", missing(context, granted), problem, remedy)


def workflow_rights(context: Context, missing: Missing, *, reads: bool = False) -> Iterator[Finding]:
    """Compare the rights of the workflows' identity, or of the one that may only read, with those that it needs."""
    place = context.config.deployer
    name, found = (place.reader, context.reader) if reads else (place.identity, context.deployer)
    if found is None:
        yield warning(f"there is no identity {name}: the workflows cannot sign in", context.command("bootstrap"))
        return
    granted = Granted(context, found["principalId"])
    yield from granted.findings(name, missing(context, granted), error, f"{context.command('bootstrap')} grants it")


def _refused_kinds(condition: str, kinds: Iterable[str]) -> list[str]:
    """Return the kinds of principals to which a condition, in lower case, lets nothing be granted."""
    limited = "principaltype]" in condition
    return [f"the principal type {kind}" for kind in kinds if limited and f"'{kind.lower()}'" not in condition]


def _role(assignment: dict[str, Any]) -> str:
    return str(assignment["roleDefinitionId"]).rpartition("/")[2].lower()


def _covers(scope: str, target: str) -> bool:
    """Return whether a role at `scope` counts at `target`; a management group covers all its subscriptions."""
    scope, target = scope.lower().rstrip("/"), target.lower()
    above = scope == "" or scope.startswith("/providers/microsoft.management/")
    return above or target == scope or target.startswith(f"{scope}/")
