"""Mining: variations of the hopeful alphas, most of the budget for those not submittable yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from alphafoundry.brain.models import CheckInfo
from alphafoundry.errors import BrainError
from alphafoundry.expressions import parse
from alphafoundry.research.campaign import Campaign
from alphafoundry.research.diagnosis import Diagnosis
from alphafoundry.research.generation import to_plan
from alphafoundry.research.history import settings_of, simulated_alphas
from alphafoundry.research.mining import AlphaKey, Miner, Partner, Scored
from alphafoundry.research.parent_selection import ReversedStatistics, choose_parents
from alphafoundry.research.proposals import Proposal
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.selection import PnlSeries
from alphafoundry.research.simulation_lifecycle import Simulated, before_test_period
from alphafoundry.research.tree_edits import write
from alphafoundry.research.variations import turned
from alphafoundry.store import (
    AlphaRow,
    DailyPnl,
    SimulationRow,
    best_alphas,
    hopeful_alphas,
    mark_mined,
    read_daily_pnl,
    read_submissions,
    save_daily_pnl,
)

MOST_HOPEFUL = 200
"""Hopeful alphas, the best first, that are compared to choose the parents."""

MOST_LOSERS = 20
"""Alphas whose reverse would be hopeful, the worst first, whose daily PnL is asked for."""

MOST_PARTNERS = 20
"""Hopeful alphas, besides the parents, that parents may be combined with."""


Vary = Callable[[ResearchRun, "ParentSearch", Sequence[Proposal]], Awaitable[list[SimulationRow]]]
ReadPnl = Callable[[ResearchRun, str], Awaitable[None]]


@dataclass
class ParentSearch:
    """One parent, its search, and what was asked in this round by id of its simulation.

    `parent_id` is what gains are measured against: of a parent that loses, the reversed alpha,
    and None until that was simulated.
    """

    parent: AlphaRow
    miner: Miner
    parent_id: str | None
    asked: dict[int, Proposal] = field(default_factory=dict)


def plan_variations(
    run: ResearchRun, search: ParentSearch, proposals: Sequence[Proposal]
) -> list[SimulationRow]:
    """Plan variations of one parent, and remember which simulation is which of them."""
    rows = run.plan(to_plan(one, search.parent_id) for one in proposals)
    by_canonical = {(one.canonical, one.settings): one for one in proposals}
    search.asked = {row.id: by_canonical[row.canonical, settings_of(row.settings)] for row in rows}
    return rows


async def fetch_pnl(run: ResearchRun, alpha_id: str) -> None:
    """Ask the service for the daily PnL of an alpha and store it."""
    alpha = await run.brain.alpha(alpha_id)
    pnl = before_test_period(alpha, DailyPnl(*await run.brain.daily_pnl(alpha_id)))
    save_daily_pnl(run.store, run.service, alpha_id, pnl)


class Search:
    """A search around the most promising alphas that were not mined yet.

    Parents are hopeful alphas, and alphas that lose so steadily that their reverse would be
    hopeful. They are chosen to differ from each other and from what was submitted.

    Parameters
    ----------
    vary : `plan_variations`, or a task that does it
    read_pnl : `fetch_pnl`, or a task that tries it again
    """

    def __init__(self, run: ResearchRun, *, vary: Vary, read_pnl: ReadPnl = fetch_pnl) -> None:
        self._run = run
        self._vary = vary
        self._read_pnl = read_pnl
        self._searches: list[ParentSearch] = []
        self._campaign: Campaign | None = None

    async def ask(self) -> list[SimulationRow]:
        """Return the variations of the next round, planned; empty when the search is over."""
        run = self._run
        if not run.goes_on:
            return []
        if self._campaign is None:
            self._campaign = await self._begin()
        while run.budget > 0 and run.goes_on:
            self._campaign.left = min(self._campaign.left, run.budget)
            batch = self._campaign.ask()
            if not batch:
                break
            by_miner = {id(search.miner): search for search in self._searches}
            rows: list[SimulationRow] = []
            for miner, proposals in batch:
                search = by_miner[id(miner)]
                rows += await self._vary(run, search, proposals)
            self._campaign.left = run.budget
            if rows:
                return rows
        return []

    def tell(self, results: list[Simulated]) -> None:
        """Learn from a round."""
        by_row = {result.row.id: result for result in results}
        alpha_ids = [result.alpha.id for result in results if result.alpha]
        series = _series(self._run, alpha_ids)
        for search in self._searches:
            search.miner.tell(
                _scored(proposal, by_row[row_id], series)
                for row_id, proposal in search.asked.items()
                if row_id in by_row
            )
            if search.parent_id is None:
                turned_ones = (by_row[row_id].alpha for row_id in search.asked if row_id in by_row)
                search.parent_id = next((alpha.id for alpha in turned_ones if alpha), None)
            search.asked = {}

    def finish(self) -> int:
        """Mark the parents as mined, unless the search was cut short; return how many."""
        run = self._run
        if not run.goes_on or not run.tally.parents:
            return 0
        mined = {search.parent.alpha_id for search in self._searches}
        mined |= {search.parent_id for search in self._searches if search.parent_id is not None}
        mark_mined(run.store, run.service, sorted(mined))
        return len(self._searches)

    async def _begin(self) -> Campaign:
        run = self._run
        store, service = run.store, run.service
        if run.budget <= 0:
            return Campaign([], 0)
        hopeful = hopeful_alphas(store, service, limit=MOST_HOPEFUL)
        known = simulated_alphas(store, service)
        losers = _losers(run, known)
        await self._fetch_pnl(losers)
        alphas = {alpha.alpha_id: alpha for alpha in [*hopeful, *losers]}
        mined = hopeful_alphas(store, service, unmined=False, limit=MOST_PARTNERS)
        done = [row.alpha_id for row in read_submissions(store, service, status=("accepted",))]
        series = _series(run, [*alphas, *(one.alpha_id for one in mined), *done])
        chosen = choose_parents(
            [
                PnlSeries(alpha_id, found.dates, found.daily_pnl, alphas[alpha_id].fitness or 0.0)
                for alpha_id in alphas
                if (found := series.get(alpha_id)) is not None
            ],
            [series[alpha_id] for alpha_id in done if alpha_id in series],
            limit=run.settings.mining.parents,
        )
        self._searches = [
            ParentSearch(
                alphas[one],
                self._miner(alphas[one], number, known, series.get(one)),
                one if (alphas[one].fitness or 0.0) >= 0 else None,
            )
            for number, one in enumerate(chosen)
        ]
        run.tally.parents.update(chosen)
        partners = [
            Partner(one.expression, _standing(one), series.get(one.alpha_id))
            for one in mined
            if one.alpha_id not in chosen
        ]
        return Campaign([search.miner for search in self._searches], run.budget, partners)

    async def _fetch_pnl(self, losers: list[AlphaRow]) -> None:
        run = self._run
        stored = read_daily_pnl(run.store, run.service, [one.alpha_id for one in losers])
        missing = [one.alpha_id for one in losers if one.alpha_id not in stored]
        found = await asyncio.gather(
            *(self._read_pnl(run, alpha_id) for alpha_id in missing), return_exceptions=True
        )
        for problem in found:
            # A loser whose PnL does not come is not mined; the others are.
            if isinstance(problem, BaseException) and not isinstance(problem, BrainError):
                raise problem

    def _miner(
        self, parent: AlphaRow, number: int, known: set[AlphaKey], series: PnlSeries | None
    ) -> Miner:
        run = self._run
        return Miner(
            parent.expression,
            settings_of(parent.settings),
            _standing(parent),
            fields=run.fields,
            operators=run.operators,
            budget=run.settings.mining.variations,
            seed=run.settings.seed + number,
            series=series,
            known=known,
        )


def _losers(run: ResearchRun, known: set[AlphaKey]) -> list[AlphaRow]:
    """Return alphas whose reverse would be hopeful and was not simulated, the worst first."""
    simulated = {canonical for canonical, _ in known}
    ranked = best_alphas(run.store, run.service, limit=None)
    found = [
        alpha
        for alpha in reversed(ranked)
        if alpha.mined_at is None
        and (alpha.fitness or 0.0) < 0
        and run.hopeful.is_hopeful(ReversedStatistics.of(alpha))
    ]
    unturned = (one for one in found if _turned_canonical(one.expression) not in simulated)
    return [one for one, _ in zip(unturned, range(MOST_LOSERS), strict=False)]


def _turned_canonical(expression: str) -> str:
    return parse(write(turned(parse(expression).root))).canonical


def _standing(alpha: AlphaRow) -> Diagnosis:
    checks = [CheckInfo.model_validate(check) for check in alpha.checks]
    return Diagnosis.of(alpha.fitness, alpha.turnover, checks)


def _series(run: ResearchRun, alpha_ids: list[str]) -> dict[str, PnlSeries]:
    return {
        alpha_id: PnlSeries(alpha_id, daily.dates, daily.values)
        for alpha_id, daily in read_daily_pnl(run.store, run.service, alpha_ids).items()
    }


def _scored(proposal: Proposal, result: Simulated, series: dict[str, PnlSeries]) -> Scored:
    if result.alpha is None:
        return Scored(proposal, Diagnosis(None))
    found = result.alpha.statistics
    diagnosis = Diagnosis.of(found.fitness, found.turnover, result.alpha.checks)
    return Scored(proposal, diagnosis, series.get(result.alpha.id))
