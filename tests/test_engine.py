"""The engine of the projects, by the tests in tests/engine, which are of this repository alone.

They run in the environment of a rendered project and read its definitions: what only the package decides runs once,
what a definition of some mlops version decides runs in a project of that version.
"""

import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from combinations import ROOT, questions
from conftest import Render, Run

SUITE = ROOT / "tests" / "engine"
MODULES = sorted(path.stem.removeprefix("test_") for path in SUITE.glob("test_*.py"))
VERSIONS = list(questions()["mlops_version"]["choices"].values())
DEFAULT = questions()["mlops_version"]["default"]
PREFIXES = {version.replace("-", "_"): version for version in VERSIONS} | {"rai": "rai-aml-cli-v2"}


def versions_of(module: str) -> list[str]:
    """The mlops versions in whose projects a module runs; what is the same in all of them is tested in one."""
    if module.startswith("every_"):
        return VERSIONS
    return [version for prefix, version in PREFIXES.items() if module.startswith(f"{prefix}_")] or [DEFAULT]


CASES = [
    pytest.param(module, version, marks=pytest.mark.xdist_group(f"classical-{version}"), id=f"{version}-{module}")
    for module in MODULES
    for version in versions_of(module)
]


def test_every_version_has_tests_of_its_own() -> None:
    assert {version for module in MODULES for version in versions_of(module) if "every" not in module} == set(VERSIONS)


@pytest.mark.parametrize(("module", "version"), CASES)
def test_the_engine_passes(module: str, version: str, render: Render, run_in: Run) -> None:
    result = run_suite(render(mlops_version=version), run_in, module)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert re.search(r"\d+ passed", result.stdout)


def test_mypy_finds_nothing_in_the_engine(render: Render, run_in: Run) -> None:
    """In the environment of a project, which has the engine's dependencies; ruff finds nothing by `make lint`."""
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache" / "engine")]
    result = run_in(render(mlops_version=DEFAULT), "mypy", *config, "-p", "mlops")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"no issues found in \d\d+ source files", result.stdout)


def run_suite(project: Path, run_in: Run, *modules: str, **env: str) -> CompletedProcess:
    """Run some of the engine's test modules with the definitions of a rendered project."""
    paths = [str(SUITE / f"test_{module}.py") for module in modules]
    config = ["-c", str(SUITE / "pytest.ini")]
    return run_in(project, "pytest", "-q", *config, *paths, MLOPS_TEST_PROJECT=str(project), **env)
