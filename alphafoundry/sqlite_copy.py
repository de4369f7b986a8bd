"""Whole copies of SQLite files, made while others read and write them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from alphafoundry.errors import FoundryError

WAIT = 60.0

BACKUPS = "backups"
"""Folder with the copies, in the home folder."""

BEFORE = "-before-"
"""In the name of a folder with copies from before a change, between day and change."""


class CopyFailed(FoundryError):
    """A SQLite file cannot be copied, or a copy is not whole."""


def copy_database(source: Path, copy: Path) -> None:
    """Copy a SQLite file as it is at one moment, what stands in its WAL included.

    The copy is there whole or not at all, readable by its owner alone, and on the disk on return.

    Raises
    ------
    CopyFailed : there is not room for two of it, or the file cannot be read
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    room, size = shutil.disk_usage(copy.parent).free, source.stat().st_size
    if 2 * size > room:
        raise CopyFailed(
            f"{copy}: {size / 2**20:.0f} MB and a rest do not fit into the "
            f"{room / 2**20:.0f} MB that are free; make room"
        )
    draft = copy.with_name(f".{copy.name}")
    draft.unlink(missing_ok=True)
    try:
        with contextlib.closing(_open_to_read(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(draft),))
    except sqlite3.Error as problem:
        draft.unlink(missing_ok=True)
        raise CopyFailed(f"{source}: {problem}") from None
    draft.chmod(0o600)
    flush(draft)
    draft.replace(copy)
    flush(copy.parent)


def copy_before(file: Path, change: str, *, home: Path) -> None:
    """Copy a SQLite file whose tables are about to change; one copy a day of each change will do.

    Parameters
    ----------
    change : what stands for the change in the name of the copy's folder

    Raises
    ------
    CopyFailed : there is no room for a copy, or the file cannot be read
    """
    folder = home / BACKUPS / f"{datetime.now(UTC).date().isoformat()}{BEFORE}{change}"
    if not (folder / file.name).exists():
        copy_database(file, folder / file.name)


def fault_of(path: Path) -> str | None:
    """Return what is wrong with a SQLite file in one line, None where it is whole.

    A file of no bytes is none: SQLite takes it for a database without tables.
    """
    try:
        if path.stat().st_size == 0:
            return "it holds nothing"
        with contextlib.closing(_open_to_read(path)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except (sqlite3.Error, OSError) as problem:
        return str(problem)
    return None if found == "ok" else " ".join(str(found).split())


def is_in_use(path: Path) -> bool:
    """Return whether another connection has a SQLite file open."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as connection:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as problem:
        return "locked" in str(problem)
    except sqlite3.DatabaseError:  # damaged, and nobody can use it
        return False
    return False


def flush(path: Path) -> None:
    """Bring a file or a folder onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT)
