"""Small made-up markets for the backtest's tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest import Bars


def made_bars(
    seed: int = 0, days: int = 120, instruments: int = 5, *, gaps: float = 0.0, step: float = 0.02
) -> Bars:
    """Return a random walk with highs and lows around it; `gaps` is the share of missing days."""
    random = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(random.normal(0.0, step, (days, instruments)), axis=0))
    close[random.random(close.shape) < gaps] = np.nan
    return bars_of(
        close,
        high=close * (1.0 + random.uniform(0.0, 0.01, close.shape)),
        low=close * (1.0 - random.uniform(0.0, 0.01, close.shape)),
        volume=random.uniform(1e4, 1e6, close.shape),
    )


def bars_of(
    close: NDArray[np.float64],
    *,
    high: NDArray[np.float64] | None = None,
    low: NDArray[np.float64] | None = None,
    volume: NDArray[np.float64] | None = None,
) -> Bars:
    """Return bars of these closes; what is not given is the close."""
    days, instruments = close.shape
    return Bars(
        days=np.busday_offset("2020-01-01", np.arange(days)).astype("datetime64[D]"),
        symbols=tuple(f"S{column}" for column in range(instruments)),
        open=close,
        high=close if high is None else high,
        low=close if low is None else low,
        close=close,
        volume=close if volume is None else volume,
        label="SYNTHETIC test",
        synthetic=True,
    )


def with_other_future(bars: Bars, last_known: int, seed: int = 99) -> Bars:
    """Return bars equal up to and with row `last_known`, and different after it."""
    random = np.random.default_rng(seed)

    def changed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        other = values.copy()
        later = other[last_known + 1 :]
        later *= random.uniform(0.5, 2.0, later.shape)
        later[random.random(later.shape) < 0.1] = np.nan
        return other

    return Bars(
        days=bars.days,
        symbols=bars.symbols,
        open=changed(bars.open),
        high=changed(bars.high),
        low=changed(bars.low),
        close=changed(bars.close),
        volume=changed(bars.volume),
        label=bars.label,
        synthetic=True,
    )
