"""What a book with these weights earns, day by day.

With data up to day s, delay 0 trades at the close of s and earns the return of s + 1; delay 1
trades a day later, at the close of s + 1, and earns the return of s + 2. So nothing earns a
return that its data have seen, with either delay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BOOK = 20_000_000.0
"""Dollars held, long and short together, the same every day; profits are not reinvested."""

BASE = BOOK / 2
"""Dollars that returns and drawdown are measured against: half the book."""

Series = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DailyPnl:
    """The life of a book; each array has shape (n_days,).

    Attributes
    ----------
    dates : datetime64[D]
    pnl : dollars earned that day
    traded : dollars bought and sold that day
    longs, shorts : number of positions held over that day
    largest : largest share of the book in one instrument
    """

    dates: NDArray[np.datetime64]
    pnl: Series
    traded: Series
    longs: Series
    shorts: Series
    largest: Series

    def between(self, start: int, end: int) -> DailyPnl:
        """Return the days from `start` up to and without `end`."""
        return DailyPnl(
            self.dates[start:end],
            self.pnl[start:end],
            self.traded[start:end],
            self.longs[start:end],
            self.shorts[start:end],
            self.largest[start:end],
        )

    @property
    def first_held(self) -> int:
        """Index of the first day with a position; the number of days where there is none."""
        holding = self.largest > 0
        return int(np.argmax(holding)) if holding.any() else len(holding)


def daily_pnl(
    weights: Series, returns: Series, dates: NDArray[np.datetime64], *, delay: int
) -> DailyPnl:
    """Return what holding `weights` earns.

    Parameters
    ----------
    weights : shape (n_days, n_instruments), from data up to that day, sum of |weight| 1 or 0
    returns : close over the day before's close, minus 1; NaN earns nothing
    delay : 0 or 1

    Formula: pnl(t) = sum of position(t) * return(t), traded(t) = sum of |position(t) -
    position(t - 1)|, position(t) = weights(t - 1 - delay) * 20 million dollars.
    """
    from alphafoundry.simulation import kernels

    profit, traded, longs, shorts, largest = kernels.held(
        weights, np.ascontiguousarray(returns, dtype=np.float64), delay
    )
    return DailyPnl(dates, profit * BOOK, traded * BOOK, longs, shorts, largest)
