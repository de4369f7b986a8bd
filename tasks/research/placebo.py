"""Placebo searches under the cap on simulations: one task run per search.

Each search simulates one alpha at a time and so needs one slot; a lane holds it over several
searches, as in `tasks/research/simulation.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from alphafoundry.research.placebo import PlaceboQueue, PlaceboRun, make_search, placebo_run
from alphafoundry.research.placebo_report import PlaceboReport, build_report
from alphafoundry.settings import load_settings
from tasks.prefect.limits import holding_slot, require_limit
from tasks.publishing import publish
from tasks.research.run import SIMULATION_CAP
from tasks.run import run_context


@contextlib.asynccontextmanager
async def run_of_placebo(given: Mapping[str, Any]) -> AsyncIterator[PlaceboRun]:
    """Give the run of the flow.

    Parameters
    ----------
    given : parameters of the flow by name; None is "as configured"

    Raises
    ------
    FoundryError : wrong settings, no market data, no database
    CancelledInPrefect : at the end, where the run was cancelled in the UI or by the API
    """
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    async with (
        run_context(**{SIMULATION_CAP: settings.max_concurrent}) as context,
        placebo_run(settings, progress=context.progress, stop=context.stop) as run,
    ):
        yield run


@task(name="placebo search", task_run_name="placebo search {number}", cache_policy=NO_CACHE)
async def placebo_search(run: PlaceboRun, number: int) -> None:
    """Search the prices of this number from nothing; 0 are the true ones."""
    await make_search(run, number)


@task(
    name="placebo lane",
    task_run_name="placebo lane {number}",
    tags=[SIMULATION_CAP],
    cache_policy=NO_CACHE,
)
async def placebo_lane(work: PlaceboQueue, number: int) -> None:
    """Make one search after another while holding one slot of the cap."""
    with holding_slot():
        await work.lane(number, placebo_search)


async def make_searches(run: PlaceboRun) -> None:
    """Make the searches that are not there yet, as many at a time as the cap allows."""
    cap = await require_limit(SIMULATION_CAP)
    work = PlaceboQueue(run)
    await work.in_lanes(partial(placebo_lane, work), cap=cap)


async def publish_placebo(run: PlaceboRun) -> PlaceboReport:
    """Return the report and show it in the UI."""
    report = build_report(run)
    run.record.report = report.to_json()
    await publish(report)
    return report
