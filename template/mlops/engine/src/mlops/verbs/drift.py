"""Has the monitor of an environment found drift, and under which name does a training answer it?"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Literal

from mlops import outputs
from mlops.azureml.monitor_runs import Breach, MonitorRun
from mlops.verbs.session import Session

Verdict = Literal["drift", "no drift", "no data", "failed"]

ENDED = ("Completed", "Failed", "Canceled", "NotResponding")


@dataclass(frozen=True)
class Finding:
    """What a run of the monitor that has ended has found."""

    run: MonitorRun
    verdict: Verdict
    breaches: list[Breach]


def drift(session: Session, *, days: int | None = None, now: datetime | None = None) -> bool:
    """Look for an alert of the monitor, and say under which name a training answers it; nothing is started.

    The newest alert of the last `days` counts. The runs of the monitor before it that found drift too are about the
    same change, so that the first of them gives the training its name: who looks again, also tomorrow, finds that job.
    Drift that stays is answered again after each `days`.

    Args:
        session: The environment.
        days: How old an alert may be. By default twice the days that a run of the monitor looks back: so long a change
            is in the data that it compares, those of production or the reference.
        now: The time (default: that of the clock).

    Returns:
        Whether a training is to answer an alert. It is handed on too, with the job's name.
    """
    backend, environment = session.backend, session.config.environment
    days = days or 2 * session.config.monitor.lookback_days
    there = session.monitor_name in backend.schedules() or session.dry_run
    runs = backend.monitor_runs(session.monitor_name) if there else []
    if session.dry_run:
        for run in runs[:1]:
            backend.breaches(run)
        session.say(f"After an alert of the last {days} days, `train --job` with a name of its own answers it.")
        return False
    if not there:
        return _nothing(session, *_no_monitor(session))
    since = (now or datetime.now(UTC)) - timedelta(days=days)
    ended = [run for run in runs if run.status in ENDED]
    recent = [run for run in ended if run.time >= since]
    if not recent:
        what = f"has not run in the last {days} days" if ended else "has not run yet"
        last = f" (the last run was on {_time(ended[0])})" if ended else ""
        return _nothing(session, "warning", f"The monitor of {environment} {what}{last}: there is nothing to judge.")
    session.say(f"Looking at the runs of {session.monitor_name} of the last {days} days ...")
    newest: Finding | None = None
    series: list[Finding] = []
    for finding in _findings(session, ended):
        newest = newest or finding
        # What was found long before is another change, also when the monitor did not run or had no data meanwhile.
        if finding.run.time < (series[-1].run.time - timedelta(days=days) if series else since):
            break
        if finding.verdict == "drift":
            series.append(finding)
        elif series and finding.verdict == "no drift":
            break
    assert newest is not None
    if not series:
        return _nothing(session, *_no_alert(environment, days, newest))
    _say_drift(session, series[0], job_name(session, _answered(series, days).run))
    return True


def job_name(session: Session, run: MonitorRun) -> str:
    """Return the name of the training that answers an alert: valid for Azure ML, and always the same."""
    model = re.sub(r"[^A-Za-z0-9_-]", "-", session.config.model.name)
    return f"{model}-drift-{hashlib.sha256(run.name.encode()).hexdigest()[:12]}"


def _findings(session: Session, runs: list[MonitorRun]) -> Iterator[Finding]:
    """Give what each run has found, the newest first; Azure is asked for it one run after the other."""
    for run in runs:
        breaches = session.backend.breaches(run)
        verdict: Verdict = "no drift"
        if breaches:
            verdict = "drift"
        elif run.problem or (breaches is None and run.status == "Completed"):
            verdict = "no data"
        elif run.status != "Completed":
            verdict = "failed"
        yield Finding(run, verdict, breaches or [])


def _answered(series: list[Finding], days: int) -> Finding:
    """Return the alert, of a series with the newest first, that gives the training its name."""
    oldest_first = series[::-1]
    start, length = oldest_first[0].run.time, timedelta(days=days)
    part = (oldest_first[-1].run.time - start) // length
    return list(takewhile(lambda each: (each.run.time - start) // length >= part, series))[-1]


def _no_monitor(session: Session) -> tuple[outputs.Level, str]:
    environment = session.config.environment
    if not session.config.monitor.enabled:
        return "notice", f"Nothing watches {environment}: monitor.enabled is false in config/{environment}.yml."
    return "warning", f"There is no monitor in {environment}: run `{session.command('monitor')}`."


def _no_alert(environment: str, days: int, newest: Finding) -> tuple[outputs.Level, str]:
    """Return the line for what the newest run says, when no run found drift."""
    run = newest.run
    place = f"{run.name} of {_time(run)}"
    if newest.verdict == "no data":
        why = run.problem or "it compared nothing"
        return "warning", f"The monitor of {environment} has no data to judge, in run {place}: {why}"
    if newest.verdict == "failed":
        return "warning", f"The monitor of {environment} failed: run {place} is {run.status}. {run.studio}".rstrip()
    return "notice", f"No drift in {environment} in the last {days} days; the last run is {place}."


def _nothing(session: Session, level: outputs.Level, text: str) -> bool:
    outputs.annotate(level, f"Monitor of {session.config.environment}", text)
    outputs.add_summary(f"## Monitor of {session.config.environment}\n\n{text}")
    outputs.set_outputs(retrain=False, job="")
    return False


def _say_drift(session: Session, alert: Finding, job: str) -> None:
    environment, run = session.config.environment, alert.run
    rows = [
        [each.signal, each.feature, each.metric, _number(each.value), _number(each.threshold)]
        for each in alert.breaches
    ]
    signals = ", ".join(dict.fromkeys(each.signal for each in alert.breaches))
    text = f"Drift in {environment}, found by run {run.name} of {_time(run)}: {signals}. The training is {job}."
    head = ["signal", "feature", "metric", "value", "threshold"]
    session.say(outputs.table(head, rows).rstrip())
    charts = [[*row, _times(each.value, each.threshold)] for row, each in zip(rows, alert.breaches, strict=True)]
    shown = outputs.table([*head, "times the threshold"], charts)
    outputs.annotate("warning", f"Monitor of {environment}", text)
    link = f"\n[The run of the monitor]({run.studio})\n" if run.studio else ""
    outputs.add_summary(f"## Monitor of {environment}\n\n{text}\n\n{shown}{link}")
    outputs.set_outputs(retrain=True, job=job)


def _time(run: MonitorRun) -> str:
    return f"{run.time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _times(value: float | None, threshold: float | None) -> str:
    """Return a bar of which five characters are the threshold, and how many times that is; four times fill it."""
    if value is None or not threshold or value < 0:
        return ""
    return f"{outputs.bar(min(value / threshold, 4) / 4)} {value / threshold:.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
