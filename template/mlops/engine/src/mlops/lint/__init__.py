"""The lint of the project: everything that can be known to be wrong without an Azure account."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from mlops.config import Sweep
from mlops.definitions.base import Finding
from mlops.errors import UserError
from mlops.lint import configuration, pins, python_sdk_v1, python_sdk_v2, tuning
from mlops.lint.checks import lint_files, lint_folder, lint_pipeline, relative
from mlops.project import Project, Version

__all__ = ["Finding", "lint", "lint_files", "lint_pipeline"]

_SWEEPS: dict[Version, Callable[[Project, Sweep], list[Finding]]] = {
    "aml-cli-v2": tuning.check_files,
    "python-sdk-v2": python_sdk_v2.check_sweep,
    "python-sdk-v1": python_sdk_v1.check_sweep,
}
_CHECKS: dict[Version, Callable[[Project], list[Finding]]] = {
    "aml-cli-v2": lint_folder,
    "python-sdk-v2": python_sdk_v2.check,
    "python-sdk-v1": python_sdk_v1.check,
}


def lint(project: Project, *, parallel: bool = False, meanwhile: Callable[[], object] | None = None) -> list[Finding]:
    """Check the project's configuration and all its Azure ML definitions.

    Args:
        project: The project.
        parallel: Whether the definitions are checked in a process of their own, while this one checks the settings:
            azure-ai-ml and the libraries of the project's code take seconds each to import.
        meanwhile: What this process does while it would only wait for the other one.

    Returns:
        The findings, whose paths start at the project's root.

    Raises:
        UserError: azure-ai-ml, or SDK v1 in a project for it, is not installed.
    """
    # What stands on one side of a conflict only means nothing yet.
    if conflicts := configuration.conflict_findings(project):
        return sorted(relative(finding, project) for finding in conflicts)
    with _elsewhere(parallel) as run:
        others = run(_other_findings, project)
        settings, sweep = configuration.settings_results(project)
        of_sweep = run(_SWEEPS[project.version], project, sweep) if sweep and not settings else list
        if meanwhile:
            meanwhile()
        # A search is worth a look only where all else is right.
        found = others() + settings or of_sweep()
    return sorted({relative(finding, project) for finding in found})


@contextmanager
def _elsewhere(parallel: bool) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Give a function that begins a call, in another process if `parallel`, and returns what waits for its result."""
    if not parallel:
        yield lambda function, *arguments: partial(function, *arguments)
        return
    with ProcessPoolExecutor(1, initializer=_leave_interrupts) as pool:
        try:
            yield lambda function, *arguments: pool.submit(function, *arguments).result
        except BaseException:
            # Who stops this does not wait for it.
            for process in multiprocessing.active_children():
                process.kill()
            raise


def _leave_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to both processes, to the other one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _other_findings(project: Project) -> list[Finding]:
    environments = configuration.environment_findings(project)
    try:
        found = environments + pins.pin_findings(project) + _CHECKS[project.version](project)
        # What the definitions lack is worth a look only where both can be read.
        return found or configuration.training_findings(project)
    except UserError:
        # Definitions are made for an environment, and its errors are findings already.
        if not environments:
            raise
        return environments
