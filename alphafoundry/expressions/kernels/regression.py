"""Rolling straight-line fits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import NARROW, FloatPanel, kernel
from alphafoundry.expressions.precision import LARGEST, SMALLEST

Row = NDArray[np.float64]

_COUNT, _BASE_X, _BASE_Y, _X, _Y, _XX, _YY, _XY, _ERRORS = (NARROW * place for place in range(9))
_SUM_X, _SUM_Y, _SUM_XX, _SUM_YY, _SUM_XY, _SUMS = (NARROW * place for place in range(1, 7))

_OF_ERRORS = (4, 6, 7, 8, 9)
"""Results that read the sum of squared errors."""


@kernel
def _add(x: Row, y: Row, state: Row) -> None:
    """Count a row's pairs and sum their sides, relative to the first valid pair."""
    for j in range(x.shape[0]):
        valid = not (math.isnan(x[j]) | math.isnan(y[j]))
        fresh = valid & (state[_COUNT + j] == 0.0)
        base_x = x[j] if fresh else state[_BASE_X + j]
        base_y = y[j] if fresh else state[_BASE_Y + j]
        state[_BASE_X + j] = base_x
        state[_BASE_Y + j] = base_y
        state[_X + j] += x[j] - base_x if valid else 0.0
        state[_Y + j] += y[j] - base_y if valid else 0.0
        state[_COUNT + j] += 1.0 if valid else 0.0


@kernel
def _add_squares(x: Row, y: Row, state: Row) -> None:
    """Sum squares and products around the means, which the sums hold by now."""
    for j in range(x.shape[0]):
        valid = not (math.isnan(x[j]) | math.isnan(y[j]))
        gap_x = x[j] - state[_BASE_X + j] - state[_X + j] if valid else 0.0
        gap_y = y[j] - state[_BASE_Y + j] - state[_Y + j] if valid else 0.0
        state[_XX + j] += gap_x * gap_x
        state[_YY + j] += gap_y * gap_y
        state[_XY + j] += gap_x * gap_y


@kernel
def _add_errors(x: Row, y: Row, state: Row) -> None:
    """Sum squared errors of the line."""
    for j in range(x.shape[0]):
        valid = not (math.isnan(x[j]) | math.isnan(y[j]))
        slope = state[_XY + j] / state[_XX + j]
        gap_x = x[j] - state[_BASE_X + j] - state[_X + j]
        gap_y = y[j] - state[_BASE_Y + j] - state[_Y + j]
        error = gap_y - slope * gap_x if valid else 0.0
        state[_ERRORS + j] += error * error


@kernel
def _answer(kind: int, x: float, y: float, state: Row, j: int) -> float:  # noqa: PLR0911, PLR0912
    count = float(state[_COUNT + j])
    if count < 2.0:
        return math.nan
    if kind == 5:
        yy = float(state[_YY + j])
        return yy if yy < math.inf else math.nan
    xx = float(state[_XX + j])
    if not SMALLEST < xx < LARGEST or not math.isfinite(state[_XY + j]):
        return math.nan
    slope = float(state[_XY + j] / xx)
    middle = float(state[_BASE_X + j] + state[_X + j])
    level = float(state[_BASE_Y + j] + state[_Y + j])
    estimate = float(level + slope * (x - state[_BASE_X + j] - state[_X + j]))
    errors = float(state[_ERRORS + j])
    if kind == 0:
        rise = slope * (x - state[_BASE_X + j] - state[_X + j])
        return float(y - state[_BASE_Y + j] - state[_Y + j] - rise)
    if kind == 1:
        return level - slope * middle
    if kind == 2:
        return slope
    if kind == 3:
        return estimate
    if kind > 3 and not errors < math.inf:
        return math.nan
    if kind == 4:
        return errors
    if kind == 6:
        yy = float(state[_YY + j])
        return 1.0 - errors / yy if yy > 0.0 else math.nan
    if count <= 2.0:
        return math.nan
    spread = errors / (count - 2.0)
    if kind == 7:
        return spread
    if kind == 8:
        return math.sqrt(spread / xx)
    return math.sqrt(spread * (1.0 / count + middle * middle / xx))


