"""Worker processes that are used again and again, and replaced when they die."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import alphafoundry
from alphafoundry.coordinator.isolation import TrialFailed
from alphafoundry.coordinator.worker_environment import worker_environment

START_SECONDS = 300.0


class _Worker:
    """One worker process."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        root = str(Path(alphafoundry.__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"), os.getcwd())))  # noqa: PTH109
        self._process = subprocess.Popen(
            [sys.executable, "-m", "alphafoundry.coordinator.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # Ctrl-C in the terminal is for the flow, which lets its batches finish.
            start_new_session=True,
            env=worker_environment(os.environ) | {"PYTHONPATH": path},
        )
        self._buffer = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: Mapping[str, Any], timeout: float | None) -> dict[str, Any]:
        """Return the answer to a request; raises TrialFailed where the process gives none."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        # Importing and compiling may take a minute on a cold machine; a trial's time starts later.
        said = self._line(START_SECONDS, f"did not begin within {START_SECONDS:g} s")
        if "begun" not in said:
            return said
        place: int | None = None
        while True:
            try:
                said = self._line(timeout, f"took longer than {timeout or 0:g} s")
            except TrialFailed as problem:
                problem.place = place
                raise
            if "trial" not in said:
                return said
            # Each trial has the whole time for itself.
            place = said["trial"]

    def _line(self, seconds: float | None, complaint: str) -> dict[str, Any]:
        """Return the next line of the worker; raises TrialFailed where none comes in time."""
        stdout = self._process.stdout
        assert stdout is not None
        deadline = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TrialFailed("timeout", complaint)
            ready, _, _ = select.select([stdout], [], [], left)
            if not ready:
                continue
            content = os.read(stdout.fileno(), 1 << 20)
            if not content:
                raise self._death()
            self._buffer += content
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)  # type: ignore[no-any-return]

    def _death(self) -> TrialFailed:
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            if -code == signal.SIGXCPU:
                return TrialFailed("cpu", "used more processor time than it may")
            return TrialFailed("signal", f"its process died by {name}")
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1][:200]}" if lines else ""
        return TrialFailed("signal", f"its process ended with status {code}{last}")

    def stop(self) -> None:
        """End the process at once and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class WorkerPool:
    """At most `size` worker processes; `run` waits for a free one.

    A worker that dies or hangs is ended and the next request starts a new one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._places: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)
        self._lock = threading.Lock()
        self._living: set[_Worker] = set()
        self.started = 0

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pids(self) -> list[int]:
        """Return the process ids of the living workers."""
        with self._lock:
            return [worker.pid for worker in self._living]

    def run(
        self,
        setting: Mapping[str, Any],
        batch: Mapping[str, Any],
        *,
        memory: int | None = None,
        cpu_seconds: float | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Do a batch in a worker.

        Parameters
        ----------
        memory : bytes that the batch may reserve on top of what the worker has
        cpu_seconds : processor time for the batch
        timeout : wall-clock time for each trial of a strategy of the user's own, which tells when
            it begins; for the batch where trials are kernels of ours that run as one

        Raises TrialFailed for whatever keeps the batch from its answer.
        """
        request = {"setting": setting, "batch": batch, "memory": memory, "cpu_seconds": cpu_seconds}
        with self._worker() as worker:
            said = worker.ask(request, timeout)
        if "error" in said:
            raise TrialFailed(**said["error"])
        return said["done"]  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _worker(self) -> Iterator[_Worker]:
        worker = self._places.get()
        try:
            if worker is None:
                worker = _Worker()
                with self._lock:
                    self._living.add(worker)
                    self.started += 1
            yield worker
        except BaseException:
            if worker is not None:
                self._end(worker)
                worker = None
            raise
        finally:
            self._places.put(worker)

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._living.discard(worker)
        worker.stop()

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            living = list(self._living)
        for worker in living:
            self._end(worker)


_shared: dict[int, WorkerPool] = {}
_shared_lock = threading.Lock()


def shared_pool(size: int) -> WorkerPool:
    """Return this process's pool of that size, started when it is first asked for."""
    with _shared_lock:
        if size not in _shared:
            _shared[size] = WorkerPool(size)
        return _shared[size]


def close_shared_pools() -> None:
    """End the workers of every shared pool."""
    with _shared_lock:
        pools = list(_shared.values())
        _shared.clear()
    for pool in pools:
        pool.close()
