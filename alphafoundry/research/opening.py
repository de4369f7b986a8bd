"""Opening the sealed days: the finalists of a search judged on days that no search has seen.

Only the end of a run or a command opens, never something that goes on for ever. The plan is stored
before a sealed day is looked at, so a run that dies in between has worn the days, and the next one
does what was planned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alphafoundry.errors import FoundryError
from alphafoundry.evidence import Finding, judge, opening_level
from alphafoundry.finance.statistics import sharpe
from alphafoundry.market import Panel
from alphafoundry.research.finalists import choose_finalists, shrunk_of
from alphafoundry.research.history import settings_of
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.seal import Seal
from alphafoundry.research.trial_pnl import TrialPnl, read_trial_pnl
from alphafoundry.seeds import generator_for
from alphafoundry.settings import CostSettings
from alphafoundry.simulation.pnl import DailyPnl as BookPnl
from alphafoundry.simulation.simulator import Simulator
from alphafoundry.simulation.trading_costs import (
    Tradability,
    Volatility,
    after_costs,
    regimes,
    tradability,
    volatility_of,
)
from alphafoundry.store import (
    DailyPnl,
    OpeningRow,
    SealedResult,
    VerdictRow,
    count_trials,
    finish_opening,
    plan_opening,
    read_opening,
)

SETTLING_DAYS = 63
"""First sealed days that are left out once more, where lookbacks still reach into search days."""


def open_sealed_days(run: ResearchRun) -> OpeningRow | None:
    """Judge the finalists of everything that was searched; None where there is nothing to open.

    The same finalists are never judged twice: they get the opening that they had.
    """
    if not isinstance(run.seal, Seal):
        return None
    trials = count_trials(run.store, run.service, run.market_id)
    run.tally.shrunk = shrunk_of(run.store, run.service)
    finalists = choose_finalists(run.store, run.service, trials=trials, shrunk=run.tally.shrunk)
    if not finalists or run.market_id is None:
        return None
    opening = plan_opening(
        run.store,
        run.service,
        finalists,
        run_id=run.run_id,
        market_id=run.market_id,
        sealed_from=run.seal.sealed_from,
        sealed_to=run.seal.sealed_to,
        trials=max(trials, len(finalists)),
        level_of=opening_level,
    )
    run.tally.opening = opening.id
    if opening.opened_at is None:
        run.progress.say(f"Opening the sealed days from {opening.sealed_from} for the finalists")
        _, frozen = read_opening(run.store, opening.id)
        results = _results(run, run.seal, opening, frozen)
        finish_opening(run.store, opening.id, results)
    return opening


def _results(
    run: ResearchRun, seal: Seal, opening: OpeningRow, frozen: Sequence[VerdictRow]
) -> list[SealedResult]:
    simulator = Simulator(seal.panel.until(opening.sealed_to))
    first = np.datetime64(opening.sealed_from)
    costs = run.settings.costs
    market = simulator.panel
    volatility = volatility_of(market)
    books: dict[int, BookPnl] = {}
    traded: dict[int, Tradability] = {}
    failures: dict[int, str] = {}
    for row in frozen:
        settings = settings_of(row.settings).model_copy(update={"test_period": "P0Y0M"})
        try:
            found = simulator.simulate(row.expression, settings, keep_positions=True)
            assert found.positions is not None
            books[row.position] = book = found.days
            start = int(np.searchsorted(book.dates, first))
            traded[row.position] = tradability(
                found.positions[start:],
                market,
                book.between(start, len(book)),
                rate=costs.rate,
                borrow=costs.borrow,
                volatility=volatility,
            )
        except FoundryError as problem:
            failures[row.position] = str(problem)
    findings = _findings(run, opening, [row for row in frozen if row.position in books], books)
    return [
        SealedResult("unproven", f"could not be simulated: {failures[row.position]}", 0)
        if row.position in failures
        else _result(
            findings[row.position],
            books[row.position],
            traded[row.position],
            market,
            volatility,
            costs,
            first,
        )
        for row in frozen
    ]


def _findings(
    run: ResearchRun,
    opening: OpeningRow,
    rows: Sequence[VerdictRow],
    books: dict[int, BookPnl],
) -> dict[int, Finding]:
    if not rows:
        return {}
    known = read_trial_pnl(run.store, run.service, [row.alpha_id for row in rows])
    order = [known.alpha_ids.index(row.alpha_id) for row in rows]
    dates, search = known.only(order).common()
    first = np.datetime64(opening.sealed_from)
    sealed = np.column_stack(
        [books[row.position].pnl[books[row.position].dates >= first] for row in rows]
    )
    found = judge(
        search,
        sealed,
        trials=opening.trials,
        level=opening.level,
        periods=TrialPnl((), dates, search).periods,
        generator=generator_for(0, "opening", opening.finalists),
    )
    return {row.position: one for row, one in zip(rows, found, strict=True)}


def _result(
    finding: Finding,
    book: BookPnl,
    traded: Tradability,
    market: Panel,
    volatility: Volatility,
    costs: CostSettings,
    first: np.datetime64,
) -> SealedResult:
    start = int(np.searchsorted(book.dates, first))
    sealed = book.between(start, len(book))
    band = finding.sealed_sharpe
    steady, sealed_regimes = (regimes(days, market, volatility) for days in (book, sealed))
    small, middle, large = traded.impact
    assert band is not None
    return SealedResult(
        verdict=finding.verdict,
        reason=finding.reason,
        sealed_days=len(sealed),
        sealed_sharpe=band.value,
        sealed_low=band.low,
        sealed_high=band.high,
        settled_sharpe=sharpe(sealed.pnl[SETTLING_DAYS:], book.bars_a_year),
        net_sharpe=sharpe(
            after_costs(sealed, rate=costs.rate, borrow=costs.borrow), book.bars_a_year
        ),
        capacity=traded.capacity,
        impact_small=small,
        impact_middle=middle,
        impact_large=large,
        years=steady.years,
        years_up=steady.years_up,
        worst_year=steady.worst_year,
        calm_sharpe=sealed_regimes.calm,
        wild_sharpe=sealed_regimes.wild,
        p=finding.p,
        upper=finding.upper,
        days_needed=finding.days_needed,
        pnl=DailyPnl(book.dates, book.pnl),
    )
