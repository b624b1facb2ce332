"""Does Azure have what the project's code imports? Each import of a package, held against the files that install it.

A package is needed in `pyproject.toml` and `uv.lock`, for this machine; for the steps in `train.yml` of the folder
`data-science/environment`; and in `inference.yml` there, if the endpoint needs it: for the scoring script and the files
beside it that it loads, and for what a model is made of. A model names its own packages by itself when it is saved.
"""

import ast
import sys
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlops.definitions.base import Finding
from mlops.project import Project

TRAIN, INFERENCE = "train.yml", "inference.yml"

_SCORE = "score"
# What a model is made of: needed where it is trained, and where it is loaded.
_OF_MODELS = ("models", "features")


@dataclass(frozen=True)
class _Import:
    """One import of a package: its dotted name, the line, and whether the module does it when it is loaded."""

    name: str
    line: int
    at_once: bool

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class _Module:
    """What a module imports: packages, modules of the project by name, and those that it can do without."""

    packages: tuple[_Import, ...] = ()
    own: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()


def import_findings(project: Project, declared: set[str], installed: Mapping[Path, set[str]]) -> list[Finding]:
    """Find imports of packages that a file lacks which installs them.

    Args:
        project: The project.
        declared: The distributions that `pyproject.toml` names.
        installed: Those that each file of `data-science/environment` names.
    """
    code = project.root / "data-science" / "src" / project.package
    files = {_dotted(path, code): path for path in sorted(code.rglob("*.py")) if not _is_hidden(path.relative_to(code))}
    modules = {name: _read(path.read_bytes(), path.relative_to(code).parts[:-1]) for name, path in files.items()}
    optional = {name for module in modules.values() for name in module.optional}
    beside = {name for name, path in files.items() if path.parent == code and path.stem == name}
    named = beside & _texts(files[_SCORE].read_bytes()) if _SCORE in files else set()
    served, environments = _served(modules, named), {path.name: path for path in sorted(installed)}
    found: dict[str, Finding] = {}
    for name, module in modules.items():
        if name in optional:
            continue
        for each in module.packages:
            if each.top in sys.stdlib_module_names or each.top == project.package:
                continue
            needed = [environments[need] for need in _needed(name, each, served) if need in environments]
            lacking = [path for path in needed if not _has(installed[path], each)]
            if not each.at_once and name not in _OF_MODELS and any(_has(names, each) for names in installed.values()):
                lacking = []  # for another environment
            is_declared = _has(declared, each)
            if each.top not in found and (lacking or not is_declared):
                text = _text(project, each, is_declared, lacking)
                found[each.top] = Finding(files[name], f"line {each.line}", text)
    return [*found.values(), *_unlocked(project, declared)]


def _needed(module: str, imported: _Import, served: set[str]) -> list[str]:
    if module in _OF_MODELS:
        return [TRAIN, INFERENCE]
    if module == _SCORE:
        return [INFERENCE]
    return [TRAIN, INFERENCE] if module in served and imported.at_once else [TRAIN]


def _served(modules: Mapping[str, _Module], named: set[str]) -> set[str]:
    """Return the scoring script and the modules beside it that it loads: those that it has `named`, and theirs."""
    if _SCORE not in modules:
        return set()
    waiting, found = [_SCORE, *named], set()
    while waiting:
        name = waiting.pop()
        if name in modules and name not in found:
            found.add(name)
            waiting += modules[name].own
    return found


def _text(project: Project, imported: _Import, is_declared: bool, lacking: list[Path]) -> str:
    distributions = _distributions(imported)
    name = distributions[0] if distributions else imported.top
    steps = [] if is_declared else [f"run `uv add {name}`"]
    if lacking:
        version = _version(project, name)
        line = f"`- {name}=={version}`" if version else f"`- {name}==` with its version"
        paths = " and ".join(path.relative_to(project.root).as_posix() for path in lacking)
        steps.append(f"add the line {line} to {paths}, below `pip:`")
    *most, last = [*([] if is_declared else ["pyproject.toml"]), *(path.name for path in lacking)]
    files = f"{', '.join(most)} and {last} lack" if most else f"{last} lacks"
    return f"it imports {imported.top}, which {files}: {'; then '.join(steps)}"