@kernel
def _fit_windows(
    y: FloatPanel,
    x: FloatPanel,
    t: int,
    d: int,
    behind: int,
    kind: int,
    state: Row,
    out: FloatPanel,
    left: int,
    right: int,
) -> None:
    """Fill cells left..right of one day, going through their windows two or three times."""
    state[:] = 0.0
    for i in range(t - d + 1, t + 1):
        _add(x[i - behind, left:right], y[i, left:right], state)
    for j in range(right - left):
        state[_X + j] /= state[_COUNT + j]
        state[_Y + j] /= state[_COUNT + j]
    for i in range(t - d + 1, t + 1):
        _add_squares(x[i - behind, left:right], y[i, left:right], state)
    if kind in _OF_ERRORS:
        for i in range(t - d + 1, t + 1):
            _add_errors(x[i - behind, left:right], y[i, left:right], state)
    for j in range(right - left):
        here = left + j
        out[t, here] = _answer(kind, x[t - behind, here], y[t, here], state, j)


@kernel
def _note_bases(x: Row, y: Row, base_x: Row, base_y: Row, known: Row) -> None:
    """Take the pairs that are there as bases."""
    for j in range(x.shape[0]):
        before_x = base_x[j]
        before_y = base_y[j]
        before = known[j]
        gone = math.isnan(x[j]) | math.isnan(y[j])
        base_x[j] = before_x if gone else x[j]
        base_y[j] = before_y if gone else y[j]
        known[j] = before if gone else 1.0


@kernel
def _take_bases(x: Row, y: Row, base_x: Row, base_y: Row, known: Row) -> None:
    """Take the pairs that are there as bases where none is known."""
    for j in range(x.shape[0]):
        first = (known[j] == 0.0) & (not (math.isnan(x[j]) | math.isnan(y[j])))
        base_x[j] = x[j] if first else base_x[j]
        base_y[j] = y[j] if first else base_y[j]
        known[j] = 1.0 if first else known[j]


@kernel
def _enter(x: Row, y: Row, base_x: Row, base_y: Row, sums: Row) -> None:
    """Add a row of pairs, relative to the bases, to the sums."""
    for j in range(x.shape[0]):
        gap_x = x[j] - base_x[j]
        gap_y = y[j] - base_y[j]
        gone = math.isnan(x[j]) | math.isnan(y[j])
        a = 0.0 if gone else gap_x
        b = 0.0 if gone else gap_y
        sums[_COUNT + j] += 0.0 if gone else 1.0
        sums[_SUM_X + j] += a
        sums[_SUM_Y + j] += b
        sums[_SUM_XX + j] += a * a
        sums[_SUM_YY + j] += b * b
        sums[_SUM_XY + j] += a * b


@kernel
def _line(sums: Row, end: Row, j: int) -> tuple[float, float, float]:
    """Return slope, mean of x and mean of y of the sums and those in end; slope NaN without one."""
    count = sums[_COUNT + j] + end[_COUNT + j]
    sum_x = sums[_SUM_X + j] + end[_SUM_X + j]
    sum_y = sums[_SUM_Y + j] + end[_SUM_Y + j]
    mean_x = sum_x / count
    mean_y = sum_y / count
    xx = sums[_SUM_XX + j] + end[_SUM_XX + j] - sum_x * mean_x
    xy = sums[_SUM_XY + j] + end[_SUM_XY + j] - sum_x * mean_y
    fits = (count > 1.0) & (xx > SMALLEST) & (xx < LARGEST) & (abs(xy) < math.inf)
    return xy / xx if fits else math.nan, mean_x, mean_y


@kernel
def _conclude(
    kind: int, x: Row, y: Row, base_x: Row, base_y: Row, sums: Row, end: Row, out: Row
) -> None:
    """Fill out with what the sums and those in end say together."""
    if kind == 0:
        for j in range(out.shape[0]):
            slope, mean_x, mean_y = _line(sums, end, j)
            rise = slope * (x[j] - base_x[j] - mean_x)
            out[j] = y[j] - base_y[j] - mean_y - rise
    elif kind == 1:
        for j in range(out.shape[0]):
            slope, mean_x, mean_y = _line(sums, end, j)
            out[j] = base_y[j] + mean_y - slope * (base_x[j] + mean_x)
    elif kind == 2:
        for j in range(out.shape[0]):
            out[j] = _line(sums, end, j)[0]
    elif kind == 3:
        for j in range(out.shape[0]):
            slope, mean_x, mean_y = _line(sums, end, j)
            out[j] = base_y[j] + mean_y + slope * (x[j] - base_x[j] - mean_x)
    else:
        for j in range(out.shape[0]):
            count = sums[_COUNT + j] + end[_COUNT + j]
            sum_y = sums[_SUM_Y + j] + end[_SUM_Y + j]
            yy = sums[_SUM_YY + j] + end[_SUM_YY + j] - sum_y * (sum_y / count)
            positive = yy if yy > 0.0 else 0.0
            out[j] = positive if (count > 1.0) & (yy < math.inf) else math.nan


