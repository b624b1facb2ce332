"""GitHub from within a run of a workflow, with the token of that run."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from mlops.errors import CommandError, UserError
from mlops.orchestration.comment import Comment, NotAllowedError
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription.account import REMEDIES
from mlops.subscription.choices import Gap

IDS = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID")
"""The variables that an environment on GitHub has, and its jobs sign in to Azure with."""

REFUSED = r"Resource not accessible by|is locked"

# Only what a workflow opened, so that no issue of a person's with the same title is overwritten.
AUTHOR = "github-actions"


def find_gap() -> Gap | None:
    """Return which ids this run does not have, None for none."""
    missing = [name for name in IDS if not os.environ.get(name)]
    lacks = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    return Gap(lacks, partial=len(missing) < len(IDS)) if missing else None


class GitHubComments:
    """The comments under the pull request of this run."""

    def __init__(self, project: Project) -> None:
        """Find the pull request.

        Raises:
            UserError: This is no run of one.
        """
        found = re.fullmatch(r"refs/pull/(\d+)/\w+", os.environ.get("GITHUB_REF", ""))
        repository = os.environ.get("GITHUB_REPOSITORY")
        if not found or not repository:
            raise UserError("GITHUB_REF names no pull request: this runs in a workflow that a pull request starts")
        self.number = found[1]
        self._path = f"repos/{repository}/issues"
        self._shell = Shell(project.root, remedies=REMEDIES, quiet=True)

    def own(self) -> list[Comment]:
        """Return what workflows wrote."""
        path = f"{self._path}/{self.number}/comments?per_page=100"
        pages = json.loads(self._call("--paginate", "--slurp", path) or "[]")
        return [Comment(str(each["id"]), each["body"]) for page in pages for each in page if _is_bot(each)]

    def add(self, text: str) -> None:
        """Write a comment."""
        self._send("POST", f"{self._path}/{self.number}/comments", text)

    def change(self, comment: Comment, text: str) -> None:
        """Replace the text of a comment."""
        self._send("PATCH", f"{self._path}/comments/{comment.key}", text)

    def delete(self, comment: Comment) -> None:
        """Delete a comment."""
        self._call("--method", "DELETE", f"{self._path}/comments/{comment.key}")

    def _send(self, method: str, path: str, text: str) -> None:
        # As JSON in a file: a field of gh would read a text such as @name or true as something else.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "comment.json")
            file.write_text(json.dumps({"body": text}), encoding="utf-8")
            self._call("--method", method, path, "--input", str(file))

    def _call(self, *words: str) -> str:
        try:
            return self._shell.read("gh", "api", *words)
        except CommandError as failure:
            if not re.search(REFUSED, failure.output):
                raise
            reason = failure.output.strip().splitlines()[-1]
            raise NotAllowedError(f"this run may not comment, as one for a fork may not: {reason}") from failure


def _is_bot(comment: dict[str, Any]) -> bool:
    user = comment.get("user") or {}  # none, when it was deleted
    return bool(user.get("type") == "Bot")


class GitHubIssues:
    """The open issues that workflows opened."""

    def __init__(self, project: Project, *, dry_run: bool) -> None:
        """Keep the project; with `dry_run` commands are shown, and none is run."""
        self._shell = Shell(project.root, dry_run, REMEDIES)

    def find(self, title: str) -> str:
        """Return the number of the one with this title."""
        wanted = ("--app", AUTHOR, "--state", "open", "--limit", "1000", "--json", "number,title")
        found = json.loads(self._shell.read("gh", "issue", "list", *wanted) or "[]")
        return next((str(issue["number"]) for issue in found if issue["title"] == title), "")

    def open(self, title: str, file: Path) -> None:
        """Open one."""
        self._shell.run("gh", "issue", "create", "--title", title, "--body-file", str(file))

    def update(self, number: str, file: Path) -> None:
        """Replace the text."""
        self._shell.run("gh", "issue", "edit", number, "--body-file", str(file))

    def close(self, number: str) -> None:
        """Close it."""
        self._shell.run("gh", "issue", "close", number, "--comment", "Nothing is left of this.")


def require_reviewers(environment: str) -> None:
    """Ask GitHub, with the token of the run, for the reviewers of an environment.

    Raises:
        UserError: It has none, or GitHub gives no answer.
    """
    variables = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GH_TOKEN")
    if missing := [name for name in variables if not os.environ.get(name)]:
        raise UserError(f"{missing[0]} is not set: this runs in a workflow, with the token of the job as GH_TOKEN")
    address, repository, token = (os.environ[name] for name in variables)
    # Not with gh, which a machine of one's own need not have.
    request = Request(
        f"{address}/repos/{repository}/environments/{environment}",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
    )
    try:
        with urlopen(request, timeout=30) as response:
            rules = json.load(response).get("protection_rules") or []
    except (OSError, ValueError) as error:
        raise UserError(f"GitHub does not say who approves {environment}: {error}; run this job again") from error
    if not any(rule.get("type") == "required_reviewers" for rule in rules):
        raise UserError(
            f"{environment} is protected, and its environment on GitHub has no required reviewers: add them in its "
            "settings, or start deliver.yml manually with the environment, version and hash typed, which is an "
            "approval, too (docs/operate.md)"
        )
    print(f"{environment} has required reviewers.", flush=True)
