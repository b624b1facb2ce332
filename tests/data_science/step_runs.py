"""What tests do with the steps, whatever the type of data: prepare, compare two models, check for drift, score."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import PACKAGE, ROOT, SOURCE, Folders, Store, module

champion, distances, modality = module("core.champion"), module("core.distances"), module("core.modality")
MODALITY = module("modality").MODALITY
PREP = ("raw-data", "schema", "settings", "train-data", "test-data")
EVALUATE = ("model", "train-data", "test-data", "schema", "settings", "evaluation")
MODEL_NAME = "a-model"


def load_schema(path: Path) -> Any:
    """Load a schema as the steps do."""
    return module("core.schema").Schema.load(path, MODALITY.tasks)


def change_settings(folders: Folders, section: str, **values: Any) -> None:
    """Change values in a section of the settings."""
    settings = yaml.safe_load(folders.settings.read_text(encoding="utf-8"))
    settings[section] = settings.get(section, {}) | values
    folders.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")


# --- prep


def prepare(folders: Folders) -> None:
    """Run the step."""
    module("prep").main(folders.arguments(*PREP))


def run_prep(folders: Folders) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run the step; return the rows for training and those for testing."""
    prepare(folders)
    schema = load_schema(folders.schema)
    train, test = (MODALITY.read(folder, schema).frame for folder in (folders.train, folders.test))
    return train, test


