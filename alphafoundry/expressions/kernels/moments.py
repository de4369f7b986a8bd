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

from alphafoundry.compilation import NARROW, WIDTH, FloatPanel, kernel
from alphafoundry.expressions.precision import LARGEST, SMALLEST

Row = NDArray[np.float64]

_LOST = 1e-300
_LEAST, _MOST = 1e-120, 1e120
_NO_DEVIATION = 1e-150
"""The square of a deviation below this has lost digits."""

_NO_CORRELATION = 1e-14
"""Below this a correlation is what rounding left of 0, and is 0."""


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
def _enter_here(x: Row, base: Row, mean: Row, squares: Row, count: float) -> None:
    """Do what `_enter` does in place; overlapping arrays would keep it from vector code."""
    weight = 1.0 / count
    for j in range(x.shape[0]):
        value = x[j] - base[j]
        step = value - mean[j]
        moved = mean[j] + step * weight
        mean[j] = moved
        squares[j] += step * (value - moved)


@kernel
def _enter_and_deviate(
    x: Row,
    base: Row,
    mean: Row,
    squares: Row,
    count: float,
    older_mean: Row,
    older_squares: Row,
    d: int,
    out: Row,
) -> None:
    """Do what `_enter_here` does, and fill out with the deviation of these and the older rows."""
    weight = 1.0 / count
    share = count / d
    both = count * (1.0 - share)
    for j in range(x.shape[0]):
        value = x[j] - base[j]
        step = value - mean[j]
        moved = mean[j] + step * weight
        squared = squares[j] + step * (value - moved)
        mean[j] = moved
        squares[j] = squared
        gap = moved - older_mean[j]
        found = math.sqrt((squared + older_squares[j] + gap * gap * both) / d)
        out[j] = found if found < math.inf else math.nan


@kernel
def _finish(mode: int, d: int, x: Row, base: Row, mean: Row, squares: Row, out: Row) -> None:
    """Turn statistics into the answer; mode 0 std, 1 z-score, 2 mean over std."""
    if mode == 0:
        for j in range(x.shape[0]):
            found = math.sqrt(squares[j] / d)
            out[j] = found if found < math.inf else math.nan
    elif mode == 1:
        for j in range(x.shape[0]):
            deviation = math.sqrt(squares[j] / d)
            known = (deviation > _NO_DEVIATION) & (deviation < math.inf)
            out[j] = (x[j] - base[j] - mean[j]) / deviation if known else math.nan
    else:
        for j in range(x.shape[0]):
            deviation = math.sqrt(squares[j] / d)
            known = (deviation > _NO_DEVIATION) & (deviation < math.inf)
            out[j] = (base[j] + mean[j]) / deviation if known else math.nan


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
                if mode == 0 and start > 0 and count < d:
                    _enter_and_deviate(
                        today,
                        base,
                        mean,
                        squares,
                        count,
                        end_mean[count, :width],
                        end_squares[count, :width],
                        d,
                        out[t, left:right],
                    )
                    continue
                _enter_here(today, base, mean, squares, count)
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
def _enter_pair(x: Row, y: Row, base_x: Row, base_y: Row, sums: Row, more: Row) -> None:
    """Put the sums and one more row of pairs, relative to base, into more.

    sums, more : five rows of WIDTH one after another: sums of x, y, x * x, y * y, x * y
    """
    for j in range(x.shape[0]):
        a = x[j] - base_x[j]
        b = y[j] - base_y[j]
        more[j] = sums[j] + a
        more[WIDTH + j] = sums[WIDTH + j] + b
        more[2 * WIDTH + j] = sums[2 * WIDTH + j] + a * a
        more[3 * WIDTH + j] = sums[3 * WIDTH + j] + b * b
        more[4 * WIDTH + j] = sums[4 * WIDTH + j] + a * b


@kernel
def _correlate_extremes(sums: Row, end: Row, share: float, out: Row) -> None:
    """Fill out with correlations where the product of two variances is out of range."""
    for j in range(out.shape[0]):
        sum_x = sums[j] + end[j]
        sum_y = sums[WIDTH + j] + end[WIDTH + j]
        xx = sums[2 * WIDTH + j] + end[2 * WIDTH + j] - sum_x * sum_x * share
        yy = sums[3 * WIDTH + j] + end[3 * WIDTH + j] - sum_y * sum_y * share
        xy = sums[4 * WIDTH + j] + end[4 * WIDTH + j] - sum_x * sum_y * share
        known = (_LOST < xx < math.inf) and (_LOST < yy < math.inf)
        if known and math.isfinite(xy):
            found = min(max(xy / math.sqrt(xx) / math.sqrt(yy), -1.0), 1.0)
            out[j] = 0.0 if abs(found) < _NO_CORRELATION else found
        else:
            out[j] = math.nan


