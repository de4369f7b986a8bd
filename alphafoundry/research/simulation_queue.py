"""Which simulation is sent next, and when: what the lanes share, and what ends them.

A lane holds one slot of the cap and simulates one alpha after another. The cap counts what the
service simulates, so a lane sends its next simulation as soon as the service is done with the
last one, while the result of that one is still fetched and stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from alphafoundry.errors import (
    BrainError,
    BrainRequestError,
    BrainUnavailable,
    RateLimited,
    TakenOver,
)
from alphafoundry.llm import AdaptiveConcurrency
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.simulation_lifecycle import (
    Outcome,
    Simulated,
    simulate_at_service,
    store_outcome,
)
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
    """One simulation of a group, and how far it is.

    A retry begins where the last try ended. What the service has ended is not sent again by a
    retry, because the lane may have sent another by then.

    Attributes
    ----------
    outcome : how it ended at the service, once it has
    done : what came of it, once that is stored
    problem : why the last try did not bring it to its end
    """

    def __init__(self, row: SimulationRow) -> None:
        self.row = row
        self.outcome: Outcome | None = None
        self.done: Simulated | None = None
        self.problem: BrainError | TakenOver | None = None
        self.over = asyncio.Event()

    def end(self, outcome: Outcome) -> None:
        """Keep the outcome, and let the lane go on."""
        self.outcome = outcome
        self.over.set()


class Group:
    """Simulations that a lane sends one after another, and that one task run tries again.

    Where a simulation takes minutes, a group is one simulation. At a local simulator it takes
    milliseconds, less than a task run does.

    Attributes
    ----------
    turns : its simulations, in the order in which they are sent
    stored : what came of those that are done, in the order in which they ended
    """

    def __init__(self, work: SimulationQueue, rows: Sequence[SimulationRow]) -> None:
        self._work = work
        self.turns = [Turn(row) for row in rows]
        self.stored: list[Simulated] = []

    def __repr__(self) -> str:
        return f"Group({len(self.stored)} of {len(self.turns)} simulations done)"

    async def simulate(self) -> None:
        """Simulate what has no result yet.

        One simulation at a time is under way at the service, while results of those before it
        are still fetched. After a failure no further one is sent, nor after a stop.

        Raises
        ------
        BrainError, TakenOver : what went wrong first, once all that the service was done with is
            stored. After a BrainUnavailable another call goes on with the rest
        """
        left = [
            turn
            for turn in self.turns
            if turn.done is None and not isinstance(turn.problem, TakenOver)
        ]
        for turn in left:
            turn.problem = None
        begun: list[Turn] = []
        async with _Fetching() as fetching:
            for turn in left:
                failed = any(isinstance(one.problem, BrainError) for one in begun)
                if begun and (failed or not self._work.may_send()):
                    break
                begun.append(turn)
                await fetching.until_over(self._carry_out(turn), turn.over.wait())
        problems = [turn.problem for turn in begun if turn.problem is not None]
        if problems:
            raise min(problems, key=lambda one: isinstance(one, TakenOver))

    async def over(self) -> None:
        """Return once the service is done with the whole group."""
        for turn in self.turns:
            await turn.over.wait()

    async def _carry_out(self, turn: Turn) -> None:
        """Bring a simulation to its stored result; keep in `turn` what is in the way."""
        run = self._work.run
        try:
            if turn.outcome is None:
                turn.end(await simulate_at_service(run, turn.row.id))
            assert turn.outcome is not None
            turn.done = await store_outcome(run, turn.outcome)
        except BrainError as problem:
            turn.problem = problem
            return
        except TakenOver as problem:
            turn.problem = problem
            log.warning("%s", problem)
            await asyncio.to_thread(run.record.beat)
            return
        self.stored.append(turn.done)
        self._work.count(turn.done)


Simulate = Callable[[Group], Awaitable[object]]


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
    concurrency : how many may be under way, fewer after a 429 and never more than the cap
    """

    def __init__(self, run: ResearchRun, rows: Sequence[SimulationRow], *, phase: str) -> None:
        self.run = run
        self.phase = phase
        run.tally.phase = phase
        self.total = len(rows)
        self.queue = Queue(rows)
        self.unsure: list[SimulationRow] = []
        self.ended: list[Simulated] = []
        self.left: dict[int, str] = {}
        self.tries: Counter[int] = Counter()
        self.resume_at = 0.0
        self.halted: str | None = None
        self.silent = 0
        self.concurrency = AdaptiveConcurrency(max(1, len(rows)))
        self._together = 1

    async def in_lanes(
        self, open_lane: Callable[[int], Coroutine[Any, Any, None]], *, cap: int
    ) -> list[Simulated]:
        """Simulate all; return what has ended, and note in the run what is left and why.

        After a stop, what is in flight gets a few seconds. A simulation that is cut off goes on
        at the service, and its address is stored: the next run asks for its result.
        """
        self._show("")
        groups = math.ceil(self.total / self.run.most_together)
        if groups > cap:  # as many for each lane, so that none works on while the others have ended
            groups = cap * math.ceil(groups / cap)
        self._together = math.ceil(self.total / max(1, groups))
        lanes = min(cap, groups)
        self.concurrency = AdaptiveConcurrency(max(1, cap))
        try:
            await run_in_lanes(
                self.queue,
                open_lane,
                stop=self.run.stop,
                allowed=lambda: min(lanes, self.concurrency.limit) if self.may_send() else 0,
                settled=self._settled,
                next_moment=self._next_moment,
                grace=GRACE_SECONDS,
            )
        finally:
            self._leave_the_rest()
        return self.ended

    async def lane(self, number: int, simulate: Simulate) -> None:
        """Simulate one group after another, as lane `number`."""
        async with _Fetching() as fetching:

            async def send(first: SimulationRow) -> None:
                waiting = self.queue.waiting
                more = [waiting.popleft() for _ in range(min(self._together - 1, len(waiting)))]
                group = Group(self, [first, *more])
                await fetching.until_over(self._simulate(group, simulate), group.over())

            await take_turns(
                self.queue, number, send, may_go_on=lambda: self.may_send() and not self._crowded
            )

    @property
    def _crowded(self) -> bool:
        return len(self.queue.lanes) > self.concurrency.limit

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

    def put_aside(self, row: SimulationRow, problem: BrainRequestError) -> None:
        """Keep a simulation whose result was refused for the next run, and go on with the others.

        Where nothing but refusals comes, it is not this simulation, and no more is sent.
        """
        self.silent += 1
        self.left[row.id] = str(problem)
        if self.silent >= MOST_SILENT:
            self._halt(problem)

    def give_up(self, row: SimulationRow, problem: BrainError) -> None:
        """Send no more in this run; this simulation waits with the others."""
        self.left[row.id] = str(problem)
        self._halt(problem)

    def count(self, done: Simulated) -> None:
        """Count a simulation as ended."""
        self.ended.append(done)
        self.silent = 0
        self.concurrency.succeeded()
        self._show(done.row.expression)

    async def _simulate(self, group: Group, simulate: Simulate) -> None:
        generation = self.concurrency.generation
        with contextlib.suppress(BrainError, TakenOver):  # each is kept in its turn
            await simulate(group)
        left = [turn for turn in group.turns if turn.done is None]
        not_begun = [turn.row for turn in left if turn.problem is None]
        self.queue.waiting.extendleft(reversed(not_begun))
        for turn in left:
            if isinstance(turn.problem, RateLimited) and turn.problem.kind != "daily":
                self.concurrency.refused(generation)
            if isinstance(turn.problem, BrainUnavailable):
                self.put_back(turn.row, turn.problem)
            elif isinstance(turn.problem, BrainRequestError):
                self.put_aside(turn.row, turn.problem)
            elif isinstance(turn.problem, BrainError):
                self.give_up(turn.row, turn.problem)

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


