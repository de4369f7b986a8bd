"""The servers that the commands talk to, each in a process of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from tests.working_folder import ROOT, plain_environment, wait_until

START_SECONDS = 150.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _serving(
    arguments: list[str], ready: str, folder: Path, env: Mapping[str, str]
) -> Iterator[None]:
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env=plain_environment() | env | {"PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    client = httpx.Client(trust_env=False)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return client.get(ready, timeout=5).status_code == httpx.codes.OK
        return False

    try:
        wait_until(answers, START_SECONDS, f"{arguments[0]} on its port")
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def prefect_api(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a Prefect server with the settings of this project; give the address of its API.

    folder : becomes its PREFECT_HOME
    env : further variables of its environment
    """
    shutil.copy(ROOT / "prefect.toml", folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    command = ["tasks.prefect.server", "--port", str(port)]
    with _serving(command, f"{url}/health", folder, {"PREFECT_HOME": str(folder), **(env or {})}):
        yield url
