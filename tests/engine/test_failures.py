"""Whatever happens to a run of the local loop or to its files, no model is lost, and the next run is green.

`make failures`, which CI runs, injects 200; the same number gives the same failures. `make test` leaves them out.
"""

import os
import random
import re
import shutil
import signal
import sqlite3
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from quick_loop import Failure, Loop, Outcome, create_loop

from mlops.local.store import _named, held, write_whole

FAILURES = int(os.environ.get("FAILURES", "20"))
SIGNALS = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143}
ERRORS = ("ENOSPC", "EACCES", "EIO", "EFBIG")
OPERATIONS = 420
"""About how many operations on files and database a run has."""
DAMAGE = ("truncated", "empty", "rubbish", "deleted", "replaced")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """The project after its first run."""
    loop = create_loop(tmp_path_factory.mktemp("a user's folder"))
    loop.set_number(1)
    assert loop.run().code == 0
    assert loop.versions() == {1: 1.0}
    shutil.copytree(loop.local, loop.scratch / "local")
    return loop


@pytest.fixture
def loop(base: Loop) -> Iterator[Loop]:
    """The project after its first run, whatever another test has done to it."""
    restore(base, base.scratch / "local")
    base.set_number(1)
    yield base
    base.kill()


def restore(loop: Loop, copy: Path) -> None:
    """Bring `.local` back from a copy."""
    if loop.local.is_dir():
        shutil.rmtree(loop.local)
    loop.local.unlink(missing_ok=True)
    shutil.copytree(copy, loop.local)


def assert_one_line(outcome: Outcome) -> None:
    """Check that a command ended well, or with one line for its user."""
    assert "Traceback" not in outcome.output + outcome.errors, outcome.errors
    if outcome.code == 0:
        assert not outcome.errors
        return
    assert outcome.code == 1, outcome
    (line,) = outcome.errors.splitlines()
    assert line.startswith("error: ")


def assert_green(loop: Loop, outcome: Outcome, number: float, before: dict[int, float]) -> None:
    """Check that a run has registered the number, unless the run before had, and left all else as it was."""
    assert outcome.code == 0, outcome
    assert not outcome.errors
    after = loop.versions()
    assert after.items() >= before.items()
    assert list(after.values()).count(number) == 1
    assert after[max(after)] == number
    assert f"[{number:g}, {number:g}, {number:g}]" in outcome.output
    assert loop.running() == []
    assert (loop.local / "report" / "index.html").read_text(encoding="utf-8").endswith("</html>")


def next_number(loop: Loop) -> float:
    """Let the next model be better than the champion."""
    number = max(loop.versions().values()) + 1
    loop.set_number(int(number))
    return number