class _Fetching:
    """What goes on in the background after the service is done with it; awaited at the end."""

    def __init__(self) -> None:
        self._behind: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if problem is None:
                await asyncio.gather(*self._behind)
        finally:
            for one in self._behind:
                one.cancel()
            await asyncio.gather(*self._behind, return_exceptions=True)

    async def until_over(
        self, work: Coroutine[Any, Any, None], over: Coroutine[Any, Any, object]
    ) -> None:
        """Begin `work`; return once it is over at the service, or wholly done.

        Waits while too much is still fetched. Raises the failure of any work.
        """
        one = asyncio.create_task(work)
        self._behind.add(one)
        waiting = asyncio.ensure_future(over)
        try:
            await asyncio.wait([waiting, one], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        await self._not_too_far_behind()

    async def _not_too_far_behind(self) -> None:
        while True:
            ended = {one for one in self._behind if one.done()}
            self._behind -= ended
            for one in ended:
                one.result()
            if len(self._behind) <= MOST_BEHIND:
                return
            await asyncio.wait(self._behind, return_when=asyncio.FIRST_COMPLETED)


def leftovers(run: ResearchRun) -> list[SimulationRow]:
    """Return what this run has put aside and what interrupted runs left, within the budget."""
    if run.stop.is_set():
        return []
    return [*run.take_up_again(), *run.claim_leftovers()]
