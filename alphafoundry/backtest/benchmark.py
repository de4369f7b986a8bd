"""What a backtest is held against: the same names, bought once and kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest.columns import columns_of
from alphafoundry.finance.bars import Bars


def buy_and_hold(bars: Bars, first: int, last: int) -> tuple[NDArray[np.float64], int]:
    """Return the daily returns of equal parts in every name, bought once, and how many names.

    They are bought at the close before row `first` (at that of row 0 where there is none before)
    and kept, without costs; the returns are of shape (last - first,). Names without a close by
    then are left out, and one that is no longer traded keeps its last value. Without any name all
    returns are 0.
    """
    prices = columns_of(bars).last_close[:, max(first - 1, 0) : last]
    known = np.isfinite(prices[:, 0]) & (prices[:, 0] > 0.0)
    if not known.any():
        return np.zeros(last - first), 0
    value = (prices[known] / prices[known, :1]).mean(axis=0)
    daily = value[1:] / value[:-1] - 1.0
    return (daily if first > 0 else np.concatenate([[0.0], daily])), int(known.sum())
