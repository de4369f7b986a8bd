"""A supervision as Prefect sees it: events, a progress bar, tables. Nothing here decides anything.

Everything is read from `supervisor.db`; a view that dies is started again, and supervising goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from prefect.artifacts import (
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

from alphafoundry.errors import FoundryError
from alphafoundry.runs import Stop
from alphafoundry.settings import load_limits
from alphafoundry.supervisor import database, linux
from alphafoundry.supervisor.control import SupervisorError, ask, is_running
from alphafoundry.supervisor.reading import (
    health_told,
    last_supervision,
    moment_of,
    next_action,
    reading,
)
from alphafoundry.supervisor.worker_runs import WORKER
from tasks.prefect.server import refuses
from tasks.supervisor.old_steps import MOST, delete_old_steps
from tasks.supervisor.reconciling import mark_crashed, runs_of_the_dead
from tasks.supervisor.throttle import CAP, Throttle

LOOK_SECONDS = 2.0
PROGRESS_SECONDS = 60.0
TABLE_SECONDS = 300.0
TIDY_SECONDS = 3600.0
START_SECONDS = 60.0
LEAST_KINDS = frozenset(
    {
        "started",
        "ready",
        "finished",
        "restarting",
        "unhealthy",
        "quarantined",
        "recovered",
        "crash_loop",
        "stopped",
        "machine",
        "leak",
        "pattern",
    }
)
"""Kinds of events that Prefect is told; the rest stays in the database."""


def inside_supervision() -> bool:
    """Return whether a supervisor has started this process to be its view.

    A worker may be supervised, too; what it runs is not the view.
    """
    marks = os.environ.get(linux.PROCESS, "").split()
    return bool(marks) and marks[-1].rpartition("/")[2].startswith("session:")


@contextlib.asynccontextmanager
async def own_supervision(
    home: Path, *, runtime: float | None, config: str, only: list[str] | None
) -> AsyncIterator[None]:
    """Run a supervision that ends with this process, however that ends.

    Raises
    ------
    FoundryError : one runs already, or it did not start
    """
    if is_running(home):
        raise FoundryError(f"a supervisor runs for {home} already; its own session shows it")
    command = [sys.executable, "-m", "flows.supervise", "--tied", "--no-session"]
    command += ["--config", config]
    command += [] if runtime is None else ["--runtime", f"{runtime:g}"]
    command += ["--only", ",".join(only)] if only else []
    # The pipe closes when this process ends, and with it the supervision.
    child = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_running(home):
            if child.returncode is not None or time.monotonic() > deadline:
                raise FoundryError("the supervision did not start; the worker's output says why")
            await asyncio.sleep(0.2)
        yield
    finally:
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()


class View:
    """Follows one supervision until it ends or this run is to stop."""

    def __init__(self, home: Path, *, steps_hours: float | None = None) -> None:
        self._home = home
        self._steps = None if steps_hours is None else timedelta(hours=steps_hours)
        self._tidied_at = -math.inf
        self._path = home / database.FILE
        self._seen: int | None = None
        self._dropped = 0
        self._progress: UUID | None = None
        self._progress_at = -math.inf
        self._table_at = -math.inf
        self._states: dict[str, str] = {}
        self._settled: set[UUID] = set()
        self._throttle = Throttle(CAP, load_limits()[CAP])

    async def follow(self, stop: Stop) -> None:
        """Show what happens; returns when the supervision is over or `stop` is set."""
        while not stop.is_set() and is_running(self._home):
            with contextlib.suppress(SupervisorError, sqlite3.Error):
                await self._show()
                await self._hold_caps()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        with contextlib.suppress(SupervisorError, sqlite3.Error):
            await self._tell_events()
            with reading(self._path) as connection:
                supervision = last_supervision(connection)["id"]
            await asyncio.to_thread(_emit_of_supervisor, "ended", supervision)
        with contextlib.suppress(Exception):
            await self._throttle.give_back()

    async def _show(self) -> None:
        await self._tell_events()
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_SECONDS:
            self._progress_at = now
            await self._show_progress()
        if self._steps is not None and now - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = now
            # The server may be away; the next hour tries again.
            with contextlib.suppress(Exception):
                names = [row["name"] for row in self._rows() if row["name"] != WORKER]
                if await delete_old_steps(datetime.now(UTC) - self._steps, names) >= MOST:
                    self._tidied_at = -math.inf  # the next look goes on
        states = {row["name"]: row["state"] for row in self._rows()}
        if states != self._states and now - self._table_at >= TABLE_SECONDS:
            self._table_at, self._states = now, states
            await self._show_table()

    async def _tell_events(self) -> None:
        with reading(self._path) as connection:
            supervision = last_supervision(connection)["id"]
            rows = connection.execute(
                "SELECT * FROM process_events WHERE supervision = ? AND id > ? ORDER BY id "
                "LIMIT 200",
                (supervision, self._seen or 0),
            ).fetchall()
        told = [row for row in rows if row["kind"] in LEAST_KINDS]
        self._seen = rows[-1]["id"] if rows else self._seen
        url = PREFECT_API_URL.value()
        if told and url and await asyncio.to_thread(refuses, url):
            self._dropped += len(told)
            return
        if told and self._dropped:
            get_run_logger().warning(
                "%d events were not told while the server was away; process_events has them",
                self._dropped,
            )
            self._dropped = 0
        for row in told:
            # Sending may block or raise when the server goes away just now; the rows stay.
            with contextlib.suppress(Exception):
                await asyncio.to_thread(_emit, dict(row))

    async def _hold_caps(self) -> None:
        """Lower the cap of simulations while memory is short, and give it back."""
        with reading(self._path) as connection:
            row = connection.execute(
                "SELECT level FROM machine_usage ORDER BY at DESC LIMIT 1"
            ).fetchone()
        if row is not None:
            # The server may be away, or the cap not made yet; the next look tries again.
            with contextlib.suppress(Exception):
                told = await self._throttle.follow(row["level"])
                if told is not None:
                    get_run_logger().warning(told)

    async def _show_progress(self) -> None:
        with reading(self._path) as connection:
            row = last_supervision(connection)
            dead = runs_of_the_dead(connection, now=datetime.now(UTC)) - self._settled
        # The server may be away; the next look tries again.
        with contextlib.suppress(Exception):
            await self._settle(dead)
        minutes = row["runtime_minutes"]
        await asyncio.to_thread(_emit_of_supervisor, "beat", row["id"])
        if not minutes:
            return
        elapsed = (datetime.now(UTC) - moment_of(row["started_at"])).total_seconds()
        done = min(100.0, 100 * elapsed / (60 * minutes))
        if self._progress is None:
            made = await acreate_progress_artifact(
                progress=done, key="supervision-runtime", description="of its runtime"
            )
            self._progress = made if isinstance(made, UUID) else None
        else:
            await aupdate_progress_artifact(artifact_id=self._progress, progress=done)

    async def _settle(self, dead: set[UUID]) -> None:
        """Let Prefect know of flow runs whose process is gone."""
        if dead:
            for name in await mark_crashed(dead):
                get_run_logger().warning("%s: its process is gone; it is crashed now", name)
            self._settled |= dead

    async def _show_table(self) -> None:
        now = datetime.now(UTC)
        await acreate_table_artifact(
            key="supervised-processes",
            table=[
                {
                    "process": row["name"],
                    "state": row["state"],
                    "health": health_told(row),
                    "turns": row["turns"],
                    "restarts": f"{row['restarts']}/{row['max_restarts']}",
                    "next": next_action(row, now),
                    "why": row["why"] or "",
                }
                for row in self._rows()
            ],
            description="what is supervised",
        )

    def _rows(self) -> list[Any]:
        with reading(self._path) as connection:
            return connection.execute(
                "SELECT * FROM processes WHERE supervision = ? ORDER BY priority, name",
                (last_supervision(connection)["id"],),
            ).fetchall()


def end_supervision(home: Path, why: str) -> None:
    """Have the supervision end; one that is gone already is no error."""
    with contextlib.suppress(SupervisorError):
        ask(home, {"do": "end", "why": why})


def _emit(row: dict[str, Any]) -> None:
    name = row["process"] or "supervisor"
    # A view that was started again tells everything again: by its id, the server keeps one.
    emit_event(
        event=f"foundry.process.{row['kind']}",
        resource={
            "prefect.resource.id": f"foundry.process.{name}",
            "prefect.resource.name": name,
        },
        occurred=moment_of(row["at"]),
        payload={key: row[key] for key in ("at", "severity", "text", "supervision")},
        id=uuid5(NAMESPACE_OID, f"{row['supervision']} {row['id']}"),
    )


def _emit_of_supervisor(what: Literal["beat", "ended"], supervision: str) -> None:
    with contextlib.suppress(Exception):
        emit_event(
            event=f"foundry.supervisor.{what}",
            resource={"prefect.resource.id": f"foundry.supervision.{supervision}"},
        )