@kernel
def _correlate(
    x: Row, y: Row, base_x: Row, base_y: Row, sums: Row, end: Row, d: int, out: Row
) -> None:
    """Add a row of pairs to sums; fill out with the correlation of them and those in end."""
    share = 1.0 / d
    extreme = 0
    for j in range(x.shape[0]):
        a = x[j] - base_x[j]
        b = y[j] - base_y[j]
        sum_x = sums[j] + a
        sum_y = sums[WIDTH + j] + b
        square_x = sums[2 * WIDTH + j] + a * a
        square_y = sums[3 * WIDTH + j] + b * b
        product = sums[4 * WIDTH + j] + a * b
        sums[j] = sum_x
        sums[WIDTH + j] = sum_y
        sums[2 * WIDTH + j] = square_x
        sums[3 * WIDTH + j] = square_y
        sums[4 * WIDTH + j] = product
        sum_x += end[j]
        sum_y += end[WIDTH + j]
        xx = square_x + end[2 * WIDTH + j] - sum_x * sum_x * share
        yy = square_y + end[3 * WIDTH + j] - sum_y * sum_y * share
        xy = product + end[4 * WIDTH + j] - sum_x * sum_y * share
        scale = xx * yy
        found = xy / math.sqrt(scale)
        found = 1.0 if found > 1.0 else found
        found = -1.0 if found < -1.0 else found
        found = 0.0 if abs(found) < _NO_CORRELATION else found
        varied = (xx > 0.0) & (yy > 0.0)
        extreme += 1 if varied & ((scale < SMALLEST) | (scale > LARGEST)) else 0
        out[j] = found if varied else math.nan
    if extreme > 0:
        _correlate_extremes(sums, end, share, out)


@kernel
def _covary(
    x: Row, y: Row, base_x: Row, base_y: Row, sums: Row, end: Row, d: int, out: Row
) -> None:
    """Add a row of pairs to sums; fill out with the covariance of them and those in end."""
    share = 1.0 / d
    for j in range(x.shape[0]):
        a = x[j] - base_x[j]
        b = y[j] - base_y[j]
        sum_x = sums[j] + a
        sum_y = sums[WIDTH + j] + b
        product = sums[4 * WIDTH + j] + a * b
        sums[j] = sum_x
        sums[WIDTH + j] = sum_y
        sums[4 * WIDTH + j] = product
        sum_x += end[j]
        sum_y += end[WIDTH + j]
        found = (product + end[4 * WIDTH + j] - sum_x * sum_y * share) * share
        out[j] = found if abs(found) < math.inf else math.nan


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
    ends = np.zeros((min(d, days) + 1, 5 * WIDTH))
    sums = np.zeros(5 * WIDTH)
    nothing = np.zeros(5 * WIDTH)
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        for start in range(0, days, d):
            stop = min(start + d, days)
            base_x = x[start, left:right]
            base_y = y[start, left:right]
            sums[:] = 0.0
            for t in range(start, stop):
                count = t - start + 1
                end = ends[count] if count < d and t >= d else nothing
                now_x = x[t, left:right]
                now_y = y[t, left:right]
                answer = out[t, left:right]
                if mode == 0:
                    _correlate(now_x, now_y, base_x, base_y, sums, end, d, answer)
                else:
                    _covary(now_x, now_y, base_x, base_y, sums, end, d, answer)
                if t < d - 1:
                    out[t, left:right] = math.nan
            if stop < days:
                base_x = x[stop, left:right]
                base_y = y[stop, left:right]
                for r in range(d - 1, 0, -1):
                    row = start + r
                    _enter_pair(
                        x[row, left:right],
                        y[row, left:right],
                        base_x,
                        base_y,
                        ends[r + 1] if r + 1 < d else nothing,
                        ends[r],
                    )


@kernel
def _add_above(x: Row, shift: Row, total: Row) -> None:
    """Add how far x is above shift."""
    for j in range(total.shape[0]):
        total[j] += x[j] - shift[j]


