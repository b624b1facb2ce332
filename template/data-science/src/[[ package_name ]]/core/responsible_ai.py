"""Which registered model a Responsible AI analysis is about."""

import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from .champion import champion
from .step import StepError


def newest_model(registration: Path) -> ModelVersion:
    """Return the newest registered version of a model: the one just promoted, or else the champion.

    Args:
        registration: the folder that `register` wrote.

    Raises:
        StepError: that folder has no valid `registration.json`, or no version is registered.
    """
    try:
        done = json.loads((registration / "registration.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise StepError(f"{registration}: there is no valid registration.json; run register first") from error
    version = champion(MlflowClient(), done["name"])
    if version is None:
        reasons = "; ".join(done["reasons"])
        raise StepError(f"no version of {done['name']} is registered, so there is nothing to analyse: {reasons}")
    return version
