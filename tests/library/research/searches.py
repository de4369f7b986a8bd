"""Whole searches on small markets, in seconds and without a workflow engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.market import Panel
from alphafoundry.market.identity import Market
from alphafoundry.research.run import ResearchRun, research_run
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from alphafoundry.store import AlphaRecord, DailyPnl, Store, record_alpha

DAYS, NAMES = 1100, 30


def make_market(
    seed: int,
    *,
    days: int = DAYS,
    names: int = NAMES,
    reversal: float = 0.0,
    drift: float = 0.0,
) -> Panel:
    """Return prices without direction, except that yesterday's losers gain `reversal` times."""
    draw = np.random.default_rng(seed)
    returns = 0.015 * draw.standard_normal((days, names))
    for day in range(2, days):
        before = returns[day - 2]
        returns[day] += drift - reversal * (before - before.mean())
    close = 50.0 * np.cumprod(1.0 + returns, axis=0)
    opening = close / (1.0 + 0.5 * returns)
    spread = 1.0 + 0.004 * draw.random((days, names))
    volume = np.rint(np.exp(13.0 + 0.5 * draw.standard_normal((days, names))))
    seen = {
        "open": opening,
        "high": np.maximum(opening, close) * spread,
        "low": np.minimum(opening, close) / spread,
        "close": close,
        "volume": volume,
        "vwap": (opening + close) / 2.0,
        "returns": np.vstack([np.full(names, np.nan), close[1:] / close[:-1] - 1.0]),
    }
    groups = {"market": np.zeros((days, names), np.int32)}
    for name, size in (("sector", 3), ("industry", 6), ("subindustry", 10)):
        row = (np.arange(names) % size).astype(np.int32)
        groups[name] = np.broadcast_to(row, (days, names)).copy()
    return Panel(
        dates=np.busday_offset("2018-01-02", np.arange(days)).astype("datetime64[D]"),
        symbols=np.array([f"S{number:02}" for number in range(names)]),
        fields=seen,
        groups=groups,
        source="test",
        label=f"SYNTHETIC test market {seed}, {names} names x {days} days",
        synthetic=True,
        fingerprint=f"{seed:016x}",
        market=Market(f"test market {seed} {reversal:g} {drift:g}"),
    )


def with_other_sealed_days(panel: Panel, first_row: int, seed: int) -> Panel:
    """Return the market with every value from `first_row` on replaced by another."""
    draw = np.random.default_rng(seed)
    changed = {}
    for name, values in panel.fields.items():
        other = values.copy()
        other[first_row:] = draw.uniform(0.01, 100.0, other[first_row:].shape)
        changed[name] = other
    groups = {name: values.copy() for name, values in panel.groups.items()}
    for values in groups.values():
        values[first_row:] = draw.permutation(values[first_row:], axis=1)
    return Panel(**{**vars(panel), "fields": changed, "groups": groups})


async def searched(
    panel: Panel, home: Path, *, simulations: int = 40, flow: str = "search", **flags: object
) -> ResearchRun:
    """Search `panel` with a database in `home`; return the run, which is over."""
    settings = load_settings(
        environment={},
        **{"home": home, "simulations": simulations, **flags},
    )
    async with research_run(settings, flow=flow, lanes=2, panel=panel) as run:
        await search_all(run)
        return run


def record_hopeful(
    store: Store,
    service: str,
    alpha_id: str,
    expression: str,
    *,
    seed: int,
    sharpe: float = 1.5,
    checks: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Store a hopeful alpha with made-up PnL of four years."""
    draw = np.random.default_rng(seed)
    dates = np.busday_offset("2018-01-02", np.arange(1000)).astype("datetime64[D]")
    pnl = 1e5 * (draw.standard_normal(1000) + sharpe / 252**0.5)
    record_alpha(
        store,
        service,
        AlphaRecord(
            alpha_id,
            expression,
            {"decay": 4},
            sharpe=sharpe,
            fitness=1.0,
            turnover=0.2,
            checks=checks,
            hopeful=True,
        ),
        daily_pnl=DailyPnl(dates, pnl),
    )
