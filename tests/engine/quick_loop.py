"""A project whose model is one number, so that its whole loop takes a fraction of a second; runs of it that go wrong.

The engine, the database, the registry, the inference server and the step that registers are the real ones. Each run is
a process, forked from one that has had a run of its own in another folder, and so has imported all that a run needs.
"""

import errno
import gc
import importlib
import io
import os
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
import yaml
from rendered import CORE_IMPORTS, HERE

from mlops import cli
from mlops.config import Project

PACKAGE = "tiny_number"
STEPS = {
    "prep": """
        import argparse
        from pathlib import Path

        words = argparse.ArgumentParser()
        words.add_argument("--raw-data", type=Path)
        words.add_argument("--data", type=Path)
        given = words.parse_args()
        (given.data / "number.txt").write_text((given.raw_data / "number.txt").read_text())
        print("1 row")
    """,
    "train": """
        import argparse
        from pathlib import Path

        import mlflow

        from tiny_number.core.step import output_folder, step_run

        words = argparse.ArgumentParser()
        words.add_argument("--data", type=Path)
        words.add_argument("--model", type=Path)
        given = words.parse_args()
        number = (given.data / "number.txt").read_text()
        with step_run("train"), output_folder(given.model) as folder:
            mlflow.log_metric("number", float(number))
            (folder / "factor.txt").write_text(number)
            (folder / "MLmodel").write_text("flavors: {}\\n")
        print("wrote the model")
    """,
    "evaluate": """
        import argparse
        import json
        import tempfile
        from pathlib import Path

        import mlflow

        from tiny_number.core.champion import champion
        from tiny_number.core.step import output_folder, step_run

        words = argparse.ArgumentParser()
        words.add_argument("--model", type=Path)
        words.add_argument("--model-name")
        words.add_argument("--evaluation", type=Path)
        given = words.parse_args()
        number = float((given.model / "factor.txt").read_text())
        with step_run("evaluate"), output_folder(given.evaluation) as folder:
            best = champion(mlflow.MlflowClient(), given.model_name)
            before = 0.0
            if best is not None:
                with tempfile.TemporaryDirectory() as temporary:
                    copy = mlflow.artifacts.download_artifacts(f"models:/{given.model_name}/{best.version}",
                                                               dst_path=temporary)
                    before = float((Path(copy) / "factor.txt").read_text())
            decision = {"promote": number > before, "reasons": [f"{number:g} beside {before:g}"],
                        "note": "", "better_baselines": [], "champion_version": best and best.version}
            metrics = {"metric": "number", "challenger": {"number": number}, "champion": None, "baselines": {}}
            (folder / "decision.json").write_text(json.dumps(decision))
            (folder / "metrics.json").write_text(json.dumps(metrics))
            (folder / "drift.json").write_text(json.dumps({"checked": False}))
            (folder / "report.html").write_text("<html><header></header>" + "<p>text</p>" * 500 + "</html>")
            mlflow.log_artifact(str(folder / "report.html"))
        print("decided")
    """,
    "score": """
        import json
        import os
        from pathlib import Path

        def init():
            global factor
            (model,) = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("factor.txt")
            factor = float(model.read_text())

        def run(data):
            return {"predictions": [factor * row[0] for row in json.loads(data)["input_data"]["data"]]}
    """,
    "modality": """
        from types import SimpleNamespace

        MODALITY = SimpleNamespace(suffixes=(".csv",))
    """,
    "core/endpoint": """
        from .champion import champion, model_hash
        from .step import StepError

        def sample_request(modality, schema, folder, rows):
            return {"input_data": {"columns": ["x"], "index": list(range(rows)), "data": [[1]] * rows}}

        def check_response(modality, response, rows, schema):
            return []

        def shown(modality, predictions, schema):
            return [f"{each:g}" for each in predictions]

        def data_files(folder, suffixes):
            return []
    """,
}
FOLDER, INPUT = {"type": "uri_folder"}, "${{parent.inputs.%s}}"


def job(module: str, inputs: dict[str, str], output: str) -> dict[str, Any]:
    """Return a job of the pipeline that runs one of the steps."""
    kinds = {name: {"type": "string"} if name == "model_name" else FOLDER for name in inputs}
    words = "".join(f" --{name.replace('_', '-')} ${{{{inputs.{name}}}}}" for name in inputs)
    component = {
        "type": "command",
        "command": f"python -m {PACKAGE}.{module}{words} --{output} ${{{{outputs.{output}}}}}",
        "code": "../../data-science/src",
        "inputs": kinds,
        "outputs": {output: FOLDER},
    }
    bound = {output: f"${{{{parent.outputs.{output}}}}}"} if output in ("evaluation", "registration") else {}
    return {"type": "command", "component": component, "inputs": inputs, "outputs": bound}


