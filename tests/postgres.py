"""A real PostgreSQL server for tests: its own folder, its own socket, no network unless asked."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

PORT = 54329
PASSWORD = "s3cret/pass"

on_both = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
"""Mark of a test that runs on both databases in `make test`, too."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `database()` makes an empty database and returns its URL."""

    binaries: Path
    folder: Path
    as_user: tuple[str, ...]
    address: str = ""

    def database(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, name: str, *, password: str = PASSWORD) -> str:
        quoted = password.replace("/", "%2F")
        return f"postgresql://foundry:{quoted}@/{name}?host={self.folder}&port={PORT}"

    def url_on_network(self, url: str) -> str:
        """Return a URL of `database()` as others on the network use it."""
        return url.replace("@/", f"@{self.address}:{PORT}/").partition("?")[0]

    def control(self, *arguments: str) -> None:
        run = [*self.as_user, str(self.binaries / "pg_ctl"), "-D", str(self.folder / "data")]
        done = subprocess.run(
            [*run, *arguments], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(done.stderr + (log.read_text() if log.exists() else ""))

    def start(self) -> None:
        options = f"-k {self.folder} -p {PORT} -c listen_addresses='{self.address}' -c fsync=off"
        self.control("-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self.control("-w", "-m", "immediate", "stop")


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path))
    if not found:
        pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql or on PATH")
    return found[0].parent


@contextlib.contextmanager
def running_postgres(*, enter: Sequence[str] = (), address: str = "") -> Iterator[PostgresServer]:
    """Start a server for the length of the block; skips the test where that is not possible.

    enter : what commands begin with to run on a host of its own
    address : that it listens on for all of that network; "" listens on the socket alone
    """
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="foundry-pg-"))
    as_user: tuple[str, ...] = ()
    try:
        if os.geteuid() == 0:
            try:
                owner = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL does not run as root and there is no user 'postgres'")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            as_user = ("runuser", "-u", "postgres", "--")
        password_file = folder / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)
        subprocess.run(
            [
                *as_user,
                str(binaries / "initdb"),
                *("-D", str(folder / "data"), "-U", "foundry", "--auth=scram-sha-256"),
                *("--pwfile", str(password_file), "--no-sync", "--encoding=UTF8", "--locale=C"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        if address:
            with (folder / "data" / "pg_hba.conf").open("a") as file:
                file.write("host all all samenet scram-sha-256\n")
        server = PostgresServer(binaries, folder, (*enter, *as_user), address)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(RuntimeError):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
