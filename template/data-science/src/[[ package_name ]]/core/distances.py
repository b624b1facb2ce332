"""Drift metrics: how far apart two samples of a column are; Azure ML model monitoring's, under its names.

The methods follow the components that Azure's monitor runs (repository Azure/azureml-assets, folder
assets/model_monitoring), so that a threshold means the same here and there. Three cases differ, because theirs fail
or stay silent: missing values count as a value of their own, a category that is new in production is allowed in the
chi-squared test, and samples of any size are accepted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from .schema import Column
from .settings import is_number
from .step import StepError

Floats = NDArray[np.float64]

# Below this many rows, histograms differ by chance more than by drift.
MINIMUM_ROWS = 30


@dataclass(frozen=True)
class DriftResult:
    """One metric of one feature; `value` is infinite when one of the two samples has no values."""

    feature: str
    metric: str
    value: float
    threshold: float
    drifted: bool


def check(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    columns: Mapping[str, Column],
    thresholds: Mapping[str, Mapping[str, float]],
) -> list[DriftResult]:
    """Compare each of the columns in `current` with `reference` under each metric that has a threshold.

    `thresholds` is `{numerical: {metric: threshold}, categorical: {...}}`. Distances drift above their threshold,
    p-values below it. A column that a sample lacks counts as all missing. With fewer than `MINIMUM_ROWS` rows in
    either sample, values are returned and nothing counts as drift.

    Raises:
        StepError: a metric is unknown or its threshold is not a number.
    """
    check_thresholds(thresholds)
    enough = min(len(reference), len(current)) >= MINIMUM_ROWS
    results = []
    for feature, column in columns.items():
        kind, prepare = ("numerical", _as_numbers) if column.is_numerical else ("categorical", _as_labels)
        before, after = (
            prepare(frame[feature] if feature in frame else pd.Series(math.nan, index=frame.index))
            for frame in (reference, current)
        )
        for name, threshold in (thresholds.get(kind) or {}).items():
            value = METRICS[kind][name](before, after)
            crossed = value < threshold if name in P_VALUES else value > threshold
            results.append(DriftResult(feature, name, value, float(threshold), bool(enough and crossed)))
    return results


def check_thresholds(thresholds: Mapping[str, Mapping[str, float]]) -> None:
    """Check the section `drift` of the settings.

    Raises:
        StepError: a kind or a metric is unknown, or a threshold is not a number.
    """
    for kind, limits in thresholds.items():
        if kind not in METRICS:
            raise StepError(f"drift.{kind}: unknown; the keys are {', '.join(METRICS)}")
        for name, limit in (limits or {}).items():
            if name not in METRICS[kind]:
                raise StepError(f"drift.{kind}.{name}: unknown metric; choose from {', '.join(METRICS[kind])}")
            if not is_number(limit):
                raise StepError(f"drift.{kind}.{name}: {limit!r} must be a number")


def _as_numbers(values: pd.Series) -> Floats:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=math.nan)
    return np.where(np.isfinite(numbers), numbers, math.nan)


def _as_labels(values: pd.Series) -> NDArray:
    """Return text, with "" for missing; booleans and integers compare equal however they were stored."""
    text = values.map(str).str.strip().str.removesuffix(".0")
    text = text.replace({"True": "1", "true": "1", "False": "0", "false": "0"})
    return text.where(values.notna(), "").to_numpy(dtype=object)


def _histograms(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """Count both samples in the same bins of equal width, Sturges' number of them, and missing values in one more."""
    joint = np.concatenate([reference, current])
    present = joint[~np.isnan(joint)]
    bins = math.ceil(math.log2(max(1, min(len(reference), len(current)))) + 1)
    low, high = (present.min(), present.max()) if len(present) else (0.0, 0.0)
    # Halves keep the width finite for values near the largest float.
    width = (high / 2 - low / 2) / bins * 2
    counts = []
    for sample in (reference, current):
        missing = np.isnan(sample)
        place = np.zeros(len(sample)) if width == 0 else (sample / width - low / width)
        place = np.where(missing, bins, np.clip(place, 0, bins - 1)).astype(int)
        counts.append(np.bincount(place, minlength=bins + 1).astype(float))
    return counts[0], counts[1]


def _frequencies(reference: NDArray, current: NDArray) -> tuple[Floats, Floats]:
    """Count the labels of both samples, in the same order."""
    labels, codes = np.unique(np.concatenate([reference, current]).astype(str), return_inverse=True)
    split = len(reference)
    before, after = (np.bincount(part, minlength=len(labels)) for part in (codes[:split], codes[split:]))
    return before.astype(float), after.astype(float)


