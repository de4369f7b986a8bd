"""One running life as the core sees it: its pipes, its signs of health, its deadlines."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from alphafoundry.supervisor.health import Health, Signs, health
from alphafoundry.supervisor.leaks import Rise
from alphafoundry.supervisor.output import Bucket, Stream
from alphafoundry.supervisor.processes import ProcessConfig
from alphafoundry.supervisor.sampling import Meter, Usage
from alphafoundry.supervisor.states import Standing
from alphafoundry.supervisor.worker_runs import WorkerRuns

ERROR_WINDOW = 600.0
PROBES = 10
READY_SECONDS = 1.0
HEALTH_SECONDS = 30.0
HEALTH_PATIENCE = 3
LEAK_HORIZON = 6.0
_DATAGRAM = 8192
_REMEMBERED = 100


@dataclass
class Life:
    """A process that runs, until the core has dealt with its end.

    Attributes
    ----------
    mark : id/name:number
    begun : moment of its start
    streams : descriptor of a pipe to its name and lines
    closed : the same of pipes that have ended
    held : descriptors that are not read, since disk or matcher have no room
    aborted : whether it was told to write its stacks and end
    beat_at : last sign of life
    seen : fingerprints of errors that were counted
    errors : moments of lines that matched
    runs : flow runs below it, where it is the worker
    unwell : checks in a row with bad health
    """

    config: ProcessConfig
    number: int
    mark: str
    begun: float
    pid: int = 0
    started: int = 0
    streams: dict[int, tuple[str, Stream]] = field(default_factory=dict)
    closed: list[tuple[str, Stream]] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    notify: socket.socket | None = None
    notify_path: Path | None = None
    meter: Meter = field(default_factory=Meter)
    runs: WorkerRuns = field(default_factory=WorkerRuns)
    usage: Usage | None = None
    bucket: Bucket = field(default_factory=lambda: Bucket(0))
    not_stored: int = 0
    dropped: int = 0
    size: int = 0
    ready: bool = False
    aborted: bool = False
    beat_at: float | None = None
    probe_at: float | None = None
    probing: bool = False
    probes: deque[bool] = field(default_factory=lambda: deque(maxlen=PROBES))
    failed_probes: int = 0
    errors: deque[float] = field(default_factory=deque)
    matches: dict[int, deque[float]] = field(default_factory=dict)
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    unwell: int = 0
    checked_at: float = 0.0
    health: Health | None = None
    memory: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=4000))
    memory_at: float = 0.0
    rise: Rise | None = None
    told: set[str] = field(default_factory=set)

    @property
    def waits_for_word(self) -> bool:
        """Whether it says itself when it is ready."""
        return self.config.notify or self.config.watchdog_seconds is not None

    def ready_at(self) -> float | None:
        """Return when it counts as ready by having lived; None where something else tells."""
        if self.ready or self.waits_for_word or self.config.probe is not None:
            return None
        return self.begun + (0.0 if self.config.requires_loop else READY_SECONDS)

    def open_notify(self, folder: Path) -> str:
        """Open the socket for what it says of itself; return its address."""
        path = folder / f"{self.config.name[:24]}.{self.number}"
        path.unlink(missing_ok=True)
        end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        before = os.umask(0o177)
        try:
            end.bind(str(path))
        finally:
            os.umask(before)
        end.setblocking(False)
        self.notify, self.notify_path = end, path
        return str(path)

    def heard(self) -> list[str]:
        """Return what its main process has said since the last call."""
        lines: list[str] = []
        size = struct.calcsize("3i")
        while self.notify is not None:
            try:
                data, extra, _, _ = self.notify.recvmsg(_DATAGRAM, socket.CMSG_SPACE(size))
            except OSError:
                break
            for level, kind, content in extra:
                told = level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS
                if told and struct.unpack("3i", content[:size])[0] == self.pid:
                    lines += data.decode("utf-8", "replace").split("\n")
        return lines

    def forget_sockets(self) -> None:
        """Close and remove the socket."""
        if self.notify is not None:
            self.notify.close()
            self.notify = None
        if self.notify_path is not None:
            self.notify_path.unlink(missing_ok=True)

    def count_error(self, now: float, count: int) -> None:
        """Count lines that matched."""
        self.errors.extend([now] * min(count, 1000))

    def signs(self, standing: Standing, now: float) -> Signs:
        """Return what is known of its health."""
        while self.errors and self.errors[0] < now - ERROR_WINDOW:
            self.errors.popleft()
        limits, means = self.config.resource_limits, self.meter.means()
        memory = cpu = None
        if means is not None and limits.memory_mb is not None:
            memory = means[1] / (limits.memory_mb * 2**20)
        if means is not None and limits.cpu_percent is not None:
            cpu = means[0] / limits.cpu_percent
        late = now - self.begun >= self.config.start_seconds
        return Signs(
            ready=True if self.ready else (False if late else None),
            crashes=len(standing.restarts),
            max_restarts=self.config.max_restarts,
            beat=self._beat(now),
            memory=memory,
            cpu=cpu,
            errors=len(self.errors),
            probes=(sum(self.probes), len(self.probes)) if self.probes else None,
            hours_to_limit=None if self.rise is None else self.rise.hours_to_limit,
            leak_horizon=LEAK_HORIZON,
        )

    def _beat(self, now: float) -> float | None:
        """Return the age of the last sign of life over the time in which one is due."""
        if self.config.watchdog_seconds is None or self.beat_at is None:
            return None
        return (now - self.beat_at) / self.config.watchdog_seconds

    def measure_health(self, standing: Standing, now: float) -> Health:
        """Measure its health, and keep it."""
        self.health = health(self.signs(standing, now))
        return self.health

    def members(self) -> set[tuple[int, int]]:
        """Return pid and start of every process of its tree that was seen."""
        return self.meter.members | self.runs.members() | {(self.pid, self.started)}
