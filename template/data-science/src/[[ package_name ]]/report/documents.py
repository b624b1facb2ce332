"""What an evaluation leaves behind: JSON documents and the page, metrics in MLflow, a table on the console."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow

from ..core import distances, pipeline_run
from ..core.fairness import Cohorts
from ..core.metrics import METRICS
from ..core.panels import number
from .evaluation import Evaluation
from .next_steps import better_baselines, next_steps
from .page import build


def documents(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return the content of the JSON documents by the name of the file."""
    policy = evaluation.policy
    champion = evaluation.scores[evaluation.champion] if evaluation.champion else None
    return {
        "metrics.json": {
            "metric": policy.metric.name,
            "higher_is_better": policy.metric.higher_is_better,
            "rows": len(evaluation.actual),
            "notes": list(evaluation.notes),
            "challenger": evaluation.scores["challenger"],
            "champion": champion,
            "compared_rows": evaluation.compared_rows if champion else None,
            "baselines": {
                name.removeprefix("baseline "): values
                for name, values in evaluation.scores.items()
                if name.startswith("baseline ")
            },
            "gain_over_baselines": {
                name.removeprefix("baseline "): asdict(each) for name, each in evaluation.baselines.items()
            },
            "gain": asdict(evaluation.interval) | {"confidence": policy.confidence} if evaluation.interval else None,
            "slices": [asdict(each) for each in evaluation.slices],
            "fairness": [cohorts_document(each) for each in evaluation.cohorts],
            **{panel.name: list(panel.records) for panel in evaluation.panels},
        },
        "decision.json": {
            "promote": evaluation.decision.promote,
            "reasons": list(evaluation.decision.reasons),
            "champion": evaluation.champion,
            "champion_version": evaluation.champion_version,
            "note": evaluation.champion_note,
            "better_baselines": better_baselines(evaluation),
            "next": next_steps(evaluation),
        },
        "drift.json": distances.document(evaluation.drift),
    }


def cohorts_document(cohorts: Cohorts) -> dict[str, Any]:
    """Return the scores of the cohorts of a column, and the limits on them, as plain data."""
    scores = {each.value: {"value": each.value, "rows": each.rows, "score": each.challenger} for each in cohorts.scores}
    judged = [each.value for each in cohorts.ranking]
    return {
        "column": cohorts.column,
        "metric": cohorts.metric.name,
        "label": cohorts.metric.label,
        "worst": scores[judged[0]] if judged else None,
        "best": scores[judged[-1]] if judged else None,
        "gap": cohorts.gap,
        "ratio": cohorts.ratio,
        "limits": {"worst": cohorts.worst, "gap": cohorts.max_gap, "ratio": cohorts.max_ratio},
        "cohorts": [score | {"judged": value in judged} for value, score in scores.items()],
    }


def _plain(value: Any) -> Any:
    """Replace numbers that JSON does not have by null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write plain data; numbers that JSON does not have become null."""
    text = json.dumps(_plain(document), indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write the JSON documents and the page into `folder`."""
    for name, document in documents(evaluation).items():
        write_json(document, folder / name)
    (folder / "report.html").write_text(build(evaluation), encoding="utf-8")


def log(evaluation: Evaluation, folder: Path) -> None:
    """Log metrics, decision and page to the current run of MLflow."""
    names = {"challenger": "", evaluation.champion: "champion_"}
    metrics = {
        f"{names[model]}{name}": value
        for model, values in evaluation.scores.items()
        if model in names
        for name, value in values.items()
        if math.isfinite(value)
    }
    if evaluation.interval and math.isfinite(evaluation.interval.gain):
        metrics["gain"] = evaluation.interval.gain
    metrics |= _cohort_metrics(evaluation)
    if evaluation.drift is not None:
        metrics["drifted_features"] = float(len(evaluation.drift.drifted))
    mlflow.log_metrics(metrics)
    pipeline_run.log(metrics=metrics)
    mlflow.set_tag("promote", str(evaluation.decision.promote).lower())
    mlflow.log_artifact(str(folder / "report.html"))


def tags(evaluation: Evaluation) -> dict[str, str]:
    """Return the decision in the words of tags."""
    decision, metric = evaluation.decision, evaluation.policy.metric
    own = evaluation.scores["challenger"]
    known = [metric, *(each for each in METRICS[evaluation.schema.task] if each.name != metric.name)]
    scores = (f"{each.name}:{'higher' if each.higher_is_better else 'lower'}" for each in known if each.name in own)
    return {
        "scores": " ".join(scores),
        "promote": str(decision.promote).lower(),
        "reasons": "\n".join(decision.reasons),
        "model": evaluation.model_name,
    }


def _cohort_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the score of the worst cohort, and by how much the outcomes of a classification differ at most."""
    deciding = evaluation.policy.metric
    judged = [each for each in evaluation.cohorts if each.ranking]
    worst = [each.ranking[0].challenger for each in judged if each.metric == deciding]
    metrics = {f"worst_cohort_{deciding.name}": min(worst, key=lambda score: deciding.gain(score, 0))} if worst else {}
    for each in judged:
        if each.metric != deciding:
            name = f"{each.metric.name}_difference"
            metrics[name] = max(each.gap, metrics.get(name, 0.0))
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def summary(evaluation: Evaluation) -> str:
    """Return scores, decision and drift for the console; the last line has it all."""
    names = list(evaluation.scores["challenger"])
    width = max(map(len, evaluation.scores))
    texts = {model: [number(values.get(name)) for name in names] for model, values in evaluation.scores.items()}
    cell = max(10, *(len(text) + 2 for row in (names, *texts.values()) for text in row))
    lines = [" " * width + "".join(f"{name:>{cell}}" for name in names)]
    lines += [f"{model:<{width}}" + "".join(f"{text:>{cell}}" for text in row) for model, row in texts.items()]
    lines += [f"  - {reason}" for reason in evaluation.decision.reasons]
    lines += [f"  - {line}" for line in (evaluation.champion_note, *better_baselines(evaluation)) if line]
    lines += ["what to do next:", *(f"  - {step}" for step in next_steps(evaluation))]
    metric = evaluation.policy.metric.name
    last = f"{metric} {number(evaluation.scores['challenger'][metric])}: "
    last += "promote" if evaluation.decision.promote else "do not promote"
    if evaluation.drift is not None:
        drifted = evaluation.drift.drifted
        lines.append(f"drift: {len(drifted)} columns" + (f" ({', '.join(drifted)})" if drifted else ""))
        last += f"; {len(drifted)} columns drifted"
    lines.append(last)
    # A console of Windows may lack letters of the user's data.
    return "\n".join(lines).encode("ascii", "replace").decode("ascii")
