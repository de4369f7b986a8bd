"""Markets that cannot carry research are refused before anything is spent on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel, load_frame, require_suitable
from alphafoundry.research.run import research_run
from alphafoundry.settings import FoundrySettings


def market(days: int, names: int, *, volume: bool = True) -> Panel:
    draw = np.random.default_rng(5)
    index = pd.bdate_range("2019-01-01", periods=days)
    close = 50 * np.exp(np.cumsum(0.01 * draw.standard_normal((days, names)), axis=0))
    symbols = [f"S{number:03d}" for number in range(names)]
    wide = {"close": pd.DataFrame(close, index=index, columns=symbols)}
    if volume:
        wide["volume"] = pd.DataFrame(1_000.0, index=index, columns=symbols)
    return load_frame(wide)


@pytest.mark.parametrize(
    ("make", "universe", "part"),
    [
        (lambda: market(600, 1), "TOP200", r"1 name \(S000\) cannot be ranked"),
        (lambda: market(5, 10), "TOP200", "5 days are too few"),
        (lambda: market(499, 10), "TOP3000", "499 days are too few"),
        (lambda: market(500, 10), "TOP3000", "only 499 days have"),
        (
            lambda: market(600, 201, volume=False),
            "TOP200",
            "no volume to find the 200 most traded of 201 names by .*; choose universe TOP500",
        ),
        (lambda: market(600, 10), "TOP9", "unknown; choose one of TOP3000"),
    ],
    ids=["one name", "five rows", "too short", "a day without ranking", "no volume", "unknown"],
)
def test_what_cannot_carry_research(make: Callable[[], Panel], universe: str, part: str) -> None:
    with pytest.raises(MarketError, match=part):
        require_suitable(make(), universe=universe)


@pytest.mark.parametrize(
    ("make", "universe"),
    [
        (lambda: market(501, 2), "TOP3000"),
        (lambda: market(500, 200, volume=False), "TOP200"),
        (lambda: market(600, 250), "TOP200"),
    ],
)
def test_what_can(make: Callable[[], Panel], universe: str) -> None:
    require_suitable(make(), universe=universe)


def test_names_that_never_trade_at_the_same_time(tmp_path: Path) -> None:
    close = market(600, 2).fields["close"].copy()
    close[:300, 0] = np.nan
    close[300:, 1] = np.nan
    index = pd.bdate_range("2019-01-01", periods=600)
    panel = load_frame(pd.DataFrame(close, index=index, columns=["A", "B"]))
    with pytest.raises(MarketError, match="days have 2 or more names"):
        require_suitable(panel, universe="TOP3000")


def test_a_run_ends_before_its_first_simulation(tmp_path: Path) -> None:
    days = pd.bdate_range("2019-01-01", periods=600)
    path = tmp_path / "AAPL.csv"
    path.write_text(
        "\n".join(["Date,Close", *(f"{day:%Y-%m-%d},{9 + n % 5}" for n, day in enumerate(days))])
    )
    settings = FoundrySettings(market=str(path), home=tmp_path / "home")

    async def run() -> None:
        async with research_run(settings, flow="generate", lanes=1):
            raise AssertionError("the run has begun")

    with pytest.raises(MarketError, match=r"1 name \(AAPL\)"):
        asyncio.run(run())
