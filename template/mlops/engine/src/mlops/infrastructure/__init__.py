"""The resources of an environment: who builds them, and with which tool."""

from collections.abc import Callable, Mapping

from mlops.infrastructure.bicep import Bicep
from mlops.infrastructure.existing import Existing
from mlops.infrastructure.terraform import Terraform
from mlops.project import Project
from mlops.subscription.choices import Infrastructure

INFRASTRUCTURES: Mapping[str, Callable[[Project], Infrastructure]] = {
    "terraform": Terraform,
    "bicep": Bicep,
    "existing": Existing,
}
"""The choices of `infrastructure` in [tool.mlops] of pyproject.toml, which `Project.load` checks."""


def of(project: Project) -> Infrastructure:
    """Return what the project chose."""
    return INFRASTRUCTURES[project.infrastructure](project)
