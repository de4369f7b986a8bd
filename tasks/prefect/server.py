"""The Prefect server that a flow talks to: one that is configured, one that runs, or its own.

Prefect's temporary server has two faults that cost a researcher a day: `kill -9` of the flow
leaves the server alive for ever, and Ctrl-C reaches the server before the flow has saved. So the
temporary server here is a child that leaves the terminal's process group and ends when the pipe
to its parent closes, which the kernel does however the parent dies.

Run as a program, this module is that server (`--temporary`) or the one behind `make server`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import httpx
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_HOME,
    PREFECT_UI_API_URL,
    temporary_settings,
)

from alphafoundry.errors import FoundryError
from alphafoundry.whole_file import replace_file

START_SECONDS = 90
DEFAULT_PORT = 4200
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class PrefectServerError(FoundryError):
    """The Prefect server cannot be reached or started."""


_started: list[subprocess.Popen[bytes]] = []
"""The temporary servers of this process."""


@dataclass(frozen=True)
class Server:
    """The server in use.

    Attributes
    ----------
    url : its API address
    temporary : True where this process started it and it ends with this process
    alone : True where no other run uses the same temporary database, so a slot that is
        still taken belongs to a run that died
    """

    url: str
    temporary: bool
    alone: bool

    def has_ended(self) -> bool:
        """Return whether it is a temporary one whose process has ended by itself."""
        return self.temporary and all(process.poll() is not None for process in _started)


def _home() -> Path:
    home = Path(PREFECT_HOME.value())
    home.mkdir(parents=True, exist_ok=True)
    return home


@contextlib.contextmanager
def _locked(path: Path, operation: int) -> Iterator[int | None]:
    """Hold a lock on `path`; gives None where a non-blocking lock is not to be had."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)


def _running_server() -> str | None:
    """Return the address of the server that `make server` keeps for this folder, if it runs."""
    path = _home() / "server.lock"
    if not path.exists():
        return None
    with _locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB) as free:
        return None if free is not None else path.read_text().strip() or None


