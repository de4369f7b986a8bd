"""New SQLite databases with the tables that the migrations made once in this process.

Migrating an empty database takes 0.15 s of processor time, and hundreds of tests begin with one.
`tests/library/store/test_open_store.py` runs the migrations themselves, and compares.
"""

from __future__ import annotations

import functools

from sqlalchemy import Connection, create_engine

from alphafoundry.store import database
from alphafoundry.store.migrations import REVISION, VERSION_TABLE, upgrade

COUNT = "SELECT count(*) FROM sqlite_master"
TABLES = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"


def use_ready_tables() -> None:
    """Let `open_store` of this process fill an empty SQLite database without the migrations."""
    ready_tables()
    database.upgrade = upgrade_from_ready_tables


def use_migrations() -> None:
    """Let `open_store` of this process run the migrations, as for a user."""
    database.upgrade = upgrade


def upgrade_from_ready_tables(connection: Connection, *, label: str) -> None:
    """Do what `upgrade` does; where an SQLite database is empty, without the migrations."""
    if connection.dialect.name != "sqlite" or connection.exec_driver_sql(COUNT).scalar():
        upgrade(connection, label=label)
        return
    for statement in ready_tables():
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (REVISION,))


@functools.cache
def ready_tables() -> tuple[str, ...]:
    """Return the statements that make what the migrations make of an empty database."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        upgrade(connection, label="the tests")
        return tuple(row[0] for row in connection.exec_driver_sql(TABLES))
