"""Screening in bulk: one task run per batch, as many at a time as there are cores."""

from __future__ import annotations

import asyncio
import math

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.expressions.threads import available_cores
from alphafoundry.research.generation import FRUITLESS_REQUESTS, Propose
from alphafoundry.research.proposals import Proposal, Proposer
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.screening import Screening
from alphafoundry.research.screening_report import ScreeningReport, build_report
from alphafoundry.research.search import ROUNDS
from tasks.publishing import publish


class Batch:
    """Ideas of one task run."""

    def __init__(self, screening: Screening, ideas: list[Proposal]) -> None:
        self.screening = screening
        self.ideas = ideas

    def __repr__(self) -> str:
        return f"Batch({len(self.ideas)} ideas)"


@task(name="screen", task_run_name="screen {count} ideas", cache_policy=NO_CACHE)
async def screen_batch(batch: Batch, count: int) -> None:
    """Judge a batch of ideas on search days and keep the numbers."""
    found = await asyncio.to_thread(batch.screening.screen, batch.ideas)
    get_run_logger().info("%d of %d ideas have numbers", found, count)


@task(name="combine", task_run_name="combine and vary, {count} asked", cache_policy=NO_CACHE)
async def combine(screening: Screening, count: int, number: int, known: set[str]) -> list[Proposal]:
    """Propose sums of the best unlike ideas that were screened, and variations of them."""
    return await asyncio.to_thread(screening.combine, count, number, known)


async def screen_all(run: ResearchRun, source: Proposer, propose: Propose) -> Screening:
    """Screen as many ideas of the source as the settings say, once for each seed of a run.

    propose : asks the source for so many ideas, as a task
    """
    screening = await asyncio.to_thread(Screening, run)
    if run.settings.seed not in run.tally.screened_seeds:
        run.tally.screened_seeds.add(run.settings.seed)
        await _screen_batches(run, screening, source, propose)
    return screening


async def publish_screening(run: ResearchRun, screening: Screening) -> ScreeningReport:
    """Return the report and show it in the UI."""
    report = build_report(run, screening)
    run.record.report = report.to_json()
    await publish(report)
    return report


class _Batches:
    """Batches under way, as many at a time as there are cores."""

    def __init__(self, screening: Screening) -> None:
        self._screening = screening
        self._free = asyncio.Semaphore(available_cores())
        self._under_way: set[asyncio.Task[None]] = set()

    async def hand(self, ideas: list[Proposal]) -> None:
        """Begin with these ideas as soon as a core is free."""
        for first in range(0, len(ideas), self._screening.batch):
            batch = Batch(self._screening, ideas[first : first + self._screening.batch])
            await self._free.acquire()
            self._under_way.add(asyncio.create_task(self._one(batch)))

    async def done(self) -> None:
        """Wait for all that were handed; the first failure is raised."""
        under_way, self._under_way = self._under_way, set()
        try:
            await asyncio.gather(*under_way)
        finally:
            for one in under_way:
                one.cancel()

    async def _one(self, batch: Batch) -> None:
        try:
            await screen_batch(batch, len(batch.ideas))
        finally:
            self._free.release()


async def _screen_batches(
    run: ResearchRun, screening: Screening, source: Proposer, propose: Propose
) -> None:
    known = screening.known()
    batches = _Batches(screening)
    handed, fruitless = screening.done, 0
    invented = screening.wanted - round(screening.wanted * run.settings.mining.share)
    while handed < invented and fruitless < FRUITLESS_REQUESTS and run.goes_on:
        proposals = await propose(source, min(screening.batch, invented - handed))
        ideas = [idea for idea in proposals.kept if idea.canonical not in known]
        fruitless = 0 if ideas else fruitless + 1
        known.update(idea.canonical for idea in ideas)
        handed += len(ideas)
        await batches.hand(ideas)
    await batches.done()
    for number in range(ROUNDS):
        if handed >= screening.wanted or not run.goes_on:
            break
        asked = math.ceil((screening.wanted - handed) / (ROUNDS - number))
        ideas = await combine(screening, asked, number, known)
        known.update(idea.canonical for idea in ideas)
        handed += len(ideas)
        await batches.hand(ideas)
        await batches.done()
