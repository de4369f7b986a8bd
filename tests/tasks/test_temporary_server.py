"""A temporary server: prepared early, serving late, gone with its parent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from alphafoundry.sqlite_room import INCREMENTAL
from tasks.prefect import ready_database, temporary_server
from tasks.prefect.discovery import SERVER_LOCK, home_without_server, locked
from tasks.prefect.temporary_server import LOG, TemporaryServer
from tests.working_folder import ROOT, WorkingFolder, plain_environment, wait_until


def serving_from(home: Path) -> list[psutil.Process]:
    """Return the living processes that have this home and are a server of ours."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if (
                "tasks.prefect.temporary_server" in process.cmdline()
                and process.environ().get("PREFECT_HOME") == str(home.resolve())
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
    return found


@contextlib.contextmanager
def parent(home: Path, then: str) -> Iterator[subprocess.Popen[str]]:
    """A process that prepares a server, says so, and goes on with `then`."""
    code = """
        import sys, time
        from pathlib import Path
        from tasks.prefect.temporary_server import prepare, temporary_server
        prepare(Path(sys.argv[1]))
        print("prepared", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code) + then, str(home)],
        env=plain_environment() | {"PYTHONPATH": str(ROOT)},
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "prepared\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_prepared_server_ends_with_its_parent_and_has_made_nothing(
    tmp_path: Path, ending: signal.Signals
) -> None:
    with parent(tmp_path, "sys.stdin.read()") as process:
        (server,) = serving_from(tmp_path)
        process.send_signal(ending)
        process.wait()
        wait_until(lambda: not server.is_running(), what="the end of the server")
    assert not (tmp_path / "prefect.db").exists()
    assert not (tmp_path / LOG).exists()


@pytest.mark.long
def test_a_prepared_server_answers_nobody_until_it_is_told(tmp_path: Path) -> None:
    """Then it keeps secrets, too, although no block is registered."""
    server = TemporaryServer(tmp_path)
    try:
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{server.url}/health", timeout=2, trust_env=False)
        assert not (tmp_path / "prefect.db").exists()
        server.begin()
        assert server.wait()
        assert (tmp_path / "prefect.db").exists()
        with temporary_settings({PREFECT_API_URL: server.url}):
            Secret(value="swordfish").save("a-secret")
            assert Secret.load("a-secret").get() == "swordfish"
    finally:
        server.stop()
    assert server.has_ended()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health", trust_env=False)


@pytest.mark.long
def test_a_serving_server_ends_with_its_parent(tmp_path: Path) -> None:
    then = textwrap.dedent("""
        server = temporary_server(Path(sys.argv[1]))
        server.begin()
        print(server.wait(), flush=True)
        sys.stdin.read()
    """)
    with parent(tmp_path, then) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        (server,) = serving_from(tmp_path)
        process.kill()
        wait_until(lambda: not server.is_running(), what="the end of the server")


@pytest.mark.long
def test_a_server_that_cannot_start_leaves_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{tmp_path}/no/such/folder.db"
    )
    server = TemporaryServer(tmp_path)
    server.begin()
    assert not server.wait()
    assert "unable to open database file" in (tmp_path / LOG).read_text()


@pytest.mark.long
def test_one_that_dies_while_it_is_prepared_leaves_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "not a port")
    server = TemporaryServer(tmp_path)
    server.begin()
    assert not server.wait()
    assert "not a port" in (tmp_path / LOG).read_text()


@pytest.mark.parametrize(
    "flags",
    [["--simulations", "x"], pytest.param(["--no-such-flag"], marks=pytest.mark.long)],
)
def test_a_mistake_of_the_command_line_starts_no_server(
    lonely_folder: WorkingFolder, flags: list[str]
) -> None:
    done = lonely_folder.run("flows.daily", *flags, new=True)
    assert done.returncode == 2
    wait_until(lambda: not serving_from(lonely_folder.prefect_home), what="no server")
    left = {path.name for path in lonely_folder.prefect_home.iterdir()}
    assert not left & {"prefect.db", LOG}


class TestHomeWithoutServer:
    """Whether a temporary server will be needed, told before Prefect is imported."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in list(os.environ):
            if name.startswith("PREFECT_"):
                monkeypatch.delenv(name)
        (tmp_path / "prefect.toml").write_text('home = "here/prefect"\n')
        (tmp_path / "here/prefect").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_the_home_of_the_folder(self, folder: Path) -> None:
        assert home_without_server() == folder / "here/prefect"

    def test_the_environment_wins(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_HOME", str(folder / "there"))
        assert home_without_server() == folder / "there"

    def test_no_home_is_known(self, folder: Path) -> None:
        (folder / "prefect.toml").unlink()
        assert home_without_server() is None

    @pytest.mark.parametrize("text", ["home = ", "home = 3", '[api]\nurl = "http://x/api"', "\0"])
    def test_a_file_that_says_something_else(self, folder: Path, text: str) -> None:
        (folder / "prefect.toml").write_text(text)
        assert home_without_server() is None

    def test_a_configured_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
        assert home_without_server() is None

    def test_profiles(self, folder: Path) -> None:
        (folder / "here/prefect/profiles.toml").touch()
        assert home_without_server() is None

    def test_a_running_server(self, folder: Path) -> None:
        lock = folder / "here/prefect" / SERVER_LOCK
        lock.write_text("http://127.0.0.1:1/api\n")
        assert home_without_server() is not None, "the lock of a server that has ended"
        with locked(lock, fcntl.LOCK_EX):
            assert home_without_server() is None


class TestReadyDatabase:
    """A new home begins with a copy of a database that was made before."""

    @pytest.fixture(autouse=True)
    def environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
        return tmp_path / "venv"

    def new_home(self, folder: Path) -> Path:
        folder.mkdir()
        with temporary_settings({PREFECT_HOME: folder}):
            ready_database.provide_database()
        return folder / "prefect.db"

    def migrated_home(self, folder: Path, environment: Path) -> Path:
        """The same in a process of its own: Prefect migrates one database per process."""
        folder.mkdir()
        code = "import sys; sys.prefix = sys.argv[1]; " + (
            "from tasks.prefect.ready_database import provide_database; provide_database()"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(environment)],
            env=plain_environment() | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(folder)},
            check=True,
        )
        return folder / "prefect.db"

    def test_the_second_home_gets_what_was_made_for_the_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def migrate() -> None:
            with contextlib.closing(sqlite3.connect(tmp_path / "first/prefect.db")) as made:
                made.execute("CREATE TABLE migrated (number INTEGER)")

        monkeypatch.setattr(ready_database, "_migrate", migrate)
        first = content(self.new_home(tmp_path / "first"))
        monkeypatch.setattr(ready_database, "_migrate", pytest.fail)
        assert content(self.new_home(tmp_path / "second")) == first != {}

    @pytest.mark.long
    def test_the_copy_is_what_migrations_make(
        self, tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = self.migrated_home(tmp_path / "first", environment)
        monkeypatch.setattr(ready_database, "_migrate", pytest.fail)
        second = self.new_home(tmp_path / "second")
        assert content(second) == content(first)
        assert sum(content(second).values()) == 1, "one row: which migration it is at"
        with contextlib.closing(sqlite3.connect(second)) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL

    def test_another_prefect_takes_no_copy_of_this_one(
        self, tmp_path: Path, environment: Path
    ) -> None:
        migrations = tmp_path / "migrations"
        migrations.mkdir()
        heads = set()
        for name in ("2026_01_01_a.py", "2026_01_02_b.py"):
            (migrations / name).touch()
            heads.add(ready_database._migration_head(migrations))
        assert len(heads) == 2

    def test_an_existing_database_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "old").mkdir()
        path = tmp_path / "old/prefect.db"
        path.write_bytes(b"mine")
        with temporary_settings({PREFECT_HOME: path.parent}):
            ready_database.provide_database()
        assert path.read_bytes() == b"mine"

    def test_what_another_prefect_had_is_copied_before_its_tables_change(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path / "home"))
        (tmp_path / "old").mkdir()
        path = tmp_path / "old/prefect.db"
        sqlite3.connect(path).execute("CREATE TABLE run (id)").connection.close()
        with temporary_settings({PREFECT_HOME: path.parent}):
            ready_database.provide_database()
            assert not (tmp_path / "home").exists()
            (path.parent / ready_database.MIGRATED).write_text("older\n")
            ready_database.provide_database()
            ready_database.provide_database()
        (copy,) = (tmp_path / "home/backups").glob("*-before-prefect-*/prefect.db")
        assert content(copy) == {"run: CREATE TABLE run (id)": 0}

    def test_an_environment_that_cannot_be_written_is_no_mistake(
        self, tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "home"

        def migrate() -> None:
            with contextlib.closing(sqlite3.connect(home / "prefect.db")) as made:
                made.execute("CREATE TABLE migrated (number INTEGER)")

        environment.write_text("not a folder")
        monkeypatch.setattr(ready_database, "_migrate", migrate)
        assert content(self.new_home(home))


def content(database: Path) -> dict[str, int]:
    """Return the SQL of each table and index, and how many rows are there."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        return {
            f"{name}: {sql}": connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            if kind == "table"
            else 0
            for kind, name, sql in made
        }


def test_one_that_does_not_get_on_is_given_up_and_its_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary_server, "START_SECONDS", 0.5)
    monkeypatch.setattr(temporary_server, "LOOK_SECONDS", 0.2)
    server = TemporaryServer(tmp_path)
    server._process.send_signal(signal.SIGSTOP)
    server.begin()
    assert not server.wait()
    assert "had not answered after" in (tmp_path / LOG).read_text()
