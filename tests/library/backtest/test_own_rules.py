"""Stops, sizes, symbols and groups of one strategy among several."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alphafoundry.backtest import (
    Execution,
    Sizing,
    backtest,
    expression_strategy,
    look_ahead,
    on_symbols,
    run_trials,
    signals_of,
    strategy_named,
    with_own_rules,
)
from alphafoundry.errors import BacktestError, WrongParameter
from tests.library.backtest.markets import made_bars

TREND = strategy_named("moving_average_cross")
VALUES = {"fast": 3, "slow": 12}
RULES = ("position_size_pct", "stop_loss_pct", "take_profit_pct", "trailing_stop_pct")


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_rules_of_its_own_are_those_of_the_backtest(fill: str) -> None:
    bars = made_bars(3, days=150)
    own = with_own_rules(TREND, RULES, position_size_pct=0.05, fill=fill)  # type: ignore[arg-type]
    rules = {
        "position_size_pct": 0.08,
        "stop_loss_pct": 0.03,
        "take_profit_pct": 0.06,
        "trailing_stop_pct": 0.04,
    }
    found = backtest(bars, own, {**VALUES, **rules}, Execution(fill=fill))  # type: ignore[arg-type]
    plain = backtest(bars, TREND, VALUES, Execution(sizing=Sizing(**rules), fill=fill))  # type: ignore[arg-type]
    np.testing.assert_allclose(found.daily_returns, plain.daily_returns, rtol=0, atol=1e-15)
    assert found.statistics.trades == plain.statistics.trades


def test_without_values_the_rules_change_nothing() -> None:
    bars = made_bars(3, days=80)
    own = with_own_rules(TREND, RULES, position_size_pct=0.05)
    np.testing.assert_array_equal(
        backtest(bars, own, VALUES).daily_returns, backtest(bars, TREND, VALUES).daily_returns
    )
    assert own.identity != TREND.identity


def test_a_rule_that_a_strategy_has_already_is_the_strategys() -> None:
    once = with_own_rules(TREND, ["stop_loss_pct"], position_size_pct=0.05)
    assert with_own_rules(once, ["stop_loss_pct"], position_size_pct=0.05) is once
    with pytest.raises(WrongParameter, match="fast"):
        once.complete({"fast": 30, "slow": 20, "stop_loss_pct": 0.1})


@pytest.mark.parametrize("fill", ["close", "next_open"])
def test_own_stops_know_nothing_of_the_future(fill: str) -> None:
    own = with_own_rules(TREND, RULES, position_size_pct=0.05, fill=fill)  # type: ignore[arg-type]
    values = {**VALUES, "stop_loss_pct": 0.01, "trailing_stop_pct": 0.01}
    assert look_ahead(made_bars(5, days=200), own, values) is None


def test_on_some_symbols_it_sees_no_others() -> None:
    bars = made_bars(3, days=60)
    spread = expression_strategy("-rank(returns) + 0.5")
    found = signals_of(bars, on_symbols(spread, ["S3", "S1"]), {})
    alone = signals_of(
        replace(
            bars,
            symbols=("S3", "S1"),
            **{  # type: ignore[arg-type]
                name: np.ascontiguousarray(getattr(bars, name)[:, [3, 1]])
                for name in ("open", "high", "low", "close", "volume")
            },
        ),
        spread,
        {},
    )
    np.testing.assert_array_equal(found[:, [3, 1]], alone)
    np.testing.assert_array_equal(found[:, [0, 2, 4]], 0.0)
    with pytest.raises(BacktestError, match="unknown symbol 'S9'; the bars hold S0, S1"):
        signals_of(bars, on_symbols(spread, ["S9"]), {})


def test_group_operators_compare_within_sectors() -> None:
    bars = made_bars(3, days=40)
    strategy = expression_strategy("-group_rank(returns, sector) + 0.5")
    with pytest.raises(BacktestError, match="needs sector, which SYNTHETIC test does not hold"):
        run_trials(bars, strategy, [{}])
    codes = np.broadcast_to(np.array([0, 0, 0, 1, 1], dtype=np.int32), bars.shape)
    found = signals_of(replace(bars, groups={"sector": codes}), strategy, {})
    change = bars.close[1:] / bars.close[:-1] - 1.0
    worst, better = change[:, 3] < change[:, 4], change[:, 3] > change[:, 4]
    np.testing.assert_array_equal(found[1:, 3], np.where(worst, 1.0, np.where(better, -1.0, 0.0)))


def test_groups_belong_to_the_content_of_bars() -> None:
    bars = made_bars(3, days=40)
    grouped = replace(bars, groups={"sector": np.zeros(bars.shape, dtype=np.int32)})
    assert grouped.fingerprint != bars.fingerprint
    assert grouped.between(3, 9).groups["sector"].shape == (6, 5)
