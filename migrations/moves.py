"""Carry the user's edits of moved files to the files' new places, after Copier has updated a project.

For Copier a moved file is one that goes and another that comes: it deletes the old one together with the user's edits.
This script renders the older release once more, finds what the user has changed since, and merges that into the new
files as Git merges branches: what does not fit is a conflict, in the file and in `git status`. `moves.tsv` lists where
each file of an older release is today. What the user should look at is one line for each file.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Container, Iterator
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import copier
import yaml
from imports import modules, outdated
from packaging.version import Version

TABLE = Path(__file__).with_name("moves.tsv")
LABELS = ("before updating", "last update", "after updating")  # those of Copier
GONE = "-"
GO_BACK = "git reset --hard && git clean -fd"


class Change(NamedTuple):
    """What the user did to a file of the older release, or added to them."""

    status: str
    """Git's letter: A, D, M, R or T."""
    modes: tuple[str, str]
    blobs: tuple[str, str]
    path: str
    target: str
    """Where the user moved the file; the path itself unless the status is R."""


def git(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """Run Git in the project and return its output."""
    everything = os.environ | (env or {})
    return subprocess.run(["git", *arguments], input=stdin, capture_output=True, check=True, env=everything).stdout


def tree_paths(*arguments: str, env: dict[str, str] | None = None) -> list[str]:
    """Return the paths of a tree of Git."""
    return [
        path for path in git("ls-tree", "-r", "-z", "--name-only", *arguments, env=env).decode().split("\0") if path
    ]


def contents(blobs: list[str], env: dict[str, str]) -> dict[str, bytes]:
    """Return the content of each blob; one process of Git reads all of them."""
    output = git("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode(), env=env)
    found: dict[str, bytes] = {}
    start = 0
    for blob in blobs:
        end = output.index(b"\n", start)
        fields = output[start:end].split()
        size = -1 if fields[-1] == b"missing" else int(fields[-1])  # of another repository
        if size >= 0:
            found[blob] = output[end + 1 : end + 1 + size]
        start = end + size + 2
    return found


class Conflict(NamedTuple):
    """A file that the user's edits do not fit; without `theirs` the release deleted it."""

    path: str
    mode: str
    base: bytes
    theirs: bytes | None
    mine: str
    """A blob of the project."""


def mark(conflicts: list[Conflict]) -> None:
    """Record conflicts in the index, as a merge does and as Copier does for files that stay where they are."""
    prefix = git("rev-parse", "--show-prefix").decode().strip()
    with tempfile.TemporaryDirectory() as folder:
        files: list[Path] = []
        for conflict in conflicts:
            for content in (conflict.base, conflict.theirs):
                if content is not None:
                    files.append(Path(folder, str(len(files))))
                    files[-1].write_bytes(content)
        output = git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin="\n".join(map(str, files)).encode())
    blobs = iter(output.decode().split())
    lines = []
    for path, mode, _, theirs, mine in conflicts:
        stages = [next(blobs), mine, *([] if theirs is None else [next(blobs)])]
        lines += [f"0 {'0' * 40}\t{prefix}{path}"]
        lines += [f"{mode} {blob} {stage}\t{prefix}{path}" for stage, blob in enumerate(stages, 1)]
    git("update-index", "--index-info", stdin="\n".join(lines).encode())


def moves(package: str, version: str) -> dict[str, list[str]]:
    """Return where each file that moved since a release is today: at several places if it was split, or nowhere."""
    lines = TABLE.read_text(encoding="utf-8").replace("<package>", package).splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    since = Version(os.environ.get("VERSION_PEP440_FROM", version))
    return {old: targets(new) for old, new, moved in rows if since < Version(f"{moved}.dev0")}


def targets(column: str) -> list[str]:
    """Return the places of a row of the table; none if the file is gone."""
    return [] if column == GONE else column.split(",")


class Release:
    """The older release with the user's answers, compared with the last commit of the project."""

    def __init__(self, recorded: dict, version: str, folder: Path) -> None:
        """Render it into an empty folder."""
        answers = {question: answer for question, answer in recorded.items() if not question.startswith("_")}
        rendered, objects = folder / "rendered", folder / "objects"
        # This script is in Copier's clone. A recorded path may be relative to another folder.
        template = git("-C", str(TABLE.parent), "remote", "get-url", "origin").decode().strip()
        copier.run_copy(template, rendered, data=answers, vcs_ref=version, defaults=True, quiet=True, unsafe=True)
        objects.mkdir()
        known = git("rev-parse", "--path-format=absolute", "--git-path", "objects").decode().strip()
        # Index and objects of its own, so that the project's repository stays as it is.
        self.apart = {
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": known,
        }
        git("--work-tree", str(rendered), "add", "--force", "--all", str(rendered), env=self.apart)
        self.tree = git("write-tree", env=self.apart).decode().strip()
        self.files = set(tree_paths("--full-tree", self.tree, env=self.apart))
        self.changes = list(self._changes())

    def _changes(self) -> Iterator[Change]:
        arguments = ["diff-tree", "-r", "-z", "--raw", "--find-renames", "--no-rename-empty", self.tree, "HEAD:./"]
        fields = iter(git(*arguments, env=self.apart).decode().split("\0"))
        for head in filter(None, fields):
            old_mode, new_mode, old, new, status = head.removeprefix(":").split(" ")
            path = next(fields)
            yield Change(status[0], (old_mode, new_mode), (old, new), path, next(fields) if status[0] == "R" else path)

    def read(self, paths: Container[str]) -> None:
        """Read both versions of the files that the user changed among these."""
        changed = (change for change in self.changes if change.path in paths and change.status in "MRT")
        self.contents = contents([blob for change in changed for blob in change.blobs], self.apart)

    def blob(self, name: str) -> bytes:
        """Return the content of a file that was read."""
        return self.contents[name]


def merge(mine: bytes, base: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Merge two versions of a file, and return whether they fit."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("mine", "base", "theirs")]
        for file, content in zip(files, (mine, base, theirs), strict=True):
            file.write_bytes(content)
        labels = [word for label in LABELS for word in ("-L", label)]
        result = subprocess.run(["git", "merge-file", "-p", *labels, *map(str, files)], capture_output=True)
    binary = result.returncode > 127
    return theirs if binary else result.stdout, result.returncode == 0


Edit = tuple[int, int, list[bytes]]


def edits(base: bytes, mine: bytes) -> list[Edit]:
    """Return which lines of the base the user replaced, and by what."""
    old, new = base.splitlines(keepends=True), mine.splitlines(keepends=True)
    changed = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(i, j, new[k:m]) for kind, i, j, k, m in changed if kind != "equal"]


def apply_edits(base: bytes, chosen: list[Edit]) -> bytes:
    """Return the base with some of the user's edits."""
    lines = base.splitlines(keepends=True)
    for start, end, new in reversed(chosen):
        lines[start:end] = new
    return b"".join(lines)


def place(edit: Edit, base: bytes, parts: dict[str, bytes]) -> str:
    """Return the part of a file that has most of the lines around an edit; the first one in doubt."""
    start, end, _ = edit
    around = set(map(bytes.strip, base.splitlines()[max(0, start - 8) : end + 8])) - {b""}
    return max(parts, key=lambda part: len(around & set(map(bytes.strip, parts[part].splitlines()))))


def moved_folder(path: str, release: Release, own: set[str]) -> str:
    """Return the folder of the older release that a file of the user lies in, if the new one has nothing there."""
    for parent in map(str, PurePosixPath(path).parents):
        if parent != "." and any(file.startswith(f"{parent}/") for file in release.files):
            left = (file.as_posix() for file in Path(parent).rglob("*") if file.is_file())
            return "" if any(file not in own and "__pycache__" not in file for file in left) else parent
    return ""


def home(folder: str, table: dict[str, list[str]]) -> str:
    """Return where most files of a folder went."""
    found = Counter(
        PurePosixPath(new).parent.as_posix()
        for old, parts in table.items()
        for new in parts
        if PurePosixPath(old).parent == PurePosixPath(folder)
    )
    return found.most_common(1)[0][0] if found else ""


class Update:
    """What Copier left of a project, brought in line with the user's changes of files that moved.

    Its methods yield one line for each file that the user should look at.
    """

    def __init__(self, recorded: dict, version: str, scratch: Path) -> None:
        """Compare the project with the older release."""
        self.release = Release(recorded, version, scratch)
        files = self.release.files
        moved = moves(recorded["package_name"], version)
        self.table = {old: new for old, new in moved.items() if old in files}
        self.release.read(self.table)
        self.sources = Counter(new for parts in self.table.values() for new in parts)
        self.own = {change.target for change in self.release.changes if change.status in "AR"}
        self.commit = git("rev-parse", "--short", "HEAD").decode().strip()
        self.code = set(self.own)
        """The files with code of the user's."""
        unmerged = git("ls-files", "--unmerged", "-z").decode().split("\0")
        self.unmerged = {line.partition("\t")[2] for line in unmerged if line}
        """The files that Copier left in conflict."""
        self.conflicts: list[Conflict] = []

    def report(self) -> Iterator[str]:
        """Carry the edits, then look for what else the user should know."""
        handle = {"M": self.edited, "T": self.edited, "R": self.renamed, "D": self.deleted, "A": lambda _: ()}
        for change in self.release.changes:
            yield from handle[change.status](change)
        for change in self.release.changes:
            if change.status == "A":
                yield from self.left_behind(change.path)
        yield from self.hidden()
        if self.conflicts:
            mark(self.conflicts)
        table = modules(self.table)
        for file in sorted(self.code):
            if Path(file).is_file():
                yield from (f"{file}: {line}" for line in outdated(file, table))

    def parts(self, old: str) -> list[str]:
        """Return where a file is today, as far as the project has that."""
        return [new for new in self.table.get(old, ()) if Path(new).exists()]

    def is_gone(self, old: str) -> bool:
        """Return whether the table says that a file has no successor."""
        return self.table.get(old) == []

    def undo_conflict(self, path: str) -> bool:
        """Undo Copier's merge of a file if it ended in a conflict: leave what the release has there."""
        if path not in self.unmerged:
            return False
        Path(path).write_bytes(git("show", f":3:./{path}"))
        git("reset", "--quiet", "--", path)
        self.unmerged.remove(path)
        return True

    def edits_of(self, old: str) -> str:
        """Return the command that shows a file as it was before the update."""
        return f"your edits are in `git show {self.commit}:./{old}`"

    def edited(self, change: Change) -> Iterator[str]:
        """Carry the edits of one file."""
        old, parts = change.path, self.parts(change.path)
        stays = old in self.table.get(old, [old])
        rejected = Path(f"{old}.rej")  # of `copier update --conflict rej`
        if stays and Path(old).exists() and not (old in self.table and self.undo_conflict(old)):
            self.code.add(old)  # Copier has merged it
            if rejected.exists() and (others := [part for part in parts if part != old]):
                yield f"{rejected} has edits that may belong in {', '.join(others)}"
        elif self.is_gone(old) and change.status == "M":
            yield self.kept(change)
        elif not parts or change.status == "T" or self.own & set(parts):
            now = f"now {', '.join(parts)}" if parts else "not in the new release"
            yield f"{old} is {now}: {self.edits_of(old)}"
        else:
            yield from self.carry(change, parts)
            rejected.unlink(missing_ok=True)

    def kept(self, change: Change) -> str:
        """Put back an edited file that the release deleted, in conflict with that."""
        path = Path(change.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        base, mine = map(self.release.blob, change.blobs)
        path.write_bytes(mine)
        path.chmod(int(change.modes[1][-3:], 8))
        self.conflicts.append(Conflict(change.path, change.modes[1], base, None, change.blobs[1]))
        return f"{path} is gone, and has edits of yours: `git add` keeps it, `git rm` lets it go"

    def renamed(self, change: Change) -> Iterator[str]:
        """Describe a file that the user moved, too; if to the same place, merge it."""
        old, user, parts = change.path, change.target, self.table.get(change.path, [])
        if user in parts:
            self.undo_conflict(user)
            yield from self.carry(change, [user])
            Path(f"{user}.rej").unlink(missing_ok=True)
        elif self.is_gone(old):
            yield f"{user} is your copy of {old}, which is gone: keep what you need of it"
        elif now := [
            part if Path(part).exists() else f"{part} (left out)"
            for part in parts
            if part == old or Path(part).exists()
        ]:
            yield f"{user} is your copy of what is now {', '.join(now)}: keep your edits in one place, delete the other"

    def deleted(self, change: Change) -> Iterator[str]:
        """Leave out what the user had deleted under its old name."""
        old, parts = change.path, self.parts(change.path)
        if old in self.table.get(old, ()):
            if parts:
                yield f"{old} stays deleted, but {', '.join(parts)} has parts of it: delete what nothing of yours needs"
            return
        for part in parts:
            self.sources[part] -= 1
            if part in self.own:
                yield f"{part} is yours, and the new release has another one, what was {old}: resolve it like a merge"
            elif not self.sources[part]:
                Path(part).unlink()
                yield f"{part} was left out, because you had deleted {old}"

    def carry(self, change: Change, parts: list[str]) -> Iterator[str]:
        """Merge the user's edits of one file into the files that it became."""
        base, mine = map(self.release.blob, change.blobs)
        shipped = {part: Path(part).read_bytes() for part in parts}
        chosen: dict[str, list[Edit]] = {part: [] for part in parts}
        for edit in edits(base, mine):
            chosen[place(edit, base, shipped)].append(edit)
        changed = [part for part in parts if chosen[part]] or parts[:1]
        for part in changed:
            self.code.add(part)
            if part in self.unmerged or any(part == conflict.path for conflict in self.conflicts):
                # with the edits of another file that became this one, too
                yield f"{part} is in conflict already, and has parts of {change.path}: {self.edits_of(change.path)}"
                continue
            content, fits = merge(apply_edits(base, chosen[part]), base, shipped[part])
            Path(part).write_bytes(content)
            if change.modes[0] != change.modes[1]:
                Path(part).chmod(int(change.modes[1][-3:], 8))
            which = f"some of your edits of {change.path}" if changed[1:] else f"your edits of {change.path}"
            if fits:
                yield f"{part} has {which}"
            else:
                self.conflicts.append(Conflict(part, change.modes[1], base, shipped[part], change.blobs[1]))
                yield f"{part} is in conflict with {which}: resolve it like a merge"

    def left_behind(self, path: str) -> Iterator[str]:
        """Describe a file of the user's own whose folder moved."""
        if folder := moved_folder(path, self.release, self.own):
            target = home(folder, self.table)
            now = f"moved: `git mv` it to {target}/" if target else "is gone"
            yield f"{path} is yours and stays, but {folder}/ {now}"

    def hidden(self) -> Iterator[str]:
        """Describe the user's rules that hide new code from Git, which no commit would have."""
        folders = {str(Path(part).parent) for parts in self.table.values() for part in parts}
        ignored = git("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", "data-science", "mlops")
        files = [
            file for file in ignored.decode().split("\0") if file[-3:] == ".py" and str(Path(file).parent) in folders
        ]
        rules: dict[tuple[str, ...], list[str]] = {}
        if files:
            output = git("check-ignore", "--verbose", "-z", "--stdin", stdin="\0".join(files).encode())
            fields = output.decode().split("\0")
            for *rule, file in zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=False):
                rules.setdefault(tuple(rule), []).append(file)
        for (source, number, pattern), found in rules.items():
            count = f"{found[0]} and {len(found) - 1} more" if found[1:] else found[0]
            yield f"{count} would not be committed: narrow the rule `{pattern}` in line {number} of {source}"


def main(answers_file: str) -> None:
    """Update what Copier left; on an error print how to go back."""
    recorded = yaml.safe_load(git("show", f"HEAD:./{answers_file}"))
    warnings.simplefilter("ignore")
    try:
        with tempfile.TemporaryDirectory() as folder:
            lines = list(Update(recorded, os.environ["VERSION_FROM"], Path(folder)).report())
    except Exception as error:  # of whatever kind: the project is between two releases
        sys.exit(f"error: edits of moved files were not carried along: {error}; go back with `{GO_BACK}`")
    if lines:
        print("\nFiles that moved in this release, or are gone:\n", *lines, sep="\n  ", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
