"""Fixtures: a small project, and an Azure CLI that is not one."""

import gc
import itertools
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace

# Before anything imports MLflow, which sends telemetry.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import clouds
import pytest
import quick_sdks
import typer
from fake_az import FakeAzure, Files, Memory
from hypothesis import settings
from small_modality import Rows
from small_project import create_project, set_key

from mlops.config import Project

# The SDKs' modules are a million objects that stay; looking through them again and again takes a twentieth of the time.
gc.set_threshold(200_000, 20, 100)

# The same examples in each run, and no deadline: a busy machine says nothing about the code.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


# Each command line would make those of all verbs anew.
command = cache(typer.main.get_command)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Project:
    """The small project, in which the test runs; a test may ask for another kind of it."""
    project = create_project(tmp_path / "project", getattr(request, "param", "new"))
    # The real one, which nothing else of these tests needs, imports scikit-learn or PyTorch for seconds.
    monkeypatch.setitem(sys.modules, f"{project.package}.modality", SimpleNamespace(MODALITY=Rows()))
    monkeypatch.chdir(project.root)
    return project


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the libraries from work that is not used here, or done before."""
    monkeypatch.setattr("typer.main.get_command", command)
    monkeypatch.setattr("inspect.stack", quick_sdks.short_stack)
    quick_sdks.hasten()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass from one deployment to the next."""
    seconds, minutes = itertools.count(), itertools.count()
    monkeypatch.setattr("mlops.verbs.models.now", lambda: f"2026-01-01T00:00:{next(seconds):02}Z")
    start = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    # From one look at a canary to the next it is a minute.
    monkeypatch.setattr("mlops.verbs.canary.clock", lambda: start + timedelta(minutes=next(minutes)))


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget where the definitions of the test's projects are: each import would look into hundreds of folders."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def az_program(programs: Path) -> FakeAzure:
    """An Azure CLI on PATH that keeps its Azure in a file."""
    return FakeAzure(programs, Files(programs))


@pytest.fixture
def azure(programs: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAzure:
    """An Azure CLI that answers without a new process for each command, from memory."""
    azure = FakeAzure(programs, Memory())
    monkeypatch.setattr("mlops.shell.execute", azure.execute)
    return azure


@pytest.fixture
def cloud(project: Project, azure: FakeAzure) -> Iterator[clouds.Cloud]:
    """The Azure that the small project's mlops version talks to."""
    with clouds.connected(project, azure) as cloud:
        yield cloud


@pytest.fixture
def a_project(project: Project) -> Project:
    """A project whose environments form a chain, of which the last one is watched."""
    from year_world import CHAIN  # with all of the year, which few tests need

    for environment, following in zip(CHAIN, (*CHAIN[1:], ""), strict=True):
        file = project.root / "config" / f"{environment}.yml"
        set_key(file, "delivery", {"next": following})
        set_key(file, "monitor.enabled", environment == CHAIN[-1])
        set_key(file, "rollout.canary_minutes", 2)
        set_key(file, "rollout.max_latency_ms", 500)
        set_key(file, "rollout.canary_percent", 60 if environment == "test" else 10)
    return project
