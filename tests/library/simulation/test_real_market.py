"""Simulations on real bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alphafoundry.market import Panel, load_market
from alphafoundry.market.universe import universe_mask
from alphafoundry.simulation import SimulationSettings, Simulator, simulate


@pytest.fixture(scope="module")
def members(market_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Panel:
    """470 S&P 500 members, 2016 to 2021."""
    return load_market(
        str(market_data / "us_equities_2016_2021.parquet"),
        cache_dir=tmp_path_factory.mktemp("market"),
    )


@pytest.mark.parametrize("neutralization", ["NONE", "MARKET", "SECTOR", "INDUSTRY"])
def test_a_reversal_runs_on_real_stocks(members: Panel, neutralization: str) -> None:
    settings = SimulationSettings(neutralization=neutralization, decay=4)
    found = simulate("rank(-ts_delta(close,5))", members, settings)
    numbers = found.statistics.to_brain()
    assert all(value is not None for value in numbers.values())
    assert np.isfinite(found.daily_pnl).all()
    assert 4.5 < len(found.daily_pnl) / 252 < 5.0
    assert found.statistics.start_date < "2016-06-10"
    assert abs(found.statistics.sharpe) < 5
    assert 0.05 < found.statistics.turnover < 0.6
    assert sum(year.statistics.pnl for year in found.yearly) == pytest.approx(found.statistics.pnl)
    assert any("470 names" in note for note in found.notes)


def test_holding_everything_earns_what_the_stocks_earned(members: Panel) -> None:
    """Equal weights on all names: the crash of March 2020 is in, and the years around it."""
    settings = SimulationSettings(neutralization="NONE", truncation=0.0, delay=0)
    found = simulate("close / close", members, settings)
    rows = len(found.dates)
    held = universe_mask(members, "TOP3000")[0] & ~np.isnan(members.fields["close"])
    held = held[-1 - rows : -1]
    earned = np.where(held, np.nan_to_num(members.fields["returns"][-rows:]), 0.0)
    average = earned.sum(axis=1) / held.sum(axis=1)
    np.testing.assert_allclose(found.daily_pnl / 20e6, average, atol=1e-12)
    assert found.statistics.returns == pytest.approx(2 * 252 * average.mean())
    assert 0.5 < found.statistics.drawdown < 1.2


def test_a_market_of_twenty_names_says_that_it_is_too_small(
    tmp_path: Path,
) -> None:
    pytest.importorskip("skfolio")
    panel = load_market("sample", cache_dir=tmp_path)
    found = Simulator(panel).simulate("-returns", SimulationSettings(neutralization="MARKET"))
    check = next(check for check in found.checks if check.name == "CONCENTRATED_WEIGHT")
    assert check.result == "FAIL"
    assert check.message is not None
    assert "only 20 instruments" in check.message
    assert any("no volume" in note for note in found.notes)
