"""What all steps share: one-line errors, outputs that are complete or absent, and MLflow runs."""

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

_REMEDIES = {
    errno.ENOSPC: "no space left on the disk: free some space, or send outputs and temporary files (TMPDIR) elsewhere",
    errno.EDQUOT: "the disk quota is used up: free some space, or send outputs and temporary files (TMPDIR) elsewhere",
    errno.ENOENT: "no such file or folder: check the path",
    errno.ENOTDIR: "a folder is needed, and this is a file: check the path",
    errno.EISDIR: "a file is needed, and this is a folder: check the path",
    errno.EACCES: "permission denied: check who may read and write it",
    errno.EPERM: "permission denied: check who may read and write it",
    errno.EROFS: "the disk is read-only: choose another output folder",
}


def is_main_process() -> bool:
    """Return whether this process writes: of several that train together, the first one alone does."""
    return os.environ.get("RANK", "0") == "0"


class StepError(Exception):
    """A mistake in data, settings or arguments that the user can correct; one line names the problem and the remedy."""


class NoRowsError(StepError):
    """A file of data has a header and no rows."""


def run(
    step: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: list[str] | None = None,
    threads: int | None = None,
) -> None:
    """Parse `argv` and run `step`; print a user's mistake as one line on stderr and exit with 1.

    Args:
        step: what to run.
        parser: its arguments.
        argv: the words of the command line; None are those of this process.
        threads: how many threads numerical libraries may use, see `Modality.threads`; None is no limit.

    Raises:
        SystemExit: with code 1 for a StepError and for an OSError with a known remedy, with code 2 for wrong arguments.
    """
    arguments = parser.parse_args(argv)
    try:
        with threadpool_limits(threads):
            step(arguments)
    except StepError as error:
        _stop(str(error))
    except Exception as error:
        known = _known_os_error(error)
        if known is None:
            raise
        _stop((f"{known.filename}: " if known.filename else "") + _REMEDIES[known.errno or 0])


def _known_os_error(error: BaseException | None) -> OSError | None:
    # MLflow wraps what goes wrong while it writes a model, a full disk too, in exceptions of its own.
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REMEDIES:
            return error
        error = error.__cause__
    return None


def _stop(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    raise SystemExit(1)


@contextmanager
def output_folder(output: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files become the content of `output` when the block ends without an error.

    `output` is emptied first; if copying fails it is left empty, so half a result is never read.
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


def parent_run_id() -> str | None:
    """Return the MLflow run of the pipeline that this step is part of; None if it is part of none.

    `mlops local` sets `MLOPS_PARENT_RUN_ID`, and Azure ML `AZUREML_ROOT_RUN_ID`.
    """
    return os.environ.get("MLOPS_PARENT_RUN_ID") or os.environ.get("AZUREML_ROOT_RUN_ID") or None


@contextmanager
def step_run(name: str) -> Iterator[mlflow.ActiveRun]:
    """Yield the MLflow run of this step.

    In an Azure ML job it is the job's own run (`MLFLOW_RUN_ID` is set there), whose name stays; elsewhere it is a new
    run, a child of the run that `MLOPS_PARENT_RUN_ID` names, if that variable is set.
    """
    if "MLFLOW_RUN_ID" in os.environ:
        started = mlflow.start_run()
    else:
        started = mlflow.start_run(run_name=name, parent_run_id=os.environ.get("MLOPS_PARENT_RUN_ID"))
    with started as active:
        yield active
