"""The notes of a release, out of the changelog.

    python tests/release_notes.py v0.10.0

Prints them, if the release is the one that pyproject.toml names; otherwise the tag is on the wrong commit.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the notes of the release that the first argument names."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} vX.Y.Z")
    print(notes(sys.argv[1], ROOT))


def notes(tag: str, root: Path) -> str:
    """The section of CHANGELOG.md about a release, without its heading.

    Raises:
        SystemExit: The commit is of another release, or the changelog says nothing about this one.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        sys.exit(f"error: pyproject.toml is of version {version}: tag its commit v{version}, not {tag}")
    sections = re.split(r"^## ", (root / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    found = [text.partition("\n")[2].strip() for text in sections if re.match(rf"{re.escape(tag)}(?!\S)", text)]
    if not found or not found[0]:
        sys.exit(f"error: CHANGELOG.md has no notes under `## {tag}`: move them there, and tag that commit")
    return found[0]


if __name__ == "__main__":
    main()
