"""Asks processes whether they are well, in threads: a probe that hangs holds nobody up."""

from __future__ import annotations

import http.client
import os
import queue
import shlex
import socket
import subprocess
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alphafoundry.supervisor.processes import Probe

THREADS = 4


def passes(probe: Probe, folder: Path) -> bool:
    """Return whether a probe passes: a status below 400, an open port, exit 0."""
    try:
        if probe.http is not None:
            return _http(probe.http, probe.timeout)
        if probe.tcp is not None:
            host, _, port = probe.tcp.rpartition(":")
            socket.create_connection((host, int(port)), timeout=probe.timeout).close()
            return True
        command = probe.command
        words = shlex.split(command) if isinstance(command, str) else list(command or ())
        done = subprocess.run(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=probe.timeout,
            check=False,
        )
    except (OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _http(address: str, timeout: float) -> bool:
    parts = urllib.parse.urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        return connection.getresponse().status < http.HTTPStatus.BAD_REQUEST
    finally:
        connection.close()


class Prober:
    """Runs probes side by side; `results` gives (mark, passed), and `fileno` tells when."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="probe")
        self._results: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._woken

    def submit(self, mark: str, probe: Probe, folder: Path) -> None:
        """Have a probe made."""
        self._pool.submit(self._make, mark, probe, folder)

    def _make(self, mark: str, probe: Probe, folder: Path) -> None:
        self._results.put((mark, passes(probe, folder)))
        os.write(self._wake, b"x")

    def results(self) -> list[tuple[str, bool]]:
        """Return what has come back."""
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            return []
        found = []
        while not self._results.empty():
            found.append(self._results.get_nowait())
        return found

    def close(self) -> None:
        """Begin no further probe."""
        self._pool.shutdown(wait=False, cancel_futures=True)
