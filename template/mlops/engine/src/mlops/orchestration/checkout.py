"""The project's Git repository on this machine: its first commit and first push, whichever system has the workflows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.config import EnvironmentConfig
from mlops.errors import CommandError, UserError
from mlops.repository import VERB, place
from mlops.subscription.steps import Cloud, Step

BRANCH = "main"

REMEDIES: Mapping[str, str] = {
    r"tell me who you are|auto-detect email": (
        "Git does not know you: run `git config --global user.name NAME` and `git config --global user.email ADDRESS`"
    ),
    r"non-fast-forward|fetch first": (
        f"the repository has commits that are not here: run `git pull --rebase origin {BRANCH}`"
    ),
}
"""What helps against errors of Git, by a pattern of its message."""


class Checkout(ABC):
    """The checkout, and the repository that it is pushed to."""

    def __init__(self, cloud: Cloud, configs: Sequence[EnvironmentConfig], create_repository: bool, undo: bool) -> None:
        """Keep what is to be connected, or disconnected."""
        self.cloud = cloud
        self.configs = configs
        self.environments = [config.environment for config in configs]
        self.create = create_repository
        self.undo = undo
        self.pushed = False
        self.place = place(cloud.project)
        self._origin: str | None = None

    # What each system answers in its own way.

    @property
    @abstractmethod
    def name(self) -> str:
        """The repository's name: of the remote `origin`, or else of pyproject.toml.

        Raises:
            UserError: There is neither, or `origin` is elsewhere.
        """

    @abstractmethod
    def branch(self, name: str) -> Any:
        """Return a branch of the repository, None when there is none."""

    @property
    @abstractmethod
    def ssh(self) -> bool:
        """Whether a push goes over SSH, with a sign-in of its own."""

    @property
    @abstractmethod
    def sign_in(self) -> tuple[str, ...]:
        """The options of Git with which a push over HTTPS signs in, for this command alone."""

    @abstractmethod
    def run(self, *command: str) -> str:
        """Run a command and return its output.

        Raises:
            UserError: The command fails with an error that has a known remedy.
            CommandError: It fails with another one.
        """

    def conditions(self) -> list[str]:
        """Return what has to hold for the commands of a dry run, which queries nothing."""
        return []

    # Git.

    @property
    def remote(self) -> str:
        """The address of the remote `origin`, empty without one."""
        if self._origin is None:
            self._origin = self.git("remote", "get-url", "origin")
        return self._origin

    def forget_remote(self) -> None:
        """Query Git for `origin` again next time."""
        self._origin = None

    def git(self, *words: str) -> str:
        """Query Git; empty when it has no answer, and in a dry run."""
        if self.cloud.dry_run:
            return ""
        try:
            return self.cloud.shell.read("git", *words).strip()
        except CommandError:
            return ""

    def check_git(self) -> None:
        """Look for what would stop the first commit or push.

        Raises:
            UserError: The project lies inside another repository, or is on another branch.
        """
        root = self.cloud.project.root
        top = self.git("rev-parse", "--show-toplevel")
        if top and Path(top).resolve() != root.resolve():
            raise UserError(
                f"the project lies inside another Git repository, {top}: move it out of there, or leave out "
                f"--create-repository and let it be one of several projects there (`{VERB}`)"
            )
        branch = self.git("symbolic-ref", "--short", "HEAD") if top else BRANCH
        if branch != BRANCH:
            raise UserError(
                f"the branch is {branch or 'none'}, but the workflows watch {BRANCH}: run `git branch -m {BRANCH}`"
            )


@dataclass
class LockFile(Step):
    """uv's lock file."""

    checkout: Checkout
    name = "uv.lock, which the workflows insist on"

    def done(self) -> bool:
        """Return whether there is a lock file."""
        return (self.checkout.cloud.project.root / "uv.lock").is_file()

    def make(self) -> None:
        """Lock the dependencies."""
        self.checkout.run("uv", "lock")


@dataclass
class FirstCommit(Step):
    """A commit that has the lock file."""

    checkout: Checkout
    name = "first commit"

    def done(self) -> bool:
        """Return whether there is such a commit."""
        git = self.checkout.git
        return bool(git("rev-parse", "--verify", "HEAD") and git("ls-files", "uv.lock"))

    def make(self) -> None:
        """Commit everything, or after a commit of the user's the lock file alone."""
        git, run = self.checkout.git, self.checkout.run
        if not git("rev-parse", "--show-toplevel"):
            run("git", "init", "--initial-branch", BRANCH)
        if git("rev-parse", "--verify", "HEAD"):
            run("git", "add", "uv.lock")
            run("git", "commit", "--message", "Lock the dependencies", "--", "uv.lock")
        else:
            run("git", "add", "--all")
            run("git", "commit", "--message", "First version")


@dataclass
class FirstPush(Step):
    """The project's first push."""

    checkout: Checkout

    @property
    def name(self) -> str:
        """The repository's name."""
        return f"first push to {self.checkout.name}"

    def done(self) -> bool:
        """Return whether main has been pushed."""
        return self.checkout.branch(BRANCH) is not None

    def make(self) -> None:
        """Push main."""
        sign_in = () if self.checkout.ssh else self.checkout.sign_in
        self.checkout.run("git", *sign_in, "push", "--set-upstream", "origin", BRANCH)
        self.checkout.pushed = True
