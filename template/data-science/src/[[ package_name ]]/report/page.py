"""The page of an evaluation: one HTML file with everything inside, for phones, desktops and screen readers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from sklearn.metrics import confusion_matrix, precision_recall_curve, precision_recall_fscore_support, roc_curve

from ..core.distances import ALPHA, HELD_OUT, MINIMUM_ROWS, P_VALUES, Drift, DriftResult, Samples
from ..core.fairness import Cohorts
from ..core.metrics import SliceScore
from ..core.panels import Figure, number
from ..core.predictions import Predictions
from ..core.promotion import Interval
from ..core.schema import Column
from . import charts
from .evaluation import Evaluation
from .next_steps import better_baselines, next_steps

_SHOWN_FEATURES = 20
_SHOWN_CLASSES = 20
_SHOWN_PAIRS = 15
_SHOWN_GROUPS = 24
_SHOWN_DRIFT = 3
_SHOWN_LABELS = 14


@dataclass(frozen=True)
class CohortColumn:
    """The cohorts of one column: a chart, what is measured, and (cohort, rows, values, judged) for each of them."""

    name: str
    figure: Figure | None
    measures: list[str]
    cohorts: list[tuple[str, int, list[float | None], bool]]


def build(evaluation: Evaluation) -> str:
    """Return the report as one HTML text that refers to nothing outside itself."""
    policy, schema = evaluation.policy, evaluation.schema
    page = templates().get_template("page.html")
    return page.render(
        e=evaluation,
        metric=policy.metric,
        unit=_unit(evaluation),
        target_unit=schema.columns[schema.target].unit,
        comparison=_comparison(evaluation),
        gains=_gains(evaluation),
        better_baselines=better_baselines(evaluation),
        next_steps=next_steps(evaluation),
        predictions=_PREDICTIONS.get(schema.task, _row_scores)(evaluation),
        confusion=_confusion(evaluation) if schema.task == "classification" else None,
        classes=_classes(evaluation) if schema.task == "classification" else [],
        shown_classes=_SHOWN_CLASSES,
        slices=_slices(evaluation),
        fairness=cohort_columns(evaluation.cohorts, _unit(evaluation)),
        drift=_drift(evaluation),
        p_values=P_VALUES,
        outputs=_outputs(evaluation.drift),
        minimum_rows=MINIMUM_ROWS,
        alpha=ALPHA,
    )


@cache
def templates(*folders: Path) -> Environment:
    """Return what renders the pages of this folder and of others, which share its `layout.html` and `parts.html`."""
    loader = FileSystemLoader([Path(__file__).parent, *folders])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    environment.filters["breakable"] = breakable
    environment.filters["with_code"] = with_code
    return environment


def _outputs(drift: Drift | None) -> list[str]:
    """Return the names of what a model makes of the rows, among the columns that are compared."""
    return [] if drift is None else [each.column.name for each in drift.samples if each.rows == HELD_OUT]


def breakable(name: str) -> Markup:
    """Let a long name break after its underscores, so that tables fit a phone."""
    return escape(name).replace("_", Markup("_<wbr>"))


def with_code(text: str) -> Markup:
    """Show what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _unit(evaluation: Evaluation) -> str:
    """Return the unit of the deciding metric, with a space before it, or nothing."""
    unit = evaluation.policy.metric.unit(evaluation.schema.columns[evaluation.schema.target].unit)
    return f" {unit}" if unit else ""


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _comparison(evaluation: Evaluation) -> list[Figure]:
    metric, unit = evaluation.policy.metric, _unit(evaluation)
    scores = [(name, values[metric.name]) for name, values in evaluation.scores.items()]
    shown = [(name, value) for name, value in scores if _finite(value)]
    figures = []
    if shown:
        values = ", ".join(f"{name} {number(value)}{unit}" for name, value in shown)
        caption = f"{metric.label[0].upper()}{metric.label[1:]}: {values}"
        label = metric.name + (f" in{unit}" if unit else "")
        svg = charts.scoreboard(shown, evaluation.policy.floor, metric.higher_is_better, label, caption)
        figures.append(Figure(svg, caption + "."))
    interval = evaluation.interval
    if interval and all(map(_finite, (interval.gain, interval.lower, interval.upper))):
        caption = (
            f"Gain over the champion: {number(interval.gain)}{unit}; with {evaluation.policy.confidence:.0%} "
            f"confidence between {number(interval.lower)} and {number(interval.upper)}{unit}"
        )
        label = f"gain in {metric.name}{f' ({unit.strip()})' if unit else ''}, right is better"
        ends = (interval.gain, interval.lower, interval.upper)
        figures.append(Figure(charts.gain(*ends, evaluation.policy.minimum_gain, label, caption), caption + "."))
    return figures


