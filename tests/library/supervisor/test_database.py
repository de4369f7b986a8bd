"""`supervisor.db`: what it keeps, for how long, and what happens when the disk refuses."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from alphafoundry.supervisor import database
from alphafoundry.supervisor.backups import back_up
from alphafoundry.supervisor.control import SupervisorError
from alphafoundry.supervisor.database import Writer, stamp, take_care
from alphafoundry.supervisor.desired import set_desired
from alphafoundry.supervisor.processes import Retention

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / database.FILE


def test_sums_by_minute_and_hour_outlive_the_samples(path: Path) -> None:
    with contextlib.closing(database.open_for_writing(path)) as connection:
        for second in range(0, 7200, 10):
            at = stamp(NOW - timedelta(hours=3) + timedelta(seconds=second))
            connection.execute(
                "INSERT INTO resource_usage VALUES ('a', ?, ?, 100, 3, 1, 1, 0.5)",
                (at, second % 60),
            )
        take_care(connection, Retention(), now=NOW)
        take_care(connection, Retention(), now=NOW)
        minutes = connection.execute("SELECT * FROM resource_usage_minute").fetchall()
        hours = connection.execute("SELECT samples, cpu_mean FROM resource_usage_hour").fetchall()
        assert len(minutes) == 120 and {row[2] for row in minutes} == {6}
        assert {row[3:6] for row in minutes} == {(0, 25.0, 50)}
        assert hours == [(360, 25.0), (360, 25.0)]
        take_care(connection, Retention(), now=NOW + timedelta(days=3))
        count = "SELECT count(*) FROM "
        assert connection.execute(f"{count} resource_usage").fetchone() == (0,)
        assert connection.execute(f"{count} resource_usage_hour").fetchone() == (2,)


def test_output_stays_below_its_size_and_the_file_shrinks(path: Path) -> None:
    with contextlib.closing(database.open_for_writing(path)) as connection:
        connection.execute("BEGIN")
        for number in range(3000):
            connection.execute(
                "INSERT INTO process_output (supervision, process, life, at, stream, line) "
                "VALUES ('s', 'a', 1, ?, 'stdout', ?)",
                (stamp(NOW), f"{number:06}" + "x" * 1000),
            )
        connection.execute("COMMIT")
        before = connection.execute("PRAGMA page_count").fetchone()[0]
        for _ in range(5):
            take_care(connection, Retention(output_mb=1), now=NOW)
        size, last = connection.execute(
            "SELECT sum(length(line)), max(line) FROM process_output"
        ).fetchone()
        assert 0.8 * 2**20 < size <= 1.02 * 2**20 and last.startswith("002999")
        assert connection.execute("PRAGMA page_count").fetchone()[0] < 0.6 * before


def test_what_the_disk_refuses_is_counted_and_nobody_waits(path: Path) -> None:
    writer = Writer(path, Retention())
    writer.put([("INSERT INTO no_such_table VALUES (?)", (1,))] * 3)
    done: list[bool] = []
    action = "INSERT INTO operator_actions (at, action) VALUES ('now', ?)"
    writer.put([(action, ("stop",))], then=lambda: done.append(True))
    writer.close()
    with contextlib.closing(database.open_for_reading(path)) as connection:
        count = connection.execute("SELECT count(*) FROM operator_actions").fetchone()[0]
    # Whatever was written is acknowledged, and nothing else is: what is refused takes none along.
    assert (count, done, writer.lost) == (1, [True], 3)


def test_who_waits_for_a_refused_row_is_told_so(path: Path) -> None:
    writer = Writer(path, Retention())
    told: list[str] = []

    def put(table: str) -> None:
        told_now = len(told)
        writer.put(
            [(f"INSERT INTO {table} (at, action) VALUES ('now', 'stop')", ())],
            then=lambda: told.append("noted"),
            otherwise=lambda: told.append("refused"),
        )
        deadline = time.monotonic() + 300
        while len(told) == told_now:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    put("no_such_table")
    assert told == ["refused"] and writer.refused
    put("operator_actions")
    assert told == ["refused", "noted"] and not writer.refused
    writer.close()


def test_a_value_that_sqlite_cannot_hold_does_not_end_the_writing(path: Path) -> None:
    writer = Writer(path, Retention())
    action = "INSERT INTO operator_actions (at, action) VALUES (?, 'stop')"
    for value in (10**30, "\ud800"):
        refused = writer.lost
        writer.put([(action, (value,))])
        deadline = time.monotonic() + 300
        while writer.lost == refused:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    writer.put([(action, ("now",))])
    writer.close()
    with contextlib.closing(database.open_for_reading(path)) as connection:
        assert connection.execute("SELECT at FROM operator_actions").fetchall()[0][0] == "now"


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    home = tmp_path / "50% #1?"
    with contextlib.closing(database.open_for_writing(home / database.FILE)):
        pass
    with contextlib.closing(database.open_for_reading(home / database.FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM processes").fetchone()[0] == 0
    assert back_up(home, {"supervisor.db": home / database.FILE}, today=date(2026, 3, 10))


def test_nobody_else_may_read_what_programs_print(path: Path) -> None:
    writer = Writer(path, Retention())
    writer.put([("INSERT INTO operator_actions (at, action) VALUES ('now', 'stop')", ())])
    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    writer.close()
    assert modes[database.FILE] == 0o600 and set(modes.values()) == {0o600}


def test_a_database_of_newer_code_is_refused(path: Path) -> None:
    with contextlib.closing(database.open_for_writing(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(sqlite3.DatabaseError, match="newer code"):
        database.open_for_writing(path)


def test_a_database_of_older_code_is_copied_and_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(database.SCHEMA)
        connection.execute("INSERT INTO operator_actions (at, action) VALUES ('now', 'stop')")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with contextlib.closing(database.open_for_reading(path)) as connection:
        assert connection.execute("SELECT count(*) FROM flow_runs").fetchone()[0] == 0
        assert connection.execute("SELECT flow_run FROM process_runs").fetchall() == []
        assert connection.execute("SELECT count(*) FROM operator_actions").fetchone()[0] == 1
    (copy,) = (path.parent / "backups").glob("*-before-supervisor-3/*")
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 1


def test_start_and_stop_without_a_supervisor_are_noted(path: Path) -> None:
    with pytest.raises(SupervisorError, match="nothing has been supervised"):
        set_desired(path, "a", "stop")
    with contextlib.closing(database.open_for_writing(path)) as connection:
        connection.execute(
            "INSERT INTO processes (name, supervision, state, desired, since, standing) "
            "VALUES ('a', 's', 'stopped', 'run', ?, '{}')",
            (stamp(NOW),),
        )
    with pytest.raises(SupervisorError, match="no process 'b'"):
        set_desired(path, "b", "stop")
    assert "leave it stopped" in set_desired(path, "a", "stop")
    with contextlib.closing(database.open_for_reading(path)) as connection:
        assert connection.execute("SELECT desired FROM processes").fetchone()[0] == "stop"
        actions = connection.execute("SELECT action, process FROM operator_actions").fetchall()
    assert [tuple(row) for row in actions] == [("stop", "a")]