MODEL = {"model": "${{parent.jobs.train.outputs.model}}", "model_name": INPUT % "model_name"}
PIPELINE = {
    "type": "pipeline",
    "inputs": {
        "raw_data": {"type": "uri_folder", "path": "../../data/raw"},
        "production_data": {"type": "uri_folder", "path": "../../data/production"},
        "schema": {"type": "uri_file", "path": "../../data/schema.yml"},
        "settings": {"type": "uri_file", "path": "../../config/model.yml"},
        "model_name": "model",
    },
    "outputs": {"evaluation": FOLDER, "registration": FOLDER},
    "jobs": {
        "prep": job("prep", {"raw_data": INPUT % "raw_data"}, "data"),
        "train": job("train", {"data": "${{parent.jobs.prep.outputs.data}}"}, "model"),
        "evaluate": job("evaluate", MODEL, "evaluation"),
        "register": job(
            "register", MODEL | {"evaluation": "${{parent.jobs.evaluate.outputs.evaluation}}"}, "registration"
        ),
    },
}


def create_project(root: Path) -> Project:
    """Make the project in a new folder; what it does not replace is that of the project around this file."""
    project = replace(HERE, root=root, package=PACKAGE)
    package, source = root / "data-science" / "src" / PACKAGE, HERE.root / "data-science" / "src" / HERE.package
    for folder in (package, project.definitions, root / "data" / "raw", root / "data" / "production"):
        folder.mkdir(parents=True)
    shutil.copytree(HERE.root / "config", root / "config")
    shutil.copytree(source / "core", package / "core")
    for name in ("__init__.py", "register.py", *CORE_IMPORTS):
        shutil.copy(source / name, package / name)
    for name, text in STEPS.items():
        lines = text.splitlines()[1:]
        (package / f"{name}.py").write_text("\n".join(line[8:] for line in lines), encoding="utf-8")
    (root / "data" / "schema.yml").touch()
    (project.definitions / "pipeline.yml").write_text(yaml.safe_dump(PIPELINE), encoding="utf-8")
    return project


class Outcome(NamedTuple):
    """How a run ended: its exit code, negative if a signal killed it, and what it printed; whether the failure came."""

    code: int
    output: str
    errors: str
    came: bool


class Run(NamedTuple):
    """A command that runs, and the folder of what it prints."""

    loop: "Loop"
    process: int
    folder: Path

    def read(self, name: str) -> str:
        """Return what it has printed up to now: `output` or `errors`."""
        file = self.folder / name
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def wait_for(self, text: str) -> str:
        """Wait until it has printed a text, and return all that it has printed."""
        for _ in range(6000):
            if text in self.read("output"):
                return self.read("output")
            time.sleep(0.01)
        raise AssertionError(f"{text!r} was not printed: {self.read('output')}{self.read('errors')}")

    def end(self) -> Outcome:
        """Wait for its end."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        self.loop.processes.remove(self.process)
        return Outcome(code, self.read("output"), self.read("errors"), bool(self.read("came")))


@dataclass
class Loop:
    """The project, and what its folder `.local` has."""

    project: Project
    scratch: Path
    processes: set[int] = field(default_factory=set)

    @property
    def local(self) -> Path:
        """The folder `.local`."""
        return self.project.root / ".local"

    def set_number(self, number: int) -> None:
        """Let the next model be this number: the higher one wins."""
        (self.project.root / "data" / "raw" / "number.txt").write_text(str(number), encoding="utf-8")

    def start(self, failure: "Failure | None" = None, *words: str) -> "Run":
        """Begin `mlops local` in a process of its own."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        process = os.fork()
        if process == 0:
            _be_a_run(self.project, failure, folder, words or ("local", "--skip-lint"))
        self.processes.add(process)
        return Run(self, process, folder)

    def run(self, failure: "Failure | None" = None, *words: str) -> Outcome:
        """Run `mlops local` to its end."""
        return self.start(failure, *words).end()

    def kill(self) -> None:
        """End what a test that failed has left."""
        while self.processes:
            os.kill(process := self.processes.pop(), signal.SIGKILL)
            os.waitpid(process, 0)

    def ask(self, question: str) -> list[Any]:
        """Ask the database, past MLflow, whose connections a fork would share."""
        store = self.local / "mlflow.db"
        if not store.exists():
            return []
        with closing(sqlite3.connect(store)) as database:
            return database.execute(question).fetchall()

    def versions(self) -> dict[int, float]:
        """Return the number of each registered version; each has to be whole.

        Raises:
            AssertionError: One is not.
        """
        model_hash = importlib.import_module(f"{HERE.package}.core.champion").model_hash
        rows = self.ask(
            "SELECT v.version, v.source, t.value FROM model_versions v LEFT JOIN model_version_tags t "
            "ON t.name = v.name AND t.version = v.version AND t.key = 'sha256' "
            "WHERE v.current_stage <> 'Deleted_Internal'"
        )
        found = {}
        for version, source, sha256 in rows:
            folder = Path(url2pathname(urlsplit(source).path))
            assert sha256 == model_hash(folder), f"version {version} is half a one: {sha256}"
            found[int(version)] = float((folder / "factor.txt").read_text(encoding="utf-8"))
        return found

    def running(self) -> list[str]:
        """Return the names of the MLflow runs that have not ended."""
        return [name for (name,) in self.ask("SELECT name FROM runs WHERE status = 'RUNNING'")]


