"""What a person wants of a process while no supervisor runs: it holds for the next one."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from alphafoundry.supervisor import database
from alphafoundry.supervisor.control import SupervisorError


def set_desired(path: Path, name: str, action: str) -> str:
    """Note that a process shall run, or stay stopped, from the next start on.

    Raises
    ------
    SupervisorError : no process of that name was ever supervised here
    """
    desired = "stop" if action == "stop" else "run"
    if not path.exists():
        raise SupervisorError(f"{path}: nothing has been supervised here yet")
    try:
        with contextlib.closing(database.open_for_writing(path)) as connection:
            row = connection.execute(
                "SELECT standing FROM processes WHERE name = ?", (name,)
            ).fetchone()
            if row is None:
                raise SupervisorError(f"there is no process {name!r}")
            standing = json.dumps(json.loads(row[0]) | {"desired": desired})
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE processes SET desired = ?, standing = ? WHERE name = ?",
                (desired, standing, name),
            )
            connection.execute(
                "INSERT INTO operator_actions (at, action, process, told) VALUES (?, ?, ?, ?)",
                (database.stamp(datetime.now(UTC)), action, name, "no supervisor ran"),
            )
            connection.execute("COMMIT")
    except sqlite3.Error as problem:
        raise SupervisorError(f"{path}: {problem}") from None
    will = "leave it stopped" if desired == "stop" else "start it"
    return f"{name}: no supervisor runs; the next one will {will}"
