"""Where the workflows run."""

from collections.abc import Mapping

from mlops.errors import UserError
from mlops.orchestration.azure_devops import AzureDevOps
from mlops.orchestration.github import GitHubActions
from mlops.project import Project
from mlops.subscription.choices import Orchestration

ORCHESTRATIONS: Mapping[str, Orchestration] = {
    "github-actions": GitHubActions(),
    "azure-devops": AzureDevOps(),
}
"""The choices of `orchestration` in [tool.mlops] of pyproject.toml."""


def of(project: Project) -> Orchestration:
    """Return what the project chose.

    Raises:
        UserError: There is no such choice.
    """
    name = project.orchestration
    if name not in ORCHESTRATIONS:
        known = ", ".join(ORCHESTRATIONS)
        raise UserError(f"pyproject.toml: [tool.mlops] orchestration: {name!r} is not one of {known}")
    return ORCHESTRATIONS[name]