def prep_error(folders: Folders, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the step, which must stop in one line and write no rows; return the line."""
    with pytest.raises(SystemExit) as stop:
        prepare(folders)
    assert stop.value.code == 1
    assert not [path for path in folders.train.rglob("*") if path.is_file()]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def sides(folders: Folders, column: str) -> dict[Any, str]:
    """Run the step; return the side of each row by a column of it."""
    train, test = run_prep(folders)
    return dict.fromkeys(train[column], "train") | dict.fromkeys(test[column], "test")


def prepare_once(folders: Folders, store: Store) -> Folders:
    """Run the step for several tests, which copy the project, and what is in the store."""
    store.load()
    prepare(folders)
    store.save(folders.root)
    return folders


# --- evaluate


def prepared_examples(folders: Folders) -> Any:
    """Run prep; return the training examples."""
    prepare(folders)
    return modality.load_examples(MODALITY, folders.train, load_schema(folders.schema))


def write_model(folders: Folders, folder: Path, examples: Any, **hyperparameters: Any) -> None:
    """Train a model with some hyperparameters and write it, as the step train does."""
    schema, train = load_schema(folders.schema), module("train")
    training = yaml.safe_load(folders.settings.read_text(encoding="utf-8"))["training"]
    training["hyperparameters"] |= hyperparameters
    folder.mkdir()
    MODALITY.fit(examples, schema, training).save(examples, folder)
    held_out = module("core.split").Split.read(folders.train)
    champion.write_metadata(folder, train._metadata(schema, training, held_out))
    champion.write_fingerprints(folder, MODALITY.fingerprints(examples))


class Gate:
    """A project after prep, with two models in the folders `strong` and `weak`, and the step evaluate."""

    def __init__(self, folders: Folders) -> None:
        """Take a project that this test may change."""
        self.folders, self.strong, self.weak = folders, folders.root / "strong", folders.root / "weak"

    def judge(self, model: Path, *options: str) -> tuple[dict[str, Any], str]:
        """Evaluate a model; return the decision and the report."""
        shutil.rmtree(self.folders.model, ignore_errors=True)
        shutil.copytree(model, self.folders.model)
        module("evaluate").main([*self.folders.arguments(*EVALUATE), "--model-name", MODEL_NAME, *options])
        return self.written("decision"), (self.folders.evaluation / "report.html").read_text(encoding="utf-8")

    def written(self, name: str) -> dict[str, Any]:
        """Return what the step wrote as JSON."""
        found: dict[str, Any] = json.loads((self.folders.evaluation / f"{name}.json").read_text(encoding="utf-8"))
        return found

    def set_champion(self, model: Path) -> None:
        """Register a model."""
        sha256 = champion.model_hash(model)
        module("register").create_version(mlflow.MlflowClient(), MODEL_NAME, model, sha256)

    def held_out(self) -> pd.DataFrame:
        """Return the held-out rows."""
        frame: pd.DataFrame = modality.load_examples(
            MODALITY, self.folders.test, load_schema(self.folders.schema)
        ).frame
        return frame


# --- drift


class Production:
    """The step drift on a project after prep, and the folder of the production data."""

    def __init__(self, folders: Folders) -> None:
        """Make an empty folder."""
        self.folders, self.folder, self.output = folders, folders.root / "production", folders.root / "drift"
        self.folder.mkdir()

    def check(self, *options: str) -> None:
        """Run the step."""
        arguments = [*self.folders.arguments("train-data", "schema", "settings"), "--drift", str(self.output)]
        module("drift").main([*arguments, "--production-data", str(self.folder), *options])

    @property
    def found(self) -> dict[str, Any]:
        """What the step wrote."""
        written: dict[str, Any] = json.loads((self.output / "drift.json").read_text(encoding="utf-8"))
        return written


class OwnData:
    """Everything that the step drift reads of this project, with its raw and its production data."""

    def __init__(self) -> None:
        """Read and describe them."""
        self.schema = load_schema(ROOT / "data" / "schema.yml")
        raw, later = (
            MODALITY.describe(MODALITY.read(ROOT / "data" / part, self.schema), self.schema)
            for part in ("raw", "production")
        )
        self.raw, self.later, self.columns = raw.frame, later.frame, raw.columns
        self.thresholds = module("core.settings").load_settings(ROOT / "config" / "model.yml")["drift"]

    def drifted(self, past: pd.DataFrame, arrived: pd.DataFrame, outputs: Any = ()) -> list[str]:
        """Return the columns that drifted."""
        found: list[str] = distances.check(past, arrived, self.columns, self.thresholds, outputs).drifted
        return found

    def split(self, count: int, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return a random part of the rows as the past, and others as what arrived."""
        order = random.permutation(len(self.raw))
        return self.raw.iloc[order[count:]], self.raw.iloc[order[:count]]

    def assert_few_alarms(self, count: int, checks: int) -> None:
        """Check so many rows that differ from the others by chance alone."""
        if len(self.raw) < 2 * count:
            pytest.skip("this project has fewer rows")
        random = np.random.default_rng(count)
        found = [self.drifted(*self.split(count, random)) for _ in range(checks)]
        assert sum(map(bool, found)) <= distances.ALPHA * checks


# --- score


def load_script(folder: Path) -> ModuleType:
    """Load the script as the inference server does, as a file outside its package, with the model below a folder."""
    spec = importlib.util.spec_from_file_location("entry_module", SOURCE / PACKAGE / "score.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZUREML_MODEL_DIR", str(folder))
        script.init()
    return script


def request_of(column: str, *values: Any) -> str:
    """Return a request with one column."""
    return json.dumps({"input_data": {"columns": [column], "data": [[value] for value in values]}})


def refused(response: Any) -> str:
    """Return the line that a request was refused with."""
    assert response.status_code == 400
    message: str = json.loads(response.get_data())["error"]
    assert "\n" not in message
    return message


def batch(score: ModuleType, folder: Path) -> pd.DataFrame:
    """Score the files of a folder."""
    table: pd.DataFrame = score.run([str(path) for path in sorted(folder.iterdir())])
    return table


def collect(score: ModuleType, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Any]) -> tuple[Any, Any, Any]:
    """Ask the script; return its answer, and what Azure then collects: inputs and outputs, of the same request."""
    collected: list[Any] = []

    class Collector:
        def collect(self, frame: Any, context: Any = None) -> str:
            collected.append((frame, context))
            return "one request"

    for name in ("_inputs", "_outputs"):
        monkeypatch.setattr(score, name, Collector())
    answer = ask()
    [(inputs, none), (outputs, context)] = collected
    assert (none, context) == (None, "one request")
    # By this the caller can join what is collected with the outcome.
    assert answer["request_id"] == "one request"
    return answer, inputs, outputs