@pytest.mark.parametrize("part", [1, 2, 3], ids="part{}".format)
def test_no_failure_of_a_run_costs_a_model_or_the_next_run(part: int, loop: Loop) -> None:
    chance = random.Random(part)
    seen: Counter[str] = Counter()
    for turn in range(turns := 1 + FAILURES * 7 // 30):
        before, number = loop.versions(), next_number(loop)
        if turn % 10 == 9:  # the database is made anew
            shutil.rmtree(loop.local)
            before = {}
        kind = [*SIGNALS, *ERRORS][turn % 7]
        failure = Failure(kind, chance.randrange(1, OPERATIONS), lasting=kind in ERRORS and chance.random() < 0.5)
        outcome = loop.run(failure)
        seen["came" if outcome.came else "did not come"] += 1
        assert loop.versions().items() >= before.items(), failure
        if kind == "SIGKILL":
            assert outcome.code in (-9, 0), (failure, outcome)
        elif kind in SIGNALS and outcome.code != 0:
            assert (outcome.code, outcome.errors) == (SIGNALS[kind], "stopped\n"), (failure, outcome)
            assert loop.running() == [], failure
        else:
            assert_one_line(outcome)
        assert_green(loop, loop.run(), number, before)
    assert seen["came"] > 0.8 * turns, seen


def test_no_damaged_file_costs_the_other_models_and_restoring_it_is_enough(loop: Loop) -> None:
    next_number(loop)
    assert loop.run().code == 0
    copy, chance = loop.scratch / "two versions", random.Random(18)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(loop.local, copy)
    before, number = loop.versions(), next_number(loop)
    models = sorted(copy.rglob("artifacts/*/artifacts/model/*"))
    important = [copy / "mlflow.db", copy / "report" / "index.html", *models]
    everything = sorted(path for path in copy.rglob("*") if path.is_file() and path not in important)
    for turn in range(FAILURES // 4):
        kind = DAMAGE[turn % len(DAMAGE)]
        file = chance.choice(important if turn % 2 else everything)
        damaged = loop.local / file.relative_to(copy)
        damage(damaged, kind, chance)
        outcome = loop.run()
        assert_one_line(outcome)
        if outcome.code:
            assert str(loop.local) in outcome.errors, (kind, file, outcome)
        for path in (loop.local / each.relative_to(copy) for each in models):
            assert path == damaged or path.is_file(), (kind, file, path)
        restore(loop, copy)
        if turn % 5 == 4:
            assert_green(loop, loop.run(), number, before)
            restore(loop, copy)


def damage(file: Path, kind: str, chance: random.Random) -> None:
    """Do something to a file."""
    content = file.read_bytes()
    file.unlink()
    match kind:
        case "truncated":
            file.write_bytes(content[: chance.randrange(len(content) + 1)])
        case "empty":
            file.touch()
        case "rubbish":
            file.write_bytes(chance.randbytes(len(content) or 100))
        case "replaced":
            file.mkdir()


def test_of_two_runs_at_once_the_second_one_waits_and_says_for_whom(loop: Loop) -> None:
    for fresh in [True, False] * max(1, FAILURES // 40):
        if fresh:
            shutil.rmtree(loop.local)
        before, number = loop.versions(), 1.0 if fresh else next_number(loop)
        loop.set_number(int(number))
        both = [loop.start(), loop.start()]
        first, second = outcomes = [run.end() for run in both]
        for outcome in outcomes:
            assert_green(loop, outcome, number, before)
        (waited,) = [n for n, outcome in enumerate(outcomes) if "waiting" in outcome.output]
        assert f"waiting    for the run of process {both[1 - waited].process}, begun at " in outcomes[waited].output
        assert "stays the champion" in (first, second)[waited].output


def test_who_does_not_wait_ends_in_one_line_and_leaves_the_folder_to_the_other_run(loop: Loop) -> None:
    with held(loop.local):
        outcome = loop.run(None, "local", "--skip-lint", "--no-wait")
        assert (outcome.code, outcome.output) == (1, "")
        assert re.fullmatch(
            rf"error: the run of process {os.getpid()}, begun at [\d:]+, uses {re.escape(str(loop.local))}: "
            r"repeat this without --no-wait, or when that has ended\n",
            outcome.errors,
        )
        assert (loop.local / "lock.txt").is_file()


def test_who_waits_names_no_run_that_has_ended_and_reads_no_half_of_a_name(tmp_path: Path) -> None:
    with held(tmp_path):
        assert _named(tmp_path / "lock.txt").startswith(f"the run of process {os.getpid()}, begun at ")
    later = threading.Timer(0.2, write_whole, (tmp_path / "lock.txt", "the run of process 7"))
    later.start()
    assert _named(tmp_path / "lock.txt") == "the run of process 7"
    (tmp_path / "lock.txt").unlink()
    assert _named(tmp_path / "lock.txt") == "another run"


def test_who_waits_can_be_stopped_and_a_dead_process_holds_no_run_up(loop: Loop) -> None:
    first = loop.start()
    first.wait_for("tracking")
    os.kill(first.process, signal.SIGSTOP)
    second = loop.start()
    second.wait_for("waiting")
    os.kill(second.process, signal.SIGINT)
    assert second.end()[::2] == (130, "stopped\n")
    os.kill(first.process, signal.SIGKILL)
    assert first.end().code == -9
    assert len(loop.running()) >= 1
    assert_green(loop, outcome := loop.run(), 1, {1: 1.0})
    assert "runs of a process that was killed are marked so" in outcome.output
    assert "waiting" not in outcome.output


def test_the_open_run_of_a_notebook_stays_open(loop: Loop) -> None:
    with closing(sqlite3.connect(loop.local / "mlflow.db")) as database:
        database.execute("CREATE TEMPORARY TABLE copy AS SELECT * FROM runs LIMIT 1")
        database.execute("UPDATE copy SET run_uuid = 'aa', name = 'notebook', status = 'RUNNING'")
        database.execute("INSERT INTO runs SELECT * FROM copy")
        database.commit()
    assert loop.run().code == 0
    assert loop.running() == ["notebook"]


def test_an_endpoint_keeps_its_log_and_its_model_while_a_run_goes_on(loop: Loop) -> None:
    endpoint = loop.start(None, "serve", "--port", "0")
    printed = endpoint.wait_for("Ctrl-C stops it.")
    (url,) = [line.split()[1] for line in printed.splitlines() if line.startswith("endpoint")]
    (log,) = [Path(line.split(maxsplit=1)[1]) for line in printed.splitlines() if line.startswith("log")]
    (request,) = [Path(line.split(maxsplit=1)[1]) for line in printed.splitlines() if line.startswith("request")]
    before = log.read_text(encoding="utf-8")
    assert before
    number = next_number(loop)
    assert_green(loop, loop.run(), number, {1: 1.0})
    call = urllib.request.Request(url, request.read_bytes(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(call) as answer:
        assert answer.read() == b'{"predictions": [1.0, 1.0, 1.0]}'
    assert log.read_text(encoding="utf-8").startswith(before)
    os.kill(endpoint.process, signal.SIGINT)
    assert endpoint.end().output.endswith("stopped\n")
    assert not (log.parent / "models").exists()


@pytest.mark.parametrize("command", [("local", "--skip-lint"), ("serve", "--port", "0")])
@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("EROFS", "the disk is read-only: make it writable, or set MLOPS_LOCAL_DIR to another folder"),
        ("EACCES", "permission denied: check who may read and write it, or set MLOPS_LOCAL_DIR to another folder"),
        ("ENOSPC", "no space left: free some, and run it again"),
        ("EIO", "the disk cannot read or write it"),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line(
    loop: Loop, kind: str, remedy: str, command: tuple[str, ...]
) -> None:
    outcome = loop.run(Failure(kind, 1, lasting=True), *command)
    assert outcome.code == 1
    assert_one_line(outcome)
    assert f"{loop.local}" in outcome.errors
    assert remedy in outcome.errors


def test_a_file_in_the_place_of_the_folder_is_one_line(loop: Loop) -> None:
    shutil.rmtree(loop.local)
    loop.local.write_text("mine")
    for command in (("local", "--skip-lint"), ("tune",)):
        outcome = loop.run(None, *command)
        assert outcome.code == 1
        assert_one_line(outcome)
    outcome = loop.run()
    assert outcome.errors == f"error: {loop.local}: a folder is needed, and this is a file: move it elsewhere\n"
    assert loop.local.read_text() == "mine"


def test_a_folder_of_another_place_is_refused(loop: Loop) -> None:
    elsewhere = loop.local.with_name("elsewhere")
    loop.local.rename(elsewhere)
    shutil.copytree(elsewhere, loop.local)
    with closing(sqlite3.connect(loop.local / "mlflow.db")) as database:
        database.execute("UPDATE experiments SET artifact_location = replace(artifact_location, '.local', 'elsewhere')")
        database.commit()
    outcome = loop.run()
    shutil.rmtree(elsewhere)
    assert outcome.code == 1
    assert_one_line(outcome)
    assert f"error: {loop.local} was made in another place, and keeps the files" in outcome.errors
    assert f"in {elsewhere / 'artifacts'}: move it back there, or delete {loop.local}" in outcome.errors


def test_a_database_of_another_program_stays_as_it_is(loop: Loop) -> None:
    store = loop.local / "mlflow.db"
    store.unlink()
    with closing(sqlite3.connect(store)) as database:
        database.execute("CREATE TABLE mine (x)")
        database.commit()
    before = store.read_bytes()
    for command in (("local", "--skip-lint"), ("serve", "--port", "0")):
        outcome = loop.run(None, *command)
        assert outcome.errors == f"error: {store} is no database of MLflow: move it elsewhere\n"
    assert store.read_bytes() == before


def test_a_database_of_another_version_of_mlflow_names_the_command_that_upgrades_it(loop: Loop) -> None:
    with closing(sqlite3.connect(loop.local / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'cbc13b556ace'")
        database.commit()
    outcome = loop.run()
    assert_one_line(outcome)
    assert "is of another version of MLflow: `uv run mlflow db upgrade sqlite:///" in outcome.errors


def test_a_database_that_another_program_has_locked_names_the_remedy(loop: Loop) -> None:
    outcome = loop.run(Failure("EBUSY", 8, lasting=True))
    assert outcome.code == 1
    assert_one_line(outcome)
    assert "another program has locked it: end that program, and run it again" in outcome.errors


def test_a_lost_database_is_told_and_the_files_of_its_models_stay(loop: Loop) -> None:
    files = sorted(path for path in (loop.local / "artifacts").rglob("*") if path.is_file())
    (loop.local / "mlflow.db").unlink()
    outcome = loop.run()
    assert outcome.code == 0
    assert "mlflow.db is gone: the runs and models of before are not known, their files stay" in outcome.output
    assert all(path.is_file() for path in files)


def test_a_deleted_experiment_names_the_command_that_restores_it(loop: Loop) -> None:
    with closing(sqlite3.connect(loop.local / "mlflow.db")) as database:
        database.execute("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE experiment_id <> 0")
        database.commit()
    outcome = loop.run()
    assert_one_line(outcome)
    assert "was deleted in MLflow: `uv run mlflow experiments restore --experiment-id 1` restores it" in outcome.errors


def test_an_endpoint_does_not_answer_with_files_that_were_not_registered(loop: Loop) -> None:
    (file,) = loop.local.rglob("artifacts/*/artifacts/model/factor.txt")
    file.write_text("7")
    outcome = loop.run(None, "serve", "--port", "0")
    assert_one_line(outcome)
    assert "the files of version 1 are damaged" in outcome.errors
