"""A project against time: see `year`."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from small_project import set_key
from year import Year
from year_world import CHAIN

from mlops.config import Project

SEQUENCES = int(os.environ.get("SEQUENCES", "60"))


@pytest.fixture
def year(project: Project, monkeypatch: pytest.MonkeyPatch) -> type[Year]:
    for environment, following in zip(CHAIN, (*CHAIN[1:], ""), strict=True):
        file = project.root / "config" / f"{environment}.yml"
        set_key(file, "delivery", {"next": following})
        set_key(file, "monitor.enabled", environment == "prod")
    monkeypatch.setattr(Year, "project", project, raising=False)
    monkeypatch.setattr(Year, "begun", None)
    return Year


def test_nothing_that_a_year_brings_breaks_the_promises(year: type[Year]) -> None:
    run_state_machine_as_test(
        year,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if "SHRINK" in os.environ else [Phase.generate],
        ),
    )
    events, idle = year.totals["all"], year.totals["idle"]
    print(year.idle.most_common(12))
    print(f"{year.totals['sequences']} sequences, {events} events, {100 * (events - idle) / events:.0f} % effective")
