"""Many trials: the same numbers however they are cut, threaded or asked for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from alphafoundry.backtest import (
    STRATEGIES,
    Execution,
    Sizing,
    backtest,
    backtest_signals,
    run_trials,
    signals_of,
    strategy_named,
)
from alphafoundry.errors import BacktestError
from tests.library.backtest.markets import bars_of, made_bars

GRID = [{"fast": fast, "slow": slow} for fast in (2, 3, 5, 8) for slow in (13, 21, 34)]


@pytest.mark.parametrize("name", STRATEGIES)
def test_numbers_do_not_depend_on_threads_nor_on_how_the_work_is_cut(name: str) -> None:
    bars = made_bars(1, days=250, instruments=6, gaps=0.02)
    strategy = strategy_named(name)
    window = next(key for key in ("fast", "lookback", "window") if key in strategy.parameters)
    low = 25 if name == "breakout" else 5
    sets = [{window: low + k} for k in range(11)]
    execution = Execution(sizing=Sizing(0.2, max_positions=4, stop_loss_pct=0.04))
    whole = run_trials(bars, strategy, sets, execution)
    threaded = run_trials(bars, strategy, sets, execution, threads=2)
    single = [run_trials(bars, strategy, [values], execution)[0] for values in sets]
    other_order = run_trials(bars, strategy, sets[::-1], execution)[::-1]
    fresh = run_trials(pickle.loads(pickle.dumps(bars)), strategy, sets, execution)
    for result in (threaded, single, other_order, fresh):
        for one, two in zip(whole, result, strict=True):
            assert one.parameters == two.parameters
            np.testing.assert_array_equal(one.daily_returns, two.daily_returns)
            np.testing.assert_equal(one.metrics.to_dict(), two.metrics.to_dict())


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_trial_is_its_backtest_and_the_backtest_of_its_signals(name: str) -> None:
    bars = made_bars(2, days=300)
    strategy = strategy_named(name)
    trial = run_trials(bars, strategy, [{}])[0]
    whole = backtest(bars, strategy, {})
    again = backtest_signals(bars, signals_of(bars, strategy, {}))
    for result in (whole, again):
        np.testing.assert_array_equal(result.daily_returns, trial.daily_returns)
        assert result.statistics == trial.metrics or not trial.metrics.trades
    np.testing.assert_allclose(whole.equity[-1], 1e5 * (1.0 + trial.metrics.total_return))
    assert f"sharpe {trial.metrics.sharpe:.2f}" in repr(whole)


def test_measured_rows_see_earlier_prices_and_no_later_ones() -> None:
    bars = made_bars(3, days=200)
    strategy = strategy_named("moving_average_cross")
    values = {"fast": 5, "slow": 40}
    part = backtest(bars, strategy, values, measured=(100, 150))
    whole = backtest(bars, strategy, values)
    assert len(part.daily_returns) == 50
    np.testing.assert_array_equal(part.days, bars.days[100:150])
    # Only the first day differs: the position of the night before had to be opened.
    np.testing.assert_allclose(part.daily_returns[1:], whole.daily_returns[101:150], atol=1e-15)
    np.testing.assert_allclose(part.positions, whole.positions[100:150], atol=1e-15)
    assert part.daily_returns[0] < whole.daily_returns[100]
    ended = backtest(bars.between(0, 150), strategy, values, measured=(100, 150))
    np.testing.assert_array_equal(part.daily_returns, ended.daily_returns)


def test_daily_returns_can_be_left_out() -> None:
    bars, strategy = made_bars(), strategy_named("moving_average_cross")
    kept = run_trials(bars, strategy, GRID)
    bare = run_trials(bars, strategy, GRID, keep_daily=False)
    assert [trial.metrics for trial in bare] == [trial.metrics for trial in kept]
    assert not any(len(trial.daily_returns) for trial in bare)


def test_windows_longer_than_the_data_give_trials_without_trades() -> None:
    for name, strategy in STRATEGIES.items():
        trial = run_trials(made_bars(days=3, instruments=2), strategy, [{}])[0]
        assert (name, trial.metrics.trades, trial.metrics.total_return) == (name, 0, 0.0)
        assert np.isnan(trial.metrics.sharpe)


def test_no_trials_and_one_day_are_fine() -> None:
    strategy = strategy_named("moving_average_cross")
    assert run_trials(made_bars(), strategy, []) == []
    assert run_trials(bars_of(np.ones((1, 1))), strategy, [{}])[0].metrics.days == 1


def test_empty_bars_are_refused() -> None:
    with pytest.raises(BacktestError, match="0 days x 5 instruments"):
        made_bars().between(10, 10)
