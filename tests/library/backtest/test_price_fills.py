"""Fills at the open, stops at high and low, trailing stops and borrowing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.backtest import Bars, Costs, Execution, Sizing, backtest_signals
from alphafoundry.backtest.trials import Desk
from alphafoundry.errors import BacktestError
from tests.library.backtest.markets import bars_of, made_bars
from tests.library.backtest.test_portfolio import NO_COSTS, some_signals
from tests.property_tests import examples


class Book:
    """Shares and cash, traded instrument by instrument."""

    def __init__(self, execution: Execution, count: int, nightly: float) -> None:
        self.execution, self.nightly = execution, nightly
        self.cash = 1.0
        self.shares = [0.0] * count
        self.price = [math.nan] * count

    def equity(self) -> float:
        held = zip(self.shares, self.price, strict=True)
        return self.cash + sum(n * price for n, price in held if n)

    def pay(self, amount: float, price: float) -> float:
        costs = self.execution.costs
        share = (costs.slippage_bps + costs.commission_bps) / 1e4
        per_share = costs.commission_per_share / price
        return abs(amount) * (share + min(per_share, costs.max_commission_pct))

    def scale(self, fee: float, equity: float) -> None:
        """Costs shrink cash and positions alike."""
        left = 1.0 - fee / equity
        self.cash *= left
        self.shares = [n * left for n in self.shares]

    def rebalance(self, wish: list[float]) -> None:
        equity, sizing = self.equity(), self.execution.sizing
        unit = sizing.position_size_pct * sizing.leverage
        gross = unit * sum(map(abs, wish))
        if gross > sizing.max_exposure_pct:
            unit *= sizing.max_exposure_pct / gross
        fee = 0.0
        for i, value in enumerate(wish):
            now = self.shares[i] * self.price[i] if self.shares[i] else 0.0
            amount = value * unit * equity - now
            if amount:
                fee += self.pay(amount, self.price[i])
                self.shares[i] += amount / self.price[i]
                self.cash -= amount
        self.scale(fee, equity)

    def leave(self, exits: dict[int, float]) -> None:
        """Close positions at prices within the day."""
        for i, price in exits.items():
            if self.shares[i]:
                self.price[i] = price
        equity = self.equity()
        fee = 0.0
        for i, price in exits.items():
            amount = self.shares[i] * price
            if amount:
                fee += self.pay(amount, price)
                self.cash += amount
                self.shares[i] = 0.0
        self.scale(fee, equity)


class Position:
    """The life of one instrument's signal."""

    def __init__(self, sizing: Sizing) -> None:
        self.sizing = sizing
        self.side, self.entry, self.best, self.out = 0, math.nan, math.nan, False

    def take(self, signal: float, price: float) -> float:
        """See the signal at its fill price; return what is wanted."""
        if int(np.sign(signal)) != self.side:
            self.side, self.out = int(np.sign(signal)), False
            self.entry = self.best = price
        return 0.0 if self.out else signal

    def levels(self) -> tuple[float, float]:
        """Return the price of the stop that is nearest, and that of the target."""
        away, sizing = self.side, self.sizing
        stops = []
        if sizing.stop_loss_pct is not None:
            stops.append(self.entry * (1 - away * sizing.stop_loss_pct))
        if sizing.trailing_stop_pct is not None:
            stops.append(self.best * (1 - away * sizing.trailing_stop_pct))
        stop = max(stops, key=lambda price: away * price, default=-away * math.inf)
        gain = math.inf if sizing.take_profit_pct is None else sizing.take_profit_pct
        return stop, self.entry * (1 + away * gain)

    def through(self, path: list[float]) -> float | None:
        """Return the price at which the day's open, worst and best price end it."""
        if not self.side or self.out:
            return None
        stop, target = self.levels()
        first, worst, best = path
        if self.side * (first - stop) <= 0 or self.side * (first - target) >= 0:
            found: float | None = first
        elif self.side * (worst - stop) <= 0:
            found = stop
        elif self.side * (best - target) >= 0:
            found = target
        else:
            found = None
        self.out = found is not None
        self.best = max(self.best, best, key=lambda price: self.side * price)
        return found


