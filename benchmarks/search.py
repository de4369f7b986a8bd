"""What the search finds with a given number of simulations, over several seeds.

Two ways to spend the budget: on fresh ideas of the grammar alone, and as `flows.daily` does, on
ideas, variations of the best of them, and what is left on ideas again. Reported are the best
fitness of any alpha and of those that pass every check, how many pass, and how many of these are
unlike each other (daily PnL correlated at most 0.7), so that they could be submitted together.
Everything is in sample: the same days choose the alphas and judge them.

    python -m benchmarks.search [--market calibration] [--market bars.parquet] [--seeds 8]
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from alphafoundry.errors import ExpressionError, SimulationError
from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS, FieldInfo
from alphafoundry.market import Panel, load_market
from alphafoundry.research.campaign import Campaign
from alphafoundry.research.diagnosis import Diagnosis
from alphafoundry.research.grammar import GrammarGenerator
from alphafoundry.research.mining import Miner, Partner, Scored
from alphafoundry.research.parent_selection import choose_parents
from alphafoundry.research.proposals import Outcome, Proposal
from alphafoundry.research.selection import PnlSeries, least_correlated_first
from alphafoundry.settings import FoundrySettings
from alphafoundry.simulation.simulator import Simulator
from benchmarks.results_file import RESULTS, write_result

HOPEFUL = 0.5
CACHE = RESULTS.parent.parent / ".foundry" / "cache"


@dataclass(frozen=True)
class Found:
    """One simulated proposal; `series` is None where the simulation failed."""

    proposal: Proposal
    diagnosis: Diagnosis
    series: PnlSeries | None

    @property
    def fitness(self) -> float:
        return self.series.fitness if self.series else math.nan


class Run:
    """One day's search in memory, without database, service or workflow engine."""

    def __init__(self, simulator: Simulator, settings: FoundrySettings, seed: int) -> None:
        self._simulator = simulator
        self._settings = settings
        self._seed = seed
        panel = simulator.panel
        self._fields = {
            **{
                name: DEFAULT_FIELDS.get(name) or FieldInfo(name, "MATRIX") for name in panel.fields
            },
            **{name: DEFAULT_FIELDS.get(name) or FieldInfo(name, "GROUP") for name in panel.groups},
        }
        self.found: list[Found] = []

    def invent(self, count: int) -> None:
        """Simulate new ideas of the grammar, which knows what this run found before."""
        history = [Outcome(one.proposal.expression, one.fitness) for one in self.found]
        generator = GrammarGenerator(
            self._fields,
            OPERATORS,
            seed=self._seed,
            settings=self._settings.alpha,
            history=history,
        )
        for proposal in asyncio.run(generator.propose(count)).kept:
            self._simulate(proposal)

    def mine(self, count: int) -> None:
        """Simulate variations of the best alphas, as the campaign asks for them."""
        mining = self._settings.mining
        hopeful = {
            one.series.alpha_id: one
            for one in self.found
            if one.series is not None and abs(one.fitness) > HOPEFUL
        }
        chosen = choose_parents(
            [one.series for one in hopeful.values() if one.series], limit=mining.parents
        )
        known = [(one.proposal.canonical, one.proposal.settings) for one in self.found]
        miners = [
            Miner(
                hopeful[name].proposal.expression,
                hopeful[name].proposal.settings,
                hopeful[name].diagnosis,
                fields=self._fields,
                operators=OPERATORS,
                budget=mining.variations,
                seed=self._seed + number,
                series=hopeful[name].series,
                known=known,
            )
            for number, name in enumerate(chosen)
        ]
        partners = [
            Partner(one.proposal.expression, one.diagnosis, one.series)
            for name, one in hopeful.items()
            if one.fitness > 0 and name not in chosen
        ]
        campaign = Campaign(miners, count, partners)
        while batch := campaign.ask():
            for miner, proposals in batch:
                results = [self._simulate(proposal) for proposal in proposals]
                miner.tell(Scored(one.proposal, one.diagnosis, one.series) for one in results)

    def _simulate(self, proposal: Proposal) -> Found:
        try:
            result = self._simulator.simulate(proposal.expression, proposal.settings)
        except (ExpressionError, SimulationError):
            found = Found(proposal, Diagnosis(None), None)
        else:
            shown = result.statistics.to_brain()
            fitness, turnover = (_number(shown[name]) for name in ("fitness", "turnover"))
            series = PnlSeries(str(len(self.found)), result.dates, result.daily_pnl, fitness)
            found = Found(proposal, Diagnosis.of(fitness, turnover, result.checks), series)
        self.found.append(found)
        return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def one_run(simulator: Simulator, seed: int, simulations: int, *, mining: bool) -> dict[str, float]:
    """Spend the budget and return what was found."""
    settings = FoundrySettings()
    run = Run(simulator, settings, seed)
    for_mining = round(simulations * settings.mining.share) if mining else 0
    run.invent(simulations - for_mining)
    if for_mining:
        run.mine(for_mining)
    if len(run.found) < simulations:
        run.invent(simulations - len(run.found))
    passing = [one.series for one in run.found if one.diagnosis.passes and one.series]
    return {
        "simulations": len(run.found),
        "best_fitness": max((one.fitness for one in run.found if one.fitness > 0), default=0.0),
        "best_passing_fitness": max((one.fitness for one in passing), default=0.0),
        "hopeful": sum(one.fitness > HOPEFUL for one in run.found),
        "passing": len(passing),
        "unlike_passing": len(least_correlated_first(passing, []).placed),
    }


def measure(panel: Panel, market: str, seeds: int, simulations: int) -> list[dict[str, Any]]:
    """Return one row of means over the seeds for each way to spend the budget."""
    simulator = Simulator(panel)
    rows: list[dict[str, Any]] = []
    for search in ("grammar alone", "grammar and mining"):
        runs = [
            one_run(simulator, seed, simulations, mining=search != "grammar alone")
            for seed in range(seeds)
        ]
        means = {name: round(fmean(run[name] for run in runs), 2) for name in runs[0]}
        enough = sum(run["unlike_passing"] >= 2 for run in runs)
        row = {"market": market, "search": search, "seeds": seeds, **means}
        rows.append({**row, "seeds_with_two_or_more": enough})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as aligned text."""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def main() -> None:
    """Measure, print a table, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument(
        "--market",
        action="append",
        help="calibration, sample, yfinance or a path; may be repeated (default: calibration)",
    )
    parser.add_argument("--seeds", type=int, default=8, help="runs, seeds from 0 (default: 8)")
    parser.add_argument("--simulations", type=int, default=60, help="per run (default: 60)")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for market in arguments.market or ["calibration"]:
        panel = load_market(market, cache_dir=CACHE)
        rows += measure(panel, Path(market).stem, arguments.seeds, arguments.simulations)
    print(table(rows))
    path = write_result("search", rows, ["numpy", "numba"])
    print(f"written to {path.relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()
