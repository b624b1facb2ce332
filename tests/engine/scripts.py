"""What a script of a workflow or a pipeline would do: its `mlops` commands, as bash makes them, and what it prints."""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

SHELL = """
PATH=/nowhere
command_not_found_handle() { while read -r; do :; done; }
say() { printf '\\1'; printf '%s\\0' "$@"; printf '\\1'; }
uv() { say uv "$@"; }
"""
"""No program runs: `uv` says what it was given, and every other one only reads."""

GIT = """
git() { say git "$@"; case " $* " in *" ls-remote "*) [[ " $BRANCHES " == *" ${*: -1} "* ]];; esac; }
"""
TOOLS = (
    GIT
    + """
gh() { say gh "$@"; case "$1 $2" in "pr view") [[ " $PULLS " == *" $3 "* ]];; esac; }
"""
)
"""Git and `gh` say that, too; whether a branch and a pull request are there, two variables have."""

AZURE_TOOLS = (
    GIT
    + """
az() { case "$1 $2 $3" in "repos pr list") [[ " $PULLS " != *" $BRANCH "* ]] || printf 7;; *) say az "$@";; esac; }
grep() { local line; read -r line || [[ "$line" ]]; }
"""
)
"""Git and `az` do, but for what only lists pull requests, of which `grep` says whether there are any."""


@dataclass(frozen=True)
class Step:
    """How a step ended: its exit code (None: the machine is lost), and what it handed on."""

    code: int | None
    outputs: Mapping[str, str] = field(default_factory=dict)


Mlops = Callable[[list[str]], Step]
"""Runs an `mlops` command, of which the words after `mlops` are given, or one of `git` and `gh`, with all words."""


def told(script: str, variables: Mapping[str, str], tools: str = "") -> list[list[str] | str]:
    """Return each command of `mlops` and of the tools as its words, and each printed line as a text, in their order."""
    shell = SHELL + tools + script
    names = set(re.findall(r"[A-Za-z_]\w*", shell))
    return _told(shell, tuple(sorted(pair for pair in variables.items() if pair[0] in names)))


@cache
def _told(shell: str, variables: tuple[tuple[str, str], ...]) -> list[list[str] | str]:
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", shell]
    result = subprocess.run(
        command, env=dict(variables), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    found: list[list[str] | str] = []
    for number, part in enumerate(result.stdout.split("\1")):
        words = part.split("\0")[:-1]
        if number % 2 == 0:
            found += [line for line in part.splitlines() if line]
        elif words[:3] == ["uv", "run", "mlops"]:
            found.append(words[3:])
        elif words[0] != "uv":
            found.append(words)
    return found
