"""What processes and the machine use, measured every few seconds."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from alphafoundry.supervisor import linux
from alphafoundry.supervisor.processes import Machine

Level = Literal["fine", "tight", "critical"]

MEAN_SECONDS = 60.0
RELIEF = 3.0
"""Percent below a threshold at which its level ends."""

SLOWED = 10
"""Nice value of what is slowed."""


@dataclass(frozen=True)
class Usage:
    """What a life uses, its whole tree together.

    Attributes
    ----------
    cpu_percent : of one core, since the last sample
    rss : bytes
    open_files : of the main process, None where it cannot be read
    """

    cpu_percent: float
    rss: int
    open_files: int | None
    threads: int
    processes: int


@dataclass
class Meter:
    """Turns samples of a tree into usage, and remembers a minute of it.

    Attributes
    ----------
    members : pid and start of every process that was seen in the tree
    """

    members: set[tuple[int, int]] = field(default_factory=set)
    _cpu: float | None = None
    _at: float = 0.0
    _minute: deque[tuple[float, Usage]] = field(default_factory=deque)

    def measure(
        self,
        pid: int,
        samples: Mapping[int, linux.ProcessSample],
        tree: list[int],
        now: float,
    ) -> Usage:
        """Return the usage of the tree below `pid`."""
        found = [samples[one] for one in tree if one in samples and not samples[one].zombie]
        self.members = {(one.pid, one.started) for one in found}
        total = sum(one.cpu for one in found)
        cpu = 0.0
        if self._cpu is not None and now > self._at:
            cpu = 100 * max(0.0, total - self._cpu) / (now - self._at)
        self._cpu, self._at = total, now
        usage = Usage(
            cpu_percent=cpu,
            rss=sum(one.rss for one in found),
            open_files=_open_files(pid),
            threads=sum(one.threads for one in found),
            processes=len(found),
        )
        self._minute.append((now, usage))
        while self._minute and self._minute[0][0] < now - MEAN_SECONDS:
            self._minute.popleft()
        return usage

    def means(self) -> tuple[float, float] | None:
        """Return percent of a core and bytes, means of a minute; None before the first sample."""
        if not self._minute:
            return None
        count = len(self._minute)
        return (
            sum(one.cpu_percent for _, one in self._minute) / count,
            sum(one.rss for _, one in self._minute) / count,
        )


def _open_files(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


@dataclass(frozen=True)
class MachineUsage:
    """The machine at one moment; percent of its memory, one-minute load, bytes of disk."""

    memory_percent: float
    load: float
    disk_free: int


def machine_usage(folder: Path) -> MachineUsage:
    """Measure the machine, and the disk that a folder is on."""
    values = {}
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0])
    total, available = values["MemTotal"], values.get("MemAvailable", values["MemFree"])
    disk = os.statvfs(folder)
    return MachineUsage(
        memory_percent=100 * (1 - available / total),
        load=os.getloadavg()[0],
        disk_free=disk.f_bavail * disk.f_frsize,
    )


def machine_level(before: Level, percent: float, limits: Machine) -> Level:
    """Return the level at so many percent of memory; one ends a little below where it begins."""
    tight, critical = limits.tight_percent, limits.critical_percent
    if before == "critical":
        critical -= RELIEF
    if before in ("tight", "critical"):
        tight -= RELIEF
    if percent >= critical:
        return "critical"
    return "tight" if percent >= tight else "fine"


def slow_down(pids: list[int]) -> None:
    """Let processes run after all others; `autogroup` too, since nice alone ends at a session."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, SLOWED)
        with contextlib.suppress(OSError):
            Path("/proc", str(pid), "autogroup").write_text(str(SLOWED), "ascii")
