"""Which simulation is sent next, and when: what the lanes share, and what ends them.

A lane holds one slot of the cap and simulates one alpha after another. The cap counts what the
service simulates, so a lane sends its next simulation as soon as the service is done with the
last one, while the result of that one is still fetched and stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from alphafoundry.errors import BrainError, BrainUnavailable, RateLimited, TakenOver
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.simulation_lifecycle import Outcome, Simulated
from alphafoundry.runs import Queue, run_in_lanes, take_turns
from alphafoundry.store import SimulationRow

MOST_TRIES = 4
"""Tries of one simulation, each with the task's own retries, before it waits for the next run."""

MOST_SILENT = 6
"""Failures in a row, nothing else between them, after which the service counts as away."""

AWAY_SECONDS = 60.0
"""How long a service that is away, and did not say for how long, is left alone."""

MOST_BEHIND = 3
"""Results that a lane may still be fetching while it sends another simulation."""

LONGEST_PAUSE = 300.0
GRACE_SECONDS = 5.0
"""How long simulations in flight may go on after a stop was asked for."""

log = logging.getLogger(__name__)


class Turn:
    """One simulation of a lane: its outcome at the service, once there is one.

    A retry begins where the last try ended. What the service has ended is not sent again by a
    retry, because the lane may have sent another by then.
    """

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.over = asyncio.Event()

    def end(self, outcome: Outcome) -> None:
        """Keep the outcome, and let the lane go on."""
        self.outcome = outcome
        self.over.set()


Simulate = Callable[[ResearchRun, SimulationRow, Turn], Awaitable[Simulated]]


