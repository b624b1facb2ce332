"""Features and models of one's own, in a project with tables: what its files and docs/model.md say works as written."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from conftest import Render, Run
from own_data import change_settings, package_file, uncomment, use_features, use_ridge


@pytest.fixture
def project(render: Render, tmp_path: Path) -> Path:
    """A project with tables that a test may write to."""
    return shutil.copytree(render(), tmp_path / "project")


def blocks(project: Path, language: str) -> list[str]:
    """The blocks of code in docs/model.md."""
    text = (project / "docs" / "model.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


# What `mlops lint` says of code and settings, without the definitions, which have to be loaded for seconds.
FINDINGS = """
from mlops.lint import configuration, pins
from mlops.project import Project

project = Project.load()
print(*pins.pin_findings(project), *configuration.settings_findings(project), sep="\\n")
"""


def run_loop(project: Path, run: Run, **env: str) -> dict:
    """Run the local loop, which must end with a champion; give what the report has in numbers."""
    result = run(project, "mlops.cli", "local", **env)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    [metrics] = (project / ".local" / "runs").glob("*/evaluate/evaluation/metrics.json")
    found: dict = json.loads(metrics.read_text(encoding="utf-8"))
    return found


def test_the_example_of_features_is_in_the_file_the_schema_and_the_documentation(project: Path) -> None:
    code = use_features(project)
    assert textwrap.dedent(code) in textwrap.dedent(blocks(project, "python")[0].partition(":\n")[2])
    schema = yaml.safe_load((project / "data" / "schema.yml").read_text(encoding="utf-8"))
    assert set(re.findall(r"(\w+)=", code)) - {"expand"} == set(schema["features"])


def test_features_and_another_model_go_through_the_whole_loop_and_the_request_has_the_columns_of_the_files(
    project: Path, run_with_others: Run
) -> None:
    use_features(project)
    use_ridge(project)
    found = run_loop(project, run_with_others)
    added = {"departure_month", "departure_weekday", "tail_digits"}
    assert added <= {each["feature"] for each in found["importance"]}
    [model] = (project / ".local" / "runs").glob("*/train/model/MLmodel")
    recorded = yaml.safe_load(model.read_text(encoding="utf-8"))["metadata"]
    assert set(recorded["features"]["columns"]) == added
    assert {"date", "tailnum"} <= set(recorded["columns"])
    assert not added & set(recorded["columns"])
    [drift] = (project / ".local" / "runs").glob("*/evaluate/evaluation/drift.json")
    compared = {each["feature"] for each in json.loads(drift.read_text(encoding="utf-8"))["results"]}
    assert "tail_digits" in compared
    assert not compared & {"departure_month", "departure_weekday", "date", "tailnum"}


@pytest.fixture(scope="module")
def lightgbm(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with LightGBM, which no environment of these tests has; pip's cache or an index gives it."""
    folder = tmp_path_factory.mktemp("lightgbm")
    command = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
    result = subprocess.run([*command, "lightgbm>=4.6,<5"], capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"no wheel of LightGBM here: {result.stderr.strip().splitlines()[-1]}")
    return folder


def use_lightgbm(project: Path) -> None:
    """Let models.py have the function that it has behind comment signs, and choose it as the documentation says."""
    path = package_file(project, "models.py")
    uncomment(path, "def lightgbm()", "    return Model(LGBM")
    uncomment(path, '    "lightgbm": ', '    "lightgbm": ')
    chosen = yaml.safe_load(next(each for each in blocks(project, "yaml") if "lightgbm" in each))

    def choose(settings: dict) -> None:
        settings["training"]["hyperparameters"] = chosen["training"]["hyperparameters"]
        settings["tuning"]["space"] |= chosen["tuning"]["space"]

    change_settings(project, choose)


def add_line(path: Path, line: str) -> None:
    """Add a line below `pip:`."""
    text = path.read_text(encoding="utf-8")
    assert text.count("  - pip:\n") == 1
    path.write_text(text.replace("  - pip:\n", f"  - pip:\n      {line}\n"), encoding="utf-8")


def test_lightgbm_works_after_what_the_lint_says_and_not_before(
    project: Path, run_with_others: Run, lightgbm: Path
) -> None:
    use_lightgbm(project)
    folders = (project / "mlops" / "engine" / "src", project / "data-science" / "src", lightgbm)
    path = os.pathsep.join(map(str, folders))
    before = run_with_others(project, "-c", FINDINGS, PYTHONPATH=path)
    found = re.search(
        r"models\.py: line \d+: it imports lightgbm, which pyproject\.toml, train\.yml and inference\.yml lack: run "
        r"`uv add lightgbm`; then add the line `(- lightgbm==4\S+)` to (\S+) and (\S+), below `pip:`",
        before.stdout,
    )
    assert found, before.stdout
    for name in found.groups()[1:]:
        add_line(project / name, found[1])
    toml = project / "pyproject.toml"  # what `uv add` does
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace("dependencies = [\n", 'dependencies = [\n    "lightgbm>=4",\n', 1), encoding="utf-8")
    run_loop(project, run_with_others, PYTHONPATH=path)
    [conda] = (project / ".local" / "runs").glob("*/train/model/conda.yaml")
    assert found[1].removeprefix("- ") in conda.read_text(encoding="utf-8")


def test_a_model_whose_package_is_not_installed_is_an_error_of_the_lint(project: Path, run_with_others: Run) -> None:
    use_lightgbm(project)
    result = run_with_others(project, "-c", FINDINGS)
    if "No module named" not in result.stdout:
        pytest.skip("LightGBM is installed here")
    assert "training.hyperparameters.model: lightgbm needs a package that is not here" in result.stdout
    assert "it imports lightgbm, which pyproject.toml, " in result.stdout