Counts = Callable[..., tuple[Floats, Floats]]


def _jensen_shannon(counts: Counts) -> Callable[..., float]:
    def jensen_shannon_distance(reference: NDArray, current: NDArray) -> float:
        """Return the square root of the Jensen-Shannon divergence, base 2: 0 is equal, 1 is disjoint.

        Source: Endres and Schindelin, "A new metric for probability distributions", IEEE Trans. Inf. Theory 49 (2003).
        """
        before, after = counts(reference, current)
        if not before.sum() or not after.sum():
            return 0.0 if before.sum() == after.sum() else 1.0
        return float(np.nan_to_num(jensenshannon(before, after, base=2)))

    return jensen_shannon_distance


def _stability_index(counts: Counts) -> Callable[..., float]:
    def population_stability_index(reference: NDArray, current: NDArray) -> float:
        """Return the sum of (p - q) ln(p / q) over bins, with one added to each count; 0 is equal, no upper end.

        Source: Siddiqi, "Credit Risk Scorecards" (Wiley 2006); it is the symmetric divergence of Kullback and Leibler.
        """
        before, after = (count + 1 for count in counts(reference, current))
        p, q = before / before.sum(), after / after.sum()
        return float(np.sum((p - q) * np.log(p / q)))

    return population_stability_index


def normalized_wasserstein_distance(reference: Floats, current: Floats) -> float:
    """Return the earth mover's distance in standard deviations of the reference; infinite if only one sample is empty.

    Source: Vaserstein, Problems of Information Transmission 5 (1969), by `scipy.stats.wasserstein_distance`; the
    divisor, at least 0.001, is the one of Azure's monitor.
    """
    before, after = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if not len(before) or not len(after):
        return 0.0 if len(before) == len(after) else math.inf
    spread = float(np.std(before, ddof=1)) if len(before) > 1 else 0.0
    return float(stats.wasserstein_distance(before, after)) / max(spread, 0.001)


def two_sample_kolmogorov_smirnov_test(reference: Floats, current: Floats) -> float:
    """Return the p-value of equal distributions: small means drift; 0 if only one sample is empty.

    Source: Smirnov, Annals of Mathematical Statistics 19 (1948), by `scipy.stats.ks_2samp`.
    """
    before, after = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if not len(before) or not len(after):
        return 1.0 if len(before) == len(after) else 0.0
    # The exact distribution takes long for many rows; the asymptotic one is undefined for one or two.
    method = "exact" if min(len(before), len(after)) < MINIMUM_ROWS else "asymp"
    return float(stats.ks_2samp(before, after, method=method).pvalue)


def pearsons_chi_squared_test(reference: NDArray, current: NDArray) -> float:
    """Return the p-value of equal shares of all labels: small means drift; 0 if only one sample is empty.

    Source: Pearson, Philosophical Magazine 50 (1900), as the test of homogeneity of two samples, by
    `scipy.stats.chi2_contingency`.
    """
    table = np.stack(_frequencies(reference, current))
    if not table.sum(axis=1).all():
        return 1.0 if table.sum() == 0 else 0.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


METRICS: dict[str, dict[str, Callable[..., float]]] = {
    "numerical": {
        "jensen_shannon_distance": _jensen_shannon(_histograms),
        "normalized_wasserstein_distance": normalized_wasserstein_distance,
        "population_stability_index": _stability_index(_histograms),
        "two_sample_kolmogorov_smirnov_test": two_sample_kolmogorov_smirnov_test,
    },
    "categorical": {
        "jensen_shannon_distance": _jensen_shannon(_frequencies),
        "population_stability_index": _stability_index(_frequencies),
        "pearsons_chi_squared_test": pearsons_chi_squared_test,
    },
}

# For p-values, smaller means stronger evidence of drift.
P_VALUES = frozenset({"two_sample_kolmogorov_smirnov_test", "pearsons_chi_squared_test"})


def drifted_features(results: Sequence[DriftResult]) -> list[str]:
    """Return the features that drifted under at least one metric, in the order of the results."""
    return list(dict.fromkeys(each.feature for each in results if each.drifted))


def document(results: Sequence[DriftResult] | None, reference_rows: int, production_rows: int) -> dict[str, Any]:
    """Return the content of drift.json; `results` is None if there was nothing to compare."""
    found = results or ()
    return {
        "checked": results is not None,
        "rows": {"reference": reference_rows, "production": production_rows},
        "drifted": drifted_features(found),
        # JSON has no infinity.
        "results": [asdict(each) | {"value": each.value if math.isfinite(each.value) else None} for each in found],
    }
