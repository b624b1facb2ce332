"""Runs of this machine side by side: what was different, what they scored on the same examples, which is the best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlops.errors import UserError
from mlops.hyperparameters import shortened
from mlops.local.experiments import (
    WITHOUT_REGISTRY,
    Experiment,
    History,
    Score,
    Trial,
    keys,
    read_history,
    same_as,
)
from mlops.local.runner import local_folder, say
from mlops.project import Project

PAGE = "compare.html"
_LONGEST_TITLE, _TRIALS, _METRICS, _CHANGES = 44, 5, 3, 6
_SCORED_ON = "held_out"


@dataclass(frozen=True)
class Group:
    """Runs that were scored on the same held-out examples, so that their scores can be compared.

    Attributes:
        runs: The oldest first.
        scores: The metrics that all of them have, first the one that orders them.
        rows: How many examples they share.
        best: The one with the best score; the older one of equals.
    """

    runs: Sequence[Experiment]
    scores: Sequence[Score]
    rows: int
    best: Experiment


@dataclass(frozen=True)
class Comparison:
    """What is to be shown of a history.

    Attributes:
        history: The runs.
        groups: Those with a score; the last group is that of the newest run.
        reference: What the others are held against: the run of the champion, or else the oldest one.
        problems: Those that have no score, with the reason.
        searches: Those that tried hyperparameters on the training data.
    """

    history: History
    groups: Sequence[Group]
    reference: Experiment | None
    problems: Sequence[tuple[Experiment, str]]
    searches: Sequence[Experiment]


def compare(project: Project, *, last: int = 10, metric: str = "", chosen: Sequence[str] = ()) -> Path | None:
    """Print runs side by side, and write a page with the same and with a plot.

    Args:
        project: The project.
        last: How many of the last runs, besides that of the champion.
        metric: What orders them, instead of the metric that decided.
        chosen: Runs by number or part of a name, instead of the last ones.

    Returns:
        The page; None if no run has a score.

    Raises:
        UserError: There is no such run, or none has this metric.
    """
    comparison = compared(read_history(project, last, chosen), metric)
    for line in lines(comparison, whole=bool(chosen)):
        say(line)
    if not comparison.groups:
        return None
    page = local_folder(project) / "report" / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    text = project.module("report.comparison").build(document(comparison))
    page.write_text(text, encoding="utf-8")
    say(f"page: {page}")
    return page


def compared(history: History, metric: str = "") -> Comparison:
    """Sort runs into those that can be compared with one another.

    Raises:
        UserError: No run has this metric.
    """
    trainings = [run for run in history.runs if not run.searched]
    scored = [run for run in trainings if run.scores and not run.problem]
    known = dict.fromkeys(score.name for run in scored for score in run.scores)
    if metric and metric not in known:
        near = get_close_matches(metric, known, 1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise UserError(f"no run has the metric {metric!r}{hint}: they have {', '.join(known) or 'none'}")
    kept: dict[tuple[str | None, str], list[Experiment]] = {}
    for run in scored:
        chosen = metric or run.scores[0].name
        if chosen in run.metrics:
            kept.setdefault((run.params.get(_SCORED_ON), chosen), []).append(run)
    groups = [_group(runs, chosen) for (_, chosen), runs in kept.items()]
    # The newest last: it stands where a terminal ends.
    groups.sort(key=lambda group: group.runs[-1].number)
    problems = [(run, run.problem or "was not evaluated") for run in trainings if run.problem or not run.scores]
    for run in scored:
        if (chosen := metric or run.scores[0].name) not in run.metrics:
            problems.append((run, f"its {chosen} is missing, or not a finite number"))
    champions = [run for run in scored if run.identity == history.champion_run]
    reference = next(iter([*champions, *scored]), None)
    return Comparison(history, groups, reference, problems, [run for run in history.runs if run.searched])


def _group(runs: Sequence[Experiment], metric: str) -> Group:
    shared = [score for score in runs[-1].scores if all(score.name in run.metrics for run in runs)]
    scores = sorted(shared, key=lambda score: score.name != metric)
    sign = 1 if scores[0].higher_is_better else -1
    best = max(runs, key=lambda run: (sign * run.metrics[metric], -run.number))
    return Group(runs, scores, int(runs[-1].metrics.get("test_rows", 0)), best)


def changes(run: Experiment, reference: Experiment) -> list[tuple[str, str, str]]:
    """Return what is different in a run: what, before, and in it."""
    found = []
    for key in keys((reference, run)):
        before, now = reference.get(key), run.get(key)
        unknown = key in _WORDS and None in (before, now)  # of a run that did not come so far
        if before != now and key != _SCORED_ON and not unknown:
            found.append((_WORDS.get(key, key), before or "not set", now or "not set"))
    return found


_WORDS = {"code": "code of the steps", "data": "data", "schema": "data/schema.yml", "commit": "commit"}


def outcome(run: Experiment, history: History) -> str:
    """Return what became of a run in a few words."""
    if run.problem:
        return "running" if run.status == "RUNNING" else "stopped" if run.status == "KILLED" else "failed"
    version = run.tags.get("version")
    if run.identity == history.champion_run:
        return f"champion, version {history.champion}"
    if version:
        return f"version {version}"
    return "not registered (--no-register)" if WITHOUT_REGISTRY in run.tags else "not promoted"


def reasons(run: Experiment, history: History) -> list[str]:
    """Return why a run is not the champion."""
    if run.tags.get("promote") == "false":
        return run.tags.get("reasons", "").split("\n")
    if WITHOUT_REGISTRY in run.tags:
        return ["it was an experiment with --no-register: run it again without that option, and it may become it"]
    return [f"its version {run.tags.get('version', '-')} was replaced by a newer one, or rejected"]


# --- the terminal


def lines(comparison: Comparison, *, whole: bool = False) -> Iterator[str]:
    """Give the lines that a terminal shows; long lists of changes and of trials are cut unless `whole`."""
    history = comparison.history
    for place, group in enumerate(comparison.groups):
        if place:
            yield "These cannot be compared with those above: they have other held-out examples, or another metric."
        yield from _table(group, history)
        yield ""
    for run, reason in comparison.problems:
        state = outcome(run, history) if run.problem else "no score"
        yield f"{run.title}: {state}"
        yield f"  - {reason}"
    if comparison.problems:
        yield ""
    if comparison.reference:
        yield from _differences(comparison, comparison.reference, whole=whole)
    for run in comparison.searches:
        yield from _trial_lines(run, every=whole)
        yield ""
    for line, because in verdict(comparison):
        yield line
        yield from (f"  - {reason}" for reason in because)


def _table(group: Group, history: History) -> Iterator[str]:
    scores = group.scores[:_METRICS]
    rows = [["run", *(score.name for score in scores), "outcome"]]
    for run in group.runs:
        title = shortened(run.title, _LONGEST_TITLE)
        mark = "* " if run is group.best and len(group.runs) > 1 else "  "
        rows.append([mark + title, *(number(run.metrics[score.name]) for score in scores), outcome(run, history)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        numbers = (f"{cell:>{width}}" for cell, width in zip(row[1:-1], widths[1:-1], strict=True))
        yield "  ".join([f"{row[0]:<{widths[0]}}", *numbers, row[-1]]).rstrip()
    better = "higher" if scores[0].higher_is_better else "lower"
    shared = "all scored on the same" if len(group.runs) > 1 else "scored on"
    star = "; * is the best" if len(group.runs) > 1 else ""
    yield f"{shared} {group.rows:,} held-out rows; {better} {scores[0].name} is better{star}"


def _differences(comparison: Comparison, reference: Experiment, *, whole: bool) -> Iterator[str]:
    for run in comparison.history.runs:
        if run.searched or run is reference or not run.params:
            continue
        found = changes(run, reference)
        if not found and (run.problem or run.name == same_as(reference.number)):
            continue
        yield f"{run.number} {'differs from' if found else 'is as'} {reference.number}{' in' if found else ''}"
        shown = found if whole or len(found) <= _CHANGES + 1 else found[:_CHANGES]
        yield from (f"  {what}: {before} -> {now}" for what, before, now in shown)
        if more := len(found) - len(shown):
            yield f"  and {more} more: `uv run mlops compare {reference.number} {run.number}` shows them"
    if len([run for run in comparison.history.runs if not run.searched]) > 1:
        yield ""


def _trial_lines(run: Experiment, *, every: bool) -> Iterator[str]:
    ordered, sign = _ordered(run)
    failed = [trial for trial in run.trials if trial.failed]
    count = f"{len(run.trials)} trials" + (f", {len(failed)} failed" if failed else "")
    yield f"{run.title}: {outcome(run, History((), None, None)) if run.problem else 'finished'}, {count}"
    if run.problem:
        yield f"  - {run.problem}"
    for trial in ordered if every else ordered[:_TRIALS]:
        yield f"  {trial.name:<9} {run.searched} {number(trial.score)}  {_candidate(trial, run)}"
    if not every and len(ordered) > _TRIALS:
        yield f"  and {len(ordered) - _TRIALS} more: `uv run mlops compare {run.number}` shows them"
    if ordered:
        better = "higher" if sign > 0 else "lower"
        yield (
            f"  scored in cross-validation on training rows, {better} is better: not comparable with held-out scores"
        )


def _ordered(run: Experiment) -> tuple[list[Trial], int]:
    """Return the trials that have a score, the best first, and 1 if a higher one is better, else -1."""
    sign = 1 if run.tags.get("goal") == "maximize" else -1
    scored = [trial for trial in run.trials if trial.score is not None]
    return sorted(scored, key=lambda trial: -sign * (trial.score or 0.0)), sign


def _candidate(trial: Trial, run: Experiment) -> str:
    """Return the hyperparameters of a trial that the settings do not have."""
    other = {key: value for key, value in trial.params.items() if run.params.get(key) != value}
    return " ".join(f"{key}={value}" for key, value in other.items()) or "the settings"


def verdict(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Say which run is the best, who is the champion, and why they are not the same: lines, each with its reasons."""
    history = comparison.history
    if not comparison.groups:
        return [("None of these runs has a score on held-out rows: `uv run mlops local` gives one.", [])]
    group = comparison.groups[-1]
    best, metric = group.best, group.scores[0].name
    champion = next((run for run in history.runs if run.identity == history.champion_run), None)
    found: list[tuple[str, list[str]]] = [(f"best: run {best.title}, {metric} {number(best.metrics[metric])}", [])]
    if history.champion is None:
        found.append(("champion: none, because no model is registered", []))
    else:
        known = f"run {champion.title}" if champion else "its run is not among these"
        found.append((f"champion: version {history.champion}, {known}", []))
    if champion is not best:
        if champion is not None and champion not in group.runs:
            found.append(("they were scored on other held-out examples: the best run need not be better", []))
        found.append((f"run {best.number} is not the champion, because", reasons(best, history)))
    if best.tags.get("promote") == "true" and WITHOUT_REGISTRY in best.tags:
        found.append((f"`{command(best)}` runs it again, and registers a model that is promoted", []))
    return found


