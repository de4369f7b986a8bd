"""Compiled loops over a panel: decay, weights, and what holding them earns.

Every loop goes over days first, so that a row of instruments stays in the processor's cache, and
releases Python's lock, so that simulations run side by side.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.kernels.compilation import WIDTH, FloatPanel, GroupPanel, kernel

FloatRow = NDArray[np.float64]
Flags = NDArray[np.bool_]

CACHED_CELLS = 65_536
"""Cells of a window that fit the second-level cache."""

NOISE = 1e-12
"""What a sum or difference leaves counts as 0 below this share of what went into it: it is
rounding, and scaled to a whole book it would be a position."""


@kernel
def decayed(values: FloatPanel, days: int) -> FloatPanel:
    """Return the mean of the last `days` rows with weights days (today) down to 1.

    NaN and infinities of earlier rows count as 0, those of today stay. The rows before the first
    are left out of numerator and denominator.
    """
    n_days, n_names = values.shape
    result = np.empty_like(values)
    block = max(CACHED_CELLS // days, WIDTH)
    size = np.empty(min(block, n_names))
    for left in range(0, n_names, block):
        right = min(left + block, n_names)
        for t in range(n_days):
            back = min(days, t + 1)
            weights = back * days - back * (back - 1) / 2.0
            row = result[t, left:right]
            today = values[t, left:right]
            for j in range(len(row)):
                row[j] = today[j] * (days / weights)
                size[j] = abs(row[j])
            for k in range(1, back):
                share = (days - k) / weights
                past = values[t - k, left:right]
                for j in range(len(row)):
                    added = share * past[j] if abs(past[j]) < math.inf else 0.0
                    row[j] += added
                    size[j] += abs(added)
            for j in range(len(row)):
                if abs(row[j]) < NOISE * size[j]:
                    row[j] = 0.0
    return result


@kernel
def _take(values: FloatRow, inside: Flags, row: FloatRow, held: Flags) -> bool:
    """Fill `row` with the values over the largest of them; False where all are 0 or missing."""
    largest = 0.0
    for i in range(len(values)):
        held[i] = inside[i] and math.isfinite(values[i])
        if held[i]:
            largest = max(largest, abs(values[i]))
    if largest == 0.0:
        return False
    for i in range(len(values)):
        row[i] = values[i] / largest if held[i] else 0.0
    return True


@kernel
def _center(
    row: FloatRow,
    held: Flags,
    labels: NDArray[np.int32],
    means: FloatRow,
    counts: FloatRow,
    least: FloatRow,
) -> None:
    """Subtract from each value that is held the mean of its group.

    labels : below 0 are one group of their own
    means, counts, least : of length groups + 1, scratch
    """
    unknown = len(means) - 1
    means[:] = 0.0
    counts[:] = 0.0
    least[:] = 0.0
    for i in range(len(row)):
        group = labels[i] if labels[i] >= 0 else unknown
        means[group] += row[i]
        counts[group] += held[i]
        least[group] = max(least[group], abs(row[i]))
    for group in range(len(means)):
        means[group] /= max(counts[group], 1.0)
        least[group] *= NOISE
    for i in range(len(row)):
        group = labels[i] if labels[i] >= 0 else unknown
        rest = row[i] - means[group]
        row[i] = rest if held[i] and abs(rest) > least[group] else 0.0


@kernel
def _scale(row: FloatRow, truncation: float) -> None:
    """Scale to sum of |weight| = 1, with no |weight| above `truncation` where that is possible.

    What is cut off goes to the others in proportion; who thereby comes above the limit is cut
    too. Where everybody would be, all weights have the same size.
    """
    gross = 0.0
    largest = 0.0
    names = 0
    for i in range(len(row)):
        size = abs(row[i])
        gross += size
        largest = max(largest, size)
        names += 1 if size > 0.0 else 0
    if gross == 0.0:
        return
    cut = largest
    above = 0
    if 0.0 < truncation < 1.0 and largest > truncation * gross:
        if names * truncation <= 1.0:
            for i in range(len(row)):
                row[i] = math.copysign(1.0 / names, row[i]) if row[i] != 0.0 else 0.0
            return
        free = gross
        while True:
            cut = truncation * free / (1.0 - truncation * above)
            found = 0
            free = 0.0
            for i in range(len(row)):
                size = abs(row[i])
                if size > cut:
                    found += 1
                else:
                    free += size
            if found <= above or found * truncation >= 1.0:
                above = found
                break
            above = found
        gross = free + above * cut
    for i in range(len(row)):
        row[i] = min(max(row[i], -cut), cut) / gross


@kernel
def weighed(
    values: FloatPanel,
    mask: Flags,
    groups: GroupPanel,
    n_groups: int,
    truncation: float,
    result: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill result's rows first..last with weights, sum of |weight| 1, or 0 with nothing to hold.

    values : (n_days, n_names); NaN and infinities get no position
    mask : who may be held
    groups : 0..n_groups - 1, negative is unknown
    n_groups : 0 takes no means away
    truncation : largest |weight|, 0 is off
    """
    n_names = values.shape[1]
    held = np.empty(n_names, np.bool_)
    means = np.empty(n_groups + 1)
    counts = np.empty(n_groups + 1)
    least = np.empty(n_groups + 1)
    for t in range(first, last):
        result[t] = 0.0
        if _take(values[t], mask[t], result[t], held):
            if n_groups > 0:
                _center(result[t], held, groups[t], means, counts, least)
            _scale(result[t], truncation)


