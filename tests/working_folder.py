"""A folder in which the commands run as for a user, apart from every other run."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.forked_commands import ForkedCommand, ForkServer
from tests.schedules import SCHEDULE, with_little_learning

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 300.0
"""Longest wait for anything: many times what a quiet machine takes."""

Process = ForkedCommand | subprocess.Popen[str]


class WorkingFolder:
    """A working directory with its own configuration, home and Prefect home.

    A search of its desks for models is a short one.

    Parameters
    ----------
    path : an empty folder
    cache : folder with market data that is made already
    api : address of a Prefect server; None lets each command start a temporary one
    prefect_home : home of that server
    """

    def __init__(
        self,
        path: Path,
        *,
        cache: Path,
        api: str | None = None,
        prefect_home: Path | None = None,
    ) -> None:
        self.path = path
        self.home = path / ".foundry"
        self.prefect_home = prefect_home or self.home / "prefect"
        self.home.mkdir(parents=True)
        self.prefect_home.mkdir(exist_ok=True)
        (self.home / "cache").symlink_to(cache)
        shutil.copytree(ROOT / "config", path / "config")
        schedule = path / "config" / SCHEDULE.name
        schedule.write_text(with_little_learning(schedule.read_text("utf-8")), encoding="utf-8")
        shutil.copy(ROOT / "prefect.toml", path)
        self.env = plain_environment() | {
            "FOUNDRY_HOME": str(self.home),
            "PREFECT_HOME": str(self.prefect_home),
            "PYTHONPATH": str(ROOT),
        }
        if api is not None:
            self.env["PREFECT_API_URL"] = api

    def run(
        self, module: str, *flags: str, timeout: float = TIMEOUT, new: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m module flags` to its end; `new` as of `start`."""
        with tempfile.TemporaryDirectory(prefix="printed-", dir=self.path.parent) as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            with self._started(module, flags, out, err, env, new=new) as process:
                status = process.wait(timeout)
            return subprocess.CompletedProcess(
                [module, *flags], status, out.read_text(), err.read_text()
            )

    def run_each(
        self, *commands: tuple[str, tuple[str, ...], dict[str, str]]
    ) -> list[subprocess.CompletedProcess[str]]:
        """Run commands to their end, two at a time.

        commands : (module, flags, variables of the environment)
        """
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda one: self.run(one[0], *one[1], **one[2]), commands))

    @contextlib.contextmanager
    def start(self, module: str, *flags: str, new: bool = False, **env: str) -> Iterator[Process]:
        """Start `python -m module flags`; killed at the end of the block if it still runs.

        new : whether Python is started for it; otherwise it is forked with the imports done
        """
        output = self.path / f"{module}.out"
        with self._started(module, flags, output, output, env, new=new) as process:
            yield process

    @contextlib.contextmanager
    def _started(
        self,
        module: str,
        flags: Sequence[str],
        out: Path,
        err: Path,
        env: dict[str, str],
        *,
        new: bool,
    ) -> Iterator[Process]:
        whole = self.env | env
        process: Process
        with out.open("w") as stdout, contextlib.ExitStack() as stack:
            stderr = stdout if err == out else stack.enter_context(err.open("w"))
            if new:
                process = subprocess.Popen(
                    [sys.executable, "-m", module, *flags],
                    cwd=self.path,
                    env=whole,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    text=True,
                )
            else:
                process = fork_server().start(
                    module,
                    flags,
                    cwd=self.path,
                    env=whole,
                    stdout=stdout.fileno(),
                    stderr=stderr.fileno(),
                )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def output(self, module: str) -> str:
        """Return what a started command has printed so far."""
        return (self.path / f"{module}.out").read_text()

    def report(self, *command: str, **env: str) -> dict[str, Any]:
        """Run a command that must succeed, and return its report."""
        done = self.run(*command, "--json", "report.json", **env)
        assert done.returncode == 0, done.stderr
        return self.json("report.json")

    def json(self, name: str) -> Any:
        """Return the content of a JSON file of the folder."""
        return json.loads((self.path / name).read_text())

    def rows(self, query: str, database: str = "foundry.sqlite") -> list[tuple[Any, ...]]:
        """Return what a query finds in a database of the home; nothing before it exists."""
        path = self.home / database
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError as problem:
                if "no such table" in str(problem):
                    return []
                raise

    def count(self, query: str, database: str = "foundry.sqlite") -> int:
        """Return the single number that a query finds, 0 before the database exists."""
        found = self.rows(query, database)
        return int(found[0][0]) if found else 0

    def finished(self) -> int:
        """Return how many simulations have an alpha."""
        return self.count("SELECT count(*) FROM simulations WHERE alpha_id IS NOT NULL")


@functools.cache
def fork_server() -> ForkServer:
    """Return what forks the commands of this run of pytest."""
    server = ForkServer(ROOT, plain_environment(), run=this_run())
    atexit.register(server.close)
    return server


@functools.cache
def this_run() -> str:
    """Return a name that the processes of this run of pytest share, and no other run has."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex


def plain_environment() -> dict[str, str]:
    """Return the environment without what would configure Prefect or Alpha Foundry."""
    ours = ("PREFECT_", "FOUNDRY_", "OLLAMA_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def wait_until(
    condition: Callable[[], object], timeout: float = TIMEOUT, what: str = "the condition"
) -> None:
    """Return once `condition()` is true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout:g} s"
        time.sleep(0.05)