def by_hand(bars: Bars, signals: np.ndarray, execution: Execution) -> list[float]:
    """Return the daily returns."""
    days, count = signals.shape
    at_open, within = execution.fill == "next_open", execution.stops == "high_low"
    book = Book(execution, count, execution.borrow_pct / bars.bars_a_year)
    lives = [Position(execution.sizing) for _ in range(count)]
    returns, before = [], 1.0
    for day in range(days):
        short = [max(-book.shares[i] * book.price[i], 0.0) if book.shares[i] else 0.0
                 for i in range(count)]  # fmt: skip
        fee = book.nightly * sum(short)
        close = bars.close[day]
        first = np.where(np.isnan(bars.open[day]), close, bars.open[day])
        if at_open:
            known = ~np.isnan(first)
            book.price = [float(first[i]) if known[i] else book.price[i] for i in range(count)]
            book.cash -= fee
            wish = [0.0] * count
            for i, life in enumerate(lives):
                if day and within:
                    best = life.best
                    life.through([book.price[i]] * 3)
                    life.best = best  # the highs of earlier days only
                wish[i] = life.take(signals[day - 1, i], book.price[i]) if day else 0.0
            book.rebalance(wish)
        exits: dict[int, float] = {}
        for i, life in enumerate(lives):
            if math.isnan(close[i]) or not life.side or life.out:
                continue
            if within:
                ends = sorted([bars.low[day, i], bars.high[day, i]], reverse=life.side < 0)
                found = life.through([float(first[i]), *map(float, ends)])
                if found is not None:
                    exits[i] = found
            elif at_open or signals[day, i] * life.side > 0:
                last = float(close[i])
                life.best = max(life.best, last, key=lambda price, s=life.side: s * price)
                stop, target = life.levels()
                life.out = life.side * (last - stop) <= 1e-12 or life.side * (last - target) >= 0
        moved = [float(close[i]) if not math.isnan(close[i]) else book.price[i]
                 for i in range(count)]  # fmt: skip
        gone = {i: price for i, price in exits.items() if book.shares[i]}
        book.price = [gone.get(i, moved[i]) for i in range(count)]
        if not at_open:
            book.cash -= fee
        book.leave(gone)
        book.price = moved
        if not at_open:
            book.rebalance([life.take(signals[day, i], float(close[i]))
                            for i, life in enumerate(lives)])  # fmt: skip
        equity = book.equity()
        returns.append(equity / before - 1.0)
        before = equity
    return returns


def with_opens(bars: Bars, seed: int) -> Bars:
    """Return the bars with opens that gap away from the close before."""
    random = np.random.default_rng(seed)
    open_ = bars.close * (1.0 + random.normal(0.0, 0.015, bars.shape))
    open_[random.random(bars.shape) < 0.05] = np.nan
    high = np.fmax(np.fmax(bars.high, open_), bars.close)
    low = np.fmin(np.fmin(bars.low, open_), bars.close)
    return replace(bars, open=open_, high=high, low=low)


