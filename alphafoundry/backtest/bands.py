"""Rules that stay in a position until something ends it: breakout, bands, RSI.

All arrays hold one row per instrument; NaN in an input gives 0 on that day and ends a position.
"""

from __future__ import annotations

import math

from alphafoundry.compilation import FloatMatrix, kernel


@kernel
def break_out(
    close: FloatMatrix,
    entry_high: FloatMatrix,
    entry_low: FloatMatrix,
    exit_high: FloatMatrix,
    exit_low: FloatMatrix,
    down: float,
    out: FloatMatrix,
) -> None:
    """Enter where the close leaves yesterday's entry channel, leave at the exit channel's far side.

    entry_high, entry_low, exit_high, exit_low : channels up to and with each day; the close is
        compared with those of the day before. `down` is the signal of a fall, -1 or 0
    """
    for i in range(close.shape[0]):
        side = 0.0
        out[i, 0] = 0.0
        for t in range(1, close.shape[1]):
            price = close[i, t]
            top = entry_high[i, t - 1]
            bottom = entry_low[i, t - 1]
            if math.isnan(price) or math.isnan(top) or math.isnan(bottom):
                side = 0.0
            else:
                if (side > 0.0 and price < exit_low[i, t - 1]) or (
                    side < 0.0 and price > exit_high[i, t - 1]
                ):
                    side = 0.0
                if price > top:
                    side = 1.0
                elif price < bottom:
                    side = down
            out[i, t] = side


@kernel
def revert(
    value: FloatMatrix, low: float, high: float, middle: float, down: float, out: FloatMatrix
) -> None:
    """Be long from value <= low until value >= middle, short from value >= high until <= middle."""
    for i in range(value.shape[0]):
        side = 0.0
        for t in range(value.shape[1]):
            now = value[i, t]
            if math.isnan(now):
                side = 0.0
            else:
                if (side > 0.0 and now >= middle) or (side < 0.0 and now <= middle):
                    side = 0.0
                if now <= low:
                    side = 1.0
                elif now >= high:
                    side = down
            out[i, t] = side


@kernel
def follow(
    value: FloatMatrix, low: float, high: float, middle: float, down: float, out: FloatMatrix
) -> None:
    """Be long from value >= high until value < middle, short from value <= low until > middle."""
    for i in range(value.shape[0]):
        side = 0.0
        for t in range(value.shape[1]):
            now = value[i, t]
            if math.isnan(now):
                side = 0.0
            else:
                if (side > 0.0 and now < middle) or (side < 0.0 and now > middle):
                    side = 0.0
                if now >= high:
                    side = 1.0
                elif now <= low:
                    side = down
            out[i, t] = side


@kernel
def revert_pairs(value: FloatMatrix, entry: float, leave: float, out: FloatMatrix) -> None:
    """Trade each pair's z-score: short the first and long the second from entry until leave.

    value : z-score of log(first / second), shape (n_pairs, n_days)
    out : rows 2p and 2p + 1 belong to pair p; a last row without a partner is 0
    """
    for p in range(value.shape[0]):
        side = 0.0
        for t in range(value.shape[1]):
            now = value[p, t]
            if math.isnan(now):
                side = 0.0
            else:
                if (side > 0.0 and now >= -leave) or (side < 0.0 and now <= leave):
                    side = 0.0
                if now <= -entry:
                    side = 1.0
                elif now >= entry:
                    side = -1.0
            out[2 * p, t] = side
            out[2 * p + 1, t] = -side
    for i in range(2 * value.shape[0], out.shape[0]):
        out[i, :] = 0.0


@kernel
def strength(close: FloatMatrix, window: int, out: FloatMatrix) -> None:
    """Fill out with the relative strength index, 0 to 100 (Wilder 1978).

    The averages start with the plain mean of the first `window` changes and are smoothed by
    1 / window afterwards; a missing close starts them anew. Without any change in the averages
    the index is 50.
    """
    for i in range(close.shape[0]):
        count = 0
        up = 0.0
        fall = 0.0
        for t in range(close.shape[1]):
            out[i, t] = math.nan
            if t == 0 or math.isnan(close[i, t]) or math.isnan(close[i, t - 1]):
                count = 0
                up = 0.0
                fall = 0.0
                continue
            change = close[i, t] - close[i, t - 1]
            rise = max(change, 0.0)
            drop = max(-change, 0.0)
            count += 1
            if count <= window:
                up += rise / window
                fall += drop / window
            else:
                up += (rise - up) / window
                fall += (drop - fall) / window
            if count >= window:
                total = up + fall
                out[i, t] = 100.0 * up / total if total > 0.0 else 50.0