@kernel
def _add_powers(x: Row, shift: Row, mean: Row, order: int, squares: Row, total: Row) -> None:
    """Add the squares of the gaps between x and shift + mean, and their powers of that order."""
    if order == 3:
        for j in range(total.shape[0]):
            gap = x[j] - shift[j] - mean[j]
            square = gap * gap
            squares[j] += square
            total[j] += gap * square
    elif order == 4:
        for j in range(total.shape[0]):
            gap = x[j] - shift[j] - mean[j]
            square = gap * gap
            squares[j] += square
            total[j] += square * square
    else:
        for j in range(total.shape[0]):
            gap = x[j] - shift[j] - mean[j]
            squares[j] += gap * gap
            total[j] += gap**order


@kernel
def _standardized_extreme(window: Row, shift: float, mean: float, order: int) -> float:
    """Return a standardized moment whose sum of squares would leave the range of numbers."""
    largest = 0.0
    for i in range(window.shape[0]):
        largest = max(largest, abs(window[i] - shift - mean))
    unit = 1.0 / largest if largest > 0.0 else 1.0
    total = 0.0
    squares = 0.0
    for i in range(window.shape[0]):
        gap = (window[i] - shift - mean) * unit
        squares += gap * gap
        total += gap**order
    d = window.shape[0]
    known = squares != 0.0 and not math.isnan(squares)
    return (total / d) / math.sqrt(squares / d) ** order if known else math.nan


@kernel
def rolling_standardized_moment(
    x: FloatPanel, d: int, order: int, standard: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the central moment of that order over d rows, two passes per window.

    standard : divide by the deviation to that order (NaN where all values are equal). NaN
        before d rows are there and where the window holds NaN.
    """
    mean_row = np.empty(NARROW)
    squares_row = np.empty(NARROW)
    total_row = np.empty(NARROW)
    for left in range(first, last, NARROW):
        right = min(left + NARROW, last)
        mean = mean_row[: right - left]
        squares = squares_row[: right - left]
        total = total_row[: right - left]
        for t in range(x.shape[0]):
            answer = out[t, left:right]
            if t < d - 1:
                answer[:] = math.nan
                continue
            shift = x[t, left:right]
            mean[:] = 0.0
            for i in range(t - d + 1, t + 1):
                _add_above(x[i, left:right], shift, mean)
            mean /= d
            squares[:] = 0.0
            total[:] = 0.0
            for i in range(t - d + 1, t + 1):
                _add_powers(x[i, left:right], shift, mean, order, squares, total)
            for j in range(answer.shape[0]):
                if not standard:
                    known = math.isfinite(total[j]) and not math.isnan(squares[j])
                    answer[j] = total[j] / d if known else math.nan
                elif squares[j] <= _LEAST or squares[j] >= _MOST:
                    window = np.ascontiguousarray(x[t - d + 1 : t + 1, left + j])
                    answer[j] = _standardized_extreme(window, shift[j], mean[j], order)
                elif math.isnan(squares[j]):
                    answer[j] = math.nan
                else:
                    answer[j] = (total[j] / d) / math.sqrt(squares[j] / d) ** order


@kernel
def rolling_joint_moment(
    x: FloatPanel,
    y: FloatPanel,
    z: FloatPanel,
    d: int,
    power: int,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with the mean of x * y^power * z over d rows, each standardized.

    Two passes per window. NaN before d rows are there, where the window holds NaN, and where one
    of the inputs is constant.
    """
    for j in range(first, last):
        for t in range(x.shape[0]):
            out[t, j] = math.nan
            if t < d - 1:
                continue
            mean_x = 0.0
            mean_y = 0.0
            mean_z = 0.0
            for i in range(t - d + 1, t + 1):
                mean_x += (x[i, j] - x[t, j]) / d
                mean_y += (y[i, j] - y[t, j]) / d
                mean_z += (z[i, j] - z[t, j]) / d
            xx = 0.0
            yy = 0.0
            zz = 0.0
            joint = 0.0
            for i in range(t - d + 1, t + 1):
                gap_x = x[i, j] - x[t, j] - mean_x
                gap_y = y[i, j] - y[t, j] - mean_y
                gap_z = z[i, j] - z[t, j] - mean_z
                xx += gap_x * gap_x
                yy += gap_y * gap_y
                zz += gap_z * gap_z
                joint += gap_x * gap_y**power * gap_z
            if xx > 0.0 and yy > 0.0 and zz > 0.0:
                scale = math.sqrt(xx / d) * math.sqrt(yy / d) ** power * math.sqrt(zz / d)
                out[t, j] = joint / d / scale
