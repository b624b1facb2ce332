"""The REST API of Azure DevOps, called with the sign-in of `az`."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from mlops.errors import CommandError, UserError
from mlops.orchestration.azure_devops.names import Address

RESOURCE = "499b84ac-1321-427f-aa17-267ca6975798"
"""The application id of Azure DevOps, for which `az` gets a token."""

GIT_NAMESPACE = "2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87"
AREA_NAMESPACE = "83e28ad4-2d72-4ceb-97b0-c7726d5502c3"
ENVIRONMENT_ROLES = "distributedtask.environmentreferencerole"

_VERSIONS = {
    "_apis/build/folders": "7.1-preview.2",
    "_apis/build/generalsettings": "7.1-preview.1",
    "_apis/connectionData": "7.1-preview.1",
    "_apis/git/policy": "7.1-preview.1",
    "_apis/pipelines/checks": "7.1-preview.1",
    "_apis/pipelines/environments": "7.2-preview.1",
    "_apis/pipelines/pipelinepermissions": "7.1-preview.1",
    "_apis/securityroles": "7.1-preview.1",
}
_NOT_THERE = r"Not Found\(|TF200016|TF401019|VS800075|does not exist"
_REFUSED = r'"message": ?"((?:[^"\\]|\\.)*)"'


Parameters = Mapping[str, object]
"""Names and values in the query of a call."""


def version(path: str) -> str:
    """Return the version of the API for a path; what is in preview has one of its own."""
    return next((number for start, number in _VERSIONS.items() if path.startswith(start)), "7.1")


class Api:
    """The REST API for one repository."""

    def __init__(self, address: Address, run: Callable[..., str]) -> None:
        """Keep what runs a command and returns its output."""
        self.address = address
        self._run = run

    def get(self, path: str, parameters: Parameters | None = None, *, of: str = "project") -> Any:
        """Return an answer; None when there is no such thing.

        Args:
            path: From `_apis` on.
            parameters: Those of the query.
            of: Whose it is: the `project`'s, the `organisation`'s, or that of its `directory`.

        Raises:
            UserError: The sign-in is not accepted.
            CommandError: The call fails.
        """
        try:
            answer = self._run(*self.command("get", path, parameters, of=of), "--output", "json")
        except CommandError as failure:
            # The directory uses the words "does not exist" for a user of another tenant, too.
            if re.search(_NOT_THERE, failure.output) and "AADSTS" not in failure.output:
                return None
            raise
        try:
            return json.loads(answer)
        except ValueError as error:  # the page for signing in
            raise UserError(
                f"Azure DevOps does not accept your sign-in for {self.address.organisation}: run `az login` with an "
                "account of that organisation, which must be connected to the tenant of the subscription"
            ) from error

    def items(self, path: str, parameters: Parameters | None = None, *, of: str = "project") -> list[dict[str, Any]]:
        """Return a list; empty when there is no such thing."""
        return list((self.get(path, parameters, of=of) or {}).get("value") or [])

    def command(
        self, method: str, path: str, parameters: Parameters | None = None, *, of: str = "project"
    ) -> tuple[str, ...]:
        """Return the command of a call."""
        starts = {
            "project": self.address.url,
            "organisation": self.address.organisation_url,
            "directory": self.address.organisation_url.replace("dev.azure.com", "vssps.dev.azure.com"),
        }
        pairs = [f"{key}={value}" for key, value in {"api-version": version(path), **(parameters or {})}.items()]
        # Not in the address: on Windows, cmd.exe would read `&` as the end of the command.
        url = ("--url", f"{starts[of]}/{path}", "--url-parameters", *pairs)
        return ("az", "rest", "--method", method, "--resource", RESOURCE, *url)


def message(failure: CommandError) -> str:
    """Return the sentence in an error of the REST API, empty without one."""
    found = re.search(_REFUSED, failure.output)
    return str(json.loads(f'"{found[1]}"')).splitlines()[0] if found else ""
