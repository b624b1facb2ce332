"""The one comment that the workflows keep under a pull request on GitHub: made once, then updated."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from mlops.errors import CommandError, UserError
from mlops.outputs import annotate, run_address, table
from mlops.project import Project
from mlops.repository import place
from mlops.shell import Shell
from mlops.subscription.account import REMEDIES

LIMIT = 65_000  # a comment on GitHub holds 65,536 characters
PASSED = ("success", "succeeded", "succeededwithissues", "skipped")
REFUSED = r"Resource not accessible by|is locked"


def comment_text(jobs: str, texts: list[str]) -> str:
    """Return the text of a comment: the jobs that ended otherwise than well, then what the others have written.

    Args:
        jobs: The jobs of the run with their results, as the workflow knows them (`toJSON(needs)`).
        texts: Markdown of metrics, of a plan.

    Raises:
        UserError: `jobs` is something else.
    """
    try:
        results = {name: job["result"] for name, job in json.loads(jobs).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"--jobs takes the JSON of a workflow's `needs`, not {jobs[:80]!r}") from error
    ended = [[name, result] for name, result in results.items() if str(result).lower() not in PASSED]
    parts = [f"## Not passed\n\n{table(['job', 'result'], ended).rstrip()}"] if ended else []
    parts += [text.strip() for text in texts if text.strip()] or ["Nothing was measured."]
    address = run_address()
    return "\n\n".join([_cut("\n\n".join(parts)), *([f"[All of this run]({address})"] if address else [])]) + "\n"


def keep_comment(project: Project, markdown: str) -> None:
    """Make the project's comment under the pull request of this run, or update it; others of its own are deleted.

    Args:
        project: The project; of several in a repository each has a comment of its own.
        markdown: The text, as `comment_text` returns it.

    Raises:
        UserError: This is no run of a pull request.
        CommandError: GitHub refuses for another reason than a right that the token of a fork lacks.
    """
    repository, number = _pull_request()
    mark = f"<!-- mlops: {place(project).folder or 'comment'} -->"
    body = f"{mark}\n{markdown}"
    shell = Shell(project.root, remedies=REMEDIES, quiet=True)
    path = f"repos/{repository}/issues"
    try:
        pages = json.loads(
            shell.read("gh", "api", "--paginate", "--slurp", f"{path}/{number}/comments?per_page=100") or "[]"
        )
        # What a person wrote stays, even with the mark in it.
        own = [each for page in pages for each in page if _is_own(each, mark)]
        if not own:
            _send(shell, "POST", f"{path}/{number}/comments", body)
        elif own[0]["body"] != body:
            _send(shell, "PATCH", f"{path}/comments/{own[0]['id']}", body)
        for each in own[1:]:
            shell.read("gh", "api", "--method", "DELETE", f"{path}/comments/{each['id']}")
    except CommandError as failure:
        if not re.search(REFUSED, failure.output):
            raise
        reason = failure.output.strip().splitlines()[-1]
        annotate("notice", "No comment", f"this run may not comment, as one for a fork may not: {reason}")
        return
    done = "made" if not own else "updated" if own[0]["body"] != body else "up to date"
    print(f"The comment under pull request {number} is {done}.", flush=True)


def _pull_request() -> tuple[str, str]:
    """Return the repository and the number of the pull request that this run is for."""
    found = re.fullmatch(r"refs/pull/(\d+)/\w+", os.environ.get("GITHUB_REF", ""))
    repository = os.environ.get("GITHUB_REPOSITORY")
    if not found or not repository:
        raise UserError("GITHUB_REF names no pull request: this runs in a workflow that a pull request starts")
    return repository, found[1]


def _is_own(comment: dict[str, Any], mark: str) -> bool:
    user = comment.get("user") or {}  # none, when it was deleted
    return user.get("type") == "Bot" and comment["body"].replace("\r\n", "\n").startswith(f"{mark}\n")


def _send(shell: Shell, method: str, path: str, body: str) -> None:
    # As JSON in a file: a field of gh would read a text such as @name or true as something else.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "comment.json")
        file.write_text(json.dumps({"body": body}), encoding="utf-8")
        shell.read("gh", "api", "--method", method, path, "--input", str(file))


def _cut(text: str) -> str:
    """Return a text that a comment can hold, with its code blocks closed."""
    if len(text) <= LIMIT:
        return text
    kept = text[:LIMIT].rpartition("\n")[0]
    closed = "\n```" if kept.count("```") % 2 else ""
    return f"{kept}{closed}\n\n(cut here: the page of the run has all of it)"
