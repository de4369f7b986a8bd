"""Opening the sealed days at the end of a run."""

from __future__ import annotations

import asyncio

from prefect import task
from prefect.cache_policies import NO_CACHE

from alphafoundry.research.opening import open_sealed_days
from alphafoundry.research.run import ResearchRun


@task(name="open the sealed days", task_run_name="open the sealed days", cache_policy=NO_CACHE)
async def judge_finalists(run: ResearchRun) -> None:
    """Judge the finalists of everything that was searched on days that no search has seen."""
    await asyncio.to_thread(open_sealed_days, run)
