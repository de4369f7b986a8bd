"""What a name earns that is held from one close to the next one known.

Simulations and backtests of every engine take their returns from here, so that a halt, a holiday
of one exchange or a lost bar costs or pays the same in all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def last_known(values: Array) -> Array:
    """Return `values`, shape (n_days, n_instruments), with NaN replaced by the last value before.

    NaN stays where there is none before. `values` itself is returned where nothing is missing.
    """
    missing = np.isnan(values)
    columns = np.flatnonzero(missing.any(axis=0))
    if not len(columns):
        return values
    part = np.ascontiguousarray(values[:, columns])
    rows = np.where(missing[:, columns], 0, np.arange(len(values))[:, None])
    np.maximum.accumulate(rows, axis=0, out=rows)
    result = values.copy()
    result[:, columns] = np.take_along_axis(part, rows, axis=0)
    return result


def simple_returns(close: Array) -> Array:
    """Return the close over the last known close before it, minus 1.

    Parameters
    ----------
    close : shape (n_days, n_instruments); NaN is missing

    Of the same shape. The first close after missing bars carries the return of the whole gap.
    NaN where the close is missing, which earns nothing that day, and on a name's first close.
    """
    returns = np.full_like(close, np.nan)
    if len(close) > 1:
        np.divide(close[1:], last_known(close)[:-1], out=returns[1:])
        returns[1:] -= 1.0
    return returns
