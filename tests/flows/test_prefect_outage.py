"""Prefect's server away for a while, hung and then dead, under a supervision that goes on."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import free_port
from tests.working_folder import ROOT, plain_environment, wait_until

WAIT = 300.0
OUTAGE = 60.0
"""Seconds: half of it hung, half of it dead."""

PROCESSES = """
machine: {tight_percent: 99, critical_percent: 100, least_disk_mb: 1}
processes:
  - {name: beat, command: [sh, -c, "echo beat"], requires_loop: true, loop_interval: 1}
  - {name: fails, command: [sh, -c, "sleep 10; exit 1"], restart_delay: 1, max_restarts: 10000}
  - {name: sleeper, command: [sleep, "100000"]}
"""


class Prefect:
    """A server on a port of its own that can be hung, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/api"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "server.txt").open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tasks.prefect.server", "--port", str(self._port)],
                cwd=ROOT,
                env=plain_environment() | {"PREFECT_HOME": str(self._folder / "prefect")},
                stdout=said,
                stderr=said,
            )
        wait_until(self.answers, WAIT, "the server")

    def answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=20, trust_env=False).is_success
        return False

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(f"{self.url}/{path}/filter", json=body, timeout=60, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def sessions(self) -> list[str]:
        found = self.ask("flow_runs", {"flows": {"name": {"any_": ["supervise"]}}})
        return [str(one["state_type"]) for one in sorted(found, key=lambda one: one["created"])]

    def told_of(self, process: str) -> int:
        """Return how many events of a process it has."""
        which = {"resource": {"id": [f"foundry.process.{process}"]}}
        return int(self.ask("events", {"filter": which})["total"])


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator[Prefect]:
    server = Prefect(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_outage_of_prefect_changes_nothing_and_is_caught_up_with(
    tmp_path: Path, prefect: Prefect
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/processes.yaml").write_text(PROCESSES)
    env = plain_environment() | {
        "PYTHONPATH": str(ROOT),
        "FOUNDRY_HOME": str(tmp_path / "home"),
        "PREFECT_HOME": str(tmp_path / "prefect-of-clients"),
        "PREFECT_API_URL": prefect.url,
        "XDG_RUNTIME_DIR": str(tmp_path),
    }

    def one(text: str, *values: Any) -> Any:
        path = tmp_path / "home/supervisor.db"
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
                return (store.execute(text, values).fetchone() or [None])[0]
        except sqlite3.OperationalError:  # it is about to be made
            return None

    def life(name: str) -> Any:
        return one("SELECT life || ' ' || pid FROM processes WHERE name = ?", name)

    def turns() -> int:
        return int(one("SELECT turns FROM processes WHERE name = 'beat'"))

    def crashes() -> int:
        return int(
            one("SELECT count(*) FROM process_runs WHERE process = 'fails' AND cause = 'crash'")
        )

    child = subprocess.Popen(
        [sys.executable, "-m", "flows.supervise", "--runtime", "0"],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=(tmp_path / "out.txt").open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: prefect.sessions() == ["RUNNING"], WAIT, "the session")
        wait_until(lambda: prefect.told_of("sleeper"), WAIT, "the events")
        before = life("sleeper")
        for hold in (lambda: prefect.send(signal.SIGSTOP), prefect.kill):
            hold()
            turned, crashed = turns(), crashes()
            time.sleep(OUTAGE / 2)
            # Supervising goes on: turns are taken, crashes are restarted, each is a row.
            wait_until(lambda: turns() > turned and crashes() > crashed, WAIT, "turns and restarts")  # noqa: B023
            assert life("sleeper") == before
        prefect.start()
        # The view is there again, with what happens from now on.
        told = prefect.told_of("sleeper")
        done = subprocess.run(
            [sys.executable, "-m", "flows.dashboard", "restart", "sleeper"],
            cwd=tmp_path,
            env=env,
            check=True,
            capture_output=True,
        )
        assert b"sleeper" in done.stdout
        wait_until(lambda: prefect.told_of("sleeper") > told, WAIT, "news")
        wait_until(lambda: prefect.sessions()[-1] == "RUNNING", WAIT, "the view")
        restarts = int(one("SELECT max(life) FROM processes WHERE name = 'fails'"))
        # Every life is a row, none is there twice, and none was lost.
        lives = "SELECT count(*) FROM process_runs WHERE process = 'fails'"
        assert one(lives) >= restarts
        assert one(lives) == one(lives.replace("count(*)", "count(DISTINCT life)"))
        assert one("SELECT coalesce(sum(statements_lost), 0) FROM supervisions") == 0
    finally:
        child.terminate()
        ended = child.wait(WAIT)
    assert ended == 0, (tmp_path / "out.txt").read_text()
    wait_until(lambda: prefect.sessions()[-1] != "RUNNING", WAIT, "the end of the view")
    assert prefect.ask("artifacts", {"artifacts": {"key": {"any_": ["supervision"]}}})
