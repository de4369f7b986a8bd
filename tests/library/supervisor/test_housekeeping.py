"""A turn of housekeeping: copies, and room that goes back to the disk."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alphafoundry.supervisor import housekeeping
from alphafoundry.supervisor.backups import backup_sets


@pytest.fixture
def prefect_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with Prefect's database, 4 MB of whose rows are deleted."""
    folder = tmp_path / "prefect"
    folder.mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(folder))
    with contextlib.closing(sqlite3.connect(folder / "prefect.db")) as connection:
        connection.executescript(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; CREATE TABLE t (text)"
        )
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 4000)
        connection.execute("DELETE FROM t")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def turn(home: Path) -> int:
    return housekeeping.main(["--home", str(home)])


def test_a_turn_copies_and_gives_room_back(
    tmp_path: Path, prefect_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert turn(tmp_path) == 0
    told = capsys.readouterr().out
    assert told.startswith("copied prefect.db; prefect.db gave ") and told.endswith(" MB back\n")
    assert (prefect_home / "prefect.db").stat().st_size < 100_000
    assert [*backup_sets(tmp_path)[0].files] == ["prefect.db"]
    assert turn(tmp_path) == 0
    assert capsys.readouterr().out == "copied nothing; today's copies are there\n"


def test_room_goes_back_where_no_copy_can_be_made(
    tmp_path: Path, prefect_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "backups").write_text("a file in the place of the folder")
    assert turn(tmp_path) == housekeeping.EXIT_ERROR
    said = capsys.readouterr()
    assert (prefect_home / "prefect.db").stat().st_size < 100_000
    assert said.out.startswith("copied nothing; prefect.db gave ")
    assert said.err.startswith("error: ") and "backups" in said.err and said.err.count("\n") == 1


def test_copies_are_made_where_prefect_s_database_is_damaged(
    tmp_path: Path, prefect_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "foundry.sqlite")) as connection:
        connection.execute("CREATE TABLE kept (row)")
    (prefect_home / "prefect.db").write_bytes(b"this is no database" * 100)
    assert turn(tmp_path) == housekeeping.EXIT_ERROR
    assert "prefect.db: file is not a database" in capsys.readouterr().err
    today = datetime.now(UTC).date().isoformat()
    assert (tmp_path / "backups" / today / "foundry.sqlite").exists()
