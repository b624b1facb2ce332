"""Find what would fail later, before it costs money: every check of `mlops.subscription.checks` and of the choices."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlops import definitions
from mlops.config import EnvironmentConfig
from mlops.errors import CommandError, UserError
from mlops.project import Project
from mlops.subscription.checks import Check, Context, Finding, warning
from mlops.subscription.checks.rights import login
from mlops.subscription.checks.settings import alerts, network_range
from mlops.subscription.checks.tools import AZ, ML_EXTENSION, UV, tools
from mlops.subscription.choices import Infrastructure, Orchestration

ACCOUNT: Mapping[str, Check] = {"login": login}


def local_checks(project: Project, infrastructure: Infrastructure, orchestration: Orchestration) -> dict[str, Check]:
    """Return the checks that query nothing outside this machine."""
    extension = [ML_EXTENSION] if definitions.of(project).needs_az_extension else []
    needed = [AZ, *extension, *infrastructure.tools(), *orchestration.tools(), UV]
    return {"tools": partial(tools, needed=needed), "network range": network_range, "alerts": alerts}


def findings(
    context: Context,
    infrastructure: Infrastructure,
    orchestration: Orchestration,
    before: Callable[[str], None] = print,
) -> Iterator[tuple[str, Finding]]:
    """Run every check that applies, in order; without a sign-in only the first ones.

    Args:
        context: The environment under check.
        infrastructure: The project's choice, which has checks of its own.
        orchestration: The project's choice, which has checks of its own.
        before: A function that gets the name of each check before it runs.

    Yields:
        The name of a check and one of its findings.
    """
    workflows = orchestration.checks()
    local = local_checks(context.project, infrastructure, orchestration)
    for stage in (local, ACCOUNT, infrastructure.checks(), workflows):
        failed = False
        for name, check in stage.items():
            before(name)
            try:
                for finding in check(context):
                    failed = failed or finding.level == "error"
                    yield name, finding
            except CommandError as failure:
                failed = True
                yield name, warning(f"no answer: {failure}", "see the message; repeat the check, or go on and see")
            except (AttributeError, LookupError, TypeError, ValueError) as failure:
                # Azure has changed an answer: the other checks are worth as much as before.
                yield name, warning(f"an answer was not understood: {failure!r}", "go on and see, or `az upgrade`")
            except UserError as failure:
                failed = True
                text, _, remedy = str(failure).partition(": ")
                # Without workflows everything can be done manually.
                yield name, Finding("warning" if stage is workflows else "error", text, remedy)
        # The next stages query Azure.
        if stage is ACCOUNT and failed:
            return


def examine(
    project: Project, config: EnvironmentConfig, infrastructure: Infrastructure, orchestration: Orchestration
) -> None:
    """Show the findings about an environment, with a remedy for each problem.

    Raises:
        UserError: There is an error among the findings.
    """
    console = Console(highlight=False)
    table = Table("", "check", f"{config.environment} of {project.root.name}", box=None, pad_edge=False)
    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    found: list[tuple[str, Finding]] = []
    context = Context(project, config)
    with console.status("looking") as status:
        for name, finding in findings(
            context, infrastructure, orchestration, lambda name: status.update(f"{name} ...")
        ):
            found.append((name, finding))
            table.add_row(Text(finding.level, colours[finding.level]), name, Text(finding.text))
    console.print(table)
    for name, finding in found:
        if finding.remedy:
            # In one piece, so that a command can be copied.
            text = f"{finding.level}: {name}: {finding.text}\n  remedy: {finding.remedy}"
            console.print(text, soft_wrap=True, markup=False)
    errors = sum(finding.level == "error" for _, finding in found)
    if errors:
        raise UserError(f"{errors} error{'s' if errors > 1 else ''}: the remedies are above")
