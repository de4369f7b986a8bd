"""Arithmetic inside the groups of one day.

A negative label is unknown: such cells belong to no group and are NaN. Infinite cells are left
out as if they were NaN. Labels are below `labels`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, GroupPanel, kernel
from alphafoundry.expressions.precision import LARGEST, SMALLEST

Row = NDArray[np.float64]
Labels = NDArray[np.int32]


@kernel
def _in_range(squares: Row) -> bool:
    """Whether the sums of squares have all their digits; NaN counts as in range."""
    return not ((squares > LARGEST) | (squares < SMALLEST)).any()


@kernel
def _sum_squares(x: Row, g: Labels, base: Row, mean: Row, size: float, squares: Row) -> float:
    """Fill squares with each group's sum of squared gaps, in units of size; return the largest."""
    squares[:] = 0.0
    largest = 0.0
    for j in range(x.shape[0]):
        k = g[j]
        if k >= 0 and math.isfinite(x[j]):
            gap = x[j] - base[k] - mean[k]
            largest = max(largest, abs(gap))
            gap /= size
            squares[k] += gap * gap
    return largest


@kernel
def group_centred(
    x: FloatPanel,
    g: GroupPanel,
    labels: int,
    divide: bool,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with x minus its group's mean, over the group's population deviation if divide.

    A group of equal cells is 0, or NaN if divide.
    """
    base = np.empty(labels)
    mean = np.empty(labels)
    squares = np.empty(labels)
    count = np.empty(labels)
    for t in range(first, last):
        mean[:] = 0.0
        count[:] = 0.0
        for j in range(x.shape[1]):
            k = g[t, j]
            if k >= 0 and math.isfinite(x[t, j]):
                if count[k] == 0.0:
                    base[k] = x[t, j]
                count[k] += 1.0
                mean[k] += x[t, j] - base[k]
        for k in range(labels):
            mean[k] /= count[k]
        size = 1.0
        if divide:
            largest = _sum_squares(x[t], g[t], base, mean, size, squares)
            if largest > 0.0 and not _in_range(squares):
                size = largest
                _sum_squares(x[t], g[t], base, mean, size, squares)
        for j in range(x.shape[1]):
            k = g[t, j]
            if k < 0 or not math.isfinite(x[t, j]):
                out[t, j] = math.nan
                continue
            value = x[t, j] - base[k] - mean[k]
            if divide:
                spread = math.sqrt(squares[k] / count[k])
                value = value / size / spread if squares[k] > 0 else math.nan
            out[t, j] = value


@kernel
def group_statistic(  # noqa: PLR0912, PLR0915
    x: FloatPanel,
    w: FloatPanel,
    g: GroupPanel,
    labels: int,
    mode: int,
    spread: bool,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with one value per group, given to its members.

    mode : 0 mean with weights w, 1 sum, 2 count, 3 max, 4 min, 5 population deviation
    spread : members with NaN get it too. w is read only by mode 0, which leaves out cells whose
    weight is missing; weights that sum to 0 give NaN.
    """
    total = np.empty(labels)
    weight = np.empty(labels)
    base = np.empty(labels)
    mean = np.empty(labels)
    for t in range(first, last):
        start = 0.0
        if mode == 3:
            start = -math.inf
        elif mode == 4:
            start = math.inf
        total[:] = start
        weight[:] = 0.0
        for j in range(x.shape[1]):
            k = g[t, j]
            value = x[t, j]
            if k < 0 or not math.isfinite(value):
                continue
            if mode == 0:
                if math.isfinite(w[t, j]):
                    total[k] += value * w[t, j]
                    weight[k] += w[t, j]
                continue
            if weight[k] == 0.0:
                base[k] = value
            weight[k] += 1.0
            if mode == 1:
                total[k] += value
            elif mode == 3:
                total[k] = max(total[k], value)
            elif mode == 4:
                total[k] = min(total[k], value)
            elif mode == 5:
                total[k] += value - base[k]
        if mode == 0:
            for k in range(labels):
                lost = weight[k] == 0.0 or not 0.0 <= abs(total[k]) < math.inf
                total[k] = math.nan if lost else total[k] / weight[k]
        elif mode == 2:
            total[:] = weight
        elif mode == 5:
            for k in range(labels):
                mean[k] = total[k] / weight[k]
            size = 1.0
            largest = _sum_squares(x[t], g[t], base, mean, size, total)
            if largest > 0.0 and not _in_range(total):
                size = largest
                _sum_squares(x[t], g[t], base, mean, size, total)
            for k in range(labels):
                total[k] = size * math.sqrt(total[k] / weight[k])
        for j in range(x.shape[1]):
            k = g[t, j]
            shown = k >= 0 and (spread or math.isfinite(x[t, j]))
            if shown and (weight[k] != 0.0 or mode == 2):
                out[t, j] = total[k]
            else:
                out[t, j] = math.nan


@kernel
def group_scaled(
    x: FloatPanel, g: GroupPanel, labels: int, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with (x - min) / (max - min) of the group; NaN if all its cells are equal."""
    low = np.empty(labels)
    high = np.empty(labels)
    for t in range(first, last):
        low[:] = math.inf
        high[:] = -math.inf
        for j in range(x.shape[1]):
            k = g[t, j]
            if k >= 0 and math.isfinite(x[t, j]):
                low[k] = min(low[k], x[t, j])
                high[k] = max(high[k], x[t, j])
        for j in range(x.shape[1]):
            k = g[t, j]
            if k >= 0 and math.isfinite(x[t, j]) and high[k] > low[k]:
                out[t, j] = (x[t, j] - low[k]) / (high[k] - low[k])
            else:
                out[t, j] = math.nan


@kernel
def group_normalized(
    x: FloatPanel,
    g: GroupPanel,
    labels: int,
    constant_check: bool,
    tolerance: float,
    total: float,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with x so that the group's sum of |x| is total; NaN where it is 0.

    constant_check : also NaN where the group's max - min is at most tolerance
    """
    low = np.empty(labels)
    high = np.empty(labels)
    size = np.empty(labels)
    for t in range(first, last):
        low[:] = math.inf
        high[:] = -math.inf
        size[:] = 0.0
        for j in range(x.shape[1]):
            k = g[t, j]
            if k >= 0 and math.isfinite(x[t, j]):
                low[k] = min(low[k], x[t, j])
                high[k] = max(high[k], x[t, j])
                size[k] += abs(x[t, j])
        for j in range(x.shape[1]):
            k = g[t, j]
            out[t, j] = math.nan
            if k < 0 or not math.isfinite(x[t, j]) or size[k] == 0.0:
                continue
            if not (constant_check and high[k] - low[k] <= tolerance):
                out[t, j] = x[t, j] / size[k] * total


@kernel
def group_backfilled(  # noqa: PLR0912
    x: FloatPanel,
    g: GroupPanel,
    labels: int,
    d: int,
    std: float,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with x, its NaN replaced by a winsorized mean of the group's last d rows.

    All finite values of the last d rows of the instruments that are in the group today are
    limited to their mean -/+ std sample deviations, then averaged. Rows before the first d use
    what is there; a group without values stays NaN.
    """
    wanted = np.empty(labels, np.bool_)
    base = np.empty(labels)
    count = np.empty(labels)
    mean = np.empty(labels)
    deviation = np.empty(labels)
    clipped = np.empty(labels)
    names = x.shape[1]
    for t in range(first, last):
        wanted[:] = False
        gaps = 0
        for j in range(names):
            out[t, j] = x[t, j]
            if math.isnan(x[t, j]) and g[t, j] >= 0:
                wanted[g[t, j]] = True
                gaps += 1
        if gaps == 0:
            continue
        begin = max(t - d + 1, 0)
        count[:] = 0.0
        mean[:] = 0.0
        deviation[:] = 0.0
        clipped[:] = 0.0
        for step in range(3):
            for i in range(begin, t + 1):
                for j in range(names):
                    k = g[t, j]
                    if k < 0 or not wanted[k] or not math.isfinite(x[i, j]):
                        continue
                    if step == 0:
                        if count[k] == 0.0:
                            base[k] = x[i, j]
                        count[k] += 1.0
                        mean[k] += x[i, j] - base[k]
                    elif step == 1:
                        deviation[k] += (x[i, j] - mean[k]) ** 2
                    else:
                        low = mean[k] - std * deviation[k]
                        high = mean[k] + std * deviation[k]
                        clipped[k] += min(max(x[i, j], low), high)
            for k in range(labels):
                if step == 0:
                    mean[k] = base[k] + mean[k] / count[k] if count[k] > 0.0 else math.nan
                elif step == 1:
                    deviation[k] = math.sqrt(deviation[k] / max(count[k] - 1.0, 1.0))
                else:
                    clipped[k] /= count[k]
        for j in range(names):
            if math.isnan(x[t, j]) and g[t, j] >= 0:
                out[t, j] = clipped[g[t, j]]
