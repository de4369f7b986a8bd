"""Rolling sum, product, minimum and maximum.

Time is cut into blocks of the window's length. A window is the end of one block and the start of
the next: each is accumulated from its own cells only, so nothing drifts, and a NaN or inf is
felt in exactly the windows that hold it. Cost per cell does not depend on the window.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import WIDTH, FloatPanel, kernel

Row = NDArray[np.float64]


@kernel
def _extend(mode: int, x: Row, after: Row, result: Row) -> None:
    """Combine two rows; mode 0 sum, 1 product, 2 minimum, 3 maximum. NaN wins."""
    if mode == 0:
        for j in range(result.shape[0]):
            result[j] = x[j] + after[j]
    elif mode == 1:
        for j in range(result.shape[0]):
            result[j] = x[j] * after[j]
    elif mode == 2:
        for j in range(result.shape[0]):
            a, b = x[j], after[j]
            result[j] = a if (a < b or math.isnan(a)) else b
    else:
        for j in range(result.shape[0]):
            a, b = x[j], after[j]
            result[j] = a if (a > b or math.isnan(a)) else b


@kernel
def _advance(mode: int, x: Row, so_far: Row, end: Row, scale: float, out: Row) -> None:
    """Take one more row into so_far; fill out with what it makes together with end."""
    if mode == 0:
        for j in range(out.shape[0]):
            total = so_far[j] + x[j]
            so_far[j] = total
            out[j] = (end[j] + total) * scale
    elif mode == 1:
        for j in range(out.shape[0]):
            total = so_far[j] * x[j]
            so_far[j] = total
            out[j] = end[j] * total * scale
    elif mode == 2:
        for j in range(out.shape[0]):
            a, b = so_far[j], x[j]
            least = a if (a < b or math.isnan(a)) else b
            so_far[j] = least
            c = end[j]
            out[j] = (c if (c < least or math.isnan(c)) else least) * scale
    else:
        for j in range(out.shape[0]):
            a, b = so_far[j], x[j]
            most = a if (a > b or math.isnan(a)) else b
            so_far[j] = most
            c = end[j]
            out[j] = (c if (c > most or math.isnan(c)) else most) * scale


@kernel
def rolling_total(
    x: FloatPanel, d: int, mode: int, scale: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the total of the last d rows times scale; NaN before d rows are there.

    mode : 0 sum, 1 product, 2 minimum, 3 maximum
    x, out : shape (n_days, n_instruments); columns first..last are filled
    """
    days = x.shape[0]
    nothing = 0.0
    if mode == 1:
        nothing = 1.0
    elif mode == 2:
        nothing = math.inf
    elif mode == 3:
        nothing = -math.inf
    ends = np.empty((min(d, days) + 1, WIDTH))
    ends[-1] = nothing
    so_far_row = np.empty(WIDTH)
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        width = right - left
        so_far = so_far_row[:width]
        for start in range(0, days, d):
            stop = min(start + d, days)
            so_far[:] = nothing
            for t in range(start, stop):
                alone = start == 0 or t - start == d - 1
                end = ends[-1 if alone else t - start + 1, :width]
                _advance(mode, x[t, left:right], so_far, end, scale, out[t, left:right])
                if t < d - 1:
                    out[t, left:right] = math.nan
            if stop < days:
                ends[d - 1, :width] = x[stop - 1, left:right]
                for r in range(d - 2, 0, -1):
                    _extend(mode, x[start + r, left:right], ends[r + 1, :width], ends[r, :width])


@kernel
def rolling_scale(
    x: FloatPanel,
    d: int,
    constant: float,
    low: FloatPanel,
    high: FloatPanel,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with (x - low) / (high - low) + constant; NaN where low equals high."""
    for t in range(x.shape[0]):
        for j in range(first, last):
            spread = high[t, j] - low[t, j]
            out[t, j] = (x[t, j] - low[t, j]) / spread + constant if spread != 0 else math.nan
