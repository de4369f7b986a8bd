"""A synthetic panel of any size for benchmarks; its prices are seeded random walks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SECTORS = 11


@dataclass(frozen=True)
class SeededPanel:
    """Fields and groups as of `Panel`, and a label that says that they are synthetic."""

    fields: dict[str, NDArray[np.float64]]
    groups: dict[str, NDArray[np.int32]]
    label: str


def seeded_panel(days: int, names: int, seed: int = 1) -> SeededPanel:
    """Return a synthetic panel of shape (days, names)."""
    random = np.random.default_rng(seed)
    shape = (days, names)
    returns = random.normal(0.0, 0.02, shape)
    close = np.cumsum(returns, axis=0)
    np.exp(close, out=close)
    close *= random.uniform(5.0, 500.0, names)
    noise = random.normal(0.0, 0.005, shape)
    opened = close * np.exp(noise)
    high = np.maximum(opened, close) * (1.0 + np.abs(noise))
    low = np.minimum(opened, close) * (1.0 - np.abs(noise))
    volume = np.rint(np.exp(random.normal(13.0, 1.0, shape)))
    returns[1:] = close[1:] / close[:-1] - 1.0
    returns[0] = np.nan
    fields = {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "vwap": (high + low + close) / 3.0,
        "returns": returns,
    }
    sector = np.tile(random.integers(0, SECTORS, names).astype(np.int32), (days, 1))
    label = f"seeded {days} x {names}, synthetic"
    return SeededPanel(fields, {"sector": sector}, label)
