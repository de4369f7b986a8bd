"""The platform: configuration, retention, the unit for systemd, and a whole life of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from alphafoundry.errors import ConfigurationError
from alphafoundry.supervisor.backups import back_up, databases
from alphafoundry.supervisor.platform import (
    HEARTBEAT,
    MANY_EVENTS,
    PlatformSettings,
    PrefectRetention,
    load_platform,
    unit,
)
from tests.piped_commands import run_forked
from tests.servers import free_port
from tests.working_folder import ROOT, plain_environment, wait_until

PROCESSES = """
processes:
  - {name: beat, command: [sh, -c, "echo beat"], requires_loop: true, loop_interval: 5}
"""


def test_the_file_that_comes_along_has_the_defaults() -> None:
    assert load_platform(ROOT / "config/platform.yaml") == PlatformSettings()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot: 1", "unknown key 'prot'"),
        ("port: 70000", "port"),
        ("prefect: {runs_days: 0}", "prefect.runs_days: '0' is not greater than"),
        ("prefect: {runs_days: 1e300}", "prefect.runs_days: '1e+300' is not at most"),
    ],
)
def test_mistakes_in_the_platform_s_file_name_the_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(f"{path}:1: ")) as caught:
        load_platform(path)
    assert complaint in str(caught.value)


def test_prefect_reads_the_retention_that_the_platform_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.settings.models.server.events import ServerEventsSettings
    from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

    for name, value in PrefectRetention().environment().items():
        monkeypatch.setenv(name, value)
    vacuum = ServerServicesDBVacuumSettings()
    assert ServerEventsSettings().retention_period == timedelta(days=1)
    assert vacuum.retention_period == timedelta(days=14)
    assert vacuum.enabled_vacuum_types >= {"events", "flow_runs"}  # newer Prefects add orphans
    overrides = vacuum.event_retention_overrides
    assert overrides.keys() == {HEARTBEAT, *MANY_EVENTS}
    assert set(overrides.values()) == {timedelta(hours=1)}


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    spaced = tmp_path / "a folder"
    spaced.mkdir()
    text = unit(
        folder=spaced,
        environment={"FOUNDRY_HOME": str(spaced), "PREFECT_HOME": f"{tmp_path}/50%"},
        python=sys.executable,
    )
    assert "Type=notify" in text and f"WorkingDirectory={spaced}\n" in text
    assert f'Environment="FOUNDRY_HOME={spaced}"\n' in text
    assert f"Environment=PREFECT_HOME={tmp_path}/50%%\n" in text
    path = tmp_path / "foundry.service"
    path.write_text(text)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert "foundry.service" not in done.stderr, done.stderr


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for a platform of its own."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/processes.yaml").write_text(PROCESSES)
    (tmp_path / "config/platform.yaml").write_text("least_disk_mb: 1\n")
    shutil.copy(ROOT / "prefect.toml", tmp_path)
    env = plain_environment() | {
        "PYTHONPATH": str(ROOT),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PREFECT_HOME": str(tmp_path / ".foundry/prefect"),
    }
    yield tmp_path, env
    run(tmp_path, env, "down")


def run(folder: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    if words[0] != "up":  # that one starts processes that stay
        return run_forked("flows.platform", words, cwd=folder, env=env)
    return subprocess.run(
        [sys.executable, "-m", "flows.platform", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_systemd_hears_that_it_is_ready_and_lives(
    platform: tuple[Path, dict[str, str]],
) -> None:
    folder, env = platform
    (folder / "config/processes.yaml").write_text(f"prefect: 'off'\n{PROCESSES.lstrip()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(folder / "notify"))
        end.settimeout(60)
        child = subprocess.Popen(
            [sys.executable, "-m", "flows.supervise", "--runtime", "0"],
            cwd=folder,
            env=env | {"NOTIFY_SOCKET": str(folder / "notify")},
            stdin=subprocess.DEVNULL,
        )
        try:
            assert end.recv(100) == b"READY=1"
            assert end.recv(100) == b"WATCHDOG=1"
        finally:
            child.terminate()
        heard = b""
        while heard != b"STOPPING=1":
            heard = end.recv(100)
        assert child.wait(90) == 0


@pytest.mark.long
def test_a_port_of_another_program_is_told_by_its_name(
    platform: tuple[Path, dict[str, str]],
) -> None:
    folder, env = platform
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(folder, env, "up", "--port", str(port))
    assert done.returncode == 2
    name = psutil.Process().name()
    assert f"port {port} is taken by {name} (pid {os.getpid()})" in done.stderr
    assert run(folder, env, "status").returncode == 1
    assert run(folder, env, "up", "--port", "x").returncode == 2


def test_a_damaged_store_is_restored_from_its_copy(
    platform: tuple[Path, dict[str, str]],
) -> None:
    folder, env = platform
    home = folder / ".foundry"
    none = run(folder, env, "restore")
    assert none.returncode == 2 and "there is no whole copy" in none.stderr
    home.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(home / "foundry.sqlite")) as connection:
        connection.execute("CREATE TABLE kept (row)")
    back_up(home, databases(home, home / "prefect"), today=date(2026, 3, 1))
    (home / "foundry.sqlite").write_bytes(b"damaged")
    done = run(folder, env, "restore")
    assert done.returncode == 0, done.stderr
    assert "restored foundry.sqlite from" in done.stdout
    with contextlib.closing(sqlite3.connect(home / "foundry.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone()[0] == 0


@pytest.mark.long
def test_the_platform_goes_up_twice_and_down(platform: tuple[Path, dict[str, str]]) -> None:
    folder, env = platform
    port = free_port()
    up = run(folder, env, "up", "--port", str(port))
    assert up.returncode == 0, up.stderr + up.stdout
    assert f"http://127.0.0.1:{port}" in up.stdout
    again = run(folder, env, "up")
    assert again.returncode == 0 and "runs already" in again.stdout
    api = f"http://127.0.0.1:{port}/api"

    def answer(path: str) -> list[dict[str, object]]:
        with contextlib.suppress(httpx.HTTPError):
            found = httpx.post(f"{api}/{path}/filter", json={}, timeout=20, trust_env=False)
            return found.json() if found.is_success else []
        return []

    wait_until(
        lambda: {"daily", "supervise"} <= {str(one["name"]) for one in answer("deployments")},
        300,
        "the deployments",
    )
    wait_until(lambda: answer("flow_runs"), 300, "the session's flow run")
    wait_until(lambda: run(folder, env, "status").stdout.count("running") >= 3, 300, "the worker")
    assert run(folder, env, "down").returncode == 0
    assert run(folder, env, "status").returncode == 1


CONTENT = {
    "/": r'href="/runs/\d',
    "/alphas": r'href="/alpha\?service=',
    "/runs": r'href="/runs/\d',
    "/workflows": r'href="/workflows/\d',
    "/algorithms": r'href="/algorithms/\d',
    "/data": r"(?s)SYNTHETIC.*<h3>Calls of sources</h3>",
    "/desk": r"(?s)Largest holdings.*SYN\d",
    "/agents": r'href="/agents/ticks\?desk=[^"]*agent=',
    "/processes": r'href="/processes/alphas"',
    "/machine": r"(?s)foundry\.sqlite.*<progress",
}
"""What each page of the dashboard shows once there is something to see."""


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_page_has_content_of_the_defaults_soon_after_make_up(
    platform: tuple[Path, dict[str, str]],
) -> None:
    folder, env = platform
    shutil.copytree(ROOT / "config", folder / "config", dirs_exist_ok=True)
    port, brain = free_port(), free_port()
    processes = folder / "config/processes.yaml"
    text = processes.read_text().replace("8787", str(brain)).replace("4210", str(port))
    processes.write_text(text)
    begun = time.monotonic()
    up = run(folder, env, "up", "--port", str(free_port()))
    assert up.returncode == 0, up.stderr + up.stdout
    token = (folder / ".foundry/dashboard/token").read_text().strip()
    seen: dict[str, float] = {"make up returns": time.monotonic() - begun}

    def shows(path: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            found = httpx.get(
                f"http://127.0.0.1:{port}{path}",
                headers={"authorization": f"Bearer {token}"},
                timeout=60,
                trust_env=False,
            )
            return found.is_success and re.search(CONTENT[path], found.text) is not None
        return False

    def everything() -> bool:
        for path in CONTENT.keys() - seen.keys():
            if shows(path):
                seen[path] = time.monotonic() - begun
        time.sleep(2)
        return CONTENT.keys() <= seen.keys()

    try:
        wait_until(everything, 3000, "content of every page")
    finally:
        for path, seconds in sorted(seen.items(), key=lambda one: one[1]):
            print(f"{seconds:6.0f} s  {path}")
