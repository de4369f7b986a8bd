"""Models are asked in turn without losing an answer; no Prefect server is needed for that."""

from __future__ import annotations

import asyncio
import time
from dataclasses import fields
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from alphafoundry.algorithms.asking import Asking
from alphafoundry.algorithms.generation import Assignment, GeneratedAlgorithm, assign
from alphafoundry.algorithms.progress import ProgressReporter
from alphafoundry.algorithms.prompts import describe_ticker
from alphafoundry.algorithms.report import AlgorithmsReport, entry_names
from alphafoundry.algorithms.run import AlgorithmsRun
from alphafoundry.errors import ModelRequestError, StoreUnavailable
from alphafoundry.llm import Completion, ModelEndpoint, Sampling
from alphafoundry.llm.circuit import CircuitBreaker
from alphafoundry.runs import Stop
from alphafoundry.settings import FoundrySettings
from tests.library.llm.chat_server import PROGRAM

ANSWER = Completion(f"```python\n{PROGRAM}```\n")


class Provider:
    """Fails as often as it is told, at one moment for all that ask, then answers."""

    name = "openai"
    endpoint = "http://there/v1"
    label = "models in a test"

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0
        self._all_have_asked = asyncio.Event()

    async def complete(self, model: str, prompt: str, sampling: Sampling) -> Completion:
        self.asked += 1
        number = self.asked
        if number >= self.failures:
            self._all_have_asked.set()
        await self._all_have_asked.wait()
        if number > self.failures:
            await asyncio.sleep(0.02)
        else:
            raise ModelRequestError("HTTP 503", kind="server", status=503)
        return ANSWER

    async def available(self) -> frozenset[str] | None:
        return None

    async def aclose(self) -> None:
        return None


def a_run(endpoint: ModelEndpoint) -> tuple[AlgorithmsRun, list[GeneratedAlgorithm]]:
    kept: list[GeneratedAlgorithm] = []
    found = SimpleNamespace(
        endpoint=endpoint,
        reporter=ProgressReporter(None, 6),
        keep=kept.append,
        keep_answer=lambda position, completion, *, requests: None,
        stop=Stop(),
    )
    return cast(AlgorithmsRun, found), kept


async def test_the_others_wait_for_the_probe_of_a_circuit() -> None:
    async def ask(asking: Asking, one: Assignment) -> Completion:
        try:
            return await asking.send(one)
        except ModelRequestError:
            return await asking.send(one)

    circuit = CircuitBreaker(failures=6, rest=0.1)
    endpoint = ModelEndpoint(Provider(failures=6), circuit=circuit)
    run, kept = a_run(endpoint)
    models = assign([f"m{number}" for number in range(6)], describe_ticker("AAPL"))
    asking = Asking(run, models, deadline=time.monotonic() + 300)
    await asking.in_lanes(partial(asking.one, ask=ask), cap=6)
    assert circuit.opened == 1
    assert {one.model: one.status for one in kept} == {one.model: "ready" for one in models}


async def test_an_answer_that_has_come_is_kept_by_a_run_that_ends() -> None:
    run, kept = a_run(ModelEndpoint(Provider(failures=0)))
    (one,) = assign(["m"], describe_ticker("AAPL"))
    asking = Asking(run, [one], deadline=time.monotonic() + 300)
    answered = asyncio.Event()

    async def ask(asking: Asking, one: Assignment) -> Completion:
        await asking.send(one)
        answered.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    running = asyncio.create_task(asking.in_lanes(partial(asking.one, ask=ask), cap=6))
    await answered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [written.status for written in kept] == ["ready"]


async def test_nobody_waits_for_prefect_once_every_answer_is_kept() -> None:
    run, kept = a_run(ModelEndpoint(Provider(failures=0)))
    models = assign(["a", "b"], describe_ticker("AAPL"))
    slot_is_free = asyncio.Event()

    async def ask(asking: Asking, one: Assignment) -> Completion:
        completion = await asking.send(one)
        await slot_is_free.wait()
        return completion

    asking = Asking(run, models, deadline=time.monotonic() + 300)
    left = await asyncio.wait_for(asking.in_lanes(partial(asking.one, ask=ask), cap=6), 300)
    assert sorted(written.model for written in kept) == ["a", "b"]
    assert len(left) == 2 and not any(lane.done() for lane in left)
    slot_is_free.set()
    await asyncio.gather(*left)


def test_a_run_that_was_stopped_tells_nothing_of_a_race_that_was_not() -> None:
    report = AlgorithmsReport(
        **{one.name: () for one in fields(AlgorithmsReport)}  # type: ignore[arg-type]
        | {"asking_seconds": 1.0, "seconds": 1.0, "lowest_concurrency": 6, "cap": 6}
    )
    told = dict(report.summary())
    assert told["race"] == "none was run; 1.0 s in all" and "candidates" not in told
    assert told["models"].endswith("none had answered when the run was stopped")


async def test_an_answer_that_cannot_be_stored_is_not_asked_for_again() -> None:
    provider = Provider(failures=0)
    run, kept = a_run(ModelEndpoint(provider))
    (one,) = assign(["m"], describe_ticker("AAPL"))

    def full(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("foundry.sqlite: the disk is full")

    run.keep_answer = full  # type: ignore[method-assign]
    asking = Asking(run, [one], deadline=0.0)
    assert await asking.send(one) == ANSWER
    await asking.judged()
    assert provider.asked == 1 and [written.status for written in kept] == ["ready"]


def test_every_algorithm_of_a_race_has_a_name_of_its_own() -> None:
    models = ["a", "b", "a", "a (3)", "b (3) (4)"]
    named = entry_names(
        [GeneratedAlgorithm(place, model, "ready") for place, model in enumerate(models)]
    )
    assert named[1] == "b" and named[0] == "a (1)"
    assert len(set(named.values())) == len(models)


class Careless(Provider):
    """Answers as often as it is told with a program that the check refuses, then with another."""

    async def complete(self, model: str, prompt: str, sampling: Sampling) -> Completion:
        self.asked += 1
        if self.asked <= self.failures:
            return Completion(ANSWER.text.replace("np.mean", "talib.mean"))
        return ANSWER


@pytest.mark.parametrize(("broken", "status", "sent"), [(2, "ready", 3), (3, "refused", 3)])
async def test_a_refused_program_is_asked_for_again_within_its_slot(
    broken: int, status: str, sent: int
) -> None:
    provider = Careless(failures=broken)
    run, kept = a_run(ModelEndpoint(provider))
    run.settings = FoundrySettings()
    (one,) = assign(["m"], describe_ticker("AAPL"))
    asking = Asking(run, [one], deadline=time.monotonic() + 300)
    await asking.in_lanes(partial(asking.one, ask=Asking.send), cap=6)
    assert [(each.status, each.requests) for each in kept] == [(status, sent)]
    assert provider.asked == sent


async def test_a_refused_program_is_kept_where_no_time_is_left() -> None:
    run, kept = a_run(ModelEndpoint(Careless(failures=1)))
    run.settings = FoundrySettings()
    (one,) = assign(["m"], describe_ticker("AAPL"))

    async def ask(asking: Asking, one: Assignment) -> Completion:
        completion = await asking.send(one)
        await asking.judged(one.position)
        asking.deadline = 0.0
        return completion

    asking = Asking(run, [one], deadline=time.monotonic() + 300)
    await asking.in_lanes(partial(asking.one, ask=ask), cap=6)
    assert [each.status for each in kept] == ["refused"]
