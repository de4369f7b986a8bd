"""The Prefect server that a flow talks to: one that is configured, one that runs, or its own.

Run as a program, this module is the server behind `make server`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
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

from alphafoundry.errors import FoundryError, os_error_in_one_line
from alphafoundry.settings import load_settings
from alphafoundry.whole_file import replace_file
from tasks.prefect.discovery import SERVER_LOCK, locked, running_server
from tasks.prefect.ready_database import provide_database
from tasks.prefect.temporary_server import LOG as TEMPORARY_LOG
from tasks.prefect.temporary_server import START_SECONDS, discard_prepared, temporary_server

DEFAULT_PORT = 4200
EXIT_ERROR = 2
ANSWER_SECONDS = 10
"""A server that takes longer to say that it is well is taken for one that hangs."""

_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class PrefectServerError(FoundryError):
    """The Prefect server cannot be reached or started."""


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
    has_ended: Callable[[], bool] = lambda: False
    """Whether it is a temporary one whose process has ended by itself."""


def _home() -> Path:
    home = Path(PREFECT_HOME.value())
    home.mkdir(parents=True, exist_ok=True)
    return home


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=ANSWER_SECONDS).status_code == httpx.codes.OK
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _starting_server(home: Path) -> str | None:
    """Return the address of what `make server` runs for a home, once it listens or has ended."""
    deadline = time.monotonic() + START_SECONDS
    while (url := running_server(home)) and refuses(url) and time.monotonic() < deadline:
        time.sleep(0.2)
    return url


def refuses(url: str) -> bool:
    """Return whether nothing listens at the address of a server; one that is slow does."""
    address = httpx.URL(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.host, port), timeout=5).close()
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def is_away(url: str) -> bool:
    """Return whether nothing listens at the address of a server, nor is about to.

    What `make server` runs for this folder holds its lock some seconds before it listens.
    """
    return refuses(url) and running_server(_home()) != url


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
def prefect_server(
    *, temporary: bool = True, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[Server]:
    """Connect this process to a Prefect server for the length of the block.

    The first that applies: the address in `PREFECT_API_URL` or the active profile; the server
    that `make server` runs for this folder; a temporary one, unless `temporary` is False.

    Parameters
    ----------
    meanwhile : called while a temporary server starts

    Raises
    ------
    PrefectServerError : the configured server does not answer, or none could be started
    """
    home = _home()
    configured = PREFECT_API_URL.value() or _starting_server(home)
    if configured:
        discard_prepared()
        if not _answers(configured):
            otherwise = ", or unset PREFECT_API_URL to run without one" if temporary else ""
            raise PrefectServerError(
                f"no Prefect server answers at {configured}; start it with `make server`{otherwise}"
            )
        with temporary_settings(_client_settings(configured)):
            try:
                yield Server(configured, temporary=False, alone=False)
            finally:
                _send_the_rest()
        return
    if not temporary:
        raise PrefectServerError("no Prefect server runs; start one with `make server`")
    with contextlib.ExitStack() as stack:
        with locked(home / "temporary-start.lock", fcntl.LOCK_EX):
            with locked(home / "temporary-runs.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as sole:
                alone = sole is not None
            stack.enter_context(locked(home / "temporary-runs.lock", fcntl.LOCK_SH))
            server = temporary_server(home.resolve())
            stack.callback(server.stop)
            server.begin()
            meanwhile()
            if not server.wait():
                raise PrefectServerError(
                    "Prefect's temporary server did not start; its messages are in "
                    f"{home / TEMPORARY_LOG}"
                )
        stack.enter_context(
            temporary_settings(
                {
                    **_client_settings(server.url),
                    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
                }
            )
        )
        stack.callback(_send_the_rest)
        yield Server(server.url, temporary=True, alone=alone, has_ended=server.has_ended)


def _send_the_rest() -> None:
    """Send the server what was told and not sent yet: events, and lines of the log."""
    EventsWorker.drain_all(timeout=10)
    APILogWorker.drain_all(timeout=10)


def _run_server(host: str, port: int, *, log_level: str, hosts: Iterable[str] = ()) -> None:
    import uvicorn

    from alphafoundry.impatient import ImpatientProtocol
    from tasks.prefect.application import create_application

    uvicorn.run(
        lambda: create_application(hosts=hosts),
        factory=True,
        host=host,
        port=port,
        log_level=log_level,
        lifespan="on",
        timeout_graceful_shutdown=5,
        http=ImpatientProtocol,
    )


def _serve(host: str, port: int) -> None:
    hosts = [*load_settings().server_hosts, host]
    path = _home() / SERVER_LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PrefectServerError(
            f"a server for this folder runs already at {path.read_text().strip()}"
        ) from None
    _check_free(host, port)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{address}/api\n".encode(), 0)
    print(f"Prefect server and UI: {address} (Ctrl-C stops it)", flush=True)
    provide_database()
    # The lock is held as long as this process lives: it tells a flow that the server runs.
    # Without the address the UI looks for the server on Prefect's default port.
    with temporary_settings(set_defaults={PREFECT_UI_API_URL: "/api"}):
        _run_server(host, port, log_level="warning", hosts=hosts)


def _check_free(host: str, port: int) -> None:
    """Raise PrefectServerError where no server can listen at an address."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as problem:
        raise PrefectServerError(f"--host {host}: {problem.strerror}") from None
    except OSError as problem:
        raise PrefectServerError(
            f"cannot listen on {host}:{port}: {problem.strerror}; choose another --port"
        ) from None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 1 to 65535")
    return int(text)


def main() -> None:
    """Run a Prefect server for this folder."""
    parser = argparse.ArgumentParser(
        prog="python -m tasks.prefect.server",
        description="Run the Prefect server and UI for this folder.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="port (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        _serve(arguments.host, arguments.port)
    except FoundryError as problem:
        line = str(problem)
    except OSError as problem:
        line = os_error_in_one_line(problem)
    else:
        return
    print(f"error: {line}", file=sys.stderr)
    sys.exit(EXIT_ERROR)


if __name__ == "__main__":
    main()
