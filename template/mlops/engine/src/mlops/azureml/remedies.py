"""What helps against the errors of Azure that users meet most often."""

import re
from typing import Protocol

from mlops.config import EnvironmentConfig
from mlops.errors import UserError

# The newest version in the changelog of Azure/azure-cli-extensions (July 2026). Users of 2.45.0 report that
# `az ml job stream` breaks off while a job runs; 2.44.0 cannot create a datastore.
INSTALL_EXTENSION = "az extension add --name ml --version 2.44.1"


class Remedy(Protocol):
    """Returns the one line that helps against an error of Azure, or None when there is no known remedy."""

    def __call__(self, output: str, config: EnvironmentConfig, /) -> UserError | None:
        """Return the line, given what Azure or its client printed."""


def storage_remedy(output: str, config: EnvironmentConfig) -> UserError | None:
    """Return the one line that helps when files in a storage account cannot be listed, as `remedy` does."""
    refused = (
        r"AuthorizationPermissionMismatch|AuthorizationFailure|AuthenticationFailed|PublicAccessNotPermitted|40[13]\b"
    )
    if re.search(refused, output):
        return UserError(
            "Azure lists its files only for the role Storage Blob Data Reader on the storage account, and only to a "
            "machine that its network lets in: ask for the role, or run this on such a machine"
        )
    if re.search(r"(?i)ContainerNotFound|container does not exist", output):
        return UserError("there is no such container: correct the address")
    if re.search(r"(?i)failed to (resolve|establish)|name resolution|getaddrinfo|timed out|max retries", output):
        return UserError("Azure does not answer: check the address, and that this machine reaches it")
    return remedy(output, config)


def remedy(output: str, config: EnvironmentConfig) -> UserError | None:
    """Return the one line that helps against an error of Azure, or None when there is no known remedy."""
    names, workspace, environment = config.names, config.names.workspace, config.environment
    provide = f"run `uv run mlops provision --environment {environment}`"
    storage = f"storage account {names.storage_account}"
    if not config.provisioned:
        storage = f"the storage account of {workspace}"
        provide = f"correct names.workspace and names.resource_group in config/{environment}.yml"
    remedies = {
        r"Azure CLI not found": "az is not installed: see https://learn.microsoft.com/cli/azure, then run `az login`",
        r"az account set|SubscriptionNotFound|InvalidSubscriptionId": (
            "there is no such subscription for you: choose one with `az account set --subscription NAME`, or name its "
            "id in AZURE_SUBSCRIPTION_ID"
        ),
        # The token that a workflow signs in with ends within minutes, and az cannot renew it (azure-cli#28708).
        r"AADSTS700024": "the workflow's sign-in has expired: run the job again",
        r"az login|AADSTS|Credential ?Unavailable|failed to retrieve a token": (
            "you are not signed in to Azure: run `az login`"
        ),
        r"'ml' is (misspelled|not in)|requires the extension ml": (
            f"the Azure CLI lacks its Azure ML extension: run `{INSTALL_EXTENSION}`"
        ),
        rf"[Rr]esource group '?{re.escape(names.registry_resource_group or 'of a registry')}'? could not be found": (
            f"there is no resource group {names.registry_resource_group} for the model registry yet: run `uv run mlops "
            f"bootstrap --environment {environment}`, which makes it"
        ),
        rf"ResourceGroupNotFound|Workspace not found|workspaces/{re.escape(workspace)}'? .*not (be )?found": (
            f"there is no workspace {workspace} in your subscription: {provide}, or choose the subscription with `az "
            "account set --subscription NAME`"
        ),
        # Of Azure ML in two wordings, and of the storage account.
        r"(?i)private link|AuthorizationFailure\b|not authorized to perform this operation\.": (
            f"{workspace} and what belongs to it cannot be reached from here: run this on a machine in its private "
            "network"
        ),
        rf"RegistryNotFound|registr(y|ies)\W+{re.escape(names.registry)}\b.*not (be )?found": (
            f"there is no registry {names.registry} for you: correct names.registry in config/{environment}.yml, or "
            "ask for the role AzureML Registry User"
        ),
        r"(?i)Microsoft\.Insights/metrics/read": (
            f"you may not read the metrics of {names.online_endpoint}: ask for the role Reader, or Monitoring Reader, "
            f"on {workspace}"
        ),
        r"AuthorizationFailed|does not have authorization": (
            f"you may not do this in {workspace}: ask for the role AzureML Data Scientist"
        ),
        r"AuthorizationPermissionMismatch": (
            f"you may not write to {storage}: ask for the role Storage Blob Data Contributor"
        ),
        r"Docker image or Dockerfile is required": (
            "an environment has no image: name one in its definition, as `uv run mlops lint` reports"
        ),
        r"(?i)(model|asset)[ _]?name\W.*\b(must|may only|can only|not valid|invalid|unsupported)": (
            f"Azure ML does not accept the model name {config.model.name!r}: in config/{environment}.yml, use letters, "
            "digits, dots, dashes and underscores"
        ),
    }
    return next((UserError(text) for pattern, text in remedies.items() if re.search(pattern, output)), None)
