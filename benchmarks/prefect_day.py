"""Prefect's database after a day of the platform: `make bench-prefect-day`.

A real server records one round of a flow that goes on and one turn with a report. Their rows are
then multiplied to what `make up` gives in 24 hours, spread over the last 24, and the server runs
with the retention of `config/platform.yaml`; what the platform does every hour is done once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Running

from alphafoundry.sqlite_room import give_back
from alphafoundry.supervisor.platform import MANY_EVENTS, PrefectRetention
from benchmarks.results_file import write_result
from tasks.run import tag_of_process
from tasks.supervisor.old_steps import MOST, delete_old_steps

_AT_FULL_SPEED = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "20",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_BATCH_SIZE": "5000",
}
"""A day is deleted at once, not an hour of it each hour; what is deleted stays the same."""

MOST_MB = 200.0
WAIT = 900.0
OUTER = "alphas"


@dataclass(frozen=True)
class Day:
    """What 24 hours of the platform record.

    Attributes
    ----------
    rounds : flow runs that begin, and end, inside the one that goes on
    tasks : task runs of each, with a log line of `line_bytes`
    turns : flow runs of their own, with a report of `report_bytes`
    """

    rounds: int
    tasks: int
    turns: int
    line_bytes: int = 800
    report_bytes: int = 120_000

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds of {self.tasks} task runs, {self.turns} turns with a report of "
            f"{self.report_bytes // 1000} KB"
        )


@dataclass(frozen=True)
class Sizes:
    """Prefect's database, WAL included, in MB (2**20 bytes), and what it holds."""

    before_mb: float
    after_mb: float
    task_runs_before: int
    task_runs_after: int
    events_before: int
    events_after: int
    logs_before: int
    logs_after: int
    young_events_lost: int


def measure(folder: Path, day: Day, *, told: Callable[[str], object] = lambda line: None) -> Sizes:
    """Fill a Prefect database in an empty folder with a day, and let retention run over it.

    Raises
    ------
    SystemExit : the server did not start, or retention did not end in time
    """
    path = folder / "prefect.db"
    with _server(folder, {}) as url, _client_of(url, folder):
        asyncio.run(_record(day))
        EventsWorker.drain_all(timeout=60)
        APILogWorker.drain_all(timeout=60)
        # Of each task run: pending, running, completed. The one that stands for a round has none.
        _until(lambda: _one(path, _RECORDED) >= 3 * day.tasks, "record of the task runs")
    now = datetime.now(UTC)
    _multiply(path, day, now)
    before = _counts(path)
    told(f"{_mb(path):.0f} MB, {before['task_run']} task runs, {before['events']} events")
    size = _mb(path)
    recorded = _events(path)
    retention = PrefectRetention()
    with _server(folder, retention.environment() | _AT_FULL_SPEED) as url, _client_of(url, folder):
        asyncio.run(_delete_old_steps(now - timedelta(hours=retention.steps_hours)))
        kept = timedelta(hours=retention.task_events_hours)
        oldest = _stamp(now - kept)
        # The server deletes the log of a deleted flow run after it has answered.
        _until(
            lambda: _one(path, _LOGS_OF_DELETED) == 0 and min(_events(path).values()) >= oldest,
            "end of retention",
        )
    # Nothing later than this was old when the server last looked.
    old, left = _stamp(datetime.now(UTC) - kept), _events(path)
    lost = sum(moment > old and one not in left for one, moment in recorded.items())
    give_back(path)
    after = _counts(path)
    return Sizes(
        size, _mb(path), before["task_run"], after["task_run"], before["events"], after["events"],
        before["log"], after["log"], lost,
    )  # fmt: skip


@contextlib.contextmanager
def _server(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PREFECT_HOME": str(folder), **environment}
    env.pop("PREFECT_API_URL", None)
    with (folder / "server.txt").open("ab") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "tasks.prefect.server", "--port", str(port)],
            env=env,
            stdout=said,
            stderr=said,
        )
    url = f"http://127.0.0.1:{port}/api"

    def answers() -> bool:
        if child.poll() is not None:
            raise SystemExit(f"error: the server has ended: {(folder / 'server.txt').read_text()}")
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{url}/health", trust_env=False, timeout=20).is_success
        return False

    try:
        _until(answers, "server")
        yield url
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(120)


@contextlib.contextmanager
def _client_of(url: str, folder: Path) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: folder}):
        yield


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"error: no {what} within {WAIT:.0f} s")
        time.sleep(0.5)


async def _record(day: Day) -> None:
    """Have a real round and a real turn recorded, the outer run as one that goes on."""

    @task(name="simulate", task_run_name="simulate rank(ts_delta(close, 5)) and 9 more: {number}")
    def simulate(number: int) -> None:
        get_run_logger().info("x" * day.line_bytes)

    @flow(name="generate")
    async def generate() -> None:
        for number in range(day.tasks):
            simulate(number)

    @flow(name="continuous")
    async def continuous() -> None:
        await generate()

    @flow(name="optimize")
    async def optimize() -> None:
        await acreate_markdown_artifact(key="report", markdown="x" * day.report_bytes)

    outer = await continuous(return_state=True)
    await optimize()
    async with get_client() as client:
        run = outer.state_details.flow_run_id
        assert run is not None
        await client.update_flow_run(run, tags={tag_of_process(OUTER)})
        await client.set_flow_run_state(run, Running(), force=True)


