"""A desk on a simulated clock: every tick of some days, one event after another.

The same claim, gate, agents and record as on a real clock; how long a run takes is drawn from the
seed. So the same desk gives the same rows, in the same order, on any machine.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from alphafoundry.agents.desk import Desk, Step, TimedOut
from alphafoundry.agents.due_times import all_due
from alphafoundry.agents.hours import GRACE_SECONDS, SessionHours
from alphafoundry.agents.registry import AgentResult

_END, _RETRY, _WAIT = 0, 1, 2
_QUIET_WITHIN = 3600

Durations = Callable[[str, int, int], float]
"""(agent, due time, attempt) to the seconds that a run takes."""


class _Event(NamedTuple):
    """What happens next; its number is its own, so that nothing after it is compared."""

    moment: int
    kind: int
    rank: int
    number: int
    step: Step | None
    ended: AgentResult | Exception | None
    agent: str
    due_at: int


class Simulator:
    """The events of a desk.

    Attributes
    ----------
    now : moment up to which everything has happened
    ticks : so far
    cpu : agent to seconds of processor time that its runs took: those of the process, shared out
        by how long each run lasted, since asking for them costs more than most runs

    """

    def __init__(self, desk: Desk, began_at: int, *, durations: Durations | None = None) -> None:
        self.desk = desk
        self.now = began_at
        self.ticks = 0
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self._lasted: defaultdict[str, float] = defaultdict(float)
        self._durations = durations or self._drawn
        self._events: list[_Event] = []
        self._numbers = 0

    def run_session(self, session: SessionHours) -> bool:
        """Let everything happen up to the end of the half hour after a session's close.

        And on until nothing is under way: what has not ended cannot be kept. Return whether that
        was so within an hour.
        """
        end = session.closes + GRACE_SECONDS
        self.run_until(end)
        while self._events and self.now < end + _QUIET_WITHIN:
            self.run_until(max(event.moment for event in self._events))
        return not self._events

    def kept(self) -> dict[str, Any]:
        """Return what a simulator with nothing under way is made from again, as plain values."""
        return {"now": self.now, "ticks": self.ticks, "cpu": dict(self.cpu)}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Be as `kept` said."""
        self.now, self.ticks = kept["now"], kept["ticks"]
        self.cpu.update(kept["cpu"])

    def run_until(self, moment: int) -> None:
        """Let everything happen up to a moment, that included."""
        with self._shared_out():
            self._run_until(moment)

    def _run_until(self, moment: int) -> None:
        for due_at, _, agent in all_due(
            self.desk.schedule.tasks.values(), self.desk.hours, self.now, moment
        ):
            if self._events and self._events[0].moment <= due_at:
                self._happen_before(due_at)
            self._begin(agent, due_at, due_at)
            self.ticks += 1
        self._happen_before(moment + 1)
        self.now = moment

    def finish(self) -> None:
        """Let what is under way come to its end."""
        with self._shared_out():
            while self._events:
                self.now = max(self.now, self._events[0].moment)
                self._happen(heapq.heappop(self._events))

    @contextlib.contextmanager
    def _shared_out(self) -> Iterator[None]:
        """Share out the processor time of the block among the agents that ran in it."""
        spent, began = time.process_time(), time.perf_counter()
        yield
        whole = max(time.perf_counter() - began, 1e-9)
        spent = time.process_time() - spent
        for agent, lasted in self._lasted.items():
            self.cpu[agent] += spent * lasted / whole
        self._lasted.clear()

    def _happen_before(self, moment: int) -> None:
        while self._events and self._events[0].moment <= moment:
            if self._events[0].moment == moment and self._events[0].kind != _END:
                break
            self._happen(heapq.heappop(self._events))

    def _happen(self, event: _Event) -> None:
        if event.kind == _END:
            assert event.step is not None and event.ended is not None
            self.desk.end(event.step, event.moment, event.ended)
        elif event.kind == _RETRY:
            assert event.step is not None
            self._attempt(event.step, event.moment)
        else:
            self._begin(event.agent, event.due_at, event.moment)

    def _begin(self, agent: str, due_at: int, now: int) -> None:
        step = self.desk.begin(agent, now, due_at=due_at, known_due=True)
        if step.status == "running":
            self._attempt(step, now)
        elif step.status == "no place":
            ends = [event.moment for event in self._events if event.kind == _END]
            self._push(max(now + 1, min(ends, default=now + 1)), _WAIT, agent, due_at=due_at)

    def _attempt(self, step: Step, now: int) -> None:
        assert step.record is not None and step.context is not None
        agent, due_at = step.record.agent, step.record.due_at
        began = time.perf_counter()
        try:
            ended: AgentResult | Exception = self.desk.attempt(step, now)
        except Exception as problem:
            ended = problem
        self._lasted[agent] += time.perf_counter() - began
        over = now + max(1, math.ceil(self._durations(agent, due_at, step.record.attempts)))
        if over > step.context.deadline:
            timeout = self.desk.schedule.tasks[agent].timeout
            self._push(
                step.context.deadline,
                _END,
                agent,
                step=step,
                ended=TimedOut(f"killed after {timeout} s, its time-out"),
            )
            return
        if isinstance(ended, Exception):
            again = self.desk.retry_at(step, over)
            if again is not None:
                self._push(again, _RETRY, agent, step=step)
                return
        self._push(over, _END, agent, step=step, ended=ended)

    def _push(
        self,
        moment: int,
        kind: int,
        agent: str,
        *,
        step: Step | None = None,
        ended: AgentResult | Exception | None = None,
        due_at: int = 0,
    ) -> None:
        self._numbers += 1
        rank = self.desk.schedule.tasks[agent].rank
        heapq.heappush(
            self._events, _Event(moment, kind, rank, self._numbers, step, ended, agent, due_at)
        )

    def _drawn(self, agent: str, due_at: int, attempt: int) -> float:
        draw = zlib.crc32(f"{self.desk.seed} {agent} {due_at} {attempt}".encode()) / 0xFFFFFFFF
        return self.desk.agents[agent].seconds * (0.5 + draw)
