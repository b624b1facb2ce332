"""Runs Python modules of projects, each in a fork of this process, which has imported the large libraries.

They take ten seconds of a processor in each process that starts anew. A line of JSON on a connection asks for a run;
the answers are a line with the id of its process and, when that has ended, one with its exit code. What of the
libraries a run has imported besides is imported here afterwards, so that the next one has it. All workers of a session
use the same process, which ends with the last connection.

Environments share most of their libraries, and copies of a project all of its engine: what has the same source is
compiled once for all of them.
"""

import contextlib
import functools
import gc
import hashlib
import importlib.machinery
import json
import marshal
import os
import runpy
import selectors
import socket
import sqlite3
import sys
import threading
import traceback
from pathlib import Path
from types import CodeType
from typing import Any

# What most runs need; an environment need not have all of it.
LIBRARIES = (
    "pytest",
    "scipy.stats",
    "sklearn.ensemble",
    "matplotlib.figure",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "azure.ai.ml.entities",
    "azureml.pipeline.steps",
    "torch",
    "responsibleai",
)
KEPT = sys.argv[2:]
"""Folders behind the address, whose modules are kept like those of the libraries."""

# As projects do it before their first import: the libraries decide then whether they send telemetry.
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "HBI_WORKSPACE_JOB": "true"}


def run(command: list[str], folder: str, env: dict[str, str], output: str, errors: str) -> int:
    """Run `-c code ...` or `module ...` as `python` does, in a folder; return the exit code."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    name, *arguments = command
    sys.path[:0] = [folder, *filter(None, env["PYTHONPATH"].split(os.pathsep))]
    for stream, file in ((1, output), (2, errors)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, stream)
        os.close(opened)
    try:
        if name == "-c":
            sys.argv = ["-c", *arguments[1:]]
            exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = command
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def write_imports(known: set[str], path: Path) -> None:
    """Write which modules of the environment are imported by now and were not before, one a line."""
    names = [name for name in sys.modules if name not in known]
    files = {name: getattr(sys.modules[name], "__file__", None) or os.sep for name in names}
    found = [name for name in names if any(Path(files[name]).is_relative_to(folder) for folder in (sys.prefix, *KEPT))]
    path.write_text("\n".join(found), encoding="utf-8")


def fork(request: dict[str, Any], imports: Path, *of_this_process: Any) -> int:
    """Begin a run, without what is open here; return the id of its process."""
    if process := os.fork():
        return process
    code = 1
    for each in of_this_process:
        each.close()
    # Looking for cycles among all objects of the libraries, again and again, is a tenth of a run.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        known = set(sys.modules)
        code = run(**request)
        write_imports(known, imports)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def compile_once(folder: Path) -> None:
    """Compile modules with the same source once; the folder is for what is compiled."""
    loader = importlib.machinery.SourceFileLoader
    make = loader.source_to_code

    @functools.wraps(make)
    def source_to_code(self: Any, source: Any, path: Any, **options: Any) -> CodeType:
        if not isinstance(source, bytes):
            return make(self, source, path, **options)
        file = folder / f"{hashlib.sha256(source).hexdigest()}.{sys.implementation.cache_tag}"
        try:
            return in_file(marshal.loads(file.read_bytes()), str(path))
        except OSError:
            code = make(self, source, path, **options)
            with contextlib.suppress(OSError):  # a test may have taken the room for files away
                part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
                part.write_bytes(marshal.dumps(code))
                part.replace(file)  # several processes and threads may compile it
            return code

    folder.mkdir(exist_ok=True)
    setattr(loader, "source_to_code", source_to_code)  # noqa: B010


def in_file(code: CodeType, path: str) -> CodeType:
    """The same code, as that of another file."""
    parts = (in_file(each, path) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=path, co_consts=tuple(parts))


def copy_new_databases(folder: Path) -> None:
    """Let MLflow make the tables of a database once, in forty steps: further databases are copies of the first."""
    import sqlalchemy
    from mlflow.store.db import utils

    first, make = folder / f"{os.getpid()}.db", utils._initialize_tables
    engine = sqlalchemy.create_engine(f"sqlite:///{first}")
    make(engine)
    engine.dispose()

    @functools.wraps(make)
    def copy(engine: Any) -> None:
        if engine.dialect.name != "sqlite" or sqlalchemy.inspect(engine).get_table_names():
            make(engine)
            return
        with contextlib.closing(sqlite3.connect(first)) as made, engine.connect() as new:
            made.backup(new.connection.driver_connection)

    utils._initialize_tables = copy


def load(names: tuple[str, ...] | list[str]) -> None:
    """Import modules, but for those that cannot be."""
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def serve(address: str) -> None:
    """Answer on a Unix socket until the last connection is closed."""
    runs: dict[int, tuple[int, socket.socket, Path]] = {}
    connected: set[socket.socket] = set()
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(address)
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        while ready := selector.select(None if connected else 60):
            for each in (key.fileobj for key, _ in ready):
                if each is listener:
                    connection, _ = listener.accept()
                    connection.sendall(b"\n")
                    connected.add(connection)
                    selector.register(connection, selectors.EVENT_READ)
                elif isinstance(each, socket.socket):
                    if line := each.makefile(encoding="utf-8").readline():
                        request = json.loads(line)
                        imports = Path(request["output"]).with_name("imports.txt")
                        process = fork(request, imports, selector, listener, *connected)
                        runs[end := os.pidfd_open(process)] = process, each, imports
                        selector.register(end, selectors.EVENT_READ)
                        each.sendall(f"{process}\n".encode())
                    else:
                        selector.unregister(each)
                        connected.remove(each)
                        each.close()
                        if not connected:
                            return
                elif isinstance(each, int):
                    selector.unregister(each)
                    os.close(each)
                    process, connection, imports = runs.pop(each)
                    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
                    with contextlib.suppress(OSError):  # who asked may have gone
                        connection.sendall(f"{code}\n".encode())
                    if imports.is_file():
                        load(imports.read_text(encoding="utf-8").split())


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).resolve().parent))  # that of the tests, which are no modules of a project
    sys.path += KEPT
    os.environ |= SILENT
    compile_once(Path(sys.argv[1]).with_name("compiled"))
    load(LIBRARIES)
    with contextlib.suppress(Exception):
        # MLflow reads once in each process, before it saves a model, which files are of which package: a second.
        sys.modules["mlflow.utils.requirements_utils"]._init_packages_to_modules_map()
        copy_new_databases(Path(sys.argv[1]).parent)
    serve(sys.argv[1])
