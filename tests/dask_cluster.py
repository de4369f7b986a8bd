"""A Dask scheduler and workers as processes of their own, in folders of their own.

They are forked with the imports done, but for workers that find this program elsewhere.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

from tests.servers import free_port
from tests.working_folder import ROOT, TIMEOUT, Process, fork_server, plain_environment, wait_until


@dataclass
class Cluster:
    """A running scheduler, and its workers in the order in which they were started."""

    address: str
    folder: Path
    workers: list[Process] = field(default_factory=list)

    def start(self, module: str, *flags: str, name: str, env: Mapping[str, str]) -> Process:
        """Start `python -m module flags` in a folder of that name; it writes `name.log`."""
        place = self.folder / name
        place.mkdir()
        whole = {**plain_environment(), "PYTHONPATH": str(ROOT), **env}
        with (self.folder / f"{name}.log").open("wb") as log:
            if "PYTHONPATH" not in env:
                return fork_server().start(
                    module, flags, cwd=place, env=whole, stdout=log.fileno(), stderr=log.fileno()
                )
            return subprocess.Popen(
                [sys.executable, "-m", module, *flags],
                cwd=place,
                env=whole,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )

    def add_worker(self, **env: str) -> None:
        """Start a worker of one thread, and wait until the scheduler knows it.

        env : further variables of its environment; with PYTHONPATH it imports everything anew
        """
        number = len(self.workers)
        self.workers.append(
            self.start(
                "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny",
                "--no-dashboard", "--host", "127.0.0.1", "--name", f"worker{number}",
                name=f"worker{number}", env=env,
            )
        )  # fmt: skip
        wait_until(lambda: f"worker{number}" in self._known(), what=f"worker{number}")

    def _known(self) -> set[str]:
        """Return the names of the workers that the scheduler knows."""
        with Client(self.address, timeout=TIMEOUT, set_as_default=False) as client:
            return {one["name"] for one in client.scheduler_info(-1)["workers"].values()}

    def kill_first(self) -> None:
        """Kill the worker that was started first."""
        self.workers[0].kill()
        self.workers[0].wait()


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
        yield cluster
    finally:
        for process in (*cluster.workers, scheduler):
            process.kill()
            process.wait()
