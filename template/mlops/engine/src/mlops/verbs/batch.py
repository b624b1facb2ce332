"""The batch endpoint."""

import re

from mlops.azureml.backend import ModelVersion
from mlops.verbs.models import check_model, check_named, choose_model
from mlops.verbs.session import Session


def deploy_batch(session: Session, *, model_version: str | None = None, sha256: str = "") -> None:
    """Make a model version the default of the batch endpoint and remove the deployments of other versions.

    Args:
        session: The environment.
        model_version: The version; by default the pinned one, or else the newest that may be used.
        sha256: The hash that the files of the version must have. A protected environment needs it, and the version.

    Raises:
        UserError: The version may not be used, or has other files.
    """
    check_named(session, "deploy-batch", model_version, sha256)
    model = choose_model(session, model_version)
    check_model(session, model, sha256)
    score_files_with(session, model)


def score_files_with(session: Session, model: ModelVersion) -> None:
    """Do the same with a version that was chosen and compared already."""
    backend, names = session.backend, session.config.names
    if backend.batch_default() is None:
        backend.create_batch_endpoint()
        session.say(f"Created endpoint {names.batch_endpoint}.", f"Will create endpoint {names.batch_endpoint}.")
    backend.create_batch_deployment(batch_name(model.version), model)
    for name in _others(session, model):
        backend.delete_batch_deployment(name)
        session.say(f"Removed {name}.", f"Will remove {name}.")
    scores = f"{names.batch_endpoint} {{}} with version {model.version}."
    session.say(scores.format("scores"), scores.format("will score"))


def is_behind_batch_alone(session: Session, model: ModelVersion) -> bool:
    """Return whether a version is the default of the batch endpoint, and no other one is left behind it."""
    return session.backend.batch_default() == batch_name(model.version) and not _others(session, model)


def batch_name(version: str) -> str:
    """Return the name of the batch deployment of a model version."""
    return f"model-{version}"


def _others(session: Session, model: ModelVersion) -> list[str]:
    """Return the names of the batch deployments of other versions."""
    own, names = batch_name(model.version), [deployment.name for deployment in session.backend.batch_deployments()]
    return [name for name in names if name != own and re.fullmatch(r"model-\d+", name)]
