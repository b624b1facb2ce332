"""GitHub files of a project in a folder of its repository, where GitHub does not read them: their copies at the top.

GitHub Actions reads workflows, and Dependabot its settings, in the repository's top folder alone; pre-commit does the
same. So each file of the project has a copy there, in which names, paths and queues are the project's own: two projects
in one repository share none. The project's files stay the source, and `copier update` changes them alone.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import yaml

from mlops.definitions.base import Finding
from mlops.errors import UserError
from mlops.project import Project, load_yaml
from mlops.repository import VERB, Place, place

CHECKOUT, ARTIFACTS = "actions/checkout@", ("actions/upload-artifact@", "actions/download-artifact@")
_MARK = f"# Made by `{VERB}` in {{}}; change this file and run that again: "
"""How a copy begins: with the folder of its project."""

PARTS = {
    # A file that all projects share, the project's file with its part, and the key of the list that has the parts.
    ".github/dependabot.yml": (".github/dependabot.yml", "updates", "version: 2\nupdates:\n"),
    ".pre-commit-config.yaml": (".pre-commit-config.yaml", "repos", "repos:\n"),
}


def write_copies(project: Project) -> None:
    """Write the copies at the top of the repository, and delete those whose source is gone.

    Raises:
        UserError: A file there is not the project's, a file of the project cannot be read, workflows cannot name its
            folder, or another project of the repository has a name in Azure that this one has.
    """
    where = place(project)
    where.check()
    if not where.shared:
        print("The project is the top of its repository: GitHub reads its workflows where they are.", flush=True)
        return
    if shared := shared_names(project, where):
        raise UserError(shared[0].message)
    wanted, gone = copies(project, where), leftovers(project, where)
    changed = [name for name, text in wanted.items() if _read(where.top / name) != text]
    for name in changed:
        (where.top / name).parent.mkdir(parents=True, exist_ok=True)
        (where.top / name).write_text(wanted[name], encoding="utf-8")
        print(f"wrote {name}", flush=True)
    for name in gone:
        (where.top / name).unlink()
        print(f"deleted {name}, whose source is gone", flush=True)
    if not (changed or gone):
        print(f"The copies of {where.folder}/.github at the top of the repository are up to date.", flush=True)


def stale_copies(project: Project) -> list[Finding]:
    """Return which copies are not what the project's files say; none where the project has no copies at all."""
    where = place(project)
    if not has_copies(project, where):
        return []
    shared = shared_names(project, where)
    wanted = copies(project, where)
    stale = [name for name, text in wanted.items() if _read(where.top / name) != text] + leftovers(project, where)
    return [*shared, *(Finding(where.top / name, "", f"not what {where.folder} says: run `{VERB}`") for name in stale)]


def shared_names(project: Project, where: Place) -> list[Finding]:
    """Return an endpoint or resource group of the project for each other one of the repository that has it, too."""
    own = _azure_names(project.root)
    found = []
    for folder in sorted(_others(where)):
        if both := own.keys() & _azure_names(where.top / folder):
            name = min(both)
            text = f"{folder} has {name} in Azure, too: before its bootstrap, create this project again with another"
            found.append(Finding(own[name], "names", f"{text} project_name"))
    return found


def _azure_names(root: Path) -> dict[str, Path]:
    """Return the endpoints of a project and the resource groups that it builds, each with the file that names it.

    Projects in workspaces of another owner may share the group, but no endpoint.
    """
    found = {}
    for file in (root / "config").glob("*.yml"):
        try:
            document = load_yaml(file)
        except UserError:  # the lint of that project reports it
            continue
        names, is_built = document.get("names"), document.get("security") is not None
        for key in ("online_endpoint", "resource_group") if is_built else ("online_endpoint",):
            if isinstance(names, dict) and names.get(key):
                found[f"{key} {names[key]}"] = file
    return found


