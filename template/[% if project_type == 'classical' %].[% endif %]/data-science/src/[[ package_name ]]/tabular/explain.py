"""What the model of a table uses: permutation importance, as figures and as numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..core.metrics import Metric
from ..core.modality import Examples, Predict
from ..core.panels import Figure, Panel, Table, number
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..report import charts

_SHOWN_FEATURES = 20


@dataclass(frozen=True)
class Importance:
    """How much worse the metric gets, in its own units, when one feature is shuffled: mean and deviation of repeats."""

    feature: str
    mean: float
    deviation: float


def permutation_importance(
    predict: Callable[[pd.DataFrame], Predictions],
    frame: pd.DataFrame,
    actual: ArrayLike,
    features: Sequence[str],
    metric: Metric,
    seed: int = 0,
    rows: int = 400,
    repeats: int = 5,
) -> list[Importance]:
    """Return the importance of each feature, the largest first, measured on at most `rows` random rows of `frame`.

    `actual` has shape (len(frame),). Source: Breiman, "Random Forests", Machine Learning 45 (2001), section 10; here
    on held-out rows. scikit-learn's function of this name needs an estimator, which a loaded MLflow model is not.
    """
    random = np.random.default_rng(seed)
    chosen = random.choice(len(frame), size=min(rows, len(frame)), replace=False)
    sample, truth = frame.iloc[chosen], np.asarray(actual)[chosen]
    full = metric.score(truth, predict(sample))
    # All repeats of a feature are predicted in one call: each call of a loaded model costs some milliseconds of checks.
    repeated = pd.concat([sample] * repeats, ignore_index=True)
    results = []
    for feature in features:
        order = np.concatenate([random.permutation(len(sample)) for _ in range(repeats)])
        shuffled = repeated.assign(**{feature: sample[feature].iloc[order].array})
        predicted, rows_of = predict(shuffled), np.split(np.arange(len(shuffled)), repeats)
        losses = [float(metric.gain(full, metric.score(truth, predicted.take(part)))) for part in rows_of]
        results.append(Importance(feature, float(np.mean(losses)), float(np.std(losses))))
    return sorted(results, key=lambda each: each.mean, reverse=True)


def explain(predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
    """Measure the importance of each feature on held-out rows and return it as a panel."""
    print(f"measuring the importance of {len(schema.features)} features", flush=True)

    def predict_rows(frame: pd.DataFrame) -> Predictions:
        return predict(replace(test, frame=frame))

    actual = test.frame[schema.target].to_numpy()
    return [
        panel(permutation_importance(predict_rows, test.frame, actual, schema.features, metric, seed), schema, metric)
    ]


def panel(importance: Sequence[Importance], schema: Schema, metric: Metric) -> Panel:
    """Return the panel of the importance of all features, the largest first."""
    unit = metric.unit(schema.columns[schema.target].unit)
    table = Table(
        title="feature importance",
        caption=f"Permutation importance: loss in {metric.name}" + (f" in {unit}" if unit else ""),
        header=("feature", "loss", "deviation", "what it is"),
        rows=[
            (each.feature, f"{each.mean:.4f}", f"{each.deviation:.4f}", schema.columns[each.feature].description)
            for each in importance
        ],
        texts=("what it is",),
    )
    return Panel(
        name="importance",
        title="What the model uses",
        intro="Each feature is shuffled in turn; what the metric loses is what the feature is worth to this model. "
        "Features that hold the same information share their worth.",
        figures=_figures(importance, metric, unit),
        table=table,
        records=[asdict(each) for each in importance],
    )


def _figures(importance: Sequence[Importance], metric: Metric, unit: str) -> list[Figure]:
    rows = [(each.feature, each.mean, each.deviation) for each in importance if math.isfinite(each.mean)]
    if not rows:
        return []
    feature, loss, _ = rows[0]
    caption = (
        f"The model relies most on {feature}: shuffling it worsens {metric.name} by {number(loss)} {unit}".rstrip()
    )
    label = f"loss in {metric.name} when shuffled" + (f" ({unit})" if unit else "")
    return [Figure(charts.importance(rows[:_SHOWN_FEATURES], label, caption), caption + ".")]
