"""The batch endpoint."""

import re

from mlops.verbs.models import choose_model
from mlops.verbs.session import Session


def deploy_batch(session: Session, *, model_version: str | None = None) -> None:
    """Make a model version the default of the batch endpoint and remove the deployments of other versions."""
    backend, names = session.backend, session.config.names
    model = choose_model(session, model_version)
    if backend.batch_default() is None:
        backend.create_batch_endpoint()
        session.say(f"Created endpoint {names.batch_endpoint}.")
    name = f"model-{model.version}"
    backend.create_batch_deployment(name, model)
    for deployment in backend.batch_deployments():
        if deployment.name != name and re.fullmatch(r"model-\d+", deployment.name):
            backend.delete_batch_deployment(deployment.name)
            session.say(f"Removed {deployment.name}.")
    session.say(f"{names.batch_endpoint} scores with version {model.version}.")
