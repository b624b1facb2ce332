"""The one issue that a workflow keeps with what it found: opened, updated, and closed when there is nothing left."""

from pathlib import Path

from mlops.errors import UserError
from mlops.project import Project
from mlops.repository import place
from mlops.subscription.choices import Issues


def keep_issue(issues: Issues, project: Project, title: str, file: Path, *, dry_run: bool = False) -> None:
    """Open an issue with the text of a file, or update the open one; with an empty text close it.

    Args:
        issues: Those of the project.
        project: The project.
        title: The issue's title, by which the next run finds it; beside other projects it gets the folder's name.
        file: The text, as Markdown.
        dry_run: Whether nothing is looked up or changed.

    Raises:
        UserError: There is no such file, or the system refuses.
    """
    if not file.is_file():
        raise UserError(f"{file} is missing: the verb that looks for something writes it, also when it is empty")
    text = file.read_text(encoding="utf-8").strip()
    if folder := place(project).folder:
        title = f"{title}: {folder}"
    number = issues.find(title)
    if text and number:
        issues.update(number, file)
    elif text:
        issues.open(title, file)
    elif number:
        issues.close(number)
    elif not dry_run:
        print(f"There is nothing to report, and no open issue '{title}'.", flush=True)
