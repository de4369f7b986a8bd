"""Rolling sum, product, minimum and maximum.

Time is cut into blocks of the window's length. A window is the end of one block and the start of
the next: each is accumulated from its own cells only, so nothing drifts, and a NaN or inf is
felt in exactly the windows that hold it. Cost per cell does not depend on the window.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.kernels.compilation import WIDTH, FloatPanel, kernel


@kernel
def _include(
    mode: int, into: NDArray[np.float64], other: NDArray[np.float64], result: NDArray[np.float64]
) -> None:
    """Combine two rows; mode 0 sum, 1 product, 2 minimum, 3 maximum. NaN wins."""
    if mode == 0:
        for j in range(result.shape[0]):
            result[j] = into[j] + other[j]
    elif mode == 1:
        for j in range(result.shape[0]):
            result[j] = into[j] * other[j]
    elif mode == 2:
        for j in range(result.shape[0]):
            a, b = into[j], other[j]
            result[j] = a if (a < b or math.isnan(a)) else b
    else:
        for j in range(result.shape[0]):
            a, b = into[j], other[j]
            result[j] = a if (a > b or math.isnan(a)) else b


@kernel
def _include_here(mode: int, so_far: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    """Do what `_include` does in place; overlapping arrays would keep it from vector code."""
    if mode == 0:
        for j in range(so_far.shape[0]):
            so_far[j] += other[j]
    elif mode == 1:
        for j in range(so_far.shape[0]):
            so_far[j] *= other[j]
    elif mode == 2:
        for j in range(so_far.shape[0]):
            a, b = so_far[j], other[j]
            so_far[j] = a if (a < b or math.isnan(a)) else b
    else:
        for j in range(so_far.shape[0]):
            a, b = so_far[j], other[j]
            so_far[j] = a if (a > b or math.isnan(a)) else b


@kernel
def rolling_total(
    x: FloatPanel, d: int, mode: int, scale: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the total of the last d rows times scale; NaN before d rows are there.

    mode : 0 sum, 1 product, 2 minimum, 3 maximum
    x, out : shape (n_days, n_instruments); columns first..last are filled
    """
    days = x.shape[0]
    ends = np.empty((min(d, days), WIDTH))
    start_row = np.empty(WIDTH)
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        width = right - left
        so_far = start_row[:width]
        for start in range(0, days, d):
            stop = min(start + d, days)
            for t in range(start, stop):
                row = out[t, left:right]
                if t == start:
                    so_far[:] = x[t, left:right]
                else:
                    _include_here(mode, so_far, x[t, left:right])
                if t - start == d - 1:
                    row[:] = so_far
                elif start > 0:
                    _include(mode, ends[t - start + 1, :width], so_far, row)
                else:
                    row[:] = math.nan
                if scale != 1.0:
                    row *= scale
            if stop < days:
                ends[d - 1, :width] = x[stop - 1, left:right]
                for r in range(d - 2, -1, -1):
                    _include(mode, x[start + r, left:right], ends[r + 1, :width], ends[r, :width])


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