def _gains(evaluation: Evaluation) -> list[tuple[str, Interval, float | None]]:
    """Return (rival, gain over it, what the gain must exceed or None) for the champion and each baseline."""
    needed = 0.0 if evaluation.policy.beat_baselines else None
    rows: list[tuple[str, Interval, float | None]] = []
    if evaluation.champion and evaluation.interval:
        rows.append((evaluation.champion, evaluation.interval, evaluation.policy.minimum_gain))
    return rows + [(name, interval, needed) for name, interval in evaluation.baselines.items()]


def _numbers(evaluation: Evaluation, name: str) -> np.ndarray:
    return np.asarray(evaluation.predictions[name].values, dtype=float)


def _regression(evaluation: Evaluation) -> list[Figure]:
    schema, predicted = evaluation.schema, _numbers(evaluation, "challenger")
    if not np.isfinite(predicted).all():
        return []
    unit = schema.columns[schema.target].unit
    actual = evaluation.actual.to_numpy(dtype=float)
    error = np.abs(predicted - actual)
    caption = (
        f"Predicted against actual {schema.target}; mean absolute error {number(error.mean())} {unit}".rstrip()
        + f", half of the rows are off by less than {number(float(np.median(error)))} {unit}".rstrip()
    )
    svg = charts.predicted_against_actual(actual, predicted, unit, caption, evaluation.seed)
    return [Figure(svg, caption + "."), _errors(evaluation, actual, unit)]


def _errors(evaluation: Evaluation, actual: np.ndarray, unit: str) -> Figure:
    """Compare the challenger's errors with those of the champion, or of the best baseline where there is none."""
    metric = evaluation.policy.metric
    scores = evaluation.scores
    gains = {name: float(metric.gain(scores[name][metric.name], 0)) for name in evaluation.predictions}
    rivals = [name for name, gain in gains.items() if name not in ("challenger", evaluation.champion) and _finite(gain)]
    chosen = ["challenger", evaluation.champion, *sorted(rivals, key=gains.__getitem__, reverse=True)[:1]]
    errors = {name: np.abs(_numbers(evaluation, name) - actual) for name in chosen if name and _finite(gains.get(name))}
    ends = ", ".join(f"{name} {number(float(np.quantile(each, 0.9)))}" for name, each in errors.items())
    caption = f"Nine rows of ten have an error below: {ends} {unit}".rstrip()
    return Figure(charts.error_shares(list(errors.items()), unit, caption), caption + ".")


@dataclass(frozen=True)
class Confusion:
    """How often each class is predicted for each.

    Attributes:
        caption: the finding.
        figure: the matrix; None if there are too many classes to read it.
        pairs: the most frequent mistakes, where the matrix shows no counts: (actual class, predicted class, rows, their
            share of the rows of the actual class).
    """

    caption: str
    figure: Figure | None
    pairs: list[tuple[str, str, int, float]]


def _confusion(evaluation: Evaluation) -> Confusion:
    actual, predicted = _labels(evaluation)
    classes = _class_order(evaluation, actual, predicted)
    matrix = confusion_matrix(actual, predicted, labels=classes)
    right = int(np.trace(matrix))
    caption = f"Confusion of {evaluation.schema.target}: {right:,} of {len(actual):,} rows are right"
    if evaluation.threshold is not None:
        caption += (
            f"; {classes[-1]} is predicted from a probability of {evaluation.threshold:g} on (training.threshold)"
        )
    wrong = matrix - np.diag(np.diag(matrix))
    ordered = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    places = list(zip(*np.unravel_index(ordered[:_SHOWN_PAIRS], wrong.shape), strict=True))
    if places:
        row, column = places[0]
        caption += f"; the most frequent mistake is {classes[column]} for {classes[row]} ({wrong.max()} rows)"
    pairs = [(classes[i], classes[j], int(wrong[i, j]), float(wrong[i, j] / matrix[i].sum())) for i, j in places]
    drawn = len(classes) <= _SHOWN_CLASSES
    figure = Figure(charts.confusion(matrix, classes, caption), caption + ".") if drawn else None
    return Confusion(caption + ".", figure, pairs if len(classes) > charts.COUNTED else [])


def _class_order(evaluation: Evaluation, actual: list[str], predicted: list[str]) -> list[str]:
    """Return the classes that occur, in the order of the schema."""
    found = {*actual, *predicted}
    return [
        *(name for name in evaluation.schema.classes if name in found),
        *sorted(found - {*evaluation.schema.classes}),
    ]


