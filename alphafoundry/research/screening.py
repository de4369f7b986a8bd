"""Thousands of ideas judged in bulk on search days, so that the scarce simulations go to the best.

Every idea that is screened is a trial: it counts in the luck line and in every deflated Sharpe
ratio, as if it had been simulated. Of a service elsewhere, screening looks at the local market of
the settings, which stands in for the prices of that service.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Protocol

import numpy as np

from alphafoundry.evidence import shrunk_sharpe_ratios
from alphafoundry.expressions import parse
from alphafoundry.expressions.threads import available_cores
from alphafoundry.market import Panel
from alphafoundry.market.frequency import bars_a_year
from alphafoundry.research.combining import UNLIKE_PARTS, Trial, lower_bound
from alphafoundry.research.finalists import LEAST_WITNESSES
from alphafoundry.research.generation import FRUITLESS_REQUESTS, Propose
from alphafoundry.research.history import settings_of, simulated_alphas, turned_to_earn
from alphafoundry.research.proposals import MINER, Proposal, Proposals, Proposer
from alphafoundry.research.run import ResearchRun, simulated_market
from alphafoundry.research.seal import Seal, seal_of
from alphafoundry.research.search import ROUNDS, combiner_of
from alphafoundry.research.trial_pnl import TrialPnl, first_unlike, side_by_side
from alphafoundry.simulation import SimulationSettings
from alphafoundry.simulation.screening import Screened, Screener
from alphafoundry.store import (
    DailyPnl,
    ScreenedIdea,
    ScreenedRow,
    candidates_of_screening,
    give_back_chosen,
    is_witness,
    mark_chosen,
    pnl_of_screened,
    read_chosen,
    record_screened,
    screened_expressions,
    take_over_screened,
    witnesses_of_screening,
)

PNL_KEPT = 0.25
"""Share of a batch, the largest |Sharpe ratio| first, whose daily PnL is kept for the choice.

