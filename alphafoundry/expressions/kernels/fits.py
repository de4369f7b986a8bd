"""Least-squares fits with several regressors, and their residuals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, GroupPanel, kernel

Row = NDArray[np.float64]

_ALIKE = 1e-12
"""A regressor whose square falls below this share, once others are taken out, says nothing new."""


@kernel
def _polynomial_residual(x: Row, y: Row, order: int, now: Row, before: Row) -> float:
    """Return the last pair's error of the polynomial of y in x, over the pairs without NaN.

    Fits with polynomials that are orthogonal on the values of x (Forsythe 1957), so that no
    power of x is formed. now, before : room for as many values as x has. NaN where the valid x
    have no more than `order` different values, or the last pair is missing.
    """
    last = x.shape[0] - 1
    low = math.inf
    high = -math.inf
    base = math.nan
    for i in range(last + 1):
        if math.isfinite(x[i]) and math.isfinite(y[i]):
            low = min(low, x[i])
            high = max(high, x[i])
            base = y[i]
    if not (math.isfinite(x[last]) and math.isfinite(y[last]) and high > low):
        return math.nan
    middle = 0.5 * (low + high)
    half = 0.5 * (high - low)
    size_before = 1.0
    error = y[last] - base
    for k in range(order + 1):
        size = 0.0
        along = 0.0
        product = 0.0
        for i in range(last + 1):
            if math.isfinite(x[i]) and math.isfinite(y[i]):
                if k == 0:
                    now[i] = 1.0
                    before[i] = 0.0
                size += now[i] * now[i]
                along += now[i] * now[i] * ((x[i] - middle) / half)
                product += now[i] * (y[i] - base)
        if size <= _ALIKE * size_before:
            return math.nan
        error -= product / size * now[last]
        centre = along / size
        ratio = size / size_before if k > 0 else 0.0
        for i in range(last + 1):
            if math.isfinite(x[i]) and math.isfinite(y[i]):
                following = ((x[i] - middle) / half - centre) * now[i] - ratio * before[i]
                before[i] = now[i]
                now[i] = following
        size_before = size
    return float(error)


@kernel
def rolling_polynomial(
    y: FloatPanel, x: FloatPanel, d: int, k: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with today's error of the polynomial of y in x of order k over d rows.

    Pairs with a missing or infinite side are left out. NaN before d rows are there.
    """
    xs = np.empty(d)
    ys = np.empty(d)
    now = np.empty(d)
    before = np.empty(d)
    out[: min(d - 1, x.shape[0]), first:last] = math.nan
    for j in range(first, last):
        for t in range(d - 1, x.shape[0]):
            for i in range(d):
                xs[i] = x[t - d + 1 + i, j]
                ys[i] = y[t - d + 1 + i, j]
            out[t, j] = _polynomial_residual(xs, ys, int(k), now, before)


@kernel
def _without(columns: FloatPanel, place: int, count: int, earlier: int) -> None:
    """Take the first `earlier` columns, which are orthonormal or 0, out of the one at `place`."""
    for _ in range(2):
        for k in range(earlier):
            product = 0.0
            for i in range(count):
                product += columns[k, i] * columns[place, i]
            for i in range(count):
                columns[place, i] -= product * columns[k, i]


@kernel
def _centre(column: Row, count: int) -> float:
    """Subtract the mean of the first cells, and return the sum of squares that is left."""
    base = column[0]
    mean = 0.0
    for i in range(count):
        column[i] -= base
        mean += column[i]
    mean /= count
    size = 0.0
    for i in range(count):
        column[i] -= mean
        size += column[i] * column[i]
    return size


@kernel
def _fit(columns: FloatPanel, count: int) -> bool:
    """Leave in the last column its error of the line of the others, with intercept.

    columns : shape (regressors + 1, at least count). Returns whether any regressor varies. One
    that the others already give changes nothing.
    """
    regressors = columns.shape[0] - 1
    varies = False
    for k in range(regressors):
        whole = _centre(columns[k], count)
        _without(columns, k, count, k)
        size = 0.0
        for i in range(count):
            size += columns[k, i] * columns[k, i]
        new = size > _ALIKE * whole
        varies = varies or new
        scale = 1.0 / math.sqrt(size) if new else 0.0
        for i in range(count):
            columns[k, i] *= scale
    _centre(columns[regressors], count)
    _without(columns, regressors, count, regressors)
    return varies


@kernel
def _whole(panels: NDArray[np.float64], t: int, j: int) -> bool:
    for p in range(panels.shape[0]):  # noqa: SIM110 - numba compiles no generators
        if not math.isfinite(panels[p, t, j]):
            return False
    return True


@kernel
def group_regression(
    panels: NDArray[np.float64],
    g: GroupPanel,
    labels: int,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with the error of each group's regression of y on all x, with intercept.

    panels : shape (n_regressors + 1, n_days, n_instruments), y last. g : labels below `labels`,
    negative is unknown and NaN. NaN where an input is missing or infinite, and where no
    regressor varies in the group.
    """
    width, _, names = panels.shape
    columns = np.empty((width, names))
    members = np.empty(names, np.int64)
    ends = np.empty(labels, np.int64)
    starts = np.empty(labels + 1, np.int64)
    for t in range(first, last):
        starts[:] = 0
        for j in range(names):
            out[t, j] = math.nan
            if g[t, j] >= 0 and _whole(panels, t, j):
                starts[g[t, j] + 1] += 1
        for k in range(labels):
            starts[k + 1] += starts[k]
            ends[k] = starts[k]
        for j in range(names):
            if g[t, j] >= 0 and _whole(panels, t, j):
                members[ends[g[t, j]]] = j
                ends[g[t, j]] += 1
        for k in range(labels):
            count = ends[k] - starts[k]
            if count == 0:
                continue
            for p in range(width):
                for i in range(count):
                    columns[p, i] = panels[p, t, members[starts[k] + i]]
            if _fit(columns, count):
                for i in range(count):
                    out[t, members[starts[k] + i]] = columns[width - 1, i]
