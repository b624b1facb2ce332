"""The page of `mlops compare`: runs side by side, one HTML file with everything inside, which looks as the report."""

from collections.abc import Mapping
from typing import Any

from ..core.panels import Figure, number
from . import charts
from .page import templates


def build(document: Mapping[str, Any]) -> str:
    """Return the page as one HTML text that refers to nothing outside itself.

    Args:
        document: what `mlops compare` found, as plain data: groups of runs with the same held-out examples, the newest
            last; what is different in each run; those without a score; searches; and the verdict, in lines.
    """
    groups = document["groups"][::-1]
    figures = [_scores(place, group) for place, group in enumerate(groups)]
    pairs = list(zip(groups, figures, strict=True))
    return templates().get_template("comparison.html").render(document=document, groups=pairs)


def _scores(place: int, group: Mapping[str, Any]) -> Figure:
    metric, runs = group["metrics"][0], group["runs"]
    best = next(run for run in runs if run["number"] == group["best"])
    points = [(run["title"], run["scores"][0], _mark(run, group)) for run in runs]
    caption = f"{best['title']} has {metric} {number(best['scores'][0])}"
    if len(runs) > 1:
        caption = f"Of {len(runs)} runs, {best['title']} has the best {metric}: {number(best['scores'][0])}"
    better = "higher" if group["higher_is_better"] else "lower"
    svg = charts.run_scores(f"runs-{place}", points, f"{metric} ({better} is better)", caption)
    return Figure(svg, f"{caption}.")


def _mark(run: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    return "best" if run["number"] == group["best"] else "champion" if run["champion"] else "run"
