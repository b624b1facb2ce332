"""Checks of `data-science/environment/`: what Azure ML installs, held against what `pyproject.toml` asks for."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mlops.definitions.base import Finding
from mlops.lint.documents import read
from mlops.pipeline import mapping
from mlops.project import Project

_PYTHON = re.compile(r"python\s*==?\s*(\d+\.\d[\d.]*)")


def pin_findings(project: Project) -> list[Finding]:
    """Find pins outside of the ranges in pyproject.toml, and packages of the steps that no environment has."""
    table = mapping(tomllib.loads((project.root / "pyproject.toml").read_text(encoding="utf-8")).get("project"))
    wanted = _requirements(table.get("dependencies"))
    ranges: dict[str, Requirement] = {canonicalize_name(each.name): each for each in wanted}
    files = sorted((project.root / "data-science" / "environment").glob("*.yml"))
    installed: set[str] = set()
    findings = []
    for path in files:
        dependencies = mapping(read(path)[0]).get("dependencies")
        lines = dependencies if isinstance(dependencies, list) else []
        findings += [Finding(path, "dependencies", text) for text in _python_problems(lines, table)]
        conda = [re.split(r"[=<>!~\s]", line.strip())[0] for line in lines if isinstance(line, str)]
        pip = [each for line in lines for each in _requirements(mapping(line).get("pip"))]
        installed |= {canonicalize_name(name.rpartition("::")[2]) for name in [*conda, *(each.name for each in pip)]}
        findings += [Finding(path, "dependencies", text) for each in pip for text in _problems(each, ranges)]
    if train := next((path for path in files if path.stem == "train"), None):
        findings += [Finding(train, "dependencies", text) for text in _missing(project, ranges, installed)]
    return findings


def _requirements(lines: object) -> Iterator[Requirement]:
    for line in lines if isinstance(lines, list) else []:
        try:
            yield Requirement(str(line).split(" #")[0].strip())
        except InvalidRequirement:
            continue  # an option or a file, or a mistake that is found elsewhere


def _problems(pinned: Requirement, ranges: Mapping[str, Requirement]) -> Iterator[str]:
    wanted = ranges.get(canonicalize_name(pinned.name))
    exact = [each.version for each in pinned.specifier if each.operator in {"==", "==="}]
    if wanted is None or len(exact) != 1 or exact[0].endswith("*"):
        return
    if not wanted.specifier.contains(exact[0], prereleases=True):
        yield f"{pinned.name}=={exact[0]} is outside of {wanted.specifier} in pyproject.toml: the two must agree"


def _python_problems(lines: Iterable[object], table: Mapping[str, object]) -> Iterator[str]:
    for line in lines:
        match = _PYTHON.fullmatch(line.strip()) if isinstance(line, str) else None
        try:
            if match and not SpecifierSet(str(table.get("requires-python") or "")).contains(Version(match[1])):
                yield f"{line} is outside of requires-python {table['requires-python']} in pyproject.toml"
        except (InvalidSpecifier, InvalidVersion):
            continue


def _missing(project: Project, ranges: Iterable[str], installed: set[str]) -> Iterator[str]:
    """Find packages that modules import when they are loaded, and that nothing in the environments brings along."""
    absent = [name for name in ranges if name not in installed]
    brought = _closure(installed) if absent else installed
    sought = {name: _packages(name) for name in absent if name not in brought}
    if not any(sought.values()):
        return
    code = project.root / "data-science" / "src" / project.package
    imports = {name: path for path in sorted(code.rglob("*.py")) for name in _imports(path.read_bytes())}
    for name, packages in sought.items():
        if found := [each for each in packages if each in imports]:
            module = imports[found[0]].relative_to(code).as_posix()
            yield f"no environment has {name}, which pyproject.toml names and {module} imports: add it with its version"


@cache
def _imports(source: bytes) -> frozenset[str]:
    """Return the packages that a module imports when it is loaded."""
    try:
        tree = ast.parse(source.decode("utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return frozenset()  # reported with the commands
    names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom) and not node.level]
    return frozenset(name.partition(".")[0] for name in names)


# What is installed stays as it is while the lint runs.
@cache
def _packages(name: str) -> list[str]:
    """Return what an installed distribution is imported by; nothing where several share that name, such as azure."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return []
    tops = {file.parts[0] for file in files if len(file.parts) == 2 and file.name == "__init__.py"}
    tops |= {file.stem for file in files if len(file.parts) == 1 and file.suffix == ".py"}
    return sorted(tops - {"azure", "azureml"})


def _closure(names: set[str]) -> set[str]:
    """Return packages with all that they require, as far as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += _required(name)
    return found


@cache
def _required(name: str) -> list[str]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    required = [each for each in _requirements(lines) if not each.marker or each.marker.evaluate({"extra": ""})]
    return [canonicalize_name(each.name) for each in required]
