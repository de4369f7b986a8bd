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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.algorithms.arena_account import Account
from alphafoundry.algorithms.contract import (
    AlgorithmError,
    AlgorithmFailed,
    Bars,
    FailureKind,
    Order,
    RefusedCode,
    Validated,
)
from alphafoundry.algorithms.sandbox import Call, CallFailure, Decision, Sandbox
from alphafoundry.errors import MarketError
from alphafoundry.market import Panel
from alphafoundry.simulation.pnl import BASE
from alphafoundry.simulation.statistics import annual_returns, drawdown, sharpe

BUY_AND_HOLD: Final = "buy-and-hold"
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


@dataclass(frozen=True, kw_only=True)
class ArenaSettings:
    """How a race is run.

    Attributes
    ----------
    tickers : names to race on; empty takes the `most_tickers` with the largest traded value in
        the warm-up, a choice that knows nothing of the race
    most_tickers : see `tickers`
    cash : dollars at the start, in each ticker's account
    cost_bps : basis points of the traded value, paid on both sides
    warm_up : days that are history before the first decision
    first_day, last_day : bounds of the bars that are used, warm-up included
    periods : number of equal, consecutive parts that a return is also given for
    tolerated_failures : calls that may raise or answer no order, each counted as HOLD, before an
        algorithm is out. Time, memory, an exit or a forbidden act end it at once
    rank_by : what the leader board is sorted by, best first
    workers : algorithms that run at the same time; 0 is one per processor
    """

    tickers: tuple[str, ...] = ()
    most_tickers: int = 5
    cash: float = 10_000.0
    cost_bps: float = 5.0
    warm_up: int = 60
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    periods: int = 4
    tolerated_failures: int = 10
    rank_by: Literal["sharpe", "return"] = "sharpe"
    workers: int = 0

    def __post_init__(self) -> None:
        wrong = {
            "cash": not (math.isfinite(self.cash) and self.cash > 0),
            "cost_bps": not 0 <= self.cost_bps < 10_000,
            "warm_up": self.warm_up < 0,
            "most_tickers": self.most_tickers < 1,
            "periods": self.periods < 1,
            "tolerated_failures": self.tolerated_failures < 0,
            "workers": self.workers < 0,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ValueError(f"ArenaSettings.{name}: {getattr(self, name)} is out of range")


@dataclass(frozen=True)
class Failure:
    """Why an algorithm is out: the day it happened on is None where it never started."""

    name: str
    kind: FailureKind
    reason: str
    line: int | None
    day: dt.date | None

    def __str__(self) -> str:
        where = f" in line {self.line}" if self.line else ""
        when = f" on {self.day}" if self.day else ""
        return f"{self.kind}{where}{when}: {self.reason}"


@dataclass(frozen=True)
class Row:
    """One line of the leader board.

    Attributes
    ----------
    name, label : of the entry
    total_return : last equity over starting cash, minus 1
    annual_return : total return / days * 252, without compounding
    sharpe : of the daily returns, annualised
    drawdown : largest fall of equity from a peak, as a fraction of the peak; these three by
        `simulation.statistics`
    period_returns : return of each of the race's consecutive periods
    trades : fills
    turnover : traded value a day over the starting cash, as a fraction
    calls : calls of execute_trade that were answered
    seconds_per_call : wall time as the arena sees it, the way to the sandbox and back included
    failed_calls : calls that raised or answered no order
    out : why it did not finish; None where it did. All statistics are NaN where it is out
    """

    name: str
    label: str
    total_return: float
    annual_return: float
    sharpe: float
    drawdown: float
    period_returns: tuple[float, ...]
    trades: int
    turnover: float
    calls: int
    seconds_per_call: float
    failed_calls: int
    out: Failure | None


@dataclass(frozen=True, eq=False)
class RaceResult:
    """The outcome of a race.

    Attributes
    ----------
    rows : leader board, best first, buy-and-hold among them, those that are out at the end
    dates : datetime64[D] array of shape (n_days,), the race's days
    equity : name to float64 array of shape (n_days,), dollars over all accounts at the close; NaN
        from the day on which the algorithm is out
    failures : of the algorithms that are out, in the order of the entries
    tickers : what was raced on
    walls : names of the sandbox's walls that stood around every algorithm that ran
    settings : how it was run
    label : what the bars are, one line; starts with SYNTHETIC where they are
    has_opens : whether the bars have opening prices; orders are filled at the close without
    """

    rows: tuple[Row, ...]
    dates: NDArray[np.datetime64]
    equity: Mapping[str, NDArray[np.float64]]
    failures: tuple[Failure, ...]
    tickers: tuple[str, ...]
    walls: tuple[str, ...]
    settings: ArenaSettings
    label: str
    has_opens: bool = True

    def best(self, count: int) -> tuple[Row, ...]:
        """Return up to `count` algorithms that finished and rank above buy-and-hold."""
        above = []
        for row in self.rows:
            if row.name == BUY_AND_HOLD or row.out is not None:
                break
            above.append(row)
        return tuple(row for row in above if row.trades)[:count]

    def __repr__(self) -> str:
        from alphafoundry.algorithms.leader_board import leader_board_text

        return leader_board_text(self)


def race(
    entries: Sequence[Entry],
    market: Panel | Sequence[Bars],
    settings: ArenaSettings = ArenaSettings(),
    sandbox: Sandbox | None = None,
    on_finish: Callable[[str, Failure | None], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> RaceResult:
    """Run every entry over the same bars; one that fails is out and the race goes on.

    Parameters
    ----------
    market : a panel, or the bars of each ticker
    sandbox : limits of each algorithm; None takes the limits' defaults
    on_finish : called from a worker thread with each name as it finishes
    stopped : asked before each day, from worker threads; a race that is to stop ends its processes

    Raises `MarketError` where there are no bars to race on, `AlgorithmError` for two entries of
    one name and for a race that was stopped. Where open is NaN an order is filled at that day's
    close; a day without a close is no day of that ticker.
    """
    names = [entry.name for entry in entries]
    for name in (*names, BUY_AND_HOLD):
        if names.count(name) > (name != BUY_AND_HOLD):
            raise AlgorithmError(f"two algorithms of the race are named {name!r}; rename one")
    course = _Course(_chosen_bars(market, settings), settings)

    def run(entry: Entry) -> _Outcome:
        outcome = _run(entry, course, settings, sandbox or Sandbox(), stopped or _never)
        if on_finish is not None:
            on_finish(entry.name, outcome.failure)
        return outcome

    workers = settings.workers or os.cpu_count() or 1
    with ThreadPoolExecutor(max_workers=min(workers, max(1, len(entries)))) as pool:
        outcomes = list(pool.map(run, entries))
    outcomes.append(_hold(course, settings))
    rows = sorted((_row(each, settings) for each in outcomes), key=_rank(settings))
    stood = [set(each.walls) for each in outcomes if each.walls]
    walls = next((each.walls for each in outcomes if each.walls), ())
    return RaceResult(
        rows=tuple(rows),
        dates=course.dates,
        equity={each.entry.name: each.equity for each in outcomes},
        failures=tuple(each.failure for each in outcomes if each.failure is not None),
        tickers=tuple(bars.ticker for bars in course.bars),
        walls=tuple(wall for wall in walls if all(wall in each for each in stood)),
        settings=settings,
        label=market.label if isinstance(market, Panel) else "given bars",
        has_opens=any(bool(np.isfinite(bars.open).any()) for bars in course.bars),
    )


def panel_bars(panel: Panel, ticker: str) -> Bars:
    """Return one instrument's bars: the days with a positive close.

    Fields that the panel does not know are NaN. Raises `MarketError` for an unknown ticker.
    """
    found = np.flatnonzero(panel.symbols == ticker)
    if not len(found):
        raise MarketError(f"the market {panel.source!r} has no ticker {ticker!r}")
    column = int(found[0])
    close = panel.fields["close"][:, column]
    days = np.isfinite(close) & (close > 0)

    def values(name: str) -> NDArray[np.float64]:
        if name not in panel.fields:
            return np.full(int(days.sum()), np.nan)
        return np.ascontiguousarray(panel.fields[name][days, column])

    return Bars(
        ticker=str(ticker),
        dates=panel.dates[days],
        open=values("open"),
        high=values("high"),
        low=values("low"),
        close=values("close"),
        volume=values("volume"),
    )


def _chosen_bars(market: Panel | Sequence[Bars], settings: ArenaSettings) -> list[Bars]:
    if isinstance(market, Panel):
        tickers = settings.tickers or _most_traded(market, settings)
        chosen = [panel_bars(market, ticker) for ticker in tickers]
    else:
        chosen = [b for b in market if not settings.tickers or b.ticker in settings.tickers]
    chosen = [_between(bars, settings) for bars in chosen]
    chosen = [bars for bars in chosen if len(bars) > settings.warm_up]
    if not chosen:
        raise MarketError(
            f"no ticker has more than {settings.warm_up} days between {settings.first_day or 'the'}"
            f" {'and' if settings.first_day else 'start and'} {settings.last_day or 'the end'}; "
            "lower warm_up or choose other days"
        )
    return chosen


def _most_traded(panel: Panel, settings: ArenaSettings) -> tuple[str, ...]:
    days = _inside(panel.dates, settings)
    first = np.flatnonzero(days)[: max(settings.warm_up, 1)]
    close = panel.fields["close"][first]
    volume = panel.fields.get("volume")
    value = np.where(np.isfinite(close), close, 0.0)
    if volume is not None:
        value = value * np.nan_to_num(volume[first])
    order = np.argsort(-value.sum(axis=0), kind="stable")[: settings.most_tickers]
    return tuple(str(symbol) for symbol in panel.symbols[np.sort(order)])


def _between(bars: Bars, settings: ArenaSettings) -> Bars:
    days = _inside(bars.dates, settings) & np.isfinite(bars.close) & (bars.close > 0)
    if days.all():
        return bars
    return Bars(
        bars.ticker,
        bars.dates[days],
        bars.open[days],
        bars.high[days],
        bars.low[days],
        bars.close[days],
        bars.volume[days],
    )


def _inside(dates: NDArray[np.datetime64], settings: ArenaSettings) -> NDArray[np.bool_]:
    inside = np.ones(len(dates), np.bool_)
    if settings.first_day is not None:
        inside &= dates >= np.datetime64(settings.first_day)
    if settings.last_day is not None:
        inside &= dates <= np.datetime64(settings.last_day)
    return inside


class _Course:
    """The race's days: what is history, and which ticker has which bar on which day."""

    def __init__(self, bars: list[Bars], settings: ArenaSettings) -> None:
        self.bars = bars
        everything = np.unique(np.concatenate([each.dates for each in bars]))
        # Day 0 of the race is the same for all; a ticker that is younger joins when it has bars.
        start = min(each.dates[settings.warm_up] for each in bars)
        self.dates = everything[everything >= start].astype("datetime64[D]")
        self.past: dict[str, NDArray[np.float64]] = {}
        self.rows: list[list[tuple[int, int, tuple[float, float, float, float, float]]]]
        self.rows = [[] for _ in self.dates]
        for ticker, each in enumerate(bars):
            table = each.table()
            first = int(np.searchsorted(each.dates, start))
            self.past[each.ticker] = table[:first]
            days = np.searchsorted(self.dates, each.dates[first:])
            for tick, (day, row) in enumerate(zip(days, table[first:].tolist(), strict=True)):
                self.rows[int(day)].append((ticker, tick, tuple(row)))

    def day(self, index: int) -> dt.date:
        return self.dates[index].astype(dt.date)  # type: ignore[no-any-return]


@dataclass
class _Outcome:
    entry: Entry
    accounts: list[Account]
    equity: NDArray[np.float64]
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


def _outcome(entry: Entry, course: _Course, settings: ArenaSettings) -> _Outcome:
    cost = settings.cost_bps / 10_000
    accounts = [Account(settings.cash, cost) for _ in course.bars]
    equity = np.full(len(course.dates), np.nan)
    return _Outcome(entry, accounts, equity, prices=[0.0] * len(accounts))


def _never() -> bool:
    return False


def _run(
    entry: Entry,
    course: _Course,
    settings: ArenaSettings,
    sandbox: Sandbox,
    stopped: Callable[[], bool],
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


def _hold(course: _Course, settings: ArenaSettings) -> _Outcome:
    outcome = _outcome(Entry(BUY_AND_HOLD, "", "benchmark"), course, settings)

    def decide(calls: Sequence[Call]) -> list[Decision]:
        return [Order("BUY", None) if call.tick == 0 else None for call in calls]

    for index in range(len(course.dates)):
        _advance(outcome, course, index, decide, settings)
    return outcome


def _advance(
    outcome: _Outcome,
    course: _Course,
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
    pairs = zip(outcome.accounts, outcome.prices, strict=True)
    outcome.equity[index] = sum(account.value(price) for account, price in pairs)


def _row(outcome: _Outcome, settings: ArenaSettings) -> Row:
    days = len(outcome.equity)
    capital = settings.cash * len(outcome.accounts)
    common = {
        "name": outcome.entry.name,
        "label": outcome.entry.label,
    }
    per_call = outcome.seconds / outcome.calls if outcome.calls else math.nan
    if outcome.failure is not None:
        nan = math.nan
        statistics = (nan, nan, nan, nan)
        periods: tuple[float, ...] = (nan,) * settings.periods
        turnover = nan
    else:
        equity = np.concatenate(([capital], outcome.equity))
        returns = np.diff(equity) / equity[:-1]
        statistics = (
            float(equity[-1] / capital - 1.0),
            annual_returns(float(equity[-1] / capital - 1.0) * BASE, days),
            sharpe(returns),
            # A fall of the logarithm is a share of the peak.
            -math.expm1(-drawdown(np.log1p(returns) * BASE)),
        )
        cuts = np.linspace(0, days, settings.periods + 1).round().astype(int)
        ends = equity[cuts]
        periods = tuple(float(r) for r in ends[1:] / ends[:-1] - 1.0)
        turnover = sum(account.traded for account in outcome.accounts) / days / capital
    total, annual, ratio, fall = statistics
    return Row(
        **common,
        total_return=total,
        annual_return=annual,
        sharpe=ratio,
        drawdown=fall,
        period_returns=periods,
        trades=sum(account.trades for account in outcome.accounts),
        turnover=turnover,
        calls=outcome.calls,
        seconds_per_call=per_call,
        failed_calls=outcome.failed_calls,
        out=outcome.failure,
    )


def _rank(settings: ArenaSettings) -> Callable[[Row], tuple[bool, bool, float, str]]:
    def key(row: Row) -> tuple[bool, bool, float, str]:
        value = row.sharpe if settings.rank_by == "sharpe" else row.total_return
        unknown = math.isnan(value)
        return row.out is not None, unknown, 0.0 if unknown else -value, row.name

    return key
