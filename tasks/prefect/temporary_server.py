"""A Prefect server that lives as long as the process that started it.

Prefect's own temporary server has two faults that cost a researcher a day: `kill -9` of the flow
leaves the server alive for ever, and Ctrl-C reaches the server before the flow has saved. So this
one is a child that leaves the terminal's process group and ends when the pipe to its parent
closes, which the kernel does however the parent dies.

Most of its start is importing. So it can be prepared before the parent has imported anything: it
imports and waits, and answers nobody and opens no database until it is told to begin. A command
that ends with a mistake never tells it, and it ends with the command.

Nothing here imports Prefect before it is needed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

START_SECONDS = 90
LONGEST_START_SECONDS = 600
LOOK_SECONDS = 5.0
LOG = "temporary-server.log"

ENVIRONMENT = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    # Prefect registers a block's type when one is saved; `make server` registers all of them.
    "PREFECT_SERVER_API_BLOCKS_REGISTER_ON_START": "0",
    "DO_NOT_TRACK": "1",
}

FEW_COLLECTIONS = (20_000, 50, 10)
"""Thresholds of the garbage collector: with Python's own a quarter of the time that imports take
is spent looking for garbage among the classes that they make."""


class _Patience:
    """How long a server that starts is waited for: as long as it gets on."""

    def __init__(self, process: int) -> None:
        import psutil

        self._process = psutil.Process(process)
        self._began = self._got_on = time.monotonic()
        self._used = 0.0

    def __str__(self) -> str:
        return (
            f"the server had not answered after {time.monotonic() - self._began:.0f} s, and had "
            f"used {self._used:.1f} s of processor time"
        )

    def is_over(self) -> bool:
        """Return whether it has stood still for 90 s, or has taken ten minutes."""
        import psutil

        now = time.monotonic()
        with contextlib.suppress(psutil.Error):
            used = sum(self._process.cpu_times()[:2])
            if used > self._used + 0.1:
                self._used, self._got_on = used, now
        return now - self._got_on > START_SECONDS or now - self._began > LONGEST_START_SECONDS


class TemporaryServer:
    """A server of this process, prepared when it is made and serving after `begin`.

    Parameters
    ----------
    home : PREFECT_HOME of the server, absolute
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            self._early_messages = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._early_messages,
                stderr=self._early_messages,
                pass_fds=[listener.fileno()],
                start_new_session=True,
                env={
                    **os.environ,
                    **ENVIRONMENT,
                    "PREFECT_HOME": str(home),
                    "PREFECT_API_URL": self.url,
                },
            )

    def begin(self) -> None:
        """Let it open its database and serve; its messages go to `temporary-server.log`."""
        assert self._process.stdin is not None
        _serving.append(self)
        with contextlib.suppress(BrokenPipeError):  # it has ended, and `wait` says so
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()

    def wait(self) -> bool:
        """Return True once it answers, False where it ended or does not get on.

        A busy machine may take minutes; given up is a server that has used no processor time for
        90 s, or has not answered after ten minutes. Its log then says so, and where it stands.
        """
        import httpx

        patience = _Patience(self._process.pid)
        # The port listens already, so a question waits for its answer. If the server ends, the
        # kernel refuses it.
        with httpx.Client(trust_env=False) as client:
            while self._process.poll() is None and not patience.is_over():
                try:
                    if client.get(f"{self.url}/health", timeout=LOOK_SECONDS).is_success:
                        return True
                except httpx.HTTPError:
                    time.sleep(0.05)
        if self._process.poll() is None:
            # It writes where each of its threads stands.
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
            self._early_messages.seek(0, os.SEEK_END)
            self._early_messages.write(f"{patience}\n".encode())
        self._keep_early_messages()
        self.discard()
        return False

    def _keep_early_messages(self) -> None:
        self._early_messages.seek(0)
        with (self.home / LOG).open("ab") as log:
            log.write(self._early_messages.read())

    def has_ended(self) -> bool:
        """Return whether its process has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Have it ended at once, also where it hangs."""
        self._process.kill()

    def stop(self) -> None:
        """Let it write what it was told, end it, and wait until it has ended."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20)
        self.discard()

    def discard(self) -> None:
        """End it at once and forget it."""
        if self in _serving:
            _serving.remove(self)
        self._process.kill()
        self._process.wait()
        self._early_messages.close()
        if self._process.stdin is not None:
            self._process.stdin.close()


_prepared: list[TemporaryServer] = []
_serving: list[TemporaryServer] = []


def kill_temporary_servers() -> None:
    """End the temporary servers of this process at once, also those that hang."""
    for server in [*_prepared, *_serving]:
        server.kill()


def prepare(home: Path) -> None:
    """Let a server for `home` import what it needs while this process does the same."""
    _prepared.append(TemporaryServer(home))


def temporary_server(home: Path) -> TemporaryServer:
    """Return the server that was prepared for `home`, a new one where none was."""
    if _prepared and _prepared[0].home == home:
        return _prepared.pop()
    discard_prepared()
    return TemporaryServer(home)


def discard_prepared() -> None:
    """End a server that was prepared and is not needed."""
    while _prepared:
        _prepared.pop().discard()


def _wait_for_parent(told: threading.Event) -> None:
    """Set `told` when the parent says so, and leave at once when it has ended."""
    while os.read(0, 1):
        told.set()
    # A graceful end waits for services that may wait for this server; SQLite in WAL mode
    # loses nothing that was committed.
    os._exit(0)


def main() -> None:
    """Import Prefect's server, wait to be told, and serve on the socket that was inherited."""
    faulthandler.register(signal.SIGUSR1)
    told = threading.Event()
    threading.Thread(target=_wait_for_parent, args=[told], daemon=True).start()
    gc.set_threshold(*FEW_COLLECTIONS)

    import uvicorn

    from tasks.prefect.application import create_application
    from tasks.prefect.ready_database import provide_database

    application = create_application()
    told.wait()
    log = os.open(
        Path(os.environ["PREFECT_HOME"]) / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    for stream in (1, 2):
        os.dup2(log, stream)
    provide_database()
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="error",
            lifespan="on",
            timeout_graceful_shutdown=5,
        )
    )
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
    sys.exit(not server.started)


if __name__ == "__main__":
    main()
