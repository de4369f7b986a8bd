"""Simulations under the cap: lanes that hold a slot, one task run per simulation.

A lane is a task with the tag `simulation`, so it holds one slot of the cap, and calls `simulate`
once per alpha. Three slots are then taken three times instead of once per simulation, which on
SQLite is the difference between 1.05 and 10 times the ideal time, and every simulation is still
a task run with its own name, state and retries.

The cap counts what the service simulates. So a lane sends its next simulation as soon as the
service is done with the last one, while the result of that one is still fetched and stored.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import task_run

from alphafoundry.errors import BrainError, BrainUnavailable, RateLimited, TakenOver
from alphafoundry.research.simulation_lifecycle import (
    Outcome,
    Simulated,
    simulate_at_service,
    store_outcome,
)
from alphafoundry.research.workbench import Workbench
from alphafoundry.store import SimulationRow
from tasks.prefect.limits import holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT
from tasks.research.workbench import SIMULATION_CAP

LANE_SECONDS = 90.0
"""A lane gives its slot back after this long, so that another process gets its turn."""

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


class Turn:
    """One simulation of a lane: its outcome at the service, once there is one.

    A retry of the task begins where the last try ended. What the service has ended is not sent
    again by a retry, because the lane may have sent another by then.
    """

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.over = asyncio.Event()

    def end(self, outcome: Outcome) -> None:
        """Keep the outcome, and let the lane go on."""
        self.outcome = outcome
        self.over.set()


@dataclass
class Work:
    """Simulations to run, shared by the lanes.

    Attributes
    ----------
    waiting : not begun
    unsure : the request was sent and the answer was lost; looked up before it is sent again
    ended : finished, with or without an alpha
    left : kept for the next run, with the reason
    resume_at : monotonic time before which the service asked not to be called
    halted : why no further simulation may be sent, None while they may
    silent : failures since the service last gave a usable answer
    """

    total: int
    waiting: deque[SimulationRow]
    unsure: list[SimulationRow] = field(default_factory=list)
    ended: list[Simulated] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)
    tries: Counter[int] = field(default_factory=Counter)
    resume_at: float = 0.0
    halted: str | None = None
    silent: int = 0

    def end(self, done: Simulated) -> None:
        """Keep a result."""
        self.ended.append(done)
        self.silent = 0

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
            self.waiting.append(row)
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

    def _halt(self, problem: BrainError) -> None:
        self.halted = str(problem)
        asked = getattr(problem, "retry_after", None)
        self._wait(AWAY_SECONDS if asked is None else asked)

    def _wait(self, seconds: float) -> None:
        self.resume_at = max(self.resume_at, time.monotonic() + seconds)


def short(text: str, width: int = 80) -> str:
    """Return `text` cut to `width` characters, for the name of a run."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _simulation_name() -> str:
    return f"simulate {short(task_run.get_parameters()['row'].expression)}"


@task(name="simulate", task_run_name=_simulation_name, cache_policy=NO_CACHE, **TRANSIENT)
async def simulate(bench: Workbench, row: SimulationRow, turn: Turn) -> Simulated:
    """Simulate one alpha and store what came of it."""
    if turn.outcome is None:
        turn.end(await simulate_at_service(bench, row.id))
    assert turn.outcome is not None
    done = await store_outcome(bench, turn.outcome)
    get_run_logger().info("%s: %s", done.status, done.summary)
    return done


@task(
    name="simulation lane",
    task_run_name="simulation lane {number}",
    tags=[SIMULATION_CAP],
    cache_policy=NO_CACHE,
)
async def simulation_lane(bench: Workbench, work: Work, number: int, phase: str) -> None:
    """Take simulations one after another while holding one slot of the cap."""
    behind: set[asyncio.Task[None]] = set()
    with holding_slot():
        until = time.monotonic() + LANE_SECONDS
        try:
            while work.waiting and time.monotonic() < until and _may_send(bench, work):
                turn = Turn()
                row = work.waiting.popleft()
                one = asyncio.create_task(_simulate_one(bench, work, row, turn, phase))
                behind.add(one)
                await _until_over(turn, one)
                behind = await _not_too_far_behind(behind)
            await asyncio.gather(*behind)
        finally:
            for one in behind:
                one.cancel()
            await asyncio.gather(*behind, return_exceptions=True)


