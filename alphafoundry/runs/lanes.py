"""Work under a cap: lanes that each hold one slot and take one item after another.

Taking a slot of a cap may cost more than the work, so a lane takes it once and does many items,
but gives it back after a while, so that another process gets its turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

from alphafoundry.runs.stop import Stop

T = TypeVar("T")

LANE_SECONDS = 90.0
"""A lane gives its slot back after this long, so that another process gets its turn."""


class Queue(Generic[T]):
    """What is still to be done, shared by the lanes.

    Attributes
    ----------
    waiting : not begun
    later : (moment of `time.monotonic`, item) of what waits until then
    lanes : numbers of the lanes under way
    changed : set when a lane may be opened or everything may be over
    """

    def __init__(self, items: Iterable[T]) -> None:
        self.waiting = deque(items)
        self.later: list[tuple[float, T]] = []
        self.lanes: set[int] = set()
        self.changed = asyncio.Event()
        self._not_begun: set[int] = set()

    @property
    def to_open(self) -> int:
        """How many items no lane is on its way for."""
        return len(self.waiting) - len(self._not_begun)

    def put_off(self, item: T, seconds: float) -> None:
        """Do an item after so many seconds."""
        self.later.append((time.monotonic() + seconds, item))

    def wake(self) -> float | None:
        """Move what has waited long enough; return the moment of the next, None without one."""
        now = time.monotonic()
        self.waiting.extend(item for moment, item in self.later if moment <= now)
        self.later = [(moment, item) for moment, item in self.later if moment > now]
        return min((moment for moment, _ in self.later), default=None)

    def opened(self, number: int) -> None:
        """Count a lane as on its way."""
        self.lanes.add(number)
        self._not_begun.add(number)

    def begun(self, number: int) -> None:
        """Count it as having its slot."""
        self._not_begun.discard(number)

    def closed(self, number: int) -> None:
        """Count it as over."""
        self.lanes.discard(number)
        self._not_begun.discard(number)
        self.changed.set()


async def take_turns(
    queue: Queue[T],
    number: int,
    do: Callable[[T], Awaitable[None]],
    *,
    may_go_on: Callable[[], bool],
    seconds: float = LANE_SECONDS,
) -> None:
    """Do one item after another, as lane `number`: what the holder of a slot calls.

    Ends when nothing waits, after `seconds`, or when `may_go_on()` says no before an item.
    """
    queue.begun(number)
    until = time.monotonic() + seconds
    while queue.waiting and time.monotonic() < until and may_go_on():
        await do(queue.waiting.popleft())


async def run_in_lanes(
    queue: Queue[T],
    open_lane: Callable[[int], Coroutine[Any, Any, None]],
    *,
    stop: Stop,
    allowed: Callable[[], int],
    settled: Callable[[], bool],
    next_moment: Callable[[], float | None],
    deadline: float | None = None,
    grace: float = 0.0,
) -> set[asyncio.Task[None]]:
    """Keep as many lanes under way as are allowed until everything is settled.

    Parameters
    ----------
    open_lane : takes a slot and calls `take_turns` with the number that it is given
    allowed : lanes that may be under way now
    settled : whether there is nothing left to wait for
    next_moment : called in every turn; moment of `time.monotonic` to look again, None without one
    deadline : moment of `time.monotonic` after which what is under way is cut off
    grace : seconds for what is under way after a stop

    Returns
    -------
    Lanes that still give their slots back; none after a stop or the deadline, when they are
    cancelled.

    Raises
    ------
    The first failure of a lane; the others are cancelled.
    """
    stopped = asyncio.create_task(stop.wait())
    lanes: dict[asyncio.Task[None], int] = {}
    number = 0
    try:
        while not stopped.done() and (deadline is None or time.monotonic() < deadline):
            moment = next_moment()
            while queue.to_open > 0 and len(lanes) < allowed():
                number += 1
                queue.opened(number)
                lanes[asyncio.create_task(open_lane(number))] = number
            if settled():
                return set(lanes)
            await _change(queue, [stopped, *lanes], _soonest(moment, deadline))
            _close_ended(queue, lanes)
        if grace > 0 and lanes and stopped.done():
            await asyncio.wait(lanes, timeout=grace)
            _close_ended(queue, lanes)
        return set(lanes) if settled() else set()
    finally:
        stopped.cancel()
        if not settled():
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)


def _soonest(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


async def _change(queue: Queue[T], awaited: list[asyncio.Task[None]], moment: float | None) -> None:
    """Wait until something has ended or changed, or the moment has come."""
    queue.changed.clear()
    changed = asyncio.create_task(queue.changed.wait())
    try:
        await asyncio.wait(
            [changed, *awaited],
            timeout=None if moment is None else max(0.0, moment - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        changed.cancel()


def _close_ended(queue: Queue[T], lanes: dict[asyncio.Task[None], int]) -> None:
    ended = [lane for lane in lanes if lane.done()]
    for lane in ended:
        queue.closed(lanes.pop(lane))
    for lane in ended:
        lane.result()
