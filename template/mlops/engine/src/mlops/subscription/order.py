"""Which run of the pipelines was the last to change an environment's resources, so that no older one comes after it.

A run may wait for its approval while a newer one builds or deletes, and a person may run all jobs of an old run again:
both have the code of their own commit. The last run is noted in a tag of the identity that the environment's workflows
sign in with. `mlops bootstrap` made that, so neither Terraform nor Bicep takes the tag away, and a teardown leaves it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mlops.config import EnvironmentConfig
from mlops.errors import CommandError, UserError
from mlops.outputs import annotate, is_newer, run_key
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription import account as azure

TAG = "mlops-last-apply"


class OlderRunError(UserError):
    """This run is older than one that has changed the resources; `newer` says which."""

    def __init__(self, newer: str) -> None:
        """Say what to do before anything is changed."""
        super().__init__(
            f"{newer}: nothing was changed; reject what waits of older runs, and approve the newest or start a new "
            "one, which takes what the branch has now; what is to go back, a commit reverts"
        )
        self.newer = newer


@contextmanager
def turn(project: Project, config: EnvironmentConfig, verb: str) -> Iterator[None]:
    """Note that this run changes the environment's resources, before it does; warn afterwards if that failed.

    What a person does at a terminal is no run.

    Raises:
        OlderRunError: A newer run has changed them already, wholly or in part.
        CommandError: Azure does not say which run was the last, for another reason than a missing right.
    """
    unnoted = _note(project, config)
    yield
    # The rights of an identity that is new have taken effect by now.
    if unnoted and (reason := _note_late(project, config)):
        environment, identity = config.environment, config.deployer.identity
        annotate(
            "warning",
            f"mlops {verb}",
            f"it is not noted that this run has changed {environment}, so an older one that is approved late would, "
            f"too: let {identity} tag itself, as `uv run mlops doctor --environment {environment}` says; {reason}",
        )


def _note(project: Project, config: EnvironmentConfig) -> str:
    """Note this run; return why that is impossible: there is no such identity, or the run may not read or tag it."""
    if not (run := run_key()):
        return ""
    shell = Shell(project.root, remedies=azure.REMEDIES, quiet=True)
    place = ("--name", config.deployer.identity, "--resource-group", config.deployer.resource_group)
    try:
        found = azure.find(shell, "identity", "show", *place)
    except CommandError as error:
        if re.search(azure.NO_RIGHT, error.output):
            return str(error)
        raise
    if found is None:
        return "it is not there"
    last = (found.get("tags") or {}).get(TAG, "")
    if is_newer(last, run):
        number, own = (each.rpartition("#")[2] for each in (last, run))
        raise OlderRunError(
            f"run {number} is newer than this one, {own}, and has changed {config.environment} or begun to"
        )
    if last != run:
        tag = ("--operation", "Merge", "--tags", f"{TAG}={run}")
        try:
            shell.run("az", "tag", "update", "--resource-id", str(found["id"]), *tag, "--output", "none")
        except CommandError as error:  # a lock or a policy of the company's, too: that must stop no change
            return str(error)
    return ""


def _note_late(project: Project, config: EnvironmentConfig) -> str:
    """Note this run after it has changed the resources, as far as that is possible; return why it could not be."""
    try:
        return _note(project, config)
    except OlderRunError as error:
        return error.newer
    except CommandError as error:
        return str(error)
