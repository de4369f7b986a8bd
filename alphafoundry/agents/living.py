"""A desk on a clock that goes by itself: each tick at its time, retries and stops included."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from alphafoundry.agents.book import StoredBook
from alphafoundry.agents.desk import Clock, Desk, Step
from alphafoundry.agents.due_times import all_due
from alphafoundry.agents.registry import AgentResult

_AHEAD = 3600


class ExactClock(Clock, Protocol):
    """A clock that also tells fractions of a second."""

    def exact(self) -> float:
        """Return seconds since 1970, with fractions."""
        ...


@dataclass
class Punctuality:
    """How late ticks began, in seconds of the true clock, and what their runs cost.

    Attributes
    ----------
    late : seconds from each due time to its claim
    cpu : agent to processor seconds of each run
    """

    late: list[float] = field(default_factory=list)
    cpu: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __str__(self) -> str:
        if not self.late:
            return "no tick was due"
        late = np.array(self.late)
        runs = ""
        if self.cpu:
            spent = np.concatenate([np.array(given) for given in self.cpu.values()])
            runs = (
                f"; a run took {np.median(spent):.3f} CPU-seconds in the middle, "
                f"{spent.max():.2f} at most"
            )
        return (
            f"{len(late):,} ticks began {np.median(late):.2f} s late in the middle, 99 % within "
            f"{np.quantile(late, 0.99):.2f} s{runs}"
        )


class LivingDesk:
    """A desk whose ticks come with a clock, one after the other in this process.

    Every tick is claimed and ended in the store; another process with the same desk, or the same
    one started again, does none of them twice.
    """

    def __init__(
        self,
        desk: Desk,
        clock: ExactClock,
        *,
        speed: float,
        began_at: int,
        spent: Callable[[], float] = time.process_time,
    ) -> None:
        """Make it ready.

        Parameters
        ----------
        spent : processor seconds so far, wherever agents run
        """
        if not isinstance(desk.book, StoredBook):
            raise TypeError("a desk on a real clock keeps its book in the store")
        self.desk = desk
        self.punctuality = Punctuality()
        self._clock = clock
        self._speed = speed
        self._spent = spent
        self._began_at = began_at
        self._retries: list[tuple[int, int, str, int, Step | None]] = []
        self._numbers = itertools.count()

    def run(
        self,
        until: int,
        asked_to_stop: Callable[[], bool],
        told: Callable[[int], None] = lambda now: None,
    ) -> None:
        """Do every tick that is due up to a moment of the desk, or until asked to stop.

        Parameters
        ----------
        told : called with the desk's time before each tick
        """
        for moment, agent in self._due(until):
            self._retry_before(moment, asked_to_stop)
            self._clock.sleep_until(moment)
            if asked_to_stop():
                return
            told(moment)
            self._tick(agent, moment)
        self._retry_before(until, asked_to_stop)
        self._clock.sleep_until(until)

    def _due(self, until: int) -> Iterator[tuple[int, str]]:
        tasks, hours = list(self.desk.schedule.tasks.values()), self.desk.hours
        after = self._began_at
        while after < until:
            end = min(after + _AHEAD, until)
            for moment, _, agent in all_due(tasks, hours, after, end):
                yield moment, agent
            after = end

    def _tick(self, agent: str, due_at: int) -> None:
        self.punctuality.late.append((self._clock.exact() - due_at) / self._speed)
        self._begin(agent, due_at)

    def _begin(self, agent: str, due_at: int) -> None:
        now = self._clock.now()
        step = self.desk.begin(agent, now, due_at=due_at)
        if step.status == "running":
            self._attempt(step)
        elif step.status == "no place":
            self._later(now + 1, agent, due_at, None)

    def _attempt(self, step: Step) -> None:
        assert step.record is not None
        began = self._spent()
        try:
            ended: AgentResult | Exception = self.desk.attempt(step, self._clock.now())
        except Exception as problem:
            ended = problem
        self.punctuality.cpu[step.record.agent].append(self._spent() - began)
        now = self._clock.now()
        if isinstance(ended, Exception):
            again = self.desk.retry_at(step, now)
            if again is not None:
                self._later(again, step.record.agent, step.record.due_at, step)
                return
        self.desk.end(step, now, ended)

    def _retry_before(self, moment: int, asked_to_stop: Callable[[], bool]) -> None:
        while self._retries and self._retries[0][0] <= moment:
            at, _, agent, due_at, step = heapq.heappop(self._retries)
            self._clock.sleep_until(at)
            if asked_to_stop():
                return
            if step is None:
                self._begin(agent, due_at)
            else:
                self._attempt(step)

    def _later(self, moment: int, agent: str, due_at: int, step: Step | None) -> None:
        heapq.heappush(self._retries, (moment, next(self._numbers), agent, due_at, step))
