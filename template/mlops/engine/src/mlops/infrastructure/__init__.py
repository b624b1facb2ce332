"""The resources of an environment, built by the tool that the project chose."""

import importlib
from typing import Literal

from mlops.config import Project, load_environment
from mlops.errors import CommandError, UserError

Action = Literal["apply", "plan", "check", "destroy"]


def provision(
    project: Project, environment: str, action: Action, *, dry_run: bool = False, deployer: str | None = None
) -> None:
    """Build (`apply`), preview (`plan`), `check` or remove (`destroy`) an environment's resources.

    `deployer` is the object id of the identity that the workflows run as; by default it is whoever runs this. Raises
    UserError for a missing tool or login, when the tool fails, and when the workspace is somebody else's.
    """
    config = load_environment(project, environment)
    if project.infrastructure == "existing":
        text = f"workspace {config.names.workspace} is somebody else's: there is nothing to provision"
        if action != "check":
            raise UserError(f"{text}; `uv run mlops doctor --environment {environment}` checks it")
        print(f"{text[0].upper()}{text[1:]}.", flush=True)
        return
    # This module is what it imports.
    from mlops.infrastructure.workspace import provisioning_cure

    module = importlib.import_module(f"mlops.infrastructure.{project.infrastructure}")
    try:
        module.provision(project, config, action, dry_run=dry_run, deployer=deployer)
    except CommandError as error:
        raise provisioning_cure(error.output, config) or error from error
