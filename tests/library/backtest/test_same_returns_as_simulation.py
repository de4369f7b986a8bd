"""The simulation and the backtest of the same weights earn the same, missing bars included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alphafoundry.backtest import Bars, Costs, Execution, Sizing, backtest_signals
from alphafoundry.market import Panel, load_market
from alphafoundry.simulation.pnl import BOOK, daily_pnl

FREE = Execution(
    costs=Costs(commission_per_share=0.0, slippage_bps=0.0),
    sizing=Sizing(position_size_pct=1.0, max_exposure_pct=2.0),
)


def both(panel: Panel, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return daily returns of the simulation and of the backtest."""
    simulated = daily_pnl(weights, panel.fields["returns"], panel.dates, delay=0).pnl / BOOK
    bars = Bars.from_panel(panel)
    return simulated, backtest_signals(bars, weights, FREE).daily_returns


def spread(panel: Panel, seed: int) -> np.ndarray:
    """Return weights that hold names whether or not they have a bar that day."""
    draw = np.random.default_rng(seed)
    weights = draw.standard_normal(panel.shape)
    weights[draw.uniform(size=panel.shape) < 0.3] = 0.0
    found: np.ndarray = weights / np.abs(weights).sum(axis=1, keepdims=True)
    return found


@pytest.mark.parametrize(
    "name",
    ["us_equities_2016_2021", pytest.param("us_top3000_2012_2017", marks=pytest.mark.long)],
)
def test_the_engines_agree_on_real_bars(market_data: Path, tmp_path: Path, name: str) -> None:
    panel = load_market(str(market_data / f"{name}.parquet"), cache_dir=tmp_path)
    gaps = np.isnan(panel.fields["close"])
    reopened = ~gaps[2:] & gaps[1:-1] & ~np.isnan(panel.fields["returns"][2:])
    assert np.count_nonzero(reopened) > 20
    simulated, traded = both(panel, spread(panel, 1))
    np.testing.assert_allclose(simulated, traded, atol=1e-9, rtol=0)
    assert np.abs(simulated).max() > 1e-4


def test_the_engines_agree_on_the_calibration_market(market_cache: Path) -> None:
    panel = load_market("calibration", cache_dir=market_cache)
    simulated, traded = both(panel, spread(panel, 2))
    np.testing.assert_allclose(simulated, traded, atol=1e-9, rtol=0)


def test_a_commission_per_share_never_takes_more_than_its_cap() -> None:
    days, price = 30, 0.002
    close = np.full((days, 1), price)
    empty = np.full_like(close, np.nan)
    bars = Bars(
        days=np.datetime64("2024-01-01") + np.arange(days),
        symbols=("COIN",),
        open=empty,
        high=empty,
        low=empty,
        close=close,
        volume=empty,
        label="test",
        synthetic=True,
    )
    signals = np.tile([[1.0], [0.0]], (days // 2, 1))
    sizing = Sizing(position_size_pct=1.0)
    capped = backtest_signals(bars, signals, Execution(Costs(slippage_bps=0.0), sizing))
    np.testing.assert_allclose(capped.costs[:5], 0.01, rtol=0.02)
    free = Costs(slippage_bps=0.0, max_commission_pct=1.0)
    assert backtest_signals(bars, signals, Execution(free, sizing)).equity[-1] == 0.0