def _others(where: Place) -> set[str]:
    """Return the folders of the other projects with copies at the top."""
    found = (re.match(_MARK.format(r"(\S+)"), _read(path) or "") for path in _copies_there(where.top))
    return {match[1] for match in found if match} - {where.folder}


def has_copies(project: Project, where: Place) -> bool:
    """Return whether the project has copies at the top of a repository of several projects."""
    return where.shared and any(_is_copy(path, where) for path in _copies_there(where.top))


def leftovers(project: Project, where: Place) -> list[str]:
    """Return the copies whose source is gone."""
    names = (path.relative_to(where.top).as_posix() for path in _copies_there(where.top) if _is_copy(path, where))
    return sorted({*names} - {*copies(project, where)})


def copies(project: Project, where: Place) -> dict[str, str]:
    """Return the text of each copy by its path from the top of the repository.

    Raises:
        UserError: A file there is not the project's, or a file of the project cannot be read.
    """
    found: dict[str, str] = {}
    own = project.root / ".github"
    for path in sorted((own / "workflows").glob("*.y*ml")):
        found[f".github/workflows/{where.named(path.name)}"] = _headed(path, where, workflow_copy)
    for path in sorted((own / "actions").glob("*/action.y*ml")):
        found[f".github/actions/{where.named(path.parent.name)}/{path.name}"] = _headed(path, where, action_copy)
    for name in found:
        if (where.top / name).exists() and not _is_copy(where.top / name, where):
            raise UserError(f"{where.top / name} is not a copy of a file in {where.folder}: rename or delete it first")
    for name, (source, key, empty) in PARTS.items():
        path = project.root / source
        if path.is_file():
            part = _part(path.read_text(encoding="utf-8"), where, key)
            there = _read(where.top / name)
            found[name] = _with_part(where.top / name, empty if there is None else there, where, key, part)
    return found


def workflow_copy(text: str, where: Place) -> str:
    """Return a workflow of the project for the top of the repository."""
    edits = _Edits(text)
    edits.change(_value(edits.root, "name"), lambda raw: f'"{where.prefix}: {raw.strip(chr(34))}"')
    events = _value(edits.root, "on")
    for event in ("push", "pull_request"):
        for key, node in _entries(events):
            if key.value == event:
                _limit_to_folder(edits, key, node, where)
    for holder in (edits.root, *(job for _, job in _entries(_value(edits.root, "jobs")))):
        queue = _value(holder, "concurrency")
        edits.change(_value(queue, "group") or queue, _prefixed(f"{where.prefix}-"))
        _own_branch(edits, holder, where)
    for _, job in _entries(_value(edits.root, "jobs")):
        environment = _value(job, "environment")
        edits.change(_value(environment, "name") or environment, _prefixed(f"{where.prefix}-"))
        edits.change(_value(job, "uses"), _called(where))
        edits.change(_value(job, "runs-on"), lambda raw: raw.replace("'{0}-", f"'{{0}}-{where.prefix}-"))
        _edit_steps(edits, job, where)
    return _hashes(edits.text, where)


def action_copy(text: str, where: Place) -> str:
    """Return an action of the project for the top of the repository, whose scripts run in the project's folder."""
    edits = _Edits(text)
    for step in _items(_value(_value(edits.root, "runs"), "steps")):
        for key, node in _entries(step):
            if key.value == "shell" and _value(step, "working-directory") is None:
                edits.insert(node.end_mark.index, f"\n{' ' * key.start_mark.column}working-directory: {where.folder}")
        edits.change(_value(step, "working-directory"), _prefixed(f"{where.folder}/"))
        edits.change(_value(_value(step, "with"), "cache-dependency-glob"), _prefixed(f"{where.folder}/"))
        edits.change(_value(step, "uses"), _called(where))
    return _hashes(edits.text, where)


