"""Rolling arithmetic that looks at every row of the window."""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.expressions.kernels.compilation import WIDTH, FloatPanel, kernel


@kernel
def shifted(x: FloatPanel, d: int, change: bool, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the value d rows ago, or with the change since then. NaN where none is."""
    for t in range(x.shape[0]):
        for j in range(first, last):
            if t < d:
                out[t, j] = math.nan
            else:
                out[t, j] = x[t, j] - x[t - d, j] if change else x[t - d, j]


@kernel
def rolling_rank(
    x: FloatPanel, d: int, constant: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with today's rank among d rows, 0 lowest to 1 highest, plus constant.

    Ties share the mean of their ranks; with d = 1 the rank is 0.5. NaN before d rows are there
    and where the window holds NaN.
    """
    days = x.shape[0]
    below = np.empty(WIDTH)
    equal = np.empty(WIDTH)
    valid = np.empty(WIDTH)
    for left in range(first, last, WIDTH):
        width = min(left + WIDTH, last) - left
        for t in range(days):
            if t < d - 1:
                for j in range(width):
                    out[t, left + j] = math.nan
                continue
            below[:] = 0.0
            equal[:] = 0.0
            valid[:] = 0.0
            for i in range(t - d + 1, t + 1):
                for j in range(width):
                    value = x[i, left + j]
                    today = x[t, left + j]
                    below[j] += 1.0 if value < today else 0.0
                    equal[j] += 1.0 if value == today else 0.0
                    valid[j] += 1.0 if not math.isnan(value) else 0.0
            for j in range(width):
                if valid[j] < d or equal[j] == 0.0:
                    out[t, left + j] = math.nan
                elif d == 1:
                    out[t, left + j] = 0.5 + constant
                else:
                    out[t, left + j] = (below[j] + 0.5 * (equal[j] - 1.0)) / (d - 1) + constant


@kernel
def rolling_arg_extreme(
    x: FloatPanel, d: int, sign: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with how many rows ago the largest x * sign of d rows was, 0 is today.

    Of equal ones the most recent counts. NaN before d rows are there and where the window holds
    NaN.
    """
    days = x.shape[0]
    best = np.empty(WIDTH)
    ago = np.empty(WIDTH)
    for left in range(first, last, WIDTH):
        width = min(left + WIDTH, last) - left
        for t in range(days):
            if t < d - 1:
                for j in range(width):
                    out[t, left + j] = math.nan
                continue
            best[:] = -math.inf
            ago[:] = 0.0
            for i in range(t - d + 1, t + 1):
                age = float(t - i)
                for j in range(width):
                    value = x[i, left + j] * sign
                    better = value >= best[j]
                    broken = math.isnan(value) or math.isnan(ago[j])
                    best[j] = value if better else best[j]
                    ago[j] = math.nan if broken else (age if better else ago[j])
            for j in range(width):
                out[t, left + j] = ago[j]


@kernel
def count_missing(x: FloatPanel, d: int, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the number of NaN among d rows; NaN before d rows are there."""
    for j in range(first, last):
        missing = 0
        for t in range(x.shape[0]):
            missing += 1 if math.isnan(x[t, j]) else 0
            if t >= d:
                missing -= 1 if math.isnan(x[t - d, j]) else 0
            out[t, j] = missing if t >= d - 1 else math.nan


@kernel
def mean_gap(x: FloatPanel, d: int, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with today's value minus the mean of the d rows without their NaN.

    NaN before d rows are there and where today is NaN.
    """
    days = x.shape[0]
    total = np.empty(WIDTH)
    count = np.empty(WIDTH)
    for left in range(first, last, WIDTH):
        width = min(left + WIDTH, last) - left
        for t in range(days):
            total[:] = 0.0
            count[:] = 0.0
            for i in range(max(t - d + 1, 0), t + 1):
                for j in range(width):
                    gap = x[t, left + j] - x[i, left + j]
                    known = not math.isnan(gap)
                    total[j] += gap if known else 0.0
                    count[j] += 1.0 if known else 0.0
            for j in range(width):
                full = t >= d - 1 and count[j] > 0.0
                out[t, left + j] = total[j] / count[j] if full else math.nan


@kernel
def linear_decay(
    x: FloatPanel, d: int, dense: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the mean of d rows with weights d (today) down to 1.

    dense : False counts NaN as 0, except that a window of nothing but NaN gives NaN; True gives
        NaN where the window holds one. NaN before d rows are there.
    """
    days = x.shape[0]
    total = np.empty(WIDTH)
    known = np.empty(WIDTH)
    weights = d * (d + 1) / 2.0
    for left in range(first, last, WIDTH):
        width = min(left + WIDTH, last) - left
        for t in range(days):
            if t < d - 1:
                for j in range(width):
                    out[t, left + j] = math.nan
                continue
            total[:] = 0.0
            known[:] = 0.0
            for i in range(t - d + 1, t + 1):
                weight = float(d - t + i)
                for j in range(width):
                    value = x[i, left + j]
                    here = not math.isnan(value)
                    total[j] += weight * value if here else 0.0
                    known[j] += 1.0 if here else 0.0
            least = d if dense else 1
            for j in range(width):
                out[t, left + j] = total[j] / weights if known[j] >= least else math.nan


@kernel
def exponential_decay(
    x: FloatPanel, d: int, factor: float, strict: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the mean of d rows with weights factor to the power of days ago.

    NaN counts as 0. strict : True gives NaN where today is NaN, False 0 where all are NaN. NaN
    before d rows are there.
    """
    weights = 0.0
    for i in range(d):
        weights += factor**i
    for t in range(x.shape[0]):
        for j in range(first, last):
            if t < d - 1 or (strict and math.isnan(x[t, j])):
                out[t, j] = math.nan
                continue
            total = 0.0
            weight = 1.0
            for i in range(d):
                value = x[t - i, j]
                total += weight * value if not math.isnan(value) else 0.0
                weight *= factor
            out[t, j] = total / weights


@kernel
def rolling_percentile(
    x: FloatPanel, d: int, share: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the percentile of d rows, between neighbours by straight line.

    NaN before d rows are there and where the window holds NaN.
    """
    for j in range(first, last):
        window = np.empty(d)
        valid = 0
        for t in range(x.shape[0]):
            valid = valid + 1 if not math.isnan(x[t, j]) else 0
            if valid < d:
                out[t, j] = math.nan
                continue
            window[:] = x[t - d + 1 : t + 1, j]
            window.sort()
            place = share * (d - 1)
            low = int(place)
            high = min(low + 1, d - 1)
            part = place - low
            if part == 0.0 or window[low] == window[high]:
                out[t, j] = window[low]
            else:
                out[t, j] = window[low] + (window[high] - window[low]) * part


@kernel
def relative_change_total(x: FloatPanel, d: int, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the sum of daily |changes| of d days over the sum of the values.

    NaN before d + 1 rows are there and where one of them is NaN.
    """
    for t in range(x.shape[0]):
        for j in range(first, last):
            if t < d:
                out[t, j] = math.nan
                continue
            moved = 0.0
            held = 0.0
            for i in range(t - d + 1, t + 1):
                moved += abs(x[i, j] - x[i - 1, j])
                held += x[i, j]
            out[t, j] = moved / held
