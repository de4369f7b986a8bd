"""Mining: variations of the hopeful alphas, most of the budget for the most promising ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.brain.models import CheckInfo
from alphafoundry.research.mining import Miner, Scored
from alphafoundry.research.past import settings_of, simulated_alphas, unmined_parents
from alphafoundry.research.proposals import Proposal
from alphafoundry.research.scoring import mining_score
from alphafoundry.research.simulating import Simulated
from alphafoundry.research.workbench import Workbench
from alphafoundry.store import AlphaRow, SimulationRow, mark_mined
from tasks.generation import to_plan

ROUNDS = 4
"""Rounds of one search: after each the worse half of the parents is left behind."""


@dataclass
class Vein:
    """One parent, its search, and what was asked in this round."""

    parent: AlphaRow
    score: float
    miner: Miner
    asked: dict[int, Proposal]

    @property
    def gain(self) -> float:
        """Best gain over the parent so far."""
        return self.miner.best_score - self.score


@task(
    name="vary",
    task_run_name="vary {count} x {parent}",
    cache_policy=NO_CACHE,
)
async def vary(bench: Workbench, vein: Vein, count: int, parent: str) -> list[SimulationRow]:
    """Ask one search for its next variations and plan them."""
    proposals = vein.miner.ask(count)
    rows = bench.plan(to_plan(one, vein.parent.alpha_id) for one in proposals)
    by_canonical = {(one.canonical, one.settings): one for one in proposals}
    vein.asked = {row.id: by_canonical[row.canonical, settings_of(row.settings)] for row in rows}
    return rows


class Search:
    """A search by successive halving over hopeful alphas that were not mined yet.

    Parents are chosen to differ from each other and from what was submitted.

    Each of four rounds spends an equal part of the budget. The parents share it equally; after a
    round the half with the smaller best gain is left behind.
    """

    def __init__(self, bench: Workbench) -> None:
        settings = bench.settings.mining
        self._bench = bench
        parents = unmined_parents(bench.store, bench.service, settings.parents)
        known = simulated_alphas(bench.store, bench.service) if parents else set()
        self._veins = [self._vein(parent, number, known) for number, parent in enumerate(parents)]
        self._alive = list(self._veins)
        self._budget = min(bench.budget, settings.variations * len(parents))
        self._round = 0
        bench.tally.parents.update(parent.alpha_id for parent in parents)

    def _vein(self, parent: AlphaRow, number: int, known: Iterable[object]) -> Vein:
        bench = self._bench
        score = mining_score(parent.fitness, [CheckInfo.model_validate(c) for c in parent.checks])
        worth = -math.inf if score is None else score
        miner = Miner(
            parent.expression,
            settings_of(parent.settings),
            worth,
            fields=bench.fields,
            operators=bench.operators,
            budget=bench.settings.mining.variations,
            seed=bench.settings.seed + number,
            known=known,  # type: ignore[arg-type]
        )
        return Vein(parent, worth, miner, {})

    async def ask(self) -> list[SimulationRow]:
        """Return the variations of the next round, planned; empty when the search is over."""
        bench = self._bench
        while self._round < ROUNDS and self._alive and not bench.stop.is_set():
            left = ROUNDS - self._round
            self._round += 1
            each = min(self._budget, bench.budget) // left // len(self._alive)
            rows: list[SimulationRow] = []
            for vein in self._alive:
                count = min(max(1, each), bench.budget)
                if count > 0:
                    rows += await vary(bench, vein, count, vein.parent.expression)
            self._budget -= len(rows)
            if rows:
                return rows
        return []

    def tell(self, results: list[Simulated]) -> None:
        """Learn from a round, and leave the worse half of the parents behind."""
        by_row = {result.row.id: result for result in results}
        for vein in self._alive:
            vein.miner.tell(
                Scored(proposal, _score(by_row[row_id]))
                for row_id, proposal in vein.asked.items()
                if row_id in by_row
            )
        self._alive.sort(key=lambda vein: (-vein.gain, -vein.score, vein.parent.alpha_id))
        self._alive = self._alive[: max(1, math.ceil(len(self._alive) / 2))]

    def finish(self) -> None:
        """Mark the parents as mined, unless the run was stopped before the search was over."""
        bench = self._bench
        if bench.stop.is_set() or not self._round:
            return
        mark_mined(bench.store, bench.service, [vein.parent.alpha_id for vein in self._veins])
        get_run_logger().info("mined %d alphas", len(self._veins))


def _score(result: Simulated) -> float | None:
    if result.alpha is None:
        return None
    return mining_score(result.fitness, result.alpha.checks)
