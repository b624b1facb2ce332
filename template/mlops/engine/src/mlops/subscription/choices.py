"""What `bootstrap`, `doctor` and `teardown` need of the project's choices: objects that answer, made one layer above.

`mlops.infrastructure` and `mlops.orchestration` have the implementations: each is one module and one line of a table.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from mlops.config import EnvironmentConfig
from mlops.subscription.checks import Check
from mlops.subscription.checks.tools import Tool
from mlops.subscription.steps import Cloud, Identity, Step

Action = Literal["apply", "plan", "check", "destroy"]


class Infrastructure(Protocol):
    """How an environment's resources are provisioned."""

    @property
    def provisions(self) -> bool:
        """Whether the project builds and deletes the resources; otherwise their owner does."""

    def provision(
        self, config: EnvironmentConfig, action: Action, *, dry_run: bool = False, deployer: str | None = None
    ) -> None:
        """Build (`apply`), preview (`plan`), `check` or remove (`destroy`) an environment's resources.

        Args:
            config: The environment.
            action: What to do.
            dry_run: Show the commands and run none.
            deployer: Object id of the identity that runs the verbs later. Default: the user of this command.

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

    def steps(self, cloud: Cloud, config: EnvironmentConfig, identity: Identity, *, undo: bool) -> list[Step]:
        """Return what the environment needs beside its identity before it can be provisioned or used.

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

    def before(self) -> list[Step]:
        """Return the steps before the environments."""

    def environment(self, config: EnvironmentConfig, identity: Identity) -> list[Step]:
        """Return what connects an environment: the identity's trust in the workflows, and its ids for them."""

    def after(self) -> list[Step]:
        """Return the last steps, after which the workflows find everything ready."""

    def advice(self, *, provisions: bool) -> list[str]:
        """Return what to do next; `provisions` as in `Infrastructure`."""


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
