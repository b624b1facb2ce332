"""The right to preview a deployment, which the role Reader lacks: a role of its own, because Azure has none."""

import uuid
from dataclasses import dataclass
from typing import Any

from mlops.errors import CommandError, UserError
from mlops.subscription import account as azure
from mlops.subscription.steps import Cloud, Identity, RemovableStep, RoleAssignment, SkippedError, Step

# None of them changes a resource. With the last one Terraform reads a deployment of a template.
ACTIONS = [f"Microsoft.Resources/deployments/{name}/action" for name in ("whatIf", "validate", "exportTemplate")]

API_VERSION = "api-version=2022-04-01"


def steps(cloud: Cloud, reader: Identity) -> list[Step]:
    """Return the role and its assignment."""
    place = f"subscription {cloud.account.name}"
    assignment = RoleAssignment(cloud, reader, "to preview", cloud.subscription, place, definition=role_id(cloud))
    return [PreviewRole(cloud), assignment]


def role_id(cloud: Cloud) -> str:
    """Return the role's id: the same in each run, and another one in each subscription."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlops-template/preview/{cloud.account.subscription}"))


@dataclass
class PreviewRole(RemovableStep):
    """The role, which all projects in the subscription share."""

    cloud: Cloud

    @property
    def name(self) -> str:
        """What the role allows."""
        return f"role to preview deployments in subscription {self.cloud.account.name}"

    def done(self) -> bool:
        """Return whether the role allows all that it should."""
        permissions = ((self._find() or {}).get("properties") or {}).get("permissions") or [{}]
        return set(ACTIONS) <= set(permissions[0].get("actions") or ())

    def make(self) -> None:
        """Create the role.

        Raises:
            UserError: The user may not make roles.
        """
        document = {
            "properties": {
                # Unique in the directory.
                "roleName": f"Preview deployments in {self.cloud.account.subscription}",
                "description": "Made by `mlops bootstrap`: for plans, beside the role Reader.",
                "type": "CustomRole",
                "permissions": [{"actions": ACTIONS, "notActions": []}],
                "assignableScopes": [self.cloud.subscription],
            }
        }
        try:
            self._rest("put", *azure.body(self.cloud.shell, "preview-role", document))
        except CommandError as error:
            if "AuthorizationFailed" not in error.output:
                raise
            raise UserError(
                f"you may not make a role in subscription {self.cloud.account.name}, which plans need: let an Owner or "
                "a User Access Administrator run this once"
            ) from error

    def removable(self) -> bool:
        """Return whether there is such a role."""
        return self._find() is not None

    def remove(self) -> None:
        """Delete the role unless another project or environment uses it."""
        try:
            self._rest("delete")
        except CommandError as error:
            if "RoleDefinitionHasAssignments" not in error.output:
                raise
            raise SkippedError("the role to preview deployments stays: another environment uses it") from error

    def _find(self) -> Any:
        return self.cloud.find("rest", "--method", "get", *self._place)

    def _rest(self, method: str, *more: str) -> None:
        self.cloud.az("rest", "--method", method, *self._place, *more)

    @property
    def _place(self) -> tuple[str, ...]:
        definitions = f"{self.cloud.subscription}/providers/Microsoft.Authorization/roleDefinitions"
        return ("--url", f"{definitions}/{role_id(self.cloud)}", "--url-parameters", API_VERSION)
