"""What an evaluation has written, in a form for people."""

import math
from collections.abc import Mapping
from typing import Any

from mlops.outputs import bar, table


def metrics_table(metrics: Mapping[str, Any], champion_version: object = None) -> str:
    """Return the scores of model, champion and baselines in a metrics.json as Markdown, with a chart of what decides.

    Args:
        metrics: The document.
        champion_version: The version of the champion, if it is known.
    """
    scores = {"this model": metrics["challenger"]}
    if metrics.get("champion"):
        scores[f"champion, version {champion_version}" if champion_version else "champion"] = metrics["champion"]
    scores |= {f"baseline {name}": values for name, values in (metrics.get("baselines") or {}).items()}
    decides = metrics["metric"]
    names = [decides, *(name for name in metrics["challenger"] if name != decides)]
    rows = [[model, *(_number(values.get(name)) for name in names)] for model, values in scores.items()]
    values = [each.get(decides) for each in scores.values()]
    if charted := all(value is not None and math.isfinite(value) and value >= 0 for value in values) and any(values):
        rows = [[*row, bar(value / max(values))] for row, value in zip(rows, values, strict=True)]
    text = table(["model", *names, *([""] if charted else [])], rows)
    details = f"{metrics['rows']} held-out rows; {decides} decides" if "rows" in metrics else f"{decides} decides"
    if "higher_is_better" in metrics:
        details += f", {'higher' if metrics['higher_is_better'] else 'lower'} is better"
    return f"{text}\n{details}.\n"


def _number(value: float | None) -> str:
    """Return a score with four digits."""
    return "-" if value is None else f"{value:.4g}"
