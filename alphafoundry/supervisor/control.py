"""How other programs talk to the core: a socket that only the same user may open."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

from alphafoundry.errors import FoundryError
from alphafoundry.file_lock import file_lock

FOLDER = "supervisor"
LOCK = "lock"
RUNNING = "running.json"
LARGEST = 1 << 16
WAIT = 10.0
COMMANDS = ("start", "stop", "restart", "pause")


class SupervisorError(FoundryError):
    """The supervisor cannot do what was asked."""


def folder_of(home: Path) -> Path:
    """Return where the supervisor of a home keeps its files."""
    return home / FOLDER


def is_running(home: Path) -> bool:
    """Return whether a supervisor guards this home."""
    path = folder_of(home) / LOCK
    if not path.exists():
        return False
    with file_lock(path, shared=True, wait=0) as free:
        return free is None


def running_pid(home: Path) -> int | None:
    """Return the pid of the main process of the supervisor, None where none runs."""
    if not is_running(home):
        return None
    try:
        return int(json.loads((folder_of(home) / LOCK).read_text("utf-8"))["pid"])
    except (OSError, ValueError, KeyError):
        return None


def ask(home: Path, request: dict[str, Any], *, wait: float = WAIT) -> dict[str, Any]:
    """Send the core a request, and return its answer.

    A core that is being replaced is waited for.

    Raises
    ------
    SupervisorError : no core answers in time, or it refuses
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            return _ask_once(home, request, deadline)
        except (OSError, ValueError, KeyError) as problem:
            if time.monotonic() > deadline or not is_running(home):
                raise SupervisorError(
                    f"the supervisor of {home} does not answer: {problem or 'no answer'}"
                ) from None
            time.sleep(0.1)


def _ask_once(home: Path, request: dict[str, Any], deadline: float) -> dict[str, Any]:
    address = json.loads((folder_of(home) / RUNNING).read_text("utf-8"))["socket"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(max(0.1, deadline - time.monotonic()))
        end.connect(address)
        end.sendall(json.dumps(request).encode() + b"\n")
        text = b""
        while not text.endswith(b"\n"):
            part = end.recv(LARGEST)
            if not part:
                raise ValueError("the connection was closed")
            text += part
    answer: dict[str, Any] = json.loads(text)
    if "error" in answer:
        raise SupervisorError(str(answer["error"]))
    return answer


class ControlServer:
    """The core's end: `accept` when it is readable, then `read` each connection."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(before)
        self._socket.listen(16)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    def accept(self) -> Connection | None:
        """Return a new connection of the same user, None where it is another's."""
        try:
            end, _ = self._socket.accept()
        except OSError:
            return None
        size = struct.calcsize("3i")
        _, user, _ = struct.unpack(
            "3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        if user not in (os.getuid(), 0):
            end.close()
            return None
        end.setblocking(False)
        return Connection(end)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


class Connection:
    """One request and its answer."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._text = b""

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._end.fileno()

    def read(self) -> dict[str, Any] | None:
        """Return the request once it is whole.

        Raises
        ------
        ValueError : it is no request, or the other end has closed
        """
        try:
            part = self._end.recv(LARGEST)
        except BlockingIOError:
            return None
        self._text += part
        if self._text.endswith(b"\n"):
            found = json.loads(self._text)
            if not isinstance(found, dict):
                raise ValueError("no request")
            return found
        if not part or len(self._text) > LARGEST:
            raise ValueError("no request")
        return None

    def answer(self, message: dict[str, Any]) -> None:
        """Send the answer and close; from any thread."""
        with contextlib.suppress(OSError):
            self._end.setblocking(True)
            self._end.settimeout(2.0)
            self._end.sendall(json.dumps(message).encode() + b"\n")
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._end.close()
