"""What the engine imports: its packages only downwards, and libraries that it declares; what definitions import."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from combinations import ROOT, flavours
from conftest import Render

MLOPS = ROOT / "template" / "mlops"
ENGINE = MLOPS / "engine" / "src"


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


def imports(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Each imported module with a name that is imported from it, or with none."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                yield from ((str(node.module), alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)


# Of the project's pyproject.toml, because they differ by mlops version: what Azure ML calls, and Responsible AI.
OF_THE_PROJECT = {"azure", "azureml", "marshmallow", "msrest", "requests"} | {
    "erroranalysis", "numpy", "pandas", "raiutils", "raiwidgets", "responsibleai",
}  # fmt: skip
DISTRIBUTIONS = {"yaml": "pyyaml"}


def test_every_library_that_the_engine_imports_is_its_dependency() -> None:
    found = {module.partition(".")[0] for module, _ in imports(ENGINE.rglob("*.py"))}
    libraries = found - sys.stdlib_module_names - {"mlops"}
    table = tomllib.loads((ENGINE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split("[<>=]", requirement)[0] for requirement in table["dependencies"]}
    names = {DISTRIBUTIONS.get(library, library).replace("_", "-") for library in libraries - OF_THE_PROJECT}
    assert names == declared
    assert libraries > OF_THE_PROJECT


def test_the_names_that_definitions_import_stay(render: Render) -> None:
    versions = [render(**each) / "mlops" for each in flavours()]
    paths = [path for folder in versions for path in folder.rglob("*.py") if not path.is_relative_to(folder / "engine")]
    found = set(imports(paths))
    shipped = {(module, name) for module, name in found if module.partition(".")[0] == "mlops"}
    assert shipped == {
        ("mlops.config", "EnvironmentConfig"),
        ("mlops.config", "DriftRules"),
        ("mlops.config", "Sweep"),
        ("mlops.config", "TrainingCompute"),
        ("mlops.project", "Project"),
    }
    older = {("mlops.config", "Project"), ("mlops.config", "load_environment")}
    sys.path.insert(0, str(ENGINE))
    for module, name in shipped | older:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
        assert f"`{module}`" in (ENGINE.parent / "README.md").read_text(encoding="utf-8")
