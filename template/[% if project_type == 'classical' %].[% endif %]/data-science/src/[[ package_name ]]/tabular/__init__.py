"""Tables: the type of data of this project, with columns of numbers, categories and booleans as features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ..core import baselines
from ..core.metrics import Metric
from ..core.modality import Description, Examples, Modality, Panel, Predict
from ..core.schema import Schema
from ..core.step import StepError
from . import data, explain, model


@dataclass(frozen=True)
class TrainedPipeline:
    """A fitted pipeline of scikit-learn with the schema of its data."""

    pipeline: Pipeline
    schema: Schema

    def predict(self, examples: Examples) -> np.ndarray:
        """Return predictions of shape (examples,)."""
        return np.asarray(self.pipeline.predict(examples.frame[self.schema.features]))

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model into `folder`, which is empty."""
        model.save(self.pipeline, examples.frame, self.schema, folder)


class Tabular:
    """Tables in csv and parquet files; every column but the target may be a feature. See `core.modality.Modality`."""

    tasks = ("regression", "classification")
    suffixes = data.SUFFIXES

    def read(self, folder: Path, schema: Schema) -> Examples:
        """Read and join all files in `folder`."""
        return Examples(data.read_folder(folder, schema), folder)

    def check(self, examples: Examples, schema: Schema) -> Examples:
        """Check the columns against the schema and return them typed."""
        return replace(examples, frame=data.validate(examples.frame, schema))

    def write(self, examples: Examples, folder: Path, name: str) -> None:
        """Write the rows as one parquet file."""
        examples.frame.to_parquet(folder / f"{name}.parquet", index=False)

    def inputs(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as they are."""
        return examples.frame[list(columns)]

    def describe(self, examples: Examples, schema: Schema) -> Description:
        """Return the rows as they are; drift compares the features, but not those of the calendar."""
        features = (schema.columns[name] for name in schema.features)
        return Description(examples.frame, {each.name: each for each in features if each.role != "calendar"})

    def fit(self, train: Examples, schema: Schema, hyperparameters: Mapping[str, Any], seed: int) -> TrainedPipeline:
        """Train boosted trees."""
        return TrainedPipeline(model.fit(train.frame, schema, hyperparameters, seed), schema)

    def baseline(self, name: str, train: Examples, test: Examples, schema: Schema) -> np.ndarray:
        """Return the values of a feature, which must be a number for a regression, as predictions.

        Raises:
            StepError: there is no such feature.
        """
        if name not in (schema.numerical if schema.task == "regression" else schema.features):
            constant = baselines.CONSTANTS[schema.task]
            raise StepError(f"evaluation.baselines: {name!r} is neither {constant} nor a suitable feature")
        values = test.frame[name]
        usual = baselines.constant(train.frame[schema.target], schema.task)
        return values.where(values.notna(), usual).to_numpy()

    def explain(self, predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
        """Return the importance of each feature."""
        return explain.explain(predict, test, schema, metric, seed)


MODALITY: Modality = Tabular()
