"""Rolling mean, deviation and their relatives, by Chan's combination of block statistics.

Chan, Golub, LeVeque (1983), "Algorithms for computing the sample variance". Cells enter by
Welford's step, relative to the row at which the two blocks of their window meet: so a window of
equal values has a sum of squares of exactly 0, and small moves at a high level are not lost. That
row is part of every window that uses it, so a NaN there spoils no window that it should not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.kernels.compilation import WIDTH, FloatPanel, kernel

Row = NDArray[np.float64]


@kernel
def _enter(
    x: Row, base: Row, mean: Row, squares: Row, count: float, new_mean: Row, new_squares: Row
) -> None:
    """Add one row of values, relative to base, to statistics of `count - 1` rows."""
    weight = 1.0 / count
    for j in range(x.shape[0]):
        value = x[j] - base[j]
        step = value - mean[j]
        moved = mean[j] + step * weight
        new_mean[j] = moved
        new_squares[j] = squares[j] + step * (value - moved)


@kernel
def _finish(mode: int, d: int, x: Row, base: Row, mean: Row, squares: Row, out: Row) -> None:
    """Turn statistics into the answer; mode 0 std, 1 z-score, 2 mean over std."""
    if mode == 0:
        for j in range(x.shape[0]):
            out[j] = math.sqrt(squares[j] / d)
    elif mode == 1:
        for j in range(x.shape[0]):
            deviation = math.sqrt(squares[j] / d)
            out[j] = (x[j] - base[j] - mean[j]) / deviation if deviation != 0 else math.nan
    else:
        for j in range(x.shape[0]):
            deviation = math.sqrt(squares[j] / d)
            out[j] = (base[j] + mean[j]) / deviation if deviation != 0 else math.nan


@kernel
def rolling_deviation(
    x: FloatPanel, d: int, mode: int, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with a statistic of the last d rows around their mean, population form.

    mode : 0 standard deviation, 1 z-score of today, 2 mean over standard deviation. The last
        two are NaN where all values are equal
    x, out : shape (n_days, n_instruments); columns first..last are filled, NaN before d rows
        are there and where the window holds NaN
    """
    days = x.shape[0]
    end_mean = np.empty((min(d, days), WIDTH))
    end_squares = np.empty((min(d, days), WIDTH))
    mean_row = np.empty(WIDTH)
    squares_row = np.empty(WIDTH)
    mean_all = np.empty(WIDTH)
    squares_all = np.empty(WIDTH)
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        width = right - left
        mean = mean_row[:width]
        squares = squares_row[:width]
        for start in range(0, days, d):
            stop = min(start + d, days)
            base = x[start, left:right]
            mean[:] = 0.0
            squares[:] = 0.0
            for t in range(start, stop):
                count = t - start + 1
                today = x[t, left:right]
                _enter(today, base, mean, squares, count, mean, squares)
                if count == d:
                    _finish(mode, d, today, base, mean, squares, out[t, left:right])
                elif start == 0:
                    out[t, left:right] = math.nan
                else:
                    share = count / d
                    both = count * (1.0 - share)
                    for j in range(width):
                        gap = mean[j] - end_mean[count, j]
                        mean_all[j] = end_mean[count, j] + gap * share
                        squares_all[j] = squares[j] + end_squares[count, j] + gap * gap * both
                    _finish(mode, d, today, base, mean_all, squares_all, out[t, left:right])
            if stop < days:
                base = x[stop, left:right]
                end_mean[d - 1, :width] = 0.0
                end_squares[d - 1, :width] = 0.0
                for r in range(d - 1, 0, -1):
                    older = min(r + 1, d - 1)
                    _enter(
                        x[start + r, left:right],
                        base,
                        end_mean[older, :width],
                        end_squares[older, :width],
                        d - r,
                        end_mean[r, :width],
                        end_squares[r, :width],
                    )


@kernel
def _enter_pair(x: Row, y: Row, base_x: Row, base_y: Row, width: int, old: Row, new: Row) -> None:
    """Add a row of pairs, relative to base, to sums of the rows before.

    old, new : five rows of WIDTH one after another: sums of x, y, x * x, y * y, x * y
    """
    for j in range(width):
        value_x = x[j] - base_x[j]
        value_y = y[j] - base_y[j]
        new[j] = old[j] + value_x
        new[WIDTH + j] = old[WIDTH + j] + value_y
        new[2 * WIDTH + j] = old[2 * WIDTH + j] + value_x * value_x
        new[3 * WIDTH + j] = old[3 * WIDTH + j] + value_y * value_y
        new[4 * WIDTH + j] = old[4 * WIDTH + j] + value_x * value_y