That of the witnesses is kept beside it.
"""

MOST_COMPARED = 2_000
"""Ideas, the largest |Sharpe ratio| first, that are compared with each other."""


Judged = Sequence[tuple[str, SimulationSettings]]
"""Expressions with their settings."""


class Judge(Protocol):
    """What computes batches: this process, or workers elsewhere; safe to share among threads."""

    side_by_side: int
    """Batches that are worth having under way at a time."""

    def screen(self, alphas: Judged, *, spared: Collection[int] = ()) -> Iterable[Screened]:
        """Return what is said of each alpha, as `Screener.screen` does."""
        ...


class JudgeHere:
    """Judges batches in this process, each in one thread."""

    def __init__(self, panel: Panel, first: float, names: int, keep: float) -> None:
        self._screener = Screener(panel, threads=1, first=first, names=names, keep=keep)
        self.side_by_side = available_cores()

    def screen(self, alphas: Judged, *, spared: Collection[int] = ()) -> Iterable[Screened]:
        """Yield what is said of each alpha."""
        return self._screener.screen(alphas, spared=spared)


JudgeOf = Callable[[Panel, float, int, float], Judge]
"""Makes a judge on a panel; `first`, `names` and `keep` as of the `Screener`."""


class Screening:
    """The ideas that one run screens, and the choice among them.

    Parameters
    ----------
    run : gives the market, the settings of the alphas, and how many ideas to screen
    judge_of : gives what computes the batches on a panel cut to search days

    Raises
    ------
    FoundryError : no market to screen on, or settings that are not possible on it

    Attributes
    ----------
    wanted : ideas to screen, those that a run before was cut short in the middle of included
    done : ideas that were screened
    taken_over : those among them that an earlier run had screened
    batch : ideas of one batch
    periods : bars of a year of the market
    side_by_side : batches that are worth having under way at a time
    """

    def __init__(self, run: ResearchRun, judge_of: JudgeOf = JudgeHere) -> None:
        self._run = run
        panel, seal = run.panel, run.seal
        if panel is None:
            panel = simulated_market(run.settings, run.progress.say)
            seal = seal_of(panel, run.settings.holdout, run.store)
        searched = seal.searched() if isinstance(seal, Seal) else panel
        self.periods = bars_a_year(searched.dates)
        wanted = run.settings.screen
        self._judge = judge_of(searched, wanted.first, wanted.names, wanted.keep)
        self.side_by_side = self._judge.side_by_side
        self._combiner = combiner_of(run)
        self.wanted = run.settings.screen.ideas
        self.batch = run.settings.screen.batch
        self._give_back_unplanned()
        taken = take_over_screened(run.store, run.service, run_id=run.run_id)
        if taken:
            run.progress.say(f"Taking over {taken} ideas that an earlier run had screened")
        self.taken_over = taken
        self.done = min(taken, self.wanted)
        self._began, self._begun_with = time.monotonic(), self.done
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Screening({self.done} of {self.wanted})"

    def _give_back_unplanned(self) -> None:
        """Let ideas be chosen again that a run had chosen, and ended before it planned them.

        One that another run has just chosen and is about to plan may be among them: both then plan
        the same simulation, which is made once.
        """
        run = self._run
        planned = simulated_alphas(run.store, run.service)
        lost = [
            row.key
            for row in read_chosen(run.store, run.service)
            if (turned_to_earn(row).canonical, settings_of(row.settings)) not in planned
        ]
        if lost:
            give_back_chosen(run.store, run.service, lost)
            run.progress.say(f"Choosing again among {len(lost)} ideas that were never simulated")

    def known(self) -> set[str]:
        """Return the canonical forms that were screened before."""
        return screened_expressions(self._run.store, self._run.service)

    def screen(self, ideas: Sequence[Proposal]) -> None:
        """Screen a batch and keep what came of it.

        Runs in a thread of its own, several side by side. A batch is kept whole or not at all.
        """
        run = self._run
        found: list[Screened] = []
        # A witness that only a first look was asked of would say what that look speaks against.
        witnesses = frozenset(place for place, idea in enumerate(ideas) if _testifies(idea))
        alphas = [(idea.expression, idea.settings) for idea in ideas]
        for one in self._judge.screen(alphas, spared=witnesses):
            if run.stop.is_set():
                return
            found.append(one)
        sharpe = [_strength(one) for one in found]
        kept = set(np.argsort(sharpe)[::-1][: math.ceil(PNL_KEPT * len(found))].tolist())
        record_screened(
            run.store,
            [
                _idea(
                    one,
                    ideas[one.place],
                    with_pnl=one.place in witnesses or (number in kept and sharpe[number] > 0),
                )
                for number, one in enumerate(found)
            ],
            service=run.service,
            run_id=run.run_id,
        )
        with self._lock:
            self.done += len(found)
            self._tell()

    def combine(self, count: int, number: int, known: Collection[str]) -> list[Proposal]:
        """Return sums of the best unlike ideas so far, and variations of them, at most `count`.

        number : of the round, from 0. known : canonical forms that are not proposed again
        """
        rows, pnl, heard = self._candidates()
        trials = [
            Trial(
                row.key,
                parse(row.expression),
                settings_of(row.settings),
                row.sharpe or 0.0,
                row.days or 0,
                built=built,
            )
            for row, built in zip(rows, _built(rows, heard), strict=True)
        ]
        steps = self._combiner.ask(
            count, trials, pnl.correlation(), number=number, known=known, periods=self.periods
        )
        return [step.proposal for step in steps]

    def choose(self, count: int) -> list[Proposal]:
        """Return what `best` does as proposals, which are not returned again."""
        chosen = self.best(count)
        mark_chosen(self._run.store, self._run.service, [row.key for row in chosen])
        self._run.tally.chosen += len(chosen)
        return [_proposal(row) for row in chosen]

    def best(self, count: int) -> list[ScreenedRow]:
        """Return the best of all ideas that were screened and not chosen, at most `count`.

        See `best_unlike`.
        """
        known = simulated_alphas(self._run.store, self._run.service)
        rows, pnl, heard = self._candidates()
        taken = {
            row.key
            for row in rows
            if row.chosen_at is not None
            or row.reason
            or (row.canonical, settings_of(row.settings)) in known
        }
        return best_unlike(rows, pnl, most=count, periods=self.periods, heard=heard, taken=taken)

    def _candidates(self) -> tuple[list[ScreenedRow], TrialPnl, set[str]]:
        """Return the strongest ideas that were not chosen and the witnesses of all that were
        screened, their daily PnL in their order, and the keys of the witnesses.
        """
        store, service = self._run.store, self._run.service
        strongest = candidates_of_screening(store, service, most=MOST_COMPARED)
        heard = witnesses_of_screening(store, service, but_of=MINER, most=MOST_COMPARED // 2)
        by_key = {row.key: row for row in (*strongest, *heard)}
        rows = [by_key[key] for key in sorted(by_key)]
        pnl = side_by_side({row.key: pnl_of_screened(row) for row in rows})
        return rows, pnl, {row.key for row in heard}

    def _tell(self) -> None:
        seconds = time.monotonic() - self._began
        rate = (self.done - self._begun_with) / seconds if seconds > 0 else 0.0
        done = min(self.done, self.wanted)
        self._run.progress.update("screen", done, self.wanted, f"{rate:.0f} a second")


Screen = Callable[[Screening, list[Proposal]], Awaitable[None]]
Combine = Callable[[Screening, int, int, set[str]], Awaitable[list[Proposal]]]


async def screen_in_thread(screening: Screening, ideas: list[Proposal]) -> None:
    """Screen a batch."""
    await asyncio.to_thread(screening.screen, ideas)


async def combine_in_thread(
    screening: Screening, count: int, number: int, known: set[str]
) -> list[Proposal]:
    """Propose sums and variations of what was screened."""
    return await asyncio.to_thread(screening.combine, count, number, known)


class _Batches:
    """Batches under way, as many at a time as what judges them takes."""

    def __init__(self, screening: Screening, screen: Screen) -> None:
        self._screening = screening
        self._screen = screen
        self._free = asyncio.Semaphore(screening.side_by_side)
        self._under_way: set[asyncio.Task[None]] = set()

    async def hand(self, ideas: list[Proposal]) -> None:
        """Begin with these ideas as soon as a core is free."""
        for first in range(0, len(ideas), self._screening.batch):
            await self._free.acquire()
            part = ideas[first : first + self._screening.batch]
            self._under_way.add(asyncio.create_task(self._one(part)))

    async def done(self) -> None:
        """Wait for all that were handed; the first failure is raised."""
        under_way, self._under_way = self._under_way, set()
        try:
            await asyncio.gather(*under_way)
        finally:
            for one in under_way:
                one.cancel()

    async def _one(self, ideas: list[Proposal]) -> None:
        try:
            await self._screen(self._screening, ideas)
        finally:
            self._free.release()


async def screen_all(
    run: ResearchRun,
    source: Proposer,
    propose: Propose,
    *,
    screen: Screen = screen_in_thread,
    combine: Combine = combine_in_thread,
    judge_of: JudgeOf = JudgeHere,
) -> Screening:
    """Screen as many ideas as the settings say, once for each seed of a run.

    First ideas of the source, then sums of the best unlike ones and variations of them, in the
    shares that simulations have.

    Parameters
    ----------
    propose : asks the source for so many ideas
    screen, combine : do a batch, and propose sums and variations; tasks do the same
    judge_of : gives what computes the batches on a panel cut to search days
    """
    screening = await asyncio.to_thread(Screening, run, judge_of)
    if run.settings.seed in run.tally.screened_seeds:
        return screening
    run.tally.screened_seeds.add(run.settings.seed)
    known = screening.known()
    batches = _Batches(screening, screen)
    handed, fruitless, passed_over = screening.done, 0, 0
    invented = screening.wanted - round(screening.wanted * run.settings.mining.share)
    while handed < invented and fruitless < FRUITLESS_REQUESTS and run.goes_on:
        left = invented - handed
        # The source begins anew in each run, with what was screened before where the seed is the
        # same: that is passed over in whole batches, and does not mean that it is exhausted.
        count = screening.batch if passed_over else min(screening.batch, left)
        proposals = await propose(source, count)
        fruitless = 0 if proposals.kept else fruitless + 1
        ideas = [idea for idea in proposals.kept if idea.canonical not in known]
        passed_over = len(proposals.kept) - len(ideas)
        ideas = ideas[:left]
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
    return screening


class ScreenedIdeas:
    """Hands on the best that were screened, and new ideas of the source when these are spent."""

    def __init__(self, screening: Screening, source: Proposer) -> None:
        self._screening = screening
        self._source = source

    async def propose(self, count: int) -> Proposals:
        """Return up to `count` new proposals.

        What is chosen is not returned again, so no failure of the source may come in between.
        """
        best = self._screening.choose(count)
        return Proposals(best, []) if best else await self._source.propose(count)


def best_unlike(
    rows: Sequence[ScreenedRow],
    pnl: TrialPnl,
    *,
    most: int,
    periods: float,
    heard: Collection[str] = (),
    taken: Collection[str] = (),
) -> list[ScreenedRow]:
    """Return the rows of which the highest |Sharpe ratio| is to be expected, unlike each other.

    What is to be expected follows from what the witnesses say, see `shrunk_sharpe_ratios`: ideas
    that were chosen because they were strong say nothing of how strong such ideas are. Left out is
    an idea whose own Sharpe ratio is within luck (its lower bound is not above 0) or has another
    sign; one that loses counts as its reverse. None is more than 0.7 correlated in daily PnL with
    one before it.

    Parameters
    ----------
    pnl : of the rows, in their order
    periods : bars of a year
    heard : keys of the witnesses; with fewer than `LEAST_WITNESSES`, all are heard that were not
        built from others
    taken : keys of rows that are not returned
    """
    if not rows:
        return []
    sharpe = np.array([row.sharpe or 0.0 for row in rows])
    sign = np.copysign(1.0, sharpe)
    correlation = pnl.correlation()
    expected = (
        sign
        * shrunk_sharpe_ratios(
            sharpe,
            [row.days or 0 for row in rows],
            correlation,
            periods=periods,
            built=_built(rows, heard),
        ).sharpe
    )
    order = sorted(
        (
            place
            for place, row in enumerate(rows)
            if row.key not in taken
            and expected[place] > 0.0
            and lower_bound(row.sharpe or 0.0, row.days or 0, periods) > 0.0
        ),
        key=lambda place: (-expected[place], len(rows[place].canonical), rows[place].canonical),
    )
    chosen = first_unlike(order, correlation * np.outer(sign, sign), most=most, limit=UNLIKE_PARTS)
    return [rows[place] for place in chosen]


def _built(rows: Sequence[ScreenedRow], heard: Collection[str]) -> list[bool]:
    """Tell of each idea whether it says nothing of the others, since it is there for its strength.

    A witness that is there for its strength alone, beyond the most that are heard, is one of them.
    """
    if len(heard) < LEAST_WITNESSES:
        return [row.origin == MINER for row in rows]
    return [row.key not in heard for row in rows]


def _strength(one: Screened) -> float:
    """Return the |Sharpe ratio|, 0 where there is none of all days."""
    if one.statistics is None or one.stopped_early:
        return 0.0
    sharpe = one.statistics.sharpe
    return abs(sharpe) if math.isfinite(sharpe) else 0.0


def _testifies(proposal: Proposal) -> bool:
    """Tell whether an idea is a witness, which one that was built from others never is."""
    return proposal.origin != MINER and is_witness(proposal.canonical, proposal.settings.to_brain())


def _idea(one: Screened, proposal: Proposal, *, with_pnl: bool) -> ScreenedIdea:
    settings = proposal.settings.to_brain()
    if one.statistics is None or one.days is None:
        return ScreenedIdea(
            proposal.canonical,
            proposal.expression,
            settings,
            proposal.origin,
            reason=one.reason,
        )
    numbers = one.statistics
    moves = math.isfinite(numbers.sharpe) and numbers.sharpe != 0.0
    return ScreenedIdea(
        proposal.canonical,
        proposal.expression,
        settings,
        proposal.origin,
        sharpe=_plain(numbers.sharpe),
        fitness=_plain(numbers.fitness),
        turnover=_plain(numbers.turnover),
        returns=_plain(numbers.returns),
        drawdown=_plain(numbers.drawdown),
        margin=_plain(numbers.margin),
        days=len(one.days),
        reason=one.reason,
        pnl=DailyPnl(one.days.dates, one.days.pnl) if moves and with_pnl else None,
    )


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _proposal(row: ScreenedRow) -> Proposal:
    expression = turned_to_earn(row)
    return Proposal(expression.text, expression.canonical, settings_of(row.settings), row.origin)
