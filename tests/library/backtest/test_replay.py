"""Replaying stored signals: one component is its own backtest, several are netted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alphafoundry.backtest import (
    STRATEGIES,
    Costs,
    Execution,
    SignalStore,
    Sizing,
    backtest,
    backtest_signals,
    replay,
    signals_of,
    stacked,
    strategy_named,
)
from alphafoundry.errors import BacktestError
from tests.library.backtest.markets import made_bars

EXECUTION = Execution(
    Costs(0.02, 1.0, 15.0), Sizing(0.3, max_positions=3, stop_loss_pct=0.05, max_drawdown_pct=0.5)
)


@pytest.fixture(scope="module")
def components() -> list[np.ndarray]:
    bars = made_bars(7, days=300, gaps=0.01)
    return [signals_of(bars, strategy, {}) for strategy in STRATEGIES.values()]


@pytest.mark.parametrize("place", range(len(STRATEGIES)))
def test_a_component_with_weight_one_is_its_full_backtest_exactly(
    tmp_path: Path, place: int
) -> None:
    bars = made_bars(7, days=300, gaps=0.01)
    store = SignalStore(tmp_path)
    keys = []
    for strategy in STRATEGIES.values():
        store.signals(bars, strategy, {})
        keys.append(store.key(bars, strategy, {}))
    weights = np.zeros(len(keys))
    weights[place] = 1.0
    found = replay(store, weights, bars, EXECUTION, keys=keys, measured=(50, 300))[0]
    whole = backtest(bars, list(STRATEGIES.values())[place], {}, EXECUTION, measured=(50, 300))
    np.testing.assert_array_equal(found.daily_returns, whole.daily_returns)
    np.testing.assert_equal(found.metrics.to_dict(), whole.statistics.to_dict())


def test_a_weighting_is_the_backtest_of_the_weighted_sum(components: list[np.ndarray]) -> None:
    bars = made_bars(7, days=300, gaps=0.01)
    weights = np.random.default_rng(0).dirichlet(np.ones(len(components)))
    total = sum(weight * signal for weight, signal in zip(weights, components, strict=True))
    found = replay(components, weights, bars, EXECUTION)[0]
    expected = backtest_signals(bars, np.asarray(total), EXECUTION)
    np.testing.assert_array_equal(found.daily_returns, expected.daily_returns)
    assert found.metrics == expected.statistics


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8])
def test_many_weightings_are_each_what_it_is_alone(
    components: list[np.ndarray], count: int
) -> None:
    bars = made_bars(7, days=300, gaps=0.01)
    prepared = stacked(components[:count], bars)
    weights = np.random.default_rng(1).dirichlet(np.ones(count), 21)
    together = replay(prepared, weights, bars, EXECUTION, threads=2)
    for row, result in zip(weights, together, strict=True):
        alone = replay(components[:count], row, bars, EXECUTION)[0]
        np.testing.assert_array_equal(result.weights, row)
        np.testing.assert_array_equal(result.daily_returns, alone.daily_returns)
        np.testing.assert_equal(result.metrics.to_dict(), alone.metrics.to_dict())


def test_opposite_trades_are_netted_before_they_cost_anything() -> None:
    bars = made_bars(2)
    signals = signals_of(bars, strategy_named("momentum"), {"lookback": 5})
    alone = replay([signals], [0.5], bars)[0]
    netted = replay([signals, -signals], [0.5, 0.5], bars)[0]
    assert alone.metrics.turnover > 0.0
    assert (netted.metrics.turnover, netted.metrics.cost, netted.metrics.trades) == (0.0, 0.0, 0)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    bars = made_bars()
    signals = np.ones(bars.shape)
    with pytest.raises(BacktestError, match="do not match 1 components"):
        replay([signals], [0.5, 0.5], bars)
    with pytest.raises(BacktestError, match="component 1: signals of shape"):
        replay([signals, signals[1:]], [0.5, 0.5], bars)
    with pytest.raises(BacktestError, match="at least one component"):
        replay([], [], bars)
    with pytest.raises(BacktestError, match="needs the keys"):
        replay(SignalStore(tmp_path), [1.0], bars)
    with pytest.raises(BacktestError, match="no signals 0123456789abcdef; run the phase"):
        replay(SignalStore(tmp_path), [1.0], bars, keys=["0123456789abcdef"])
