"""Room in SQLite files given back while others use them."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from alphafoundry.sqlite_room import STEP_PAGES, give_back, make_able_to_shrink


def made(path: Path, *, rows: int = 3000, before: str = "") -> Path:
    """A file of about a kilobyte a row, in WAL mode as Prefect's."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{before}; PRAGMA journal_mode = WAL; CREATE TABLE t (id, text)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?)", [(n, "x" * 1000) for n in range(rows)]
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def delete_all_but(path: Path, kept: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM t WHERE id >= ?", (kept,))
        connection.commit()


def count(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_an_old_file_is_made_able_to_shrink_and_shrinks(tmp_path: Path) -> None:
    path = made(tmp_path / "old.db")
    delete_all_but(path, 10)
    assert give_back(path) == 0  # it cannot yet
    assert make_able_to_shrink(path) and count(path) == 10
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO t VALUES (?, ?)", [(n, "y" * 1000) for n in range(3000)]
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.stat().st_size
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM t WHERE text LIKE 'y%'")
        connection.commit()
    given = give_back(path)
    assert given > 2 * 2**20 and path.stat().st_size <= before - given
    assert count(path) == 10


def test_others_write_between_two_steps_and_lose_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / "busy.db", before="PRAGMA auto_vacuum = INCREMENTAL")
    delete_all_but(path, 10)
    pauses: list[float] = []
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as other:

        def write(seconds: float) -> None:
            # With no patience at all: no step is under way here.
            other.execute("INSERT INTO t VALUES (?, 'new')", (-len(pauses),))
            other.commit()
            pauses.append(seconds)

        assert give_back(path, sleep=write) > 0
    assert len(pauses) >= 3000 * 1000 // 4096 // STEP_PAGES
    assert count(path) == 10 + len(pauses)


def test_what_cannot_be_written_anew_stays_as_it_is(tmp_path: Path) -> None:
    assert not make_able_to_shrink(tmp_path / "none.db") and not list(tmp_path.iterdir())
    (tmp_path / "text").write_bytes(b"mine")
    assert not make_able_to_shrink(tmp_path / "text")
    assert (tmp_path / "text").read_bytes() == b"mine"


def test_a_file_that_another_writes_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alphafoundry.sqlite_room.LOCK_SECONDS", 0.1)
    path = made(tmp_path / "held.db", rows=10)
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun.set()
            done.wait()
            other.rollback()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    try:
        assert not make_able_to_shrink(path)
    finally:
        done.set()
        thread.join()
    assert make_able_to_shrink(path) and count(path) == 10


def test_what_another_writes_for_long_is_left_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alphafoundry.sqlite_room.LOCK_SECONDS", 0.1)
    path = made(tmp_path / "busy.db", before="PRAGMA auto_vacuum = INCREMENTAL")
    delete_all_but(path, 10)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert give_back(path) == 0
        other.rollback()
    assert give_back(path) > 0 and count(path) == 10
