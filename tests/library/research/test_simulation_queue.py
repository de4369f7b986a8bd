"""Which simulation is sent next, and when; neither Prefect nor a service is needed for that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest

from alphafoundry.errors import (
    AuthenticationError,
    BrainRequestError,
    BrainUnavailable,
    RateLimited,
    TakenOver,
)
from alphafoundry.research import simulation_queue
from alphafoundry.research.run import ResearchRun, Tally
from alphafoundry.research.simulation_lifecycle import Outcome, Simulated
from alphafoundry.research.simulation_queue import Group, SimulationQueue, leftovers
from alphafoundry.runs import NoProgress, Stop
from alphafoundry.store import SimulationRow


def row(number: int) -> SimulationRow:
    return SimulationRow(id=number, expression=f"alpha {number}")


def a_run(together: int = 1) -> ResearchRun:
    found = SimpleNamespace(
        stop=Stop(),
        tally=Tally(),
        progress=NoProgress(),
        record=SimpleNamespace(beat=lambda: None),
        halted=False,
        seconds_until_visible=lambda: 0.01,
        most_together=together,
    )
    return cast(ResearchRun, found)


Answer = Callable[[int], BaseException | None]


class FakeService:
    """Stands for what brings one simulation to its end; `answer` gives what goes wrong with it.

    asked : simulations in the order in which they were sent
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[int] = []
        self.under_way = 0
        self.peak = 0

    async def simulate(self, run: ResearchRun, simulation_id: int) -> Outcome:
        self.asked.append(simulation_id)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        problem = self._answer(simulation_id)
        if problem is not None:
            raise problem
        return Outcome(row(simulation_id), "complete")

    async def store(self, run: ResearchRun, outcome: Outcome) -> Simulated:
        await asyncio.sleep(0)
        return Simulated(outcome.row, outcome.status)


