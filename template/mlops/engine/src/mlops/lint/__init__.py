"""The lint of the Azure ML definitions: everything that can be known to be wrong without an Azure account."""

from collections.abc import Callable

from mlops.definitions.base import Finding
from mlops.lint import python_sdk_v1, python_sdk_v2
from mlops.lint.checks import lint_files, lint_folder, lint_pipeline
from mlops.project import Project, Version

__all__ = ["Finding", "lint", "lint_files", "lint_pipeline"]

_CHECKS: dict[Version, Callable[[Project], list[Finding]]] = {
    "aml-cli-v2": lint_folder,
    "python-sdk-v2": python_sdk_v2.check,
    "python-sdk-v1": python_sdk_v1.check,
}


def lint(project: Project) -> list[Finding]:
    """Check all of the project's Azure ML definitions; paths in the findings start at the project's root.

    Raises:
        UserError: azure-ai-ml, or SDK v1 in a project for it, is not installed.
    """
    return _CHECKS[project.version](project)
