"""What a market is like on a day: volatility, trend and correlation over the days up to it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest import rolling
from alphafoundry.backtest.columns import columns_of
from alphafoundry.compilation import FloatMatrix, FloatRow, kernel
from alphafoundry.finance.bars import Bars

FEATURES = ("volatility", "trend", "correlation")


def market_returns(bars: Bars) -> NDArray[np.float64]:
    """Return the mean return of all instruments with a price, shape (n_days,).

    NaN on the first day and where no instrument has a close.
    """
    observed: NDArray[np.float64] = columns_of(bars).series("returns")
    known = np.isfinite(observed)
    count = known.sum(axis=0)
    total = np.where(known, observed, 0.0).sum(axis=0)
    mean = np.full(len(count), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def market_features(bars: Bars, window: int) -> NDArray[np.float64]:
    """Return the features of each day, shape (n_days, 3) in the order of FEATURES.

    volatility : annualised population standard deviation of `market_returns` over the window
    trend : their sum over the window, in standard deviations of that sum; 0 where they never move
    correlation : mean correlation of all pairs of instruments that have a return on every day of
        the window; with fewer than two such instruments 1

    NaN until the window is full and where a market return in it is missing.
    """
    market = market_returns(bars)
    means, deviations = rolling.moments(market[None, :], window)
    mean, deviation = means[0], deviations[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        trend = np.where(deviation > 0.0, mean * math.sqrt(window) / deviation, 0.0)
    trend[np.isnan(mean)] = np.nan
    correlation = mean_correlation(columns_of(bars).series("returns"), window)
    correlation[np.isnan(mean)] = np.nan
    return np.column_stack([deviation * math.sqrt(bars.bars_a_year), trend, correlation])


@kernel
def mean_correlation(returns: FloatMatrix, window: int) -> FloatRow:
    """Return the mean correlation of all pairs of rows over each window, shape (n_days,).

    The variance of the sum of n standardised series is n + n (n - 1) times that mean.
    """
    rows, days = returns.shape
    out = np.full(days, math.nan)
    total = np.empty(window)
    for t in range(window - 1, days):
        total[:] = 0.0
        count = 0
        for i in range(rows):
            part = returns[i, t - window + 1 : t + 1]
            mean = 0.0
            for k in range(window):
                mean += part[k]
            mean /= window
            squares = 0.0
            for k in range(window):
                squares += (part[k] - mean) * (part[k] - mean)
            # Written so that NaN is left out too.
            if not squares > 1e-24 * window:
                continue
            scale = 1.0 / math.sqrt(squares / window)
            for k in range(window):
                total[k] += (part[k] - mean) * scale
            count += 1
        if count < 2:
            out[t] = 1.0
            continue
        variance = 0.0
        for k in range(window):
            variance += total[k] * total[k]
        out[t] = (variance / window / count - 1.0) / (count - 1)
    return out
