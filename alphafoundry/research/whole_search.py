"""The whole search in this process: ideas, sums and variations of the best, and ideas again.

What the flows do task by task, without a workflow engine: for programs that repeat a search many
times, such as the tests that count what searches of nothing find.
"""

from __future__ import annotations

from collections.abc import Sequence

from alphafoundry.research.generation import Inventor, generator_of
from alphafoundry.research.proposals import Proposals, Proposer
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.screening import ScreenedIdeas, screen_all
from alphafoundry.research.search import Search
from alphafoundry.research.simulation_lifecycle import Simulated
from alphafoundry.research.simulation_queue import Group, SimulationQueue
from alphafoundry.store import SimulationRow


async def search_all(run: ResearchRun) -> None:
    """Spend the budget of the run as the daily run does."""
    for_mining = round(run.budget * run.settings.mining.share)
    await _invent(run.for_phase(run.budget - for_mining))
    if run.goes_on:
        await _mine(run.for_phase(for_mining))
    if (unspent := run.unspent()) > 0:
        await _invent(run.for_phase(unspent))


async def _invent(run: ResearchRun) -> None:
    async with generator_of(run) as generator:
        source: Proposer = generator
        if run.settings.screen.ideas:
            source = ScreenedIdeas(await screen_all(run, generator, _propose), generator)
        inventor = Inventor(run, source, _propose)
        while ideas := await inventor.invent():
            await _simulate_all(run, ideas)


async def _mine(run: ResearchRun) -> None:
    search = Search(run)
    while variants := await search.ask():
        await _simulate_all(run, variants)
    search.finish()


async def _propose(proposer: Proposer, count: int) -> Proposals:
    return await proposer.propose(count)


async def _simulate_all(run: ResearchRun, rows: Sequence[SimulationRow]) -> list[Simulated]:
    work = SimulationQueue(run, rows, phase="search")

    async def lane(number: int) -> None:
        await work.lane(number, Group.simulate)

    return await work.in_lanes(lane, cap=run.lanes)