@dataclass(frozen=True)
class Failure:
    """What happens to a run at its n-th operation on the files or the database of `.local`.

    The kinds are a signal, an error of the operation, once or for all that follow (a full disk stays full), and a limit
    of the size of files, at which the system cuts them off.
    """

    kind: str
    at: int
    lasting: bool = False

    def arm(self, local: Path, came: Callable[[], None]) -> None:
        """Let it happen to this process."""
        if self.kind == "EFBIG":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.at * 500, self.at * 500))
            came()
            return
        count, place = 0, str(local)

        def tick(name: str, *, of_files: bool) -> None:
            nonlocal count
            count += 1
            if count < self.at or (count > self.at and not self.lasting):
                return
            came()
            if self.kind.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, self.kind))
            elif of_files:
                number = getattr(errno, self.kind)
                raise OSError(number, os.strerror(number), name)
            else:
                code, text = _OF_DATABASE.get(self.kind, (sqlite3.SQLITE_IOERR, "disk I/O error"))
                error = sqlite3.OperationalError(text)
                error.sqlite_errorcode = code  # type: ignore[misc]
                raise error

        def of_files(event: str, arguments: tuple[Any, ...]) -> None:
            if self.kind == "EBUSY":  # of the database alone
                return
            if event in _OPERATIONS and isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(place):
                tick(str(arguments[0]), of_files=True)

        def of_database(*arguments: Any) -> None:
            tick("the database", of_files=False)

        from sqlalchemy import Engine, event

        for each in ("before_cursor_execute", "commit"):
            event.listen(Engine, each, of_database)
        sys.addaudithook(of_files)


_OF_DATABASE = {
    "ENOSPC": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "EACCES": (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
    "EBUSY": (sqlite3.SQLITE_BUSY, "database is locked"),
}
_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "os.link", "sqlite3.connect"}


def _be_a_run(project: Project, failure: Failure | None, folder: Path, words: tuple[str, ...]) -> None:
    """Run a command line in this process, which is a fork, and end it."""
    code = 99
    try:
        out, errors = (os.open(folder / name, os.O_WRONLY | os.O_CREAT) for name in ("output", "errors"))
        os.dup2(out, 1)
        os.dup2(errors, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        _enter(project, pytest.MonkeyPatch())
        if failure:
            failure.arm(project.root / ".local", lambda: _mark(folder / "came"))
        cli.main(list(words))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _enter(project: Project, patch: pytest.MonkeyPatch) -> None:
    """Let a command line that runs in this process be about the project."""
    patch.chdir(project.root)
    patch.setattr(Project, "load", classmethod(lambda cls, root=None: project))
    patch.syspath_prepend(project.root / "data-science" / "src")


def _mark(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"it came")
    os.close(descriptor)


def create_loop(folder: Path) -> Loop:
    """Make the project, and load in this process what each run needs."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    importlib.import_module(f"{HERE.package}.register")
    loop = Loop(create_project(folder / "project"), folder / "scratch")
    loop.scratch.mkdir()
    # What a process of a user does once, each fork would do again: import the project, look up the newest schema, and
    # all that a library does when it is first used.
    utils = importlib.import_module("mlflow.store.db.utils")
    newest = utils._get_latest_schema_revision()
    utils._get_latest_schema_revision = lambda: newest
    loop.set_number(1)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        _enter(loop.project, patch)
        patch.setenv("MLOPS_LOCAL_DIR", str(folder / "another"))
        cli.app(["local", "--skip-lint"], standalone_mode=False)
        importlib.import_module(f"{PACKAGE}.register")
    gc.collect()
    gc.freeze()
    return loop


_LIBRARIES = (
    "alembic.command",
    "azureml_inference_server_http.server.create_app",
    "filelock",
    "git",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.workspace.utils",
    "typer.main",
)
