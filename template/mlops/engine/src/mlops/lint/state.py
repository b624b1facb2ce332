"""What the check of the definitions depends on, as one hash: while it is the same, so is what the check finds."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import mlops
from mlops.project import Project, is_ignored


def state(project: Project) -> str:
    """Return a hash of the files of the project, with their sizes and times, and of the packages that are installed.

    Of the data it has the schema alone: the settings are held against it, and the rows are read, in each run.
    """
    installed = Path(sysconfig.get_path("purelib"))
    lines = [sys.version, str(installed), str(installed.stat().st_mtime_ns)]
    engine = Path(str(mlops.__file__)).parent
    for root in dict.fromkeys([project.root, engine]):
        lines += sorted(_files(root, project.data))
    lines += sorted(_described(path) for path in (project.data, project.schema, *project.data.glob("*")))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _files(root: Path, data: Path) -> Iterator[str]:
    for folder, below, names in os.walk(root):
        here = Path(folder)
        below[:] = [name for name in below if not is_ignored(Path(name)) and here / name != data]
        yield from (_described(here / name) for name in names if not is_ignored(Path(name)))


def _described(path: Path) -> str:
    if path.is_dir():
        return str(path)
    try:
        found = path.lstat()
    except OSError as error:  # the lint names it
        return str(error)
    return f"{path} {found.st_size} {found.st_mtime_ns}"
