"""How many bars a year has, as the dates of a market say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DAYS_A_YEAR = 252.0
"""Bars of a year of exchange days."""

_NAMED = {
    DAYS_A_YEAR: "exchange days",
    365.0: "every day of the week",
    52.0: "weekly",
    12.0: "monthly",
    4.0: "quarterly",
    1.0: "yearly",
}
_GAPS = ((6.0, 8.0, 52.0), (27.0, 32.0, 12.0), (88.0, 93.0, 4.0), (360.0, 370.0, 1.0))
_SHORTEST_MONTHS = 29.0
"""A mean distance below it is one of four weeks, of which a year has 13."""
_USED_WEEKDAY = 0.05


def bars_a_year(dates: NDArray[np.datetime64]) -> float:
    """Return how many of these bars a year has, for annualising.

    Parameters
    ----------
    dates : datetime64[D], ascending, shape (n_days,)

    252 for exchange days, whichever weekdays these are, 365 where every day of the week has
    bars, 52, 12, 4 or 1 where the usual distance is a week, a month, a quarter or a year. Other
    distances, such as four weeks, count as they are: 365.25 over the mean one. 252 for fewer than
    three dates.
    """
    if len(dates) < 3:
        return DAYS_A_YEAR
    days = dates.astype("datetime64[D]").astype(np.int64)
    gaps = np.diff(days)
    # Of two in the middle the lower: Friday, Monday and Tuesday are exchange days.
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    mean = float(gaps.mean())
    for least, most, bars in _GAPS:
        if least <= usual <= most and not (bars == 12.0 and mean < _SHORTEST_MONTHS):
            return bars
    if usual > 1.0:
        return 365.25 / mean
    weekdays = np.bincount((days + 3) % 7, minlength=7) / len(days)
    used = int(np.count_nonzero(weekdays >= _USED_WEEKDAY))
    return {7: 365.0, 6: 313.0}.get(used, DAYS_A_YEAR)


def calendar_name(bars: float) -> str:
    """Return the word for so many bars a year: "exchange days", "weekly", ..."""
    return _NAMED.get(bars, "irregular")
