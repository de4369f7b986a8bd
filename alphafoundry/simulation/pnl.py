"""What a book with these weights earns, day by day.

An alpha of day s uses data up to day s. With delay 0 its positions are taken at the close of s
and earn the return of s + 1; with delay 1 they are taken a day later, at the close of s + 1, and
earn the return of s + 2. So with either delay the position that earns the return of a day is
known at the close of the day before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.threads import ROWS_AT_ONCE, share
from alphafoundry.market.frequency import DAYS_A_YEAR, bars_a_year

BOOK = 20_000_000.0
"""Dollars held, long and short together, the same every day; profits are not reinvested."""

BASE = BOOK / 2
"""Dollars that returns and drawdown are measured against: half the book."""

Series = NDArray[np.float64]


def lag(delay: int) -> int:
    """Return the days from the last data that a position knows to the return that it earns."""
    return 1 + delay


@dataclass(frozen=True, eq=False)
class DailyPnl:
    """The life of a book; each array has shape (n_days,).

    Attributes
    ----------
    dates : datetime64[D]
    pnl : dollars earned that day
    traded : dollars bought and sold to come to that day's positions
    longs, shorts : number of positions held over that day
    largest : largest share of the book in one instrument
    bars_a_year : of the whole market; annualises
    """

    dates: NDArray[np.datetime64]
    pnl: Series
    traded: Series
    longs: Series
    shorts: Series
    largest: Series
    bars_a_year: float = DAYS_A_YEAR

    def between(self, start: int, end: int) -> DailyPnl:
        """Return the days from `start` up to and without `end`."""
        return DailyPnl(
            self.dates[start:end],
            self.pnl[start:end],
            self.traded[start:end],
            self.longs[start:end],
            self.shorts[start:end],
            self.largest[start:end],
            self.bars_a_year,
        )

    @property
    def first_held(self) -> int:
        """Index of the first day with a position; the number of days where there is none."""
        holding = self.largest > 0
        return int(np.argmax(holding)) if holding.any() else len(holding)

    def __len__(self) -> int:
        return len(self.pnl)

    def __repr__(self) -> str:
        if not len(self):
            return "DailyPnl(no days)"
        return (
            f"DailyPnl({len(self)} days, {self.dates[0]} to {self.dates[-1]}, "
            f"{self.pnl.sum():,.0f} dollars)"
        )


def daily_pnl(
    weights: Series, returns: Series, dates: NDArray[np.datetime64], *, delay: int
) -> DailyPnl:
    """Return what holding `weights` earns.

    Parameters
    ----------
    weights : shape (n_days, n_instruments), from data up to that day, sum of |weight| 1 or 0
    returns : close over the last known close before, minus 1; a held name whose return is NaN
        or infinite earns nothing that day
    delay : 0 or 1

    Formula (BRAIN): pnl(t) = sum of position(t) * return(t), traded(t) = sum of |position(t) -
    position(t - 1)|, with position(t) = weights(t - 1 - delay) * 20 million dollars. Building
    the first book counts as traded.
    """
    from alphafoundry.simulation import kernels

    earned = np.ascontiguousarray(returns, dtype=np.float64)
    found = np.zeros((5, len(dates)))
    behind = lag(delay)

    def fill(first: int, last: int) -> None:
        before = min(first, 1)
        days = earned[first + behind : last + behind]
        kernels.held_by_day(weights[first - before : last], days, before, found, first + behind)

    share(fill, max(len(dates) - behind, 0), ROWS_AT_ONCE)
    return in_dollars(found, dates)


def in_dollars(found: Series, dates: NDArray[np.datetime64]) -> DailyPnl:
    """Return shares of the book as dollars.

    found : shape (5, n_days): profit, traded, longs, shorts, largest
    """
    profit, traded, longs, shorts, largest = found
    return DailyPnl(dates, profit * BOOK, traded * BOOK, longs, shorts, largest, bars_a_year(dates))
