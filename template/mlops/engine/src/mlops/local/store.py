"""The folder `.local`: one run at a time holds it, its database is whole, and what it lacks is one line."""

import importlib
import logging
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlops.errors import Stopped, UserError
from mlops.local.failures import A_FILE_IS_NEEDED, explained, unreadable
from mlops.local.runner import say

STORE = "mlflow.db"
PROCESS_TAG = "mlops_process"
"""The tag of the runs of pipelines here: the process, so that a run whose process is gone can be told from others."""

_TABLES = {"alembic_version", "experiments", "runs"}


@contextmanager
def held(local: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the folder for one run, after the run that holds it; a signal to stop ends the run as Ctrl-C does.

    The lock is the system's, so that of a process that has ended holds no run up.

    Raises:
        UserError: The folder cannot be used; or, without `wait`, another run holds it.
        Stopped: A signal came.
    """
    from filelock import FileLock, Timeout

    with explained(local / STORE), stoppable():
        local.mkdir(parents=True, exist_ok=True)
        # Beside the lock and not in it: on Windows no other process can read a locked file.
        lock, holder = FileLock(local / "lock"), local / "lock.txt"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                other = f"{_named(holder)}, uses {local}"
                raise UserError(f"{other}: repeat this without --no-wait, or when that has ended") from None
            say(f"waiting    for {_named(holder)}, which uses {local}")
            lock.acquire()
        try:
            since = time.strftime("%H:%M:%S")
            write_whole(holder, f"the run of process {os.getpid()}, begun at {since}\n")
            yield
        finally:
            # A run that begins in this moment would name this one, which has ended.
            with suppress(OSError):
                holder.unlink(missing_ok=True)
            lock.release()


def _named(holder: Path) -> str:
    """Return what the run that holds the folder says of itself; it has that to write first."""
    for _ in range(20):
        with suppress(OSError, ValueError):
            return holder.read_text(encoding="utf-8").strip()
        time.sleep(0.05)
    return "another run"


class _Signals:
    """The signals to stop that came, and whether they have to wait."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.deferred = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self.came.append(number)
        if not self.deferred:
            raise Stopped(number)


_signals = _Signals()


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the signals to stop raise `Stopped`, and keep it from being lost where a library raises its own error."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _signals.came.clear()
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    former = {each: signal.signal(each, _signals.stop) for name in names if (each := getattr(signal, name, None))}
    try:
        yield
    except Exception as error:
        if _signals.came:
            raise Stopped(_signals.came[0]) from error
        raise
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a signal to stop wait until the block has ended."""
    before, _signals.deferred = len(_signals.came), True
    try:
        yield
    finally:
        _signals.deferred = False
    if len(_signals.came) > before:
        raise Stopped(_signals.came[-1])


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow from printing a page for each error of the database, and from trying again for two minutes."""
    from mlflow.store.db import utils

    logger = logging.getLogger("mlflow.store.db.utils")
    disabled, tries = logger.disabled, utils.MAX_RETRY_COUNT
    logger.disabled, utils.MAX_RETRY_COUNT = True, 1
    try:
        yield
    finally:
        logger.disabled = disabled
        utils.MAX_RETRY_COUNT = tries


@contextmanager
def readable(local: Path) -> Iterator[None]:
    """Make one line with the remedy of whatever MLflow has to say of the database.

    Raises:
        UserError: It cannot be used.
    """
    from mlflow import MlflowException

    store = local / STORE
    try:
        with quiet(), explained(store):
            yield
    except MlflowException as error:
        if "out-of-date database schema" in str(error):
            upgrade = f"`uv run mlflow db upgrade sqlite:///{store.as_posix()}` brings it up to date; keep a copy of it"
            raise UserError(f"{store} is of another version of MLflow: {upgrade}") from error
        raise UserError(unreadable(store, error)) from error


def import_store() -> None:
    """Import what MLflow reads and writes its database with, which takes most of a second."""
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def prepare(local: Path) -> None:
    """Create the database of MLflow as a whole, unless it is there, and look whether it is sound.

    Raises:
        UserError: It is damaged, is no database of MLflow, or was made in another place.
    """
    store = local / STORE
    if store.is_dir():
        raise UserError(f"{store}: {A_FILE_IS_NEEDED}")
    if not store.exists() or not store.stat().st_size:
        if _has_files(local / "artifacts"):
            say(f"tracking   {store} is gone: the runs and models of before are not known, their files stay")
        _create(store)
    check(store)


def check(store: Path) -> None:
    """Look whether a database is sound, in milliseconds; MLflow would change one of others, and repeat what fails.

    Raises:
        UserError: It is damaged, or is no database of MLflow.
        sqlite3.Error: It cannot be read.
    """
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=rw", uri=True, timeout=20)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= _TABLES:
            raise UserError(f"{store} is no database of MLflow: move it elsewhere")
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise UserError(unreadable(store, found))


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _create(store: Path) -> None:
    """Create the database aside, where it need not wait for the disk at each of its hundreds of changes."""
    from mlflow import MlflowClient
    from sqlalchemy import Engine, event

    def hasten(connection: Any, record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")

    new = store.with_name(f"{store.name}.new")
    # MLflow keeps it open, so Windows cannot delete it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        made = Path(temporary) / store.name
        event.listen(Engine, "connect", hasten)
        try:
            MlflowClient(f"sqlite:///{made.as_posix()}").search_experiments(max_results=1)
        finally:
            event.remove(Engine, "connect", hasten)
        shutil.copyfile(made, new)
    with new.open("rb+") as written:
        os.fsync(written.fileno())
    new.replace(store)


def refuse_foreign(local: Path, location: str) -> None:
    """Refuse an experiment that keeps its files elsewhere: the folder is a copy, or was moved with its project.

    Raises:
        UserError: It does; a run would write into the other folder.
    """
    own = local / "artifacts"
    other = Path(url2pathname(urlsplit(location).path))
    if other == own or (own.exists() and other.exists() and own.samefile(other)):
        return
    raise UserError(
        f"{local} was made in another place, and keeps the files of its runs and models in {other}: move it back "
        f"there, or delete {local} to start afresh, without the runs and models of before"
    )


def end_runs(client: Any, status: str) -> int:
    """End the runs of pipelines that are open, and those of their steps; return how many there were.

    The caller holds the folder, so they are its own, or a process left them when it was killed. Runs of others,
    such as those of a notebook, stay as they are.
    """
    experiments = [each.experiment_id for each in client.search_experiments()]
    running = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000)
    ours = [run.info.run_id for run in running if _is_of_a_pipeline(client, run)]
    for run in ours:
        client.set_terminated(run, status)
    return len(ours)


def _is_of_a_pipeline(client: Any, run: Any) -> bool:
    while parent := run.data.tags.get("mlflow.parentRunId"):
        run = client.get_run(parent)
    return PROCESS_TAG in run.data.tags


def write_whole(path: Path, text: str) -> None:
    """Write a file that a reader finds whole, the one of before or this one, whatever ends the process meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
