"""Baselines: predictions without a model, which show what the model is worth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .modality import Examples, Modality
from .schema import Schema

CONSTANTS = {"regression": "mean", "classification": "most_frequent"}


def constant(target: pd.Series, task: str) -> object:
    """Return the prediction of the constant baseline: the mean, or the most frequent class, of the training rows."""
    return target.mean() if task == "regression" else target.mode().iloc[0]


def baselines(
    names: Sequence[str], modality: Modality, train: Examples, test: Examples, schema: Schema
) -> dict[str, np.ndarray]:
    """Return the predictions for `test` of each baseline: the constant one, or one that the type of data has.

    Raises:
        StepError: there is no such baseline.
    """
    predictions = {}
    for name in names:
        if name == CONSTANTS[schema.task]:
            usual = constant(train.frame[schema.target], schema.task)
            predictions[f"baseline {name}"] = np.full(len(test.frame), usual)
        else:
            predictions[f"baseline {name}"] = modality.baseline(name, train, test, schema)
    return predictions