def _edit_steps(edits: "_Edits", job: yaml.Node, where: Place) -> None:
    steps = _items(_value(job, "steps"))
    in_folder = any((_text(step, "uses") or "").startswith(CHECKOUT) for step in steps)
    if in_folder and _value(job, "defaults") is None:
        (key,) = [key for key, _ in _entries(job) if key.value == "steps"]
        indent = " " * key.start_mark.column
        lines = ["defaults:", "  run:", f"    working-directory: {where.folder}", ""]
        edits.insert(key.start_mark.index, f"\n{indent}".join(lines))
    for step in steps:
        uses = _text(step, "uses") or ""
        edits.change(_value(step, "uses"), _called(where))
        _own_branch(edits, step, where)
        given = _value(step, "with")
        if uses.startswith(ARTIFACTS):
            edits.change(_value(given, "name"), _prefixed(f"{where.prefix}-"))
        if in_folder and not uses.startswith(CHECKOUT):
            # The folder of an action's path is the repository's, whatever a script's folder is.
            edits.change(_value(given, "path"), _prefixed(f"{where.folder}/"))
            edits.change(_value(step, "working-directory"), _prefixed(f"{where.folder}/"))


def _limit_to_folder(edits: "_Edits", key: yaml.Node, node: yaml.Node, where: Place) -> None:
    """Let an event of this project's files alone start a workflow."""
    paths = _value(node, "paths")
    indent = " " * (key.start_mark.column + 2)
    if paths is not None:
        for item in _items(paths):
            edits.change(item, _prefixed(f"{where.folder}/"))
    elif entries := _entries(node):
        edits.insert(entries[0][0].start_mark.index, f"paths: [{where.folder}/**]\n{indent}")
    else:
        edits.insert(key.end_mark.index + 1, f"\n{indent}paths: [{where.folder}/**]")


def _own_branch(edits: "_Edits", holder: yaml.Node, where: Place) -> None:
    """Give the branch that a workflow pushes, in its variable BRANCH, a name of the project's own."""
    edits.change(_value(_value(holder, "env"), "BRANCH"), _prefixed(f"{where.prefix}-"))


def _part(text: str, where: Place, key: str) -> str:
    """Return the project's entries of a list that all projects share, without indentation."""
    edits = _Edits(text)
    for entry in _items(_value(edits.root, key)):
        ecosystem = _text(entry, "package-ecosystem") or ""
        for node in [_value(entry, "directory"), *_items(_value(entry, "directories"))]:
            edits.change(node, partial(_directory, where, ecosystem))
        for hook in _items(_value(entry, "hooks")):
            takes_files = _text(hook, "pass_filenames") != "false"
            # With names of files, which start at the top, a hook runs there; else in the project's folder.
            option = "--project" if takes_files else "--directory"
            edits.change(_value(hook, "entry"), partial(re.sub, r"\buv run ", f"uv run {option} {where.folder} "))
            edits.change(_value(hook, "id"), _prefixed(f"{where.prefix}-"))
            edits.change(_value(hook, "name"), _prefixed(f"{where.prefix} "))
            files = _value(hook, "files")
            edits.change(files, lambda raw: re.sub(r"^(['\"]?)\^?", rf"\g<1>^{where.folder}/", raw))
            if files is None:
                mark = _entries(hook)[0][0].start_mark
                inline = isinstance(hook, yaml.MappingNode) and hook.flow_style
                separator = ", " if inline else "\n" + " " * mark.column
                edits.insert(mark.index, f"files: ^{where.folder}/{separator}")
    lines = re.split(rf"^{key}:.*\n", edits.text, maxsplit=1, flags=re.MULTILINE)[-1].splitlines()
    depth = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[depth:] for line in lines).strip("\n")


def _directory(where: Place, ecosystem: str, raw: str) -> str:
    """Return a folder for Dependabot from the top; `/` stands for the folder of the workflows, but there alone."""
    if raw == "/":
        return f"/{where.folder}/.github/workflows" if ecosystem == "github-actions" else f"/{where.folder}"
    return f"/{where.folder}{raw}"


