"""A BRAIN that misbehaves in every known way: nothing hangs, is lost, or is paid for twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.brain.server import close_app, create_app
from alphafoundry.research.report import Report
from tests.library.brain.faults import FaultyBrain, serve
from tests.library.brain.markets import small_panel
from tests.workplace import Workplace

SIMULATIONS = 200
RATES = {
    "429-concurrent": 0.02,
    "429-rate": 0.02,
    "500": 0.02,
    "503": 0.02,
    "drop-before": 0.02,
    "drop-after": 0.03,
    "slow": 0.01,
    "truncated": 0.03,
    "expired": 0.02,
    "not-json": 0.02,
    "empty-html": 0.01,
    "error-state": 0.01,
    "timeout-state": 0.01,
}


class CountingBrain:
    """Counts which simulations the server behind it accepts, each by what was asked for."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.accepted: Counter[str] = Counter()
        self.submitted: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        sent = bytearray()

        async def listen() -> Any:
            message = await receive()
            sent.extend(message.get("body", b""))
            return message

        async def answer(message: Any) -> None:
            if message.get("status") == 201 and scope["path"] == "/simulations":
                asked = json.loads(sent)
                self.accepted[json.dumps([asked["regular"], asked["settings"]])] += 1
            elif message.get("status") in (200, 201) and scope["path"].endswith("/submit"):
                self.submitted[scope["path"]] += 1
            await send(message)

        await self._app(scope, listen, answer)


class Service:
    """A server on which everything but the sign-in goes wrong once `begin` was called.

    rates : fault to probability, for each request
    """

    def __init__(self, state: Path, rates: Mapping[str, float], **options: Any) -> None:
        self._app = create_app(small_panel(), state=state, poll_seconds=0.01, **options)
        self.counting = CountingBrain(self._app)
        self.faulty = FaultyBrain(self.counting, seed=11, rates=rates)
        self.misbehaving = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        faulty = self.misbehaving and scope["path"] != "/authentication"
        await (self.faulty if faulty else self.counting)(scope, receive, send)

    @contextlib.contextmanager
    def on_a_port(self) -> Iterator[str]:
        with serve(self) as url:
            yield url
        close_app(self._app)


@pytest.fixture
def place(in_process: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A working directory whose settings fit the small market."""
    monkeypatch.setenv("FOUNDRY_ALPHA__NEUTRALIZATION", "MARKET")
    monkeypatch.setenv("FOUNDRY_ALPHA__TRUNCATION", "0.2")
    return in_process


def generate(**parameters: Any) -> Report:
    from flows.generate import generate as flow

    return asyncio.run(flow(**parameters))


def by_status(place: Workplace) -> Counter[str]:
    return Counter(dict(place.rows("SELECT status, count(*) FROM simulations GROUP BY 1")))


@pytest.mark.slow
def test_two_hundred_simulations_under_every_fault(place: Workplace, tmp_path: Path) -> None:
    service = Service(tmp_path / "brain.sqlite", RATES)
    with service.on_a_port() as url:
        service.misbehaving = True
        first = generate(simulations=SIMULATIONS, brain=url, seed=3)
        service.misbehaving = False
        left = first.counts.unfinished
        second = generate(simulations=left, brain=url) if left else None

    print(first.counts, dict(first.reasons), second, service.faulty.injected, sep="\n")
    assert set(service.faulty.injected) == set(RATES), "every fault happened"
    counts = first.counts
    assert counts.simulated + counts.unfinished == SIMULATIONS
    assert sum(first.reasons.values()) == counts.errors + counts.unfinished
    assert counts.unfinished <= SIMULATIONS // 20
    if second is not None:
        assert (second.counts.resumed, second.counts.unfinished) == (left, 0)

    found = by_status(place)
    assert found.total() == SIMULATIONS
    assert set(found) <= {"complete", "warning", "error", "timeout"}
    assert found["complete"] + found["warning"] == place.finished()
    ended_by_fault = ("error-state", "timeout-state")
    assert found["error"] + found["timeout"] <= sum(map(service.faulty.injected.get, ended_by_fault))
    without_reason = "SELECT count(*) FROM simulations WHERE alpha_id IS NULL AND message IS NULL"
    assert place.count(without_reason) == 0
    assert [asked for asked, times in service.counting.accepted.items() if times > 1] == []
    assert len(service.counting.accepted) == SIMULATIONS