_RECORDED = (
    "SELECT min((SELECT count(*) FROM events WHERE event LIKE 'prefect.task-run.%'), "
    "(SELECT 3 * count(*) FROM task_run WHERE end_time IS NOT NULL))"
)
_LOGS_OF_DELETED = "SELECT count(*) FROM log WHERE flow_run_id NOT IN (SELECT id FROM flow_run)"
_UUID = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")

_ROWS: Mapping[str, str] = {
    "flow_run": "id = :run",
    "flow_run_state": "flow_run_id = :run",
    "task_run": "flow_run_id = :run OR id = :stands",
    "task_run_state": "task_run_id IN (SELECT id FROM task_run WHERE flow_run_id = :run) "
    "OR task_run_id = :stands",
    "log": "flow_run_id = :run",
    "artifact": "flow_run_id = :run",
    "events": "id IN (SELECT event_id FROM event_resources WHERE resource_id IN "
    "(SELECT 'prefect.flow-run.' || :run UNION SELECT 'prefect.task-run.' || :stands))",
    "event_resources": "event_id IN (SELECT event_id FROM event_resources WHERE resource_id IN "
    "(SELECT 'prefect.flow-run.' || :run UNION SELECT 'prefect.task-run.' || :stands))",
}
"""Everything that the server has of a flow run, and of the task run that stands for it."""


async def _delete_old_steps(before: datetime) -> None:
    """Do at once what the platform's looks do one after the other."""
    while await delete_old_steps(before, [OUTER]) >= MOST:
        pass


def _multiply(path: Path, day: Day, now: datetime) -> None:
    """Write every row of the recorded runs again, with other ids and moments."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        for name, count in (("generate", day.rounds), ("optimize", day.turns)):
            run, stands = connection.execute(
                "SELECT r.id, r.parent_task_run_id FROM flow_run r JOIN flow f ON f.id = r.flow_id "
                "WHERE f.name = ?",
                (name,),
            ).fetchone()
            keys = {"run": run, "stands": stands}
            # It is unique within the outer run, and so are the others by their ids.
            connection.execute("UPDATE task_run SET dynamic_key = id WHERE id = :stands", keys)
            rows = {
                table: connection.execute(f"SELECT * FROM {table} WHERE {which}", keys).fetchall()
                for table, which in _ROWS.items()
            }
            own = {
                row[0]
                for table, which in _ROWS.items()
                for row in connection.execute(f"SELECT id FROM {table} WHERE {which}", keys)
            }
            copies = {
                table: [[_copier(one, own) for one in row] for row in found]
                for table, found in rows.items()
                if found
            }
            for number in range(1, count):
                shift = timedelta(days=1) * number / count
                ids = {one: str(uuid4()) for one in own}
                for table, found in copies.items():
                    connection.executemany(
                        f"INSERT INTO {table} VALUES ({', '.join('?' * len(found[0]))})",
                        [[copy(ids, shift) for copy in row] for row in found],
                    )
            connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")


def _copier(value: Any, own: Set[str]) -> Callable[[Mapping[str, str], timedelta], Any]:
    """Return what writes a value again: a moment earlier, own ids replaced wherever they stand."""
    if not isinstance(value, str):
        return lambda ids, shift: value
    if _MOMENT.fullmatch(value):
        moment = datetime.fromisoformat(value)
        return lambda ids, shift: (moment - shift).isoformat(" ", "microseconds")
    parts = _UUID.split(value)
    if not own.intersection(parts):
        return lambda ids, shift: value
    return lambda ids, shift: "".join([ids.get(part, part) for part in parts])


def _one(path: Path, text: str) -> int:
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        return int(connection.execute(text).fetchone()[0])


def _counts(path: Path) -> dict[str, int]:
    tables = ("task_run", "events", "log")
    return {table: _one(path, f"SELECT count(*) FROM {table}") for table in tables}


def _events(path: Path) -> dict[str, str]:
    """Return the ids of events of the many kinds, and when they occurred."""
    marks = ", ".join("?" * len(MANY_EVENTS))
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        return dict(
            connection.execute(
                f"SELECT id, occurred FROM events WHERE event IN ({marks})", MANY_EVENTS
            )
        )


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _mb(path: Path) -> float:
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*")) / 2**20


COUNTED = Day(rounds=2880, tasks=14, turns=168)
"""More than `make up` gave in 24 hours; docs/supervisor.md says what was counted."""


def main() -> None:
    """Measure, print, and write the result; exit with 1 where too much is left."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefect_day")
    parser.add_argument("--rounds", type=int, default=COUNTED.rounds)
    parser.add_argument("--tasks", type=int, default=COUNTED.tasks)
    parser.add_argument("--turns", type=int, default=COUNTED.turns)
    given = parser.parse_args()
    day = Day(given.rounds, given.tasks, given.turns)
    logging.getLogger("prefect").setLevel(logging.ERROR)
    print(day, flush=True)
    with tempfile.TemporaryDirectory(prefix="foundry-prefect-day-") as name:
        found = measure(Path(name), day, told=lambda line: print(line, flush=True))
    print(
        f"after retention {found.after_mb:.0f} MB ({MOST_MB:.0f} allowed), "
        f"{found.task_runs_after} task runs, {found.events_after} events, "
        f"{found.logs_after} log lines, "
        f"{found.young_events_lost} young events lost"
    )
    if day == COUNTED:
        write_result("prefect_day", [asdict(day) | asdict(found)], ["prefect"])
    sys.exit(1 if found.after_mb > MOST_MB or found.young_events_lost else 0)


if __name__ == "__main__":
    main()
