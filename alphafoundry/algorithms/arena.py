"""Race algorithms over daily bars, each in its sandbox, day by day, with costs.

A race goes forward one day at a time and over all tickers together, so an algorithm that keeps
something in a global knows nothing of one ticker's future when it is asked about another. On day s
the order of day s - 1 is filled at the open, then the algorithm sees the bar of day s and decides.
Each ticker is an account of its own with the same starting cash: long only, whole shares, no
borrowing. "BUY" without a quantity buys what the cash affords, "SELL" without one sells all.
"""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.algorithms.contract import (
    AlgorithmError,
    AlgorithmFailed,
    RefusedCode,
    Validated,
)
from alphafoundry.algorithms.leader_board import BUY_AND_HOLD, Failure, RaceResult, Row
from alphafoundry.algorithms.race_days import RaceDays, chosen_bars
from alphafoundry.algorithms.sandbox import Call, CallFailure, Decision, Sandbox
from alphafoundry.finance.account import Account
from alphafoundry.finance.bars import TickerBars
from alphafoundry.finance.costs import Costs
from alphafoundry.finance.orders import Order
from alphafoundry.finance.statistics import metrics_of
from alphafoundry.market import Panel
from alphafoundry.market.frequency import bars_a_year

_STOPPED: Final = "the race was stopped before its last day; run it again for a leader board"


@dataclass(frozen=True)
class Entry:
    """One algorithm in a race.

    Attributes
    ----------
    name : unique within the race
    source : code, checked before it runs; or code that `validate` has passed
    label : where it is from, for reports: a model's id, or that it is a template
    """

    name: str
    source: str | Validated
    label: str = ""


