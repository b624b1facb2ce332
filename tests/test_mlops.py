"""The verbs, the lint and the local runner of rendered projects, by the tests in tests/mlops.

They stay here because the owner of a project edits data science and definitions, not this layer. They run inside it,
in its environment, as if they were its own.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from combinations import ROOT, questions, tools
from conftest import Render, Run

SUITE = ROOT / "tests" / "mlops"
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
INFRASTRUCTURES = tools()


@pytest.fixture(scope="session")
def suite_in(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a project of an mlops version, or with another answer, with the suite in it, once for all tests."""
    made: dict[tuple[tuple[str, str], ...], Path] = {}

    def make(version: str, **answers: str) -> Path:
        chosen = tuple({"mlops_version": version, **answers}.items())
        if chosen not in made:
            made[chosen] = tmp_path_factory.mktemp("mlops") / "project"
            shutil.copytree(render(**dict(chosen)), made[chosen])
            shutil.copytree(SUITE, made[chosen] / "mlops" / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        return made[chosen]

    return make


def test_every_version_has_tests_of_its_own() -> None:
    assert {version for module in MODULES for version in versions_of(module) if "every" not in module} == set(VERSIONS)


@pytest.mark.parametrize(("module", "version"), CASES)
def test_the_mlops_layer_passes(module: str, version: str, suite_in: Callable[..., Path], run_in: Run) -> None:
    passes(suite_in(version), module, run_in)


@pytest.mark.xdist_group(f"classical-{DEFAULT}")
@pytest.mark.parametrize("module", ["provision", "teardown"])
@pytest.mark.parametrize("infrastructure", INFRASTRUCTURES[1:])  # the first is in every other project here
def test_the_verbs_of_each_other_infrastructure_pass(
    module: str, infrastructure: str, suite_in: Callable[..., Path], run_in: Run
) -> None:
    passes(suite_in(DEFAULT, infrastructure_version=infrastructure), module, run_in)


def passes(folder: Path, module: str, run_in: Run) -> None:
    result = run_in(folder, "pytest", "-q", "-p", "no:cacheprovider", f"mlops/tests/test_{module}.py")
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert re.search(r"\d+ passed", result.stdout)


@pytest.mark.xdist_group(f"classical-{DEFAULT}")
def test_the_suite_is_clean_to_the_linters_of_the_project(suite_in: Callable[..., Path], run_in: Run) -> None:
    # The modules of the other versions are not in this project, but they are its own too.
    first_party = ["--config", 'lint.isort.known-first-party=["mlops"]']
    result = run_in(suite_in(DEFAULT), "ruff", "check", "mlops/tests", *first_party)
    assert result.returncode == 0, result.stdout
