"""A small market whose truth is known, quick enough for hundreds of simulations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from alphafoundry.market.panel import Panel

DAYS = 800
NAMES = 40


def small_panel(seed: int = 5) -> Panel:
    """Return 40 names over 800 days; tomorrow's return grows with log volume and with log cap."""
    draw = np.random.default_rng(seed)
    size, attention = _slow(draw), _slow(draw)
    returns = 0.01 * draw.standard_normal((DAYS, NAMES))
    returns[2:] += 0.0015 * (size + attention)[:-2]
    close = 50 * np.cumprod(1 + returns, axis=0)
    labels = np.broadcast_to(np.arange(NAMES, dtype=np.int32) % 4, (DAYS, NAMES))
    return Panel(
        dates=np.busday_offset("2020-01-01", np.arange(DAYS), roll="forward"),
        symbols=np.array([f"N{number:02}" for number in range(NAMES)]),
        fields={
            "close": close,
            "returns": np.vstack([np.full(NAMES, np.nan), returns[1:]]),
            "volume": np.exp(12 + attention),
            "cap": np.exp(20 + size),
        },
        groups={"market": np.zeros((DAYS, NAMES), np.int32), "sector": labels.copy()},
        source="calibration",
        label=f"SYNTHETIC test market, {NAMES} names × {DAYS} days",
        synthetic=True,
        fingerprint=f"{seed:016x}",
        group_names={"market": ("all",), "sector": ("a", "b", "c", "d")},
    )


def write_market(path: Path) -> Path:
    """Write the market as a parquet file in long format."""
    panel = small_panel()
    frame = pd.DataFrame(
        {
            "date": np.repeat(panel.dates, NAMES),
            "symbol": np.tile(panel.symbols, DAYS),
            **{name: panel.fields[name].ravel() for name in ("close", "volume", "cap")},
        }
    )
    frame.to_parquet(path)
    return path


def _slow(draw: np.random.Generator) -> np.ndarray:
    values = draw.standard_normal((DAYS, NAMES))
    for day in range(1, DAYS):
        values[day] = 0.95 * values[day - 1] + 0.31 * values[day]
    return values
