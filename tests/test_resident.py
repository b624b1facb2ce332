"""The process in which tests run modules of projects with libraries that are imported once; see resident.py."""

import re
from pathlib import Path

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


DATABASES = """
import sqlite3, sqlalchemy
from mlflow.store.db import utils

for name, make in (("copied.db", utils._initialize_tables), ("made.db", utils._initialize_tables.__wrapped__)):
    make(sqlalchemy.create_engine(f"sqlite:///{name}"))
# Each process has its own order of the constraints of a table.
copied, made = (
    sorted(sorted(line.strip(", ") for line in each.splitlines()) for each in sqlite3.connect(name).iterdump())
    for name in ("copied.db", "made.db")
)
print(len(made), copied == made, *(each for each in made if each not in copied))
with sqlite3.connect("old.db") as old:
    old.execute("CREATE TABLE kept (number)")
utils._initialize_tables(sqlalchemy.create_engine("sqlite:///old.db"))
print(sum(map("CREATE TABLE kept".__eq__, [line[:17] for line in old.iterdump()])))
"""


def test_a_database_of_mlflow_is_as_mlflow_makes_it_and_one_with_tables_keeps_them(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    result = run_with_others(render(), "-c", DATABASES, cwd=tmp_path)
    assert re.fullmatch(r"\d{3} True\n1\n", result.stdout), result.stdout + result.stderr


# Imports a module where nothing can be compiled.
KEPT = """
import builtins, sys

builtins.compile = None
import twice

print(twice.where.__code__.co_filename, twice.Inner.method.__code__.co_filename, twice.where())
"""
MODULE = """
class Inner:
    def method(self):
        return 1


def where():
    return __file__
"""


def test_the_same_source_is_compiled_once_for_all_copies_and_each_knows_its_own_file(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    project = render()
    files = [tmp_path / name / "twice.py" for name in ("first", "second", "other")]
    for file, code in zip(files, (MODULE, MODULE, f"{MODULE}# other\n"), strict=True):
        file.parent.mkdir()
        file.write_text(code, encoding="utf-8")
    assert run_with_others(project, "-c", "import twice", cwd=files[0].parent).returncode == 0
    second = run_with_others(project, "-c", KEPT, cwd=files[1].parent)
    assert second.stdout.split() == [str(files[1])] * 3, second.stderr
    other = run_with_others(project, "-c", KEPT, cwd=files[2].parent)
    assert "'NoneType' object is not callable" in other.stderr
