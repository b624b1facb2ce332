"""From nothing to an environment that can be provisioned: an identity without a secret, its rights, and the workflows.

What is to be made is a list of steps. A run that stopped half-way continues from there, and one more run has nothing
to do.
"""

import contextlib
import re
import sys
from collections.abc import Callable, Sequence

import typer

from mlops.config import EnvironmentConfig, load_environment
from mlops.errors import CommandError, UserError
from mlops.project import Project
from mlops.subscription.choices import Connection, Infrastructure, Orchestration
from mlops.subscription.steps import (
    Cloud,
    Identity,
    ManagedIdentity,
    Providers,
    RemovableStep,
    ResourceGroup,
    SkippedError,
    Step,
)


def bootstrap(
    project: Project,
    environments: Sequence[str],
    infrastructure: Infrastructure,
    orchestration: Orchestration,
    *,
    undo: bool = False,
    create_repository: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Prepare environments: show the plan, ask once, carry it out.

    Args:
        project: The project.
        environments: The environments' names.
        infrastructure: The project's choice.
        orchestration: The project's choice.
        undo: Take it back instead.
        create_repository: Make the repository and push the project to it.
        yes: Do not ask.
        dry_run: Show the commands and run none.

    Raises:
        UserError: The user has to do something first; what is done by then stays, and the next run continues there.
    """
    configs = [load_environment(project, name) for name in environments]
    cloud = Cloud(project, dry_run=dry_run)
    try:
        connection = orchestration.connect(cloud, configs, create_repository=create_repository and not undo, undo=undo)
        _bootstrap(cloud, configs, infrastructure, connection, undo=undo, yes=yes)
    except CommandError as error:
        raise _remedy(error, cloud) or error from error


def _bootstrap(
    cloud: Cloud,
    configs: Sequence[EnvironmentConfig],
    infrastructure: Infrastructure,
    connection: Connection,
    *,
    undo: bool,
    yes: bool,
) -> None:
    if cloud.dry_run:
        for line in connection.conditions():
            print(f"note: {line}")
    else:
        account = cloud.account
        print(f"Azure: subscription {account.name} ({account.subscription}), tenant {account.tenant}, {account.user}")
        for line in connection.describe():
            print(line)
        for config in configs:
            infrastructure.check_bootstrap(cloud, config, undo=undo)
        if not undo and infrastructure.provisions and (others := _exposed(cloud, configs)):
            print(
                "Every user who may push a branch to this repository can also read "
                f"{' and '.join(others)} in this subscription, and code on main that runs in "
                f"{cloud.project.first_environment} can change {'it' if len(others) == 1 else 'them'}: a subscription "
                "for each is safer"
            )
    steps = connection.before() if not undo else []
    steps.append(Providers(cloud, infrastructure.providers()))
    for config in configs:
        identity, reader = Identity(cloud, config), Identity(cloud, config, reads=True)
        steps += [
            ResourceGroup(cloud, config, config.deployer.resource_group),
            ManagedIdentity(cloud, config, identity),
        ]
        steps += [ManagedIdentity(cloud, config, reader)]
        steps += infrastructure.steps(cloud, config, identity, reader, undo=undo)
        steps += connection.environment(config, identity, reader)
    steps += connection.after()
    # Environments share a resource group, which is made with the first and removed with the last.
    unique: dict[str, Step] = {}
    for step in steps:
        unique.setdefault(step.name, step)
    if undo:
        _remove(cloud, list(unique.values()), yes)
    else:
        _make(cloud, list(unique.values()), yes)
        for line in connection.advice(provisions=infrastructure.provisions):
            print(line)


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
    backwards = [step for step in reversed(steps) if isinstance(step, RemovableStep)]
    if cloud.dry_run:
        for step in backwards:
            print(f"\n# remove {step.name}")
            step.remove()
        return
    removable, reasons = [], []
    for step in backwards:
        try:
            if step.removable():
                removable.append(step)
        except SkippedError as reason:
            reasons.append(str(reason))
    for step in removable:
        print(f"  to go  {step.name}")
    for text in reasons:
        print(f"  stays  {text}")
    if not removable:
        print("Nothing to remove.")
        return
    print("The repository stays, and so does what `mlops bootstrap` did not make, with the groups that hold it.")
    _confirm(f"Remove {'these' if len(removable) > 1 else 'this'} {len(removable)}?", yes)
    _run([(step.name, step.remove) for step in removable])


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("there is no terminal for the question: repeat it with --yes")
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


def _exposed(cloud: Cloud, configs: Sequence[EnvironmentConfig]) -> list[str]:
    """Return the other environments in this subscription, for which the rights of the first one's identities count."""
    here = [config.environment for config in configs]
    for name in cloud.project.environments:
        # An error in another environment's file is for its own run to report.
        with contextlib.suppress(UserError):
            if name not in here and Identity(cloud, load_environment(cloud.project, name)).find():
                here.append(name)
    first = cloud.project.first_environment
    return [name for name in here if name != first] if first in here else []


def _remedy(error: CommandError, cloud: Cloud) -> UserError | None:
    """Return the one line that helps, or None when the error has no known remedy."""
    remedies = {
        r"AADSTS|az login|InteractionRequired|ExpiredAuthenticationToken": (
            f"Azure wants you to sign in again: run `az login --tenant {cloud.account.tenant}`"
        ),
        # Of a resource that a command names, and which may be in the subscription of others.
        r"LinkedAuthorizationFailed": (
            "you lack a right on what a command names: of a subnet in terraform_state.firewall it is "
            "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action, which Network Contributor has: "
            f"ask its owner for it ({error})"
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
    return next((UserError(text) for pattern, text in remedies.items() if re.search(pattern, error.output)), None)
