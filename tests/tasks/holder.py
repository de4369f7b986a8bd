"""A process that holds a slot until it is killed: `python -m tests.tasks.holder`."""

from __future__ import annotations

import asyncio

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from tasks.prefect.limits import ensure_limits, holding_slot

CAP = "test-cap"


@task(tags=[CAP], cache_policy=NO_CACHE)
async def hold() -> None:
    with holding_slot():
        print("holding", flush=True)
        await asyncio.sleep(3600)


@flow
async def hold_a_slot() -> None:
    await ensure_limits({CAP: 1})
    await hold()


if __name__ == "__main__":
    asyncio.run(hold_a_slot())
