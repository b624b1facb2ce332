"""What a script of a workflow or a pipeline would do: its `mlops` commands, as bash makes them, and what it prints."""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

SHELL = """
PATH=/nowhere
command_not_found_handle() { while read -r; do :; done; }
uv() { printf '\\1'; printf '%s\\0' "$@"; printf '\\1'; }
"""
"""No program runs: `uv` says what it was given, and every other one only reads."""


@dataclass(frozen=True)
class Step:
    """How a step ended: its exit code (None: the machine is lost), and what it handed on."""

    code: int | None
    outputs: Mapping[str, str] = field(default_factory=dict)


Mlops = Callable[[list[str]], Step]
"""Runs an `mlops` command."""


def told(script: str, variables: Mapping[str, str]) -> list[list[str] | str]:
    """Return each `mlops` command as its words, and each printed line as a text, in their order."""
    names = set(re.findall(r"[A-Za-z_]\w*", script))
    return _told(script, tuple(sorted(pair for pair in variables.items() if pair[0] in names)))


@cache
def _told(script: str, variables: tuple[tuple[str, str], ...]) -> list[list[str] | str]:
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SHELL + script]
    result = subprocess.run(
        command, env=dict(variables), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    found: list[list[str] | str] = []
    for number, part in enumerate(result.stdout.split("\1")):
        words = part.split("\0")[:-1]
        if number % 2 == 0:
            found += [line for line in part.splitlines() if line]
        elif words[:2] == ["run", "mlops"]:
            found.append(words[2:])
    return found
