"""Seeded errors: a copy of the project's files, and edits of them that last as long as a block."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rendered import ROOT

from mlops.config import Project, Sweep
from mlops.lint import Finding
from mlops.lint.configuration import settings_results
from mlops.lint.pins import pin_findings

_RESULTS: dict[tuple[str, ...], tuple[list[Finding], Sweep | None]] = {}
_PINS: dict[tuple[tuple[Path, bytes], ...], list[Finding]] = {}


def copied(root: Path, *names: str) -> Project:
    """Copy these files and folders of the surrounding project, its choices and the schema of its data to `root`."""
    for name in ("pyproject.toml", "config", "data/schema.yml", "data-science/environment", "data-science/src", *names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, root / name)
    return Project.load(root)


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """Change a file for the length of the block."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"the seed no longer fits {path.name}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


Edit = tuple[str, str, str]
"""The name of a file, a text in it, and what takes its place."""


def together(edits: Iterable[Edit]) -> list[list[Edit]]:
    """Put edits of different places together: what has no error alone has none beside the others."""
    groups: list[list[Edit]] = []
    for file, old, new in edits:
        group = next((each for each in groups if all((file, old) != known[:2] for known in each)), None)
        if group is None:
            groups.append(group := [])
        group.append((file, old, new))
    return groups


@contextmanager
def all_edited(folder: Path, edits: Iterable[Edit]) -> Iterator[None]:
    """Change files of a folder for the length of the block."""
    with ExitStack() as stack:
        for file, old, new in edits:
            stack.enter_context(edited(folder / file, old, new))
        yield


def assert_named(findings: list[Finding], words: list[str]) -> None:
    """Say that each finding is one line, and that one of them has all these words."""
    lines = [str(finding) for finding in findings]
    assert any(all(word in line for word in words) for line in lines), lines or "no finding"
    assert all("\n" not in line for line in lines)


def settings_results_once(project: Project) -> tuple[list[Finding], Sweep | None]:
    """Check the settings as the lint does, but the same text once: few seeds are errors in it."""
    key = tuple(path.read_text(encoding="utf-8") for path in (project.settings, project.schema))
    if key not in _RESULTS:
        _RESULTS[key] = settings_results(project)
    return _RESULTS[key]


def pin_findings_once(project: Project) -> list[Finding]:
    """Check packages and the imports of the code as the lint does, but the same files once."""
    environments, code = (project.root / "data-science" / folder for folder in ("environment", "src"))
    files = [project.root / "pyproject.toml", *environments.glob("*.yml"), *code.rglob("*.py")]
    key = tuple((path, path.read_bytes()) for path in sorted(files))
    if key not in _PINS:
        _PINS[key] = pin_findings(project)
    return _PINS[key]


def forget_definitions() -> None:
    """Have the definitions imported anew, because they are edited within a second."""
    for name, module in list(sys.modules.items()):
        # None of them is in a package. Looking at the thousands that are would take a fifth of the time of a test.
        if "." not in name and Path(getattr(module, "__file__", None) or "").parent.name.startswith("python-sdk-v"):
            del sys.modules[name]
