"""What an evaluation has written, in a form for people."""

from collections.abc import Mapping
from typing import Any

from mlops.outputs import table


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """Return the scores of challenger, champion and baselines in a metrics.json as a Markdown table."""
    models = {"challenger": metrics["challenger"], "champion": metrics.get("champion")}
    models |= {f"baseline {name}": scores for name, scores in (metrics.get("baselines") or {}).items()}
    shown = {name: scores for name, scores in models.items() if scores}
    rows = [[metric, *(_number(scores.get(metric)) for scores in shown.values())] for metric in metrics["challenger"]]
    return table([f"metric ({metrics['metric']} decides)", *shown], rows)


def _number(value: float | None) -> str:
    """Return a score with four digits, nothing for one that is not there."""
    return "" if value is None else f"{value:.4g}"
