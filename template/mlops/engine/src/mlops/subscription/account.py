"""The subscription, queried through the Azure CLI; for `bootstrap`, `doctor`, `teardown` and the infrastructure."""

import json
import re
from dataclasses import dataclass
from typing import Any

from mlops.errors import CommandError, UserError
from mlops.shell import Shell

REMEDIES = {
    "az": "see https://learn.microsoft.com/cli/azure/install-azure-cli, then run `az login`",
    "gh": "see https://cli.github.com, then run `gh auth login`",
    "git": "see https://git-scm.com",
    "uv": "see https://docs.astral.sh/uv",
}
"""How to get a program that is missing."""

ROLES = {
    "AzureML Data Scientist": "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    "AzureML Registry User": "1823dd4f-9b8c-4ab6-ab4e-7397a3684615",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "Locks Contributor": "28bf596f-4eb7-45ce-b5bc-6cf482fec137",
    "Owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "Role Based Access Control Administrator": "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage File Data Privileged Contributor": "69566ab7-960f-475b-8e7c-b3118f30c6bd",
    "Tag Contributor": "4a9ae827-6dc8-4573-8ac7-8239d42aa03f",
    "User Access Administrator": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
}
"""Ids of the built-in roles that `bootstrap` grants and `doctor` looks for: Azure renames roles now and then."""

WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
REGISTRIES = "Microsoft.MachineLearningServices/registries"

API_VERSION = "2026-05-01"
"""The version of Azure ML's management API that the infrastructure and the checks use."""

LOCK = "cannot-delete"
"""The name of the locks that `security.delete_lock` sets."""

NO_RIGHT = "AuthorizationFail|AuthorizationPermissionMismatch|does not have authorization"
"""What Azure writes while a role is missing, or was just granted and has not taken effect."""

NOT_FOUND = r"NotFound|could not be found|does not exist|was not found|(?i:\(404\))"


@dataclass(frozen=True)
class Account:
    """Where `az` is signed in: subscription and tenant by id, the subscription's name, and the user or service."""

    subscription: str
    tenant: str
    name: str
    user: str
    user_type: str


def find(shell: Shell, *command: str) -> Any:
    """Run an `az` command that reads and return its decoded JSON, or None when Azure knows no such resource.

    Raises:
        CommandError: The command fails for another reason.
    """
    try:
        output = shell.read("az", *command, "--output", "json")
    except CommandError as error:
        # The directory uses the words "does not exist" for a user of another tenant, too.
        if re.search(NOT_FOUND, error.output) and "AADSTS" not in error.output:
            return None
        raise
    return json.loads(output) if output.strip() else None


def write_document(shell: Shell, name: str, document: object) -> str:
    """Write a JSON document for a command that reads a file, and return its path; a dry run shows the document.

    cmd.exe, which runs `az` on Windows, would remove the quotes of an argument.
    """
    file = shell.folder / ".local" / "azure" / f"{name}.json"
    path = file.relative_to(shell.folder).as_posix()
    if shell.dry_run:
        print(f"# {path}: {json.dumps(document)}", flush=True)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document), encoding="utf-8")
    return path


def body(shell: Shell, name: str, document: object) -> tuple[str, str]:
    """Return the option of `az rest` for a JSON body, which it reads from a file."""
    return "--body", f"@{write_document(shell, name, document)}"


def account(shell: Shell) -> Account:
    """Return the account that `az` uses.

    Raises:
        UserError: `az` is not signed in.
    """
    try:
        found = find(shell, "account", "show")
    except CommandError as error:
        raise UserError("you are not signed in to Azure: run `az login`") from error
    if found is None:
        raise UserError("you are not signed in to Azure: run `az login`")
    return Account(found["id"], found["tenantId"], found["name"], found["user"]["name"], found["user"]["type"])


def registered_providers(shell: Shell) -> set[str]:
    """Return the resource providers that are registered in the subscription, in lower case."""
    found = find(shell, "provider", "list", "--query", "[?registrationState=='Registered'].namespace")
    return {name.lower() for name in found or ()}


def role_assignments(shell: Shell, scope: str, principal: str) -> list[dict[str, Any]]:
    """Return the role assignments of a principal at exactly this scope."""
    # Names come from the directory, which not every user may read.
    names = ("--fill-principal-name", "false", "--fill-role-definition-name", "false")
    found = find(shell, "role", "assignment", "list", "--scope", scope, *names)
    return [each for each in found or () if each["principalId"] == principal and each["scope"].lower() == scope.lower()]
