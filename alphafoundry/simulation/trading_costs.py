"""What trading takes from a book: costs of each dollar, impact, capacity; and its regimes.

BRAIN's numbers are before costs, and stay so; these stand beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.finance.statistics import sharpe
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.pnl import BOOK, DailyPnl

Array = NDArray[np.float64]

IMPACTS = (0.1, 0.5, 1.0)
"""Coefficients of the square-root impact; measured ones lie around 0.5 to 1."""

PARTICIPATION = 0.01
"""Share of a name's daily volume that a book may trade at its capacity."""

_VOLATILITY_DAYS = 20


@dataclass(frozen=True)
class Tradability:
    """What is left of a book when it is traded; None where the market does not know volume.

    Attributes
    ----------
    capacity : dollars of a book that trades 1 % of the names' volume on the median day
    impact : annual Sharpe ratio after costs and impact, one for each of `IMPACTS`
    """

    capacity: float | None
    impact: tuple[float | None, ...]


@dataclass(frozen=True)
class Regimes:
    """How steady a book is; Sharpe ratios are annual, None where there are too few days.

    Attributes
    ----------
    years, years_up : calendar years, and those with a gain
    worst_year : the least Sharpe ratio of a year with at least 60 days
    calm, wild : on days of little and of much market volatility, halves of all days
    """

    years: int
    years_up: int
    worst_year: float | None
    calm: float | None
    wild: float | None


@dataclass(frozen=True, eq=False)
class Volatility:
    """How much a market moves: the deviation of 20 daily returns, that day included.

    Attributes
    ----------
    names : of each name, shape (n_days, n_instruments)
    market : of the mean return of all names, shape (n_days,)
    """

    names: Array
    market: Array


def volatility_of(panel: Panel) -> Volatility:
    """Return the volatility of a market; fewer days count at its start, missing returns as 0."""
    returns = panel.fields["returns"]
    named = np.isfinite(returns)
    mean = np.where(named, returns, 0.0).sum(axis=1) / np.maximum(named.sum(axis=1), 1)
    return Volatility(_rolling_deviation(returns), _rolling_deviation(mean[:, None])[:, 0])


def after_costs(days: DailyPnl, *, rate: float, borrow: float) -> Array:
    """Return daily PnL after costs, in dollars.

    Parameters
    ----------
    rate : of each dollar traded, as a fraction: commission, half the spread, slippage
    borrow : a year, as a fraction of the dollars that are short; half of the book on each day with
        a short position
    """
    short = np.where(days.shorts > 0, BOOK / 2.0, 0.0)
    found: Array = days.pnl - rate * days.traded - borrow / days.bars_a_year * short
    return found


def tradability(
    positions: Array,
    panel: Panel,
    days: DailyPnl,
    *,
    rate: float,
    borrow: float,
    volatility: Volatility | None = None,
) -> Tradability:
    """Return the capacity of a book and its Sharpe ratio after impact.

    Parameters
    ----------
    positions : weights, shape (n_days, n_instruments); row t earns the return of day t and is
        traded at the close before it. NaN is no position
    panel : the market; its last n_days are those of the book
    days : of the book
    rate, borrow : as in `after_costs`
    volatility : of the panel, for many books on it; None calculates it

    Impact of a trade: c * volatility * sqrt(share of volume) of its dollars, with the deviation of
    20 daily returns and `close * adv20`, which are known before the trade (Almgren, Thum, Hauptmann
    and Li, "Direct Estimation of Equity Market Impact", Risk 18, 2005, find a power near one half).
    Where a name's volume is not known, all of it is taken to be traded. Building the first book is
    not counted.
    """
    if "adv20" not in panel.fields:
        return Tradability(None, (None,) * len(IMPACTS))
    start = len(panel.dates) - len(days)
    held = np.nan_to_num(positions)
    before = np.vstack([held[:1], held[:-1]])
    traded = np.abs(held - before) * BOOK
    known = slice(start - 1, len(panel.dates) - 1) if start else slice(0, len(days))
    volume = panel.fields["close"][known] * panel.fields["adv20"][known]
    spread = (volatility or volatility_of(panel)).names[known]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(volume > 0, traded / volume, 1.0)
        share = np.where(traded > 0, np.nan_to_num(share, nan=1.0), 0.0)
        total = traded.sum(axis=1)
        weighted = (traded * share).sum(axis=1) / total
    moved = (traded * spread * np.sqrt(np.minimum(share, 1.0))).sum(axis=1)
    net = after_costs(days, rate=rate, borrow=borrow)
    active = (total > 0) & (weighted > 0)
    capacity = float(BOOK * PARTICIPATION / np.median(weighted[active])) if active.any() else None
    return Tradability(
        capacity,
        tuple(_sharpe(net - c * moved, days.bars_a_year) for c in IMPACTS),
    )


def regimes(days: DailyPnl, panel: Panel, volatility: Volatility | None = None) -> Regimes:
    """Return how steady a book is by calendar year and by market volatility.

    Parameters
    ----------
    days : the last days of the panel
    volatility : of the panel, for many books on it; None calculates it

    A day's volatility is that of the mean return of all names over 20 days, that day included, and
    the two halves meet at its median.
    """
    moved = (volatility or volatility_of(panel)).market[-len(days) :]
    calm = moved <= np.median(moved)
    of_year = days.dates.astype("datetime64[Y]")
    years = [days.pnl[of_year == year] for year in np.unique(of_year)]
    ratios = [_sharpe(pnl, days.bars_a_year) for pnl in years if len(pnl) >= 60]
    known = [ratio for ratio in ratios if ratio is not None]
    return Regimes(
        years=len(years),
        years_up=sum(float(pnl.sum()) > 0.0 for pnl in years),
        worst_year=min(known, default=None),
        calm=_sharpe(days.pnl[calm], days.bars_a_year),
        wild=_sharpe(days.pnl[~calm], days.bars_a_year),
    )


def _rolling_deviation(returns: Array) -> Array:
    """Return the deviation of the last 20 returns, fewer at the start; missing ones count as 0."""
    x = np.nan_to_num(returns, nan=0.0, posinf=0.0, neginf=0.0)
    rows = np.arange(1, len(x) + 1)
    first = np.maximum(rows - _VOLATILITY_DAYS, 0)
    sums, squares = (
        np.vstack([np.zeros((1, x.shape[1])), np.cumsum(part, axis=0)]) for part in (x, x * x)
    )
    count = (rows - first)[:, None]
    mean = (sums[rows] - sums[first]) / count
    found: Array = np.sqrt(np.maximum((squares[rows] - squares[first]) / count - mean**2, 0.0))
    return found


def _sharpe(pnl: Array, bars_a_year: float) -> float | None:
    if len(pnl) < 2:
        return None
    found = sharpe(pnl, bars_a_year)
    return float(found) if math.isfinite(found) else None
