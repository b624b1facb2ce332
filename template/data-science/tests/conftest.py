"""The data of this project, and a model of some of them, which the tests beside this file look at.

All comes from `data/` and `config/`, and the steps make it: the tests need no edit when data, settings or model change.
"""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# Before anything imports MLflow: no telemetry, and runs in plain files, which no test reads.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}

import mlflow
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SOURCE = next((ROOT / "data-science" / "src").glob("*/score.py")).parent
RAW, PRODUCTION = ROOT / "data" / "raw", ROOT / "data" / "production"
SCHEMA, SETTINGS = ROOT / "data" / "schema.yml", ROOT / "config" / "model.yml"
# So many rows to train and to judge a model with: enough to see that it learns, and few enough to be quick.
TRAIN_ROWS, TEST_ROWS = 500, 250


def module(name: str) -> ModuleType:
    """Import a module of this project, such as "prep" or "core.schema"."""
    return import_module(f"{SOURCE.name}.{name}")


MODALITY = module("modality").MODALITY


@dataclass
class Model:
    """A model that was trained on some rows, as it was in memory, and the folder that it was saved to."""

    fitted: Any
    folder: Path

    @cached_property
    def loaded(self) -> Any:
        """What the steps and the endpoint load."""
        return mlflow.pyfunc.load_model(str(self.folder))


@pytest.fixture(scope="session")
def schema() -> Any:
    """The content of data/schema.yml."""
    return module("core.schema").Schema.load(SCHEMA, MODALITY.tasks)


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    """The content of config/model.yml."""
    found: dict[str, Any] = module("core.settings").load_settings(SETTINGS)
    return found


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the runs of these tests out of `.local`."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path_factory.mktemp("mlflow") / "runs").as_uri())
    with pytest.MonkeyPatch.context() as environment:
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLOPS_PARENT_RUN_ID"):
            environment.delenv(name, raising=False)
        yield
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="session")
def prepared(runs: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What the step prep makes of data/raw: the folders of the rows to train with, and of those that are held out."""
    folder = tmp_path_factory.mktemp("prepared")
    train, test = folder / "train", folder / "test"
    module("prep").main(
        [
            *("--raw-data", str(RAW), "--schema", str(SCHEMA), "--settings", str(SETTINGS)),
            *("--train-data", str(train), "--test-data", str(test)),
        ]
    )
    return train, test


@pytest.fixture(scope="session")
def train(prepared: tuple[Path, Path], schema: Any) -> Any:
    """All rows to train with."""
    return module("core.modality").load_examples(MODALITY, prepared[0], schema)


@pytest.fixture(scope="session")
def test(prepared: tuple[Path, Path], schema: Any) -> Any:
    """All rows that are held out."""
    return module("core.modality").load_examples(MODALITY, prepared[1], schema)


def some(examples: Any, schema: Any, most: int) -> Any:
    """Return at most so many rows, by chance; of a classification one of each class is among them."""
    order = np.random.default_rng(0).permutation(len(examples.frame))
    if schema.task == "classification":
        again = examples.frame[schema.target].iloc[order].duplicated().to_numpy()
        order = np.concatenate([order[~again], order[again]])
    return examples.take(np.isin(np.arange(len(order)), order[:most]))


@pytest.fixture(scope="session")
def few_train(train: Any, schema: Any) -> Any:
    """Some of the rows to train with."""
    return some(train, schema, TRAIN_ROWS)


@pytest.fixture(scope="session")
def few_test(test: Any, schema: Any) -> Any:
    """Some of the rows that are held out."""
    return some(test, schema, TEST_ROWS)


@pytest.fixture(scope="session")
def model(few_train: Any, prepared: tuple[Path, Path], runs: None, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """What the step train makes of some rows."""
    rows, folder = tmp_path_factory.mktemp("rows"), tmp_path_factory.mktemp("trained") / "model"
    MODALITY.write(few_train, rows, "train")
    module("core.split").Split.read(prepared[0]).write(rows)
    fitted: list[Any] = []

    def fit(*arguments: Any) -> Any:
        fitted.append(type(MODALITY).fit(MODALITY, *arguments))
        return fitted[0]

    with pytest.MonkeyPatch.context() as patch:
        # The step saves the model, and gives none back.
        patch.setattr(MODALITY, "fit", fit, raising=False)
        module("train").main(
            [
                *("--train-data", str(rows), "--schema", str(SCHEMA), "--settings", str(SETTINGS)),
                *("--model", str(folder)),
            ]
        )
    return Model(fitted[0], folder)


@pytest.fixture(scope="session")
def endpoint(model: Model) -> ModuleType:
    """The scoring script with the model, as Azure loads it: a lone file, outside of its package."""
    spec = importlib.util.spec_from_file_location("entry_module", SOURCE / "score.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZUREML_MODEL_DIR", str(model.folder.parent))
        script.init()
    return script
