"""Whether a pipeline can sign in to Azure: in a new repository none can, and must not fail for that."""

from mlops.errors import UserError
from mlops.outputs import annotate, set_outputs
from mlops.project import Project
from mlops.subscription.choices import Orchestration


def connected(project: Project, orchestration: Orchestration, environment: str, *, required: bool) -> None:
    """Set the output `azure`, and say how to connect an environment that is not.

    Args:
        project: The project.
        orchestration: The project's choice.
        environment: The environment's name.
        required: Whether to fail, because a user requested this run.

    Raises:
        UserError: A part of what it takes is missing, or all of it and it is required.
    """
    gap = orchestration.find_gap(project, environment)
    if gap is None:
        set_outputs(azure=True)
        return
    title = f"{environment} is not connected to Azure"
    remedy = f"{gap.lacks}: run `uv run mlops bootstrap --environment {environment}`{gap.then}, see docs/operate.md"
    if required or gap.partial:
        raise UserError(f"{title}: {remedy}")
    set_outputs(azure=False)
    annotate("notice", f"{title}, nothing to do", remedy)
