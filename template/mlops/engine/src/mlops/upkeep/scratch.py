"""A clone of the project's last commit, in which something can be tried: the project itself stays as it is."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mlops import shell
from mlops.errors import CommandError, UserError
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription.account import REMEDIES


class Attempt(NamedTuple):
    """How a command ended, and what it wrote to its two streams."""

    code: int
    output: str
    errors: str

    @property
    def last_line(self) -> str:
        """The last line that it wrote, on the error stream if there is one."""
        lines = (self.errors.strip() or self.output.strip()).splitlines()
        return lines[-1].strip() if lines else f"it ended with exit code {self.code}"


def attempt(folder: Path, *command: str, variables: Mapping[str, str] | None = None) -> Attempt:
    """Run a command that may fail; `variables` are added to the environment.

    Raises:
        UserError: The program is missing.
    """
    print(shell.quoted(command), flush=True)
    program = shutil.which(command[0])
    if program is None:
        remedy = REMEDIES.get("uv" if command[0] == "uvx" else command[0], "install it")
        raise UserError(f"{command[0]} is not installed: {remedy}")
    return Attempt(*shell.execute([program, *command[1:]], folder, variables or {}, captured=True))


@contextmanager
def scratch(project: Project) -> Iterator[Path]:
    """Clone the last commit into a temporary folder, and yield the project's folder in it.

    Raises:
        UserError: The project is not in Git, or has no commit.
    """
    here = Shell(project.root, remedies=REMEDIES, quiet=True)
    try:
        top, inside = here.read("git", "rev-parse", "--show-toplevel", "--show-prefix", "HEAD").split("\n")[:2]
        changed = here.read("git", "status", "--porcelain", "--", ".").strip()
    except CommandError as error:
        raise UserError(f"{project.root} has no commit in Git: commit it first") from error
    if changed:
        print("What is not committed is left out of this.", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        here.read("git", "clone", "--quiet", top, f"{folder}/clone")
        yield Path(folder, "clone", inside)
