"""Baselines: predictions without a model, which show what the model is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from .metrics import as_predictions
from .modality import Examples, Modality
from .predictions import Predictions
from .schema import Schema
from .step import StepError

CONSTANTS = {"regression": "mean", "classification": "most_frequent"}


def constant(target: pd.Series, task: str) -> object:
    """Return the prediction of the constant baseline: the mean, or the most frequent class, of the training rows."""
    return target.mean() if task == "regression" else target.mode().iloc[0]


def baselines(
    names: Sequence[str],
    modality: Modality,
    train: Examples,
    test: Examples,
    schema: Schema,
    training: Mapping[str, Any],
) -> dict[str, Predictions]:
    """Return the predictions for `test` of each baseline: the constant one, or one that the type of data has.

    Each baseline of a classification has probabilities, so that a metric of probabilities compares like with like: its
    own; or, if it predicts classes alone, the shares of the classes among the training rows for which it predicts the
    same one. Those of the most frequent class are the shares in all training rows.

    Raises:
        StepError: there is no such baseline, or it predicts what is no class.
    """
    predictions = {}
    target = train.frame[schema.target]
    for name in names:
        found = _predict(name, modality, train, test, schema, training)
        if schema.task == "classification":
            found = replace(found, values=_class_names(name, found.values, schema, target))
            if found.probabilities is None:
                known = _predict(name, modality, train, train, schema, training).values.astype(str)
                found = _with_shares(found.values, known, schema, target)
        predictions[f"baseline {name}"] = found
    return predictions


def _predict(
    name: str, modality: Modality, train: Examples, examples: Examples, schema: Schema, training: Mapping[str, Any]
) -> Predictions:
    if name != CONSTANTS.get(schema.task):
        return as_predictions(modality.baseline(name, train, examples, schema, training))
    # The most frequent class is predicted whatever the threshold of the model.
    return Predictions(np.full(len(examples.frame), constant(train.frame[schema.target], schema.task)))


def _class_names(name: str, values: np.ndarray, schema: Schema, target: pd.Series) -> np.ndarray:
    names, classes = np.asarray(values).astype(str), schema.class_names(target)
    if other := sorted(set(names.tolist()) - set(classes)):
        raise StepError(
            f"evaluation.baselines: {name!r} has the value {other[0]!r}, and {schema.target} has the classes "
            f"{', '.join(classes)}; a baseline predicts classes"
        )
    return names


def _with_shares(values: np.ndarray, known: np.ndarray, schema: Schema, target: pd.Series) -> Predictions:
    """Return classes with the shares of all classes among the training rows for which the same one is predicted.

    The shares in all training rows count as one more of these rows, so that no class is impossible.

    Args:
        values: the predicted classes, of shape (examples,).
        known: those of the training rows, of shape (training rows,).
        schema: of the data.
        target: the true classes of the training rows.
    """
    classes = schema.class_names(target)
    guesses, known_guesses, actual = (
        pd.Categorical(each, categories=classes).codes for each in (values, known, target.astype(str))
    )
    counts = np.tile(np.bincount(actual, minlength=len(classes)) / len(actual), (len(classes), 1))
    np.add.at(counts, (known_guesses, actual), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return Predictions(values, shares[guesses], classes)
