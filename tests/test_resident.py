"""The process in which tests run modules of projects with libraries that are imported once; see resident.py."""

from conftest import Render, Run

KEEP = "import json, os, sys; json.kept = True; os.environ['KEPT'] = '1'; sys.path.append('kept'); os.chdir(os.sep)"
LOOK = "import json, os, sys; print(hasattr(json, 'kept'), 'KEPT' in os.environ, 'kept' in sys.path, os.getcwd())"


def test_a_run_leaves_nothing_for_the_next_one(render: Render, run_with_others: Run) -> None:
    project = render().resolve()
    assert run_with_others(project, "-c", KEEP).returncode == 0
    assert run_with_others(project, "-c", LOOK).stdout == f"False False False {project}\n"


def test_a_run_that_fails_is_killed_or_takes_too_long_is_answered_and_the_next_one_works(
    render: Render, run_with_others: Run
) -> None:
    project = render()
    failed = run_with_others(project, "-c", "import sys; print('before'); sys.exit('why')")
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "before\n", "why\n")
    assert run_with_others(project, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").returncode == -11
    assert run_with_others(project, "-c", "import time; time.sleep(600)", timeout=1).returncode == -9
    assert run_with_others(project, "-c", "print(1)").stdout == "1\n"
