"""What the newest local run found, as Markdown: for the page of a pipeline's run and for a comment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops.errors import UserError
from mlops.evaluation import metrics_table
from mlops.project import Project


def summary(project: Project) -> str:
    """Return metrics of model, champion and baselines, and the decision with its reasons.

    Raises:
        UserError: There is no run that was evaluated.
    """
    runs = project.root / ".local" / "runs"
    found = sorted(runs.glob("*/*/*/decision.json"), key=lambda path: path.relative_to(runs).parts[0])
    if not found:
        raise UserError("no local run was evaluated yet: run `uv run mlops local`")
    decision, metrics = _read(found[-1]), _read(found[-1].with_name("metrics.json"))
    try:
        return _markdown(metrics, decision)
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{found[-1].parent} is not of this version: run `uv run mlops local` again") from error


def _markdown(metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> str:
    lines = [
        "## Model",
        "",
        metrics_table(metrics, decision["champion_version"]),
        f"**{'Promote' if decision['promote'] else 'Do not promote'}:**",
        "",
    ]
    reasons = [*decision["reasons"], decision["note"], *decision["better_baselines"], *metrics["notes"]]
    lines += [f"- {reason}" for reason in reasons if reason]
    if steps := decision.get("next"):
        lines += ["", "**What to do next:**", "", *(f"- {step}" for step in steps)]
    lines += ["", "Plots are in the report, `.local/report/index.html`; a pipeline keeps it as the artifact `report`."]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run `uv run mlops local` again") from error
    except ValueError as error:
        raise UserError(f"{path} is not complete: run `uv run mlops local` again") from error
    return document
