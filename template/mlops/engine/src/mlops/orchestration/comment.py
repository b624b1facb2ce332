"""The one comment that the workflows keep under a pull request: made once, then updated."""

import json
from typing import NamedTuple, Protocol

from mlops.errors import UserError
from mlops.outputs import annotate, run_address, table
from mlops.project import Project
from mlops.repository import place

LIMIT = 65_000  # a comment on GitHub holds 65,536 characters, one in Azure DevOps 150,000
PASSED = ("success", "succeeded", "succeededwithissues", "skipped")


class NotAllowedError(Exception):
    """This run may not comment; the message is the reason."""


class Comment(NamedTuple):
    """A comment that is there: by what the system finds it, and its text."""

    key: str
    text: str


class Comments(Protocol):
    """The comments under the pull request of this run. Each method raises NotAllowedError where a right is missing."""

    number: str
    """Number of the pull request."""

    def own(self) -> list[Comment]:
        """Return what the workflows wrote, in order; what a person wrote is none of it."""

    def add(self, text: str) -> None:
        """Write a comment."""

    def change(self, comment: Comment, text: str) -> None:
        """Replace the text of a comment."""

    def delete(self, comment: Comment) -> None:
        """Delete a comment."""


def comment_text(jobs: str, texts: list[str]) -> str:
    """Return the text of a comment: the jobs that ended otherwise than well, then what the others have written.

    Args:
        jobs: The jobs of the run with their results, as the system of the workflows writes them: `toJSON(needs)` in
            GitHub Actions, `convertToJson(dependencies)` in Azure Pipelines.
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


def keep_comment(comments: Comments, project: Project, markdown: str) -> None:
    """Make the project's comment under the pull request of this run, or update it; others of its own are deleted.

    Args:
        comments: Those under the pull request.
        project: The project; of several in a repository each has a comment of its own.
        markdown: The text, as `comment_text` returns it.

    Raises:
        UserError: The system refuses for another reason than a right that this run lacks.
    """
    mark = f"<!-- mlops: {place(project).folder or 'comment'} -->\n"
    text = mark + markdown
    try:
        # A run of a person's own tools may have written other lines.
        own = [each for each in comments.own() if each.text.replace("\r\n", "\n").startswith(mark)]
        if not own:
            comments.add(text)
        elif own[0].text != text:
            comments.change(own[0], text)
        for each in own[1:]:
            comments.delete(each)
    except NotAllowedError as reason:
        annotate("notice", "No comment", str(reason))
        return
    done = "made" if not own else "updated" if own[0].text != text else "up to date"
    print(f"The comment under pull request {comments.number} is {done}.", flush=True)


def _cut(text: str) -> str:
    """Return a text that a comment can hold, with its code blocks closed."""
    if len(text) <= LIMIT:
        return text
    kept = text[:LIMIT].rpartition("\n")[0]
    closed = "\n```" if kept.count("```") % 2 else ""
    return f"{kept}{closed}\n\n(cut here: the page of the run has all of it)"
