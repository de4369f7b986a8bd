"""Migrations of the database, run by `open_store`.

To change the tables: change `tables.py`, add a module to `versions/` whose `down_revision` is
the one before, and set REVISION to its name. A test compares the result with `tables.py`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from alphafoundry.errors import StoreError

REVISION = "0018"
"""The newest revision; a test compares it with the modules in `versions/`."""

VERSION_TABLE = "foundry_schema_version"
"""Not Alembic's usual name, so that the tables can share a database with another program."""


def read_revision(connection: Connection) -> str | None:
    """Return the revision of the database, None where it has no tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return None if found is None else str(found)


def upgrade(connection: Connection, *, label: str) -> None:
    """Bring the database to REVISION within the transaction of `connection`.

    Raises
    ------
    StoreError : the database has a revision that this version does not know
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    current = read_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"{label}: the tables have revision {current}, which this version does not know; "
            "update Alpha Foundry or use another database"
        )
    command.upgrade(config, "head")