@kernel
def held_by_day(
    weights: FloatPanel, returns: FloatPanel, lag: int, found: FloatPanel, first: int, last: int
) -> None:
    """Fill found's columns first..last with the days' shares of the book.

    found : shape (5, n_days), zeros before: profit, traded, longs, shorts, largest |weight|

    The position of day t is the weights of day t - lag. A missing return earns 0.
    """
    n_names = weights.shape[1]
    nothing = np.zeros(n_names)
    for t in range(max(lag, first), last):
        now = weights[t - lag]
        before = weights[t - lag - 1] if t > lag else nothing
        earned = 0.0
        changed = 0.0
        top = 0.0
        long = 0
        short = 0
        for i in range(n_names):
            weight = now[i]
            changed += abs(weight - before[i])
            long += weight > 0.0
            short += weight < 0.0
            top = max(top, abs(weight))
            if math.isfinite(returns[t, i]):
                earned += weight * returns[t, i]
        found[0, t] = earned
        found[1, t] = changed
        found[2, t] = long
        found[3, t] = short
        found[4, t] = top


@kernel
def profit_inside(
    weights: FloatPanel,
    inside: Flags,
    returns: FloatPanel,
    lag: int,
    profit: FloatRow,
    first: int,
    last: int,
) -> None:
    """Fill days first..last with the profit, as shares of the book, of weights cut to `inside`.

    What is left is neutralized on its mean and scaled to sum of |weight| = 1.
    """
    n_names = weights.shape[1]
    row = np.empty(n_names)
    for t in range(max(lag, first), last):
        total = 0.0
        count = 0
        largest = 0.0
        for i in range(n_names):
            row[i] = weights[t - lag, i] if inside[t - lag, i] else 0.0
            total += row[i]
            count += row[i] != 0.0
            largest = max(largest, abs(row[i]))
        mean = total / max(count, 1)
        least = NOISE * largest
        gross = 0.0
        earned = 0.0
        for i in range(n_names):
            rest = row[i] - mean
            if row[i] != 0.0 and abs(rest) > least:
                gross += abs(rest)
                if math.isfinite(returns[t, i]):
                    earned += rest * returns[t, i]
        profit[t] = earned / gross if gross > 0.0 else 0.0


@kernel
def profit_by_group(
    weights: FloatPanel, returns: FloatPanel, groups: GroupPanel, n_groups: int, lag: int
) -> FloatPanel:
    """Return profit as shares of the book, (n_days, n_groups + 1); the last column is unknown.

    A position belongs to the group that its instrument had when the weights were made.
    """
    n_days, n_names = weights.shape
    profit = np.zeros((n_days, n_groups + 1))
    for t in range(lag, n_days):
        for i in range(n_names):
            if math.isfinite(returns[t, i]):
                label = groups[t - lag, i]
                group = label if label >= 0 else n_groups
                profit[t, group] += weights[t - lag, i] * returns[t, i]
    return profit


@kernel
def expected_profit(
    weights: FloatPanel, expected: FloatPanel, returns: FloatPanel, lag: int
) -> FloatRow:
    """Return daily profit, as shares of the book, had each name earned its expected return.

    A name whose return is missing that day earns nothing.
    """
    n_days, n_names = weights.shape
    profit = np.zeros(n_days)
    for t in range(lag, n_days):
        earned = 0.0
        for i in range(n_names):
            if math.isfinite(returns[t, i]) and math.isfinite(expected[t, i]):
                earned += weights[t - lag, i] * expected[t, i]
        profit[t] = earned
    return profit
