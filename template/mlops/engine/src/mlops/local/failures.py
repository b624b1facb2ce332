"""What goes wrong with the files and the database of `.local`: one line each, with the remedy."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.errors import UserError, first_line

_ELSEWHERE = "or set MLOPS_LOCAL_DIR to another folder"
_NO_SPACE = "no space left: free some, and run it again"
_NOT_YOURS = f"permission denied: check who may read and write it, {_ELSEWHERE}"
_LOCKED = "another program has locked it: end that program, and run it again"
A_FILE_IS_NEEDED = "a file is needed, and this is a folder: move it elsewhere"
_A_FOLDER_IS_NEEDED = "a folder is needed, and this is a file: move it elsewhere"
_FILES = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: f"the disk quota is used up: free some space, {_ELSEWHERE}",
    errno.EFBIG: f"the file is too large for this disk or its limits: raise them, {_ELSEWHERE}",
    errno.EACCES: _NOT_YOURS,
    errno.EPERM: _NOT_YOURS,
    errno.EROFS: f"the disk is read-only: make it writable, {_ELSEWHERE}",
    errno.EEXIST: _A_FOLDER_IS_NEEDED,
    errno.ENOTDIR: _A_FOLDER_IS_NEEDED,
    errno.EISDIR: A_FILE_IS_NEEDED,
    errno.EIO: f"the disk cannot read or write it: check the disk, {_ELSEWHERE}",
}
_DATABASE = {
    sqlite3.SQLITE_FULL: _NO_SPACE,
    sqlite3.SQLITE_READONLY: _NOT_YOURS,
    sqlite3.SQLITE_PERM: _NOT_YOURS,
    sqlite3.SQLITE_CANTOPEN: _NOT_YOURS,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_IOERR: f"the disk cannot read or write it, or is full: check the disk, {_ELSEWHERE}",
}


@contextmanager
def explained(store: Path) -> Iterator[None]:
    """Make one line of an error of files or of the database `store`.

    Raises:
        UserError: There was one.
    """
    try:
        yield
    # Who reads the terminal, such as `head`, has gone: that is no failure of the folder.
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        if text := failure(error, store) or _missing(error):
            raise UserError(text) from error
        raise


def failure(error: BaseException, store: Path) -> str | None:
    """Return the line for an error of the database, or of a file that is there; None for others."""
    return database_failure(error, store) or _file_failure(error)


def database_failure(error: BaseException, store: Path) -> str | None:
    """Return the line for an error of the database, wherever it is among the causes; None if there is none."""
    for each in _causes(error):
        if isinstance(each, sqlite3.Error):
            text = _DATABASE.get(getattr(each, "sqlite_errorcode", 0) & 0xFF)
            return f"{store}: {text}" if text else unreadable(store, each)
    # A name, because importing the library takes long.
    of_library = [each for each in _causes(error) if type(each).__module__.startswith("sqlalchemy.")]
    return unreadable(store, of_library[0]) if of_library else None


def _file_failure(error: BaseException) -> str | None:
    for each in _causes(error):
        if isinstance(each, OSError) and each.errno not in (None, errno.ENOENT):
            text = _FILES.get(each.errno) or f"{os.strerror(each.errno)}: check it, {_ELSEWHERE}"
            return f"{each.filename}: {text}" if each.filename else text
    return None


def _missing(error: BaseException) -> str | None:
    gone = [each.filename for each in _causes(error) if isinstance(each, FileNotFoundError)]
    return f"{gone[0]} is missing, or was deleted meanwhile: run it again" if gone else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        yield cause
        seen.append(cause)
        cause = cause.__cause__


def unreadable(store: Path, reason: object) -> str:
    """Return the line for a database that is damaged."""
    remedy = f"delete {store.parent} to start afresh, without the runs and models of before"
    return f"{store} cannot be read ({first_line(reason)}): restore it, or {remedy}"