@kernel
def _count_strangers(outside: Row, sums: Row, end: Row) -> int:
    """Count the columns whose base is not in their window."""
    found = 0
    for j in range(outside.shape[0]):
        lost = (outside[j] > 0.0) & (end[_COUNT + j] == 0.0) & (sums[_COUNT + j] > 1.0)
        found += 1 if lost else 0
    return found


@kernel
def _fit_blocks(
    y: FloatPanel,
    x: FloatPanel,
    d: int,
    behind: int,
    kind: int,
    state: Row,
    out: FloatPanel,
    left: int,
    right: int,
) -> None:
    """Fill columns left..right, at most NARROW, from sums of the ends of blocks of d rows.

    A window is the end of one block and the start of the next. Sums are relative to a pair of the
    window itself: that of the block's first row or, where that is missing, the last one before
    it. Where that is no longer in the window, the cell goes through its window by itself.
    """
    days = y.shape[0]
    width = right - left
    ends = np.empty((min(d, days) + 1, _SUMS))
    sums = np.empty(_SUMS)
    nothing = np.zeros(_SUMS)
    base_x = np.zeros(width)
    base_y = np.zeros(width)
    known = np.zeros(width)
    outside = np.empty(width)
    for start in range(behind, days, d):
        stop = min(start + d, days)
        known[:] = 0.0
        if start > behind:
            for i in range(start - d + 1, start):
                _note_bases(x[i - behind, left:right], y[i, left:right], base_x, base_y, known)
        outside[:] = known
        first_x = x[start - behind, left:right]
        first_y = y[start, left:right]
        for j in range(width):
            missing = math.isnan(first_x[j]) | math.isnan(first_y[j])
            outside[j] = outside[j] if missing else 0.0
        _note_bases(first_x, first_y, base_x, base_y, known)
        fresh = known.min() == 0.0
        sums[:] = 0.0
        if start > behind:
            for r in range(d - 1, 0, -1):
                i = start - d + r
                _enter(x[i - behind, left:right], y[i, left:right], base_x, base_y, sums)
                ends[r] = sums
        sums[:] = 0.0
        for t in range(start, stop):
            count = t - start + 1
            now_x = x[t - behind, left:right]
            now_y = y[t, left:right]
            if fresh:
                _take_bases(now_x, now_y, base_x, base_y, known)
            _enter(now_x, now_y, base_x, base_y, sums)
            if t < d - 1 + behind:
                continue
            end = ends[count] if count < d else nothing
            _conclude(kind, now_x, now_y, base_x, base_y, sums, end, out[t, left:right])
            if _count_strangers(outside, sums, end) > 0:
                for j in range(width):
                    lost = outside[j] > 0.0 and end[_COUNT + j] == 0.0
                    if lost and sums[_COUNT + j] > 1.0:
                        here = left + j
                        _fit_windows(y, x, t, d, behind, kind, state, out, here, here + 1)


@kernel
def rolling_regression(
    y: FloatPanel,
    x: FloatPanel,
    d: int,
    lag: float,
    rettype: float,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with a result of the least-squares line y = a + b * x(lag rows ago) over d rows.

    rettype : 0 error of today, 1 a, 2 b, 3 estimate of today, 4 sum of squared errors, 5 total
        sum of squares of y, 6 R2, 7 sum of squared errors over (n - 2), 8 and 9 standard errors
        of b and a
    Pairs with a NaN are left out. NaN before d + lag rows are there, with fewer than two pairs
    (three for 7, 8, 9), and where the valid x are all equal. Values are taken relative to a valid
    pair of the window, so equal ones cancel exactly. Sums of squared errors read every row of the
    window three times, so that a line that fits keeps its digits; the others do not depend on d.
    """
    behind = int(lag)
    kind = int(rettype)
    state = np.empty(9 * NARROW)
    out[: min(d - 1 + behind, x.shape[0]), first:last] = math.nan
    for left in range(first, last, NARROW):
        right = min(left + NARROW, last)
        if kind not in _OF_ERRORS:
            _fit_blocks(y, x, d, behind, kind, state, out, left, right)
            continue
        for t in range(d - 1 + behind, x.shape[0]):
            _fit_windows(y, x, t, d, behind, kind, state, out, left, right)