def _may_send(bench: Workbench, work: Work) -> bool:
    return not (bench.stop.is_set() or work.halted or work.resume_at > time.monotonic())


async def _simulate_one(
    bench: Workbench, work: Work, row: SimulationRow, turn: Turn, phase: str
) -> None:
    try:
        work.end(await simulate(bench, row, turn))
    except BrainUnavailable as problem:
        work.put_back(row, problem)
    except BrainError as problem:
        work.give_up(row, problem)
    except TakenOver as problem:
        get_run_logger().warning("%s", problem)
        await bench.give_sign_of_life()
    bench.progress.update(phase, len(work.ended), work.total, row.expression)


async def simulate_all(
    bench: Workbench, rows: Sequence[SimulationRow], *, phase: str
) -> list[Simulated]:
    """Simulate all, as many at a time as the cap allows; return those that ended.

    What cannot end now (the service is away, the daily quota is used up, a stop was asked for)
    stays planned in the store, and the next run begins with it.
    """
    if not rows or bench.stop.is_set():
        return []
    lanes = min(await require_limit(SIMULATION_CAP), len(rows))
    work = Work(total=len(rows), waiting=deque(rows))
    bench.progress.update(phase, 0, work.total)
    while work.waiting and not work.halted and not bench.stop.is_set():
        await _pause(bench, work.resume_at - time.monotonic())
        numbers = range(1, min(lanes, len(work.waiting)) + 1)
        await _finish(bench, [simulation_lane(bench, work, n, phase) for n in numbers])
        if not work.waiting and work.unsure:
            await _pause(bench, bench.seconds_until_visible())
            work.waiting.extend(work.unsure)
            work.unsure.clear()
    for row in [*work.waiting, *work.unsure]:
        work.left.setdefault(row.id, work.halted or "the run was stopped")
    bench.tally.unfinished.update(work.left)
    if work.halted is not None:
        bench.halted = bench.tally.halted = True
        bench.tally.resume_at = work.resume_at
    return work.ended


async def _finish(bench: Workbench, lanes: list[Coroutine[Any, Any, None]]) -> None:
    """Wait for the lanes; after a stop only a little longer.

    A simulation that is cut off here goes on at the service, and its address is stored: the next
    run asks for its result instead of paying again.
    """
    running = [asyncio.ensure_future(lane) for lane in lanes]
    stopped = asyncio.ensure_future(bench.stop.wait())
    try:
        waited_for = set(running)
        while waited_for and not stopped.done():
            ended, _ = await asyncio.wait(
                [*waited_for, stopped], return_when=asyncio.FIRST_COMPLETED
            )
            waited_for -= ended
        if stopped.done():
            await asyncio.wait(running, timeout=GRACE_SECONDS)
    finally:
        stopped.cancel()
        for lane in running:
            lane.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _until_over(turn: Turn, one: asyncio.Task[None]) -> None:
    """Wait until the service is done with a simulation, or its task is."""
    over = asyncio.create_task(turn.over.wait())
    try:
        await asyncio.wait([over, one], return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.cancel()


async def _not_too_far_behind(behind: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Wait while too many results are still fetched; return those that are; raise a failure."""
    while True:
        for one in behind:
            if one.done():
                one.result()
        behind = {one for one in behind if not one.done()}
        if len(behind) <= MOST_BEHIND:
            return behind
        await asyncio.wait(behind, return_when=asyncio.FIRST_COMPLETED)


async def _pause(bench: Workbench, seconds: float) -> None:
    """Wait without a slot; end early when a stop is asked for."""
    if seconds > 0:
        try:
            await asyncio.wait_for(bench.stop.wait(), min(seconds, LONGEST_PAUSE))
        except TimeoutError:
            return


def leftovers(bench: Workbench) -> list[SimulationRow]:
    """Return what this run has put aside and what interrupted runs left, within the budget."""
    return [*bench.take_up_again(), *bench.claim_leftovers()]
