"""Bars that repeat the bar before: days without trading that somebody filled in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")
LEAST_NAMES = 5
LEAST_SHARE = 0.9


def repeated_bars(values: Mapping[str, Array]) -> Mask:
    """Return which bars have every price of the bar of the row before, shape (n_days, n_names).

    values : close, and open, high and low where known; arrays of that shape, NaN is unknown
    """
    close = values["close"]
    same: Mask = np.zeros(close.shape, dtype=bool)
    same[1:] = close[1:] == close[:-1]
    for name in PRICES:
        if name in values:
            array = values[name]
            same[1:] &= (array[1:] == array[:-1]) | (np.isnan(array[1:]) & np.isnan(array[:-1]))
    return same


def repeated_days(same: Mask, close: Array) -> NDArray[np.intp]:
    """Return the rows on which nine of ten names, five or more, repeat their bar.

    Of US stocks at most 5 % have the close of the day before on the same day. Names whose close
    never changes do not count.
    """
    moving = np.fmax.reduce(close, axis=0) > np.fmin.reduce(close, axis=0)
    known = ~np.isnan(close[:, moving])
    both = np.zeros(len(close), dtype=np.intp)
    both[1:] = np.count_nonzero(known[1:] & known[:-1], axis=1)
    alike = np.count_nonzero(same[:, moving], axis=1)
    return np.flatnonzero((both >= LEAST_NAMES) & (alike >= LEAST_SHARE * both))


def copied_bars(same: Mask, values: Mapping[str, Array]) -> Mask:
    """Return which repeated bars were traded: their prices and their volume are those before.

    A bar counts where its high is above its low, or only a close is known.
    """
    if "volume" not in values:
        return np.zeros_like(same)
    volume = values["volume"]
    copied = same.copy()
    copied[1:] &= (volume[1:] == volume[:-1]) & (volume[1:] > 0.0)
    if "high" in values and "low" in values:
        copied &= values["high"] > values["low"]
    return copied
