"""What the supervisor remembers: `supervisor.db`, SQLite, written by the core alone.

Moments are UTC as text, so that plain SQL reads and compares them.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alphafoundry.sqlite_copy import copy_before
from alphafoundry.supervisor.processes import Retention

FILE = "supervisor.db"
VERSION = 3
WAIT = 10.0
ROOM = 20_000
"""Statements that may wait for the disk; what comes beyond is counted and dropped."""

FLUSH_SECONDS = 0.25
CARE_SECONDS = 600.0
_VACUUM_PAGES = 500

SCHEMA = """
CREATE TABLE supervisions (
    id TEXT PRIMARY KEY, started_at TEXT NOT NULL, ended_at TEXT, status TEXT NOT NULL,
    runtime_minutes REAL NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, config TEXT NOT NULL,
    git_commit TEXT, why TEXT, statements_lost INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE processes (
    name TEXT PRIMARY KEY, supervision TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 5,
    state TEXT NOT NULL, desired TEXT NOT NULL, since TEXT NOT NULL, next_at TEXT,
    pid INTEGER, life INTEGER NOT NULL DEFAULT 0, turns INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0, restarts INTEGER NOT NULL DEFAULT 0,
    max_restarts INTEGER NOT NULL DEFAULT 50, cause TEXT, why TEXT, waits_for TEXT,
    status TEXT, health REAL, mendable REAL, factors TEXT, cpu_percent REAL, rss INTEGER,
    git_commit TEXT, standing TEXT NOT NULL
);
CREATE TABLE process_runs (
    id INTEGER PRIMARY KEY, supervision TEXT NOT NULL, process TEXT NOT NULL,
    life INTEGER NOT NULL, pid INTEGER, started_at TEXT NOT NULL, ended_at TEXT, cause TEXT,
    code INTEGER, signal INTEGER, seconds REAL, cpu_seconds REAL, peak_bytes INTEGER,
    output_bytes INTEGER, lines_not_stored INTEGER, git_commit TEXT,
    UNIQUE (supervision, process, life)
);
CREATE TABLE process_events (
    id INTEGER PRIMARY KEY, supervision TEXT NOT NULL, process TEXT NOT NULL, at TEXT NOT NULL,
    kind TEXT NOT NULL, severity TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX process_events_by_process ON process_events (process, id);
CREATE TABLE process_errors (
    id INTEGER PRIMARY KEY, process TEXT NOT NULL, fingerprint TEXT NOT NULL,
    supervision TEXT NOT NULL, life INTEGER NOT NULL, stream TEXT NOT NULL,
    count INTEGER NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL,
    sample TEXT NOT NULL, context TEXT NOT NULL, UNIQUE (process, fingerprint)
);
CREATE TABLE process_output (
    id INTEGER PRIMARY KEY, supervision TEXT NOT NULL, process TEXT NOT NULL,
    life INTEGER NOT NULL, at TEXT NOT NULL, stream TEXT NOT NULL, line TEXT NOT NULL
);
CREATE INDEX process_output_by_process ON process_output (process, id);
CREATE TABLE resource_usage (
    process TEXT NOT NULL, at TEXT NOT NULL, cpu_percent REAL NOT NULL, rss INTEGER NOT NULL,
    open_files INTEGER, threads INTEGER NOT NULL, processes INTEGER NOT NULL, health REAL,
    PRIMARY KEY (process, at)
) WITHOUT ROWID;
CREATE TABLE resource_usage_minute (
    process TEXT NOT NULL, at TEXT NOT NULL, samples INTEGER NOT NULL,
    cpu_min REAL, cpu_mean REAL, cpu_max REAL, rss_min INTEGER, rss_mean REAL, rss_max INTEGER,
    health_min REAL, PRIMARY KEY (process, at)
) WITHOUT ROWID;
CREATE TABLE resource_usage_hour (
    process TEXT NOT NULL, at TEXT NOT NULL, samples INTEGER NOT NULL,
    cpu_min REAL, cpu_mean REAL, cpu_max REAL, rss_min INTEGER, rss_mean REAL, rss_max INTEGER,
    health_min REAL, PRIMARY KEY (process, at)
) WITHOUT ROWID;
CREATE TABLE machine_usage (
    at TEXT PRIMARY KEY, memory_percent REAL NOT NULL, load REAL NOT NULL, disk_free INTEGER,
    level TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE operator_actions (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, action TEXT NOT NULL, process TEXT, told TEXT
);
"""

STEPS = (
    """
CREATE TABLE flow_runs (
    flow_run TEXT PRIMARY KEY, supervision TEXT NOT NULL, pid INTEGER NOT NULL,
    started_at TEXT NOT NULL, seen_at TEXT NOT NULL, ended_at TEXT, cpu_percent REAL NOT NULL,
    rss INTEGER NOT NULL, peak_rss INTEGER NOT NULL
);
""",
    "ALTER TABLE process_runs ADD COLUMN flow_run TEXT",
)
"""What leads from version 1 to 2, and so on; a file is copied before."""

Statement = tuple[str, Sequence[Any]]


def stamp(moment: datetime) -> str:
    """Return an aware moment as the text that is stored."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the database, making it where there is none.

    Raises
    ------
    sqlite3.Error : it cannot be opened, or was written by newer code
    CopyFailed : its tables are about to change, and there is no room for a copy
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # What programs print may be private; the files beside it get the same permissions.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -1000")
    version = _version(connection)
    if version > VERSION:
        connection.close()
        raise sqlite3.DatabaseError(
            f"it was written by newer code (version {version}), which must be used"
        )
    if version < VERSION:
        if version:
            copy_before(path, f"supervisor-{VERSION}", home=path.parent)
        _upgrade(connection)
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _upgrade(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection)  # another process may have done it meanwhile
    steps = [SCHEMA, *STEPS][version:]
    for statement in ";".join(steps).split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the database without the right to write; FileNotFoundError where there is none.

    One of older code is brought up to date first.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT)
    connection.row_factory = sqlite3.Row
    if 0 < _version(connection) < VERSION:
        open_for_writing(path).close()
    return connection


@dataclass(frozen=True)
class _Job:
    statements: Sequence[Statement]
    then: Callable[[], object] | None = None
    otherwise: Callable[[], object] | None = None


class Writer:
    """One thread that writes; nobody waits for it.

    Attributes
    ----------
    lost : statements that found no room, or that the disk refused
    refused : whether the last that was to be written could not be
    """

    def __init__(self, path: Path, retention: Retention) -> None:
        self._path = path
        self._retention = retention
        self._jobs: queue.Queue[_Job | None] = queue.Queue(ROOM)
        self._connection = open_for_writing(path)
        self._connection.close()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._care_at = time.monotonic() + CARE_SECONDS / 10
        self.lost = 0
        self.refused = False
        self._thread.start()

    def put(
        self,
        statements: Iterable[Statement],
        *,
        then: Callable[[], object] | None = None,
        otherwise: Callable[[], object] | None = None,
    ) -> None:
        """Have statements written together.

        In the thread, `then` is called once they are, or `otherwise` if they cannot be.
        """
        job = _Job(list(statements), then, otherwise)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._lose(job)

    def _lose(self, job: _Job) -> None:
        self.lost += len(job.statements)
        if job.otherwise is not None:
            job.otherwise()

    def close(self, wait: float = 10.0) -> None:
        """Write what waits, and end the thread."""
        with contextlib.suppress(queue.Full):
            self._jobs.put(None, timeout=wait)
        self._thread.join(wait)

    def _run(self) -> None:
        connection = open_for_writing(self._path)
        with contextlib.closing(connection):
            while True:
                jobs, last = self._next()
                if jobs:
                    self._write(connection, jobs)
                if last:
                    return
                if time.monotonic() >= self._care_at:
                    self._care_at = time.monotonic() + CARE_SECONDS
                    with contextlib.suppress(sqlite3.Error):
                        take_care(connection, self._retention, now=datetime.now(UTC))

    def _next(self) -> tuple[list[_Job], bool]:
        """Return what waits, and whether it is the last; gathers for a moment."""
        try:
            first = self._jobs.get(timeout=1.0)
        except queue.Empty:
            return [], False
        if first is None:
            return [], True
        if first.then is None and self._jobs.qsize() < ROOM / 2:
            time.sleep(FLUSH_SECONDS)
        jobs = [first]
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is None:
                    return jobs, True
                jobs.append(job)
        return jobs, False

    def _write(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                for text, values in job.statements:
                    connection.execute(text, values)
            connection.execute("COMMIT")
        except (sqlite3.Error, ValueError, OverflowError):  # the last two: no text or number of SQL
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if len(jobs) > 1:
                # One that cannot be written takes no other along.
                for job in jobs:
                    self._write(connection, [job])
            else:
                self.refused = True
                self._lose(jobs[0])
            return
        self.refused = False
        for job in jobs:
            if job.then is not None:
                job.then()


def take_care(connection: sqlite3.Connection, retention: Retention, *, now: datetime) -> None:
    """Sum samples up by minute and hour, delete what is old, and give pages back to the disk."""

    def ago(**span: float) -> str:
        return stamp(now - timedelta(**span))

    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, length in (("resource_usage_minute", 16), ("resource_usage_hour", 13)):
            since = connection.execute(f"SELECT max(at) FROM {table}").fetchone()[0] or ""
            connection.execute(
                f"""INSERT OR REPLACE INTO {table}
                SELECT process, substr(at, 1, {length}) AS moment, count(*),
                       min(cpu_percent), avg(cpu_percent), max(cpu_percent),
                       min(rss), avg(rss), max(rss), min(health)
                FROM resource_usage
                WHERE substr(at, 1, {length}) > ? AND substr(at, 1, {length}) < ?
                GROUP BY process, moment""",
                (since, stamp(now)[:length]),
            )
        for table, column, before in (
            ("resource_usage", "at", ago(hours=retention.samples_hours)),
            ("machine_usage", "at", ago(hours=retention.samples_hours)),
            ("resource_usage_minute", "at", ago(days=retention.minutes_days)),
            ("process_output", "at", ago(days=retention.output_days)),
            ("process_events", "at", ago(days=retention.events_days)),
            ("flow_runs", "seen_at", ago(days=retention.events_days)),
            ("process_errors", "last_at", ago(days=retention.events_days)),
        ):
            connection.execute(f"DELETE FROM {table} WHERE {column} < ?", (before,))
        connection.execute(
            "DELETE FROM process_runs WHERE ended_at < ?", (ago(days=retention.events_days),)
        )
        _keep_output_small(connection, retention.output_mb * 2**20)
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise
    # `execute` would give back one page: only `executescript` steps to the end.
    connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")


def _keep_output_small(connection: sqlite3.Connection, most: int) -> None:
    """Delete the oldest lines of output while they are more than so many bytes."""
    size = connection.execute("SELECT sum(length(line)) FROM process_output").fetchone()[0] or 0
    if size > most:
        first, last = connection.execute("SELECT min(id), max(id) FROM process_output").fetchone()
        keep = int((last - first) * most / size)
        connection.execute("DELETE FROM process_output WHERE id < ?", (last - keep,))
