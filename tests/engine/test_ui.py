"""`mlops ui`: MLflow's own server over the runs of this machine, really started."""

import json
import os
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest
from command_line import run
from mlflow import MlflowClient

from mlops.errors import UserError
from mlops.local import ui
from mlops.local.runner import local_folder
from mlops.project import Project


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project with a file in the place of the database, which nothing reads."""
    local_folder(project).mkdir()
    (local_folder(project) / "mlflow.db").touch()
    return project


@pytest.fixture
def stored(project: Project) -> Project:
    """A project with an experiment on record."""
    local_folder(project).mkdir()
    uri = f"sqlite:///{(local_folder(project) / 'mlflow.db').as_posix()}"
    MlflowClient(uri).create_experiment("of-this-project")
    return project


def answer(url: str, body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        text: str = response.read().decode()
    return text


def test_the_server_shows_this_projects_runs_on_a_free_port_and_ends_with_this_process(
    stored: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "open_browser", lambda url: opened.append(url))
    opened: list[str] = []
    answers: list[str] = []

    def look() -> None:
        answers.append(answer(f"{opened[0]}/health"))
        answers.append(answer(f"{opened[0]}/api/2.0/mlflow/experiments/search", {"max_results": 10}))
        signal.raise_signal(signal.SIGTERM)  # as when the terminal is closed; Ctrl-C ends it in the same way

    with socket.socket() as other:
        other.bind((ui.HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(ui, "DEFAULT_PORT", taken)
        ui.show(stored, wait=look)
    lines = capsys.readouterr().out.splitlines()
    assert answers[0] == "OK"
    assert "of-this-project" in answers[1]
    assert lines[0] == f"port {taken} is in use, so it is {opened[0].rpartition(':')[2]}"
    assert f"runs       {opened[0]}" in lines
    assert lines[-1] == "stopped"
    with pytest.raises(OSError, match=r"refused|reset"):
        answer(f"{opened[0]}/health")
    assert b"\x1b" not in (local_folder(stored) / "ui.log").read_bytes()


def test_a_port_that_was_asked_for_and_is_in_use_is_an_error(
    stored: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind((ui.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        assert run("ui", "--port", str(port)) == 1
    assert capsys.readouterr().err.startswith(f"error: port {port} is in use or not allowed")


def test_a_server_starts_no_processes_for_jobs_and_one_that_does_not_start_is_one_line_with_its_log(
    recorded: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", raising=False)
    program = tmp_path / "python"
    program.write_text(
        "#!/bin/sh\necho the last words, jobs $MLFLOW_SERVER_ENABLE_JOB_EXECUTION\nexit 3\n", encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(
        UserError, match=r"^MLflow's server did not start: the last words, jobs false \(log: .*ui\.log\)$"
    ):
        ui.show(recorded, 0)


def test_a_browser_opens_on_a_terminal_with_a_screen_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    ui.open_browser("in a pipeline")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    ui.open_browser("on a desktop")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    ui.open_browser("on a server")
    assert opened == ["on a desktop"] if os.name != "nt" else ["on a desktop", "on a server"]
