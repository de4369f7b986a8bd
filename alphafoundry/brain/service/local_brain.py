"""What the routes of the local server share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from alphafoundry.brain.service.choices import Choices
from alphafoundry.brain.service.recomputed_tables import Repeater
from alphafoundry.brain.service.runner import Runner
from alphafoundry.brain.service.service_store import State
from alphafoundry.brain.service.sessions import Sessions
from alphafoundry.brain.service.simulation_requests import Simulations
from alphafoundry.clock import Clock
from alphafoundry.market.panel import Panel


class Delays:
    """Work that takes its time: nothing to see at the first look, done a little later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._ready: dict[tuple[str, ...], float] = {}

    def begin(self, *key: str) -> None:
        """Begin the work `key`, unless it has begun."""
        with self._lock:
            self._ready.setdefault(key, time.monotonic() + self._seconds)

    def over(self, *key: str) -> bool:
        """Tell whether the work `key` is done; work that never began is."""
        with self._lock:
            return time.monotonic() >= self._ready.get(key, 0.0)

    def done_after_begin(self, *key: str) -> bool:
        """Begin the work at the first call; True, and forgotten, at the first call after it."""
        with self._lock:
            if key not in self._ready:
                self._ready[key] = time.monotonic() + self._seconds
                return False
            if time.monotonic() < self._ready[key]:
                return False
            del self._ready[key]
            return True

    def forget(self, *key: str) -> None:
        """Forget the work `key`."""
        with self._lock:
            self._ready.pop(key, None)


@dataclass
class LocalBrain:
    """One local server: its market, its memory and its limits.

    Attributes
    ----------
    poll_seconds : Retry-After of work in progress
    retry_seconds : Retry-After where too many simulations run
    daily_submissions : accepted per US Eastern day
    answered_429 : refusals because of the cap or the quota
    deciding : held while a submission is begun or decided
    """

    panel: Panel
    state: State
    sessions: Sessions
    runner: Runner
    simulations: Simulations
    repeater: Repeater
    choices: Choices
    now: Clock
    poll_seconds: float
    retry_seconds: float
    daily_simulations: int | None
    daily_submissions: int
    delays: Delays
    answered_429: int = 0
    deciding: threading.RLock = field(default_factory=threading.RLock)

    def close(self) -> None:
        """Stop what runs, close the database, and let go of market and simulator.

        FastAPI keeps the functions that answer requests, which know this object, as long as the
        process lives; a program that makes one server after another would keep all their markets.
        """
        if not vars(self):
            return
        self.runner.close()
        self.repeater.close()
        self.state.close()
        vars(self).clear()