@settings(max_examples=examples(160), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["sides", "levels"]),
    gaps=st.sampled_from([0.0, 0.05]),
    costs=st.sampled_from([NO_COSTS, Costs(0.02, 3.0, 25.0)]),
    fill=st.sampled_from(["close", "next_open"]),
    stops=st.sampled_from(["close", "high_low"]),
    borrow=st.sampled_from([0.0, 0.5]),
    sizing=st.builds(
        Sizing,
        position_size_pct=st.sampled_from([0.1, 0.4]),
        max_exposure_pct=st.sampled_from([0.5, 5.0]),
        stop_loss_pct=st.sampled_from([None, 0.03]),
        take_profit_pct=st.sampled_from([None, 0.05]),
        trailing_stop_pct=st.sampled_from([None, 0.04]),
    ),
)
def test_returns_are_those_of_shares_and_cash(
    seed: int, kind: str, gaps: float, costs: Costs, fill: str, stops: str, borrow: float,
    sizing: Sizing,
) -> None:  # fmt: skip
    bars = with_opens(made_bars(seed, days=60, gaps=gaps), seed)
    signals = some_signals(seed, bars.shape, kind)
    signals[np.isnan(bars.close)] = 0.0
    execution = Execution(costs, sizing, fill=fill, stops=stops, borrow_pct=borrow)  # type: ignore[arg-type]
    found = backtest_signals(bars, signals, execution)
    np.testing.assert_allclose(
        found.daily_returns, by_hand(bars, signals, execution), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("drawdown", [None, 0.05])
@pytest.mark.parametrize("most", [None, 2])
@pytest.mark.parametrize("first", [0, 30])
def test_at_closes_both_engines_give_the_same(
    monkeypatch: pytest.MonkeyPatch, drawdown: float | None, most: int | None, first: int
) -> None:
    bars = made_bars(4, days=80, gaps=0.03)
    signals = some_signals(4, bars.shape, "sides")
    signals[np.isnan(bars.close)] = 0.0
    sizing = Sizing(
        position_size_pct=0.3,
        max_positions=most,
        stop_loss_pct=0.03,
        trailing_stop_pct=0.05,
        max_drawdown_pct=drawdown,
    )
    execution = Execution(Costs(0.02, 3.0, 25.0), sizing)
    fast = backtest_signals(bars, signals, execution, measured=(first, 80))
    monkeypatch.setattr(Execution, "at_closes", False)
    slow = backtest_signals(bars, signals, execution, measured=(first, 80))
    assert fast.ended == slow.ended
    for name in ("daily_returns", "positions", "turnover", "costs", "trades"):
        np.testing.assert_allclose(getattr(slow, name), getattr(fast, name), atol=1e-13)


def test_a_gap_below_the_stop_fills_at_the_open() -> None:
    close = np.array([[100.0], [100.0], [90.0], [95.0], [95.0]])
    bars = replace(bars_of(close), open=np.array([[100.0], [100.0], [92.0], [90.0], [95.0]]))
    sizing = Sizing(position_size_pct=1.0, stop_loss_pct=0.05)
    result = backtest_signals(bars, np.ones((5, 1)), Execution(NO_COSTS, sizing, stops="high_low"))
    np.testing.assert_allclose(result.daily_returns, [0.0, 0.0, -0.08, 0.0, 0.0], atol=1e-15)
    assert result.statistics.trades == 2


def test_a_low_through_the_stop_fills_at_its_level() -> None:
    bars = replace(bars_of(np.full((4, 1), 100.0)), low=np.array([[99.0], [99.0], [90.0], [99.0]]))
    sizing = Sizing(position_size_pct=1.0, stop_loss_pct=0.05)
    result = backtest_signals(bars, np.ones((4, 1)), Execution(NO_COSTS, sizing, stops="high_low"))
    np.testing.assert_allclose(result.daily_returns, [0.0, 0.0, -0.05, 0.0], atol=1e-15)


def test_a_trailing_stop_follows_the_best_close() -> None:
    close = np.array([[100.0], [120.0], [115.0], [107.0], [150.0]])
    sizing = Sizing(position_size_pct=1.0, trailing_stop_pct=0.1)
    result = backtest_signals(bars_of(close), np.ones((5, 1)), Execution(NO_COSTS, sizing))
    np.testing.assert_allclose(result.positions[:, 0], [1.0, 1.0, 1.0, 0.0, 0.0])


def test_the_next_open_earns_nothing_of_the_night_before() -> None:
    close = np.array([[100.0], [110.0], [121.0]])
    bars = replace(bars_of(close), open=np.array([[100.0], [105.0], [115.0]]))
    result = backtest_signals(
        bars,
        np.array([[1.0], [1.0], [1.0]]),
        Execution(NO_COSTS, Sizing(position_size_pct=1.0), fill="next_open"),
    )
    np.testing.assert_allclose(result.daily_returns, [0.0, 110 / 105 - 1, 0.1], atol=1e-15)


def test_a_short_position_pays_for_each_night() -> None:
    close = np.full((3, 1), 100.0)
    bars = bars_of(close)
    execution = Execution(NO_COSTS, Sizing(position_size_pct=0.5), borrow_pct=0.1)
    result = backtest_signals(bars, -np.ones((3, 1)), execution)
    fee = 0.5 * 0.1 / bars.bars_a_year
    np.testing.assert_allclose(result.daily_returns[1], -fee, rtol=1e-12)
    assert result.statistics.cost == pytest.approx(2 * fee, rel=1e-3)
    long = backtest_signals(bars, np.ones((3, 1)), execution)
    np.testing.assert_array_equal(long.daily_returns, 0.0)


def test_fields_that_are_missing_are_named() -> None:
    bars = made_bars(1, days=30)
    nothing = np.full(bars.shape, np.nan)
    with pytest.raises(BacktestError, match="stops high_low need high and low"):
        Desk(replace(bars, low=nothing), Execution(stops="high_low"), None)
    with pytest.raises(BacktestError, match="fill next_open needs open"):
        Desk(replace(bars, open=nothing), Execution(fill="next_open"), None)