class SimulationQueue:
    """Simulations to run, shared by the lanes.

    Attributes
    ----------
    queue : what waits
    unsure : the request was sent and the answer was lost; looked up before it is sent again
    ended : finished, with or without an alpha
    left : kept for the next run, with the reason
    resume_at : moment of `time.monotonic` before which the service asked not to be called
    halted : why no further simulation may be sent, None while they may
    silent : failures since the service last gave a usable answer
    """

    def __init__(self, run: ResearchRun, rows: Sequence[SimulationRow], *, phase: str) -> None:
        self.run = run
        self.phase = phase
        self.total = len(rows)
        self.queue = Queue(rows)
        self.unsure: list[SimulationRow] = []
        self.ended: list[Simulated] = []
        self.left: dict[int, str] = {}
        self.tries: Counter[int] = Counter()
        self.resume_at = 0.0
        self.halted: str | None = None
        self.silent = 0

    async def in_lanes(
        self, open_lane: Callable[[int], Coroutine[Any, Any, None]], *, cap: int
    ) -> list[Simulated]:
        """Simulate all; return what has ended, and note in the run what is left and why.

        After a stop, what is in flight gets a few seconds. A simulation that is cut off goes on
        at the service, and its address is stored: the next run asks for its result.
        """
        self._show("")
        try:
            await run_in_lanes(
                self.queue,
                open_lane,
                stop=self.run.stop,
                allowed=lambda: cap if self.may_send() else 0,
                settled=self._settled,
                next_moment=self._next_moment,
                grace=GRACE_SECONDS,
            )
        finally:
            self._leave_the_rest()
        return self.ended

    async def lane(self, number: int, simulate: Simulate) -> None:
        """Simulate one alpha after another, as lane `number`."""
        behind: set[asyncio.Task[None]] = set()

        async def send_one(row: SimulationRow) -> None:
            turn = Turn()
            one = asyncio.create_task(self._simulate(row, turn, simulate))
            behind.add(one)
            await _until_over(turn, one)
            await _not_too_far_behind(behind)

        try:
            await take_turns(self.queue, number, send_one, may_go_on=self.may_send)
            await asyncio.gather(*behind)
        finally:
            for one in behind:
                one.cancel()
            await asyncio.gather(*behind, return_exceptions=True)

    def may_send(self) -> bool:
        """Return whether another simulation may be sent now."""
        return not (self.run.stop.is_set() or self.halted or self.resume_at > time.monotonic())

    def put_back(self, row: SimulationRow, problem: BrainUnavailable) -> None:
        """Keep a simulation that could not be had now, for later in this run or for the next."""
        if isinstance(problem, RateLimited) and problem.kind == "daily":
            self.give_up(row, problem)
            return
        self.silent = 0 if isinstance(problem, RateLimited) else self.silent + 1
        self.tries[row.id] += 1
        if self.tries[row.id] >= MOST_TRIES:
            self.left[row.id] = str(problem)
        elif problem.fate_unknown:
            self.unsure.append(row)
        else:
            self.queue.waiting.append(row)
        if self.silent >= MOST_SILENT:
            self._halt(problem)
        elif problem.retry_after is not None:
            self._wait(problem.retry_after)
        elif self.silent > 1:
            self._wait(2.0**self.silent / 8)

    def give_up(self, row: SimulationRow, problem: BrainError) -> None:
        """Send no more in this run; this simulation waits with the others."""
        self.left[row.id] = str(problem)
        self._halt(problem)

    async def _simulate(self, row: SimulationRow, turn: Turn, simulate: Simulate) -> None:
        try:
            self.ended.append(await simulate(self.run, row, turn))
            self.silent = 0
        except BrainUnavailable as problem:
            self.put_back(row, problem)
        except BrainError as problem:
            self.give_up(row, problem)
        except TakenOver as problem:
            log.warning("%s", problem)
            await asyncio.to_thread(self.run.record.beat)
        self._show(row.expression)

    def _show(self, note: str) -> None:
        self.run.progress.update(self.phase, len(self.ended), self.total, note)

    def _settled(self) -> bool:
        queue = self.queue
        if queue.lanes:
            return False
        return self.halted is not None or not (queue.waiting or queue.later or self.unsure)

    def _next_moment(self) -> float | None:
        """Wake what has waited long enough; return when to look again."""
        queue = self.queue
        if self.unsure and not (queue.waiting or queue.later or queue.lanes):
            seconds = min(self.run.seconds_until_visible(), LONGEST_PAUSE)
            for row in self.unsure:
                queue.put_off(row, seconds)
            self.unsure.clear()
        moment = queue.wake()
        if queue.waiting and self.resume_at > time.monotonic():
            return min(self.resume_at, time.monotonic() + LONGEST_PAUSE)
        return moment

    def _halt(self, problem: BrainError) -> None:
        self.halted = str(problem)
        asked = getattr(problem, "retry_after", None)
        self._wait(AWAY_SECONDS if asked is None else asked)

    def _wait(self, seconds: float) -> None:
        self.resume_at = max(self.resume_at, time.monotonic() + seconds)

    def _leave_the_rest(self) -> None:
        run = self.run
        delayed = [row for _, row in self.queue.later]
        for row in [*self.queue.waiting, *self.unsure, *delayed]:
            self.left.setdefault(row.id, self.halted or "the run was stopped")
        run.tally.unfinished.update(self.left)
        if self.halted is not None:
            run.halted = run.tally.halted = True
            run.tally.resume_at = self.resume_at


async def _until_over(turn: Turn, one: asyncio.Task[None]) -> None:
    """Wait until the service is done with a simulation, or its task is."""
    over = asyncio.create_task(turn.over.wait())
    try:
        await asyncio.wait([over, one], return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.cancel()


async def _not_too_far_behind(behind: set[asyncio.Task[None]]) -> None:
    """Wait while too many results are still fetched; forget those that are; raise a failure."""
    while True:
        ended = {one for one in behind if one.done()}
        behind -= ended
        for one in ended:
            one.result()
        if len(behind) <= MOST_BEHIND:
            return
        await asyncio.wait(behind, return_when=asyncio.FIRST_COMPLETED)


def leftovers(run: ResearchRun) -> list[SimulationRow]:
    """Return what this run has put aside and what interrupted runs left, within the budget."""
    if run.stop.is_set():
        return []
    return [*run.take_up_again(), *run.claim_leftovers()]
