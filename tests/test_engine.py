"""The engine of the projects, by the tests in tests/engine, which are of this repository alone.

They run in the environment of a rendered project and read its definitions: what only the package decides runs once,
what a definition of some mlops version decides runs in a project of that version.
"""

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from combinations import ROOT, flavours, label, questions
from conftest import Render, Run

SUITE = ROOT / "tests" / "engine"
VERSIONS = list(questions()["mlops_version"]["choices"].values())
Runs = dict[str, tuple[tuple[str, ...], ...]]
# The modules of one row run in one process, a fork of one that has imported the SDK and MLflow: by itself it would do
# that for ten seconds. What is the same in all mlops versions is tested in one.
RUNS: Runs = {
    "aml-cli-v2": (
        ("azure_devops_run", "bootstrap_azure_devops", "doctor_azure_devops"),
        (
            "bootstrap",
            "cli",
            "comment",
            "connected",
            "doctor",
            "environments",
            "outputs",
            "provision",
            "teardown",
            "every_version",
        ),
        (
            "config",
            "limits",
            "definitions",
            "lint",
            "lint_configuration",
            "pipeline",
            "rollout",
            "tuning",
            "upkeep",
            "verbs",
            "delivery",
            "recovery",
            "canary",
            "closed_loop",
            "summaries",
        ),
        ("local", "runner", "serving", "drafts", "comparison", "ui"),
    ),
    "python-sdk-v2": (("python_sdk_v2_definitions", "python_sdk_v2_fake_azure", "closed_loop", "every_version"),),
    "python-sdk-v1": (("python_sdk_v1_definitions", "python_sdk_v1_mlflow", "closed_loop", "every_version"),),
    "rai-aml-cli-v2": (("rai_lint", "rai_local", "every_version"),),
}
# The client of rai-aml-cli-v2 is that of aml-cli-v2, its definitions are its own.
TABLE = "what_the_table_says or definitions_are"
LESS = {"rai-aml-cli-v2": f"not test_every_version or {TABLE}"}
# Of what PyTorch trains, the definitions differ: the step that is spread over nodes, checkpoints, variables.
WORDS = "(distribut or checkpoint or spread or process or node or variable)"
SPREAD = f"not test_every_version and not two_processes and {WORDS}"
TORCH_RUNS: Runs = {
    "aml-cli-v2": (("lint", "lint_configuration", "every_version"),),
    "python-sdk-v2": (("python_sdk_v2_definitions", "every_version"),),
    "python-sdk-v1": (("python_sdk_v1_definitions", "every_version"),),
    "rai-aml-cli-v2": (("every_version", "rai_images"),),
}


def marks(modules: tuple[str, ...]) -> list[pytest.MarkDecorator]:
    """What a row is about beside the mlops version."""
    return [pytest.mark.about(orchestration="azure-devops")] if "azure_devops" in modules[0] else []


def cases(table: Runs) -> pytest.MarkDecorator:
    """Run a test for each mlops version and row of a table."""
    params = [
        pytest.param(version, run, id=f"{version}-{run[0]}", marks=marks(run))
        for version, runs in table.items()
        for run in runs
    ]
    return pytest.mark.parametrize(("version", "modules"), params)


def test_every_module_runs_and_every_version_has_the_table_of_verbs() -> None:
    # The year has a test of its own: test_year.py; so have the failures, below.
    modules = {path.stem.removeprefix("test_") for path in SUITE.glob("test_*.py")} - {"year", "failures"}
    assert {
        module for table in (RUNS, TORCH_RUNS) for runs in table.values() for run in runs for module in run
    } == modules
    assert {version for version, runs in RUNS.items() if any("every_version" in run for run in runs)} == set(VERSIONS)


@cases(RUNS)
def test_the_engine_passes(
    version: str, modules: tuple[str, ...], render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    chosen = ("-k", LESS[version]) if version in LESS else ()
    project = render(mlops_version=version, project_type="classical")
    assert_passes(run_suite(project, tmp_path, run_with_others, *modules, options=chosen))


@pytest.mark.failures
@pytest.mark.parametrize("quarter", ["part1", "part2", "part3", "not part1 and not part2 and not part3"])
def test_no_failure_of_the_local_loop_costs_a_model(
    quarter: str, render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    """`make failures` alone runs this: a process for each quarter, which waits for the one run that it has started."""
    project = render(mlops_version="aml-cli-v2", project_type="classical")
    assert_passes(run_suite(project, tmp_path, run_with_others, "failures", options=("-k", quarter), timeout=3600))


@pytest.mark.about(project_type="cv")
@cases(TORCH_RUNS)
def test_the_engine_passes_on_definitions_of_a_distributed_training(
    version: str, modules: tuple[str, ...], render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    project = render(mlops_version=version, project_type="cv")
    chosen = f"{TABLE} or {SPREAD} or test_rai_images"
    assert_passes(run_suite(project, tmp_path, run_with_others, *modules, options=("-k", chosen)))


@pytest.mark.parametrize("answers", [each for each in flavours() if each["project_type"] == "classical"], ids=label)
def test_an_environment_has_the_libraries_of_the_tables_that_run_in_it(
    answers: dict[str, str], render: Render, python_of: Callable[[Path], Path]
) -> None:
    project = render(**answers)
    required = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    result = subprocess.run([python_of(project), "-c", WRONG, *required], capture_output=True, text=True, check=True)
    assert result.stdout == ""


WRONG = """
import sys
from importlib.metadata import PackageNotFoundError, version
from packaging.requirements import Requirement

for word in sys.argv[1:]:
    each = Requirement(word)
    try:
        if not each.specifier.contains(version(each.name), prereleases=True):
            print(word, "has", version(each.name))
    except PackageNotFoundError:
        if each.name != "mlops-engine":  # its source is on PYTHONPATH
            print(word, "is missing")
"""


def test_mypy_finds_nothing_in_the_engine(render: Render, run_in: Run) -> None:
    """In the environment of a project, which has the engine's dependencies; ruff finds nothing by `make lint`."""
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache" / "engine")]
    result = run_in(render(), "mypy", *config, "-p", "mlops")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"no issues found in \d\d+ source files", result.stdout)


def assert_passes(result: CompletedProcess) -> None:
    """Check that tests ran, and that none failed."""
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert re.search(r"\d+ passed", result.stdout)


def run_suite(
    project: Path,
    folder: Path,
    run: Run,
    *modules: str,
    options: tuple[str, ...] = (),
    timeout: float = 600,
    **env: str,
) -> CompletedProcess:
    """Run some of the engine's test modules in an empty folder, with the definitions of a rendered project."""
    paths = [str(SUITE / f"test_{module}.py") for module in modules]
    config = ["-c", str(SUITE / "pytest.ini")]
    command = ["pytest", "-q", *config, *options, *paths]
    return run(project, *command, timeout=timeout, cwd=folder, MLOPS_TEST_PROJECT=str(project), **env)
