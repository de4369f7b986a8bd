"""Mining: variations of the hopeful alphas, most of the budget for those not submittable yet."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.research.proposals import Proposal
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.search import ParentSearch, Search, fetch_pnl, plan_variations
from alphafoundry.store import SimulationRow
from tasks.prefect.retries import TRANSIENT


@task(name="vary", task_run_name="vary the hopeful alphas", cache_policy=NO_CACHE)
async def next_variations(search: Search) -> list[SimulationRow]:
    """Return the variations of the next round, planned; empty when the search is over."""
    rows = await search.ask()
    get_run_logger().info("%s", "\n".join(f"{row.variation}: {row.expression}" for row in rows))
    return rows


@task(name="read PnL", task_run_name="read PnL of {alpha_id}", cache_policy=NO_CACHE, **TRANSIENT)
async def _read_pnl(run: ResearchRun, alpha_id: str) -> None:
    """Ask the service for the daily PnL of an alpha and store it."""
    await fetch_pnl(run, alpha_id)


def search_around_hopeful(run: ResearchRun) -> Search:
    """Return the search around the most promising alphas that were not mined yet."""
    return Search(run, vary=_vary, read_pnl=_read_pnl)


async def _vary(
    run: ResearchRun, search: ParentSearch, proposals: Sequence[Proposal]
) -> list[SimulationRow]:
    return plan_variations(run, search, proposals)