def race(
    entries: Sequence[Entry],
    market: Panel | Sequence[TickerBars],
    settings: ArenaSettings | None = None,
    sandbox: Sandbox | None = None,
    on_finish: Callable[[str, Failure | None], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> RaceResult:
    """Run every entry over the same bars; one that fails is out and the race goes on.

    Parameters
    ----------
    market : a panel, or the bars of each ticker
    settings : how the race is run; None takes the settings' defaults
    sandbox : limits of each algorithm; None takes the limits' defaults
    on_finish : called from a worker thread with each name as it finishes
    stopped : asked before each day, from worker threads; a race that is to stop ends its processes

    Raises `MarketError` where there are no bars to race on, `AlgorithmError` for two entries of
    one name and for a race that was stopped. Where open is NaN an order is filled at that day's
    close; a day without a close is no day of that ticker.
    """
    settings = settings or ArenaSettings()
    names = [entry.name for entry in entries]
    for name in (*names, BUY_AND_HOLD):
        if names.count(name) > (name != BUY_AND_HOLD):
            raise AlgorithmError(f"two algorithms of the race are named {name!r}; rename one")
    course = RaceDays(chosen_bars(market, settings), settings)

    def run(entry: Entry) -> _Outcome:
        outcome = _run(entry, course, settings, sandbox or Sandbox(), stopped or _never)
        if on_finish is not None:
            on_finish(entry.name, outcome.failure)
        return outcome

    workers = settings.workers or os.cpu_count() or 1
    with ThreadPoolExecutor(max_workers=min(workers, max(1, len(entries)))) as pool:
        outcomes = list(pool.map(run, entries))
    outcomes.append(_hold(course, settings))
    year = bars_a_year(course.dates)
    rows = sorted((_row(each, settings, year) for each in outcomes), key=_rank(settings))
    stood = [set(each.walls) for each in outcomes if each.walls]
    walls = next((each.walls for each in outcomes if each.walls), ())
    return RaceResult(
        rows=tuple(rows),
        dates=course.dates,
        equity={each.entry.name: each.equity for each in outcomes},
        held={each.entry.name: each.held for each in outcomes},
        failures=tuple(each.failure for each in outcomes if each.failure is not None),
        tickers=tuple(bars.ticker for bars in course.bars),
        walls=tuple(wall for wall in walls if all(wall in each for each in stood)),
        settings=settings,
        label=market.label if isinstance(market, Panel) else "given bars",
        has_opens=any(bool(np.isfinite(bars.open).any()) for bars in course.bars),
    )


@dataclass(frozen=True, eq=False)
class Followed:
    """What an algorithm would hold.

    Attributes
    ----------
    dates : datetime64[D] array of shape (n_days,), the days from the first decision on
    tickers : names, in the order of the second axis of `invested`
    invested : part of each ticker's account that is in shares at the close of a day, once its order
        of that day is filled at this close; shape (n_days, n_tickers). NaN where the ticker has no
        bar, and from the day on which the algorithm is out
    calls, failed_calls : how often it was asked, and how often it raised or answered no order
    failure : why it is out; None where it is not
    """

    dates: NDArray[np.datetime64]
    tickers: tuple[str, ...]
    invested: NDArray[np.float64]
    calls: int
    failed_calls: int
    failure: Failure | None


def follow(
    source: str | Validated, bars: Sequence[TickerBars], settings: ArenaSettings
) -> Followed:
    """Return what an algorithm holds on each day, in an account of its own for each ticker.

    It is asked as in a race, and sees a day's bars when that day is asked about. Row t of what is
    returned follows from bars up to t.

    Raises MarketError where no ticker has more bars than the warm-up.
    """
    course = RaceDays(chosen_bars(bars, settings), settings)
    invested = np.full((len(course.dates), len(course.bars)), np.nan)

    def note(outcome: _Outcome, index: int) -> None:
        for ticker, _, bar in course.rows[index]:
            filled = copy(outcome.accounts[ticker])
            filled.fill(bar[3])
            invested[index, ticker] = filled.shares * bar[3] / filled.value(bar[3])

    outcome = _run(Entry("followed", source), course, settings, Sandbox(), _never, note)
    return Followed(
        dates=course.dates,
        tickers=tuple(each.ticker for each in course.bars),
        invested=invested,
        calls=outcome.calls,
        failed_calls=outcome.failed_calls,
        failure=outcome.failure,
    )


@dataclass
class _Outcome:
    entry: Entry
    accounts: list[Account]
    equity: NDArray[np.float64]
    held: NDArray[np.bool_]
    failure: Failure | None = None
    walls: tuple[str, ...] = ()
    calls: int = 0
    seconds: float = 0.0
    failed_calls: int = 0
    prices: list[float] = field(default_factory=list)


class _TooManyFailures(Exception):
    """More calls failed than are tolerated; holds the last one."""

    def __init__(self, failure: CallFailure) -> None:
        self.failure = failure
        super().__init__(failure.reason)


def _outcome(entry: Entry, course: RaceDays, settings: ArenaSettings) -> _Outcome:
    costs = Costs(commission_per_share=0.0, commission_bps=0.0, slippage_bps=settings.cost_bps)
    accounts = [Account(settings.cash, costs) for _ in course.bars]
    equity = np.full(len(course.dates), np.nan)
    held = np.zeros((len(course.dates), len(accounts)), bool)
    return _Outcome(entry, accounts, equity, held, prices=[0.0] * len(accounts))


def _never() -> bool:
    return False


def _run(
    entry: Entry,
    course: RaceDays,
    settings: ArenaSettings,
    sandbox: Sandbox,
    stopped: Callable[[], bool],
    note: Callable[[_Outcome, int], None] | None = None,
) -> _Outcome:
    outcome = _outcome(entry, course, settings)
    tickers = [bars.ticker for bars in course.bars]
    day: dt.date | None = None
    if stopped():
        raise AlgorithmError(_STOPPED)
    try:
        with sandbox.start(entry.source, tickers, course.past) as running:
            outcome.walls = running.walls
            try:
                for index in range(len(course.dates)):
                    if stopped():
                        raise AlgorithmError(_STOPPED)
                    day = course.day(index)
                    _advance(outcome, course, index, running.decide, settings)
                    if note is not None:
                        note(outcome, index)
            finally:
                outcome.calls, outcome.seconds = running.calls, running.seconds
    except RefusedCode as error:
        outcome.failure = Failure(entry.name, "refused", str(error), None, None)
    except AlgorithmFailed as error:
        outcome.failure = Failure(entry.name, error.kind, error.reason, error.line, day)
    except _TooManyFailures as error:
        last = error.failure
        reason = f"{outcome.failed_calls} calls failed, the last one: {last.reason}"
        outcome.failure = Failure(entry.name, last.kind, reason, last.line, day)
    return outcome


def _hold(course: RaceDays, settings: ArenaSettings) -> _Outcome:
    outcome = _outcome(Entry(BUY_AND_HOLD, "", "benchmark"), course, settings)

    def decide(calls: Sequence[Call]) -> list[Decision]:
        return [Order("BUY", None) if call.tick == 0 else None for call in calls]

    for index in range(len(course.dates)):
        _advance(outcome, course, index, decide, settings)
    return outcome


def _advance(
    outcome: _Outcome,
    course: RaceDays,
    index: int,
    decide: Callable[[Sequence[Call]], list[Decision]],
    settings: ArenaSettings,
) -> None:
    calls = []
    for ticker, tick, bar in course.rows[index]:
        account = outcome.accounts[ticker]
        price = bar[0] if math.isfinite(bar[0]) and bar[0] > 0 else bar[3]
        account.fill(price)
        outcome.prices[ticker] = bar[3]
        calls.append(Call(ticker, tick, bar, account.cash, account.shares))
    decisions = decide(calls) if calls else []
    for call, decision in zip(calls, decisions, strict=True):
        if isinstance(decision, CallFailure):
            outcome.failed_calls += 1
            if outcome.failed_calls > settings.tolerated_failures:
                raise _TooManyFailures(decision)
            outcome.accounts[call.ticker].place(None)
        else:
            outcome.accounts[call.ticker].place(decision)
    outcome.held[index] = [account.shares > 0 for account in outcome.accounts]
    pairs = zip(outcome.accounts, outcome.prices, strict=True)
    outcome.equity[index] = sum(account.value(price) for account, price in pairs)


def _row(outcome: _Outcome, settings: ArenaSettings, year: float) -> Row:
    days = len(outcome.equity)
    capital = settings.cash * len(outcome.accounts)
    total = annual = ratio = fall = turnover = math.nan
    periods: tuple[float, ...] = (math.nan,) * settings.periods
    if outcome.failure is None:
        equity = np.concatenate(([capital], outcome.equity))
        found = metrics_of(np.diff(equity) / equity[:-1], bars_a_year=year)
        total, annual = found.total_return, found.annual_return
        ratio, fall = found.sharpe, found.max_drawdown
        cuts = np.linspace(0, days, settings.periods + 1).round().astype(int)
        ends = equity[cuts]
        periods = tuple(float(r) for r in ends[1:] / ends[:-1] - 1.0)
        turnover = sum(account.traded for account in outcome.accounts) / days / capital
    return Row(
        name=outcome.entry.name,
        label=outcome.entry.label,
        total_return=total,
        annual_return=annual,
        sharpe=ratio,
        drawdown=fall,
        period_returns=periods,
        trades=sum(account.trades for account in outcome.accounts),
        turnover=turnover,
        calls=outcome.calls,
        seconds_per_call=outcome.seconds / outcome.calls if outcome.calls else math.nan,
        failed_calls=outcome.failed_calls,
        out=outcome.failure,
    )


def _rank(settings: ArenaSettings) -> Callable[[Row], tuple[bool, bool, float, str]]:
    def key(row: Row) -> tuple[bool, bool, float, str]:
        value = row.sharpe if settings.rank_by == "sharpe" else row.total_return
        unknown = math.isnan(value)
        return row.out is not None, unknown, 0.0 if unknown else -value, row.name

    return key
