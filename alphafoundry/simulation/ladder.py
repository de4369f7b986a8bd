"""The Sharpe ladder that consultants' alphas climb: recent years first, then longer periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.finance.statistics import sharpe
from alphafoundry.market.frequency import DAYS_A_YEAR

FLOOR = {1: 1.59, 0: 2.69}
"""Delay to the Sharpe below which any rung fails."""

STEPS = {
    1: (2.38, 2.38, 2.38, 2.38, 2.22, 2.06, 1.90, 1.74, 1.59),
    0: (3.96, 3.96, 3.96, 3.96, 3.64, 3.33, 3.17, 2.85, 2.69),
}
"""Delay to the Sharpe that passes over the most recent 2, 3, ... 10 years."""

LOW_TURNOVER = 0.3
DISCOUNT = 0.85
"""What the passing Sharpe is multiplied with where turnover is below 30 %."""


@dataclass(frozen=True)
class Rung:
    """Where the ladder ended.

    Attributes
    ----------
    limit, value : the Sharpe that decided, and what was found
    message : why there is no decision, None where there is one
    years : most recent years looked at; None is the whole history
    """

    result: Literal["PASS", "FAIL", "WARNING"]
    limit: float
    value: float
    message: str | None = None
    years: int | None = None


def sharpe_ladder(
    daily_pnl: NDArray[np.float64],
    *,
    delay: int,
    turnover: float,
    bars_a_year: float = DAYS_A_YEAR,
) -> Rung:
    """Return how far up BRAIN's IS ladder a daily PnL comes.

    Parameters
    ----------
    daily_pnl : dollars, shape (n_days,), the latest last
    turnover : mean daily traded value over the book, as a fraction
    bars_a_year : rows of a year

    The whole history fails below the floor. Then the most recent 2, 3, ... 10 years are looked
    at: above the step's Sharpe passes, below the floor fails, in between the next step decides;
    at 10 years reaching the floor passes. A history that ends before that is a WARNING. Sharpes
    count with two decimals, as printed; NaN fails.
    """
    floor = FLOOR[delay]
    year = round(bars_a_year)
    whole = round(sharpe(daily_pnl, bars_a_year), 2)
    if not whole >= floor:
        return Rung("FAIL", floor, whole)
    discount = DISCOUNT if turnover < LOW_TURNOVER else 1.0
    value, limit, reached = whole, floor, None
    for years, step in enumerate(STEPS[delay], start=2):
        if len(daily_pnl) < years * year:
            break
        value = round(sharpe(daily_pnl[-years * year :], bars_a_year), 2)
        limit, reached = step * discount, years
        if value > limit:
            return Rung("PASS", limit, value, years=years)
        if not value >= floor:
            return Rung("FAIL", floor, value, years=years)
    else:
        return Rung("PASS", limit, value, years=reached)
    held = len(daily_pnl) / bars_a_year
    message = f"undecided: the ladder needs more than the {held:.1f} years that there are"
    return Rung("WARNING", limit, value, message, reached)
