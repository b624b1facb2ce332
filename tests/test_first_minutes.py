"""The way of a new user: copy by uvx, then `uv run mlops local` in an environment of the project's own."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.big


@pytest.fixture(scope="session")
def newcomer(source: Path, uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made with the README's command and default answers."""
    destination = tmp_path_factory.mktemp("new") / "my-project"
    command = ["tool", "run", "--with", "copier-template-extensions", "copier", "copy", "--trust", "--defaults"]
    subprocess.run([uv, *command, source, destination], check=True, capture_output=True, text=True)
    return destination


def run(uv: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run uv in the project as a user does, not in the environment that runs these tests."""
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run([uv, *arguments], cwd=folder, env=env, capture_output=True, text=True)


def test_two_commands_after_the_questions_give_a_live_score(newcomer: Path, uv: str) -> None:
    result = run(uv, newcomer, "run", "mlops", "local")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "scored" in result.stdout
    assert (newcomer / "uv.lock").exists()


def test_what_azure_installs_resolves_and_fits_the_ranges_that_are_tested_here(
    newcomer: Path, uv: str, tmp_path: Path
) -> None:
    for conda in sorted((newcomer / "data-science" / "environment").glob("*.yml")):
        dependencies = yaml.safe_load(conda.read_text(encoding="utf-8"))["dependencies"]
        (pins,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
        assert all("==" in pin for pin in pins), conda
        requirements = tmp_path / f"{conda.stem}.txt"
        requirements.write_text("\n".join(pins) + "\n", encoding="utf-8")
        result = run(uv, newcomer, "pip", "compile", "--quiet", "--python-version", "3.11", str(requirements))
        assert result.returncode == 0, f"{conda.name}\n{result.stderr}"
        both = tmp_path / f"{conda.stem}-and-project.txt"
        shared = [pin for pin in pins if pin.split("==")[0].split("[")[0] in project_dependencies(newcomer)]
        both.write_text("\n".join(shared + project_dependencies(newcomer, whole=True)) + "\n", encoding="utf-8")
        assert shared
        result = run(uv, newcomer, "pip", "compile", "--quiet", "--python-version", "3.11", str(both))
        assert result.returncode == 0, f"{conda.name} and pyproject.toml\n{result.stderr}"


def project_dependencies(project: Path, whole: bool = False) -> list[str]:
    """Names, or whole requirements, of the project's direct dependencies."""
    listed = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return listed if whole else [re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in listed]
