"""Admission of work against memory and cores: wait, shrink, and count what is released."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil

SHARE = 0.8
"""Part of the machine's memory that a workflow takes where nothing is said."""

LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 5.0
"""How long work waits for memory that other programs hold, when none of ours will release any."""


def cores_here() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def memory_here() -> int:
    """Return bytes of memory of this machine or container."""
    total = int(psutil.virtual_memory().total)
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(name) as file:  # noqa: PTH123
            total = min(total, int(file.read()))
    return total


@dataclass(frozen=True)
class Usage:
    """What is and was in use: bytes, cores, times that work had to wait, batches made smaller."""

    memory: int
    cores: float
    peak_memory: int
    peak_cores: float
    waits: int
    shrunk: int


class ResourceManager:
    """Lets work in while it fits.

    Parameters
    ----------
    memory : bytes, None is 80 % of the machine's
    cores : None is all that this process may use
    available : gives the bytes that the machine has left now
    """

    def __init__(
        self,
        *,
        memory: int | None = None,
        cores: float | None = None,
        available: Callable[[], int] = lambda: int(psutil.virtual_memory().available),
    ) -> None:
        self.memory = int(memory_here() * SHARE) if memory is None else memory
        self.cores = float(cores_here()) if cores is None else cores
        self._available = available
        self._changed = threading.Condition()
        self._memory = 0
        self._in_use = 0.0
        self._holders = 0
        self._peak_memory = 0
        self._peak_cores = 0.0
        self._waits = 0
        self._shrunk = 0

    def __repr__(self) -> str:
        return (
            f"ResourceManager({self._memory / 1024**2:.0f} of {self.memory / 1024**2:.0f} MB, "
            f"{self._in_use:g} of {self.cores:g} cores)"
        )

    def usage(self) -> Usage:
        """Return what is in use and what was most."""
        with self._changed:
            return Usage(
                self._memory,
                self._in_use,
                self._peak_memory,
                self._peak_cores,
                self._waits,
                self._shrunk,
            )

    def at_once(self, memory: int | None, cores: float | None) -> int:
        """Return how many pieces of work of that size fit, at least 1."""
        by_cores = self.cores / cores if cores else self.cores
        by_memory = self.memory / memory if memory else by_cores
        return max(1, int(min(by_cores, by_memory, self.cores)))

    def fitting(self, memory: int | None) -> int | None:
        """Return the memory that one piece of work gets: what it asks for, at most the budget."""
        return None if memory is None else min(memory, self.memory)

    @contextlib.contextmanager
    def admit(self, *, memory: int | None = None, cores: float | None = None) -> Iterator[None]:
        """Wait until the work fits, and hold its share for the length of the block.

        What asks for more than the whole budget runs alone with what there is. Work is let in
        for memory that other programs hold only after 5 s with nothing of ours to wait for.
        """
        need_memory = min(memory or 0, self.memory)
        need_cores = min(1.0 if cores is None else cores, self.cores)
        with self._changed:
            waited = 0.0
            if not self._fits(need_memory, need_cores):
                self._waits += 1
            while not self._fits(need_memory, need_cores):
                if not self._holders and waited >= PATIENCE_SECONDS:
                    break
                self._changed.wait(LOOK_SECONDS)
                waited += LOOK_SECONDS
            self._memory += need_memory
            self._in_use += need_cores
            self._holders += 1
            self._peak_memory = max(self._peak_memory, self._memory)
            self._peak_cores = max(self._peak_cores, self._in_use)
        try:
            yield
        finally:
            with self._changed:
                self._memory -= need_memory
                self._holders -= 1
                # A sum of many shares that goes up and down keeps a rounding.
                self._in_use = self._in_use - need_cores if self._holders else 0.0
                self._changed.notify_all()

    def shrink(self) -> None:
        """Count a batch that was made smaller because memory was short."""
        with self._changed:
            self._shrunk += 1

    def _fits(self, memory: int, cores: float) -> bool:
        if self._memory + memory > self.memory or self._in_use + cores > self.cores + 1e-9:
            return False
        return not memory or self._available() >= memory
