"""Drift: how far apart two samples of a column are, and whether that is more than chance.

The metrics are those of Azure ML model monitoring, under its names. They follow the components that Azure's monitor
runs (repository Azure/azureml-assets, folder assets/model_monitoring), so that a value means the same here and there.
Three cases differ, because theirs fail or stay silent: missing values count as a value of their own, a category that is
new in production is allowed in the chi-squared test, and samples of any size are accepted.

Azure compares the value with the threshold. But two samples of the same data are never alike, and the fewer rows and
the more categories there are, the larger is the distance that chance alone makes. So a metric counts as drift here if
two things hold: its excess over that noise is above the threshold, and a permutation test finds it significant, at a
level that is divided by the number of tests (Bonferroni). Of the checks of data that have not changed, at most `ALPHA`
report drift, however many rows and columns there are.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from .predictions import Predictions
from .schema import Column, Schema
from .settings import is_number
from .step import StepError

Floats = NDArray[np.float64]

# The name under which a model's predictions are compared, like one more column.
PREDICTION = "prediction"
# Likewise each component of its embedding, with a number.
EMBEDDING = "embedding"
# The rows that a model's outputs are compared with: it knows those that it was trained on too well.
HELD_OUT = "held-out"

# The largest share of checks that report drift where there is none.
ALPHA = 0.05

# The test holds for any number of rows, but fewer are an hour or a batch of the data rather than a sample of it.
MINIMUM_ROWS = 30

# Enough for the noise. A test that is beyond its threshold gets as many as its level needs, which grows with the tests.
_DRAWS, _MOST_DRAWS = 200, 2000
# Bounds the memory of one block of draws, in counts.
_BLOCK = 2_000_000
# Up to so many rows for each cell, drawing row after row is faster than cell after cell.
_ROWS_PER_CELL = 8
# Of the values of a number; a column with fewer different values has a cell for each.
_CELLS = 128
# The sum of the squares of larger numbers is infinite.
_LARGEST = 1e100


class Samples(NamedTuple):
    """The values of one column in the rows of the past, the reference, and in the production rows.

    Attributes:
        rows: which rows the reference is: "training" or, for what a model makes of them, "held-out".
    """

    column: Column
    reference: pd.Series
    current: pd.Series
    rows: str = "training"


@dataclass(frozen=True)
class DriftResult:
    """One metric of one column.

    Attributes:
        feature: name of the column; `PREDICTION` for the model's predictions, `EMBEDDING` for how it sees the rows.
        value: what Azure ML would report; infinite when one of the two samples has no values.
        noise: the value to expect from chance alone; None for a p-value, which accounts for it.
        excess: the value without the noise; None for a p-value.
        threshold: the limit of the excess; for a p-value its limit, divided by the number of columns.
        p_value: the share of random relabellings of the rows in which the samples are as far apart.
    """

    feature: str
    metric: str
    value: float
    noise: float | None
    excess: float | None
    threshold: float
    p_value: float
    drifted: bool


@dataclass(frozen=True)
class Drift:
    """The comparison of production rows with training rows."""

    reference_rows: int
    production_rows: int
    samples: Sequence[Samples]
    results: Sequence[DriftResult]

    @property
    def drifted(self) -> list[str]:
        """The columns that drifted under at least one metric, in their order."""
        return list(dict.fromkeys(each.feature for each in self.results if each.drifted))

    @property
    def level(self) -> float:
        """What a p-value may be at most: the share of all tests in `ALPHA`."""
        return ALPHA / max(1, len(self.results))

    @property
    def enough(self) -> bool:
        """Whether there are enough rows to call anything drift."""
        return min(self.reference_rows, self.production_rows) >= MINIMUM_ROWS


def check(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    columns: Mapping[str, Column],
    thresholds: Mapping[str, Mapping[str, float]],
    outputs: Sequence[Samples] = (),
) -> Drift:
    """Compare each of the columns in `current` with `reference` under each metric that has a threshold.

    A column that a sample lacks counts as all missing. With fewer than `MINIMUM_ROWS` rows in either frame, values are
    returned and nothing counts as drift.

    Args:
        reference: the training rows.
        current: the production rows.
        columns: what to compare.
        thresholds: `{numerical: {metric: threshold}, categorical: {...}}`.
        outputs: what a model makes of both, from `prediction_samples` and `embedding_samples`.

    Raises:
        StepError: a metric is unknown or its threshold is not a number.
    """
    check_thresholds(thresholds)
    samples = [Samples(column, _column(reference, name), _column(current, name)) for name, column in columns.items()]
    samples += outputs
    tests = [
        (each, name, float(threshold))
        for each in samples
        if len(each.reference) and len(each.current)
        for name, threshold in (thresholds.get(_kind(each.column)) or {}).items()
    ]
    results = [_compare(*test, len(samples), len(tests)) for test in tests]
    return Drift(len(reference), len(current), samples, results)


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame else pd.Series(math.nan, index=frame.index)


def prediction_samples(schema: Schema, reference: Predictions, current: Predictions) -> Samples:
    """Return a model's predictions as one more column for `check`.

    Args:
        schema: of the data.
        reference: predictions for held-out rows; those for training rows follow their targets too closely.
        current: predictions for the production rows.
    """
    if schema.predicts_texts:
        # Hardly a text is there twice, so they are compared by how long they are.
        before, after = (pd.Series([float(len(text)) for text in each.values]) for each in (reference, current))
        return Samples(Column(f"length of {PREDICTION}", "number", unit="characters"), before, after, HELD_OUT)
    kind = "number" if schema.task == "regression" else "category"
    column = Column(PREDICTION, kind, unit=schema.columns[schema.target].unit)
    return Samples(column, pd.Series(reference.values), pd.Series(current.values), HELD_OUT)


def embedding_samples(reference: pd.DataFrame, current: pd.DataFrame) -> list[Samples]:
    """Return how a model sees the examples as more columns for `check`, named as `model_output.embedding` does.

    They show what the columns of the data may not: that a model sees something else in the examples than it used to.

    Args:
        reference: of held-out rows.
        current: of the production rows, with the same columns.
    """
    return [Samples(Column(str(name), "number"), reference[name], current[name], HELD_OUT) for name in reference]


def document(drift: Drift | None) -> dict[str, Any]:
    """Return the content of drift.json; None if there was nothing to compare."""
    if drift is None:
        return {"checked": False, "rows": None, "level": None, "drifted": [], "results": []}
    return {
        "checked": True,
        "rows": {"reference": drift.reference_rows, "production": drift.production_rows},
        "level": drift.level,
        "drifted": drift.drifted,
        # JSON has no infinity.
        "results": [
            {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in fields.items()}
            for fields in map(asdict, drift.results)
        ],
    }


def check_thresholds(thresholds: Mapping[str, Mapping[str, float]]) -> None:
    """Check the section `drift` of the settings.

    Raises:
        StepError: a kind or a metric is unknown, or a threshold is not a number.
    """
    if not isinstance(thresholds, Mapping):
        raise StepError(f"drift: give thresholds under the keys {' and '.join(METRICS)}")
    for kind, limits in thresholds.items():
        if kind not in METRICS:
            raise StepError(f"drift.{kind}: unknown; the keys are {', '.join(METRICS)}")
        if not isinstance(limits, Mapping | None):
            raise StepError(f"drift.{kind}: give `metric: threshold` lines; the metrics are {', '.join(METRICS[kind])}")
        for name, limit in (limits or {}).items():
            if name not in METRICS[kind]:
                raise StepError(f"drift.{kind}.{name}: unknown metric; choose from {', '.join(METRICS[kind])}")
            if not is_number(limit):
                raise StepError(f"drift.{kind}.{name}: {limit!r} must be a number")
            if not 0 <= limit <= (1.0 if name in BOUNDED else math.inf):
                most = " and at most 1" if name in BOUNDED else ""
                raise StepError(f"drift.{kind}.{name}: {limit!r} must be at least 0{most}")


def _kind(column: Column) -> str:
    return "numerical" if column.is_numerical else "categorical"


def _compare(samples: Samples, name: str, threshold: float, columns: int, tests: int) -> DriftResult:
    metric = METRICS[_kind(samples.column)][name]
    prepare = _as_numbers if samples.column.is_numerical else _as_labels
    reference, current = prepare(samples.reference), prepare(samples.current)
    value = metric.value(reference, current)
    chance = _Chance(metric, metric.count(reference, current))
    chance.draw(_DRAWS)
    excess = chance.excess(value)
    limit = threshold / columns if excess is None else threshold
    if _beyond(limit, value, excess):
        # Twice as many as make the level reachable.
        chance.draw(max(0, min(math.ceil(2 * tests / ALPHA), _MOST_DRAWS) - _DRAWS))
        excess = chance.excess(value)
    enough = min(len(reference), len(current)) >= MINIMUM_ROWS
    drifted = bool(enough and _beyond(limit, value, excess) and chance.p_value <= ALPHA / tests)
    return DriftResult(samples.column.name, name, value, chance.mean, excess, limit, chance.p_value, drifted)


def _beyond(limit: float, value: float, excess: float | None) -> bool:
    return value < limit if excess is None else excess > limit


def _as_numbers(values: pd.Series) -> Floats:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=math.nan)
    return np.where(np.isfinite(numbers), np.clip(numbers, -_LARGEST, _LARGEST), math.nan)


def _as_labels(values: pd.Series) -> NDArray:
    """Return text, with "" for missing; booleans and integers compare equal however they were stored."""
    codes, different = pd.factorize(values)
    labels = [str(value).strip().removesuffix(".0") for value in different]
    same = {"True": "1", "true": "1", "False": "0", "false": "0"}
    # The code of a missing value is -1: the last label.
    return np.array([*(same.get(label, label) for label in labels), ""], dtype=object)[codes]


class Counts(NamedTuple):
    """How many values of both samples lie in each cell, of shape (cells,).

    Attributes:
        gaps: between neighbouring cells, of shape (cells - 2,), in standard deviations of the reference; the last cell
            is for missing values. Empty where cells have no order.
    """

    reference: NDArray[np.int64]
    current: NDArray[np.int64]
    gaps: Floats = np.empty(0)


@dataclass(frozen=True)
class Metric:
    """One way to measure how far apart two samples are.

    Attributes:
        count: puts the values of two samples into cells.
        distance: between counts of shape (..., cells), with the gaps between cells; of shape (...).
        order: the power of distances that add, such as 2 if their squares do; None if the value is a p-value.
        exact: what Azure ML reports for two samples; None if that is the distance.
    """

    count: Callable[[NDArray, NDArray], Counts]
    distance: Callable[[NDArray, NDArray, Floats], Floats]
    order: int | None
    exact: Callable[[NDArray, NDArray], float] | None = None

    def value(self, reference: NDArray, current: NDArray) -> float:
        """Return what Azure ML reports for two samples."""
        if self.exact is not None:
            return self.exact(reference, current)
        return float(self.distance(*self.count(reference, current)))


class _Chance:
    """What a metric is when the rows of both samples are mixed and dealt out again, so that only chance remains.

    Dealing out rows is drawing counts from the pooled counts without replacement, whose cost does not grow with the
    number of rows.
    """

    def __init__(self, metric: Metric, counts: Counts) -> None:
        self._distance, self._order, self._gaps = metric.distance, metric.order, counts.gaps
        self._pooled, self._size = counts.reference + counts.current, int(counts.current.sum())
        self._random = np.random.default_rng(0)
        # Both draw from the same distribution: row by row, which costs time and memory by the row, or cell by cell.
        total = int(self._pooled.sum())
        row_by_row = total <= _BLOCK and min(self._size, total - self._size) < _ROWS_PER_CELL * len(self._pooled)
        self._method: Literal["count", "marginals"] = "count" if row_by_row else "marginals"
        self._observed = float(metric.distance(*counts))
        self._drawn = np.empty(0)

    def draw(self, count: int) -> None:
        """Draw so many times more."""
        block = max(1, _BLOCK // len(self._pooled))
        for start in range(0, count, block):
            size = min(block, count - start)
            current = self._random.multivariate_hypergeometric(self._pooled, self._size, size, self._method)
            found = self._distance(self._pooled - current, current, self._gaps)
            self._drawn = np.concatenate([self._drawn, found])

    @property
    def mean(self) -> float | None:
        """The mean of the order of the metric, over the draws in which neither sample is empty; None for a p-value."""
        if self._order is None:
            return None
        finite = self._drawn[np.isfinite(self._drawn)]
        return float(np.mean(finite**self._order) ** (1 / self._order)) if len(finite) else 0.0

    def excess(self, value: float) -> float | None:
        """Return what is left of a value without chance; None for a p-value."""
        if self._order is None or self.mean is None:
            return None
        return max(0.0, value**self._order - self.mean**self._order) ** (1 / self._order)

    @property
    def p_value(self) -> float:
        """The share of draws that are as large as what was observed, which counts as one of them.

        Source: Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9 (2010). If none of the
        most draws is as large, a gamma distribution with their moments continues them (Pearson's type III).
        """
        # Rounding must not make equal counts different.
        as_large = int(np.count_nonzero(self._drawn * (1 + 1e-7) + 1e-7 >= self._observed))
        share = (1 + as_large) / (1 + len(self._drawn))
        if as_large or len(self._drawn) < _MOST_DRAWS:
            return share
        finite = self._drawn[np.isfinite(self._drawn)]
        beyond = stats.pearson3.sf(self._observed, stats.skew(finite), finite.mean(), finite.std())
        return min(share, float(beyond))


def _histograms(reference: Floats, current: Floats) -> Counts:
    """Count both samples in the same bins of equal width, Sturges' number of them, and missing values in one more."""
    joint = np.concatenate([reference, current])
    missing = np.isnan(joint)
    bins = math.ceil(math.log2(max(1, min(len(reference), len(current)))) + 1)
    low, high = (0.0, 0.0) if missing.all() else (joint[~missing].min(), joint[~missing].max())
    width = (high - low) / bins
    place = np.zeros(len(joint)) if width == 0 else joint / width - low / width
    cells = np.where(missing, bins, np.clip(place, 0, bins - 1)).astype(int)
    return _count(cells, len(reference), bins + 1)


def _quantile_cells(reference: Floats, current: Floats) -> Counts:
    """Count both samples in cells between quantiles of the pooled values, which are narrower in the tails."""
    joint = np.concatenate([reference, current])
    missing = np.isnan(joint)
    ordered = np.sort(joint[~missing])
    bounds = np.unique(ordered)
    if len(bounds) > _CELLS:
        shares = (1 - np.cos(np.linspace(0, math.pi, _CELLS, endpoint=False))) / 2
        bounds = np.unique(ordered[(shares * len(ordered)).astype(int)])
    place = np.where(missing, len(bounds), np.searchsorted(bounds, joint, side="right") - 1)
    counts = _count(place, len(reference), len(bounds) + 1)
    means = np.bincount(place[~missing], joint[~missing], len(bounds)) / (counts.reference + counts.current)[:-1]
    return counts._replace(gaps=np.diff(means) / _spread(reference))


def _frequencies(reference: NDArray, current: NDArray) -> Counts:
    """Count the labels of both samples, in the same order."""
    codes, labels = pd.factorize(np.concatenate([reference, current]))
    return _count(codes, len(reference), len(labels))


def _count(cells: NDArray[np.int64], split: int, number: int) -> Counts:
    return Counts(np.bincount(cells[:split], minlength=number), np.bincount(cells[split:], minlength=number))


def _spread(reference: Floats) -> float:
    """Return the standard deviation of the reference, at least 0.001: the divisor of Azure's monitor."""
    present = reference[~np.isnan(reference)]
    return max(float(np.std(present, ddof=1)) if len(present) > 1 else 0.0, 0.001)


def _jensen_shannon(reference: NDArray, current: NDArray, _: Floats) -> Floats:
    """Return the square root of the Jensen-Shannon divergence, base 2: 0 is equal, 1 is disjoint.

    Source: Endres and Schindelin, "A new metric for probability distributions", IEEE Trans. Inf. Theory 49 (2003).
    """
    return np.nan_to_num(jensenshannon(reference, current, base=2, axis=-1))


def _stability_index(reference: NDArray, current: NDArray, _: Floats) -> Floats:
    """Return the sum of (p - q) ln(p / q) over bins, with one added to each count; 0 is equal, no upper end.

    Source: Siddiqi, "Credit Risk Scorecards" (Wiley 2006); it is the symmetric divergence of Kullback and Leibler.
    """
    p, q = ((counts + 1) / (counts + 1).sum(axis=-1, keepdims=True) for counts in (reference, current))
    return np.sum((p - q) * np.log(p / q), axis=-1)


def _differences(reference: NDArray, current: NDArray) -> tuple[Floats, NDArray[np.bool_]]:
    """Return by how much the cumulative shares differ after each cell, and whether just one sample has no values.

    The counts have the shape (..., cells), and their last cell is for missing values.
    """
    present = (reference[..., :-1], current[..., :-1])
    totals = [counts.sum(axis=-1, keepdims=True) for counts in present]
    before, after = (np.cumsum(each, axis=-1) / np.maximum(all_, 1) for each, all_ in zip(present, totals, strict=True))
    return np.abs(before - after), (totals[0] == 0)[..., 0] != (totals[1] == 0)[..., 0]


def _earth_mover(reference: NDArray, current: NDArray, gaps: Floats) -> Floats:
    differences, one_empty = _differences(reference, current)
    return np.where(one_empty, math.inf, differences[..., :-1] @ gaps)


def _normalized_wasserstein(reference: Floats, current: Floats) -> float:
    """Return the earth mover's distance in standard deviations of the reference; infinite if only one sample is empty.

    Source: Vaserstein, Problems of Information Transmission 5 (1969), by `scipy.stats.wasserstein_distance`.
    """
    before, after = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if not len(before) or not len(after):
        return 0.0 if len(before) == len(after) else math.inf
    return float(stats.wasserstein_distance(before, after)) / _spread(reference)


def _largest_difference(reference: NDArray, current: NDArray, _: Floats) -> Floats:
    differences, one_empty = _differences(reference, current)
    return np.where(one_empty, math.inf, differences.max(axis=-1, initial=0.0))


def _kolmogorov_smirnov(reference: Floats, current: Floats) -> float:
    """Return the p-value of equal distributions: small means drift; 0 if only one sample is empty.

    Source: Smirnov, Annals of Mathematical Statistics 19 (1948), by `scipy.stats.ks_2samp`.
    """
    before, after = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if not len(before) or not len(after):
        return 1.0 if len(before) == len(after) else 0.0
    # The exact distribution takes long for many rows; the asymptotic one is undefined for one or two.
    method = "exact" if min(len(before), len(after)) < MINIMUM_ROWS else "asymp"
    return float(stats.ks_2samp(before, after, method=method).pvalue)


def _squares(reference: NDArray, current: NDArray, _: Floats) -> Floats:
    """Return Pearson's statistic up to a factor, which the numbers of rows determine."""
    pooled = reference + current
    expected = pooled * (current.sum(axis=-1, keepdims=True) / pooled.sum(axis=-1, keepdims=True))
    return np.sum((current - expected) ** 2 / expected, axis=-1)


def _chi_squared(reference: NDArray, current: NDArray) -> float:
    """Return the p-value of equal shares of all labels: small means drift.

    Source: Pearson, Philosophical Magazine 50 (1900), as the test of homogeneity of two samples, by
    `scipy.stats.chi2_contingency`.
    """
    table = np.stack(_frequencies(reference, current)[:2])
    return float(stats.chi2_contingency(table, correction=False).pvalue)


# Divergences add, and the Jensen-Shannon distance is the root of one. So do the squares of a shift and of its error.
METRICS: dict[str, dict[str, Metric]] = {
    "numerical": {
        "jensen_shannon_distance": Metric(_histograms, _jensen_shannon, order=2),
        "normalized_wasserstein_distance": Metric(_quantile_cells, _earth_mover, 2, _normalized_wasserstein),
        "population_stability_index": Metric(_histograms, _stability_index, order=1),
        "two_sample_kolmogorov_smirnov_test": Metric(_quantile_cells, _largest_difference, None, _kolmogorov_smirnov),
    },
    "categorical": {
        "jensen_shannon_distance": Metric(_frequencies, _jensen_shannon, order=2),
        "population_stability_index": Metric(_frequencies, _stability_index, order=1),
        "pearsons_chi_squared_test": Metric(_frequencies, _squares, None, _chi_squared),
    },
}

# No value is above 1.
BOUNDED = frozenset(
    name for metrics in METRICS.values() for name in metrics if name.endswith(("_test", "shannon_distance"))
)

# For p-values, smaller means stronger evidence of drift.
P_VALUES = frozenset(name for metrics in METRICS.values() for name, metric in metrics.items() if metric.order is None)
