"""A DataFrame of daily bars as a market."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.expressions import evaluate
from alphafoundry.market import load_frame, load_market
from alphafoundry.simulation import SimulationSettings, simulate


def bars(days: int = 600, names: int = 30) -> pd.DataFrame:
    random = np.random.default_rng(2)
    dates = pd.bdate_range("2020-01-01", periods=days)
    symbols = [f"S{place:02d}" for place in range(names)]
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, (days, names)), axis=0))
    index = pd.MultiIndex.from_product([dates, symbols], names=["date", "symbol"])
    volume = random.integers(1_000, 9_000, days * names)
    return pd.DataFrame({"close": close.ravel(), "volume": volume}, index=index)


def test_a_frame_gives_the_panel_of_the_same_file(tmp_path: Path) -> None:
    frame = bars()
    frame.reset_index().to_parquet(tmp_path / "bars.parquet", index=False)
    read = load_market(str(tmp_path / "bars.parquet"), cache_dir=tmp_path / "cache")
    made = load_frame(frame)
    assert list(made.symbols) == list(read.symbols)
    np.testing.assert_array_equal(made.dates, read.dates)
    for name, values in read.fields.items():
        np.testing.assert_array_equal(made.fields[name], values)


def test_sectors_are_groups() -> None:
    frame = bars().reset_index()
    found = load_frame(frame, sectors={"S00": "Energy", "S01": "Health"})
    assert found.group_names["sector"] == ("Energy", "Health")
    assert list(found.groups["sector"][0, :3]) == [0, 1, -1]


def test_simulate_takes_a_frame() -> None:
    frame = bars().reset_index()
    settings = SimulationSettings(neutralization="MARKET")
    expected = simulate("-ts_delta(close, 5)", load_frame(frame), settings)
    found = simulate("-ts_delta(close, 5)", frame, settings)
    np.testing.assert_array_equal(found.days.pnl, expected.days.pnl)
    assert "sharpe" in repr(found)


def test_evaluate_takes_wide_frames() -> None:
    close = bars()["close"].unstack("symbol")
    expected = close.diff(5).rank(axis=1, method="average").sub(1).div(len(close.columns) - 1)
    np.testing.assert_allclose(
        evaluate("rank(ts_delta(close, 5))", {"close": close}), expected, rtol=1e-12
    )


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MarketError, match="DataFrame: no column close"):
        load_frame(bars().reset_index().rename(columns={"close": "price_now"}))
