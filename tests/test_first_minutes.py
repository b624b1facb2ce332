"""The way of a new user: copy by uvx, then `uv run mlops local` in an environment of the project's own."""

import subprocess
from pathlib import Path

import pytest
from conftest import run_uv

pytestmark = pytest.mark.big


@pytest.fixture(scope="session")
def newcomer(source: Path, uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made with the README's command and default answers."""
    destination = tmp_path_factory.mktemp("new") / "my-project"
    command = ["tool", "run", "--with", "copier-template-extensions", "copier", "copy", "--trust", "--defaults"]
    subprocess.run([uv, *command, source, destination], check=True, capture_output=True, text=True)
    return destination


def test_two_commands_after_the_questions_give_a_live_score(newcomer: Path, uv: str) -> None:
    result = run_uv(uv, newcomer, "run", "mlops", "local")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "scored" in result.stdout
    assert (newcomer / "uv.lock").exists()


def test_the_notebook_opens_and_the_hooks_run(newcomer: Path, uv: str) -> None:
    notebook = run_uv(uv, newcomer, "run", "--with", "jupyterlab", "jupyter", "lab", "--version")
    assert notebook.returncode == 0, notebook.stderr[-2000:]
    # The notebook finds the project's own packages.
    package = next((newcomer / "data-science" / "src").glob("*/score.py")).parent.name
    found = run_uv(uv, newcomer, "run", "--with", "jupyterlab", "python", "-c", f"import jupyterlab, {package}.prep")
    assert found.returncode == 0, found.stderr[-2000:]
    subprocess.run(["git", "init", "--quiet", newcomer], check=True)
    hooks = run_uv(uv, newcomer, "run", "pre-commit", "install")
    assert hooks.returncode == 0, hooks.stdout + hooks.stderr
    assert "pre-commit" in (newcomer / ".git" / "hooks" / "pre-commit").read_text(encoding="utf-8")
