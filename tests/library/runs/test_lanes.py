"""Lanes: what they take, how many there are, and how they end; no Prefect is needed for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.runs import Queue, Stop, run_in_lanes, take_turns
from tests.property_tests import examples


class Work:
    """Items that are done under a cap of our own, and what was seen."""

    def __init__(self, items: Iterable[int], *, cap: int, do: Callable[[int], Any]) -> None:
        self.queue = Queue(items)
        self.stop = Stop()
        self.cap = cap
        self.do = do
        self.done: list[int] = []
        self.busy = 0
        self.most_busy = 0

    async def one(self, item: int) -> None:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            await self.do(item)
            self.done.append(item)
        finally:
            self.busy -= 1

    async def lane(self, number: int) -> None:
        await take_turns(self.queue, number, self.one, may_go_on=lambda: not self.stop.is_set())

    async def run(self, **options: Any) -> set[asyncio.Task[None]]:
        given: dict[str, Any] = {
            "stop": self.stop,
            "allowed": lambda: self.cap,
            "settled": lambda: not (self.queue.waiting or self.queue.later or self.queue.lanes),
            "next_moment": self.queue.wake,
        }
        return await run_in_lanes(self.queue, self.lane, **(given | options))


async def soon(_: int) -> None:
    await asyncio.sleep(0)


@given(count=st.integers(0, 40), cap=st.integers(1, 7), later=st.integers(0, 5))
@settings(max_examples=examples(80), deadline=None)
def test_everything_is_done_once_and_never_more_at_a_time_than_allowed(
    count: int, cap: int, later: int
) -> None:
    async def run() -> Work:
        work = Work(range(count), cap=cap, do=soon)
        for item in range(later):
            work.queue.put_off(1000 + item, 0.001 * item)
        assert await work.run() == set()
        return work

    work = asyncio.run(run())
    assert sorted(work.done) == [*range(count), *range(1000, 1000 + later)]
    assert work.most_busy <= cap


async def test_waiting_for_the_last_lane_does_not_use_the_processor() -> None:
    work = Work([1, 2], cap=2, do=lambda item: asyncio.sleep(0.5 if item == 2 else 0))
    used = time.thread_time()
    await work.run()
    assert sorted(work.done) == [1, 2]
    assert time.thread_time() - used < 0.2


async def test_a_lane_gives_its_slot_back_after_a_while_and_another_is_opened() -> None:
    work = Work(range(5), cap=1, do=soon)
    opened: list[int] = []

    async def brief(number: int) -> None:
        opened.append(number)
        # Time is over after the first item.
        await take_turns(work.queue, number, work.one, may_go_on=lambda: True, seconds=0.0)
        if work.queue.waiting:
            await work.one(work.queue.waiting.popleft())

    await run_in_lanes(
        work.queue,
        brief,
        stop=work.stop,
        allowed=lambda: 1,
        settled=lambda: not (work.queue.waiting or work.queue.lanes),
        next_moment=work.queue.wake,
    )
    assert work.done == list(range(5))
    assert opened == [1, 2, 3, 4, 5]


async def test_a_stop_gives_what_is_in_flight_a_little_time_and_begins_nothing() -> None:
    release = asyncio.Event()

    async def do(item: int) -> None:
        if item == 0:
            await release.wait()
        else:
            await asyncio.Event().wait()

    work = Work(range(9), cap=2, do=do)
    running = asyncio.create_task(work.run(grace=0.5))
    while work.busy < 2:
        await asyncio.sleep(0)
    work.stop.set()
    release.set()
    assert await running == set()
    assert work.done == [0]
    assert list(work.queue.waiting) == list(range(2, 9)) and work.busy == 0


async def test_the_deadline_cuts_off_what_is_under_way() -> None:
    work = Work([1], cap=1, do=lambda item: asyncio.Event().wait())
    await work.run(deadline=time.monotonic() + 0.1)
    assert work.done == [] and work.busy == 0


async def test_the_failure_of_a_lane_is_raised_and_the_others_are_ended() -> None:
    async def do(item: int) -> None:
        if item == 1:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    work = Work([0, 1], cap=2, do=do)
    with pytest.raises(ZeroDivisionError):
        await work.run()
    assert work.busy == 0


async def test_nobody_waits_for_lanes_that_only_give_their_slots_back() -> None:
    slot = asyncio.Event()
    work = Work([1, 2], cap=2, do=soon)

    async def lane(number: int) -> None:
        await work.lane(number)
        work.queue.changed.set()
        await slot.wait()

    left = await asyncio.wait_for(
        run_in_lanes(
            work.queue,
            lane,
            stop=work.stop,
            allowed=lambda: 2,
            settled=lambda: len(work.done) == 2,
            next_moment=work.queue.wake,
        ),
        30,
    )
    assert left and not any(one.done() for one in left)
    slot.set()
    await asyncio.gather(*left)


async def test_lanes_wait_until_more_are_allowed() -> None:
    work = Work([1], cap=0, do=soon)
    opens = time.monotonic() + 0.2
    await work.run(
        allowed=lambda: int(time.monotonic() >= opens),
        next_moment=partial(lambda: None if time.monotonic() >= opens else opens),
    )
    assert work.done == [1] and time.monotonic() >= opens
