"""The one issue that a workflow keeps with what it found: opened, updated, and closed when there is nothing left."""

import json
from pathlib import Path

from mlops.errors import UserError
from mlops.project import Project
from mlops.repository import place
from mlops.shell import Shell
from mlops.subscription.account import REMEDIES

# Only what a workflow opened, so that no issue of a person's with the same title is overwritten.
AUTHOR = "github-actions"


def keep_issue(project: Project, title: str, file: Path, *, dry_run: bool = False) -> None:
    """Open an issue with the text of a file, or update the open one; with an empty text close it.

    Args:
        project: The project.
        title: The issue's title, by which the next run finds it; beside other projects it gets the folder's name.
        file: The text, as Markdown.
        dry_run: Show the command that looks for the issue and run none.

    Raises:
        UserError: There is no such file, or GitHub refuses.
    """
    if not file.is_file():
        raise UserError(f"{file} is missing: the verb that looks for something writes it, also when it is empty")
    text = file.read_text(encoding="utf-8").strip()
    if folder := place(project).folder:
        title = f"{title}: {folder}"
    shell = Shell(project.root, dry_run, REMEDIES)
    wanted = ("--app", AUTHOR, "--state", "open", "--limit", "1000", "--json", "number,title")
    found = json.loads(shell.read("gh", "issue", "list", *wanted) or "[]")
    number = next((str(issue["number"]) for issue in found if issue["title"] == title), "")
    if text and number:
        shell.run("gh", "issue", "edit", number, "--body-file", str(file))
    elif text:
        shell.run("gh", "issue", "create", "--title", title, "--body-file", str(file))
    elif number:
        shell.run("gh", "issue", "close", number, "--comment", "Nothing is left of this.")
    elif not dry_run:
        print(f"There is nothing to report, and no open issue '{title}'.", flush=True)
