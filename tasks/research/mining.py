"""Mining: variations of the hopeful alphas, most of the budget for those not submittable yet."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from alphafoundry.research.proposals import Proposal
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.search import ParentSearch, Search, fetch_pnl, plan_variations
from alphafoundry.store import SimulationRow
from tasks.prefect.retries import TRANSIENT


@task(
    name="vary",
    task_run_name="vary {count} x {search.parent.expression}",
    cache_policy=NO_CACHE,
)
async def _vary(
    run: ResearchRun, search: ParentSearch, proposals: Sequence[Proposal], count: int
) -> list[SimulationRow]:
    """Plan the next variations of one parent."""
    return plan_variations(run, search, proposals)


@task(name="read PnL", task_run_name="read PnL of {alpha_id}", cache_policy=NO_CACHE, **TRANSIENT)
async def _read_pnl(run: ResearchRun, alpha_id: str) -> None:
    """Ask the service for the daily PnL of an alpha and store it."""
    await fetch_pnl(run, alpha_id)


def search_around_hopeful(run: ResearchRun) -> Search:
    """Return the search around the most promising alphas that were not mined yet."""

    async def vary(
        run: ResearchRun, search: ParentSearch, proposals: Sequence[Proposal]
    ) -> list[SimulationRow]:
        return await _vary(run, search, proposals, len(proposals))

    return Search(run, vary=vary, read_pnl=_read_pnl)
