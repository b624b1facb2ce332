"""The run of the whole pipeline in MLflow: settings, data and what came of them are on it, so runs can be compared.

MLflow compares what is on one run, and each step has a run of its own below that of the pipeline, which `mlops local`
begins; on Azure ML it is the run of the pipeline job.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from numpy.typing import NDArray

from .split import Split, hash_shares
from .step import parent_run_id
from .tuning import flat

_LONGEST_VALUE = 500
"""What Azure ML keeps of the value of a parameter, in characters."""

LONGEST_TAG = 1000
"""What it keeps of the value of a tag."""

_AT_ONCE = 100
"""How many parameters MLflow takes in one request."""

_DIGITS = 12


EXPERIMENT = "MLOPS_EXPERIMENT"
"""The variable of `mlops local --no-register`: whatever is decided, nothing is registered."""


def is_experiment() -> bool:
    """Return whether nothing of this run is registered."""
    return os.environ.get(EXPERIMENT) == "true"


def log(
    params: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log to the run of the pipeline, if the step is part of one.

    The step's own run has what matters, so a server that refuses this stops nothing; the log of the step names it.
    """
    run = parent_run_id()
    if run is None or run == os.environ.get("MLFLOW_RUN_ID"):
        return
    client, now = MlflowClient(), int(time.time() * 1000)
    parameters = [Param(key, str(value)[:_LONGEST_VALUE]) for key, value in (params or {}).items()]
    values = [Metric(key, float(value), now, 0) for key, value in (metrics or {}).items()]
    notes = [RunTag(key, value[:LONGEST_TAG]) for key, value in (tags or {}).items()]
    try:
        for first in range(0, max(len(parameters), 1), _AT_ONCE):
            client.log_batch(run, [] if first else values, parameters[first : first + _AT_ONCE], [] if first else notes)
    # MLflow's plugin for Azure ML has errors of its own.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"the run of the pipeline keeps no copy of this: {reason}", flush=True)


def parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a training by one name each: a hyperparameter by its own, as the trials of a search.

    The others are named as overrides name them; the section `tuning` says nothing about a training.
    """
    training = dict(settings["training"])
    hyperparameters = flat(training.pop("hyperparameters"))
    rest = {**settings, "training": training}
    rest.pop("tuning", None)
    found = {**hyperparameters, **flat(rest)}
    return {key: value for key, value in found.items() if value is not None}


def code_files(package: Path) -> list[Path]:
    """Return the Python files of a package, in order; not those in hidden folders, such as copies by Jupyter."""
    found = package.rglob("*.py")
    return sorted(path for path in found if not any(part[0] == "." for part in path.relative_to(package).parts))


def code_identity(package: Path) -> str:
    """Return the hash of the Python files of a package, whatever the ends of their lines."""
    total = hashlib.sha256()
    for path in code_files(package):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        total.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()[:_DIGITS]


def document_identity(document: Mapping[str, Any]) -> str:
    """Return the hash of what a YAML file says, whatever its comments."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]


def data_identity(frames: Iterable[pd.DataFrame], fingerprints: Iterable[NDArray[Any]] = ()) -> str:
    """Return a hash of examples that is the same in each order.

    Args:
        frames: the rows.
        fingerprints: what the examples are recognised by, see `Modality.fingerprints`: where a frame only names files.
    """
    hashes = [pd.util.hash_pandas_object(frame, index=False).to_numpy() for frame in frames]
    content = np.sort(np.concatenate(hashes))
    total = hashlib.sha256(content.tobytes())
    for each in (known for known in fingerprints if known.shape[1]):
        total.update(b"".join(sorted(row.tobytes() for row in each)))
    return total.hexdigest()[:_DIGITS]


def held_out_identity(frame: pd.DataFrame, split: Split, target: str) -> str:
    """Return a hash of held-out examples: of what told them apart in the split, and of their targets.

    Models with the same one were scored on the same examples, also when they know other features of them.
    """
    known = tuple(name for name in split.columns if name in frame)  # a schema may have lost one since
    shares = hash_shares(frame, known or (target,), split.salt)
    lines = sorted(f"{share!r} {value}" for share, value in zip(shares, frame[target], strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]
