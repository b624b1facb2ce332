"""The dashboard: one HTML page with everything inside, and the same numbers for other programs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlflow

from ..core.fairness import Cohorts, check_fairness
from ..core.panels import Figure, Passage, Table, number
from ..report import charts
from ..report.documents import cohorts_document, write_json
from ..report.page import cohort_columns, templates
from .errors import ErrorCohort, HeatMap
from .explanations import Surrogate

_SHOWN_BLOCKS = 12


class Example(NamedTuple):
    """A row with an error: what it is called, its class, and the predicted one."""

    name: str
    actual: str
    predicted: str


@dataclass(frozen=True)
class Insights:
    """All that the analysis of a model found out.

    Attributes:
        model: its name and version.
        created: date and time in words.
        target: what it predicts.
        rows: how many are held out; the scores of `cohorts` are of all of them.
        analysed: how many of them the rest is about.
        errors: how many of those are wrong.
        errors_are: what that means; empty for another class than the true one.
        components: of the embedding; 0 if the model has none.
        minimum_rows: the fewest rows of a group.
        confidence: of intervals and findings, between 0 and 1.
        groups: of rows with more errors, those first that are confirmed.
        heat_map: None if the settings name no columns.
        cohorts: the scores that the fairness gate looks at.
        predictions: what moves the predicted class.
        mistakes: what moves the errors.
        typical: errors of the first group, or of all rows if no group is confirmed.
        exhibits: those errors to look at; empty for a type of data that has none, or if examples are switched off.
    """

    model: str
    created: str
    target: str
    rows: int
    analysed: int
    errors: int
    components: int
    minimum_rows: int
    confidence: float
    groups: Sequence[ErrorCohort]
    heat_map: HeatMap | None
    cohorts: Sequence[Cohorts]
    predictions: Surrogate
    mistakes: Surrogate
    typical: Sequence[Example]
    exhibits: Sequence[Figure | Passage] = ()
    errors_are: str = ""

    @property
    def confirmed(self) -> list[ErrorCohort]:
        """Return the groups that have more errors, beyond chance."""
        return [each for each in self.groups if each.confirmed]

    @property
    def fairness(self) -> list[tuple[bool, str]]:
        """Return for each limit on cohorts whether it holds, and the reason: what the gate says of this model."""
        return [check for each in self.cohorts for check in check_fairness(each)]


def document(insights: Insights) -> dict[str, Any]:
    """Return the content of `insights.json`."""
    cross = insights.heat_map
    return {
        "model": insights.model,
        "rows": insights.rows,
        "analysed": insights.analysed,
        "errors": insights.errors,
        "errors_are": insights.errors_are,
        "embedding": insights.components,
        "confidence": insights.confidence,
        "error_analysis": [_group_document(each) for each in insights.groups],
        "heat_map": asdict(cross) if cross else None,
        "fairness": {
            "holds": all(good for good, _ in insights.fairness),
            "reasons": [reason for _, reason in insights.fairness],
            "cohorts": [cohorts_document(each) for each in insights.cohorts],
        },
        "explanations": {
            "predictions": _surrogate_document(insights.predictions),
            "errors": _surrogate_document(insights.mistakes),
        },
        "typical_errors": [each._asdict() for each in insights.typical],
    }


def _group_document(group: ErrorCohort) -> dict[str, Any]:
    names = ("rule", "confirmed", "rows", "errors", "rate", "lower", "upper", "others", "share", "p_value")
    return {name: getattr(group, name) for name in names}


def _surrogate_document(surrogate: Surrogate) -> dict[str, Any]:
    return {
        "metric": surrogate.metric.name,
        "rows": surrogate.rows,
        "agreement": surrogate.agreement,
        "chance": surrogate.chance,
        "gain": asdict(surrogate.gain) if surrogate.gain else None,
        "importance": [asdict(each) for each in surrogate.importance],
        "note": surrogate.note,
    }


def build(insights: Insights) -> str:
    """Return the dashboard as one HTML text that refers to nothing outside itself."""
    page = templates(Path(__file__).parent).get_template("dashboard.html")
    surrogates = {
        "predictions": ("What moves the predictions", insights.predictions),
        "mistakes": ("What moves the errors", insights.mistakes),
    }
    explained = [
        (name, title, each, _importance(name, each), _importance_table(name, each))
        for name, (title, each) in surrogates.items()
    ]
    return page.render(i=insights, fairness=cohort_columns(insights.cohorts), explained=explained)


def _importance(name: str, surrogate: Surrogate) -> list[Figure]:
    shown = [(each.block, each.mean, each.deviation) for each in surrogate.importance[:_SHOWN_BLOCKS]]
    if not shown:
        return []
    metric, (first, loss, _) = surrogate.metric.name, shown[0]
    caption = f"{first} tells most: when it is shuffled, {metric} falls by {number(loss)}"
    return [Figure(charts.importance(shown, f"loss of {metric}", caption, name), caption + ".")]


def _importance_table(name: str, surrogate: Surrogate) -> Table:
    return Table(
        title=f"importance for {name}",
        caption=f"Loss of {surrogate.metric.name} when the values of a column are shuffled between the rows",
        header=("column", "loss", "deviation"),
        rows=[(each.block, number(each.mean), number(each.deviation)) for each in surrogate.importance],
    )


def write(insights: Insights, folder: Path) -> None:
    """Write the page and `insights.json` into `folder`."""
    write_json(document(insights), folder / "insights.json")
    (folder / "dashboard.html").write_text(build(insights), encoding="utf-8")


def log(insights: Insights, folder: Path) -> None:
    """Log what was found to the current run of MLflow, with both files."""
    metrics = {
        "analysed_rows": insights.analysed,
        "error_rate": insights.errors / insights.analysed,
        "confirmed_cohorts": len(insights.confirmed),
        "broken_fairness_limits": sum(not good for good, _ in insights.fairness),
        "worst_cohort_error_rate": max((each.rate for each in insights.confirmed), default=math.nan),
        "predictions_surrogate_accuracy": insights.predictions.agreement,
        "errors_surrogate_roc_auc": insights.mistakes.agreement,
    }
    mlflow.log_metrics({k: float(v) for k, v in metrics.items() if v is not None and math.isfinite(v)})
    mlflow.set_tag("model", insights.model)
    for name in ("dashboard.html", "insights.json"):
        mlflow.log_artifact(str(folder / name))


def summary(insights: Insights) -> str:
    """Return what was found for the console; the last line has it all."""
    lines = [
        f"  - {each.rule}: {each.errors} of {each.rows} rows are wrong, of the others {each.others:.1%}"
        for each in insights.confirmed
    ]
    lines += [f"  - {reason}" for _, reason in insights.fairness]
    found, broken = len(insights.confirmed), sum(not good for good, _ in insights.fairness)
    last = f"{insights.model}: {insights.errors} of {insights.analysed:,} rows are wrong; "
    last += f"{found} groups have more errors" if found > 1 else f"{found or 'no'} group has more errors"
    if insights.fairness:
        last += f"; {broken} of {len(insights.fairness)} fairness limits broken" if broken else "; fairness limits hold"
    # A console of Windows may lack letters of the user's data.
    return "\n".join([*lines, last]).encode("ascii", "replace").decode("ascii")
