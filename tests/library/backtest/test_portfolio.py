"""Signals to money: against a portfolio kept in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.backtest import Costs, Execution, Sizing, backtest_signals
from alphafoundry.errors import BacktestError
from tests.library.backtest.markets import bars_of, made_bars
from tests.library.backtest.reference import account
from tests.property_tests import examples

NO_COSTS = Costs(commission_per_share=0.0, slippage_bps=0.0)


def some_signals(seed: int, shape: tuple[int, int], kind: str) -> np.ndarray:
    random = np.random.default_rng(seed)
    if kind == "sides":
        return np.repeat(random.integers(-1, 2, (shape[0] // 5 + 1, shape[1])), 5, axis=0)[
            : shape[0]
        ].astype(float)
    values = random.uniform(-1.0, 1.0, shape)
    values[random.random(shape) < 0.2] = 0.0
    return values


@settings(max_examples=examples(80), deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["sides", "levels"]),
    days=st.sampled_from([2, 40, 270]),
    gaps=st.sampled_from([0.0, 0.05]),
    costs=st.sampled_from([NO_COSTS, Costs(), Costs(0.02, 3.0, 25.0)]),
    sizing=st.builds(
        Sizing,
        position_size_pct=st.sampled_from([0.05, 0.3, 0.6]),
        max_positions=st.sampled_from([None, 1, 3]),
        max_exposure_pct=st.sampled_from([0.5, 1.0, 5.0]),
        stop_loss_pct=st.sampled_from([None, 0.03]),
        take_profit_pct=st.sampled_from([None, 0.05]),
        max_drawdown_pct=st.sampled_from([None, 0.08]),
        leverage=st.sampled_from([1.0, 1.5]),
    ),
    begin=st.sampled_from([0.0, 0.0, 0.4]),
)
def test_every_number_is_that_of_an_account_kept_by_hand(
    seed: int, kind: str, days: int, gaps: float, costs: Costs, sizing: Sizing, begin: float
) -> None:
    bars = made_bars(seed, days=days, gaps=gaps)
    signals = some_signals(seed, bars.shape, kind)
    signals[np.isnan(bars.close)] = 0.0
    execution = Execution(costs, sizing, 10_000.0)
    first = int(begin * days)
    found = backtest_signals(bars, signals, execution, measured=(first, days))
    expected = account(bars, signals, execution, first)
    np.testing.assert_allclose(found.daily_returns, expected.returns, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.turnover, expected.turnover, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.positions, expected.positions, rtol=0, atol=1e-11)
    assert found.statistics.trades == expected.orders
    assert found.statistics.turnover == pytest.approx(np.mean(expected.turnover), abs=1e-12)


def test_a_signal_earns_the_return_of_the_next_day_and_never_its_own() -> None:
    close = np.array([[100.0], [110.0], [121.0], [60.5]])
    signals = np.array([[0.0], [1.0], [0.0], [1.0]])
    result = backtest_signals(
        bars_of(close), signals, Execution(NO_COSTS, Sizing(position_size_pct=1.0))
    )
    np.testing.assert_allclose(result.daily_returns, [0.0, 0.0, 0.1, 0.0], atol=1e-15)


def test_a_stopped_position_stays_closed_until_its_signal_ends() -> None:
    close = np.array([[100.0], [94.0], [120.0], [120.0], [132.0]])
    signals = np.array([[1.0], [1.0], [1.0], [0.0], [1.0]])
    sizing = Sizing(position_size_pct=1.0, stop_loss_pct=0.05)
    result = backtest_signals(bars_of(close), signals, Execution(NO_COSTS, sizing))
    np.testing.assert_allclose(result.positions[:, 0], [1.0, 0.0, 0.0, 0.0, 1.0])


def test_the_drawdown_stop_ends_the_backtest_at_the_close_that_breaks_it() -> None:
    close = np.array([[100.0], [95.0], [85.0], [200.0], [400.0]])
    sizing = Sizing(position_size_pct=1.0, max_drawdown_pct=0.1)
    result = backtest_signals(bars_of(close), np.ones((5, 1)), Execution(NO_COSTS, sizing))
    assert result.ended == 2
    assert result.equity[-1] == pytest.approx(85_000.0)
    assert "closed for good on 2020-01-03" in repr(result)


def test_ruin_takes_everything_once_and_nothing_after() -> None:
    close = np.array([[100.0], [100.0], [250.0], [100.0], [50.0]])
    result = backtest_signals(
        bars_of(close), -np.ones((5, 1)), Execution(NO_COSTS, Sizing(position_size_pct=1.0))
    )
    np.testing.assert_array_equal(result.daily_returns, [0.0, 0.0, -1.0, 0.0, 0.0])
    np.testing.assert_array_equal(result.equity[2:], 0.0)
    assert result.ended == 2


def test_a_gap_is_earned_when_the_price_is_back_and_a_missing_price_costs_nothing() -> None:
    close = np.array([[100.0], [np.nan], [110.0], [110.0]])
    result = backtest_signals(
        bars_of(close), np.ones((4, 1)), Execution(NO_COSTS, Sizing(position_size_pct=1.0))
    )
    np.testing.assert_allclose(result.daily_returns, [0.0, 0.0, 0.1, 0.0], atol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Costs(slippage_bps=-1.0), "slippage_bps: -1.0 is out of range"),
        (lambda: Sizing(position_size_pct=0.0), "position_size_pct: 0.0 is out of range"),
        (lambda: Sizing(stop_loss_pct=1.5), "give more than 0 and at most 1"),
        (lambda: Sizing(max_positions=0), "max_positions: 0 is out of range; give at least 1"),
        (lambda: Execution(initial_capital=float("nan")), "initial_capital: nan"),
    ],
)
def test_impossible_settings_are_refused(make: object, message: str) -> None:
    with pytest.raises(BacktestError, match=message):
        make()  # type: ignore[operator]


def test_signals_and_rows_must_fit_the_bars() -> None:
    bars = made_bars()
    with pytest.raises(BacktestError, match="do not match bars"):
        backtest_signals(bars, np.ones((3, 3)))
    with pytest.raises(BacktestError, match="rows 50 to 500"):
        backtest_signals(bars, np.ones(bars.shape), measured=(50, 500))


def test_of_equal_signals_those_with_the_largest_dollar_volume_are_held() -> None:
    """That symbols are in alphabetical order is no reason to hold the first of them."""
    bars = bars_of(np.full((30, 4), 10.0), volume=np.tile([1e4, 4e4, 2e4, 3e4], (30, 1)))
    signals = np.tile([1.0, -1.0, 0.5, 1.0], (30, 1))
    found = backtest_signals(bars, signals, Execution(sizing=Sizing(0.1, max_positions=2)))
    np.testing.assert_array_equal(found.positions[-1] != 0.0, [False, True, False, True])
