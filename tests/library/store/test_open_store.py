"""Opening the database: tables, migrations, and what goes wrong."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from alphafoundry.errors import StoreError, StoreUnavailable
from alphafoundry.store import RunRow, Store, begin_run, open_store, read_runs
from alphafoundry.store import migrations as migrations_package
from alphafoundry.store.migrations import REVISION, VERSION_TABLE
from alphafoundry.store.tables import Table
from tests.library.store.processes import race
from tests.postgres import PASSWORD, PostgresServer, on_both
from tests.ready_tables import use_migrations, use_ready_tables


@pytest.fixture(autouse=True)
def migrations() -> Iterator[None]:
    use_migrations()
    yield
    use_ready_tables()


PRAGMAS = ("journal_mode", "page_size", "encoding", "auto_vacuum", "user_version")


def message_of(error: pytest.ExceptionInfo[StoreError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert PASSWORD not in message
    assert "s3cret" not in message
    return message


@on_both
def test_migrations_make_the_tables_of_the_models(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "target_metadata": Table.metadata,
                # Alembic itself does not ask whether an index is of this database.
                "include_object": lambda thing, name, kind, reflected, other: (
                    kind != "index"
                    or reflected
                    or thing._ddl_if is None
                    or thing._ddl_if.dialect == connection.dialect.name
                ),
            },
        )
        assert compare_metadata(context, Table.metadata) == []


def test_the_tests_begin_with_what_the_migrations_make(tmp_path: Path) -> None:
    with open_store(home=tmp_path / "migrated"):
        use_ready_tables()
        with open_store(home=tmp_path / "ready"):
            migrated, ready = (content(tmp_path / name) for name in ("migrated", "ready"))
    assert len(migrated) > 50 and ready == migrated


def content(home: Path) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(home / "foundry.sqlite")) as connection:
        names = "SELECT type, name, sql FROM sqlite_master ORDER BY rowid"
        tables = connection.execute(names).fetchall()
        rows = [
            (name, *map(str, row))
            for kind, name, _ in tables
            if kind == "table"
            for row in connection.execute(f'SELECT * FROM "{name}"')
        ]
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone() for name in PRAGMAS]
    return [*tables, *rows, *pragmas]


def test_revision_is_the_head_of_the_migrations() -> None:
    folder = Path(migrations_package.__file__).parent
    assert ScriptDirectory(str(folder)).get_current_head() == REVISION


@on_both
def test_open_again_keeps_the_rows(database_url: str, tmp_path: Path) -> None:
    with open_store(database_url, home=tmp_path) as store:
        begin_run(store, flow="daily", service="local")
    with open_store(database_url, home=tmp_path) as store:
        assert len(read_runs(store)) == 1


def test_default_is_a_sqlite_file_in_the_home_folder(tmp_path: Path) -> None:
    with open_store(home=tmp_path / "deep" / "home"):
        assert (tmp_path / "deep" / "home" / "foundry.sqlite").exists()


def test_sqlite_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    with open_store(home=tmp_path) as store, store.engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30000,
    }


def test_processes_open_a_new_database_at_once(database_url: str, tmp_path: Path) -> None:
    printed = race("plan", database_url, tmp_path / "go", *[("0", "1")] * 3)
    assert sum(len(keys) for keys in printed) == 1


def test_threads_open_a_new_database_at_once(database_url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: open_store(database_url, home=tmp_path), range(8)))
    for store in stores:
        assert read_runs(store) == []
        store.close()


@on_both
def test_an_exception_undoes_the_whole_block(store: Store) -> None:
    with pytest.raises(KeyError), store.write() as session:
        session.execute(text("DELETE FROM runs"))
        raise KeyError
    begin_run(store, flow="daily", service="local")
    with pytest.raises(KeyError), store.write() as session:
        session.execute(text("DELETE FROM runs"))
        raise KeyError
    assert len(read_runs(store)) == 1


def test_a_reading_block_writes_nothing(store: Store, run: RunRow) -> None:
    with store.session() as session:
        session.execute(text("DELETE FROM runs"))
    assert [found.id for found in read_runs(store)] == [run.id]


def test_a_reading_block_sees_one_state(store: Store, run: RunRow) -> None:
    with store.session() as session:
        count = text("SELECT count(*) FROM runs")
        before = session.scalar(count)
        begin_run(store, flow="daily", service="local")
        assert session.scalar(count) == before == 1


@on_both
def test_newer_tables_are_refused(database_url: str, tmp_path: Path) -> None:
    with open_store(database_url, home=tmp_path) as store, store.write() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"revision 9999.*update Alpha Foundry") as error:
        open_store(database_url, home=tmp_path)
    message_of(error)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "foundry.sqlite").write_text("hello, this is a text file, not a database\n" * 50)
    with pytest.raises(StoreError, match=r"foundry\.sqlite: file is not a database") as error:
        open_store(home=tmp_path)
    message_of(error)


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "foundry.sqlite").mkdir()
    with pytest.raises(StoreError, match="unable to open"):
        open_store(home=tmp_path)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(StoreError, match="folder cannot be created"):
        open_store(home=tmp_path / "home")


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere, so give the rights away for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.chmod(0o555)
        with unprivileged(), pytest.raises(StoreError) as error:
            open_store(home=home)
        home.chmod(0o755)
        assert str(home) in message_of(error)


def test_a_file_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        open_store(home=home).close()
        home.chmod(0o555)
        (home / "foundry.sqlite").chmod(0o444)
        with unprivileged(), pytest.raises(StoreError) as error:
            begin_run(open_store(home=home), flow="daily", service="local")
        home.chmod(0o755)
        assert str(home) in message_of(error)


def test_a_locked_file_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphafoundry.store.database.SQLITE_WAIT", 0.1)
    with (
        open_store(home=tmp_path) as store,
        contextlib.closing(sqlite3.connect(tmp_path / "foundry.sqlite")) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="is locked; try again"):
            begin_run(store, flow="daily", service="local")
        assert read_runs(store) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://root:s3cret/pass@host/name", "choose one of postgresql, sqlite"),
        ("s3cret/pass", "not an address"),
        ("postgresql://u:s3cret@host:port/name", "not an address"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("postgresql://u:s3cret@127.0.0.1:1/name", "refused"),
        ("postgresql://u:s3cret@/name?host=/nowhere", "/nowhere"),
    ],
)
def test_addresses_that_do_not_work(url: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=says) as error:
        open_store(url, home=tmp_path)
    message_of(error)


def test_wrong_password(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.url("postgres", password="wr0ng")
    with pytest.raises(StoreError, match="password authentication failed") as error:
        open_store(url, home=tmp_path)
    assert "wr0ng" not in message_of(error)


def test_missing_database(postgres: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist; create it") as error:
        open_store(postgres.url("nothing_here"), home=tmp_path)
    message_of(error)


def test_a_restarted_server_is_found_again(postgres: PostgresServer, tmp_path: Path) -> None:
    with open_store(postgres.database(), home=tmp_path) as store:
        begin_run(store, flow="daily", service="local")
        postgres.stop()
        with pytest.raises(StoreError) as error:
            read_runs(store)
        message_of(error)
        postgres.start()
        assert len(read_runs(store)) == 1


def test_the_password_is_not_printed(postgres: PostgresServer, tmp_path: Path) -> None:
    with open_store(postgres.database(), home=tmp_path) as store:
        assert "s3cret" not in repr(store)
        assert "s3cret" not in repr(store.engine)
        assert "foundry@" in store.label
