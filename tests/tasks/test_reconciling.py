"""Flow runs whose process is gone do not stay running in Prefect."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Running

from alphafoundry.supervisor import database
from tasks.supervisor.reconciling import mark_crashed, runs_of_the_dead
from tests.working_folder import WorkingFolder

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def kept(path: Path, *runs: tuple[UUID, int, timedelta]) -> sqlite3.Connection:
    with contextlib.closing(database.open_for_writing(path)) as connection:
        for run, pid, ago in runs:
            seen = database.stamp(NOW - ago)
            connection.execute(
                "INSERT INTO flow_runs VALUES (?, 's', ?, ?, ?, NULL, 0, 0, 0)",
                (str(run), pid, seen, seen),
            )
    return database.open_for_reading(path)


def test_a_run_is_dead_when_no_process_has_its_mark(tmp_path: Path) -> None:
    gone, fresh, old = uuid4(), uuid4(), uuid4()
    rows = [(gone, os.getpid(), timedelta(hours=1)), (fresh, 1, timedelta(seconds=5))]
    rows.append((old, 1, timedelta(days=30)))
    with contextlib.closing(kept(tmp_path / database.FILE, *rows)) as connection:
        assert runs_of_the_dead(connection, now=NOW) == {gone}


async def test_what_is_open_is_crashed_and_what_has_ended_keeps_its_state(
    in_process: WorkingFolder,
) -> None:
    @flow
    def nothing() -> None: ...

    async with get_client() as client:
        alive = await client.create_flow_run(nothing, state=Running())
        ended = await client.create_flow_run(nothing, state=Completed())
        assert await mark_crashed([alive.id, ended.id]) == [alive.name]
        assert (await client.read_flow_run(alive.id)).state_name == "Crashed"
        assert (await client.read_flow_run(ended.id)).state_name == "Completed"
    assert await mark_crashed([alive.id]) == []
