"""Whether the template has a newer release, and what an update to it would do to this project."""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from mlops import outputs
from mlops.errors import UserError
from mlops.project import Project, load_yaml
from mlops.repository import VERB, Place, place
from mlops.shell import Shell
from mlops.upkeep.scratch import Attempt, attempt, scratch

ANSWERS = ".copier-answers.yml"
COPIER = ("uvx", "--with", "copier-template-extensions", "copier")
UPDATE = (*COPIER, "update", "--trust")

AFTERWARDS = (
    "GitHub reads the workflows of this project at the top of its repository, which the update does not change. Run "
    "`{}` in `{}` on the branch of the update, and commit what it writes: until then the lint is red if the update "
    "changes `.github`. "
)
WRITTEN = "The pull request of the workflow Template update, where a GitHub App is configured, has that already."
NOT_WRITTEN = "That goes for the pull request of the workflow Template update, too, where it could not be done: {}."
# An issue on GitHub holds 65,536 characters.
CHANGELOG_LIMIT, PRINTED_LIMIT, LIST_LIMIT = 40_000, 10_000, 100


@dataclass(frozen=True)
class Update:
    """What an update does: releases by tag, files by path in the project."""

    old: str
    new: str
    conflicts: list[str]
    lost: list[str]
    """Files with edits of the user's that the update deletes."""
    printed: str
    changelog: str
    copies: str = ""
    """Why the copies of the workflows at the top of the repository could not be written; empty when they are."""


def report_update(project: Project, file: Path | None = None, patch: Path | None = None) -> None:
    """Try an update to the newest release in a clone, and describe it. The project stays as it is.

    Args:
        project: The project.
        file: Where to write the description, as Markdown; it is left empty when there is no newer release.
        patch: Where to write the whole change, for `git apply`; not written when there are conflicts.

    Raises:
        UserError: The template cannot be reached, or the update fails.
    """
    answers = _answers(project.root)
    versions = _versions(project.root, answers["_src_path"])
    if not versions["update_available"]:
        print(f"{answers['_commit']} is the newest release of the template.", flush=True)
        _hand_on(file, "", update=False, version=answers["_commit"], clean=False)
        return
    where = place(project)
    with scratch(project) as folder:
        update = _try(folder, answers)
        if where.shared and not update.conflicts:
            update = replace(update, copies=_write_copies(folder))
        if patch and not update.conflicts:
            if (folder / "uv.lock").is_file():
                # The checks of the pull request install from it and refuse one that is older than pyproject.toml.
                attempt(folder, "uv", "lock")
            git = Shell(folder, quiet=True)
            git.read("git", "add", "--all", ":/")
            git.read("git", "diff", "--cached", "--binary", f"--output={patch.resolve()}", "HEAD")
    text = describe(update, where)
    outputs.add_summary(text)
    if file is None:
        print(text, flush=True)
    _hand_on(file, text, update=True, version=update.new, clean=not update.conflicts)


def describe(update: Update, where: Place) -> str:
    """Return the description of an update of a project, as Markdown."""
    told = NOT_WRITTEN.format(update.copies) if update.copies else WRITTEN
    parts = [
        f"## The template has a newer release: {update.new}",
        f"This project follows {update.old}. The update, which docs/update.md describes:",
        f"```bash\ngit switch --create template-update\n{' '.join(UPDATE)}\n```",
        *([AFTERWARDS.format(VERB, where.folder) + told] if where.shared else []),
        "### Conflicts",
        _listed(update.conflicts, "Your edits and the template's are in the same lines of these files:"),
        "### Files with edits of yours that it would delete",
        _listed(update.lost, "Look at each before you commit: `git show HEAD:PATH` has what was in it."),
    ]
    if update.printed:
        parts += ["### What the update prints", f"```text\n{_cut(update.printed, PRINTED_LIMIT)}\n```"]
    return "\n\n".join([*parts, "### Changelog", _cut(update.changelog, CHANGELOG_LIMIT)]) + "\n"


def changes_between(changelog: str, old: str, new: str) -> str:
    """Return the sections of a changelog after one release and up to another, newest first, one level deeper."""
    sections = re.split(r"^(?=## )", changelog, flags=re.M)
    since, until = _version(old), _version(new)
    chosen = [
        section
        for section in sections
        if (version := _version(section.removeprefix("## ").partition(" ")[0].strip()))
        and (until is None or version <= until)
        and (since is None or version > since)
    ]
    if not chosen:
        return f"The template's changelog says nothing about {new}."
    return re.sub(r"^(?=##+ )", "##", "".join(chosen).strip(), flags=re.M)


def _version(text: str) -> Version | None:
    """Return the version that a tag, or `git describe` of a later commit, begins with."""
    found = re.match(r"v?(\d+(\.\d+)*\w*)", text)
    try:
        return Version(found[1]) if found else None
    except InvalidVersion:
        return None


