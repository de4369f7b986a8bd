"""Rolling values along rows: one series per row, one column per day.

Windows are full or the answer is NaN, and a NaN touches only the windows that hold it. No kernel
carries a running sum from window to window.
"""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.compilation import CountMatrix, FloatMatrix, kernel


@kernel
def ages(x: FloatMatrix) -> CountMatrix:
    """Return how many values in a row, up to this one, are not NaN."""
    out = np.zeros(x.shape, np.int32)
    for i in range(x.shape[0]):
        count = 0
        for t in range(x.shape[1]):
            count = 0 if math.isnan(x[i, t]) else count + 1
            out[i, t] = count
    return out


@kernel
def bridged(x: FloatMatrix, most: int) -> FloatMatrix:
    """Return x with the last value in place of NaN, for at most `most` days in a row."""
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        last = math.nan
        missing = 0
        for t in range(x.shape[1]):
            missing = missing + 1 if math.isnan(x[i, t]) else 0
            last = last if missing > 0 else x[i, t]
            out[i, t] = last if missing <= most else math.nan
    return out


@kernel
def double_sums(x: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
    """Return cumulative sums as unevaluated pairs high + low (Knuth's two-sum, 1969)."""
    rows, days = x.shape
    high = np.zeros((rows, days + 1))
    low = np.zeros((rows, days + 1))
    for i in range(rows):
        big = 0.0
        small = 0.0
        for t in range(days):
            value = x[i, t]
            if not math.isnan(value):
                total = big + value
                part = total - big
                rest = (big - (total - part)) + (value - part) + small
                big = total + rest
                small = rest - (big - total)
            high[i, t + 1] = big
            low[i, t + 1] = small
    return high, low


@kernel
def moments(x: FloatMatrix, window: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Return rolling mean and population standard deviation, both by two passes per window.

    The deviation of a window of equal values is exactly 0.
    """
    rows, days = x.shape
    means = np.full((rows, days), math.nan)
    deviations = np.full((rows, days), math.nan)
    if window > days:
        return means, deviations
    for i in range(rows):
        series = x[i]
        mean = means[i, window - 1 :]
        spread = deviations[i, window - 1 :]
        count = mean.shape[0]
        mean[:] = 0.0
        spread[:] = 0.0
        for k in range(window):
            shifted = series[k : k + count]
            for t in range(count):
                mean[t] += shifted[t]
        for t in range(count):
            mean[t] /= window
        for k in range(window):
            shifted = series[k : k + count]
            for t in range(count):
                away = shifted[t] - mean[t]
                spread[t] += away * away
        equal = 0
        for t in range(days):
            same = t > 0 and series[t] == series[t - 1]
            equal = equal + 1 if same else 1
            if t >= window - 1:
                place = t - window + 1
                spread[place] = math.sqrt(spread[place] / window)
                if equal >= window:
                    spread[place] = 0.0
                    mean[place] = series[t]
    return means, deviations


@kernel
def highest(x: FloatMatrix, window: int) -> FloatMatrix:
    """Return the rolling maximum, by windows whose length doubles; NaN where one is inside."""
    rows, days = x.shape
    out = np.full((rows, days), math.nan)
    if window > days:
        return out
    for i in range(rows):
        current = x[i].copy()
        length = 1
        while 2 * length <= window:
            for t in range(days - 1, length - 1, -1):
                other = current[t - length]
                # A NaN on either side must win, which a plain comparison would not let it.
                if not current[t] >= other and not math.isnan(current[t]):
                    current[t] = other
            length *= 2
        reach = window - length
        for t in range(window - 1, days):
            other = current[t - reach]
            value = current[t]
            if not value >= other and not math.isnan(value):
                value = other
            out[i, t] = value
    return out
