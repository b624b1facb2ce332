"""The values that the verbs put into definitions."""

from collections.abc import Callable

from mlops.config import EnvironmentConfig

STORAGE_HOSTS = "MLOPS_STORAGE_HOSTS"
"""The variable of an online deployment with the storage accounts whose files a request may name by their address."""

WORKER_COUNT = "WORKER_COUNT"
"""The variable of an online deployment with the number of workers that its inference server starts."""

CLIENT_ID = "AZURE_CLIENT_ID"
"""The variable that tells Azure's libraries which user-assigned identity to use."""


def model_reference(config: EnvironmentConfig, version: str, registry: str | None = None) -> str:
    """Return how a definition names a version of the project's model, in the workspace or in a registry."""
    if registry:
        return f"azureml://registries/{registry}/models/{config.model.name}/versions/{version}"
    return f"azureml:{config.model.name}:{version}"


def endpoint_identity(config: EnvironmentConfig, subscription: Callable[[], str]) -> str | None:
    """Return the Azure resource id of the identity that was made for the endpoints, or None when there is none.

    `subscription` returns the id of the Azure subscription; it is called only when there is an identity.
    """
    if config.names.endpoint_identity is None:
        return None
    return (
        f"/subscriptions/{subscription()}/resourceGroups/{config.names.resource_group}"
        f"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{config.names.endpoint_identity}"
    )
