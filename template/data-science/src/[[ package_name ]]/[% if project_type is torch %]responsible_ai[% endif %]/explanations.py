"""Explanations: what moves the predictions of a model and its errors, and the most typical errors of a group.

A surrogate, a random forest, learns from the table of descriptions, metadata and embedding what the model predicts, or
where it is wrong. What it relies on explains the model as far as the surrogate agrees with it on rows that it has not
seen, so that is measured, and without agreement beyond chance there is no explanation (Craven and Shavlik 1996,
Extracting tree-structured representations of trained networks).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import RandomForestClassifier

from ..core.metrics import Metric, metric
from ..core.predictions import Predictions
from ..core.promotion import Interval, paired_bootstrap
from .errors import Halves, Mask
from .table import Table

RIGHT, WRONG = "right", "wrong"

_TREES = 50
_REPEATS = 5
# Fewer errors, in either half, teach nothing about what errors have in common.
_FEWEST = 5


@dataclass(frozen=True)
class Importance:
    """How much worse a surrogate agrees with the model when a block of the table is shuffled, and its deviation."""

    block: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class Surrogate:
    """A simple model of what another model does.

    Attributes:
        metric: of the agreement: accuracy for the predicted class, roc_auc for right or wrong.
        rows: how many were not used to train the surrogate; all other numbers are of these.
        agreement: between surrogate and model.
        chance: the agreement of a surrogate that ignores the table.
        gain: of the agreement over chance, with its interval.
        importance: of each block, the largest first; empty if the agreement may be chance.
        note: why there is no explanation; empty if there is one.
    """

    metric: Metric
    rows: int
    agreement: float | None = None
    chance: float | None = None
    gain: Interval | None = None
    importance: Sequence[Importance] = ()
    note: str = ""


def prediction_surrogate(table: Table, predicted: ArrayLike | None, halves: Halves, confidence: float) -> Surrogate:
    """Return what moves the predicted class.

    Args:
        table: what is known of the rows.
        predicted: the class that the model predicts for each, of shape (rows,); None if it predicts no classes.
        halves: the surrogate learns from those for finding.
        confidence: of the interval.
    """
    accuracy, rows = metric("accuracy", "classification"), int(halves.confirming.sum())
    if predicted is None:
        return Surrogate(accuracy, rows, note="the model predicts no classes, which could be told apart")
    labels = np.asarray(predicted).astype(str)
    if len(set(labels[halves.finding])) < 2:
        return Surrogate(accuracy, rows, note="the model predicts the same class for all rows")
    return _surrogate(accuracy, table, labels, halves, confidence)


def error_surrogate(table: Table, wrong: Mask, halves: Halves, confidence: float) -> Surrogate:
    """Return what moves the errors: what tells rows that the model has wrong from the others; see above."""
    area, rows = metric("roc_auc", "classification"), int(halves.confirming.sum())
    fewest, right = (
        min(int(each[half].sum()) for half in (halves.finding, halves.confirming)) for each in (wrong, ~wrong)
    )
    if fewest < _FEWEST or right < _FEWEST:
        kind = f"{fewest} errors" if fewest < _FEWEST else f"{right} right predictions"
        return Surrogate(area, rows, note=f"{kind} in half of the rows are too few; {_FEWEST} are needed")
    return _surrogate(area, table, np.where(wrong, WRONG, RIGHT), halves, confidence)


def _surrogate(
    agreement: Metric, table: Table, labels: NDArray[np.str_], halves: Halves, confidence: float
) -> Surrogate:
    finding, rest, seed = halves.finding, halves.confirming, halves.seed
    if not table.conditions:
        return Surrogate(agreement, int(rest.sum()), note="nothing is known of the rows that differs between them")
    forest = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=seed)
    forest.fit(table.values[finding], labels[finding])
    values, actual = table.values[rest], labels[rest]
    own = _predict(forest, values)
    names, counts = np.unique(labels[finding], return_counts=True)
    constant = np.tile(counts / counts.sum(), (len(actual), 1))
    chance = Predictions(np.full(len(actual), names[counts.argmax()]), constant, tuple(names))
    gain = paired_bootstrap(agreement, actual, own, chance, confidence, seed, halves.units[rest])
    reached, by_chance = agreement.score(actual, own), agreement.score(actual, chance)
    if not gain.lower > 0:
        note = "what is known of the rows does not tell, beyond chance"
        return Surrogate(agreement, len(actual), reached, by_chance, gain, note=note)
    random, found = np.random.default_rng(seed), []
    for block, places in table.blocks.items():
        drops = []
        for _ in range(_REPEATS):
            shuffled = values.copy()
            shuffled[:, places] = values[random.permutation(len(values))][:, places]
            drops.append(reached - agreement.score(actual, _predict(forest, shuffled)))
        found.append(Importance(block, float(np.mean(drops)), float(np.std(drops))))
    found.sort(key=lambda each: -each.mean)
    return Surrogate(agreement, len(actual), reached, by_chance, gain, found)


def _predict(forest: RandomForestClassifier, values: NDArray[np.float64]) -> Predictions:
    probabilities = forest.predict_proba(values)
    return Predictions(forest.classes_[probabilities.argmax(axis=1)], probabilities, tuple(forest.classes_))


def typical(space: NDArray[np.float64], rows: Mask, count: int) -> NDArray[np.intp]:
    """Return the positions of those rows that are nearest to the middle of all of them, the nearest first.

    Args:
        space: where each row is, of shape (rows, dimensions); the embedding, or else the table.
        rows: which rows to choose from, of shape (rows,).
        count: how many at most.
    """
    spread = space.std(axis=0)
    scaled = (space - space.mean(axis=0)) / np.where(spread > 0, spread, 1)
    places = np.flatnonzero(rows)
    distances = np.linalg.norm(scaled[places] - scaled[places].mean(axis=0), axis=1) if len(places) else np.empty(0)
    return places[np.argsort(distances, kind="stable")[:count]]
