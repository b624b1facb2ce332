"""The page of a search for hyperparameters: one HTML file with everything inside, in the look of the evaluation's."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from ..core.panels import Figure, Table, number
from ..core.schema import Schema
from ..core.trials import COMPLETE, Search, Trial
from ..core.tuning import Choice, Range, Tuning, word
from . import charts
from .page import templates


def build(search: Search, tuning: Tuning, schema: Schema, rows: int) -> str:
    """Return the page as one HTML text that refers to nothing outside itself.

    Args:
        search: what was found; at least one trial has a score.
        tuning: the settings of the search.
        schema: of the data.
        rows: how many training rows there are.
    """
    unit = search.metric.unit(schema.columns[schema.target].unit)
    label = search.metric.name + (f" ({unit})" if unit else "")
    complete = [each for each in search.trials if each.state == COMPLETE]
    return (
        templates()
        .get_template("search.html")
        .render(
            search=search,
            metric=search.metric,
            best=search.best,
            own=search.settings,
            unit=f" {unit}" if unit else "",
            tuning=tuning,
            target=schema.target,
            rows=rows,
            created=f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
            values=[(name, *(_shown(each, name) for each in (search.best, search.settings))) for name in tuning.space],
            states=Counter(each.state for each in search.trials),
            progress=[_progress(search, complete, label)],
            effects=[_effect(search, complete, name, kind, label) for name, kind in tuning.space.items()],
            table=_table(search, tuning),
        )
    )


def _shown(trial: Trial | None, name: str) -> str:
    return "-" if trial is None or name not in trial.candidate else word(trial.candidate[name])


def _progress(search: Search, complete: Sequence[Trial], label: str) -> Figure:
    scores = [fmean(each.folds) for each in complete]
    choose = max if search.metric.higher_is_better else min
    best = [choose(scores[: place + 1]) for place in range(len(scores))]
    own = None if search.settings is None else search.settings.score
    caption = f"The best of {len(scores)} scored trials has {search.metric.name} {number(best[-1])}"
    caption += f", the settings {number(own)}" if own is not None else ""
    numbers = [each.number for each in complete]
    return Figure(charts.progress(numbers, scores, best, own, label, caption), f"{caption}.")


def _effect(search: Search, complete: Sequence[Trial], name: str, kind: Range | Choice, label: str) -> Figure:
    """Draw the scores over the values of one hyperparameter."""
    shown = [each for each in complete if _can_show(each, name, kind)]
    marks = ["best" if each == search.best else "settings" if each == search.settings else "trial" for each in shown]
    values: list[Any] = [each.candidate[name] for each in shown]
    caption, categories = f"{search.metric.name} over {name}", None
    if isinstance(kind, Choice):
        categories, values = list(kind.texts), [word(value) for value in values]
        scores = {
            text: [fmean(e.folds) for e, v in zip(shown, values, strict=True) if v == text] for text in kind.texts
        }
        means = [f"{number(fmean(found))} for {text}" for text, found in scores.items() if found]
        caption += f", on average {', '.join(means)}" if means else ""
    elif (best := search.best) is not None and name in best.candidate:
        caption += f"; the best trial has {word(best.candidate[name])}"
    points = [(value, fmean(each.folds), mark) for value, each, mark in zip(values, shown, marks, strict=True)]
    log = isinstance(kind, Range) and kind.log
    return Figure(charts.scores_by_value(name, points, categories, log, label, caption), f"{caption}.")


def _can_show(trial: Trial, name: str, kind: Range | Choice) -> bool:
    """Return whether the chart of a hyperparameter has a place for a trial; the settings may be beyond the space."""
    value = trial.candidate.get(name)
    return value in kind or (isinstance(kind, Range) and not kind.log and isinstance(value, int | float))


def _table(search: Search, tuning: Tuning) -> Table:
    header = ["trial", "state", search.metric.name, "sd", "folds", "seconds", *tuning.space, "error"]
    rows = []
    for each in search.trials:
        score = fmean(each.folds) if each.folds else None
        rows.append(
            [
                str(each.number),
                each.state,
                number(score),
                number(each.sd),
                str(len(each.folds)),
                number(each.seconds),
                *(_shown(each, name) for name in tuning.space),
                each.error or "-",
            ]
        )
    caption = f"{search.metric.name} is the mean over the folds that were scored, sd their standard deviation"
    return Table("trials", caption, header, rows, texts=("state", "error"))
