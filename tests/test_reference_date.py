"""The suite gives the same result in a year: it reads no clock, and resolves packages as of a recorded day.

What changes with time is the business of `make freshness` and of the nightly workflow.
"""

import ast
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from combinations import ROOT
from conftest import Render
from reference_date import EXCLUDE_NEWER, RECORDED, TODAY

CLOCKS = {
    "date": {"today"},
    "datetime": {"now", "today", "utcnow"},
    "time": {"asctime", "ctime", "gmtime", "localtime", "strftime", "time", "time_ns"},
}
"""What tells the time of day, by the class or module it belongs to; a stopwatch such as `time.monotonic` does not."""


def clocks(code: str) -> list[str]:
    """What in this code reads the clock."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
                read = [name]
            case ast.ImportFrom(module="time" as owner, names=names):
                read = [each.name for each in names]
            case _:
                continue
        found += [f"{owner}.{name}" for name in read if name in CLOCKS.get(owner, ())]
    return found


def test_no_test_reads_the_clock() -> None:
    modules = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "template").rglob("tests/**/*.py")]
    assert len(modules) > 50
    found = {path.relative_to(ROOT).as_posix(): clocks(path.read_text(encoding="utf-8")) for path in modules}
    assert {name: read for name, read in found.items() if read} == {}


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("datetime.now(UTC)", ["datetime.now"]),
        ("datetime.datetime.utcnow()", ["datetime.utcnow"]),
        ("x = datetime.date.today().year", ["date.today"]),
        ("pytest.param(default=date.today)", ["date.today"]),
        ("time.time() + 3600", ["time.time"]),
        ("from time import perf_counter, time", ["time.time"]),
        ("time.sleep(time.monotonic() - started)", []),
        ("datetime(2026, 11, 28, tzinfo=UTC).time()", []),
    ],
)
def test_a_clock_is_noticed(code: str, read: list[str]) -> None:
    assert clocks(code) == read


def test_uv_resolves_as_of_the_reference_date_in_make_and_in_tests() -> None:
    assert RECORDED.endswith("T00:00:00Z"), "a plain date means another moment in each time zone"
    assert os.environ["UV_EXCLUDE_NEWER"] == EXCLUDE_NEWER == f"{TODAY}T00:00:00Z"
    assert make("show", "--eval", "show: ; @echo $$UV_EXCLUDE_NEWER") == [RECORDED]
    assert make("show", "TODAY=2027-01-31", "--eval", "show: ; @echo $$UV_EXCLUDE_NEWER") == ["2027-01-31T00:00:00Z"]


def test_a_project_resolves_what_there_is(render: Render) -> None:
    assert "exclude-newer" not in (render() / "pyproject.toml").read_text(encoding="utf-8")


def test_every_benchmark_is_run_by_make() -> None:
    run = " ".join(make("benchmark", "--dry-run")).split()
    scripts = [path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks").rglob("*.py")]
    assert len(scripts) >= 3
    assert [script for script in scripts if script not in run] == []


def test_ci_runs_the_benchmarks_once() -> None:
    for name in (".ci/run", ".github/workflows/ci.yml"):
        assert "make -j2 -O benchmark ROUNDS=1" in (ROOT / name).read_text(encoding="utf-8"), name


def test_ci_runs_each_benchmark_for_one_round() -> None:
    lines = [line for line in make("benchmark", "--dry-run", "ROUNDS=1") if "python benchmarks/" in line]
    assert [line for line in lines if not line.endswith(("--rounds 1", "parity.py"))] == []
    assert len(lines) == 10


def test_a_part_of_the_menu_has_its_benchmarks_alone() -> None:
    run = " ".join(make("benchmark", "--dry-run", "ONLY=project_type=classical,cv orchestration=github-actions"))
    assert "tables_training.py" in run
    assert "cv_training.py" in run
    assert "nlp" not in run


NOT_PASSED_ON = ("TODAY", "ONLY", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


def make(*arguments: str) -> list[str]:
    """What make prints, without the day and the part of the menu that this run of the tests has."""
    env = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout.splitlines()


# --- The nightly workflow: its steps, with stand-ins for what they call.

PYTEST = """\
=================================== FAILURES ===================================
tests/test_freshness.py:181: in test_no_project_starts_on_what_is_retired_or_near_its_end
E   AssertionError: train.yml: Python 3.11 ended on 2027-10-31 (PEP 664)
E     training.yml: image openmpi5.0-ubuntu24.04:20260715.v1 is 184 days old
E   assert not ['train.yml: ...', 'training.yml: ...']
E   AssertionError: train.yml: Python 3.11 ended on 2027-10-31 (PEP 664)
E   assert not ['train.yml: ...']
"""
FINDINGS = """\
- train.yml: Python 3.11 ended on 2027-10-31 (PEP 664)
- training.yml: image openmpi5.0-ubuntu24.04:20260715.v1 is 184 days old
"""


def run_step(job: str, folder: Path, program: str, script: str, **env: str) -> int:
    """Run the last step of a nightly job in a folder, with this script in place of a program; give its exit status."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8"))
    (folder / program).write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    (folder / program).chmod(0o755)
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "GITHUB_OUTPUT": str(folder / "output")} | env
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", workflow["jobs"][job]["steps"][-1]["run"]]
    return subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True).returncode


def test_the_nightly_run_hands_on_each_finding_once(tmp_path: Path) -> None:
    (tmp_path / "pytest.txt").write_text(PYTEST, encoding="utf-8")
    assert run_step("freshness", tmp_path, "make", "cat pytest.txt; exit 2\n") == 1
    assert (tmp_path / "output").read_text(encoding="utf-8") == f"findings<<END\n{FINDINGS}\nEND\n"


def test_a_fresh_template_has_no_findings(tmp_path: Path) -> None:
    assert run_step("freshness", tmp_path, "make", "echo 35 passed\n") == 0
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("number", "call"), [("", "issue create --title The template has aged"), ("7", "issue edit 7")], ids=["new", "open"]
)
def test_the_findings_are_one_issue(number: str, call: str, tmp_path: Path) -> None:
    answer = f'printf "%s\\n" "$*" >> calls\n[ "$2" != list ] || echo {number}\n'
    env = {"TITLE": "The template has aged", "FINDINGS": FINDINGS, "FRESHNESS": "failure", "TESTS": "success"}
    assert run_step("report", tmp_path, "gh", answer, RUN="https://example.com/run", **env) == 0
    listed, told = (tmp_path / "calls").read_text(encoding="utf-8").split("\n", 1)
    assert listed.startswith("issue list --app github-actions --state open --search")
    assert told.startswith(f"{call} --body [As of ")
    assert FINDINGS in told
    assert "`make freshness`: failure; tests with the packages of today: success." in told