class Simulating:
    """Simulates at a `FakeService` as often as a test asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.groups: list[list[int]] = []

    async def __call__(
        self,
        run: ResearchRun,
        count: int,
        answer: Answer = lambda one: None,
        *,
        cap: int = 1,
        tries: int = 1,
    ) -> tuple[SimulationQueue, FakeService]:
        """Simulate under a cap; each group is tried so often while it fails."""
        service = FakeService(answer)
        self._monkeypatch.setattr(simulation_queue, "simulate_at_service", service.simulate)
        self._monkeypatch.setattr(simulation_queue, "store_outcome", service.store)
        work = SimulationQueue(run, [row(number) for number in range(count)], phase="generate")

        async def simulate(group: Group) -> None:
            self.groups.append([turn.row.id for turn in group.turns])
            for _ in range(tries - 1):
                with contextlib.suppress(BrainUnavailable):
                    await group.simulate()
                    return
            await group.simulate()

        async with asyncio.timeout(300):
            await work.in_lanes(partial(work.lane, simulate=simulate), cap=cap)
        return work, service


@pytest.fixture
def simulate_all(monkeypatch: pytest.MonkeyPatch) -> Simulating:
    return Simulating(monkeypatch)


@pytest.mark.parametrize("together", [1, 4])
async def test_everything_that_works_ends(simulate_all: Simulating, together: int) -> None:
    run = a_run(together)
    work, service = await simulate_all(run, 12, cap=3)
    assert sorted(one.row.id for one in work.ended) == sorted(service.asked) == list(range(12))
    assert service.peak == 3
    assert run.tally.unfinished == {} and not run.halted


@pytest.mark.parametrize("together", [1, 10])
async def test_a_daily_quota_ends_the_run_and_the_rest_waits_with_the_reason(
    simulate_all: Simulating, together: int
) -> None:
    run = a_run(together)

    def answer(one: int) -> BaseException | None:
        used_up = RateLimited("quota used up", kind="daily", retry_after=3600)
        return used_up if one >= 2 else None

    work, service = await simulate_all(run, 6, answer)
    assert service.asked == [0, 1, 2] and len(work.ended) == 2
    assert run.tally.unfinished == dict.fromkeys(range(2, 6), "quota used up")
    assert run.halted and run.tally.halted


@pytest.mark.parametrize("together", [1, 3])
async def test_one_that_may_have_arrived_is_looked_for_after_the_others(
    simulate_all: Simulating, together: int
) -> None:
    first = [BrainUnavailable("the answer was lost", fate_unknown=True)]
    work, service = await simulate_all(
        a_run(together), 4, lambda one: first.pop() if one == 0 and first else None
    )
    assert service.asked == [0, 1, 2, 3, 0] and len(work.ended) == 4


@pytest.mark.parametrize("together", [1, 3])
async def test_one_that_never_works_does_not_hold_up_the_others(
    simulate_all: Simulating, together: int
) -> None:
    run = a_run(together)
    work, service = await simulate_all(
        run, 3, lambda one: None if one else RateLimited("busy", kind="rate", retry_after=0.0)
    )
    assert service.asked.count(0) == simulation_queue.MOST_TRIES and len(work.ended) == 2
    assert run.tally.unfinished == {0: "busy"} and not run.halted


@pytest.mark.parametrize("together", [1, 10])
async def test_a_service_that_is_away_is_left_alone(
    simulate_all: Simulating, together: int
) -> None:
    run = a_run(together)
    _, service = await simulate_all(
        run, 20, lambda one: BrainUnavailable("no answer", retry_after=0.0)
    )
    assert len(service.asked) == simulation_queue.MOST_SILENT
    assert len(run.tally.unfinished) == 20 and run.halted


@pytest.mark.parametrize("together", [1, 3])
async def test_a_refusal_for_good_is_of_one_simulation(
    simulate_all: Simulating, together: int
) -> None:
    run = a_run(together)
    refused = BrainRequestError("forbidden", status=403)
    work, service = await simulate_all(run, 20, lambda one: refused if one % 4 == 1 else None)
    assert sorted(service.asked) == list(range(20)) and len(work.ended) == 15
    assert run.tally.unfinished == dict.fromkeys(range(1, 20, 4), "forbidden")
    assert not run.halted


@pytest.mark.parametrize("together", [1, 10])
async def test_nothing_but_refusals_ends_the_run(simulate_all: Simulating, together: int) -> None:
    run = a_run(together)
    refused = BrainRequestError("forbidden", status=403)
    work, service = await simulate_all(run, 20, lambda one: refused)
    assert len(service.asked) == simulation_queue.MOST_SILENT and run.halted
    assert work.ended == [] and run.tally.unfinished == dict.fromkeys(range(20), "forbidden")


async def test_a_sign_in_that_is_refused_ends_the_run(simulate_all: Simulating) -> None:
    run = a_run()
    refused = AuthenticationError("wrong password")
    work, service = await simulate_all(run, 3, lambda one: refused)
    assert service.asked == [0] and run.halted
    assert work.ended == [] and run.tally.unfinished == dict.fromkeys(range(3), "wrong password")


@pytest.mark.parametrize("together", [1, 10])
async def test_a_stopped_run_sends_nothing_more_and_takes_up_nothing(
    simulate_all: Simulating, together: int
) -> None:
    run = a_run(together)

    def answer(one: int) -> BaseException | None:
        if one == 1:
            run.stop.set("Ctrl-C")
        return None

    work, service = await simulate_all(run, 9, answer)
    assert [one.row.id for one in work.ended] == service.asked == [0, 1]
    assert run.tally.unfinished == dict.fromkeys(range(2, 9), "the run was stopped")
    assert leftovers(run) == []


async def test_a_group_that_is_tried_again_goes_on_with_what_has_no_result(
    simulate_all: Simulating,
) -> None:
    trouble = [BrainUnavailable("no answer"), BrainUnavailable("no answer")]
    work, service = await simulate_all(
        a_run(10), 6, lambda one: trouble.pop() if one == 2 and trouble else None, tries=3
    )
    assert service.asked == [0, 1, 2, 2, 2, 3, 4, 5]
    assert [one.row.id for one in work.ended] == list(range(6))


async def test_one_that_another_run_has_does_not_hold_up_its_group(
    simulate_all: Simulating,
) -> None:
    run = a_run(10)
    work, service = await simulate_all(
        run, 4, lambda one: TakenOver("it is theirs") if one == 1 else None, tries=2
    )
    assert service.asked == [0, 1, 2, 3]
    assert [one.row.id for one in work.ended] == [0, 2, 3]
    assert run.tally.unfinished == {} and not run.halted


async def test_groups_are_as_large_as_allowed_and_shared_evenly_by_the_lanes(
    simulate_all: Simulating,
) -> None:
    await simulate_all(a_run(10), 40, cap=3)
    assert [len(group) for group in simulate_all.groups] == [7, 7, 7, 7, 7, 5]
    simulate_all.groups.clear()
    _, service = await simulate_all(a_run(10), 13, cap=3)
    assert [len(group) for group in simulate_all.groups] == [7, 6]
    assert service.peak == 2


async def test_results_that_are_slow_to_fetch_do_not_pile_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = asyncio.Event()
    service = FakeService(lambda one: None)

    async def store(run: ResearchRun, outcome: Outcome) -> Simulated:
        await fetched.wait()
        return await service.store(run, outcome)

    for together in (1, 10):
        fetched.clear()
        service.asked.clear()
        monkeypatch.setattr(simulation_queue, "simulate_at_service", service.simulate)
        monkeypatch.setattr(simulation_queue, "store_outcome", store)
        work = SimulationQueue(
            a_run(together), [row(number) for number in range(9)], phase="generate"
        )
        lane = partial(work.lane, simulate=Group.simulate)
        running = asyncio.create_task(work.in_lanes(lane, cap=1))
        async with asyncio.timeout(300):
            while len(service.asked) <= simulation_queue.MOST_BEHIND:
                await asyncio.sleep(0)
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(service.asked) == simulation_queue.MOST_BEHIND + 1
            fetched.set()
            assert len(await running) == 9


async def test_a_429_halves_what_is_under_way_and_answers_raise_it_again(
    simulate_all: Simulating,
) -> None:
    refused: set[int] = set()

    def answer(number: int) -> BaseException | None:
        if number < 4 and number not in refused:
            refused.add(number)
            return RateLimited("too many", kind="concurrent", retry_after=0.0)
        return None

    work, service = await simulate_all(a_run(), 40, answer, cap=4)
    assert service.peak == 4 and work.concurrency.lowest == 2
    assert work.concurrency.limit == 4
    assert len(work.ended) == 40
