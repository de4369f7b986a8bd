"""Weekly and seven-day bars are annualised by what their dates say, and rounding is no risk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from alphafoundry.finance.bars import Bars
from alphafoundry.finance.statistics import deviation, metrics_of, sharpe
from alphafoundry.market import Panel, load_frame
from alphafoundry.simulation import SimulationSettings, simulate

SETTINGS = SimulationSettings(neutralization="MARKET")


@pytest.mark.parametrize(("frequency", "year"), [("W-FRI", 52), ("D", 365), ("ME", 12), ("B", 252)])
def test_a_simulation_is_annualised_by_its_dates(
    panel_maker: Callable[..., Panel], frequency: str, year: float
) -> None:
    daily = panel_maker(days=700)
    dates = pd.date_range("1970-01-02", periods=700, freq=frequency).to_numpy()
    panel = replace(daily, dates=dates.astype("datetime64[D]"))
    found = simulate("rank(ts_delta(close, 20))", panel, SETTINGS)
    pnl = found.daily_pnl
    assert found.statistics.sharpe == pytest.approx(np.sqrt(year) * pnl.mean() / pnl.std())
    assert found.statistics.returns == pytest.approx(pnl.sum() / 10e6 * year / len(pnl))
    reference = simulate("rank(ts_delta(close, 20))", daily, SETTINGS).statistics
    assert found.statistics.pnl == reference.pnl
    if year == 252:
        assert found.statistics.sharpe == reference.sharpe


def test_a_backtest_is_annualised_by_its_dates() -> None:
    returns = 0.02 * np.random.default_rng(0).standard_normal(300)
    weekly = metrics_of(returns, bars_a_year=52.0)
    daily = metrics_of(returns)
    assert weekly.sharpe == pytest.approx(daily.sharpe * np.sqrt(52 / 252))
    assert weekly.volatility == pytest.approx(np.sqrt(52) * returns.std())
    assert 1 + weekly.annual_return == pytest.approx((1 + daily.total_return) ** (52 / 300))
    assert weekly.max_drawdown == daily.max_drawdown


@pytest.mark.parametrize("growth", [1.001, 0.9995, 1.02])
@pytest.mark.parametrize("start", [37.0, 1e-4, 123456.7])
def test_what_rounding_leaves_of_a_constant_growth_is_no_risk(growth: float, start: float) -> None:
    price = start * growth ** np.arange(560)
    returns = np.diff(price) / price[:-1]
    assert 0 < returns.std() < 1e-12
    assert deviation(returns) == 0.0
    assert np.isnan(sharpe(returns))
    assert np.isnan(metrics_of(returns).sharpe)
    assert metrics_of(returns).volatility == 0.0
    days = np.busday_offset("2020-01-06", np.arange(560), roll="forward")
    frame = pd.DataFrame(
        {
            "date": np.tile(days, 3),
            "symbol": np.repeat(["A", "B", "C"], 560),
            "close": np.concatenate([price, 2 * price, 3 * price]),
        }
    )
    found = simulate("1", load_frame(frame), SimulationSettings(neutralization="NONE"))
    assert np.isnan(found.statistics.sharpe)
    assert np.isnan(found.statistics.fitness)


def test_a_small_but_real_risk_stays_a_risk() -> None:
    draw = np.random.default_rng(1)
    returns = 0.01 + 1e-6 * draw.standard_normal(500)
    assert sharpe(returns) == pytest.approx(np.sqrt(252) * returns.mean() / returns.std())
    assert metrics_of(returns).sharpe == pytest.approx(sharpe(returns))


def test_bars_of_a_backtest_know_their_year(panel_maker: Callable[..., Panel]) -> None:
    assert Bars.from_panel(panel_maker()).bars_a_year == 252
