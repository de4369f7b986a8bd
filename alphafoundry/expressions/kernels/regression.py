"""Rolling straight-line fits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import NARROW, FloatPanel, kernel
from alphafoundry.expressions.precision import LARGEST, SMALLEST

Row = NDArray[np.float64]

_COUNT, _BASE_X, _BASE_Y, _X, _Y, _XX, _YY, _XY, _ERRORS = (NARROW * place for place in range(9))


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
    (three for 7, 8, 9), and where the valid x are all equal. Values are taken relative to the
    first valid pair, so equal ones cancel exactly. Every row of the window is read twice, a third
    time for the squared errors.
    """
    behind = int(lag)
    kind = int(rettype)
    state = np.empty(9 * NARROW)
    for left in range(first, last, NARROW):
        right = min(left + NARROW, last)
        for t in range(x.shape[0]):
            if t < d - 1 + behind:
                out[t, left:right] = math.nan
                continue
            state[:] = 0.0
            for i in range(t - d + 1, t + 1):
                _add(x[i - behind, left:right], y[i, left:right], state)
            for j in range(right - left):
                state[_X + j] /= state[_COUNT + j]
                state[_Y + j] /= state[_COUNT + j]
            for i in range(t - d + 1, t + 1):
                _add_squares(x[i - behind, left:right], y[i, left:right], state)
            if kind in (4, 6, 7, 8, 9):
                for i in range(t - d + 1, t + 1):
                    _add_errors(x[i - behind, left:right], y[i, left:right], state)
            for j in range(right - left):
                here = left + j
                out[t, here] = _answer(kind, x[t - behind, here], y[t, here], state, j)
