"""A small market with a planted reversal, and strategies on it."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from alphafoundry.market import Panel
from alphafoundry.simulation import SimulationSettings
from alphafoundry.trading.portfolio import LiveStrategy

DAYS, NAMES = 420, 60


def market(
    *, days: int = DAYS, names: int = NAMES, seed: int = 0, effect: float = 0.15, **changes: Any
) -> Panel:
    """Return a market whose names fall back by `effect` of their own move of the last days."""
    draw = np.random.default_rng(seed)
    sector = np.arange(names, dtype=np.int32) % 5
    common = 0.008 * draw.standard_normal((days, 1))
    by_sector = 0.004 * draw.standard_normal((days, 5))[:, sector]
    own = 0.015 * draw.standard_normal((days, names))
    for t in range(7, days):
        own[t] -= effect * own[t - 6 : t - 1].mean(axis=0)
    close = 40.0 * np.exp(np.cumsum(common + by_sector + own, axis=0))
    volume = np.rint(draw.uniform(4e5, 6e5, (days, names)))
    volume[draw.uniform(size=close.shape) < 0.002] = np.nan
    close = np.where(np.isnan(volume), np.nan, close)
    shape = (days, names)
    labels = np.broadcast_to(sector, shape).copy()
    values: dict[str, Any] = {
        "dates": np.busday_offset("2020-01-02", np.arange(days)).astype("datetime64[D]"),
        "symbols": np.array([f"S{number:02d}" for number in range(names)]),
        "fields": fields_of(close, volume),
        "groups": {"market": np.zeros(shape, np.int32), "sector": labels, "industry": labels},
        "group_names": {"sector": ("Autos", "Banks", "Chips", "Drugs", "Energy")},
        "source": "test",
        "label": "SYNTHETIC test market",
        "synthetic": True,
        "fingerprint": f"{seed:016x}",
    }
    return Panel(**values | changes)


def fields_of(close: np.ndarray, volume: np.ndarray) -> dict[str, np.ndarray]:
    from alphafoundry.market.returns import simple_returns

    return {"close": close, "returns": simple_returns(close), "volume": volume}


def strategy(
    alpha_id: str, expression: str, *, until: date = date(2020, 6, 1), **settings: Any
) -> LiveStrategy:
    return LiveStrategy(alpha_id, expression, SimulationSettings(**settings), until, "unproven")


REVERSAL = strategy("reversal", "-ts_delta(close, 5) / ts_delay(close, 5)")
TREND = strategy("trend", "ts_delay(close, 5) / ts_delay(close, 40)")
CALM = strategy("calm", "-ts_std_dev(returns, 20)")
