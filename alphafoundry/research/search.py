"""Mining: sums of unlike alphas and variations of the strongest, of everything simulated so far."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import BrainError, ExpressionError
from alphafoundry.expressions import Expression, check, parse
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.market.suitability import LEAST_DAYS
from alphafoundry.research.combining import Combiner, Step, Trial
from alphafoundry.research.finalists import MOST_SHRUNK, heard_of
from alphafoundry.research.generation import to_plan
from alphafoundry.research.history import settings_of, silent_ids
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.simulation_lifecycle import before_test_period
from alphafoundry.research.trial_pnl import TrialPnl, read_trial_pnl
from alphafoundry.store import (
    AlphaRow,
    DailyPnl,
    SimulationRow,
    best_alphas,
    mark_mined,
    read_origins,
    save_daily_pnl,
)

ROUNDS = 6
"""Rounds that a budget is spent in; each learns from those before it."""

MOST_COMPARED = MOST_SHRUNK
"""Alphas, the largest |Sharpe ratio| first, that parts are chosen from, besides those heard."""

MOST_ASKED = 20
"""Alphas whose daily PnL is not stored and is asked for, at most, in one search."""

USUAL_PERIODS = 252.0

Combine = Callable[[ResearchRun, Sequence[Step]], Awaitable[list[SimulationRow]]]
ReadPnl = Callable[[ResearchRun, str], Awaitable[None]]


@dataclass(frozen=True, eq=False)
class Found:
    """What a search builds on.

    Attributes
    ----------
    trials : alphas that can be built on
    correlation : of their daily PnL, shape (n_trials, n_trials); 0 where it is not known
    periods : bars of a year
    """

    trials: list[Trial]
    correlation: NDArray[np.float64]
    periods: float


def combiner_of(run: ResearchRun) -> Combiner:
    """Return what proposes sums and variations, by the settings of a run."""
    mining = run.settings.mining
    return Combiner(
        run.fields,
        run.operators,
        settings=run.settings.alpha,
        seed=run.settings.seed,
        parts=mining.parts,
        most_parts=mining.most_parts,
        variations=mining.variations,
    )


async def plan_steps(run: ResearchRun, steps: Sequence[Step]) -> list[SimulationRow]:
    """Plan what a round asks for."""
    run.tally.parents.update(part for step in steps for part in step.parts)
    return run.plan(to_plan(step.proposal, step.parent_id) for step in steps)


async def fetch_pnl(run: ResearchRun, alpha_id: str) -> None:
    """Ask the service for the daily PnL of an alpha and store it."""
    alpha = await run.brain.alpha(alpha_id)
    pnl = before_test_period(alpha, DailyPnl(*await run.brain.daily_pnl(alpha_id)))
    save_daily_pnl(run.store, run.service, alpha_id, pnl)


class Search:
    """Rounds of sums and variations that build on all alphas of the service, those of earlier runs
    included. Each round reads the store anew, so a search that was cut short is taken up by the
    next one where it was.

    Parameters
    ----------
    combine : `plan_steps`, or a task that does it
    read_pnl : `fetch_pnl`, or a task that tries it again
    """

    def __init__(
        self, run: ResearchRun, *, combine: Combine = plan_steps, read_pnl: ReadPnl = fetch_pnl
    ) -> None:
        self._run = run
        self._combine = combine
        self._read_pnl = read_pnl
        self._combiner = combiner_of(run)
        self._each = math.ceil(run.budget / ROUNDS)
        self._number = 0
        self._asked_for: set[str] = set()
        self._hopeful: set[str] = set()
        self._readable: dict[str, Expression | None] = {}

    async def ask(self) -> list[SimulationRow]:
        """Return the simulations of the next round, planned; empty when the search is over."""
        run = self._run
        if run.budget <= 0 or not run.goes_on:
            return []
        found = await self._found()
        steps = self._combiner.ask(
            min(self._each, run.budget),
            found.trials,
            found.correlation,
            number=self._number,
            known={canonical for canonical, _, _ in read_origins(run.store, run.service)},
            periods=found.periods,
        )
        self._number += 1
        return await self._combine(run, steps) if steps else []

    def finish(self) -> int:
        """Mark the hopeful alphas that were built on as mined, unless the search was cut short;
        return how many alphas were parts.
        """
        run = self._run
        if not run.goes_on or not run.tally.parents:
            return 0
        mark_mined(run.store, run.service, sorted(self._hopeful))
        return len(run.tally.parents)

    async def _found(self) -> Found:
        run = self._run
        ranked = best_alphas(run.store, run.service, by="sharpe", limit=None)
        ranked.sort(key=lambda alpha: (-abs(alpha.sharpe or 0.0), alpha.alpha_id))
        silent = silent_ids(run.store, run.service)
        heard = heard_of((alpha.alpha_id for alpha in ranked), silent)
        usable = list(itertools.islice(self._usable_among(ranked), MOST_COMPARED))
        strong = {alpha.alpha_id for alpha, _ in usable}
        rest = heard - strong
        usable += self._usable_among(alpha for alpha in ranked if alpha.alpha_id in rest)
        self._hopeful |= {alpha.alpha_id for alpha, _ in usable if alpha.hopeful}
        ids = [alpha.alpha_id for alpha, _ in usable]
        pnl = read_trial_pnl(run.store, run.service, ids)
        if await self._ask_for_pnl([one for one in ids if one not in pnl.alpha_ids]):
            pnl = read_trial_pnl(run.store, run.service, ids)
        columns = {alpha_id: column for column, alpha_id in enumerate(pnl.alpha_ids)}
        trials = [
            Trial(
                alpha.alpha_id,
                expression,
                settings_of(alpha.settings),
                alpha.sharpe or 0.0,
                len(pnl.own(columns[alpha.alpha_id])) if alpha.alpha_id in columns else LEAST_DAYS,
                alpha.hopeful,
                alpha.alpha_id not in heard,
            )
            for alpha, expression in usable
        ]
        periods = pnl.periods if columns else USUAL_PERIODS
        return Found(trials, _correlation(pnl, [columns.get(one) for one in ids]), periods)

    def _usable_among(self, alphas: Iterable[AlphaRow]) -> Iterator[tuple[AlphaRow, Expression]]:
        for alpha in alphas:
            if (expression := self._usable(alpha)) is not None:
                yield alpha, expression

    def _usable(self, alpha: AlphaRow) -> Expression | None:
        """Return the expression of an alpha that can be built on here, None for another."""
        if not alpha.sharpe:
            return None
        text = alpha.expression
        if text not in self._readable:
            self._readable[text] = self._read(text)
        return self._readable[text]

    def _read(self, text: str) -> Expression | None:
        try:
            expression = parse(text)
            warnings = check(
                expression, self._run.fields, operators=self._run.operators, levels=True
            )
        except ExpressionError:
            return None
        return None if COMPARES_LEVELS in warnings else expression

    async def _ask_for_pnl(self, missing: Sequence[str]) -> bool:
        """Ask the service for daily PnL that is not stored; return whether it was asked."""
        run = self._run
        left = MOST_ASKED - len(self._asked_for)
        wanted = [one for one in missing if one not in self._asked_for][:left]
        if not wanted:
            return False
        self._asked_for.update(wanted)
        found = await asyncio.gather(
            *(self._read_pnl(run, alpha_id) for alpha_id in wanted), return_exceptions=True
        )
        problems = [one for one in found if isinstance(one, BaseException)]
        for problem in problems:
            if not isinstance(problem, BrainError):
                raise problem
        unknown = len(missing) - len(wanted) + len(problems)
        if unknown:
            run.note(
                f"The service did not give the daily PnL of {unknown} alphas; the search takes "
                "them as unlike all others"
            )
        return True


def _correlation(pnl: TrialPnl, columns: Iterable[int | None]) -> NDArray[np.float64]:
    """Return the correlation of daily PnL in the order of `columns`, 0 for None."""
    chosen = list(columns)
    known = [place for place, column in enumerate(chosen) if column is not None]
    found = np.eye(len(chosen))
    if known:
        several = pnl.only(column for column in chosen if column is not None)
        found[np.ix_(known, known)] = several.correlation()
    return found
