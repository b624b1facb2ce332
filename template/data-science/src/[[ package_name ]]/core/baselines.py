"""Baselines: predictions without a model, which show what the model is worth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .modality import Examples, Modality
from .predictions import Predictions
from .schema import Schema
from .step import StepError

CONSTANTS = {"regression": "mean", "classification": "most_frequent"}


def constant(target: pd.Series, task: str) -> object:
    """Return the prediction of the constant baseline: the mean, or the most frequent class, of the training rows."""
    return target.mean() if task == "regression" else target.mode().iloc[0]


def baselines(
    names: Sequence[str], modality: Modality, train: Examples, test: Examples, schema: Schema
) -> dict[str, Predictions]:
    """Return the predictions for `test` of each baseline: the constant one, or one that the type of data has.

    The probabilities of the most frequent class are the shares of all classes in the training rows; those of another
    baseline are 1 for the class that it predicts.

    Raises:
        StepError: there is no such baseline, or it predicts what is no class.
    """
    predictions = {}
    target = train.frame[schema.target]
    for name in names:
        if name != CONSTANTS.get(schema.task):
            values = modality.baseline(name, train, test, schema)
            predictions[f"baseline {name}"] = Predictions(values)
            if _has_classes(schema):
                predictions[f"baseline {name}"] = _certain(name, values, schema, target)
        elif _has_classes(schema):
            classes = schema.class_names(target)
            shares = target.astype(str).value_counts(normalize=True).reindex(classes, fill_value=0.0)
            rows = np.tile(shares.to_numpy(), (len(test.frame), 1)).astype(np.float64)
            # Its class is the most frequent one, whatever the threshold of the model.
            usual = np.full(len(rows), str(constant(target, schema.task)), dtype=object)
            predictions[f"baseline {name}"] = Predictions(usual, rows, classes)
        else:
            predictions[f"baseline {name}"] = Predictions(np.full(len(test.frame), constant(target, schema.task)))
    return predictions


def _has_classes(schema: Schema) -> bool:
    return schema.task == "classification"


def _certain(name: str, values: np.ndarray, schema: Schema, target: pd.Series) -> Predictions:
    names, classes = np.asarray(values).astype(str), schema.class_names(target)
    if other := sorted(set(names.tolist()) - set(classes)):
        raise StepError(
            f"evaluation.baselines: {name!r} has the value {other[0]!r}, and {schema.target} has the classes "
            f"{', '.join(classes)}; a baseline predicts classes"
        )
    return Predictions(names, (names[:, np.newaxis] == np.array(classes)).astype(float), classes)
