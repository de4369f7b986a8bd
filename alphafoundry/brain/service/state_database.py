"""The SQLite database of one local server: opened, configured, read and written in transactions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from alphafoundry.brain.service.tables import metadata
from alphafoundry.errors import StoreError

SCHEMA_VERSION = 1
BUSY_SECONDS = 30


class StateDatabase:
    """A database in which every change is one transaction.

    Parameters
    ----------
    path : SQLite file, made with its folder where absent
    service : only rows of this service are seen

    Raises StoreError where the file cannot be opened.
    """

    def __init__(self, path: Path, *, service: str) -> None:
        self.service = service
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_SECONDS},
            json_serializer=_json,
        )
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        # Raised after the handlers, to leave the driver's chain of errors out.
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._engine.begin() as connection:
                found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                if found == 0:
                    metadata.create_all(connection)
                    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except DBAPIError as problem:
            reason = str(problem.orig)
        except OSError as problem:
            reason = problem.strerror or str(problem)
        else:
            if found in (0, SCHEMA_VERSION):
                return
            reason = f"written by another version ({found})"
        self._engine.dispose()
        raise StoreError(
            f"{path}: cannot be used as the state of the local BRAIN server: {reason}; "
            "name another file"
        )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database."""
        with self._engine.connect().execution_options(reading=True) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection inside a transaction that no other writer interrupts."""
        with self._engine.begin() as connection:
            yield connection

    def value(self, query: Select[Any], **parameters: Any) -> Any:
        """Return the only value that a query finds, None where it finds none."""
        with self.reading() as connection:
            return connection.execute(query, parameters).scalar_one_or_none()


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _configure(connection: Any, _: object) -> None:
    # Transactions are begun by `_begin`; the driver's own handling would begin them late.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
