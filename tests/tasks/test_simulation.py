"""Lanes: waiting for them costs nothing, and a stop does not wait for ever."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from tasks.research import simulation


async def test_waiting_for_the_last_lane_does_not_use_the_processor() -> None:
    bench = SimpleNamespace(stop=asyncio.Event())
    began, used = time.monotonic(), time.thread_time()
    await simulation._finish(bench, [asyncio.sleep(0), asyncio.sleep(0.5)])
    assert time.monotonic() - began >= 0.5
    assert time.thread_time() - used < 0.1


async def test_a_stop_cuts_off_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "GRACE_SECONDS", 0.1)
    bench = SimpleNamespace(stop=asyncio.Event())
    ended: list[str] = []

    async def soon() -> None:
        await asyncio.sleep(0.1)
        ended.append("soon")

    asyncio.get_running_loop().call_later(0.05, bench.stop.set)
    began = time.monotonic()
    await simulation._finish(bench, [soon(), asyncio.sleep(60)])
    assert time.monotonic() - began < 5
    assert ended == ["soon"]


async def test_the_failure_of_a_lane_is_raised() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await simulation._finish(
            SimpleNamespace(stop=asyncio.Event()), [broken(), asyncio.sleep(0)]
        )
