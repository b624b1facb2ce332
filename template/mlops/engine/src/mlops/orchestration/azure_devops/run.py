"""Azure DevOps from within a run of a pipeline, with the token of that run."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from mlops.errors import UserError
from mlops.orchestration.azure_devops.api import Parameters, version
from mlops.orchestration.azure_devops.names import Names
from mlops.orchestration.azure_devops.steps import APPROVAL, known_guards
from mlops.orchestration.comment import Comment, NotAllowedError
from mlops.project import Project

TOKEN = "SYSTEM_ACCESSTOKEN"
NOT_ALLOWED = (401, 403)
ITEM = "Task"
"""The kind of work item that every process of Azure DevOps has."""


class RefusedError(UserError):
    """Azure DevOps answers, and says no; `code` is that of HTTP."""

    def __init__(self, code: int, text: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.code = code


class Run(NamedTuple):
    """Where the run is, and its token."""

    organisation: str
    project: str
    token: str

    @classmethod
    def here(cls) -> "Run":
        """Return this run.

        Raises:
            UserError: This is none, or its token is not given to the step.
        """
        names = ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", TOKEN)
        if missing := [name for name in names if not os.environ.get(name)]:
            raise UserError(
                f"{missing[0]} is not set: this runs in Azure Pipelines, with `{TOKEN}: $(System.AccessToken)` in the "
                "`env` of the step"
            )
        return cls(*(os.environ[name] for name in names))

    def call(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        of: str = "project",
        parameters: Parameters | None = None,
    ) -> Any:
        """Call the REST API and return its answer.

        Raises:
            RefusedError: Azure DevOps refuses.
            UserError: It gives no answer.
        """
        start = self.organisation.rstrip("/") + (f"/{quote(self.project)}" if of == "project" else "")
        query = urlencode({"api-version": version(path), **(parameters or {})})
        kind = "application/json-patch+json" if isinstance(document, list) else "application/json"
        request = Request(
            f"{start}/{path}?{query}",
            method=method,
            data=None if document is None else json.dumps(document).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": "application/json"},
        )
        try:
            with urlopen(request, timeout=30) as response:
                text = response.read()
                return json.loads(text) if text else None
        except HTTPError as error:
            raise RefusedError(error.code, f"Azure DevOps refuses it: {_reason(error)}") from error
        except (OSError, ValueError) as error:
            raise UserError(f"Azure DevOps gives no answer: {error}; run this job again") from error


def _reason(error: HTTPError) -> str:
    try:
        return " ".join(str(json.load(error)["message"]).split())
    except (LookupError, OSError, TypeError, ValueError):
        return f"HTTP {error.code} {error.reason}"


def require_approval(project: Project, environment: str) -> None:
    """Look whether a person approves what reaches an environment.

    Raises:
        UserError: None has to, or Azure DevOps gives no answer.
    """
    run, name = Run.here(), Names(project).environment(environment)
    try:
        listed = run.call("GET", "_apis/pipelines/environments", parameters={"name": name})["value"]
        found = next((each for each in listed if each["name"] == name), None)
        wanted = {"resourceType": "environment", "resourceId": (found or {}).get("id"), "$expand": "settings"}
        checks = run.call("GET", "_apis/pipelines/checks/configurations", parameters=wanted)["value"] if found else []
    except (LookupError, TypeError, UserError) as error:
        raise UserError(
            f"Azure DevOps does not say who approves {name}: {error}; run this job again, and if it repeats, "
            f"`uv run mlops bootstrap --environment {environment}`, which lets the pipelines look"
        ) from error
    if APPROVAL not in known_guards(checks):
        raise UserError(
            f"{environment} is protected, and the environment {name} in Azure DevOps has no approval: run "
            f"`uv run mlops bootstrap --environment {environment}`, or start deliver manually with the environment, "
            "version and hash typed, which is an approval, too (docs/operate.md)"
        )
    print(f"{name} has an approval.", flush=True)


class DevOpsComments:
    """The comments under the pull request of this run: the first one of each thread."""

    def __init__(self) -> None:
        """Find the pull request.

        Raises:
            UserError: This is no run of one.
        """
        self._run = Run.here()
        repository, number = (
            os.environ.get(name) for name in ("BUILD_REPOSITORY_ID", "SYSTEM_PULLREQUEST_PULLREQUESTID")
        )
        if not repository or not number:
            raise UserError(
                "SYSTEM_PULLREQUEST_PULLREQUESTID names no pull request: this runs for one, by the policy of main"
            )
        self.number = number
        self._path = f"_apis/git/repositories/{repository}/pullRequests/{number}/threads"

    def own(self) -> list[Comment]:
        """Return what this account wrote."""
        me = self._call("GET", "_apis/connectionData", of="organisation")["authenticatedUser"]["id"]
        found = []
        for thread in self._call("GET", self._path)["value"]:
            first = (thread.get("comments") or [{}])[0]
            # A deleted one is still listed, without its text.
            if (first.get("author") or {}).get("id") == me and first.get("content") and not first.get("isDeleted"):
                found.append(Comment(f"{thread['id']}/comments/{first['id']}", first["content"]))
        return found

    def add(self, text: str) -> None:
        """Write a comment."""
        comment = {"parentCommentId": 0, "content": text, "commentType": 1}
        # It asks for no answer, and a policy may require that each thread is resolved.
        self._call("POST", self._path, {"comments": [comment], "status": "closed"})

    def change(self, comment: Comment, text: str) -> None:
        """Replace the text of a comment."""
        self._call("PATCH", f"{self._path}/{comment.key}", {"content": text})

    def delete(self, comment: Comment) -> None:
        """Delete a comment."""
        self._call("DELETE", f"{self._path}/{comment.key}")

    def _call(self, method: str, path: str, document: object = None, *, of: str = "project") -> Any:
        try:
            return self._run.call(method, path, document, of=of)
        except RefusedError as error:
            if error.code not in NOT_ALLOWED:
                raise
            raise NotAllowedError(
                f"this run may not comment: {error}; `uv run mlops bootstrap` gives the pipelines the right to"
            ) from error


class DevOpsIssues:
    """The open work items that pipelines of the project opened."""

    def __init__(self, project: Project, *, dry_run: bool) -> None:
        """Find the run; a dry run has none, and only shows what it would look for."""
        self._name = Names(project).prefix
        self._dry_run = dry_run
        self._run = None if dry_run else Run.here()

    def find(self, title: str) -> str:
        """Return the number of the one with this title, and this project's name: others share the account."""
        title = self._named(title)
        wanted = {
            "System.TeamProject": "@project",
            "System.WorkItemType": f"'{ITEM}'",
            "System.CreatedBy": "@Me",  # no item of a person's is overwritten
            "System.Title": "'{}'".format(title.replace("'", "''")),
        }
        conditions = " AND ".join(f"[{field}] = {value}" for field, value in wanted.items())
        query = f"SELECT [System.Id] FROM WorkItems WHERE {conditions} AND [System.State] <> '{self._closed()}'"
        if self._dry_run:
            print(query, flush=True)
            return ""
        found = self._call("POST", "_apis/wit/wiql", {"query": query})["workItems"]
        return next((str(each["id"]) for each in found), "")

    def open(self, title: str, file: Path) -> None:
        """Open one."""
        if self._dry_run:
            return
        title = self._named(title)
        found = self._call("POST", f"_apis/wit/workitems/${ITEM}", [_field("System.Title", title), *_text(file)])
        print(f"Opened work item {found['id']}: {title}", flush=True)

    def update(self, number: str, file: Path) -> None:
        """Replace the text."""
        self._call("PATCH", f"_apis/wit/workitems/{number}", _text(file))
        print(f"Updated work item {number}.", flush=True)

    def close(self, number: str) -> None:
        """Close it."""
        last_word = _field("System.History", "Nothing is left of this.")
        self._call("PATCH", f"_apis/wit/workitems/{number}", [_field("System.State", self._closed()), last_word])
        print(f"Closed work item {number}.", flush=True)

    def _named(self, title: str) -> str:
        return f"{title}: {self._name}"

    def _closed(self) -> str:
        """Return the name of the state in which nothing is left to do, which each process calls in its own way."""
        if self._dry_run:
            return "CLOSED"
        states = self._call("GET", f"_apis/wit/workitemtypes/{ITEM}/states")["value"]
        return next(str(each["name"]) for each in states if each["category"] == "Completed")

    def _call(self, method: str, path: str, document: object = None) -> Any:
        assert self._run is not None
        try:
            return self._run.call(method, path, document)
        except RefusedError as error:
            if error.code not in NOT_ALLOWED:
                raise
            raise UserError(
                f"this run may not keep a work item: {error}; `uv run mlops bootstrap` gives the pipelines the right to"
            ) from error


def _field(name: str, value: str) -> dict[str, str]:
    return {"op": "add", "path": f"/fields/{name}", "value": value}


def _text(file: Path) -> list[dict[str, str]]:
    description, text = "System.Description", file.read_text(encoding="utf-8").strip()
    as_markdown = {"op": "add", "path": f"/multilineFieldsFormat/{description}", "value": "Markdown"}
    return [_field(description, text), as_markdown]
