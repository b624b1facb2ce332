"""How commands of other programs run: shown first, then executed."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops.errors import CommandError, UserError


def quoted(command: tuple[str, ...]) -> str:
    """Return the command as one line for this system's terminal."""
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


@dataclass(frozen=True)
class Shell:
    """Shows each command and runs it in `folder`; with `dry_run` it only shows.

    `remedies` has how to get each program that may be missing. With `quiet` it shows no command that only reads.
    """

    folder: Path
    dry_run: bool = False
    remedies: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False

    def read(self, *command: str) -> str:
        """Run a command for its output.

        Raises:
            CommandError: The command fails.
            UserError: The program is missing.
        """
        return self._execute(command, captured=True, variables={})

    def run(self, *command: str, variables: Mapping[str, str] | None = None) -> None:
        """Run a command whose output goes to the terminal while it works; `variables` are added to the environment.

        Raises:
            CommandError: The command fails.
            UserError: The program is missing.
        """
        self._execute(command, captured=False, variables=variables or {})

    def _execute(self, command: tuple[str, ...], *, captured: bool, variables: Mapping[str, str]) -> str:
        if not (self.quiet and captured):
            print(quoted(command), flush=True)
        if self.dry_run:
            return ""
        # On Windows az is a script, az.cmd, which CreateProcess finds only by its full name.
        program = shutil.which(command[0])
        if program is None:
            raise UserError(f"{command[0]} is not installed: {self.remedies.get(command[0], 'install it')}")
        code, output, errors = execute([program, *command[1:]], self.folder, variables, captured=captured)
        if code:
            raise CommandError(command, code, errors)
        return output


def execute(command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool) -> tuple[int, str, str]:
    """Run a command in `folder` and return its exit code, its output if `captured`, and its error stream.

    What is not captured is shown at once; the error stream is both shown and returned then.
    """
    environment = {**os.environ, **variables}
    # Without input a command that would ask a question fails instead of waiting for an answer forever.
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if captured else None,
        stderr=subprocess.PIPE,
    )
    with process:
        if captured:
            output, errors = process.communicate()
            return process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
        assert process.stderr is not None
        stream, text = process.stderr.fileno(), ""
        # In pieces and not in lines: az shows progress as dots without a line break.
        for piece in iter(lambda: os.read(stream, 4096), b""):
            text += piece.decode("utf-8", "replace")
            print(piece.decode("utf-8", "replace"), end="", file=sys.stderr, flush=True)
        return process.wait(), "", text
