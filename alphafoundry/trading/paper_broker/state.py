"""The paper broker's own store, apart from the desk's: one SQLite file, or none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from alphafoundry.errors import StoreError

SCHEMA_VERSION = 1


class State:
    """What the broker knows, saved in one transaction per request.

    path : SQLite file, made with its folder where absent; None saves nothing
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(
                    "BEGIN IMMEDIATE;"
                    "CREATE TABLE book (id INTEGER PRIMARY KEY, body TEXT NOT NULL);"
                    "CREATE TABLE orders (id TEXT PRIMARY KEY, body TEXT NOT NULL);"
                    "CREATE TABLE activities (number INTEGER PRIMARY KEY, body TEXT NOT NULL);"
                    f"PRAGMA user_version = {SCHEMA_VERSION};"
                    "COMMIT;"
                )
            elif version != SCHEMA_VERSION:
                raise StoreError(
                    f"{path}: written by another version ({version}); name another file"
                )
        except (sqlite3.Error, OSError) as problem:
            raise StoreError(
                f"{path}: cannot be used as the state of the paper broker: {problem}; "
                "name another file"
            ) from None
        self._connection = connection

    @property
    def keeps(self) -> bool:
        """Whether anything is saved."""
        return self._connection is not None

    def load(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the book (None where it is new), the orders and the activities as saved."""
        if self._connection is None:
            return None, [], []
        rows = {
            table: [json.loads(body) for (body,) in self._connection.execute(query)]
            for table, query in (
                ("book", "SELECT body FROM book"),
                ("orders", "SELECT body FROM orders ORDER BY rowid"),
                ("activities", "SELECT body FROM activities ORDER BY number"),
            )
        }
        return (rows["book"] or [None])[0], rows["orders"], rows["activities"]

    def save(
        self,
        *,
        book: Mapping[str, Any],
        orders: Sequence[Mapping[str, Any]],
        activities: Sequence[Mapping[str, Any]],
        first: int,
    ) -> None:
        """Save what has changed, however often; `first` is the number of the first activity."""
        if self._connection is None:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT INTO book VALUES (1, ?) "
                "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (_text(book),),
            )
            self._connection.executemany(
                "INSERT INTO orders VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                [(order["id"], _text(order)) for order in orders],
            )
            self._connection.executemany(
                "INSERT INTO activities VALUES (?, ?) "
                "ON CONFLICT (number) DO UPDATE SET body = excluded.body",
                [(first + n, _text(one)) for n, one in enumerate(activities)],
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as problem:
            raise StoreError(f"{self._path}: {problem}; is there space on the disk?") from None

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()


def _text(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
