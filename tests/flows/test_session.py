"""A supervision as one flow run: seen in Prefect, cancelled there, or started by it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.working_folder import Process, WorkingFolder, wait_until

WAIT = 200.0
PROCESSES = """
prefect: auto
processes:
  - {name: beat, command: [sh, -c, "echo beat"], requires_loop: true, loop_interval: 1}
  - {name: sleeper, command: [sleep, "100000"]}
"""


@pytest.fixture
def folder(tmp_path: Path, prefect_url: str, prefect_home: Path) -> WorkingFolder:
    """A working directory of its own, on the shared server; it needs no market."""
    cache = tmp_path / "cache"
    return WorkingFolder(tmp_path / "work", cache=cache, api=prefect_url, prefect_home=prefect_home)


@contextlib.contextmanager
def started(folder: WorkingFolder, module: str) -> Iterator[Process]:
    """Start a command in a folder whose processes are those above."""
    (folder.path / "config/processes.yaml").write_text(PROCESSES)
    with folder.start(module) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(WAIT)


def ask(folder: WorkingFolder, path: str, body: dict[str, Any] | None = None) -> Any:
    url = f"{folder.env['PREFECT_API_URL']}/{path}"
    answer = httpx.post(url, json=body or {}, timeout=60, trust_env=False)
    answer.raise_for_status()
    return answer.json()


def sessions(folder: WorkingFolder) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(
        folder, "flow_runs/filter", {"flows": {"name": {"any_": ["supervise"]}}}
    )
    return sorted(found, key=lambda one: str(one["created"]))


def left(folder: WorkingFolder) -> list[str]:
    found = []
    for path in Path("/proc").iterdir():
        try:
            here = path.name.isdecimal() and (path / "cwd").readlink() == folder.path
            if here and path.name != str(os.getpid()) and (path / "cmdline").read_bytes():
                found.append(path.name)
        except OSError:
            continue
    return found


@pytest.mark.long
def test_a_supervision_is_a_flow_run_that_ends_with_a_report_and_can_be_cancelled(
    folder: WorkingFolder,
) -> None:
    before = len(sessions(folder))
    with started(folder, "flows.supervise") as child:
        wait_until(lambda: len(sessions(folder)) > before, WAIT, "a flow run")
        run = sessions(folder)[-1]
        wait_until(lambda: sessions(folder)[-1]["state_type"] == "RUNNING", WAIT, "it running")
        wait_until(
            lambda: ask(
                folder,
                "artifacts/filter",
                {"artifacts": {"key": {"any_": ["supervised-processes"]}}},
            ),
            WAIT,
            "the table of processes",
        )
        ask(
            folder,
            f"flow_runs/{run['id']}/set_state",
            {"state": {"type": "CANCELLING", "name": "Cancelling"}},
        )
        assert child.wait(WAIT) == 0
    wait_until(lambda: not left(folder), WAIT, "the end of every process")
    assert sessions(folder)[-1]["state_type"] == "CANCELLED"
    text = folder.output("flows.supervise")
    assert "cancelled in Prefect" in text


@pytest.mark.slow
def test_a_flow_run_that_is_killed_takes_its_own_supervision_along(
    folder: WorkingFolder,
) -> None:
    with started(folder, "flows.session") as child:
        lock = folder.home / "supervisor/running.json"
        wait_until(lock.exists, WAIT, "a supervision")
        pid = json.loads((folder.home / "supervisor/lock").read_text())["pid"]
        assert Path(f"/proc/{pid}").exists()
        time.sleep(1)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    wait_until(lambda: not left(folder), WAIT, "the end of every process")
