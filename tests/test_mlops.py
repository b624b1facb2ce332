"""The verbs, the lint and the local runner of a rendered project, by the tests in tests/mlops.

They stay here because the owner of a project edits data science and definitions, not this layer. They run inside it,
in its environment, as if they were its own.
"""

import re
import shutil
from pathlib import Path

import pytest
from combinations import ROOT
from conftest import Run

pytestmark = pytest.mark.xdist_group("project")

SUITE = ROOT / "tests" / "mlops"


@pytest.fixture(scope="session")
def suite(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the suite in it."""
    folder = shutil.copytree(project, tmp_path_factory.mktemp("mlops") / "project")
    shutil.copytree(SUITE, folder / "mlops" / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("module", sorted(path.stem for path in SUITE.glob("test_*.py")))
def test_the_mlops_layer_passes(module: str, suite: Path, run_in: Run) -> None:
    result = run_in(suite, "pytest", "-q", "-p", "no:cacheprovider", f"mlops/tests/{module}.py")
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert re.search(r"\d+ passed", result.stdout)


def test_the_suite_is_clean_to_the_linters_of_the_project(suite: Path, run_in: Run) -> None:
    result = run_in(suite, "ruff", "check", "mlops/tests")
    assert result.returncode == 0, result.stdout