def _with_part(path: Path, text: str, where: Place, key: str, part: str) -> str:
    """Return a shared file with the project's entries, between two comments, at the head of the list."""
    first, last = f"# From {where.folder}, by `{VERB}` there:", f"# End of {where.folder}."
    there = re.search(rf"^( *){re.escape(first)}\n.*?^ *{re.escape(last)}\n", text, flags=re.MULTILINE | re.DOTALL)
    if there:
        start, end, depth = there.start(), there.end(), len(there[1])
    elif head := re.search(rf"^{key}: *(#.*)?\n", text, flags=re.MULTILINE):
        start = end = head.end()
        entry = re.match(r"(?:\s*(?:#.*)?\n)*( *)- ", text[end:])
        depth = len(entry[1]) if entry else 2
    else:
        raise UserError(f"{path} has no line `{key}:` with a list below it: add one")
    block = "".join(f"{' ' * depth}{line}\n" if line else "\n" for line in [first, *part.splitlines(), last])
    made = text[:start] + block + text[end:]
    try:
        yaml.safe_load(made)
    except yaml.YAMLError as error:
        raise UserError(f"{path} cannot take the entries of {where.folder} below `{key}:`: {error}") from error
    return made


def _headed(path: Path, where: Place, change: Callable[[str, Place], str]) -> str:
    try:
        return f"{_mark(where)}{path.relative_to(where.top).as_posix()}\n{change(path.read_text('utf-8'), where)}"
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error


def _mark(where: Place) -> str:
    return _MARK.format(where.folder)


def _is_copy(path: Path, where: Place) -> bool:
    return (_read(path) or "").startswith(_mark(where))


def _copies_there(top: Path) -> Iterator[Path]:
    yield from (top / ".github" / "workflows").glob("*.y*ml")
    yield from (top / ".github" / "actions").glob("*/action.y*ml")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _called(where: Place) -> Callable[[str], str]:
    """Return what lets a reference to a workflow or action of the project name its copy."""
    return lambda raw: re.sub(r"^(\$|\.)(/\.github/(?:workflows|actions)/)", rf"\1\2{where.prefix}-", raw)


def _hashes(text: str, where: Place) -> str:
    """Return a text in which expressions look for files of the project, from the top."""
    return re.sub(r"hashFiles\([^)]*\)", lambda found: re.sub(r"'(?=[^',)]+')", f"'{where.folder}/", found[0]), text)


def _prefixed(prefix: str) -> Callable[[str], str]:
    """Return what puts a prefix before the content of a scalar: after quotes, `!`, or the head of a block."""
    return lambda raw: re.sub(r"^([>|][-+]?\n\s*|[\"']?!?)", lambda found: found[1] + prefix, raw, count=1)


class _Edits:
    """Changes of a YAML text in place, which keep its comments and its layout."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._changes: list[tuple[int, int, str]] = []
        self.root: yaml.Node = yaml.compose(text, Loader=yaml.SafeLoader) or yaml.MappingNode("", [])

    def change(self, node: yaml.Node | None, how: Callable[[str], str]) -> None:
        """Change a scalar as it is written, with its quotes; nothing happens without one."""
        if isinstance(node, yaml.ScalarNode) and node.value:
            start, end = node.start_mark.index, node.end_mark.index
            self._changes.append((start, end, how(self._text[start:end])))

    def insert(self, index: int, text: str) -> None:
        """Insert a text."""
        self._changes.append((index, index, text))

    @property
    def text(self) -> str:
        """The text with all changes."""
        text = self._text
        for start, end, new in sorted(self._changes, reverse=True):
            text = text[:start] + new + text[end:]
        return text


def _entries(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    return next((value for name, value in _entries(node) if name.value == key), None)


def _text(node: yaml.Node, key: str) -> str | None:
    found = _value(node, key)
    return found.value if isinstance(found, yaml.ScalarNode) else None
