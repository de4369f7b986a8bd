"""Bars for races."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alphafoundry.finance.bars import TickerBars


def walking_bars(ticker: str = "AAA", days: int = 120, seed: int = 1) -> TickerBars:
    """A random walk with open, high and low around the close."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0.0003, 0.015, days)))
    open_ = close * np.exp(rng.normal(0, 0.004, days))
    return TickerBars(
        ticker=ticker,
        dates=np.datetime64("2021-01-04") + np.arange(days),
        open=open_,
        high=np.maximum(open_, close) * 1.01,
        low=np.minimum(open_, close) * 0.99,
        close=close,
        volume=rng.integers(10**5, 10**6, days).astype(np.float64),
    )


def on_exchange_days(bars: TickerBars) -> TickerBars:
    """The same bars from Monday to Friday, of which a year has 252."""
    days = np.busday_offset("2021-01-04", np.arange(len(bars.dates)))
    return replace(bars, dates=days)


def rising_bars(ticker: str = "UP", days: int = 120) -> TickerBars:
    """Every price and volume of day s is s + 1, so a value tells the day it is from."""
    day = np.arange(1.0, days + 1.0)
    dates = np.datetime64("2021-01-04") + np.arange(days)
    return TickerBars(ticker, dates, day, day, day, day, day)