@kernel
def _correlate(begin: Row, end: Row, d: int, out: Row) -> None:
    """Fill out with the correlation of the pairs in both sums."""
    share = 1.0 / d
    for j in range(out.shape[0]):
        sum_x = begin[j] + end[j]
        sum_y = begin[WIDTH + j] + end[WIDTH + j]
        xx = begin[2 * WIDTH + j] + end[2 * WIDTH + j] - sum_x * sum_x * share
        yy = begin[3 * WIDTH + j] + end[3 * WIDTH + j] - sum_y * sum_y * share
        xy = begin[4 * WIDTH + j] + end[4 * WIDTH + j] - sum_x * sum_y * share
        found = xy / (math.sqrt(xx) * math.sqrt(yy))
        found = 1.0 if found > 1.0 else found
        found = -1.0 if found < -1.0 else found
        out[j] = found if (xx > 0.0) & (yy > 0.0) else math.nan


@kernel
def _covary(begin: Row, end: Row, d: int, out: Row) -> None:
    """Fill out with the population covariance of the pairs in both sums."""
    share = 1.0 / d
    for j in range(out.shape[0]):
        sum_x = begin[j] + end[j]
        sum_y = begin[WIDTH + j] + end[WIDTH + j]
        xy = begin[4 * WIDTH + j] + end[4 * WIDTH + j]
        out[j] = (xy - sum_x * sum_y * share) * share


@kernel
def rolling_comoment(
    x: FloatPanel, y: FloatPanel, d: int, mode: int, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the correlation (mode 0) or population covariance (mode 1) of d rows.

    Correlation is NaN where one side's values are all equal, and never outside -1..1. Columns
    first..last are filled, NaN before d rows are there and where the window holds NaN.

    Sums are of differences from a row of the window itself, so the square of the mean is at most
    d times the variance: what cancels costs at most log10(d) digits, and equal values give 0.
    """
    days = x.shape[0]
    ends = np.empty((min(d, days) + 1, 5 * WIDTH))
    begin = np.empty(5 * WIDTH)
    nothing = np.zeros(5 * WIDTH)
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        width = right - left
        for start in range(0, days, d):
            stop = min(start + d, days)
            base_x = x[start, left:right]
            base_y = y[start, left:right]
            begin[:] = 0.0
            for t in range(start, stop):
                count = t - start + 1
                _enter_pair(x[t, left:right], y[t, left:right], base_x, base_y, width, begin, begin)
                answer = out[t, left:right]
                if t < d - 1:
                    answer[:] = math.nan
                    continue
                end = nothing if count == d else ends[count]
                if mode == 0:
                    _correlate(begin, end, d, answer)
                else:
                    _covary(begin, end, d, answer)
            if stop < days:
                base_x = x[stop, left:right]
                base_y = y[stop, left:right]
                for r in range(d - 1, 0, -1):
                    _enter_pair(
                        x[start + r, left:right],
                        y[start + r, left:right],
                        base_x,
                        base_y,
                        width,
                        nothing if r == d - 1 else ends[r + 1],
                        ends[r],
                    )


@kernel
def rolling_standardized_moment(
    x: FloatPanel, d: int, order: int, standard: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the central moment of that order over d rows, two passes per window.

    standard : divide by the deviation to that order (NaN where all values are equal). NaN
        before d rows are there and where the window holds NaN.
    """
    for j in range(first, last):
        for t in range(x.shape[0]):
            if t < d - 1:
                out[t, j] = math.nan
                continue
            shift = x[t, j]
            mean = 0.0
            for i in range(t - d + 1, t + 1):
                mean += x[i, j] - shift
            mean = shift + mean / d
            total = 0.0
            squares = 0.0
            for i in range(t - d + 1, t + 1):
                gap = x[i, j] - mean
                squares += gap * gap
                total += gap**order
            if math.isnan(squares) or (standard and squares == 0.0):
                out[t, j] = math.nan
            elif not standard:
                out[t, j] = total / d
            else:
                out[t, j] = (total / d) / math.sqrt(squares / d) ** order
