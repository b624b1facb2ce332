"""How many commands and seconds from each messy file to a promoted model, or to the line that refuses it?

    uv run --project <project folder> python benchmarks/messy_files.py <project folder> [--rounds N] [--all] [FILE ...]

The files are those of tests/messy_files.py, by their names there. Each gets a copy of the project without runs, in
which `mlops schema FILES --accept` and `mlops local` run as a person would run them. Prints for each file the number of
commands, their wall and processor seconds, and what came of it; the last lines count the outcomes.

A command is forked from a process that has imported the libraries, and `mlops local` does not lint: what a new process
adds is measured once, with a file of one's own, in the lines above the table. With one round there are two files, and
these lines are left out.
"""

import argparse
import importlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from messy_files import FILES, Messy

KEPT = ("data", "config", "mlops", "data-science", "pyproject.toml")
LIBRARIES = (
    *("mlops.local.drafts", "mlops.local.run", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store"),
    *("sklearn.ensemble", "azureml_inference_server_http.server.create_app"),
)
LEFT_OUT = shutil.ignore_patterns(".venv", ".local", "__pycache__", "engine", "before", "draft", "*.egg-info")


class Ran(NamedTuple):
    """A command that has ended: its exit code, its output, and its seconds."""

    code: int
    output: str
    wall: float
    processor: float


def main() -> None:
    """Run the commands for each file, and print a line for it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project of the type classical")
    arguments.add_argument("files", nargs="*", help="names of some files; by default all, with one round two")
    arguments.add_argument("--rounds", type=int, default=2, help="more than one: all files, once")
    arguments.add_argument("--all", action="store_true", help="all files, whatever the rounds")
    options = arguments.parse_args()
    root, everything = options.project.resolve(), options.all or options.rounds > 1
    if unknown := set(options.files) - FILES.keys():
        sys.exit(f"there is no messy file {sorted(unknown)[0]!r}; there are {', '.join(FILES)}")
    chosen = options.files or (list(FILES) if everything else few())
    os.environ |= {"NO_COLOR": "1", "COLUMNS": "200", "PYTHONUTF8": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.environ.pop("MLOPS_LOCAL_DIR", None)
    if everything:
        print_new_processes(root)
    import_libraries()
    print(f"{'file':<44}{'commands':>9}{'s':>8}{'processor s':>13}  outcome", flush=True)
    outcomes, seconds = Counter[str](), []
    for name in chosen:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            runs = commands(root, Path(temporary), FILES[name])
        kind, what = outcome(runs)
        outcomes[kind] += 1
        wall, processor = sum(run.wall for run in runs), sum(run.processor for run in runs)
        seconds += [wall] if kind == "promoted" else []
        print(f"{name[:43]:<44}{len(runs):>9}{wall:>8.1f}{processor:>13.1f}  {kind}: {what}", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in outcomes.most_common()), f"of {len(chosen)} files", end="")
    print(f"; to a promoted model {statistics.median(seconds):.1f} s, the median" if seconds else "")


def few() -> list[str]:
    """Return two files: one of which a model is made, and one that is refused."""
    fitting = next(name for name, messy in FILES.items() if not messy.refused and not messy.options)
    return [fitting, next(name for name, messy in FILES.items() if messy.refused)]


def commands(root: Path, folder: Path, messy: Messy) -> list[Ran]:
    """Run what a person runs, in a copy of the project; the second command follows where the first one is of use."""
    project = copied(root, folder / "project")
    given = [word for key, value in messy.options.items() for word in (f"--{key}", value)]
    files = [str(path) for path in messy.write(folder / "hers")]
    first = forked(project, ["schema", *files, *given, "--accept"])
    return [first] if first.code else [first, forked(project, ["local", "--skip-lint"])]


def copied(root: Path, project: Path) -> Path:
    """Copy what the commands read of a project; its code is imported from where it is."""
    project.mkdir()
    for name in KEPT:
        if (root / name).is_dir():
            shutil.copytree(root / name, project / name, ignore=LEFT_OUT)
        else:
            shutil.copy(root / name, project)
    return project


def outcome(runs: Sequence[Ran]) -> tuple[str, str]:
    """Return what came of a file in a word, and the line that says more."""
    last = runs[-1]
    if last.code:
        errors = [line for line in last.output.splitlines() if line.startswith("error: ")]
        line = errors[-1].removeprefix("error: ") if errors else last.output.strip()[-200:]
        kind = ("refused" if len(runs) == 1 else "stopped") if len(errors) == 1 else "failed"
        return kind, re.sub(r"/\S*/", "", line)[:150]
    found = re.search(r"version 1 was promoted, and is the champion; new: (.*?);", last.output)
    return ("promoted", found[1]) if found else ("not promoted", last.output.strip()[-200:])


def forked(project: Path, words: list[str]) -> Ran:
    """Run a command line in a process of its own that has the libraries already."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            run_here(project, words, output.fileno())
        _, status, used = os.wait4(child, 0)
        wall = time.perf_counter() - began
        output.seek(0)
        return Ran(os.waitstatus_to_exitcode(status), output.read(), wall, used.ru_utime + used.ru_stime)


def run_here(project: Path, words: list[str], output: int) -> None:
    """Be the process that runs a command line, to its end."""
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(project)
        sys.argv = ["mlops", *words]
        from mlops import cli

        cli.main(words)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def import_libraries() -> None:
    """Import what all commands import, which takes seconds."""
    for name in LIBRARIES:
        importlib.import_module(name)


def print_new_processes(root: Path) -> None:
    """Print what the two commands take as a person starts them: new processes, and with the lint."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        project = copied(root, Path(temporary) / "project")
        files = next(messy for messy in FILES.values() if not messy.refused and not messy.options)
        paths = [str(path) for path in files.write(Path(temporary) / "hers")]
        for words in (["schema", *paths, "--accept"], ["local"]):
            before, began = os.times(), time.perf_counter()
            command = [sys.executable, "-m", "mlops.cli", *words]
            result = subprocess.run(command, cwd=project, capture_output=True, text=True)
            after, wall = os.times(), time.perf_counter() - began
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            if result.returncode:
                sys.exit(f"mlops {' '.join(words)} failed: {result.stdout}{result.stderr}")
            print(f"a new process of `mlops {words[0]}`: {wall:.1f} s, {cpu:.1f} s of the processor", flush=True)


if __name__ == "__main__":
    main()
