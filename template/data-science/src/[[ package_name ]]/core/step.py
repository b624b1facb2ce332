"""What all steps share: one-line errors, outputs that are whole or absent, and MLflow runs."""

import argparse
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from threadpoolctl import threadpool_limits

_CURES = {
    errno.ENOSPC: "no space left on the disk: free some space, or send outputs and temporary files (TMPDIR) elsewhere",
    errno.EDQUOT: "the disk quota is used up: free some space, or send outputs and temporary files (TMPDIR) elsewhere",
    errno.ENOENT: "no such file or folder: check the path",
    errno.ENOTDIR: "a folder is needed, and this is a file: check the path",
    errno.EISDIR: "a file is needed, and this is a folder: check the path",
    errno.EACCES: "permission denied: check who may read and write it",
    errno.EPERM: "permission denied: check who may read and write it",
    errno.EROFS: "the disk is read-only: choose another output folder",
}


class StepError(Exception):
    """A fault that the user can cure; its text is one line that names the fault and the cure."""


def run(
    step: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser, argv: list[str] | None = None
) -> None:
    """Parse ``argv`` and run ``step``; print a user's mistake as one line on stderr and exit with 1.

    The step computes with one thread and may allow itself more: gradient boosting starts and joins its threads for each
    tree, and on cores that others use too (a build agent, a share of a core) half a second becomes twenty.

    Raises:
        SystemExit: with code 1 for a StepError and for an OSError with a known cure, with code 2 for wrong arguments.
    """
    arguments = parser.parse_args(argv)
    try:
        with threadpool_limits(1):
            step(arguments)
    except StepError as fault:
        _stop(str(fault))
    except Exception as fault:
        known = _known_os_error(fault)
        if known is None:
            raise
        _stop((f"{known.filename}: " if known.filename else "") + _CURES[known.errno or 0])


def _known_os_error(fault: BaseException | None) -> OSError | None:
    # MLflow wraps what goes wrong while it writes a model, a full disk too, in exceptions of its own.
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno in _CURES:
            return fault
        fault = fault.__cause__
    return None


def _stop(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    raise SystemExit(1)


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files become the content of ``output`` when the block ends without a fault.

    ``output`` is emptied first; if copying fails it is left empty, so nobody ever reads half a result.
    """
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)
        _empty(output)
        try:
            for source in sorted(path for path in Path(temporary).rglob("*") if path.is_file()):
                target = output / source.relative_to(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                # Only bytes: the mounted outputs of Azure ML refuse file modes and times, so copytree fails on them.
                shutil.copyfile(source, target)
        except BaseException:
            _empty(output)
            raise


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextmanager
def tracked(name: str) -> Iterator[mlflow.ActiveRun]:
    """Yield the MLflow run of this step.

    In an Azure ML job it is the job's own run (``MLFLOW_RUN_ID`` is set there), whose name stays; elsewhere it is a new
    run, which becomes a child of the run that ``MLOPS_PARENT_RUN_ID`` names, if it does.
    """
    if "MLFLOW_RUN_ID" in os.environ:
        started = mlflow.start_run()
    else:
        started = mlflow.start_run(run_name=name, parent_run_id=os.environ.get("MLOPS_PARENT_RUN_ID"))
    with started as active:
        yield active
