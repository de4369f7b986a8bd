"""Room of deleted rows in a SQLite file, given back to the disk while others read and write it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

INCREMENTAL = 2
"""What `PRAGMA auto_vacuum` says of a file that gives room back in steps."""

LOCK_SECONDS = 10.0
STEP_PAGES = 500
"""Pages of one step, 2 MB of 4 KB each: others who write wait some milliseconds."""

PAUSE = 0.02
"""Seconds between two steps in which others write."""


def make_able_to_shrink(path: Path) -> bool:
    """Have a SQLite file keep its pages so that `give_back` can move them; return whether it does.

    A file without tables, or of a few megabytes, takes milliseconds; a large one is written anew
    once, which takes seconds for each 100 MB. It stays as it is where another program has it open
    for writing, where the disk has no room for two more of it, and where it is no SQLite file.
    """
    with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(_open(path)) as found:
        if _pragma(found, "auto_vacuum") == INCREMENTAL:
            return True
        if 2 * path.stat().st_size > shutil.disk_usage(path.parent).free:
            return False
        found.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        found.execute("VACUUM")
        return _pragma(found, "auto_vacuum") == INCREMENTAL
    return False


def give_back(path: Path, *, sleep: Callable[[float], object] = time.sleep) -> int:
    """Cut the free pages of a SQLite file off its end; return how many bytes that gave.

    Nothing is given by a file that `make_able_to_shrink` has not seen, and the rest stays for the
    next time where another program writes it for longer than ten seconds.

    Raises
    ------
    sqlite3.Error : it is damaged
    """
    with contextlib.closing(_open(path)) as found:
        if _pragma(found, "auto_vacuum") != INCREMENTAL:
            return 0
        before = _pragma(found, "page_count")
        free = _pragma(found, "freelist_count")
        while free:
            try:
                # `execute` would give back one page: only `executescript` steps to the end.
                found.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")
            except sqlite3.OperationalError as problem:
                if "locked" not in str(problem):
                    raise
                break
            last, free = free, _pragma(found, "freelist_count")
            if free >= last:
                break
            sleep(PAUSE)
        given = max(0, before - _pragma(found, "page_count"))
        # The file itself becomes shorter when what stands in its WAL has been carried over.
        found.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return given * _pragma(found, "page_size")


def _open(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    found: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return found
