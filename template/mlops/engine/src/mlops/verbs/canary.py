"""How the canary of a rollout does: its share of failed requests and its latency, against the configuration."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from mlops.azureml.request_metrics import RequestMetrics
from mlops.errors import UserError
from mlops.outputs import annotate
from mlops.verbs.session import Session

MINUTE = timedelta(minutes=1)

LATE_MINUTES = 3
"""How long Azure Monitor is given to learn of the last minutes.

A platform metric is there within a minute and exported within three more (Microsoft's data-ingestion-time).
"""

ENOUGH = 20
"""How many requests end a canary before its time: among fewer, one error by chance would be a large share."""


def watch(
    session: Session, deployment: str, minutes: float, sleep: Callable[[float], None], *, old: str | None = None
) -> str:
    """Look at the requests of a canary each minute, until its time is over and Azure knows of all of it.

    Args:
        session: The environment.
        deployment: The canary, which has its share of the traffic already.
        minutes: How long it keeps that; a canary of 0 minutes is not watched.
        sleep: Waits for some seconds.
        old: The deployment that has the rest of the traffic, whose share of refused requests is the usual one.

    Returns:
        What was seen, as a sentence for the page of the run.

    Raises:
        UserError: A threshold is exceeded; no request came, and the configuration does not accept that; or Azure
            Monitor refuses to answer two times in a row.
    """
    if not minutes:
        session.say("   for 0 minutes: it is not watched")
        return "not watched"
    # The smoke test before the canary was in an earlier minute.
    since = clock().replace(second=0, microsecond=0) + MINUTE
    if session.dry_run:
        session.backend.request_metrics(deployment, since, since + MINUTE)
        return ""
    elapsed, missed, found = 0.0, False, RequestMetrics(0, 0, None)
    while missed or elapsed < minutes + LATE_MINUTES:
        left = minutes - elapsed
        session.say(f"   {_minutes(left)} to go" if left > 0 else "   waiting for the metrics of the last minutes")
        step = min(left, 1) if left > 0 else 1
        sleep(60 * step)
        elapsed += step
        try:
            found = session.backend.request_metrics(deployment, since, max(clock(), since + MINUTE))
        except UserError as error:
            if missed:
                raise UserError(f"the canary cannot be watched: {error}") from error
            session.say(f"   its metrics cannot be read, which is tried once more: {error}")
            missed = True
            continue
        missed = False
        session.say(f"   {describe(found)}")
        if found.requests + found.refused >= ENOUGH:
            check(session, found, _usual(session, old, since, found))
    check(session, found, _usual(session, old, since, found))
    if found.requests or found.refused:
        return describe(found)
    return _without_traffic(session, minutes)


def _usual(session: Session, old: str | None, since: datetime, found: RequestMetrics) -> float:
    """Return the share in percent of the requests that the old deployment refuses, where it matters."""
    return session.backend.request_metrics(old, since, clock()).refused_percent if old and found.refused else 0.0


def check(session: Session, found: RequestMetrics, usual: float = 0.0) -> None:
    """Compare what was seen of a canary with the thresholds of the configuration.

    A caller's mistake is no error, but a canary that refuses more than the old deployment does wants other requests.

    Args:
        session: The environment.
        found: What was seen.
        usual: The share in percent of the requests that the old deployment refuses.

    Raises:
        UserError: One is exceeded.
    """
    limits, problems = session.config.rollout, []
    if found.error_percent > limits.max_error_percent:
        problems.append(
            f"{found.failed} of {found.requests} requests to the canary failed, {found.error_percent:.1f} % "
            f"(rollout.max_error_percent is {limits.max_error_percent:g})"
        )
    total = found.requests + found.refused
    # Of a few requests one may be a mistake indeed; where nothing else came it is all that is known.
    if found.refused_percent > usual + limits.max_error_percent and (total >= ENOUGH or not found.requests):
        problems.append(
            f"the canary refused {found.refused} of {total} requests as mistakes of their "
            f"callers, {found.refused_percent:.1f} % (the old deployment {usual:.1f} %, and "
            f"rollout.max_error_percent is {limits.max_error_percent:g})"
        )
    if limits.max_latency_ms is not None and (found.latency_ms or 0) > limits.max_latency_ms:
        problems.append(
            f"one request in twenty to the canary took longer than {found.latency_ms:.0f} ms (rollout.max_latency_ms "
            f"is {limits.max_latency_ms})"
        )
    if problems:
        raise UserError(
            f"{' and '.join(problems)}: correct the model or its scoring code, whose log is above, or raise the "
            f"threshold in config/{session.config.environment}.yml"
        )


def describe(found: RequestMetrics) -> str:
    """Return what is known of a canary, as part of a sentence."""
    if not (found.requests or found.refused):
        return "no request is known of yet"
    slow = "of unknown latency" if found.latency_ms is None else f"95 % faster than {found.latency_ms:.0f} ms"
    refused = f", {found.refused} more refused as mistakes" if found.refused else ""
    return f"{found.requests} requests, {found.failed} failed ({found.error_percent:.1f} %), {slow}{refused}"


def _without_traffic(session: Session, minutes: float) -> str:
    text = f"no request reached the canary in {_minutes(minutes)}: nothing is known of it under load"
    if session.config.rollout.without_traffic == "stop":
        raise UserError(
            f"{text}; repeat it while the endpoint has callers, or write rollout.without_traffic: warn into "
            f"config/{session.config.environment}.yml"
        )
    annotate("warning", f"canary in {session.config.environment}", text)
    return text


def _minutes(number: float) -> str:
    return f"{number:g} minute" if number == 1 else f"{number:g} minutes"


def clock() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)