def _answers(folder: Path) -> dict[str, Any]:
    answers = load_yaml(folder / ANSWERS)
    if missing := [key for key in ("_src_path", "_commit") if key not in answers]:
        raise UserError(f"{folder / ANSWERS} has no {missing[0]}: restore the file from Git")
    return answers


def _versions(folder: Path, source: str) -> dict[str, Any]:
    """Return what Copier says about the project's release and the newest one."""
    found = attempt(folder, *COPIER, "check-update", "--output-format", "json")
    if found.code:
        raise UserError(f"the template at {source} cannot be reached: {_reason(found)}")
    lines = [line for line in found.output.splitlines() if line.startswith("{")]
    if not lines:
        raise UserError(f"the template at {source} cannot be reached: Copier answered {found.output.strip()!r}")
    versions: dict[str, Any] = json.loads(lines[-1])
    return versions


def _try(folder: Path, answers: dict[str, Any]) -> Update:
    git = Shell(folder, quiet=True)
    done = attempt(folder, *UPDATE, "--defaults", "--quiet")
    if done.code:
        raise UserError(f"the update fails: {_reason(done)}; try it by hand: `{' '.join(UPDATE)}`")
    old, new = answers["_commit"], _answers(folder)["_commit"]
    printed = "\n".join(line for line in done.errors.splitlines() if "Warning" not in line).strip("\n")
    deleted = git.read("git", "diff", "-z", "--name-only", "--relative", "--diff-filter=D", "HEAD").split("\0")
    conflicts = git.read("git", "diff", "-z", "--name-only", "--relative", "--diff-filter=U").split("\0")
    changelog = _changelog(folder, answers["_src_path"], old, new)
    return Update(
        old,
        new,
        sorted({name for name in conflicts if name}),
        [name for name in _edited(folder, answers, list(filter(None, deleted))) if not _carried(name, printed)],
        printed,
        changelog,
    )


def _write_copies(folder: Path) -> str:
    """Write the copies at the top of the repository, as the new release has them; return why that is not possible."""
    # Its engine is not installed: with its packages that would take minutes, and it needs none that this one has not.
    code = {"PYTHONPATH": str(folder / "mlops" / "engine" / "src")}
    done = attempt(folder, sys.executable, "-m", "mlops.cli", "workflows", "--existing", variables=code)
    return _reason(done).removeprefix("error: ") if done.code else ""


def _edited(folder: Path, answers: dict[str, Any], names: list[str]) -> Iterator[str]:
    """Yield which of these files of the last commit are not as the older release of the template made them."""
    if not names:
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as beside:
        shipped, data = Path(beside, "shipped"), Path(beside, "answers.yml")
        data.write_text(yaml.safe_dump({key: answers[key] for key in answers if key[0] != "_"}), encoding="utf-8")
        options = ("--trust", "--defaults", "--quiet", f"--vcs-ref={answers['_commit']}", f"--data-file={data}")
        made = attempt(folder, *COPIER, "copy", *options, answers["_src_path"], str(shipped))
        git = Shell(folder, quiet=True)
        for name in names:
            # Where the older release cannot be made any more, each file may have been edited.
            before = shipped / name
            known = not made.code and before.is_file()
            was = git.read("git", "hash-object", str(before)) if known else ""
            if was != git.read("git", "rev-parse", f"HEAD:./{name}"):
                yield name


def _carried(name: str, printed: str) -> bool:
    """Return whether the template's migrations put the edits of a deleted file into another one."""
    return re.search(rf"(has|in conflict with) (some of )?your edits of {re.escape(name)}(\W|$)", printed) is not None


def _changelog(folder: Path, source: str, old: str, new: str) -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as template:
        options = ("--quiet", "--depth=1", f"--branch={new}", "--config", "advice.detachedHead=false")
        cloned = attempt(folder, "git", "clone", *options, _address(source), template)
        file = Path(template, "CHANGELOG.md")
        if cloned.code or not file.is_file():
            return "The template has no CHANGELOG.md."
        return changes_between(file.read_text(encoding="utf-8"), old, new)


def _address(source: str) -> str:
    """Return what Git clones, for a template's address in one of Copier's short forms."""
    for short, host in (("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")):
        if source.startswith(short):
            return f"{host}{source.removeprefix(short)}"
    return source.removeprefix("git+")


def _reason(failed: Attempt) -> str:
    """Return the line of an error that says what is wrong: Git's own, if Git failed inside of Copier."""
    found = re.findall(r"(?:fatal|error): (.+)", failed.errors)
    return found[0].strip() if found else failed.last_line


def _listed(names: list[str], text: str) -> str:
    if not names:
        return "None."
    more = [f"- and {len(names) - LIST_LIMIT} more"] if len(names) > LIST_LIMIT else []
    return "\n".join([text, "", *(f"- `{name}`" for name in names[:LIST_LIMIT]), *more])


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit].rstrip()}\n\n(cut here)"


def _hand_on(file: Path | None, text: str, *, update: bool, version: str, clean: bool) -> None:
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    outputs.set_outputs(update=update, version=version, clean=clean)
