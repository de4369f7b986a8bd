"""Arithmetic across the instruments of one day.

Infinite cells are left out as if they were NaN, and are NaN in the answer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel
from alphafoundry.expressions.precision import LARGEST, SMALLEST

Row = NDArray[np.float64]


@kernel
def mean_and_deviation(row: Row) -> tuple[float, float, float]:
    """Return the first finite cell, the mean less it, and the population deviation, or NaN.

    Differences from the mean are taken in two steps, first from that cell, so that nothing is
    lost at a high level, and equal cells have a deviation of exactly 0.
    """
    base = math.nan
    total = 0.0
    count = 0
    for j in range(row.shape[0]):
        if math.isfinite(row[j]):
            if count == 0:
                base = row[j]
            count += 1
            total += row[j] - base
    if count == 0:
        return math.nan, math.nan, math.nan
    middle = total / count
    squares = 0.0
    largest = 0.0
    for j in range(row.shape[0]):
        if math.isfinite(row[j]):
            gap = row[j] - base - middle
            squares += gap * gap
            largest = max(largest, abs(gap))
    if largest == 0.0 or SMALLEST < squares < LARGEST:
        return base, middle, math.sqrt(squares / count)
    squares = 0.0
    for j in range(row.shape[0]):
        if math.isfinite(row[j]):
            gap = (row[j] - base - middle) / largest
            squares += gap * gap
    return base, middle, largest * math.sqrt(squares / count)


@kernel
def normalized(
    x: FloatPanel, divide: bool, limit: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with x minus the day's mean, over its population deviation if divide.

    limit : clips to -limit..limit where it is not 0. NaN for a day of equal cells if divide.
    """
    for t in range(first, last):
        base, middle, deviation = mean_and_deviation(x[t])
        for j in range(x.shape[1]):
            value = x[t, j] - base - middle if math.isfinite(x[t, j]) else math.nan
            if divide:
                value = value / deviation if deviation > 0.0 else math.nan
            if limit != 0.0 and not math.isnan(value):
                value = min(max(value, -abs(limit)), abs(limit))
            out[t, j] = value


@kernel
def winsorized(x: FloatPanel, std: float, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with x limited to the day's mean -/+ std population deviations."""
    for t in range(first, last):
        base, middle, deviation = mean_and_deviation(x[t])
        low = base + middle - std * deviation
        high = base + middle + std * deviation
        for j in range(x.shape[1]):
            value = x[t, j]
            out[t, j] = min(max(value, low), high) if math.isfinite(value) else math.nan


@kernel
def scaled(
    x: FloatPanel,
    total: float,
    long_total: float,
    short_total: float,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with x so that the day's sum of |x| is total.

    long_total, short_total : sums of either side, NaN both where the sides stay as they are
    to each other. A day that sums to 0 is NaN; a side that is empty stays so.
    """
    apart = not math.isnan(long_total)
    for t in range(first, last):
        above = 0.0
        below = 0.0
        for j in range(x.shape[1]):
            value = x[t, j]
            if math.isfinite(value):
                above += value if value > 0.0 else 0.0
                below -= value if value < 0.0 else 0.0
        both = above + below
        for j in range(x.shape[1]):
            value = x[t, j]
            if not math.isfinite(value) or both == 0.0:
                out[t, j] = math.nan
            elif not apart:
                out[t, j] = value / both * total
            elif value > 0.0:
                out[t, j] = value / above * long_total
            elif value < 0.0:
                out[t, j] = value / below * short_total
            else:
                out[t, j] = 0.0


@kernel
def scaled_to_range(x: FloatPanel, constant: float, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with (x - min) / (max - min) of the day, minus constant; NaN if all are equal."""
    for t in range(first, last):
        low = math.inf
        high = -math.inf
        for j in range(x.shape[1]):
            if math.isfinite(x[t, j]):
                low = min(low, x[t, j])
                high = max(high, x[t, j])
        for j in range(x.shape[1]):
            fits = math.isfinite(x[t, j]) and high > low
            out[t, j] = (x[t, j] - low) / (high - low) - constant if fits else math.nan


@kernel
def truncated(x: FloatPanel, share: float, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with x limited to -/+ share of the day's sum of |x|."""
    for t in range(first, last):
        total = 0.0
        for j in range(x.shape[1]):
            if math.isfinite(x[t, j]):
                total += abs(x[t, j])
        limit = share * total
        for j in range(x.shape[1]):
            value = x[t, j]
            out[t, j] = min(max(value, -limit), limit) if math.isfinite(value) else math.nan


@kernel
def neutralized(
    y: FloatPanel, x: FloatPanel, centred: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with y minus its projection on x over the day's pairs.

    centred : the residual of a line with intercept; else of a line through the origin. NaN where
    either is missing, for a day on which x explains nothing, and where a sum of squares leaves
    the range of numbers.
    """
    for t in range(first, last):
        base_x = 0.0
        base_y = 0.0
        sum_x = 0.0
        sum_y = 0.0
        count = 0
        for j in range(x.shape[1]):
            if math.isfinite(x[t, j]) and math.isfinite(y[t, j]):
                if count == 0 and centred:
                    base_x = x[t, j]
                    base_y = y[t, j]
                count += 1
                sum_x += x[t, j] - base_x
                sum_y += y[t, j] - base_y
        mean_x = sum_x / count if centred and count > 0 else 0.0
        mean_y = sum_y / count if centred and count > 0 else 0.0
        xx = 0.0
        xy = 0.0
        for j in range(x.shape[1]):
            if math.isfinite(x[t, j]) and math.isfinite(y[t, j]):
                gap = x[t, j] - base_x - mean_x
                xx += gap * gap
                xy += gap * (y[t, j] - base_y - mean_y)
        for j in range(x.shape[1]):
            known = math.isfinite(x[t, j]) and math.isfinite(y[t, j])
            if known and SMALLEST < xx < LARGEST and math.isfinite(xy):
                gap = x[t, j] - base_x - mean_x
                out[t, j] = y[t, j] - base_y - mean_y - xy / xx * gap
            else:
                out[t, j] = math.nan


@kernel
def day_totals(x: FloatPanel, out: FloatPanel, first: int, last: int) -> None:
    """Fill out, shape (n_days, 1), with the day's sum of |x|, infinite cells left out."""
    for t in range(first, last):
        total = 0.0
        for j in range(x.shape[1]):
            total += abs(x[t, j]) if math.isfinite(x[t, j]) else 0.0
        out[t, 0] = total
