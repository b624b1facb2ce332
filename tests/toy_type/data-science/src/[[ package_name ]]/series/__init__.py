"""Series of numbers in JSON lines: a type of data that is not a table."""

import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec
from mlflow.types import Schema as Columns

from .. import data_file
from ..core import hyperparameters
from ..core.metrics import Metric
from ..core.modality import Description, Examples, Modality, Panel, Predict, data_files
from ..core.panels import Figure, Table
from ..core.predictions import Predictions
from ..core.schema import Column, Schema
from ..core.settings import is_number
from ..core.step import StepError
from ..report import charts
from . import network

DESCRIBED = {
    "level": Column("level", "number", description="mean of the values"),
    "spread": Column("spread", "number", description="standard deviation of the values"),
}


@dataclass(frozen=True)
class TrainedWeights:
    """Weights of the features."""

    weights: np.ndarray

    def predict(self, examples: Examples) -> Predictions:
        """Return the predictions for the examples."""
        return Predictions(network.features(examples.frame["series"]) @ self.weights)

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model into `folder`."""
        pinned = [f"{name}=={version(name)}" for name in ("mlflow-skinny", "numpy", "pandas")]
        dependencies = [f"python={platform.python_version()}", "pip", {"pip": pinned}]
        with tempfile.TemporaryDirectory() as temporary:
            weights = Path(temporary) / "weights.json"
            weights.write_text(json.dumps(self.weights.tolist()), encoding="utf-8")
            mlflow.pyfunc.save_model(
                str(folder),
                python_model=network.__file__,
                artifacts={"weights": str(weights)},
                signature=ModelSignature(Columns([ColSpec("string", "series")]), Columns([ColSpec("double")])),
                conda_env={"name": "model", "channels": ["conda-forge"], "dependencies": dependencies},
            )


class Series:
    """A series per line and its next value as the target. See `core.modality.Modality`."""

    tasks = ("regression",)
    input_column = "series"
    suffixes = (".jsonl",)
    threads = None
    rows_at_once = 30

    def read(self, folder: Path, schema: Schema) -> Examples:
        """Read all lines of all files."""
        frames = []
        for path in data_files(folder, self.suffixes):
            try:
                frames.append(data_file.read(path, {}))
            except ValueError as error:
                raise StepError(f"{path}: {error}") from error
        if not any(map(len, frames)):
            raise StepError(f"{folder}: there is no series; give files with the suffix .jsonl")
        return Examples(pd.concat(frames, ignore_index=True), folder)

    def convert(self, examples: Examples, schema: Schema) -> Examples:
        """Return the columns of the schema; a file of JSON has typed values."""
        return replace(examples, frame=examples.frame[list(schema.columns)])

    def check(self, examples: Examples, schema: Schema) -> Examples:
        """Check that each series has two numbers or more, and a number as its target."""
        for name, text in zip(examples.frame["id"], examples.frame["series"], strict=True):
            values = json.loads(text)
            if not isinstance(values, list) or len(values) < 2 or not all(map(is_number, values)):
                raise StepError(f"data does not fit {schema.source}: series {name} needs two numbers or more")
        if not all(map(is_number, examples.frame[schema.target])):
            raise StepError(f"data does not fit {schema.source}: {schema.target}: a value is not a number")
        return self.convert(examples, schema)

    def write(self, examples: Examples, folder: Path, name: str) -> None:
        """Write the lines as they were read."""
        records = examples.frame.to_dict("records")
        lines = [json.dumps({**record, "series": json.loads(record["series"])}) for record in records]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def fingerprints(self, examples: Examples) -> np.ndarray:
        """Return empty ones."""
        return np.empty((len(examples.frame), 0))

    def alike(self, known: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Return none."""
        return np.zeros(len(new), dtype=bool)

    def inputs(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns; a series is a text."""
        return examples.frame[list(columns)]

    request = inputs

    def describe(self, examples: Examples, schema: Schema) -> Description:
        """Return length, level and spread of each series; drift compares level and spread."""
        series = [json.loads(text) for text in examples.frame["series"]]
        columns = {
            "length": [len(each) for each in series],
            "level": [float(np.mean(each)) for each in series],
            "spread": [float(np.std(each)) for each in series],
        }
        return Description(pd.DataFrame(columns), DESCRIBED)

    def check_hyperparameters(self, given: Mapping[str, Any], schema: Schema) -> list[str]:
        """Return what is wrong with the strength of the ridge penalty; there is no other hyperparameter."""
        return hyperparameters.problems(given, {"ridge": hyperparameters.number(0.0, 1e6)})

    def fit(
        self, train: Examples, schema: Schema, training: Mapping[str, Any], checkpoints: Path | None = None
    ) -> TrainedWeights:
        """Fit the weights by least squares with a ridge penalty."""
        if wrong := self.check_hyperparameters(training["hyperparameters"], schema):
            raise StepError("; ".join(wrong))
        ridge = training["hyperparameters"].get("ridge", 0.001)
        known = network.features(train.frame["series"])
        penalty = ridge * np.eye(known.shape[1])
        return TrainedWeights(
            np.linalg.solve(known.T @ known + penalty, known.T @ train.frame[schema.target].to_numpy())
        )

    def baseline(
        self, name: str, train: Examples, test: Examples, schema: Schema, training: Mapping[str, Any]
    ) -> np.ndarray:
        """Return the last value of each series as the prediction."""
        if name != "last":
            raise StepError(f"evaluation.baselines: {name!r} is neither mean nor last")
        return network.features(test.frame["series"])[:, 0]

    def explain(self, predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
        """Return how far the prediction moves when one value at the end of each series rises by one."""
        raised = [json.loads(text) for text in test.frame["series"]]
        moved = []
        for place in (-1, -2):
            texts = [json.dumps([*each[:place], each[place] + 1, *each[len(each) + place + 1 :]]) for each in raised]
            raised_series = replace(test, frame=test.frame.assign(series=texts))
            changed = predict(raised_series).values - predict(test).values
            moved.append((f"value {-place} from the end", float(changed.mean()), float(changed.std())))
        caption = f"A rise of one in the last value moves the prediction by {moved[0][1]:.2f}"
        return [
            Panel(
                name="sensitivity",
                title="What the model looks at",
                intro="Each value is raised by one in turn.",
                figures=[Figure(charts.importance(moved, "move of the prediction", caption), caption + ".")],
                table=Table(
                    title="sensitivity",
                    caption="Move of the prediction when the value rises by one",
                    header=("value", "move", "deviation"),
                    rows=[(name, f"{move:.4f}", f"{deviation:.4f}") for name, move, deviation in moved],
                ),
                records=[{"value": name, "move": move, "deviation": deviation} for name, move, deviation in moved],
            )
        ]


MODALITY: Modality = Series()
