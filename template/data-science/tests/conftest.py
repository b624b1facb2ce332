"""A small project in a temporary folder, and an MLflow store of its own."""

import shutil
from html import escape
from pathlib import Path

import mlflow
import pytest
from helpers import Folders, module
from hypothesis import settings
from mlflow import MlflowClient
from samples import small_project

# The same examples in each run, and no deadline: a busy machine is not an error of the code.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: creating one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path.as_posix()}").search_registered_models()
    return path


@pytest.fixture(autouse=True)
def tracking(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give each test that runs a step an MLflow store, and a working folder for its artifacts."""
    if "folders" not in request.fixturenames:
        yield
        return
    store = shutil.copyfile(request.getfixturevalue("empty_store"), tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLOPS_PARENT_RUN_ID", raising=False)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{store.as_posix()}")
    # The default experiment of the copied store keeps its artifacts where the store was made: in the project.
    mlflow.create_experiment("tests", artifact_location=(tmp_path / "artifacts").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(autouse=True)
def charts_without_shapes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Leave out the shapes of the charts in tests of steps, which look at the words: they take half of the time.

    A test that names the fixture `drawn` draws them, as the tests of the report and each run of `mlops local` do.
    """
    if request.path.parent.name == "steps" and "drawn" not in request.fixturenames:
        empty = '<svg role="img" aria-label="{}"></svg>'
        monkeypatch.setattr(module("report.charts"), "_svg", lambda figure, name, alt: empty.format(escape(alt)))


@pytest.fixture
def drawn():
    """Let the charts have their shapes."""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A small project with raw data, of the type of data of this project."""
    return small_project(tmp_path)


@pytest.fixture
def trained(folders: Folders) -> Folders:
    """The same project after prep and train."""
    module("prep").main(folders.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    module("train").main(folders.arguments("train-data", "schema", "settings", "model"))
    return folders
