"""Which simulation is sent next, and when; neither Prefect nor a service is needed for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from alphafoundry.errors import BrainRequestError, BrainUnavailable, RateLimited
from alphafoundry.research import simulation_queue
from alphafoundry.research.run import ResearchRun, Tally
from alphafoundry.research.simulation_lifecycle import Outcome, Simulated
from alphafoundry.research.simulation_queue import SimulationQueue, Turn, leftovers
from alphafoundry.runs import NoProgress, Stop
from alphafoundry.store import SimulationRow


def row(number: int) -> SimulationRow:
    return SimulationRow(id=number, expression=f"alpha {number}")


def a_run() -> ResearchRun:
    found = SimpleNamespace(
        stop=Stop(),
        tally=Tally(),
        progress=NoProgress(),
        halted=False,
        seconds_until_visible=lambda: 0.01,
    )
    return cast(ResearchRun, found)


def done(one: SimulationRow) -> Simulated:
    return cast(Simulated, SimpleNamespace(row=one))


Answer = Callable[[SimulationRow], BaseException | None]


async def simulate_all(run: ResearchRun, count: int, answer: Answer, *, cap: int = 1) -> Any:
    """Simulate under a cap; `answer` gives what goes wrong with a simulation, None is nothing."""
    work = SimulationQueue(run, [row(number) for number in range(count)], phase="generate")

    async def simulate(_: ResearchRun, one: SimulationRow, turn: Turn) -> Simulated:
        await asyncio.sleep(0)
        problem = answer(one)
        if problem is not None:
            raise problem
        turn.end(cast(Outcome, object()))
        return done(one)

    async with asyncio.timeout(60):
        await work.in_lanes(partial(work.lane, simulate=simulate), cap=cap)
    return work


async def test_everything_that_works_ends() -> None:
    run = a_run()
    work = await simulate_all(run, 9, lambda one: None, cap=3)
    assert sorted(one.row.id for one in work.ended) == list(range(9))
    assert run.tally.unfinished == {} and not run.halted


async def test_a_daily_quota_ends_the_run_and_the_rest_waits_with_the_reason() -> None:
    run = a_run()
    asked: list[int] = []

    def answer(one: SimulationRow) -> BaseException | None:
        asked.append(one.id)
        used_up = RateLimited("quota used up", kind="daily", retry_after=3600)
        return used_up if one.id >= 2 else None

    work = await simulate_all(run, 6, answer)
    assert asked == [0, 1, 2] and len(work.ended) == 2
    assert run.tally.unfinished == dict.fromkeys(range(2, 6), "quota used up")
    assert run.halted and run.tally.halted


async def test_one_that_may_have_arrived_is_looked_for_after_the_others() -> None:
    asked: list[int] = []

    def answer(one: SimulationRow) -> BaseException | None:
        asked.append(one.id)
        lost = BrainUnavailable("the answer was lost", fate_unknown=True)
        return lost if one.id == 0 and asked.count(0) == 1 else None

    work = await simulate_all(a_run(), 4, answer)
    assert asked == [0, 1, 2, 3, 0] and len(work.ended) == 4


async def test_one_that_never_works_does_not_hold_up_the_others() -> None:
    run = a_run()
    asked: list[int] = []

    def answer(one: SimulationRow) -> BaseException | None:
        asked.append(one.id)
        return RateLimited("busy", kind="rate", retry_after=0.0) if one.id == 0 else None

    work = await simulate_all(run, 3, answer)
    assert asked.count(0) == simulation_queue.MOST_TRIES and len(work.ended) == 2
    assert run.tally.unfinished == {0: "busy"} and not run.halted


async def test_a_service_that_is_away_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run()
    asked: list[int] = []

    def answer(one: SimulationRow) -> BaseException | None:
        asked.append(one.id)
        return BrainUnavailable("no answer", retry_after=0.0)

    await simulate_all(run, 20, answer)
    assert len(asked) == simulation_queue.MOST_SILENT
    assert len(run.tally.unfinished) == 20 and run.halted


async def test_a_refusal_for_good_ends_the_run() -> None:
    run = a_run()
    refused = BrainRequestError("forbidden", status=403)
    work = await simulate_all(run, 3, lambda one: refused)
    assert work.ended == [] and run.tally.unfinished == dict.fromkeys(range(3), "forbidden")


async def test_a_stopped_run_sends_nothing_more_and_takes_up_nothing() -> None:
    run = a_run()

    def answer(one: SimulationRow) -> BaseException | None:
        if one.id == 1:
            run.stop.set("Ctrl-C")
        return None

    work = await simulate_all(run, 9, answer)
    assert [one.row.id for one in work.ended] == [0, 1]
    assert run.tally.unfinished == dict.fromkeys(range(2, 9), "the run was stopped")
    assert leftovers(run) == []


async def test_results_that_are_slow_to_fetch_do_not_pile_up() -> None:
    run = a_run()
    work = SimulationQueue(run, [row(number) for number in range(9)], phase="generate")
    fetched = asyncio.Event()
    sent: list[int] = []

    async def simulate(_: ResearchRun, one: SimulationRow, turn: Turn) -> Simulated:
        sent.append(one.id)
        turn.end(cast(Outcome, object()))
        await fetched.wait()
        return done(one)

    running = asyncio.create_task(work.in_lanes(partial(work.lane, simulate=simulate), cap=1))
    async with asyncio.timeout(60):
        while len(sent) <= simulation_queue.MOST_BEHIND:
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(sent) == simulation_queue.MOST_BEHIND + 1
        fetched.set()
        assert len(await running) == 9
