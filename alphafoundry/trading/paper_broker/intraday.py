"""MODELLED prices and volumes within a day, of which only the daily bar is known."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from alphafoundry.seeds import generator
from alphafoundry.trading.market_day import DayBar

LABEL = "MODELLED: prices within the day are drawn, only open, high, low and close are data"


def price_path(
    bar: DayBar, minutes: int, *, seed: int, symbol: str, day: date
) -> NDArray[np.float64]:
    """Return a price at the open and after each minute, float64 array of shape (minutes + 1,).

    It begins at the open, ends at the close, touches high and low once each at least, and leaves
    them never. Between these it is a Brownian bridge, folded back into the day's range. The same
    seed, symbol and day give the same path.
    """
    stream = generator(seed, "intraday", symbol, day.isoformat())
    high, low = float(bar.high), float(bar.low)
    first, second = sorted(stream.choice(np.arange(1, minutes), size=2, replace=False).tolist())
    extremes = (high, low) if stream.random() < 0.5 else (low, high)
    knots = [(0, float(bar.open)), (first, extremes[0]), (second, extremes[1])]
    knots.append((minutes, float(bar.close)))
    path = np.empty(minutes + 1)
    step = (high - low) / np.sqrt(minutes)
    for (start, begins), (end, ends) in pairwise(knots):
        count = end - start
        walk = np.concatenate([[0.0], stream.normal(scale=step, size=count)]).cumsum()
        line = np.linspace(0.0, 1.0, count + 1)
        path[start : end + 1] = begins + (ends - begins) * line + walk - line * walk[-1]
    if high > low:
        turns = np.mod((path - low) / (high - low), 2.0)
        path = low + (high - low) * np.where(turns > 1.0, 2.0 - turns, turns)
    for minute, price in knots:
        path[minute] = price
    return np.clip(path, low, high)


def volume_share(minutes: int) -> NDArray[np.float64]:
    """Return each minute's share of the day's volume, U-shaped, of shape (minutes,); adds to 1."""
    place = np.linspace(-1.0, 1.0, minutes)
    curve = 1.0 + 3.0 * place**2
    shares: NDArray[np.float64] = curve / curve.sum()
    return shares
