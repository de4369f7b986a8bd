"""Simulations under the cap: lanes that hold a slot, one task run per simulation or per group.

A lane is a task with the tag `simulation`, so it holds one slot of the cap, and calls `simulate`
once per alpha. Three slots are then taken three times instead of once per simulation, which on
SQLite is the difference between 1.05 and 10 times the ideal time, and every simulation is still
a task run with its own name, state and retries. A local simulator needs less time for
a simulation than Prefect for a task run, so there `simulate` is called once for several alphas;
its log names each with what came of it, and its retries go on with those that have no result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import task_run

from alphafoundry.research.run import ResearchRun
from alphafoundry.research.simulation_lifecycle import Simulated
from alphafoundry.research.simulation_queue import Group, SimulationQueue
from alphafoundry.store import SimulationRow
from tasks.prefect.limits import holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT
from tasks.research.run import SIMULATION_CAP


def short(text: str, width: int = 80) -> str:
    """Return `text` cut to `width` characters, for the name of a run."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _simulation_name() -> str:
    turns = task_run.get_parameters()["group"].turns
    more = f" and {len(turns) - 1} more" if len(turns) > 1 else ""
    return f"simulate {short(turns[0].row.expression)}{more}"


@task(name="simulate", task_run_name=_simulation_name, cache_policy=NO_CACHE, **TRANSIENT)
async def simulate(group: Group) -> None:
    """Simulate alphas one after another and store what came of each."""
    before = len(group.stored)
    try:
        await group.simulate()
    finally:
        done = group.stored[before:]
        lines = (f"{one.row.expression}\n  {one.status}: {one.summary}" for one in done)
        get_run_logger().info("%s", "\n".join(lines))


@task(
    name="simulation lane",
    task_run_name="simulation lane {number}",
    tags=[SIMULATION_CAP],
    cache_policy=NO_CACHE,
)
async def simulation_lane(work: SimulationQueue, number: int) -> None:
    """Take simulations one after another while holding one slot of the cap."""
    with holding_slot():
        await work.lane(number, simulate)


async def simulate_all(
    run: ResearchRun, rows: Sequence[SimulationRow], *, phase: str
) -> list[Simulated]:
    """Simulate all, as many at a time as the cap allows; return those that ended.

    What cannot end now (the service is away, the daily quota is used up, a stop was asked for)
    stays planned in the store, and the next run begins with it.
    """
    if not rows or run.stop.is_set():
        return []
    cap = await require_limit(SIMULATION_CAP)
    work = SimulationQueue(run, rows, phase=phase)
    return await work.in_lanes(partial(simulation_lane, work), cap=cap)
