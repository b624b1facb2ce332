"""Parts of the rows: slices, where a model may not get worse, and cohorts, where it must be good by itself."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .fairness import Cohorts, Fairness
from .metrics import Metric, SliceScore, demographic_parity, equal_opportunity
from .predictions import Predictions
from .promotion import Interval, Policy
from .schema import Schema
from .step import StepError

# A numerical slice column with more values than this is cut into groups with equally many rows.
_MOST_VALUES = 24
_GROUPS = 5


def slice_groups(frame: pd.DataFrame, column: str, setting: str = "evaluation.slices") -> pd.Series:
    """Return the name of the group of each row: its value, or its fifth of all rows if there are many numbers.

    Raises:
        StepError: there is no such column; the setting is the one that named it.
    """
    if column not in frame:
        raise StepError(f"{setting}: the data have no column {column!r}")
    values = frame[column]
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > _MOST_VALUES:
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        edges, order = _edges(numbers[~np.isnan(numbers)])
        places = np.searchsorted(edges, numbers)
        names = pd.Series(np.array([*order, "missing"], dtype=object)[np.where(np.isnan(numbers), -1, places)])
        names.index = values.index
    else:
        spell = {value: str(value) for value in sorted(values.dropna().unique())}
        names, order = values.astype(object).map(spell).fillna("missing"), list(spell.values())
    return names.astype(pd.CategoricalDtype(list(dict.fromkeys([*order, "missing"])), ordered=True))


def _edges(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """Return the largest number of each group but the last, and the names of the groups, the smallest numbers first.

    The groups have about equally many of the numbers. Their ends are numbers with few digits, as far as that moves them
    by a twentieth of a group at most; the two outer ones are rounded outwards. So a name is true of all of its group.
    """
    ends = np.unique(np.quantile(numbers, np.linspace(0, 1, _GROUPS + 1)))
    whole = bool((numbers == np.floor(numbers)).all())
    gaps = np.diff(ends)
    rounded = []
    for place, end in enumerate(ends):
        places = -math.floor(math.log10(gaps[max(place - 1, 0) : place + 1].min() / 10))
        if whole and places >= 0:
            rounded.append(math.floor(end))
        elif 0 < place < len(ends) - 1:
            rounded.append(round(float(end), places))
        else:
            outwards = math.floor if place == 0 else math.ceil
            rounded.append(round(outwards(end * 10.0**places) / 10.0**places, places))
    inner = np.unique(rounded[1:-1])
    lower = [rounded[0], *(inner + 1 if whole else inner)]
    pairs = zip(lower, [*inner, rounded[-1]], strict=True)
    return inner, [f"{low:,.15g}" if low == high else f"{low:,.15g} to {high:,.15g}" for low, high in pairs]


def score_slices(
    metric: Metric,
    column: str,
    groups: pd.Series,
    actual: np.ndarray,
    challenger: Predictions,
    champion: Predictions | None = None,
    interval: Callable[..., Interval] | None = None,
) -> list[SliceScore]:
    """Return the metric of both models in each group of a column.

    Args:
        metric: what to measure.
        column: its name.
        groups: the group of each row, of shape (rows,).
        actual: the targets, of shape (rows,).
        challenger: its predictions.
        champion: its predictions; None if there is none.
        interval: returns the interval of the gain of some rows, by position.
    """
    results = []
    for value, rows in groups.groupby(groups, observed=True).indices.items():
        score, old_score, upper = metric.score(actual[rows], challenger.take(rows)), None, None
        if champion is not None:
            old_score = metric.score(actual[rows], champion.take(rows))
            upper = interval(rows).upper if interval else None
        results.append(SliceScore(column, str(value), len(rows), score, old_score, upper))
    return results


def cohort_groups(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Return the name of the cohort of each row: its group in each of the columns, with slashes between them.

    Raises:
        StepError: there is no such column.
    """
    parts = [slice_groups(frame, column, "fairness.cohorts") for column in columns]
    names = pd.Series(["/".join(row) for row in zip(*parts, strict=True)], index=frame.index)
    # In the order of the values and not of their names: month 2 comes before month 10.
    order = np.lexsort([part.cat.codes for part in reversed(parts)])
    return names.astype(pd.CategoricalDtype(names.iloc[order].unique().tolist(), ordered=True))


class Measure(NamedTuple):
    """A metric that is compared between cohorts, on which rows, with the limits on it."""

    metric: Metric
    rows: np.ndarray
    actual: np.ndarray
    predicted: Predictions
    limits: Mapping[str, float | None]


def score_cohorts(
    policy: Policy, schema: Schema, frame: pd.DataFrame, actual: np.ndarray, predicted: Predictions
) -> list[Cohorts]:
    """Return the deciding metric, and the outcomes of a classification, in each cohort that the policy names.

    Args:
        policy: names the metric, the cohorts and the limits.
        schema: names the task and the known classes.
        frame: one row per example, with the columns of the cohorts.
        actual: the targets of these rows.
        predicted: the predictions for these rows.

    Raises:
        StepError: there is no such column, or the positive class is missing or unknown.
    """
    fairness, all_rows = policy.fairness, np.full(len(frame), True)
    if not fairness.cohorts:
        return []
    limits = {"worst": fairness.worst, "max_gap": fairness.max_gap, "max_ratio": fairness.max_ratio}
    measures = [Measure(policy.metric, all_rows, actual, predicted, limits)]
    if schema.task == "classification":
        measures += outcome_measures(fairness, schema, actual.astype(str), predicted.values.astype(str))
    found = []
    for columns in fairness.cohorts:
        column, groups = "/".join(columns), cohort_groups(frame, columns)
        for each in measures:
            chosen = groups[each.rows], each.actual[each.rows], each.predicted.take(each.rows)
            parts = tuple(score_slices(each.metric, column, *chosen))
            found.append(Cohorts(column, each.metric, parts, fairness.minimum_rows, **each.limits))
    return found


def outcome_measures(fairness: Fairness, schema: Schema, actual: np.ndarray, predicted: np.ndarray) -> list[Measure]:
    """Return the measures of a classification: the shares of all rows, and of positive rows, predicted as a class.

    Raises:
        StepError: the positive class is missing or unknown.
    """
    classes = sorted({*schema.classes, *actual.tolist(), *predicted.tolist()})
    positive = fairness.positive or schema.positive or (classes[1] if len(classes) == 2 else None)
    if positive is None and fairness.max_equal_opportunity_difference is not None:
        raise StepError(f"fairness.positive: missing; name the good outcome, one of {', '.join(classes)}")
    if positive not in (None, *classes):
        raise StepError(f"fairness.positive: {positive!r} is not a class; choose one of {', '.join(classes)}")
    parity = {"max_gap": fairness.max_demographic_parity_difference}
    opportunity = {"max_gap": fairness.max_equal_opportunity_difference}
    measures = []
    for each in classes if positive is None else [positive]:
        true, given = (actual == each).astype(float), Predictions((predicted == each).astype(float))
        measures.append(Measure(demographic_parity(each), np.full(len(true), True), true, given, parity))
        if each == positive:
            measures.append(Measure(equal_opportunity(each), true == 1, true, given, opportunity))
    return measures
