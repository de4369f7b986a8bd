"""Statistics of a daily PnL, by BRAIN's formulas and names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.finance.statistics import sharpe
from alphafoundry.market.frequency import DAYS_A_YEAR
from alphafoundry.simulation.pnl import BASE, BOOK, DailyPnl

ROUNDING = 1e-12
"""A PnL of no day above this share of the book is what rounding leaves."""

LEAST_TURNOVER = 0.125
"""Below this turnover, fitness rewards less trading no further."""

GRADES = {
    1: ((2.5, "SPECTACULAR"), (2.0, "EXCELLENT"), (1.5, "GOOD"), (1.0, "AVERAGE")),
    0: ((3.25, "SPECTACULAR"), (2.6, "EXCELLENT"), (1.95, "GOOD"), (1.3, "AVERAGE")),
}
"""Delay to (fitness that must be exceeded, grade)."""


@dataclass(frozen=True)
class Statistics:
    """The numbers of a period.

    Attributes
    ----------
    pnl : dollars earned in the period
    book_size : dollars held, long and short together
    long_count, short_count : positions held on an average day
    turnover : dollars traded on an average day over the book
    returns : annual PnL over half the book, as a fraction
    drawdown : largest fall of cumulative PnL from a peak, over half the book
    margin : PnL over dollars traded, as a fraction
    sharpe : annualised mean over standard deviation of daily PnL
    fitness : see `fitness`
    start_date, end_date : first and last day, ISO

    A ratio whose denominator is 0 is NaN.
    """

    pnl: float
    book_size: float
    long_count: float
    short_count: float
    turnover: float
    returns: float
    drawdown: float
    margin: float
    sharpe: float
    fitness: float
    start_date: str
    end_date: str

    def to_brain(self) -> dict[str, object]:
        """Return BRAIN's JSON object with its rounding; NaN becomes None.

        Dollars and counts are whole, sharpe and fitness have 2 decimals, margin 6, the other
        fractions 4.
        """
        return {
            "pnl": _whole(self.pnl),
            "bookSize": _whole(self.book_size),
            "longCount": _whole(self.long_count),
            "shortCount": _whole(self.short_count),
            "turnover": _rounded(self.turnover, 4),
            "returns": _rounded(self.returns, 4),
            "drawdown": _rounded(self.drawdown, 4),
            "margin": _rounded(self.margin, 6),
            "sharpe": _rounded(self.sharpe, 2),
            "fitness": _rounded(self.fitness, 2),
            "startDate": self.start_date,
        }


@dataclass(frozen=True)
class YearStatistics:
    """The statistics of one calendar year and the stage it belongs to (TRAIN or TEST)."""

    year: int
    stage: str
    statistics: Statistics


def fitness(sharpe: float, returns: float, turnover: float) -> float:
    """Return BRAIN's fitness, sharpe * sqrt(|returns| / max(turnover, 0.125)).

    Parameters
    ----------
    sharpe : annualised, dimensionless
    returns : annual PnL over half the book, as a fraction (0.12 is 12 % a year)
    turnover : mean daily traded value over the book, as a fraction

    NaN in any input gives NaN.
    """
    if math.isnan(turnover):
        return math.nan
    return sharpe * math.sqrt(abs(returns) / max(turnover, LEAST_TURNOVER))


def annual_returns(pnl: float, days: int, bars_a_year: float = DAYS_A_YEAR) -> float:
    """Return annual PnL over half the book, pnl / 10M * 252 / days, as a fraction; NaN for 0 days.

    Parameters
    ----------
    pnl : dollars earned over `days` bars
    bars_a_year : what stands in the place of 252 where bars are not exchange days
    """
    return pnl / BASE * bars_a_year / days if days else math.nan


def margin(pnl: float, traded: float) -> float:
    """Return PnL over dollars traded, as a fraction (0.001 is 10 basis points); NaN for 0."""
    return pnl / traded if traded else math.nan


def drawdown(daily_pnl: NDArray[np.float64]) -> float:
    """Return the largest fall of cumulative PnL (from 0 on) below an earlier peak, over 10 M."""
    if not len(daily_pnl):
        return 0.0
    wealth = np.concatenate(([0.0], np.cumsum(daily_pnl)))
    return float((np.maximum.accumulate(wealth) - wealth).max()) / BASE


def statistics(days: DailyPnl) -> Statistics:
    """Return the statistics of `days`; of no days all numbers are NaN or 0.

    Formulas: the BRAIN documentation, book 20 million dollars, 252 days a year (where bars are
    not exchange days, as many as the dates say), population standard deviation. A PnL that is
    what rounding leaves of the book, in sum or in its changes, has no Sharpe ratio.
    """
    count = len(days.pnl)
    if not count:
        nan = math.nan
        return Statistics(0.0, BOOK, 0.0, 0.0, nan, nan, 0.0, nan, nan, nan, "", "")
    pnl = float(days.pnl.sum())
    traded = float(days.traded.sum())
    turnover = traded / count / BOOK
    returns = annual_returns(pnl, count, days.bars_a_year)
    earns = float(np.abs(days.pnl).max()) > ROUNDING * BOOK
    ratio = sharpe(days.pnl, days.bars_a_year) if earns else math.nan
    return Statistics(
        pnl=pnl,
        book_size=BOOK,
        long_count=float(days.longs.mean()),
        short_count=float(days.shorts.mean()),
        turnover=turnover,
        returns=returns,
        drawdown=drawdown(days.pnl),
        margin=margin(pnl, traded),
        sharpe=ratio,
        fitness=fitness(ratio, returns, turnover),
        start_date=str(days.dates[0]),
        end_date=str(days.dates[-1]),
    )


def yearly(days: DailyPnl, test_start: int | None = None) -> tuple[YearStatistics, ...]:
    """Return the statistics of each calendar year, and of both parts of a year that is split.

    test_start : index of the first day of the test period, None without one
    """
    years = days.dates.astype("datetime64[Y]").astype(int) + 1970
    result = []
    for year in np.unique(years):
        inside = np.flatnonzero(years == year)
        first, last = int(inside[0]), int(inside[-1]) + 1
        cut = last if test_start is None else min(max(test_start, first), last)
        for stage, start, end in (("TRAIN", first, cut), ("TEST", cut, last)):
            if end > start:
                found = statistics(days.between(start, end))
                result.append(YearStatistics(int(year), stage, found))
    return tuple(result)


def grade(fitness: float, delay: int) -> str:
    """Return BRAIN's rating by fitness: SPECTACULAR down to INFERIOR; NaN is INFERIOR.

    Fitness counts as it is printed, with two decimals, as it does in the checks.
    """
    shown = round(fitness, 2)
    return next((name for bound, name in GRADES[delay] if shown > bound), "INFERIOR")


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else round(value)


def _rounded(value: float, digits: int) -> float | None:
    # Adding 0.0 turns a negative zero into a plain one.
    return None if math.isnan(value) else round(value, digits) + 0.0
