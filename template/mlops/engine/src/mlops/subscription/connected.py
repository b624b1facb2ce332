"""Whether a pipeline has the ids to sign in to Azure with: a new repository has none, and must not fail for that."""

import os

from mlops.errors import UserError
from mlops.outputs import annotate, set_outputs

IDS = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID")


def connected(environment: str, *, required: bool) -> None:
    """Set the output `azure`, and say how to connect an environment that is not.

    Args:
        environment: The environment's name.
        required: Whether to fail, because a user requested this run.

    Raises:
        UserError: Some ids are missing, or all of them and they are required.
    """
    missing = [name for name in IDS if not os.environ.get(name)]
    if not missing:
        set_outputs(azure=True)
        return
    title = f"{environment} is not connected to Azure"
    lacks = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    remedy = f"{lacks}: run `uv run mlops bootstrap --environment {environment}`, see docs/operate.md"
    if required or len(missing) < len(IDS):
        raise UserError(f"{title}: {remedy}")
    set_outputs(azure=False)
    annotate("notice", f"{title}, nothing to do", remedy)
