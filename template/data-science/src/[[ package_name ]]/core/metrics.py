"""Metrics by name: which task they belong to, which direction is better, and their value on many resamples at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from .predictions import Predictions
from .step import StepError

Floats = NDArray[np.float64]

Scorer = Callable[[Floats], Floats]
"""Weights of shape (resamples, rows), which say how often a row counts, to scores of shape (resamples,)."""

# A probability of 0 for what happened would make the log loss of all rows infinite.
_SMALLEST_PROBABILITY = 1e-15


@dataclass(frozen=True)
class Metric:
    """One metric of a task.

    A plain score is the case of one resample in which each row counts once, so that the bootstrap and the score can
    never disagree.

    Attributes:
        name: its name in the settings and in MLflow.
        label: what it is, in words.
        higher_is_better: its direction.
        in_target_unit: whether it has the unit of the target.
        prepare: `prepare(actual, predictions)` returns the scorer of these predictions; actual has shape (rows,).
        rows: for a mean over rows, the score of each row, of shape (rows,); None for all other metrics.
        needs_probabilities: whether classes alone are not enough.
        best: the score of a perfect model.
    """

    name: str
    label: str
    higher_is_better: bool
    in_target_unit: bool
    prepare: Callable[[NDArray, Predictions], Scorer]
    rows: Callable[[NDArray, Predictions], Floats] | None = None
    needs_probabilities: bool = False
    best: float = 1.0

    def scorer(self, actual: ArrayLike, predictions: Predictions | ArrayLike) -> Scorer:
        """Return what scores resamples of these rows; NaN where the metric is undefined.

        Raises:
            StepError: the metric needs probabilities, and there are none.
        """
        given = as_predictions(predictions)
        if self.needs_probabilities and given.probabilities is None:
            raise StepError(f"evaluation.metric: {self.name} needs probabilities, and this model predicts classes only")
        if given.probabilities is None and _is_number(given.values) and not np.isfinite(given.values).all():
            return lambda weights: np.full(len(weights), np.nan)
        return self.prepare(np.asarray(actual), given)

    def score(self, actual: ArrayLike, predictions: Predictions | ArrayLike) -> float:
        """Return the metric of predictions for rows of shape (rows,); NaN where it is undefined."""
        rows = len(np.asarray(actual))
        return float(self.scorer(actual, predictions)(np.ones((1, rows)))[0]) if rows else float("nan")

    def unit(self, target_unit: str) -> str:
        """Return the unit of the metric, given that of the target; empty where it has none."""
        return target_unit if self.in_target_unit else ""

    def gain(self, challenger: ArrayLike, champion: ArrayLike) -> Floats:
        """Return how much better the challenger is, in units of the metric; positive is better in either direction."""
        difference = np.asarray(challenger, dtype=float) - np.asarray(champion, dtype=float)
        return difference if self.higher_is_better else -difference


def as_predictions(values: Predictions | ArrayLike) -> Predictions:
    """Return values of shape (rows,) as predictions without probabilities."""
    return values if isinstance(values, Predictions) else Predictions(np.asarray(values))


def mean_metric(
    name: str,
    label: str,
    higher_is_better: bool,
    rows: Callable[[NDArray, Predictions], Floats],
    in_target_unit: bool = False,
    needs_probabilities: bool = False,
) -> Metric:
    """Return the metric that is the mean of a score of each row."""

    def prepare(actual: NDArray, predictions: Predictions) -> Scorer:
        scores = rows(actual, predictions)
        return lambda weights: _mean(weights, scores)

    best = 1.0 if higher_is_better else 0.0
    return Metric(name, label, higher_is_better, in_target_unit, prepare, rows, needs_probabilities, best)


def _mean(weights: Floats, values: Floats) -> Floats:
    return np.asarray(_share(weights @ values, weights.sum(axis=1)))


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _is_number(values: NDArray) -> bool:
    return np.issubdtype(values.dtype, np.number)


def encode(*columns: ArrayLike) -> list[NDArray]:
    """Turn label columns of shape (rows,) into integer codes shared by all of them.

    A label that is text in one column and a number in another is the same class when it reads the same.
    """
    arrays = [np.asarray(column) for column in columns]
    if not all(map(_is_number, arrays)):
        arrays = [array.astype(str) for array in arrays]
    _, codes = np.unique(np.concatenate(arrays), return_inverse=True)
    return np.split(codes.ravel(), len(arrays))


# Regression


def _errors(actual: NDArray, predictions: Predictions) -> Floats:
    return np.asarray(predictions.values, dtype=float) - np.asarray(actual, dtype=float)


def _rmse(actual: NDArray, predictions: Predictions) -> Scorer:
    squares = _errors(actual, predictions) ** 2
    return lambda weights: np.sqrt(_mean(weights, squares))


def _r2(actual: NDArray, predictions: Predictions) -> Scorer:
    squares = _errors(actual, predictions) ** 2
    # Centred, because a variance from large sums of squares would lose its digits.
    centred = np.asarray(actual, dtype=float) - np.mean(np.asarray(actual, dtype=float))

    def score(weights: Floats) -> Floats:
        unexplained = _mean(weights, squares)
        variance = _mean(weights, centred**2) - _mean(weights, centred) ** 2
        # A resample in which the target is constant: 1 for a perfect model and else 0, as scikit-learn has it.
        constant = variance <= 1e-12 * max(float(np.mean(centred**2)), 1e-300)
        ratio = np.divide(unexplained, variance, out=np.zeros_like(variance), where=~constant)
        return np.where(constant, np.where(unexplained == 0, 1.0, 0.0), 1 - ratio)

    return score


# Classes


def _right(actual: NDArray, predictions: Predictions) -> Floats:
    truth, given = encode(actual, predictions.values)
    return (truth == given).astype(float)


def _class_counts(actual: NDArray, predictions: Predictions) -> Callable[[Floats], tuple[Floats, Floats, Floats]]:
    """Return what counts, for weights, the right, the actual and the predicted rows: (resamples, classes) each."""
    truth, given = encode(actual, predictions.values)
    rows, size = np.arange(len(truth)), int(max(truth.max(), given.max())) + 1

    def indicator(codes: NDArray, values: NDArray) -> sparse.csr_matrix:
        return sparse.csr_matrix((values.astype(float), (rows, codes)), shape=(len(rows), size))

    ones = np.ones(len(rows))
    tables = indicator(truth, truth == given), indicator(truth, ones), indicator(given, ones)

    def count(weights: Floats) -> tuple[Floats, Floats, Floats]:
        right, actually, predicted = (np.asarray((table.T @ weights.T).T) for table in tables)
        return right, actually, predicted

    return count


def _mean_over_classes(numerator: Floats, denominator: Floats) -> Floats:
    """Average shares over classes; a class that a resample does not contain is left out, as scikit-learn does."""
    return np.asarray(np.nanmean(_share(numerator, denominator), axis=1))


def _balanced_accuracy(actual: NDArray, predictions: Predictions) -> Scorer:
    count = _class_counts(actual, predictions)

    def score(weights: Floats) -> Floats:
        right, actually, _ = count(weights)
        return _mean_over_classes(right, actually)

    return score


def _f1_macro(actual: NDArray, predictions: Predictions) -> Scorer:
    count = _class_counts(actual, predictions)

    def score(weights: Floats) -> Floats:
        right, actually, predicted = count(weights)
        return _mean_over_classes(2 * right, actually + predicted)

    return score


# Probabilities


def _indicators(actual: NDArray, predictions: Predictions) -> tuple[Floats, Floats]:
    """Return which class each row has, 1 or 0, and the probabilities: (rows, classes) each.

    A class that the model does not know has the probability 0.
    """
    assert predictions.probabilities is not None
    names = np.asarray(actual).astype(str)
    classes = [*predictions.classes, *sorted(set(names.tolist()) - set(predictions.classes))]
    unknown = np.zeros((len(names), len(classes) - len(predictions.classes)))
    return (names[:, np.newaxis] == np.array(classes)).astype(float), np.hstack([predictions.probabilities, unknown])


def _log_loss(actual: NDArray, predictions: Predictions) -> Floats:
    true, probabilities = _indicators(actual, predictions)
    return -np.log(np.clip((true * probabilities).sum(axis=1), _SMALLEST_PROBABILITY, 1.0))


def _brier(actual: NDArray, predictions: Predictions) -> Floats:
    true, probabilities = _indicators(actual, predictions)
    # Half of it for two classes: the square of the error of the one probability.
    return np.asarray(((probabilities - true) ** 2).sum(axis=1) / (2 if true.shape[1] == 2 else 1))


def _ranking(statistic: Callable[[Floats, Floats], Floats]) -> Callable[[NDArray, Predictions], Scorer]:
    """Return a metric of how well a probability ranks the rows of its class.

    It is that of the positive one of two classes, and the mean over all classes, each against the rest, of more; a
    class that a resample lacks, or that all its rows have, is left out.

    Args:
        statistic: from the weights of rows of the class and of all others, (resamples, values) each, where each value
            is a group of rows with equal probability, the smallest first.
    """

    def prepare(actual: NDArray, predictions: Predictions) -> Scorer:
        true, probabilities = _indicators(actual, predictions)
        chosen = [1] if true.shape[1] == 2 else range(true.shape[1])
        parts = []
        for column in chosen:
            order = np.argsort(probabilities[:, column], kind="stable")
            ordered = probabilities[order, column]
            starts = np.flatnonzero(np.r_[True, ordered[1:] > ordered[:-1]])
            parts.append((order, starts, true[order, column]))

        def score(weights: Floats) -> Floats:
            scores = []
            for order, starts, is_class in parts:
                ordered = weights[:, order]
                inside = np.add.reduceat(ordered * is_class, starts, axis=1)
                outside = np.add.reduceat(ordered * (1 - is_class), starts, axis=1)
                both = (inside.sum(axis=1) > 0) & (outside.sum(axis=1) > 0)
                scores.append(np.where(both, statistic(inside, outside), np.nan))
            known = ~np.isnan(scores)
            return _share(np.where(known, scores, 0.0).sum(axis=0), known.sum(axis=0).astype(float))

        return score

    return prepare


def _area_under_roc(inside: Floats, outside: Floats) -> Floats:
    """Return the chance that a row of the class has a larger probability than another one; equal ones count half."""
    below = np.cumsum(outside, axis=1) - outside / 2
    return _share((inside * below).sum(axis=1), inside.sum(axis=1) * outside.sum(axis=1))


def _average_precision(inside: Floats, outside: Floats) -> Floats:
    """Return the mean precision over the rows of the class, each at the threshold that just includes it."""
    found = np.cumsum(inside[:, ::-1], axis=1)
    precision = _share(found, np.cumsum((inside + outside)[:, ::-1], axis=1))
    return _share(np.nansum(inside[:, ::-1] * precision, axis=1), inside.sum(axis=1))


METRICS: dict[str, tuple[Metric, ...]] = {
    "regression": (
        mean_metric("mae", "mean absolute error", False, lambda *given: np.abs(_errors(*given)), in_target_unit=True),
        Metric("rmse", "root mean squared error", False, True, _rmse, best=0.0),
        Metric("r2", "share of variance explained", True, False, _r2),
    ),
    "classification": (
        mean_metric("accuracy", "share of rows that are right", True, _right),
        Metric("balanced_accuracy", "mean recall of the classes", True, False, _balanced_accuracy),
        Metric("f1_macro", "mean F1 score of the classes", True, False, _f1_macro),
        # Hanley and McNeil, Radiology 143 (1982); more than two classes: Provost and Domingos, CeDER working paper
        # IS-00-04 (2000), without their weights.
        Metric("roc_auc", "area under the ROC curve", True, False, _ranking(_area_under_roc), None, True),
        # Buckley and Voorhees, SIGIR (2000).
        Metric(
            "average_precision", "mean precision over recall", True, False, _ranking(_average_precision), None, True
        ),
        # Good, Journal of the Royal Statistical Society B 14 (1952).
        mean_metric("log_loss", "mean negative log-likelihood", False, _log_loss, needs_probabilities=True),
        # Brier, Monthly Weather Review 78 (1950).
        mean_metric("brier", "mean squared error of the probabilities", False, _brier, needs_probabilities=True),
    ),
}


def demographic_parity(outcome: str) -> Metric:
    """Return the metric of demographic parity: the share of rows that are predicted as this class.

    Predictions are 1 for such a row, else 0. The share should be the same in every cohort, whatever the true classes
    (Calders, Kamiran and Pechenizkiy 2009, Building Classifiers with Independency Constraints).
    """
    return mean_metric("demographic_parity", f"share of rows predicted as {outcome}", True, _values)


def equal_opportunity(outcome: str) -> Metric:
    """Return the metric of equal opportunity: the recall of this class (true positive rate).

    It accepts rows of this class only. The rate should be the same in every cohort: the same chance for all who
    qualify (Hardt, Price and Srebro 2016, Equality of Opportunity in Supervised Learning).
    """
    return mean_metric("equal_opportunity", f"share of {outcome} predicted as {outcome}", True, _values)


def _values(_: NDArray, predictions: Predictions) -> Floats:
    return np.asarray(predictions.values, dtype=float)


def metric(name: str, task: str) -> Metric:
    """Return the metric of that name.

    Raises:
        StepError: the task has no such metric.
    """
    known = {each.name: each for each in METRICS[task]}
    if name not in known:
        raise StepError(f"evaluation.metric: {name!r} is not a {task} metric; choose one of {', '.join(known)}")
    return known[name]


def scores(task: str, actual: ArrayLike, predictions: Predictions | ArrayLike) -> dict[str, float]:
    """Return every metric of the task that these predictions have, by name."""
    given = as_predictions(predictions)
    usable = [each for each in METRICS[task] if given.probabilities is not None or not each.needs_probabilities]
    return {each.name: each.score(actual, given) for each in usable}


@dataclass(frozen=True)
class SliceScore:
    """The metric of both models on one part of the rows, such as one month.

    Attributes:
        column: name of the column.
        value: which part.
        rows: how many.
        challenger: its score; NaN where the metric is undefined, such as roc_auc of a single class.
        champion: its score; None without a champion.
        upper_gain: the upper end of the interval of the gain over the champion; None if it is not known.
    """

    column: str
    value: str
    rows: int
    challenger: float
    champion: float | None = None
    upper_gain: float | None = None
