"""Whatever happens to a run of the local loop, no model is lost, and the next run is green.

`FAULTS=200` is what CI injects (`make faults`); the same numbers give the same faults.
"""

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from quick_loop import Fault, Loop, Outcome, create_loop

FAULTS = int(os.environ.get("FAULTS", "24"))
SIGNALS = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143}
ERRORS = ("ENOSPC", "EACCES", "EIO", "EFBIG")
OPERATIONS = 420
"""About how many operations on files and database a run has."""
DAMAGE = ("truncated", "empty", "rubbish", "deleted", "replaced")


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """The project after its first run."""
    loop = create_loop(tmp_path_factory.mktemp("quick loop"))
    loop.set_number(1)
    assert loop.run().code == 0
    assert loop.versions() == {1: 1.0}
    return loop


def assert_one_line(outcome: Outcome) -> None:
    """Check that a command ended well, or with one line for its user."""
    assert "Traceback" not in outcome.output + outcome.errors, outcome.errors
    if outcome.code == 0:
        assert not outcome.errors
        return
    assert outcome.code == 1, outcome
    (line,) = outcome.errors.splitlines()
    assert line.startswith("error: ")


def assert_next_run_is_green(loop: Loop, number: int, before: dict[int, float]) -> None:
    """Check that a run registers the number, unless the run before has, and leaves all else as it was."""
    outcome = loop.run()
    assert outcome.code == 0, outcome
    assert not outcome.errors
    after = loop.versions()
    assert after.items() >= before.items()
    assert list(after.values()).count(number) == 1
    assert after[max(after)] == number
    assert f"scored     3 rows by http://127.0.0.1" in outcome.output
    assert f"[{number}, {number}, {number}]" in outcome.output
    assert loop.running() == []
    assert (loop.local / "report" / "index.html").read_text(encoding="utf-8").endswith("</html>")


def test_no_fault_of_a_run_costs_a_model_or_the_next_run(loop: Loop) -> None:
    chance = random.Random(18)
    seen: Counter[str] = Counter()
    for turn in range(FAULTS):
        number = max(loop.versions().values()) + 1
        loop.set_number(int(number))
        before = loop.versions()
        kind = [*SIGNALS, *ERRORS][turn % 7]
        fault = Fault(kind, chance.randrange(1, OPERATIONS), lasting=kind in ERRORS and chance.random() < 0.5)
        outcome = loop.run(fault)
        seen[f"{kind} {'came' if outcome.came else 'did not come'}"] += 1
        assert loop.versions().items() >= before.items(), fault
        if kind == "SIGKILL":
            assert outcome.code in (-9, 0), (fault, outcome)
        elif kind in SIGNALS and outcome.code != 0:
            assert (outcome.code, outcome.errors) == (SIGNALS[kind], "stopped\n"), (fault, outcome)
            assert loop.running() == [], fault
        else:
            assert_one_line(outcome)
        assert_next_run_is_green(loop, int(number), before)
    print(dict(seen))
    assert sum(count for what, count in seen.items() if what.endswith(" came")) > 0.8 * FAULTS
