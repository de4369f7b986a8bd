"""Steps of volume at which a source may have changed its unit: shares, lots, thousands, dollars.

On a real step of trading something else happens, too: the price leaps, or moves more, or less,
than before. On a change of unit nothing does, and no day after it is like a day before. That holds
of daily bars: in 20 weeks the trading of a name may grow by as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.returns import last_known

Array = NDArray[np.float64]

BARS = 20
"""Days that are looked at on either side of a step."""
LEAST_BARS = 12
"""Of these so many must have a volume; shares that share a calendar with coins have 14."""
LEAST_MARGIN = float(np.log(5.0))
"""The least volume of one side is at least five times the largest of the other."""
EVIDENT = float(np.log(60.0))
"""So far apart, whatever the price does: on 4.3 million bars of US stocks 27 is the most."""
QUIET = (0.5, 2.0)
"""Mean daily move after over before."""
MOST_MOVE = 5.0
"""Move of the first day over the mean move before."""
MARKET_BARS = 10
MARKET_NAMES = 10
MARKET_DAY = 0.8
MARKET_STEP = float(np.log(5.0))
"""Of the median name of a market: between two days, and between the means of ten days."""
AT_ONCE = 256
"""Names that are worked on together, so that a large market is not copied."""


@dataclass(frozen=True)
class UnitStep:
    """A step that trading does not explain.

    Attributes
    ----------
    row : first day behind it
    factor : volume behind it over volume before, the medians of 20 days (of a market, of 10)
    column : the name; None where the median name of the market makes it
    """

    row: int
    factor: float
    column: int | None = None


def unit_steps(volume: Array, close: Array) -> list[UnitStep]:
    """Return the steps of each name, those of the whole market first.

    Parameters
    ----------
    volume, close : arrays of shape (n_days, n_instruments); NaN is unknown, and a volume of 0 says
        nothing

    A step needs 20 days on either side, so one among the last 20 days is not seen. In 4.3 million
    bars of US stocks none is found. Of steps by 100 put into single names nine in ten are, by 1000
    nearly all, by 10 one in twenty; those of a whole market from 6 on.
    """
    of_market = list(_steps_of_the_market(volume))
    told = [step.row for step in of_market]
    of_names = _steps_of_names(volume, close)
    return of_market + [one for one in of_names if all(abs(one.row - row) > BARS for row in told)]


def _steps_of_names(volume: Array, close: Array) -> Iterator[UnitStep]:
    for first in range(0, volume.shape[1], AT_ONCE):
        logs = _logs(volume[:, first : first + AT_ONCE])
        margins = _margins(logs)
        for row, column in zip(*np.nonzero(margins > LEAST_MARGIN), strict=True):
            prices = close[row - BARS - 1 : row + BARS, first + column]
            if margins[row, column] > EVIDENT or _is_quiet(prices):
                before, after = logs[row - BARS : row, column], logs[row : row + BARS, column]
                factor = float(np.exp(np.nanmedian(after) - np.nanmedian(before)))
                yield UnitStep(int(row), factor, int(first + column))


def _logs(volume: Array) -> Array:
    return np.log(np.where(volume > 0.0, volume, np.nan))


def _margins(logs: Array) -> Array:
    """Return, by day and name, the logarithm by which the days from it on clear those before it.

    Between the nearest two of the 20 days on either side; minus infinity where too few are known.
    """
    margins = np.full(logs.shape, -np.inf)
    days = len(logs)
    if days < 2 * BARS + 1:
        return margins
    highest, lowest = _over_bars(logs, np.fmax), _over_bars(logs, np.fmin)
    known = np.cumsum(~np.isnan(logs), axis=0, dtype=np.int32)
    known[BARS:] -= known[:-BARS].copy()
    before, after = slice(BARS, days - BARS), slice(2 * BARS, days)
    enough = (known[before] >= LEAST_BARS) & (known[after] >= LEAST_BARS)
    up = lowest[after] - highest[before]
    down = lowest[before] - highest[after]
    # The first day must be known itself: the step is told by it.
    enough &= ~np.isnan(logs[BARS + 1 : days - BARS + 1])
    margins[BARS + 1 : days - BARS + 1] = np.where(enough, np.fmax(up, down), -np.inf)
    return margins


def _over_bars(logs: Array, extreme: np.ufunc) -> Array:
    """Return the extreme of the last 20 rows, of fewer on the first ones."""
    found = logs.copy()
    have = 1
    while have < BARS:
        step = min(have, BARS - have)
        found[step:] = extreme(found[step:], found[:-step].copy())
        have += step
    return found


def _is_quiet(close: Array) -> bool:
    """Tell whether the price goes on as before; the middle one of the moves is the step's own."""
    moves = np.abs(np.diff(np.log(last_known(close[:, None])[:, 0])))
    before, own, after = moves[:BARS], moves[BARS], moves[BARS + 1 :]
    if min(np.isfinite(before).sum(), np.isfinite(after).sum()) < LEAST_BARS // 2:
        return False
    usual = float(np.nanmean(before))
    least, most = QUIET
    return bool(own <= MOST_MOVE * usual and least * usual <= np.nanmean(after) <= most * usual)


def _steps_of_the_market(volume: Array) -> Iterator[UnitStep]:
    days, names = volume.shape
    if names < MARKET_NAMES:
        return
    for row in range(MARKET_BARS, days - MARKET_BARS + 1):
        daily = _median(_logs(volume[row]) - _logs(volume[row - 1]))
        if abs(daily) > MARKET_DAY:
            before = _means(_logs(volume[row - MARKET_BARS : row]))
            step = _median(_means(_logs(volume[row : row + MARKET_BARS])) - before)
            if abs(step) > MARKET_STEP:
                yield UnitStep(row, float(np.exp(step)))


def _median(values: Array) -> float:
    """Return the median of what is known; 0 where fewer than ten names are."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) >= MARKET_NAMES else 0.0


def _means(logs: Array) -> Array:
    """Return the mean of each column with at least half of its days known, NaN for the others."""
    known = np.count_nonzero(~np.isnan(logs), axis=0)
    sums = np.nansum(logs, axis=0)
    return np.where(2 * known >= len(logs), sums / np.maximum(known, 1), np.nan)
