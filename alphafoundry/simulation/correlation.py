"""How alike two alphas are: correlation of their daily PnL."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.simulation.periods import months_before

WINDOW_YEARS = 4
LEAST_DAYS = 20


def pnl_correlation(
    a_dates: NDArray[np.datetime64],
    a_daily_pnl: NDArray[np.float64],
    b_dates: NDArray[np.datetime64],
    b_daily_pnl: NDArray[np.float64],
    years: int = WINDOW_YEARS,
) -> float:
    """Return Pearson's correlation of daily PnL over the common days of the last `years` years.

    Parameters
    ----------
    a_dates, b_dates : datetime64[D] arrays, ascending and unique
    a_daily_pnl, b_daily_pnl : dollars, same lengths; a day with NaN on either side is left out
    years : counted back from the last common day

    NaN with fewer than 20 common days, or where one side never changes.
    """
    if np.array_equal(a_dates, b_dates):
        days, a, b = a_dates, a_daily_pnl, b_daily_pnl
    else:
        days, in_a, in_b = np.intersect1d(a_dates, b_dates, assume_unique=True, return_indices=True)
        a, b = a_daily_pnl[in_a], b_daily_pnl[in_b]
    if not len(days):
        return math.nan
    use = (days > months_before(days[-1], 12 * years)) & np.isfinite(a) & np.isfinite(b)
    a, b = a[use], b[use]
    if len(a) < LEAST_DAYS or a.min() == a.max() or b.min() == b.max():
        return math.nan
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))
