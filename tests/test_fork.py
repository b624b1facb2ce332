"""A module that runs as `fork.py` does it ends, prints and fails like a program of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_update import quick_command

__all__ = ["quick_command"]  # a fixture

CODES = {
    "it ends": "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['ASKED']); sys.exit(3)",
    "it says why it ends": "print('before'); import sys; sys.exit('why')",
    "an error": "1 / 0",
}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_a_fork_is_like_a_program_of_its_own(
    code: str, quick_command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASKED", "ä\n2")
    *fork, _ = quick_command
    forked, own = (
        subprocess.run([*command, "-c", code, "one", "two words"], cwd=tmp_path, capture_output=True, text=True)
        for command in (fork, [sys.executable])
    )
    assert (forked.returncode, forked.stdout) == (own.returncode, own.stdout)
    assert forked.stderr.splitlines()[-1:] == own.stderr.splitlines()[-1:]


def test_a_fork_that_is_killed_ends_as_the_shell_says_it(quick_command: list[str]) -> None:
    *fork, _ = quick_command
    done = subprocess.run(
        [*fork, "-c", "import os; print(1, flush=True); os.kill(os.getpid(), 9)"], capture_output=True
    )
    assert (done.returncode, done.stdout) == (128 + 9, b"1\n")
    assert subprocess.run([*fork, "-c", "print(2)"], capture_output=True).stdout == b"2\n"