def _answers(url: str, client: httpx.Client | None = None) -> bool:
    try:
        get = httpx.get if client is None else client.get
        return get(f"{url}/health", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TemporaryServer:
    """A Prefect server that lives as long as this process."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._log_path = _home() / "temporary-server.log"
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tasks.prefect.server",
                    "--temporary",
                    "--port",
                    str(self.port),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "PREFECT_HOME": str(_home().resolve()),
                    "PREFECT_UI_ENABLED": "0",
                    "PREFECT__SERVER_EPHEMERAL": "1",
                    "PREFECT__SERVER_FINAL": "1",
                    "PREFECT_API_URL": self.url,
                    "DO_NOT_TRACK": "1",
                },
            )

        _started.append(self._process)

    def wait(self) -> None:
        """Wait until it answers.

        Raises
        ------
        PrefectServerError : it ended, or did not answer within 90 s
        """
        deadline = time.monotonic() + START_SECONDS
        # One client for all questions: each new one reads all trusted certificates.
        with httpx.Client() as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                if _answers(self.url, client):
                    return
                time.sleep(0.1)
        self.stop()
        raise PrefectServerError(
            f"Prefect's temporary server did not start; its messages are in {self._log_path}"
        )

    def stop(self) -> None:
        """Let it write what it was told, end it, and wait until it has ended."""
        _drain()
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _drain() -> None:
    """Send the events and log records that still wait, so that the process may end at once."""
    EventsWorker.drain_all(timeout=10)
    APILogWorker.drain_all(timeout=10)


def kill_temporary_servers() -> None:
    """End the temporary servers of this process at once, also those that hang."""
    for process in _started:
        process.kill()


def refuses(url: str) -> bool:
    """Return whether nothing listens at the address of a server; one that is slow does not."""
    address = httpx.URL(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.host, port), timeout=5).close()
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def _client_settings(url: str) -> dict[Any, Any]:
    """Return the settings with which this process talks to the server at `url`.

    Prefect makes a client for every slot that is taken, kept or given back, and each reads all
    trusted certificates, 20 ms of processor time. Plain HTTP to this machine never looks at them,
    so one of them will do.
    """
    settings: dict[Any, Any] = {PREFECT_API_URL: url}
    address = httpx.URL(url)
    if address.scheme != "http" or address.host not in _THIS_MACHINE:
        return settings
    end = "-----END CERTIFICATE-----\n"
    first = Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end
    path = _home() / "one-certificate.pem"
    if not path.exists() or path.read_text(encoding="utf-8") != first:
        replace_file(path, first.encode())
    return settings | {PREFECT_API_SSL_CERT_FILE: str(path.resolve())}


@contextlib.contextmanager
def prefect_server(*, temporary: bool = True) -> Iterator[Server]:
    """Connect this process to a Prefect server for the length of the block.

    The first that applies: the address in `PREFECT_API_URL` or the active profile; the server
    that `make server` runs for this folder; a temporary one, unless `temporary` is False.

    Raises
    ------
    PrefectServerError : the configured server does not answer, or none could be started
    """
    configured = PREFECT_API_URL.value() or _running_server()
    if configured:
        if not _answers(configured):
            otherwise = ", or unset PREFECT_API_URL to run without one" if temporary else ""
            raise PrefectServerError(
                f"no Prefect server answers at {configured}; start it with `make server`{otherwise}"
            )
        with temporary_settings(_client_settings(configured)):
            yield Server(configured, temporary=False, alone=False)
            _drain()
        return
    if not temporary:
        raise PrefectServerError("no Prefect server runs; start one with `make server`")
    home = _home()
    with contextlib.ExitStack() as stack:
        with _locked(home / "temporary-start.lock", fcntl.LOCK_EX):
            with _locked(home / "temporary-runs.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as sole:
                alone = sole is not None
            stack.enter_context(_locked(home / "temporary-runs.lock", fcntl.LOCK_SH))
            server = TemporaryServer()
            stack.callback(server.stop)
            server.wait()
        stack.enter_context(
            temporary_settings(
                {
                    **_client_settings(server.url),
                    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
                }
            )
        )
        yield Server(server.url, temporary=True, alone=alone)


def _end_with_parent() -> None:
    """Leave at once when the parent's end of standard input closes."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        # A graceful end waits for services that may wait for this server; SQLite in WAL mode
        # loses nothing that was committed.
        os._exit(0)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _serve_temporary(port: int) -> None:
    _end_with_parent()
    _run_server("127.0.0.1", port, log_level="error")


def _run_server(host: str, port: int, *, log_level: str) -> None:
    import uvicorn

    uvicorn.run(
        "tasks.prefect.application:create_application",
        factory=True,
        host=host,
        port=port,
        log_level=log_level,
        lifespan="on",
        timeout_graceful_shutdown=5,
    )


def _serve(host: str, port: int) -> None:
    path = _home() / "server.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"a server for this folder runs already at {path.read_text().strip()}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            sys.exit(f"cannot listen on {host}:{port}: {problem.strerror}; choose another --port")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"http://{host}:{port}/api\n".encode(), 0)
    print(f"Prefect server and UI: http://{host}:{port} (Ctrl-C stops it)", flush=True)
    # The lock is held as long as this process lives: it tells a flow that the server runs.
    # Without the address the UI looks for the server on Prefect's default port.
    with temporary_settings(set_defaults={PREFECT_UI_API_URL: "/api"}):
        _run_server(host, port, log_level="warning")


def main() -> None:
    """Run a Prefect server for this folder."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.prefect.server",
        description="Run the Prefect server and UI for this folder.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port (default: %(default)s)"
    )
    parser.add_argument("--temporary", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.temporary:
        _serve_temporary(arguments.port)
    else:
        _serve(arguments.host, arguments.port)


if __name__ == "__main__":
    main()
