"""How a canary is watched: what is read of Azure's metrics, and what is decided from one look to the next.

What becomes of the traffic, in every mlops version, is in test_every_version.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from fake_az import metric

from mlops.azureml.request_metrics import RequestMetrics, read_requests
from mlops.config import Rollout
from mlops.errors import UserError
from mlops.verbs import canary

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUIET = RequestMetrics(0, 0, None)
GOOD = RequestMetrics(100, 1, 200.0)
BAD = RequestMetrics(100, 50, 200.0)


@dataclass
class Watch:
    """A canary, what each look at it finds (an error is raised), and what is said of it."""

    looks: Iterator[RequestMetrics | UserError]
    said: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    asked: list[tuple[str, datetime, datetime]] = field(default_factory=list)

    def request_metrics(self, deployment: str, since: datetime, until: datetime) -> RequestMetrics:
        """Be the backend."""
        self.asked.append((deployment, since, until))
        found = next(self.looks)
        if isinstance(found, UserError):
            raise found
        return found


@pytest.fixture
def watch() -> Callable[..., Watch]:
    """Watches a canary of some minutes that looks so, and returns what happened."""

    def act(*looks: RequestMetrics | UserError, minutes: float = 2, raises: str = "", **limits: Any) -> Watch:
        stage = Watch(iter(looks))
        config = SimpleNamespace(
            environment="dev", rollout=Rollout(canary_percent=10, canary_minutes=minutes, **limits)
        )
        session: Any = SimpleNamespace(backend=stage, config=config, dry_run=False, say=stage.said.append)
        if raises:
            with pytest.raises(UserError) as error:
                canary.watch(session, "green", minutes, stage.slept.append)
            assert raises in str(error.value)
            assert "\n" not in str(error.value)
        else:
            stage.said.append(canary.watch(session, "green", minutes, stage.slept.append))
        assert next(stage.looks, None) is None, "another look was expected"
        return stage

    return act


REFUSED = UserError("not now")


def test_a_canary_is_looked_at_each_minute_and_until_azure_knows_of_the_last_one(watch: Callable[..., Watch]) -> None:
    done = watch(QUIET, GOOD, GOOD, GOOD, GOOD, minutes=1.5)
    assert done.slept == [60, 30, 60, 60, 60]
    assert done.said[:4] == [
        "   1.5 minutes to go",
        "   no request is known of yet",
        "   0.5 minutes to go",
        "   100 requests, 1 failed (1.0 %), 95 % faster than 200 ms",
    ]
    assert done.said[-1] == "100 requests, 1 failed (1.0 %), 95 % faster than 200 ms"


def test_the_requests_of_the_smoke_test_are_not_counted(watch: Callable[..., Watch]) -> None:
    asked = watch(*[GOOD] * 5).asked
    # The clock of the tests begins half a minute after noon.
    assert {since for _, since, _ in asked} == {NOON + timedelta(minutes=1)}
    ends = [timedelta(minutes=2), *(timedelta(minutes=number, seconds=30) for number in range(2, 6))]
    assert [until - NOON for _, _, until in asked] == ends, "a query is for a full minute at least"


def test_a_canary_that_fails_ends_before_its_time(watch: Callable[..., Watch]) -> None:
    done = watch(
        BAD, minutes=30, raises="50 of 100 requests to the canary failed, 50.0 % (rollout.max_error_percent is 5)"
    )
    assert done.slept == [60]


def test_one_error_among_few_requests_ends_a_canary_only_when_its_time_is_over(watch: Callable[..., Watch]) -> None:
    few = RequestMetrics(canary.ENOUGH - 1, 1, 100.0)
    watch(few, few, few, few, GOOD)
    watch(few, few, few, few, few, raises="1 of 19 requests to the canary failed, 5.3 %")


def test_an_error_that_azure_learns_of_at_the_end_counts(watch: Callable[..., Watch]) -> None:
    watch(QUIET, QUIET, QUIET, QUIET, RequestMetrics(1, 1, None), raises="1 of 1 requests to the canary failed")


def test_what_is_exactly_at_a_threshold_does_not_exceed_it(watch: Callable[..., Watch]) -> None:
    watch(*[RequestMetrics(100, 5, 300.0)] * 5, max_latency_ms=300)
    watch(RequestMetrics(100, 6, 300.0), raises="6 of 100", max_latency_ms=300)
    watch(
        RequestMetrics(100, 5, 301.0), raises="longer than 301 ms (rollout.max_latency_ms is 300)", max_latency_ms=300
    )
    watch(RequestMetrics(1000, 1, 1.0), raises="1 of 1000", max_error_percent=0)


def test_both_thresholds_are_named_when_both_are_exceeded(watch: Callable[..., Watch]) -> None:
    watch(BAD, raises="is 5) and one request in twenty to the canary took longer than 200 ms", max_latency_ms=100)


def test_the_remedy_names_the_file_with_the_threshold(watch: Callable[..., Watch]) -> None:
    watch(
        BAD,
        raises="correct the model or its scoring code, whose log is above, or raise the threshold in config/dev.yml",
    )


def test_without_a_latency_the_errors_decide(watch: Callable[..., Watch]) -> None:
    unknown = RequestMetrics(100, 1, None)
    assert watch(*[unknown] * 5, max_latency_ms=1).said[-1] == "100 requests, 1 failed (1.0 %), of unknown latency"


def test_no_traffic_is_a_warning_and_no_success(
    watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    text = "no request reached the canary in 2 minutes: nothing is known of it under load"
    assert watch(*[QUIET] * 5).said[-1] == text
    assert f"::warning title=canary in dev::{text}" in capfd.readouterr().out


def test_no_traffic_is_an_error_where_the_configuration_says_so(watch: Callable[..., Watch]) -> None:
    watch(*[QUIET] * 5, raises="or write rollout.without_traffic: warn into config/dev.yml", without_traffic="stop")


def test_one_look_may_fail_and_two_in_a_row_may_not(watch: Callable[..., Watch]) -> None:
    watch(REFUSED, GOOD, REFUSED, GOOD, GOOD)
    watch(GOOD, REFUSED, REFUSED, raises="the canary cannot be watched: not now")


def test_the_last_look_is_repeated_when_it_fails(watch: Callable[..., Watch]) -> None:
    watch(QUIET, QUIET, QUIET, QUIET, REFUSED, BAD, raises="50 of 100 requests")


def test_a_canary_of_no_minutes_is_not_watched_and_says_so(watch: Callable[..., Watch]) -> None:
    done = watch(minutes=0)
    assert (done.slept, done.said[-1]) == ([], "not watched")


# What is read of Azure's answers.


def read(since: datetime = NOON, **callers: Mapping[str, Any]) -> RequestMetrics:
    """Read three minutes after noon of the canary green."""

    def query(name: str, series: str) -> Mapping[str, Any]:
        return metric(callers, name, series, "2026-01-01T12:00:00Z", "2026-01-01T12:03:00Z", "100")

    return read_requests(query, "green", since)


@pytest.mark.parametrize(
    ("codes", "found"),
    [
        ({"200": 5}, (15, 0)),
        ({"200": 5, "500": 1, "503": 1}, (21, 6)),
        ({"200": 5, "408": 1, "429": 1}, (21, 6)),
        ({"200": 5, "424 500": 2}, (21, 6)),
        ({"200": 5, "424 400": 2}, (15, 0)),
        ({"200": 5, "424 400": 2, "424 500": 1}, (18, 3)),
        ({"400": 5, "401": 5, "404": 5, "413": 5}, (0, 0)),
        ({}, (0, 0)),
    ],
)
def test_a_failure_is_what_the_caller_could_not_have_prevented(codes: dict[str, int], found: tuple[int, int]) -> None:
    calls = {"codes": codes, "latency": 100, "late": 0}
    result = read(green=calls, blue={"codes": {"200": 70, "500": 30}, "latency": 9000, "late": 0})
    assert (result.requests, result.failed) == found


def test_what_came_before_the_canary_is_not_counted() -> None:
    calls = {"codes": {"200": 5}, "latency": 100, "late": 0}
    assert read(NOON + timedelta(minutes=1), green=calls) == RequestMetrics(10, 0, 100.0)


def test_a_minute_that_azure_does_not_know_of_yet_is_no_minute_without_errors() -> None:
    assert read(green={"codes": {"200": 5}, "latency": 100, "late": 2}) == RequestMetrics(5, 0, 100.0)
    assert read(green={"codes": {"200": 5}, "latency": 100, "late": 3}) == QUIET


def test_a_minute_with_many_requests_decides_more_about_the_latency() -> None:
    def query(name: str, series: str) -> Mapping[str, Any]:
        values = {"RequestsPerMinute": (90, 10), "RequestLatency_P95": (100, 1100)}[name]
        points = [
            {"timeStamp": f"2026-01-01T12:0{minute}:00Z", "average": value} for minute, value in enumerate(values)
        ]
        label = {"name": {"value": "statuscode"}, "value": "200"}
        return {"value": [{"timeseries": [{"metadatavalues": [label], "data": points}]}]}

    assert read_requests(query, "green", NOON) == RequestMetrics(100, 0, 200.0)


def test_an_endpoint_without_any_request_has_no_metrics() -> None:
    assert read_requests(lambda name, series: {"value": []}, "green", NOON) == QUIET


def test_a_canary_that_refuses_what_the_old_deployment_answers_is_stopped(watch: Callable[..., Watch]) -> None:
    """As after a change of the schema, which callers do not know of."""
    refuses = RequestMetrics(10, 0, 200.0, 990)
    watch(refuses, raises="the canary refused 990 of 1000 requests as mistakes of their callers, 99.0 %")
    nothing_else = RequestMetrics(0, 0, None, 3)
    watch(*[nothing_else] * 4, minutes=1, raises="the canary refused 3 of 3 requests")


def test_few_mistakes_of_callers_stop_no_canary(watch: Callable[..., Watch]) -> None:
    few = RequestMetrics(9, 0, 200.0, 2)
    done = watch(few, few, few, few, few)
    assert done.said[-1] == "9 requests, 0 failed (0.0 %), 95 % faster than 200 ms, 2 more refused as mistakes"


def test_what_the_old_deployment_refuses_too_is_usual() -> None:
    looks = {"green": RequestMetrics(60, 0, 200.0, 40), "blue": RequestMetrics(600, 0, 200.0, 390)}
    seen: list[str] = []

    def metrics(deployment: str, since: datetime, until: datetime) -> RequestMetrics:
        seen.append(deployment)
        return looks[deployment]

    config = SimpleNamespace(environment="dev", rollout=Rollout(canary_percent=10, canary_minutes=1))
    backend = SimpleNamespace(request_metrics=metrics)
    session: Any = SimpleNamespace(backend=backend, config=config, dry_run=False, say=lambda text: None)
    assert "40 more refused" in canary.watch(session, "green", 1, lambda seconds: None, old="blue")
    looks["blue"] = RequestMetrics(600, 0, 200.0, 10)
    with pytest.raises(UserError, match=r"40\.0 % \(the old deployment 1\.6 %"):
        canary.watch(session, "green", 1, lambda seconds: None, old="blue")
