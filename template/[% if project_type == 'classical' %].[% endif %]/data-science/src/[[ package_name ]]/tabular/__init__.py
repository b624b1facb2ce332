"""Tables: the type of data of this project, with columns of numbers, categories and booleans as features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .. import table_file
from ..core import baselines
from ..core.metrics import Metric
from ..core.modality import Description, Examples, Modality, Panel, Predict
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..core.step import StepError
from ..model_output import from_probabilities
from . import data, explain, model


@dataclass(frozen=True)
class TrainedPipeline:
    """A fitted model of scikit-learn with the schema of its data and, for two classes, the threshold."""

    pipeline: BaseEstimator
    schema: Schema
    threshold: float = 0.5

    def predict(self, examples: Examples) -> Predictions:
        """Return the predictions for the examples."""
        inputs = examples.frame[self.schema.features]
        if self.schema.task == "regression":
            return Predictions(np.asarray(self.pipeline.predict(inputs)))
        probabilities = self.pipeline.predict_proba(inputs)
        return Predictions.of(
            from_probabilities(probabilities, self.pipeline.classes_, self.schema.classes, self.threshold)
        )

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model into `folder`, which is empty."""
        model.save(self.pipeline, examples.frame, self.schema, folder)


class Tabular:
    """Tables in files of rows; every column but the target may be a feature. See `core.modality.Modality`."""

    tasks = ("regression", "classification")
    input_column = None
    # Gradient boosting starts and joins its threads for each tree: on cores that others use too (a build agent, a share
    # of a core) half a second becomes twenty. `model.fit` uses more where that pays.
    threads = 1
    rows_at_once = None
    suffixes = table_file.SUFFIXES

    def read(self, folder: Path, schema: Schema) -> Examples:
        """Read and join all files in `folder`."""
        return Examples(data.read_folder(folder, schema), folder)

    def convert(self, examples: Examples, schema: Schema) -> Examples:
        """Return the columns of the schema typed."""
        return replace(examples, frame=data.convert(examples.frame, schema))

    def check(self, examples: Examples, schema: Schema) -> Examples:
        """Check the columns against the schema and return them typed."""
        return replace(examples, frame=data.validate(examples.frame, schema))

    def write(self, examples: Examples, folder: Path, name: str) -> None:
        """Write the rows as one parquet file."""
        examples.frame.to_parquet(folder / f"{name}.parquet", index=False)

    def fingerprints(self, examples: Examples) -> NDArray[Any]:
        """Return empty ones: equal rows are on one side, or `split` says that they are other observations."""
        return np.empty((len(examples.frame), 0))

    def alike(self, known: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_]:
        """Return none."""
        return np.zeros(len(new), dtype=bool)

    def inputs(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as they are."""
        return examples.frame[list(columns)]

    request = inputs

    def describe(self, examples: Examples, schema: Schema) -> Description:
        """Return the rows, typed where that is possible; drift compares the features but not those of the calendar."""
        frame = data.convert_where_possible(examples.frame, schema)
        features = (schema.columns[name] for name in schema.features)
        return Description(frame, {each.name: each for each in features if each.role != "calendar"})

    def check_hyperparameters(self, given: Mapping[str, Any], schema: Schema) -> list[str]:
        """Return what is wrong with the model of models.py that is chosen, or with its arguments."""
        return model.check(given, schema)

    def fit(
        self, train: Examples, schema: Schema, training: Mapping[str, Any], checkpoints: Path | None = None
    ) -> TrainedPipeline:
        """Train the model of models.py that is chosen; that is over before a checkpoint would pay."""
        fitted = model.fit(train.frame, schema, training)
        return TrainedPipeline(fitted, schema, training.get("threshold") or 0.5)

    def baseline(
        self, name: str, train: Examples, test: Examples, schema: Schema, training: Mapping[str, Any]
    ) -> Predictions | np.ndarray:
        """Return the values of a feature, for a regression a number, or what a model of models.py predicts.

        Raises:
            StepError: there is neither.
        """
        if name in (schema.numerical if schema.task == "regression" else schema.features):
            values = test.frame[name]
            usual = baselines.constant(train.frame[schema.target], schema.task)
            return values.where(values.notna(), usual).to_numpy()
        models = model.model_names(schema.task)
        if name not in models:
            known = f"{baselines.CONSTANTS[schema.task]}, a suitable feature, nor a model of models.py"
            raise StepError(f"evaluation.baselines: {name!r} is neither {known} ({', '.join(models)})")
        if train.frame.empty:
            return np.empty(0)
        return self.fit(train, schema, {**training, "hyperparameters": {model.MODEL: name}}).predict(test)

    def explain(self, predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
        """Return the importance of each feature."""
        return explain.explain(predict, test, schema, metric, seed)


MODALITY: Modality = Tabular()
