"""Caps: they exist, they hold, and a dead process does not keep a slot."""

from __future__ import annotations

import asyncio
import signal

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse

from alphafoundry.errors import ConfigurationError
from tasks.prefect.limits import ensure_limits, require_limit
from tasks.supervisor.throttle import Throttle
from tests.tasks.holder import CAP
from tests.working_folder import WorkingFolder, wait_until


async def read(cap: str) -> GlobalConcurrencyLimitResponse:
    async with get_client() as client:
        return await client.read_global_concurrency_limit_by_name(f"tag:{cap}")


async def switch_off(cap: str) -> None:
    async with get_client() as client:
        await client.update_global_concurrency_limit(
            f"tag:{cap}", GlobalConcurrencyLimitUpdate(active=False)
        )


def taken() -> int:
    return asyncio.run(read(CAP)).active_slots


async def test_a_missing_limit_is_an_error_not_a_free_pass(in_process: WorkingFolder) -> None:
    with pytest.raises(ConfigurationError, match=r"tag:nobody-made-it.*limits\.yaml"):
        await require_limit("nobody-made-it")


async def test_a_limit_that_is_switched_off_is_an_error(in_process: WorkingFolder) -> None:
    await ensure_limits({"switched-off": 2})
    assert await require_limit("switched-off") == 2
    await switch_off("switched-off")
    with pytest.raises(ConfigurationError, match="no active concurrency limit"):
        await require_limit("switched-off")


async def test_runs_that_begin_at_once_may_make_the_same_limit(in_process: WorkingFolder) -> None:
    await asyncio.gather(*(ensure_limits({"made-at-once": 3}) for _ in range(8)))
    assert await require_limit("made-at-once") == 3


async def test_limits_can_be_ensured_again_and_changed(in_process: WorkingFolder) -> None:
    await ensure_limits({"changing": 2})
    first = await read("changing")
    await ensure_limits({"changing": 2})
    assert (await read("changing")).id == first.id
    await ensure_limits({"changing": 5})
    assert await require_limit("changing") == 5


async def test_a_limit_that_was_switched_off_is_not_used_in_silence(
    in_process: WorkingFolder,
) -> None:
    await ensure_limits({"quiet": 2})
    await switch_off("quiet")
    try:
        await ensure_limits({"quiet": 2})
    except ConfigurationError as problem:
        assert "quiet" in str(problem)
    else:
        assert await require_limit("quiet") == 2


@pytest.mark.slow
def test_a_living_holder_keeps_its_slot_and_a_killed_one_does_not(
    in_process: WorkingFolder,
) -> None:
    with in_process.start("tests.tasks.holder") as holder:
        wait_until(
            lambda: (
                holder.poll() is not None or "holding" in in_process.output("tests.tasks.holder")
            ),
            what="the holder's slot",
        )
        assert holder.poll() is None, in_process.output("tests.tasks.holder")
        assert taken() == 1
        asyncio.run(ensure_limits({CAP: 1}))
        assert taken() == 1, "the holder is alive"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert taken() == 1, "Prefect does not see the kill at once"
    asyncio.run(ensure_limits({CAP: 1}))
    assert taken() == 0
    assert not list((in_process.prefect_home / "slot-holders").iterdir())


async def test_a_cap_steps_down_while_memory_is_short_and_comes_back(
    in_process: WorkingFolder,
) -> None:
    await ensure_limits({"throttled": 3})
    throttle = Throttle("throttled", 3)
    assert await throttle.follow("fine") is None
    assert await throttle.follow("tight") == "the machine is tight: the cap throttled is 2 of 3"
    assert await throttle.follow("tight") is None
    assert await throttle.follow("critical") and await require_limit("throttled") == 1
    await ensure_limits({"throttled": 3})  # a run begins
    await throttle.follow("critical")
    assert await require_limit("throttled") == 1
    await throttle.give_back()
    assert await require_limit("throttled") == 3
    assert await Throttle("throttled", 1).follow("critical") is None
