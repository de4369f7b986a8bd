"""What processes print: into files that are turned over, and into lines for the database.

Files are written by a thread of their own; reading a pipe never waits for a disk.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from pathlib import Path

FILE_BYTES = 10 * 2**20
FILES = 5
ROOM = 32 * 2**20
"""Bytes that may wait for the disk."""

PIECE = 1 << 18
BURST = 200.0
TAIL_LINES = 50
_LONGEST_LINE = 1 << 16
_TAIL_BYTES = 16 * 1024


class LogFiles:
    """Appends to one file per process, 10 MB and five of them each.

    Attributes
    ----------
    waiting : bytes that are not written yet
    lost : bytes that the disk refused
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._jobs: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.waiting = 0
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="log files", daemon=True)
        self._thread.start()

    def path(self, name: str) -> Path:
        """Return the file of a process."""
        return self._folder / f"{name}.log"

    @property
    def has_room(self) -> bool:
        """Whether the disk keeps up."""
        return self.waiting < ROOM

    def put(self, name: str, data: bytes) -> None:
        """Have something appended."""
        with self._lock:
            self.waiting += len(data)
        self._jobs.put((name, data))

    def close(self, wait: float = 10.0) -> None:
        """Write what waits, and end the thread."""
        self._jobs.put(None)
        self._thread.join(wait)

    def _run(self) -> None:
        files: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for name, data in iter(self._jobs.get, None):
            try:
                if name not in files:
                    files[name], sizes[name] = self._open(name)
                _write(files[name], data)
                sizes[name] += len(data)
                if sizes[name] >= FILE_BYTES:
                    os.close(files.pop(name))
                    self._turn_over(name)
            except OSError:
                self.lost += len(data)
                with contextlib.suppress(KeyError, OSError):
                    os.close(files.pop(name))
            with self._lock:
                self.waiting -= len(data)

    def _open(self, name: str) -> tuple[int, int]:
        descriptor = os.open(self.path(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return descriptor, os.fstat(descriptor).st_size

    def _turn_over(self, name: str) -> None:
        path = self.path(name)
        for number in range(FILES - 1, 0, -1):
            older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
            with contextlib.suppress(FileNotFoundError):
                older.rename(path.with_name(f"{path.name}.{number}"))


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


class Bucket:
    """So many per second, and a burst."""

    def __init__(self, rate: float, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst if rate else 0.0
        self._level = self._burst
        self._at: float | None = None

    def take(self, wanted: int, now: float) -> int:
        """Return how many of the wanted may pass."""
        if self._at is not None:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        given = min(wanted, int(self._level))
        self._level -= given
        return given


class Stream:
    """One pipe of one life: bytes to whole lines, with the last ones at hand.

    Attributes
    ----------
    size : bytes so far
    """

    def __init__(self) -> None:
        self._rest = b""
        self._tail = bytearray()
        self.size = 0

    def feed(self, data: bytes) -> bytes:
        """Return the whole lines that are there now; a line of 64 KB counts as whole."""
        self.size += len(data)
        joined = self._rest + data if self._rest else data
        cut = joined.rfind(b"\n") + 1
        whole, self._rest = joined[:cut], joined[cut:]
        if len(self._rest) > _LONGEST_LINE:
            whole, self._rest = whole + self._rest + b"\n", b""
        self._remember(whole)
        return whole

    def finish(self) -> bytes:
        """Return what stands behind the last end of line."""
        rest, self._rest = self._rest, b""
        whole = rest + b"\n" if rest else b""
        self._remember(whole)
        return whole

    def _remember(self, whole: bytes) -> None:
        self._tail += whole[-_TAIL_BYTES:]
        del self._tail[:-_TAIL_BYTES]

    def tail(self, lines: int = TAIL_LINES) -> list[str]:
        """Return the last lines."""
        found = self._tail.decode("utf-8", "replace").splitlines()
        return [plain(line) for line in found[-lines:]]


def plain(line: str) -> str:
    """Return a line without control characters."""
    return "".join(one for one in line[:4096].rstrip("\r") if one == "\t" or one.isprintable())


def first_lines(whole: bytes, count: int) -> list[str]:
    """Return the first lines of a piece, as they are stored."""
    if count <= 0:
        return []
    parts = whole.split(b"\n", count)[:count]
    return [plain(part.decode("utf-8", "replace")) for part in parts if part]


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a file; none where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - count * 400))
            lines = deque(file.read().decode("utf-8", "replace").splitlines(), count)
    except FileNotFoundError:
        return []
    return [plain(line) for line in lines]