_SHARES = np.linspace(0, 1, 201)


def _curves(evaluation: Evaluation) -> list[Figure]:
    """Return the ROC, the precision-recall and the calibration chart of the models that give probabilities."""
    models = {
        name: each
        for name, each in evaluation.predictions.items()
        if each.probabilities is not None and name in ("challenger", evaluation.champion)
    }
    actual = np.array([str(label) for label in evaluation.actual])
    curves = {name: _class_curves(actual, each) for name, each in models.items()}
    curves = {name: each for name, each in curves.items() if each}
    if "challenger" not in curves:
        return []
    classes = models["challenger"].classes
    subject = f"of {classes[-1]}" if len(classes) == 2 else "of the classes, each against the others, on average"
    shares = {name: _scores_in_words(evaluation, name, "roc_auc") for name in curves}
    caption = f"ROC curve {subject}: area {', '.join(f'{name} {value}' for name, value in shares.items())}"
    lines = [
        (name, _SHARES, np.mean([np.interp(_SHARES, *roc) for roc, _ in each], axis=0)) for name, each in curves.items()
    ]
    roc = charts.curves("roc", lines, "false positive rate", "true positive rate", caption)
    shares = {name: _scores_in_words(evaluation, name, "average_precision") for name in curves}
    precision = f"Precision and recall {subject}: average precision {', '.join(f'{n} {v}' for n, v in shares.items())}"
    lines = [
        (name, _SHARES, np.mean([np.interp(_SHARES, *pr) for _, pr in each], axis=0)) for name, each in curves.items()
    ]
    recall = charts.curves("precision", lines, "recall", "precision", precision, diagonal=False)
    return [Figure(roc, caption + "."), Figure(recall, precision + "."), *_calibration(evaluation, actual, models)]


def _scores_in_words(evaluation: Evaluation, name: str, metric: str) -> str:
    return number(evaluation.scores[name].get(metric))


Curve = tuple[np.ndarray, np.ndarray]


def _class_curves(actual: np.ndarray, predictions: Predictions) -> list[tuple[Curve, Curve]]:
    """Return the ROC curve and the precision over recall of the positive class, or of each of more than two."""
    assert predictions.probabilities is not None
    chosen = [1] if len(predictions.classes) == 2 else range(len(predictions.classes))
    found = []
    for column in chosen:
        is_class = actual == predictions.classes[column]
        if is_class.any() and not is_class.all():
            probability = predictions.probabilities[:, column]
            false, true, _ = roc_curve(is_class, probability)
            precision, recall, _ = precision_recall_curve(is_class, probability)
            found.append(((false, true), (recall[::-1], precision[::-1])))
    return found


def _calibration(evaluation: Evaluation, actual: np.ndarray, models: Mapping[str, Predictions]) -> list[Figure]:
    """Draw how often what a model predicts with some probability is right, in tenths of the rows."""
    lines, gaps = [], []
    binary = len(models["challenger"].classes) == 2
    for name, each in models.items():
        assert each.probabilities is not None
        place = np.full(len(actual), 1) if binary else each.probabilities.argmax(axis=1)
        probability = each.probabilities[np.arange(len(actual)), place]
        happened = actual == np.array(each.classes)[place]
        parts = np.array_split(np.argsort(probability, kind="stable"), min(10, len(actual)))
        said = np.array([probability[part].mean() for part in parts])
        was = np.array([happened[part].mean() for part in parts])
        lines.append((name, said, was))
        gaps.append(f"{name} {float(np.average(np.abs(said - was), weights=[len(part) for part in parts])):.1%}")
    subject = f"of {models['challenger'].classes[-1]}" if binary else "of the predicted class"
    caption = f"Calibration {subject}, by tenths of the rows: mean distance from the diagonal {', '.join(gaps)}"
    svg = charts.curves("calibration", lines, "predicted probability", "share of the rows", caption, dots=True)
    return [Figure(svg, caption + ".")]


def _classes(evaluation: Evaluation) -> list[tuple[str, float, float, float, int]]:
    """Return (class, precision, recall, F1, rows) for each class."""
    actual, predicted = _labels(evaluation)
    classes = _class_order(evaluation, actual, predicted)
    columns = precision_recall_fscore_support(actual, predicted, labels=classes, zero_division=0)
    return list(zip(classes, *(column.tolist() for column in columns), strict=True))


