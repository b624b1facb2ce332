"""Checks of `data-science/environment/`: what Azure ML installs, held against `pyproject.toml` and the project's code.

What the code imports, `packages` finds.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mlops.definitions.base import Finding
from mlops.lint import packages
from mlops.lint.documents import read
from mlops.pipeline import mapping
from mlops.project import Project

_PYTHON = re.compile(r"python\s*==?\s*(\d+\.\d[\d.]*)")


def pin_findings(project: Project) -> list[Finding]:
    """Find pins outside of the ranges in pyproject.toml, and imports of packages that an environment lacks."""
    document = tomllib.loads((project.root / "pyproject.toml").read_text(encoding="utf-8"))
    table = mapping(document.get("project"))
    wanted = _requirements(table.get("dependencies"))
    ranges: dict[str, Requirement] = {canonicalize_name(each.name): each for each in wanted}
    files = sorted((project.root / "data-science" / "environment").glob("*.yml"))
    installed: dict[Path, set[str]] = {}
    findings = []
    for path in files:
        dependencies = mapping(read(path)[0]).get("dependencies")
        lines = dependencies if isinstance(dependencies, list) else []
        findings += [Finding(path, "dependencies", text) for text in _python_problems(lines, table)]
        conda = [re.split(r"[=<>!~\s]", line.strip())[0] for line in lines if isinstance(line, str)]
        pip = [each for line in lines for each in _requirements(mapping(line).get("pip"))]
        names = [*conda, *(each.name for each in pip)]
        installed[path] = {canonicalize_name(name.rpartition("::")[2]) for name in names}
        findings += [Finding(path, "dependencies", text) for each in pip for text in _problems(each, ranges)]
    groups = mapping(document.get("dependency-groups")).values()
    declared = {*ranges, *(canonicalize_name(each.name) for group in groups for each in _requirements(group))}
    return findings + packages.import_findings(project, declared, installed)


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
