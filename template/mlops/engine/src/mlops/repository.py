"""Where the project lies in its Git repository: at the top, or in a folder of its own beside other projects."""

import re
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import UserError
from mlops.project import Project

VERB = "uv run mlops workflows"
"""What writes the copies at the top of the repository."""


@dataclass(frozen=True)
class Place:
    """The repository's top folder, and the path of the project from there; empty when the project is the top."""

    top: Path
    folder: str = ""

    @property
    def shared(self) -> bool:
        """Whether the repository has room for other projects."""
        return bool(self.folder)

    @property
    def prefix(self) -> str:
        """What makes a name the project's own in the repository; empty when the project is alone there."""
        return re.sub(r"[^a-z0-9]+", "-", self.folder.lower()).strip("-")

    def named(self, name: str, separator: str = "-") -> str:
        """Return the name that something of the project has in its repository, such as a GitHub environment."""
        return f"{self.prefix}{separator}{name}" if self.shared else name

    def check(self) -> None:
        """Look whether workflows can name the folder.

        Raises:
            UserError: The path has characters that a filter of paths would read in another way.
        """
        if not re.fullmatch(r"[A-Za-z0-9._/-]*", self.folder):
            folder = f"the project's folder is {self.folder}"
            raise UserError(f"{folder}: use letters, digits, '.', '-' and '_' alone in its name")


def place(project: Project) -> Place:
    """Find the project's place in the Git repository around it; without one, the project is the top."""
    top = next((folder for folder in (project.root, *project.root.parents) if (folder / ".git").exists()), project.root)
    folder = project.root.relative_to(top).as_posix() if top != project.root else ""
    return Place(top, folder)
