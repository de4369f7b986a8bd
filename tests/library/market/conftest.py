"""Panels and files that the tests of the market room share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.market import Panel, load_market
from alphafoundry.market.bars import Bars


@pytest.fixture(scope="session")
def calibration(market_cache: Path) -> Panel:
    return load_market("calibration", cache_dir=market_cache)


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real-markets")


@pytest.fixture(scope="session")
def members_panel(market_data: Path, real_cache: Path) -> Panel:
    """470 S&P 500 members, 2016 to 2021."""
    return load_market(str(market_data / "us_equities_2016_2021.parquet"), cache_dir=real_cache)


@pytest.fixture
def bars() -> Callable[..., Bars]:
    """Return a maker of faultless random bars; keyword arrays replace columns."""

    def make(days: int = 60, names: int = 3, seed: int = 0, **columns: np.ndarray) -> Bars:
        draw = np.random.default_rng(seed)
        close = 50.0 * np.exp(np.cumsum(0.02 * draw.standard_normal((days, names)), axis=0))
        opening = close * np.exp(0.005 * draw.standard_normal((days, names)))
        values = {
            "open": opening,
            "high": np.maximum(opening, close) * 1.01,
            "low": np.minimum(opening, close) * 0.99,
            "close": close,
            "volume": np.rint(draw.uniform(1e5, 1e6, (days, names))),
        }
        values.update(columns)
        return Bars(
            dates=np.datetime64("2020-01-01") + np.arange(days),
            symbols=np.array([f"S{number}" for number in range(names)]),
            values=values,
        )

    return make


@pytest.fixture
def long_table() -> pd.DataFrame:
    """30 days of three names in long format."""
    draw = np.random.default_rng(7)
    days = pd.bdate_range("2021-03-01", periods=30)
    rows = []
    for symbol in ("BBB", "AAA", "CCC"):
        close = 20.0 * np.exp(np.cumsum(0.01 * draw.standard_normal(len(days))))
        rows.append(
            pd.DataFrame(
                {
                    "date": days,
                    "symbol": symbol,
                    "open": close * 0.999,
                    "high": close * 1.01,
                    "low": close * 0.99,
                    "close": close,
                    "volume": np.rint(draw.uniform(1e4, 1e5, len(days))),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)
