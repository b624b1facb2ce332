"""What `bootstrap`, `doctor` and `teardown` need of the project's choices: objects that answer, made one layer above.

`mlops.infrastructure` and `mlops.orchestration` have the implementations: each is one module and one line of a table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from mlops.config import EnvironmentConfig
from mlops.definitions.base import Finding
from mlops.project import Project
from mlops.subscription.checks import Check
from mlops.subscription.checks.tools import Tool
from mlops.subscription.steps import Cloud, Identity, Step

Action = Literal["apply", "plan", "check", "destroy"]

WORKFLOWS = "workflows"
"""Names the identity of an environment's workflows, instead of its object id."""


class Infrastructure(Protocol):
    """How an environment's resources are provisioned."""

    @property
    def provisions(self) -> bool:
        """Whether the project builds and deletes the resources; otherwise their owner does."""

    def provision(
        self,
        config: EnvironmentConfig,
        action: Action,
        *,
        dry_run: bool = False,
        deployer: str | None = None,
        retry_minutes: int = 0,
        confirm: str = "",
    ) -> str:
        """Build (`apply`), preview (`plan`), `check` or remove (`destroy`) an environment's resources.

        Args:
            config: The environment.
            action: What to do.
            dry_run: Show the commands and run none.
            deployer: Object id of the identity that runs the verbs later, or `WORKFLOWS` for that of the workflows.
                Default: the user of this command.
            retry_minutes: How long to repeat while rights are missing: new ones need some minutes to take effect.
            confirm: The environment's name, which alone lets an `apply` delete what no apply makes again.

        Returns:
            The text of a `plan`; empty otherwise.

        Raises:
            UserError: A tool or the sign-in is missing, the tool fails, or there is nothing to provision.
        """

    def providers(self) -> list[str]:
        """Return the resource providers that the environments need in their subscription."""

    def check_bootstrap(self, cloud: Cloud, config: EnvironmentConfig, *, undo: bool) -> None:
        """Look for what would stop `bootstrap`, or its `undo`, half-way.

        Raises:
            UserError: There is such a problem.
        """

    def check_teardown(self, config: EnvironmentConfig) -> None:
        """Look for what would stop the deletion of all from this machine half-way.

        Raises:
            UserError: There is such a problem.
        """

    def steps(
        self, cloud: Cloud, config: EnvironmentConfig, identity: Identity, reader: Identity, *, undo: bool
    ) -> list[Step]:
        """Return what the environment needs beside its identities before it can be provisioned or used.

        Args:
            cloud: The project and the clouds.
            config: The environment.
            identity: The identity that changes it.
            reader: The identity that plans, and looks at jobs, and may change nothing.
            undo: Whether the steps are taken back.

        Raises:
            UserError: What is there already does not fit.
        """

    def tools(self) -> list[Tool]:
        """Return the programs that build the resources."""

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of the doctor, in order, for the subscription and the resources."""


class Connection(Protocol):
    """A project's repository, to be connected with Azure."""

    def describe(self) -> list[str]:
        """Return what the plan shows about the repository.

        Raises:
            UserError: The repository cannot be used as it is.
        """

    def conditions(self) -> list[str]:
        """Return what has to hold for the commands of a dry run, which queries nothing."""

    def before(self) -> list[Step]:
        """Return the steps before the environments."""

    def environment(self, config: EnvironmentConfig, identity: Identity, reader: Identity) -> list[Step]:
        """Return what connects an environment: what both identities trust, and their ids for the workflows.

        Args:
            config: The environment.
            identity: The identity that changes it, of workflows on main alone.
            reader: The identity that may only read.
        """

    def after(self) -> list[Step]:
        """Return the last steps, after which the workflows find everything ready."""

    def advice(self, *, provisions: bool) -> list[str]:
        """Return what to do next; `provisions` as in `Infrastructure`."""


class Issues(Protocol):
    """The open issues that workflows of the project opened: a person's with the same title is none of them."""

    def find(self, title: str) -> str:
        """Return the number of the one with this title, empty without one."""

    def open(self, title: str, file: Path) -> None:
        """Open one with the text of a file."""

    def update(self, number: str, file: Path) -> None:
        """Replace the text."""

    def close(self, number: str) -> None:
        """Close it, with a last word."""


class Gap(NamedTuple):
    """What a run of the workflows lacks to sign in to Azure.

    Attributes:
        lacks: What is missing, as the beginning of a sentence.
        then: What to do after `bootstrap`, as the end of one.
        partial: Whether some of it is there, so that it is a mistake in any run.
    """

    lacks: str
    then: str = ""
    partial: bool = False


class Orchestration(Protocol):
    """Where the workflows run."""

    def connect(
        self, cloud: Cloud, configs: Sequence[EnvironmentConfig], *, create_repository: bool, undo: bool
    ) -> Connection:
        """Return the project's repository; with `create_repository` it is made and the project pushed to it."""

    def tools(self) -> list[Tool]:
        """Return the programs that set the workflows up."""

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of the doctor, in order, for the workflows. An error of theirs is a warning."""

    def find_gap(self, project: Project, environment: str) -> Gap | None:
        """Return what this run of the workflows lacks to sign in to Azure for an environment, None for nothing."""

    def check_approval(self, project: Project, environment: str) -> None:
        """Look, in a run of the workflows, whether changes of the environment need an approval.

        Raises:
            UserError: They need none, or there is no answer.
        """

    def comment(self, project: Project, markdown: str) -> None:
        """Make the project's comment under the pull request of this run of the workflows, or update it.

        Raises:
            UserError: This is no run for a pull request, or the comment cannot be written.
        """

    def issues(self, project: Project, *, dry_run: bool) -> Issues:
        """Return the open issues of the project; with `dry_run` commands are shown, and none is run."""

    def write_copies(self, project: Project) -> None:
        """Write what must lie at the top of the repository for a project in one of its folders.

        Raises:
            UserError: A file of another origin is in the way, or one of the project cannot be read.
        """

    def findings(self, project: Project) -> list[Finding]:
        """Return what is wrong in the files of the workflows, as far as no account is needed to see it.

        On GitHub: which of the files that `write_copies` wrote are not what the project says today.

        Raises:
            UserError: As in `write_copies`.
        """
