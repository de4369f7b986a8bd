"""A database of Prefect's without rows, kept in the virtual environment, for new homes.

Prefect makes a new SQLite database by running all of its migrations since 2022, which takes
several seconds. The first server that does so here keeps a copy of what came out, before there
are any rows in it, and the next new home begins with that copy. The server checks for migrations
as ever, so a copy that is too old would be brought up to date.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from alphafoundry.sqlite_copy import copy_before
from alphafoundry.sqlite_room import make_able_to_shrink
from alphafoundry.whole_file import replace_file

MIGRATED = "prefect.db.migrations"
"""Beside Prefect's database: what stands for the migrations that it has had."""


def _migration_head(migrations: Path) -> str:
    """Return what stands for Prefect's newest migration and all before it."""
    names = sorted(path.name for path in migrations.glob("*.py"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _kept_copy() -> Path | None:
    """Return where the copy for this Prefect belongs; None outside of a virtual environment."""
    if sys.prefix == sys.base_prefix:
        return None
    return Path(sys.prefix, "share/alphafoundry", f"prefect-{_installed_head()}.db")


def _installed_head() -> str:
    """Return what stands for the migrations of the Prefect that is installed."""
    import prefect.server.database

    migrations = Path(prefect.server.database.__file__).parent / "_migrations/versions/sqlite"
    return _migration_head(migrations)


def _own_database() -> Path | None:
    """Return Prefect's default SQLite file, there or not; None where its settings want another."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_HOME

    path = Path(PREFECT_HOME.value()) / "prefect.db"
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    return path if url == f"sqlite+aiosqlite:///{path}" else None


def provide_database() -> None:
    """Make the database of a new home from the kept copy; where there is none, make and keep one.

    Only Prefect's default database is made. Its migrations run where this cannot help (no
    virtual environment, or one that cannot be written). One that another Prefect has made is
    copied to the backups of the home first: its tables are about to change. Old and new can give
    room back to the disk from then on (`sqlite_room`).

    Raises
    ------
    CopyFailed : there is no room for a copy
    """
    database = _own_database()
    if database is None:
        return
    _copy_before_migration(database)
    if not database.exists():
        _provide_new(database)
    make_able_to_shrink(database)


def _provide_new(database: Path) -> None:
    copy = _kept_copy()
    if copy is None:
        return
    with contextlib.suppress(OSError):
        if copy.exists():
            _put(copy, database)
            return
    _migrate()
    make_able_to_shrink(database)
    with contextlib.suppress(OSError, sqlite3.Error):
        _keep(database, copy)


def _copy_before_migration(database: Path) -> None:
    """Copy a database that another Prefect had last, and write down which has it from now on."""
    head, known = _installed_head(), database.with_name(MIGRATED)
    before = known.read_text("utf-8").strip() if known.exists() else None
    if before == head:
        return
    if before is not None and database.exists():
        import prefect

        from alphafoundry.settings import load_settings

        copy_before(database, f"prefect-{prefect.__version__}", home=load_settings().home)
    replace_file(known, f"{head}\n".encode())


def _put(copy: Path, database: Path) -> None:
    """Put the copy in the place of a database; one that another process made meanwhile stays."""
    with tempfile.TemporaryDirectory(dir=database.parent, prefix=".prefect-") as folder:
        draft = Path(folder, "prefect.db")
        shutil.copyfile(copy, draft)
        with contextlib.suppress(FileExistsError):
            os.link(draft, database)


def _migrate() -> None:
    import asyncio

    from prefect.server.database import provide_database_interface

    asyncio.run(provide_database_interface().create_db())


def _keep(database: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent) as folder:
        draft = Path(folder, "prefect.db")
        with (
            contextlib.closing(sqlite3.connect(database)) as made,
            contextlib.closing(sqlite3.connect(draft)) as kept,
        ):
            made.backup(kept)
            kept.execute("PRAGMA journal_mode = DELETE")
        draft.replace(copy)
