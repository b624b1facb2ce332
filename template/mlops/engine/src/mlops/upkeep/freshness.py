"""What will break although no file changed: newer packages, and the end of images, machines and Python versions."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from mlops import outputs
from mlops.errors import UserError
from mlops.project import Project
from mlops.shell import Shell
from mlops.upkeep.scratch import attempt, scratch
from mlops.upkeep.support import UNLISTED, findings, read_by_machines

CHECKS = (
    ("uv", "sync", "--locked"),
    ("uv", "run", "ruff", "check"),
    ("uv", "run", "mypy"),
    ("uv", "run", "pytest", "-q"),
    ("uv", "run", "mlops", "lint"),
    ("uv", "run", "mlops", "local"),
)
"""What must work with the newest packages, in this order; the others make no sense without the first."""

# Time enough to move, and not so much that an issue is open for years.
MARGIN = timedelta(days=183)

UNREACHABLE = r"Failed to fetch|error sending request|dns error|[Nn]etwork connectivity is disabled|Connection refused"
OUTPUT_LINES, CHANGES_LIMIT = 40, 200


class Packages(NamedTuple):
    """The newest packages within the ranges: those that are not in the lock file, and what fails with them."""

    changes: list[str]
    problems: dict[str, str]
    """The end of the output of what failed, by its command."""


def report_freshness(project: Project, file: Path | None = None, today: date | None = None) -> None:
    """Try the newest packages in a clone and look for what is near its end. The project stays as it is.

    Args:
        project: The project.
        file: Where to write what was found, as Markdown; it is left empty when there is nothing.
        today: The day as of which to judge.

    Raises:
        UserError: The package index cannot be reached, so nothing can be said.
    """
    day = today or date.today()
    with scratch(project) as folder:
        near_end = ends(folder, day)
        packages = try_newest(folder)
    fresh = not near_end and not packages.problems
    text = describe(packages, near_end, day)
    outputs.add_summary(text)
    print(text, flush=True)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("" if fresh else text, encoding="utf-8")
    outputs.set_outputs(fresh=fresh)


def ends(folder: Path, today: date) -> list[str]:
    """Return which images, components, machines, runners and Python versions of a project end soon, or have ended."""
    names = Shell(folder, quiet=True).read("git", "ls-files", "-z").split("\0")
    files = {name: folder / name for name in names if name and read_by_machines(name)}
    texts = {name: path.read_text(encoding="utf-8", errors="ignore") for name, path in files.items() if path.is_file()}
    # The tables know what the template offers; what else a project chooses is its own affair.
    return [line for line in findings(texts, today, MARGIN) if UNLISTED not in line]


def try_newest(folder: Path) -> Packages:
    """Resolve the newest packages within the ranges of pyproject.toml, install them and run the project's checks.

    Raises:
        UserError: The package index cannot be reached.
    """
    lock = folder / "uv.lock"
    before = _locked(lock)
    resolved = attempt(folder, "uv", "lock", "--upgrade")
    if resolved.code:
        if re.search(UNREACHABLE, resolved.errors):
            raise UserError(f"the package index cannot be reached: {resolved.last_line}")
        return Packages([], {"uv lock --upgrade": _end(resolved.errors)})
    after = _locked(lock)
    changes = [
        f"{name} {before.get(name, '(new)')} → {after[name]}"
        for name in sorted(after)
        if after[name] != before.get(name)
    ]
    problems = {}
    for command in CHECKS:
        done = attempt(folder, *command)
        if done.code:
            problems[" ".join(command)] = _end(f"{done.output}\n{done.errors}")
            if command == CHECKS[0]:
                break
    return Packages(changes if before else [], problems)


def describe(packages: Packages, near_end: list[str], today: date) -> str:
    """Return what was found, as Markdown."""
    count = len(packages.problems)
    parts = [f"## Freshness on {today}"]
    if packages.problems:
        parts.append(f"With the newest packages within the ranges of pyproject.toml, {_commands(count)} not work:")
        parts += [f"`{command}`:\n\n```text\n{text}\n```" for command, text in packages.problems.items()]
    else:
        parts.append("The newest packages within the ranges of pyproject.toml work.")
    if packages.changes:
        shown = packages.changes[:CHANGES_LIMIT]
        more = len(packages.changes) - len(shown)
        lines = [f"- {change}" for change in shown] + ([f"- and {more} more"] if more else [])
        parts += ["Newer than in uv.lock:", "\n".join(lines)]
        if not packages.problems:
            parts.append("`uv lock --upgrade` takes them over; Dependabot proposes them week by week.")
        else:
            parts.append("Narrow the range in pyproject.toml of what does not work, or adapt the code.")
    parts += ["### Images, machines, Python", "\n".join(f"- {line}" for line in near_end) or "None is near its end."]
    if near_end:
        parts.append("`uv run mlops template-update` says whether a newer release of the template has replaced them.")
    return "\n\n".join(parts) + "\n"


def _commands(count: int) -> str:
    return "one command does" if count == 1 else f"{count} commands do"


def _locked(lock: Path) -> dict[str, str]:
    """Return the version of each package in a lock file, which may not exist yet."""
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    return dict(re.findall(r'^\[\[package\]\]\nname = "([^"]+)"\nversion = "([^"]+)"', text, re.M))


def _end(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-OUTPUT_LINES:])[-6000:].replace("```", "'''")
