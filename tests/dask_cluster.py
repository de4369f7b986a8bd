"""A Dask scheduler and workers as processes of their own, in folders of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import free_port
from tests.working_folder import ROOT, TIMEOUT, plain_environment


@dataclass
class Cluster:
    """A running scheduler, and its workers in the order in which they were started."""

    address: str
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, name: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start `python -m distributed.cli...` in a folder of that name."""
        place = self.folder / name
        place.mkdir()
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=place,
                env={**plain_environment(), "PYTHONPATH": str(ROOT), **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def add_worker(self, **env: str) -> None:
        """Start a worker of one thread, and wait until the scheduler knows it."""
        number = len(self.workers)
        self.workers.append(
            self.start(
                "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny",
                "--no-dashboard", "--host", "127.0.0.1", name=f"worker{number}", env=env,
            )
        )  # fmt: skip
        log = self.folder / f"worker{number}.log"
        wait_for(log, "Registered to")

    def kill_first(self) -> None:
        """Kill the worker that was started first."""
        self.workers[0].kill()
        self.workers[0].wait()


def wait_for(log: Path, text: str) -> None:
    """Wait until a log holds the text."""
    end = time.monotonic() + TIMEOUT
    while text not in log.read_text(errors="replace"):
        assert time.monotonic() < end, log.read_text(errors="replace")
        time.sleep(0.1)


@contextlib.contextmanager
def dask_cluster(folder: Path) -> Iterator[Cluster]:
    """Give a scheduler without workers; everything is ended at the end."""
    folder.mkdir()
    cluster = Cluster(f"tcp://127.0.0.1:{free_port()}", folder)
    scheduler = cluster.start(
        "distributed.cli.dask_scheduler", "--host", cluster.address, "--no-dashboard",
        name="scheduler", env={},
    )  # fmt: skip
    try:
        wait_for(folder / "scheduler.log", "Scheduler at")
        yield cluster
    finally:
        for process in (*cluster.workers, scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, 9)
            process.wait()
