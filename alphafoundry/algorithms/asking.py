"""Whom to ask next, how often, and what to do with an answer: all but the requests' slots.

A request is sent at most four times for an algorithm. What a model has answered is stored the
moment it is there, and judged while the next requests are under way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from alphafoundry.algorithms.generation import (
    Assignment,
    GeneratedAlgorithm,
    no_answer,
    read_answer,
    repair_of,
)
from alphafoundry.algorithms.run import AlgorithmsRun
from alphafoundry.errors import FoundryError, ModelRequestError, StoreError
from alphafoundry.llm import Backoff, Completion
from alphafoundry.runs import Queue, run_in_lanes, take_turns

MOST_SENT = 4
"""Requests for one algorithm, the first one included."""

SHORT_WAIT = 10.0
"""A Retry-After up to this is waited for within the slot; a longer one without it."""

MOST_REFUSED_BY_CIRCUIT = 1
"""How often an algorithm waits for a failing endpoint to be probed again."""

RETRY_JITTER = 0.1
"""Share by which the waits between two tries may be shorter."""

log = logging.getLogger(__name__)

Ask = Callable[["Asking", Assignment], Awaitable[Any]]


class AskLater(FoundryError):
    """The service asked to wait longer than a slot may be held.

    Attributes
    ----------
    seconds : how long
    problem : the answer that asked for it
    """

    def __init__(self, seconds: float, problem: ModelRequestError) -> None:
        self.seconds = seconds
        self.problem = problem
        super().__init__(str(problem))


class Asking:
    """The models that are still to be asked, shared by the lanes.

    Attributes
    ----------
    queue : who waits
    sent : requests per position
    unsettled : positions of which nothing has been kept yet
    deadline : moment of `time.monotonic` after which nothing is waited for
    """

    def __init__(
        self, run: AlgorithmsRun, assignments: Sequence[Assignment], *, deadline: float
    ) -> None:
        self.run = run
        self.queue = Queue(assignments)
        self.sent: Counter[int] = Counter()
        self.unsettled = {one.position for one in assignments}
        self.deadline = deadline
        self._refused_by_circuit: Counter[int] = Counter()
        self._judging: dict[int, asyncio.Task[None]] = {}
        self._tries: Counter[int] = Counter()
        self._refused: dict[int, GeneratedAlgorithm] = {}

    async def in_lanes(
        self, open_lane: Callable[[int], Coroutine[Any, Any, None]], *, cap: int
    ) -> set[asyncio.Task[None]]:
        """Ask everybody; what has not finished at the deadline, or after a stop, is cut off.

        Returns, once something is kept of every model, what still gives slots back.
        """
        try:
            return await run_in_lanes(
                self.queue,
                open_lane,
                stop=self.run.stop,
                allowed=lambda: self._allowed(cap),
                settled=lambda: not self.unsettled,
                next_moment=self.queue.wake,
                deadline=self.deadline,
            )
        finally:
            if self.unsettled:
                # An answer that has come is paid for: a run that ends keeps it.
                await self.judged()
                for position in sorted(self._refused):
                    self.keep(self._refused[position])

    async def lane(self, number: int, ask: Ask) -> None:
        """Ask one model after another, as lane `number`."""
        await take_turns(
            self.queue,
            number,
            lambda one: self.ask_and_keep(one, ask),
            may_go_on=lambda: not (self._crowded or self.run.stop.is_set()),
        )

    async def one(self, number: int, ask: Ask) -> None:
        """Ask a single model, as lane `number`."""
        self.queue.begun(number)
        if self.queue.waiting and not self.run.stop.is_set():
            await self.ask_and_keep(self.queue.waiting.popleft(), ask)

    def _allowed(self, cap: int) -> int:
        """Return how many lanes may be under way: fewer while the service answers 429."""
        endpoint = self.run.endpoint
        # While the endpoint is left alone or probed, the others wait for what the probe finds.
        return min(cap, endpoint.concurrency.limit) if endpoint.circuit.state == "closed" else 1

    @property
    def _crowded(self) -> bool:
        return len(self.queue.lanes) > self.run.endpoint.concurrency.limit

    async def ask_and_keep(self, one: Assignment, ask: Ask) -> None:
        """Ask a model and keep what came of it, or put it off."""
        self.run.reporter.started(one.model, one.position + 1)
        asked: Assignment | None = one
        try:
            while asked is not None:
                one = asked
                await ask(self, one)
                await self.judged(one.position)
                asked = self._repair_of(one)
        except AskLater as problem:
            self.put_off(one, problem)
        except FoundryError as problem:
            self._give_up(one, str(problem))
        finally:
            self.queue.changed.set()

    def _repair_of(self, one: Assignment) -> Assignment | None:
        """Return how to ask again for a program that was refused; without that, it is kept."""
        written = self._refused.get(one.position)
        if written is None:
            return None
        again = repair_of(one, written, most=self.run.settings.algorithms.repairs)
        if again is None or self.run.stop.is_set() or time.monotonic() >= self.deadline:
            self.keep(written)
            return None
        self._tries[one.position] = 0
        log.info("%s: %s", one.model, again.about)
        return again

    def _give_up(self, one: Assignment, reason: str) -> None:
        """Keep what there is of a model that is not asked again."""
        before = self._refused.get(one.position)
        self.keep(before or no_answer(one, reason, requests=self.sent[one.position]))

    async def send(self, one: Assignment) -> Completion:
        """Send one request; the answer is stored when it comes.

        Raises
        ------
        AskLater : the service asked for a longer wait than a slot may be held
        ModelRequestError : no answer; not transient any more once it was sent four times
        """
        self.sent[one.position] += 1
        self._tries[one.position] += 1
        number = self._tries[one.position]
        try:
            completion = await self.run.endpoint.send_once(
                one.known_as, one.prompt.text, number=number, name=one.model, about=one.about
            )
        except ModelRequestError as problem:
            if problem.kind == "circuit":
                self.sent[one.position] -= 1
                self._tries[one.position] -= 1
                raise AskLater(problem.retry_after or SHORT_WAIT, problem) from None
            if number >= MOST_SENT:
                problem.transient = False
                raise
            asked = problem.retry_after or 0.0
            if problem.transient and asked > SHORT_WAIT:
                raise AskLater(asked, problem) from None
            if problem.transient:
                least = Backoff().delay(number) * (1.0 - RETRY_JITTER)
                await asyncio.sleep(max(0.0, asked - least))
            raise
        try:
            sent = self.sent[one.position]
            self.run.keep_answer(one.position, completion, requests=sent)
        except StoreError as problem:
            # Raised, it would have the model asked again; the answer is stored once more when read.
            log.warning("%s: its answer is not stored yet: %s", one.model, problem)
        self.answered(one, completion)
        return completion

    def keep(self, written: GeneratedAlgorithm) -> None:
        """Record what came of a model."""
        self.run.keep(written)
        self._refused.pop(written.position, None)
        self.unsettled.discard(written.position)
        self.queue.changed.set()

    def answered(self, one: Assignment, completion: Completion) -> None:
        """Judge an answer at once, while it is still written down that its request has ended."""
        requests = self.sent[one.position]
        self._judging[one.position] = asyncio.create_task(self._judge(one, completion, requests))

    async def judged(self, *positions: int) -> None:
        """Wait until the answers of these models, or all that have come, are kept."""
        waited = positions or tuple(self._judging)
        await asyncio.gather(*(asyncio.shield(self._judging[position]) for position in waited))

    async def _judge(self, one: Assignment, completion: Completion, requests: int) -> None:
        written = await asyncio.to_thread(read_answer, one, completion, requests=requests)
        if written.draft is None or written.status != "refused":
            self.keep(written)
        else:
            # It may be mended; `ask_and_keep` decides.
            self._refused[one.position] = written

    def put_off(self, one: Assignment, problem: AskLater) -> None:
        """Ask again later, or give up where that would be too late."""
        is_circuit = problem.problem.kind == "circuit"
        self._refused_by_circuit[one.position] += is_circuit
        if self._refused_by_circuit[one.position] > MOST_REFUSED_BY_CIRCUIT:
            reason = str(problem)
        elif time.monotonic() + problem.seconds >= self.deadline:
            reason = f"{problem}; it asked to wait {problem.seconds:.0f} s, longer than this run"
        else:
            self.queue.put_off(one, problem.seconds)
            return
        self._give_up(one, reason)


async def judge_unread(run: AlgorithmsRun, planned: Sequence[Assignment]) -> list[Assignment]:
    """Judge the answers that an earlier run got and did not come to judge; return who is left."""
    for one in planned:
        if one.position in run.unread:
            run.reporter.started(one.model, one.position + 1)
            requests = run.requests_before(one.position)
            completion = run.unread[one.position]
            run.keep(await asyncio.to_thread(read_answer, one, completion, requests=requests))
    return [one for one in planned if one.position not in run.unread]
