"""The Prefect servers that the commands talk to, each in a process of its own."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from tests.working_folder import ROOT, fork_server, plain_environment, wait_until

START_SECONDS = 300.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def prefect_api(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a Prefect server with the settings of this project; give the address of its API.

    folder : becomes its PREFECT_HOME
    env : further variables of its environment
    """
    shutil.copy(ROOT / "prefect.toml", folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    settings = {"PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "1", "PREFECT_HOME": str(folder)}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = fork_server().start(
            "tasks.prefect.server",
            ["--port", str(port)],
            cwd=folder,
            env={**plain_environment(), **settings, **(env or {})},
            stdout=output.fileno(),
            stderr=output.fileno(),
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return client.get(f"{url}/health", timeout=5).is_success
        return False

    try:
        with httpx.Client(trust_env=False) as client:
            wait_until(answers, START_SECONDS, "the Prefect server on its port")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
