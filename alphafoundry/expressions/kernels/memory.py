"""Operators that look back for a value, or remember their own last answer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel


@kernel
def _ignored(value: float, ignore: NDArray[np.float64], missing: bool) -> bool:
    if math.isnan(value):
        return missing
    for k in range(ignore.shape[0]):  # noqa: SIM110 - numba compiles no generators
        if value == ignore[k]:
            return True
    return False


@kernel
def kth_recent(
    x: FloatPanel,
    d: int,
    k: int,
    ignore: NDArray[np.float64],
    missing: bool,
    only_gaps: bool,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with the k-th most recent value of the last d rows that is not ignored.

    ignore : values to pass over; missing : pass over NaN too
    only_gaps : keep today's value where it is not ignored itself
    NaN where there are fewer than k. Rows before the first d use what is there.
    """
    for t in range(x.shape[0]):
        for j in range(first, last):
            if only_gaps and not _ignored(x[t, j], ignore, missing):
                out[t, j] = x[t, j]
                continue
            out[t, j] = math.nan
            found = 0
            for i in range(t, max(t - d, -1), -1):
                if not _ignored(x[i, j], ignore, missing):
                    found += 1
                    if found == k:
                        out[t, j] = x[i, j]
                        break


@kernel
def last_different(x: FloatPanel, d: int, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the most recent value of the d rows that is not NaN and not today's.

    NaN where there is none or today is NaN. Rows before the first d use what is there.
    """
    for t in range(x.shape[0]):
        for j in range(first, last):
            out[t, j] = math.nan
            today = x[t, j]
            if math.isnan(today):
                continue
            for i in range(t - 1, max(t - d, -1), -1):
                if not math.isnan(x[i, j]) and x[i, j] != today:
                    out[t, j] = x[i, j]
                    break


@kernel
def days_since_change(x: FloatPanel, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the days since x last changed; the first value counts as a change.

    A NaN gives NaN and is not a change: the next value is compared with the last one before.
    """
    for j in range(first, last):
        before = math.nan
        changed = 0
        for t in range(x.shape[0]):
            value = x[t, j]
            if math.isnan(value):
                out[t, j] = math.nan
                continue
            if value != before:
                changed = t
                before = value
            out[t, j] = t - changed


@kernel
def hump(
    x: FloatPanel, totals: FloatPanel, share: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with x moving at most share * the day's total from its last answer.

    totals : shape (n_days, 1). A smaller change leaves the answer as it was. NaN gives NaN, and
    the next value starts afresh.
    """
    for t in range(x.shape[0]):
        limit = share * totals[t, 0]
        for j in range(first, last):
            before = out[t - 1, j] if t > 0 else math.nan
            change = x[t, j] - before
            moved = before + limit if change > limit else before
            moved = before - limit if change < -limit else moved
            out[t, j] = x[t, j] if math.isnan(change) else moved


@kernel
def hump_decay(
    x: FloatPanel, p: float, relative: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with yesterday's value unless |change| > p, or > p * |sum of both| if relative."""
    for t in range(x.shape[0]):
        for j in range(first, last):
            before = x[t - 1, j] if t > 0 else math.nan
            limit = p * abs(x[t, j] + before) if relative else p
            small = abs(x[t, j] - before) <= limit
            out[t, j] = before if small else x[t, j]


@kernel
def jump_decay(
    x: FloatPanel,
    limit: FloatPanel,
    sensitivity: float,
    force: float,
    scaled: bool,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with x, its jumps reduced to force times their size.

    A jump is a change of more than sensitivity * limit, or more than sensitivity if not scaled.
    """
    for t in range(x.shape[0]):
        for j in range(first, last):
            before = x[t - 1, j] if t > 0 else math.nan
            change = x[t, j] - before
            most = sensitivity * limit[t, j] if scaled else sensitivity
            out[t, j] = before + force * change if abs(change) > most else x[t, j]


@kernel
def limited_change(
    x: FloatPanel, y: FloatPanel, share: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with x moving at most share * |y| a day from its last answer.

    NaN in x or y gives NaN, and the next value starts afresh.
    """
    for t in range(x.shape[0]):
        for j in range(first, last):
            before = out[t - 1, j] if t > 0 else math.nan
            limit = share * abs(y[t, j])
            change = x[t, j] - before
            if math.isnan(limit) or math.isnan(x[t, j]):
                out[t, j] = math.nan
            elif math.isnan(before):
                out[t, j] = x[t, j]
            elif change > limit:
                out[t, j] = before + limit
            elif change < -limit:
                out[t, j] = before - limit
            else:
                out[t, j] = x[t, j]


@kernel
def trade_when(
    trigger: FloatPanel,
    alpha: FloatPanel,
    leave: FloatPanel,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with NaN where leave > 0, alpha where trigger > 0, else yesterday's answer."""
    for t in range(alpha.shape[0]):
        for j in range(first, last):
            if leave[t, j] > 0:
                out[t, j] = math.nan
            elif trigger[t, j] > 0:
                out[t, j] = alpha[t, j]
            else:
                out[t, j] = out[t - 1, j] if t > 0 else math.nan