def _unlocked(project: Project, declared: set[str]) -> list[Finding]:
    locked = _locked(project.root / "uv.lock")
    if not locked:
        return []
    lost = sorted(name for name in declared if name not in locked)
    text = f"it lacks {', '.join(lost)}, which pyproject.toml names: run `uv lock`"
    return [Finding(project.root / "uv.lock", "", text)] if lost else []


def _version(project: Project, name: str) -> str:
    if version := _locked(project.root / "uv.lock").get(canonicalize_name(name)):
        return version
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _locked(path: Path) -> dict[str, str]:
    """Return the versions in a uv.lock by name; nothing without such a file, or if it cannot be read."""
    try:
        packages = tomllib.loads(path.read_text(encoding="utf-8")).get("package", [])
        return {canonicalize_name(each["name"]): each.get("version", "") for each in packages}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}


def _is_hidden(path: Path) -> bool:
    """Return whether a file is in a hidden folder, such as a copy that Jupyter makes: nothing imports it."""
    return any(part.startswith(".") for part in path.parts)


def _dotted(path: Path, code: Path) -> str:
    parts = path.relative_to(code).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _read(source: bytes, folder: tuple[str, ...]) -> _Module:
    packages: list[_Import] = []
    own: list[str] = []
    optional: list[str] = []
    waiting: deque[tuple[ast.AST, bool, bool]] = deque([(_tree(source), False, True)])
    while waiting:
        node, guarded, at_once = waiting.popleft()
        guarded, at_once = guarded or _does_without(node), at_once and not isinstance(node, _FUNCTIONS)
        # An import is a statement, so that it is in no expression.
        waiting.extend(
            (each, guarded, at_once) for each in ast.iter_child_nodes(node) if not isinstance(each, ast.expr)
        )
        if isinstance(node, ast.ImportFrom) and node.level:
            (optional if guarded else own).extend(_relative(node, folder))
        elif isinstance(node, ast.Import | ast.ImportFrom) and not guarded:
            start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            packages += [_Import(f"{start}{alias.name}", node.lineno, at_once) for alias in node.names]
    return _Module(tuple(packages), tuple(own), frozenset(optional))


def _texts(source: bytes) -> set[str]:
    """Return the texts in a module."""
    constants = (node.value for node in ast.walk(_tree(source)) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def _tree(source: bytes) -> ast.Module:
    try:
        return ast.parse(source.decode("utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return ast.Module([], [])  # reported with the commands


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _does_without(node: ast.AST) -> bool:
    """Return whether a block may import what is not there: one that handles it, or that only a type checker reads."""
    if isinstance(node, ast.Try):
        names = {each.id for handler in node.handlers for each in ast.walk(handler) if isinstance(each, ast.Name)}
        return bool(names & {"ImportError", "ModuleNotFoundError"})
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _relative(node: ast.ImportFrom, folder: tuple[str, ...]) -> Iterator[str]:
    """Yield the modules of the project that a relative import in a file of this folder may name."""
    parts = [*folder[: len(folder) - node.level + 1], *filter(None, [node.module])]
    yield ".".join(parts)
    yield from (".".join([*parts, alias.name]) for alias in node.names)


# What is installed stays as it is while the lint runs.
@cache
def _installed() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _distributions(imported: _Import) -> list[str]:
    """Return the distributions that an import may come from; several share a name such as azure."""
    found = _installed().get(imported.top, [])
    dotted = f"{canonicalize_name(imported.name.replace('.', '-'))}-"
    return [each for each in found if "-" in each and dotted.startswith(f"{canonicalize_name(each)}-")] or found


def _has(names: set[str], imported: _Import) -> bool:
    """Return whether these distributions, or what they require, have the package of an import."""
    wanted = {canonicalize_name(each) for each in _distributions(imported)}
    return bool(wanted & names) or bool(wanted & _closure(frozenset(names)))


@cache
def _closure(names: frozenset[str]) -> frozenset[str]:
    """Return packages with all that they require, as far as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += _required(name)
    return frozenset(found)


@cache
def _required(name: str) -> list[str]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    required: list[str] = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
            required.append(canonicalize_name(requirement.name))
    return required
