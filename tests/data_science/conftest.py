"""A small project in a temporary folder, and an MLflow store of its own."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from types import ModuleType

import mlflow
import pytest
import step_runs
from helpers import Folders, Store, module
from hypothesis import settings
from samples import rivals, small_project

# The same few examples in each run, and no deadline: a busy machine is not an error of the code.
settings.register_profile("repeatable", derandomize=True, max_examples=30, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The MLflow store of all tests; each begins with the content that it asks for."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_EXPERIMENT_NAME", Store.experiment)
        environment.delenv("MLOPS_PARENT_RUN_ID", raising=False)
        before = mlflow.get_tracking_uri()
        yield Store(tmp_path_factory.mktemp("mlflow"))
        mlflow.set_tracking_uri(before)


@pytest.fixture(autouse=True)
def tracking(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give each test that runs a step an MLflow store without runs, and a working folder."""
    if "folders" in request.fixturenames:
        request.getfixturevalue("store").load()
        monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_shapes(monkeypatch: pytest.MonkeyPatch):
    """Leave out the shapes of the charts in a test that looks at the words of a page: they take half of the time."""
    empty = '<svg role="img" aria-label="{}"></svg>'
    monkeypatch.setattr(module("report.charts"), "_svg", lambda figure, name, alt: empty.format(escape(alt)))


@pytest.fixture(autouse=True)
def charts_of_steps(request: pytest.FixtureRequest):
    """Leave them out in tests of steps, but for one that names the fixture `drawn`; `mlops local` draws them, too."""
    if request.path.parent.name == "steps" and "drawn" not in request.fixturenames:
        request.getfixturevalue("without_shapes")


@pytest.fixture
def drawn():
    """Let the charts have their shapes."""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A small project with raw data, of the type of data of this project."""
    return small_project(tmp_path)


@pytest.fixture(scope="session")
def prepared_once(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The same project after prep; to be copied."""
    return step_runs.prepare_once(small_project(tmp_path_factory.mktemp("prepared")), store)


@pytest.fixture(scope="session")
def trained_once(prepared_once: Folders, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The same project after prep and train; to be copied."""
    made = prepared_once.copy_to(tmp_path_factory.mktemp("trained"))
    store.load(made.root)
    module("train").main(made.arguments("train-data", "schema", "settings", "model"))
    store.save(made.root)
    return made


@pytest.fixture
def prepared(folders: Folders, prepared_once: Folders, store: Store) -> Folders:
    """The small project after prep, with its run in the store."""
    store.load(prepared_once.root)
    return prepared_once.copy_to(folders.root)


@pytest.fixture
def trained(folders: Folders, trained_once: Folders, store: Store) -> Folders:
    """The small project after prep and train."""
    store.load(trained_once.root)
    return trained_once.copy_to(folders.root)


@pytest.fixture(scope="session")
def rivals_once(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A project with a strong and a weak model; to be copied."""
    store.load()
    return rivals(tmp_path_factory.mktemp("rivals"))


@pytest.fixture
def gate(folders: Folders, rivals_once: Folders) -> step_runs.Gate:
    """The step evaluate on such a project."""
    return step_runs.Gate(rivals_once.copy_to(folders.root))


@pytest.fixture
def production(prepared: Folders) -> step_runs.Production:
    """The step drift on the small project, with a folder for the production data."""
    return step_runs.Production(prepared)


@pytest.fixture(scope="session")
def own_data() -> step_runs.OwnData:
    """The data of this project, as the step drift sees them."""
    return step_runs.OwnData()


@pytest.fixture(scope="session")
def score(trained_once: Folders) -> ModuleType:
    """The scoring script with the model of the small project."""
    return step_runs.load_script(trained_once.root)
