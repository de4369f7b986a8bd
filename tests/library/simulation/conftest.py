"""Markets that the tests of the simulation room share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from alphafoundry.market import Panel

DAYS, NAMES = 620, 60


def make_panel(
    *, days: int = DAYS, names: int = NAMES, seed: int = 0, groups: bool = True, **changes: Any
) -> Panel:
    """Return a random market with holes; `changes` replace attributes of the panel."""
    draw = np.random.default_rng(seed)
    returns = 0.02 * draw.standard_normal((days, names))
    close = 50.0 * np.exp(np.cumsum(returns, axis=0))
    volume = np.rint(draw.uniform(1e5, 1e6, (days, names)) * np.arange(1, names + 1))
    absent = draw.uniform(size=close.shape) < 0.01
    close[absent], volume[absent] = np.nan, np.nan
    shape = (days, names)
    labels: dict[str, np.ndarray] = {"market": np.zeros(shape, np.int32)}
    if groups:
        sector = np.broadcast_to(np.arange(names, dtype=np.int32) % 4 - 1, shape).copy()
        labels |= {"sector": sector, "industry": (sector + 1) // 2, "subindustry": sector}
    values: dict[str, Any] = {
        "dates": np.busday_offset("2018-01-02", np.arange(days)).astype("datetime64[D]"),
        "symbols": np.array([f"S{number}" for number in range(names)]),
        "fields": fields_of(close, volume),
        "groups": labels,
        "group_names": {"sector": ("Energy", "Finance", "Health")} if groups else {},
        "source": "test",
        "label": "a test market",
        "synthetic": True,
        "fingerprint": f"{seed:016x}",
    }
    return Panel(**values | changes)


def fields_of(close: np.ndarray, volume: np.ndarray) -> dict[str, np.ndarray]:
    returns = np.full_like(close, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1.0
    return {"close": close, "returns": returns, "volume": volume}


def changed_after(panel: Panel, day: int, seed: int = 1) -> Panel:
    """Return the market with every bar after row `day` replaced by another."""
    draw = np.random.default_rng(seed)
    close = panel.fields["close"].copy()
    volume = panel.fields["volume"].copy()
    close[day + 1 :] = draw.uniform(1.0, 100.0, close[day + 1 :].shape)
    volume[day + 1 :] = draw.uniform(1.0, 1e9, volume[day + 1 :].shape)
    values: Mapping[str, Any] = {**vars(panel), "fields": fields_of(close, volume)}
    return Panel(**values)


@pytest.fixture(scope="session")
def panel() -> Panel:
    return make_panel()


@pytest.fixture(scope="session")
def panel_maker() -> Callable[..., Panel]:
    return make_panel