def command(run: Experiment) -> str:
    """Return the command that trains with the settings of a run."""
    overrides = run.tags.get("overrides")
    return f'uv run mlops local --overrides "{overrides}"' if overrides else "uv run mlops local"


def number(value: float | None) -> str:
    """Return a score with four digits."""
    return "-" if value is None else f"{value:.4g}"


# --- the page


def document(comparison: Comparison) -> dict[str, Any]:
    """Return what the page shows, as plain data."""
    history, reference = comparison.history, comparison.reference
    return {
        "groups": [
            {
                "metrics": [score.name for score in group.scores],
                "higher_is_better": group.scores[0].higher_is_better,
                "rows": group.rows,
                "best": group.best.number,
                "runs": [_row(run, group, history) for run in group.runs],
            }
            for group in comparison.groups
        ],
        "reference": reference.title if reference else None,
        "changes": [
            {"run": run.title, "number": run.number, "changes": changes(run, reference)}
            for run in history.runs
            if reference and not run.searched and run.params and run is not reference
        ],
        "problems": [{"run": run.title, "reason": reason} for run, reason in comparison.problems],
        "searches": [_search(run) for run in comparison.searches],
        "verdict": verdict(comparison),
    }


def _row(run: Experiment, group: Group, history: History) -> dict[str, Any]:
    return {
        "number": run.number,
        "title": run.title,
        "began": f"{run.began:%d %b %Y, %H:%M}",
        "scores": [run.metrics[score.name] for score in group.scores],
        "outcome": outcome(run, history),
        "champion": run.identity == history.champion_run,
    }


def _search(run: Experiment) -> dict[str, Any]:
    ordered, sign = _ordered(run)
    return {
        "run": run.title,
        "metric": run.searched,
        "higher_is_better": sign > 0,
        "failed": sum(trial.failed for trial in run.trials),
        "trials": [{"name": each.name, "score": each.score, "candidate": _candidate(each, run)} for each in ordered],
    }
