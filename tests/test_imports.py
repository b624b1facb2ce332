"""The packages of the engine import only those below them, as the contracts in pyproject.toml say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from combinations import ROOT

ENGINE = ROOT / "template" / "mlops" / "engine" / "src"


def lint_imports(source: Path) -> subprocess.CompletedProcess[str]:
    """Hold the engine in a folder against the contracts."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    options = [str(ROOT / "pyproject.toml"), "--no-cache"]
    variables = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-c", program, *options]
    return subprocess.run(command, cwd=source, env=variables, capture_output=True, text=True)


def test_each_package_imports_only_those_below_it() -> None:
    result = lint_imports(ENGINE)
    assert result.returncode == 0, result.stdout + result.stderr


UPWARDS = [
    ("errors", "config"),
    ("pipeline", "responsible_ai.components"),
    ("definitions.yaml_v2", "lint.checks"),
    ("definitions.base", "azureml"),
    ("azureml.backend", "lint"),
    ("azureml.remedies", "infrastructure.workspace"),
    ("local.runner", "azureml"),
    ("subscription.account", "orchestration.github"),
]
SIDEWAYS = [
    ("infrastructure.bicep", "infrastructure.terraform"),
    ("azureml.aml_cli_v2", "azureml.python_sdk_v2"),
    ("definitions.yaml_v2", "definitions.python_sdk_v1"),
]


def test_an_import_upwards_or_of_another_choice_breaks_a_contract_even_inside_a_function(tmp_path: Path) -> None:
    shutil.copytree(ENGINE, tmp_path, dirs_exist_ok=True)
    for module, imported in UPWARDS + SIDEWAYS:
        with (tmp_path / "mlops" / f"{module.replace('.', '/')}.py").open("a", encoding="utf-8") as file:
            file.write(f"\n\ndef late() -> None:\n    import mlops.{imported}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stderr
    for module, imported in UPWARDS + SIDEWAYS:
        assert f"mlops.{module} -> mlops.{imported} " in result.stdout


def test_a_new_package_needs_a_place_in_the_contract(tmp_path: Path) -> None:
    shutil.copytree(ENGINE, tmp_path, dirs_exist_ok=True)
    (tmp_path / "mlops" / "another.py").write_text('"""A module without a place."""\n', encoding="utf-8")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert "another" in result.stdout
