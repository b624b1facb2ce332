"""Metrics by name: which task they belong to, which direction is better, and their value on many resamples at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from .step import StepError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One metric of a task.

    `compute(actual, predicted)` accepts two arrays of shape (rows, resamples) and returns shape (resamples,). A plain
    score is the case of one resample, so that the bootstrap and the score can never disagree.
    """

    name: str
    label: str
    higher_is_better: bool
    in_target_unit: bool
    compute: Callable[..., Floats]

    def score(self, actual: ArrayLike, predicted: ArrayLike) -> float:
        """Return the metric of predictions of shape (rows,); NaN where it is undefined."""
        actual, predicted = encode(actual, predicted)
        return float(self.compute(actual[:, np.newaxis], predicted[:, np.newaxis])[0]) if len(actual) else float("nan")

    def unit(self, target_unit: str) -> str:
        """Return the unit of the metric, given that of the target; empty where it has none."""
        return target_unit if self.in_target_unit else ""

    def gain(self, challenger: ArrayLike, champion: ArrayLike) -> Floats:
        """Return how much better the challenger is, in units of the metric; positive is better in either direction."""
        difference = np.asarray(challenger, dtype=float) - np.asarray(champion, dtype=float)
        return difference if self.higher_is_better else -difference


def encode(*columns: ArrayLike) -> list[NDArray]:
    """Turn label columns of shape (rows,) into integer codes shared by all of them; numbers stay numbers.

    A label that is text in one column and a number in another is the same class when it reads the same.
    """
    arrays = [np.asarray(column) for column in columns]
    if all(np.issubdtype(array.dtype, np.number) for array in arrays):
        return [array.astype(float) for array in arrays]
    _, codes = np.unique(np.concatenate([array.astype(str) for array in arrays]), return_inverse=True)
    return np.split(codes, len(arrays))


def _finite(function: Callable[..., Floats]) -> Callable[..., Floats]:
    def compute(actual: NDArray, predicted: NDArray) -> Floats:
        # scikit-learn raises on NaN; a model that predicts NaN should get a score that never promotes instead.
        if not np.isfinite(predicted).all():
            return np.full(actual.shape[1], np.nan)
        return np.asarray(function(actual, predicted, multioutput="raw_values"), dtype=float)

    return compute


def _confusion(actual: NDArray, predicted: NDArray) -> Floats:
    """Count pairs of classes: shape (resamples, classes, classes), actual before predicted."""
    resamples = actual.shape[1]
    classes, codes = np.unique(np.stack([actual, predicted]), return_inverse=True)
    codes = codes.reshape(2, *actual.shape)
    size = len(classes)
    cells = np.arange(resamples) * size**2 + codes[0] * size + codes[1]
    return np.bincount(cells.ravel(), minlength=resamples * size**2).reshape(resamples, size, size).astype(float)


def _mean_over_classes(numerator: Floats, denominator: Floats) -> Floats:
    """Average shares over classes; a class that a resample does not contain is left out, as scikit-learn does."""
    shares = np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
    return np.nanmean(shares, axis=1)


def _accuracy(actual: NDArray, predicted: NDArray) -> Floats:
    return np.mean(actual == predicted, axis=0)


def _balanced_accuracy(actual: NDArray, predicted: NDArray) -> Floats:
    matrix = _confusion(actual, predicted)
    return _mean_over_classes(np.einsum("rii->ri", matrix), matrix.sum(axis=2))


def _f1_macro(actual: NDArray, predicted: NDArray) -> Floats:
    matrix = _confusion(actual, predicted)
    return _mean_over_classes(2 * np.einsum("rii->ri", matrix), matrix.sum(axis=2) + matrix.sum(axis=1))


# log_loss is not offered: a pyfunc model predicts classes, and a metric that some models lack cannot compare them.
METRICS: dict[str, tuple[Metric, ...]] = {
    "regression": (
        Metric("mae", "mean absolute error", False, True, _finite(mean_absolute_error)),
        Metric("rmse", "root mean squared error", False, True, _finite(root_mean_squared_error)),
        Metric("r2", "share of variance explained", True, False, _finite(r2_score)),
    ),
    "classification": (
        Metric("accuracy", "share of rows that are right", True, False, _accuracy),
        Metric("balanced_accuracy", "mean recall of the classes", True, False, _balanced_accuracy),
        Metric("f1_macro", "mean F1 score of the classes", True, False, _f1_macro),
    ),
}


def demographic_parity(outcome: str) -> Metric:
    """Return the metric of demographic parity: the share of rows that are predicted as this class.

    Predictions are 1 for such a row, else 0. The share should be the same in every cohort, whatever the true classes
    (Calders, Kamiran and Pechenizkiy 2009, Building Classifiers with Independency Constraints).
    """
    return Metric("demographic_parity", f"share of rows predicted as {outcome}", True, False, _share)


def equal_opportunity(outcome: str) -> Metric:
    """Return the metric of equal opportunity: the recall of this class (true positive rate).

    It accepts rows of this class only. The rate should be the same in every cohort: the same chance for all who
    qualify (Hardt, Price and Srebro 2016, Equality of Opportunity in Supervised Learning).
    """
    return Metric("equal_opportunity", f"share of {outcome} predicted as {outcome}", True, False, _share)


def _share(_: NDArray, predicted: NDArray) -> Floats:
    return np.asarray(np.mean(predicted, axis=0), dtype=float)


def metric(name: str, task: str) -> Metric:
    """Return the metric of that name.

    Raises:
        StepError: the task has no such metric.
    """
    known = {each.name: each for each in METRICS[task]}
    if name not in known:
        raise StepError(f"evaluation.metric: {name!r} is not a {task} metric; choose one of {', '.join(known)}")
    return known[name]


def scores(task: str, actual: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Return every metric of the task, by name, for predictions of shape (rows,)."""
    return {each.name: each.score(actual, predicted) for each in METRICS[task]}


@dataclass(frozen=True)
class SliceScore:
    """The metric of both models on one part of the rows, such as one month; no champion is None."""

    column: str
    value: str
    rows: int
    challenger: float
    champion: float | None = None
