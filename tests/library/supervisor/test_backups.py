"""Copies of the databases, and what `make restore` puts back."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from alphafoundry.file_lock import file_lock
from alphafoundry.sqlite_copy import CopyFailed, copy_database, fault_of, is_in_use
from alphafoundry.supervisor.backups import (
    KEPT,
    back_up,
    backup_sets,
    choose,
    databases,
    restore,
)
from alphafoundry.supervisor.control import SupervisorError, folder_of

FIRST = date(2026, 3, 1)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The store and Prefect's database, each with one row, written as they are: with a WAL."""
    found = databases(tmp_path, tmp_path / "prefect")
    found["prefect.db"].parent.mkdir()
    write(found["foundry.sqlite"], "first")
    write(found["prefect.db"], "run")
    return found


def write(path: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS said (text)")
        connection.execute("INSERT INTO said VALUES (?)", (text,))
        connection.commit()


def said(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM said")]


def test_a_copy_a_day_is_kept_for_seven(tmp_path: Path, files: dict[str, Path]) -> None:
    for day in range(10):
        made = back_up(tmp_path, files, today=FIRST + timedelta(days=day))
        assert [one.name for one in made] == ["foundry.sqlite", "prefect.db"]
        assert back_up(tmp_path, files, today=FIRST + timedelta(days=day)) == []
    sets = backup_sets(tmp_path)
    assert len(sets) == KEPT and sets[0].name == "2026-03-10"
    assert fault_of(sets[0].files["foundry.sqlite"]) is None
    assert sets[0].files["prefect.db"].stat().st_mode & 0o077 == 0


def test_a_copy_holds_what_stands_in_the_wal_of_a_writer(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    writer = sqlite3.connect(files["foundry.sqlite"])
    writer.execute("INSERT INTO said VALUES ('second')")
    writer.commit()
    copy_database(files["foundry.sqlite"], tmp_path / "copy")
    writer.close()
    assert said(tmp_path / "copy") == ["first", "second"]


def test_what_is_no_database_is_told_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "foundry.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(CopyFailed, match="not a database"):
        copy_database(path, tmp_path / "copies/copy")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_restoration_brings_the_copy_back_and_keeps_what_was_there(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    back_up(tmp_path, files, today=FIRST)
    write(files["foundry.sqlite"], "lost")
    files["prefect.db"].write_bytes(b"damaged by a bad disk")
    chosen, passed = choose(tmp_path, files, None)
    assert (chosen.name, passed) == ("2026-03-01", [])
    aside = restore(tmp_path, files, chosen, now=NOW)
    assert said(files["foundry.sqlite"]) == ["first"] and said(files["prefect.db"]) == ["run"]
    assert said(aside / "foundry.sqlite") == ["first", "lost"]
    assert list(tmp_path.glob(".*")) == []
    assert (aside / "prefect/prefect.db").read_bytes() == b"damaged by a bad disk"
    with contextlib.closing(sqlite3.connect(files["foundry.sqlite"])) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_the_book_of_a_desk_comes_back_and_that_of_a_simulation_is_not_kept(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    (tmp_path / "desks").mkdir()
    for name in ("mine", "simulation-4"):
        write(tmp_path / f"desks/{name}.sqlite", name)
    made = back_up(tmp_path, databases(tmp_path, tmp_path / "prefect"), today=FIRST)
    assert [one.name for one in made][-1] == "mine.sqlite" and len(made) == 3
    (tmp_path / "desks/mine.sqlite").unlink()
    again = databases(tmp_path, tmp_path / "prefect")
    restore(tmp_path, again, choose(tmp_path, again, None)[0], now=NOW)
    assert said(tmp_path / "desks/mine.sqlite") == ["mine"]


def test_a_damaged_or_incomplete_copy_is_passed_over(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    for day in range(3):
        back_up(tmp_path, files, today=FIRST + timedelta(days=day))
    sets = backup_sets(tmp_path)
    sets[0].files["foundry.sqlite"].unlink()
    damaged = sets[1].files["prefect.db"]
    damaged.write_bytes(damaged.read_bytes()[:5000])
    chosen, passed = choose(tmp_path, files, None)
    assert chosen.name == "2026-03-01"
    assert passed[0] == "2026-03-03: it has no foundry.sqlite"
    assert passed[1].startswith("2026-03-02: prefect.db is damaged")
    with pytest.raises(SupervisorError, match=r"prefect\.db is damaged"):
        choose(tmp_path, files, "2026-03-02")
    with pytest.raises(SupervisorError, match="there are: 2026-03-03, 2026-03-02, 2026-03-01"):
        choose(tmp_path, files, "2026-02-01")


def test_nothing_is_restored_under_a_supervisor_or_another_program(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    back_up(tmp_path, files, today=FIRST)
    chosen, _ = choose(tmp_path, files, None)
    with contextlib.closing(sqlite3.connect(files["foundry.sqlite"])) as other:
        other.execute("SELECT * FROM said").fetchall()
        assert is_in_use(files["foundry.sqlite"])
        with pytest.raises(SupervisorError, match="another program has it open"):
            restore(tmp_path, files, chosen, now=NOW)
    with (
        file_lock(folder_of(tmp_path) / "lock"),
        pytest.raises(SupervisorError, match="make down"),
    ):
        restore(tmp_path, files, chosen, now=NOW)
    assert not is_in_use(files["foundry.sqlite"])
    restore(tmp_path, files, chosen, now=NOW)


def test_a_restoration_that_was_killed_is_run_again(tmp_path: Path, files: dict[str, Path]) -> None:
    back_up(tmp_path, files, today=FIRST)
    files["foundry.sqlite"].rename(tmp_path / "moved aside")
    (tmp_path / ".foundry.sqlite-restored").write_bytes(b"half")
    chosen, _ = choose(tmp_path, files, None)
    restore(tmp_path, files, chosen, now=NOW)
    assert said(files["foundry.sqlite"]) == ["first"]


def test_without_copies_there_is_nothing_to_restore(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match="there is no whole copy"):
        choose(tmp_path, databases(tmp_path, tmp_path), None)


def test_a_copy_of_no_bytes_is_passed_over(tmp_path: Path, files: dict[str, Path]) -> None:
    for day in range(2):
        back_up(tmp_path, files, today=FIRST + timedelta(days=day))
    (tmp_path / "backups/2026-03-02/foundry.sqlite").write_bytes(b"")
    chosen, passed = choose(tmp_path, files, None)
    assert chosen.name == "2026-03-01"
    assert passed == ["2026-03-02: foundry.sqlite is damaged (it holds nothing)"]
