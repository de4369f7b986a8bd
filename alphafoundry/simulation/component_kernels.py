"""Compiled loops of SUPER alphas: what each component did day by day, and their sum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel

NOISE = 1e-12
"""What a sum leaves counts as 0 below this share of what went into it: it is rounding, and scaled
to a whole book it would be a position."""


@kernel
def component_days(
    weights: FloatPanel, returns: FloatPanel, close: FloatPanel, lag: int, found: FloatPanel
) -> None:
    """Fill found, shape (11, n_days), with what a book of 1 did each day.

    Rows: PnL, PnL of what was kept, value kept, shares kept, value traded, shares traded, long
    value, short value, long count, short count, largest |weight|.

    The position of day t is the weights of day t - lag, held since the close of t - 1. A missing
    return earns 0; shares of a name whose close is missing are not counted.
    """
    n_days, n_names = weights.shape
    found[:] = 0.0
    nothing = np.zeros(n_names)
    for t in range(lag, n_days):
        now = weights[t - lag]
        before = weights[t - lag - 1] if t > lag else nothing
        for i in range(n_names):
            weight, earlier = now[i], before[i]
            kept = 0.0
            if weight > 0.0 and earlier > 0.0:
                kept = min(weight, earlier)
            elif weight < 0.0 and earlier < 0.0:
                kept = max(weight, earlier)
            change = abs(weight - earlier)
            if math.isfinite(returns[t, i]):
                found[0, t] += weight * returns[t, i]
                found[1, t] += kept * returns[t, i]
            found[2, t] += abs(kept)
            found[4, t] += change
            price = close[t - 1, i]
            if price > 0.0 and price < math.inf:
                found[3, t] += abs(kept) / price
                found[5, t] += change / price
            if weight > 0.0:
                found[6, t] += weight
                found[8, t] += 1.0
            elif weight < 0.0:
                found[7, t] -= weight
                found[9, t] += 1.0
            found[10, t] = max(found[10, t], abs(weight))


@kernel
def add_component(
    total: FloatPanel, size: FloatPanel, weights: FloatPanel, share: NDArray[np.float64]
) -> None:
    """Add share[t] * weights[t] to total[t], and what it adds in absolute value to size[t].

    A share that is NaN or infinite adds nothing.
    """
    n_days, n_names = total.shape
    for t in range(n_days):
        if not math.isfinite(share[t]):
            continue
        for i in range(n_names):
            added = share[t] * weights[t, i]
            total[t, i] += added
            size[t, i] += abs(added)


@kernel
def settle_sum(total: FloatPanel, size: FloatPanel) -> None:
    """Put NaN where nothing was added, and 0 where what is left is rounding."""
    n_days, n_names = total.shape
    for t in range(n_days):
        for i in range(n_names):
            if size[t, i] == 0.0:
                total[t, i] = math.nan
            elif abs(total[t, i]) < NOISE * size[t, i]:
                total[t, i] = 0.0
