"""Mining: sums of unlike alphas and variations of the strongest, one task run per round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from alphafoundry.research.combining import Step
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.search import Search, fetch_pnl, plan_steps
from alphafoundry.store import SimulationRow
from tasks.prefect.retries import TRANSIENT


@task(name="combine", task_run_name="combine and vary, {count} new", cache_policy=NO_CACHE)
async def _combine(run: ResearchRun, steps: Sequence[Step], count: int) -> list[SimulationRow]:
    """Plan the sums and variations of one round."""
    return await plan_steps(run, steps)


@task(name="read PnL", task_run_name="read PnL of {alpha_id}", cache_policy=NO_CACHE, **TRANSIENT)
async def _read_pnl(run: ResearchRun, alpha_id: str) -> None:
    """Ask the service for the daily PnL of an alpha and store it."""
    await fetch_pnl(run, alpha_id)


def search_from_found(run: ResearchRun) -> Search:
    """Return the search that builds on everything simulated so far."""

    async def combine(run: ResearchRun, steps: Sequence[Step]) -> list[SimulationRow]:
        # Unquoted, Prefect looks for results of other tasks in every part of every step.
        return await _combine(run, cast(Sequence[Step], quote(steps)), len(steps))

    return Search(run, combine=combine, read_pnl=_read_pnl)
