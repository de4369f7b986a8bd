"""The whole pipeline written slowly with pandas, as an independent reference."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

BOOK = 20e6


def decay(values: pd.DataFrame, days: int) -> pd.DataFrame:
    if days < 2:
        return values
    known = values.where(np.isfinite(values), 0.0)
    total = sum(known.shift(k).fillna(0.0) * (days - k) for k in range(days))
    weights = [sum(days - k for k in range(min(days, t + 1))) for t in range(len(values))]
    return total.div(pd.Series(weights, index=values.index), axis=0).where(np.isfinite(values))


def weights_of_day(values: pd.Series, labels: pd.Series | None, truncation: float) -> pd.Series:
    held = values[np.isfinite(values)]
    if labels is not None:
        centered = held - held.groupby(labels[held.index].clip(lower=-1)).transform("mean")
        held = centered.where(centered.abs() > 1e-9, 0.0)
    sizes = held.abs()
    if not sizes.sum() > 0:
        return pd.Series(0.0, index=values.index)
    if truncation > 0:
        held = np.sign(held) * sizes.clip(upper=cut(sizes, truncation))
    return (held / held.abs().sum()).reindex(values.index, fill_value=0.0)


def cut(sizes: pd.Series, truncation: float) -> float:
    """Return the size c with c = truncation * sum of min(size, c), by halving intervals."""
    values = sizes.to_numpy()
    if (values > 0).sum() * truncation <= 1.0:
        return float(values[values > 0].min())
    low, high = 0.0, float(values.max())
    if high <= truncation * values.sum():
        return high
    for _ in range(100):
        middle = (low + high) / 2
        if middle > truncation * np.minimum(values, middle).sum():
            high = middle
        else:
            low = middle
    return high


def pipeline(
    values: pd.DataFrame,
    mask: pd.DataFrame,
    labels: pd.DataFrame | None,
    *,
    days: int,
    truncation: float,
) -> pd.DataFrame:
    decayed = decay(values, days).where(mask)
    return pd.DataFrame(
        [
            weights_of_day(
                decayed.loc[day], None if labels is None else labels.loc[day], truncation
            )
            for day in decayed.index
        ],
        index=values.index,
    )


def profit(weights: pd.DataFrame, returns: pd.DataFrame, delay: int) -> pd.DataFrame:
    """Return pnl, traded, longs and shorts by day."""
    positions = weights.shift(1 + delay).fillna(0.0)
    changes = positions.diff()
    changes.iloc[0] = positions.iloc[0]
    return pd.DataFrame(
        {
            "pnl": BOOK * (positions * returns).sum(axis=1),
            "traded": BOOK * changes.abs().sum(axis=1),
            "longs": (positions > 0).sum(axis=1),
            "shorts": (positions < 0).sum(axis=1),
        }
    )


def numbers(days: pd.DataFrame) -> dict[str, float]:
    pnl = days["pnl"]
    sharpe = math.sqrt(252) * pnl.mean() / pnl.std(ddof=0)
    returns = pnl.mean() * 252 / 10e6
    turnover = days["traded"].mean() / BOOK
    wealth = pd.concat([pd.Series([0.0]), pnl.cumsum()])
    return {
        "pnl": pnl.sum(),
        "sharpe": sharpe,
        "returns": returns,
        "turnover": turnover,
        "margin": pnl.sum() / days["traded"].sum(),
        "fitness": sharpe * math.sqrt(abs(returns) / max(turnover, 0.125)),
        "drawdown": (wealth.cummax() - wealth).max() / 10e6,
        "long_count": days["longs"].mean(),
        "short_count": days["shorts"].mean(),
    }