def _labels(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    predicted = evaluation.predictions["challenger"].values
    return [str(label) for label in evaluation.actual], [str(label) for label in predicted]


def _slices(evaluation: Evaluation) -> list[tuple[str, Figure | None]]:
    """Return a chart for each slice column; the groups with the most rows when there are too many to read."""
    figures = []
    for column, groups in evaluation.groups.items():
        rows = [each for each in evaluation.slices if each.column == column]
        largest = sorted(rows, key=lambda each: -each.rows)[:_SHOWN_GROUPS]
        shown = [each for each in rows if each in largest and _finite(each.challenger)]
        figures.append((column, _slice_figure(evaluation, column, shown, groups) if shown else None))
    return figures


def _row_scores(evaluation: Evaluation) -> list[Figure]:
    """Return which share of the rows each model has a score for that is at least so good, 0 to 1."""
    metric, actual = evaluation.policy.metric, evaluation.actual.to_numpy()
    if metric.rows is None:
        return []
    rivals = [name for name in evaluation.predictions if name not in ("challenger", evaluation.champion)]
    best = sorted(rivals, key=lambda name: -float(metric.gain(evaluation.scores[name][metric.name], 0)))[:1]
    shown = [name for name in ("challenger", evaluation.champion, *best) if name in evaluation.predictions]
    scores = {name: metric.rows(actual, evaluation.predictions[name]) for name in shown if name}
    middle = ", ".join(f"{name} {number(float(np.median(each)))}" for name, each in scores.items())
    caption = f"Share of the rows whose {metric.name} is at least so good; that of half of the rows: {middle}"
    lines = [(name, _SHARES, np.mean(each[:, np.newaxis] >= _SHARES, axis=0)) for name, each in scores.items()]
    svg = charts.curves("rows", lines, metric.name, "share of the rows", caption, diagonal=False)
    return [Figure(svg, caption + ".")]


# What is drawn of the predictions, by task; of texts, the scores of the rows.
_PREDICTIONS = {"regression": _regression, "classification": _curves}


def _slice_figure(evaluation: Evaluation, column: str, shown: list[SliceScore], groups: pd.Series) -> Figure:
    metric, schema, unit = evaluation.policy.metric, evaluation.schema, _unit(evaluation)
    worst = min(shown, key=lambda each: float(metric.gain(each.challenger, 0)))
    best = max(shown, key=lambda each: float(metric.gain(each.challenger, 0)))
    caption = (
        f"By {column}: {metric.name} is best for {best.value} ({number(best.challenger)}{unit}) and worst for "
        f"{worst.value} ({number(worst.challenger)}{unit})"
    )
    if worst.challenger == best.challenger:
        caption = f"By {column}: {metric.name} is {number(best.challenger)}{unit} for each of the {len(shown)} parts"
    if schema.task != "regression":
        rows = [(each.value, each.challenger, each.champion) for each in shown]
        return Figure(charts.slice_scores(rows, metric.name, column, caption), caption + ".")
    residual = _numbers(evaluation, "challenger") - evaluation.actual.to_numpy()
    spread = [(each.value, residual[(groups == each.value).to_numpy()]) for each in shown]
    svg = charts.residuals(spread, schema.columns[schema.target].unit, column, caption)
    return Figure(svg, caption + ". Dot: median; thick: middle half; thin: 10 to 90 % of the rows.")


def cohort_columns(scored: Sequence[Cohorts], unit: str = "") -> list[CohortColumn]:
    """Return what the page shows of each cohort column; the unit of the deciding metric begins with a space."""
    found = []
    for column in dict.fromkeys(each.column for each in scored):
        first, *others = [each for each in scored if each.column == column]
        values = [{score.value: score.challenger for score in each.scores} for each in (first, *others)]
        cohorts = [
            (each.value, each.rows, [column.get(each.value) for column in values], each.rows >= first.minimum_rows)
            for each in first.scores
        ]
        measures = [first.metric.name, *(each.metric.label for each in others)]
        found.append(CohortColumn(column, _cohort_figure(first, others, unit), measures, cohorts))
    return found


def _cohort_figure(cohorts: Cohorts, outcomes: Sequence[Cohorts], unit: str) -> Figure | None:
    """Draw the worst cohorts first, then those that are too small to judge, and as many as can be read."""
    judged, metric = cohorts.ranking, cohorts.metric
    small = sorted((each for each in cohorts.scores if each not in judged), key=lambda each: -each.rows)
    shown = [each for each in (*judged, *small) if _finite(each.challenger)][:_SHOWN_GROUPS]
    if not shown:
        return None
    caption = f"By {cohorts.column}: no cohort has {cohorts.minimum_rows:g} rows, so none is judged"
    if judged:
        worst, best = judged[0], judged[-1]
        caption = f"By {cohorts.column}: {metric.name} is worst for {worst.value} ({number(worst.challenger)}{unit})"
        if cohorts.worst is not None:
            caption += f", {'within' if cohorts.holds(worst) else 'beyond'} the limit of {number(cohorts.worst)}{unit},"
        caption += f" and best for {best.value} ({number(best.challenger)}{unit})"
    for each in sorted((each for each in outcomes if each.ranking), key=lambda each: -each.gap)[:2]:
        low, high = each.ranking[0], each.ranking[-1]
        caption += (
            f"; {each.metric.label}: from {low.challenger:.0%} ({low.value}) to {high.challenger:.0%} ({high.value})"
        )
    rows = [(each.value, each.challenger, cohorts.holds(each) if each in judged else None) for each in shown]
    label = metric.name + (f" in{unit}" if unit else "")
    svg = charts.cohort_scores(rows, cohorts.worst, label, cohorts.column, caption)
    return Figure(svg, caption + (f". Ring: fewer than {cohorts.minimum_rows:g} rows." if small else "."))


def _drift(evaluation: Evaluation) -> list[Figure]:
    """Return the overview of all columns, and the distributions of those that drifted most."""
    drift = evaluation.drift
    if drift is None or not drift.results:
        return []
    worst: dict[str, DriftResult] = {}
    for each in drift.results:
        if each.feature not in worst or _rank(each) > _rank(worst[each.feature]):
            worst[each.feature] = each
    ordered = sorted(worst.values(), key=_rank, reverse=True)
    caption = f"{len(drift.drifted)} of {len(worst)} columns drifted"
    caption += f": {', '.join(drift.drifted)}" if drift.drifted else ""
    rows = [(each.feature, severity(each), each.drifted) for each in ordered[:_SHOWN_FEATURES]]
    figures = [Figure(charts.drift(rows, caption), caption + ". Dashed: the threshold.")]
    samples = {each.column.name: each for each in drift.samples}
    figures += [_distribution(samples[each.feature]) for each in ordered[:_SHOWN_DRIFT] if each.drifted]
    return [figure for figure in figures if figure.svg]


def _rank(result: DriftResult) -> tuple[bool, float]:
    return result.drifted, severity(result)


def severity(result: DriftResult) -> float:
    """Return by what factor the threshold is crossed; 1 is on it, for distances and p-values alike."""
    if result.excess is None:
        return result.threshold / max(result.value, 1e-300)
    if result.threshold:
        return result.excess / result.threshold
    return math.inf if result.excess else 0.0


def _distribution(samples: Samples) -> Figure:
    column, before, after, rows = samples
    if column.is_numerical:
        before, after = (pd.to_numeric(values, errors="coerce").dropna() for values in (before, after))
        caption = _medians(column, before, after, rows)
        if before.empty or after.empty:
            return Figure("", caption)
        if column.type == "number" or before.nunique() > _SHOWN_GROUPS:
            label = f"{column.name}{f' ({column.unit})' if column.unit else ''}"
            return Figure(charts.distributions(before, after, None, rows, column.name, label, caption), caption + ".")
    shares = pd.DataFrame({"old": _shares(before, column), "new": _shares(after, column)}).fillna(0.0)
    if not column.is_numerical:
        moved, old, new = max(shares.itertuples(name=None), key=lambda row: abs(row[2] - row[1]))
        caption = f"{column.name}: {moved} went from {old:.0%} of the {rows} rows to {new:.0%} of the production rows"
        shares = shares.loc[shares.max(axis=1).nlargest(_SHOWN_LABELS).index]
    labels = [f"{label:g}" if column.is_numerical else label for label in shares.index]
    drawn = charts.distributions(shares["old"], shares["new"], labels, rows, column.name, column.name, caption)
    return Figure(drawn, caption + ".")


def _medians(column: Column, old: pd.Series, new: pd.Series, rows: str) -> str:
    if old.empty or new.empty:
        return f"{column.name}: no values in the {rows if old.empty else 'production'} rows"
    unit = f" {column.unit}" if column.unit else ""
    middle = f"from {number(old.median())} in the {rows} rows to {number(new.median())}{unit} in the production rows"
    return f"{column.name}: the median went {middle}"


def _shares(values: pd.Series, column: Column) -> pd.Series:
    if not column.is_numerical:
        values = values.astype(str).where(values.notna(), "missing")
    return values.value_counts(normalize=True)
