"""A folder in which the commands run as for a user, apart from every other run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 150.0
"""Longest wait for anything: many times what a quiet machine takes."""


class WorkingFolder:
    """A working directory with its own configuration, home and Prefect home.

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
        shutil.copy(ROOT / "prefect.toml", path)
        self.env = plain_environment() | {
            "FOUNDRY_HOME": str(self.home),
            "PREFECT_HOME": str(self.prefect_home),
            "PYTHONPATH": str(ROOT),
        }
        if api is not None:
            self.env["PREFECT_API_URL"] = api

    def run(
        self, module: str, *flags: str, timeout: float = TIMEOUT, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m module flags` to its end."""
        return subprocess.run(
            [sys.executable, "-m", module, *flags],
            cwd=self.path,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run_each(
        self, *commands: tuple[str, tuple[str, ...], dict[str, str]], timeout: float = TIMEOUT
    ) -> list[subprocess.CompletedProcess[str]]:
        """Run commands to their end, each in a process of its own that Python is started for once.

        commands : (module, flags, variables of the environment); Prefect's are read before these
        """
        folder = Path(tempfile.mkdtemp(prefix="commands-", dir=self.path.parent))
        wanted = [{"module": module, "flags": flags, "env": env} for module, flags, env in commands]
        (folder / "commands.json").write_text(json.dumps(wanted))
        started = self.run("tests.side_by_side_commands", str(folder), timeout=timeout)
        assert started.returncode == 0, started.stderr
        statuses = json.loads((folder / "statuses.json").read_text())
        return [
            subprocess.CompletedProcess(
                [module, *flags],
                statuses[number],
                (folder / f"{number}.out").read_text(),
                (folder / f"{number}.err").read_text(),
            )
            for number, (module, flags, _) in enumerate(commands)
        ]

    @contextlib.contextmanager
    def start(self, module: str, *flags: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """Start `python -m module flags`; killed at the end of the block if it still runs."""
        with (self.path / f"{module}.out").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                cwd=self.path,
                env=self.env | env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
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
