"""Compiled loops over a panel: decay, weights, and what holding them earns.

Every loop goes over days first, so that a row of instruments stays in the processor's cache, and
releases Python's lock, so that simulations run side by side.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import (
    WIDTH,
    FloatPanel,
    GroupPanel,
    kernel,
    summing_kernel,
)

FloatRow = NDArray[np.float64]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int32]
Bits = NDArray[np.int64]

_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_INFINITE = np.int64(0x7FF0000000000000)
_LANES = 4
_LANE_CELLS = np.uint64(2 * _LANES)
_NEXT = np.uint64(1)

NOISE = 1e-12
"""What a sum or difference leaves counts as 0 below this share of what went into it: it is
rounding, and scaled to a whole book it would be a position."""


@kernel
def _add_past(past: FloatRow, share: float, row: FloatRow, size: FloatRow) -> None:
    """Add a share of an earlier row to row, and its |values| to size; NaN and infinities are 0."""
    for j in range(row.shape[0]):
        added = share * past[j] if abs(past[j]) < math.inf else 0.0
        row[j] += added
        size[j] += abs(added)


@kernel
def _add_three_past(
    a: FloatRow,
    b: FloatRow,
    c: FloatRow,
    share_a: float,
    share_b: float,
    share_c: float,
    row: FloatRow,
    size: FloatRow,
) -> None:
    """Do what `_add_past` does for three rows, in their order."""
    for j in range(row.shape[0]):
        first = share_a * a[j] if abs(a[j]) < math.inf else 0.0
        second = share_b * b[j] if abs(b[j]) < math.inf else 0.0
        third = share_c * c[j] if abs(c[j]) < math.inf else 0.0
        row[j] = row[j] + first + second + third
        size[j] = size[j] + abs(first) + abs(second) + abs(third)


@kernel
def decayed(values: FloatPanel, days: int, first: int, result: FloatPanel) -> None:
    """Fill result with rows from `first` on: means of `days` rows, weights days (today) down to 1.

    NaN and infinities of earlier rows count as 0, those of today stay. The rows before the first
    of values are left out of numerator and denominator.
    """
    n_names = values.shape[1]
    room = np.empty(min(WIDTH, n_names))
    for left in range(0, n_names, WIDTH):
        right = min(left + WIDTH, n_names)
        size = room[: right - left]
        for t in range(first, first + result.shape[0]):
            back = min(days, t + 1)
            weights = back * days - back * (back - 1) / 2.0
            row = result[t - first, left:right]
            today = values[t, left:right]
            for j in range(len(row)):
                row[j] = today[j] * (days / weights)
                size[j] = abs(row[j])
            k = 1
            while k + 3 <= back:
                _add_three_past(
                    values[t - k, left:right],
                    values[t - k - 1, left:right],
                    values[t - k - 2, left:right],
                    (days - k) / weights,
                    (days - k - 1) / weights,
                    (days - k - 2) / weights,
                    row,
                    size,
                )
                k += 3
            while k < back:
                _add_past(values[t - k, left:right], (days - k) / weights, row, size)
                k += 1
            for j in range(len(row)):
                row[j] = 0.0 if abs(row[j]) < NOISE * size[j] else row[j]


@kernel
def _largest(bits: Bits) -> float:
    """Return the largest |x| of numbers without NaN, whose bits order them by size."""
    most = np.int64(0)
    for i in range(bits.shape[0]):
        most = max(most, bits[i] & _MAGNITUDE)
    room = np.empty(1, np.int64)
    room[0] = most
    return float(room.view(np.float64)[0])


@kernel
def _take(values: FloatRow, inside: Flags, row: FloatRow, held: FloatRow) -> float:
    """Fill `row` with the values over a power of two that is near the largest of them.

    Returns the largest, 0 where there is nothing but 0 or missing values.

    held : gets 1 where the value counts, else 0
    """
    bits = values.view(np.int64)
    for i in range(values.shape[0]):
        fits = ((bits[i] & _MAGNITUDE) < _INFINITE) & inside[i]
        row[i] = values[i] if fits else 0.0
        held[i] = 1.0 if fits else 0.0
    largest = _largest(row.view(np.int64))
    if largest > 0.0:
        _, exponent = math.frexp(largest)
        scale = math.ldexp(1.0, min(-exponent, 1023))
        for i in range(row.shape[0]):
            row[i] *= scale
    return largest


@kernel
def _center(row: FloatRow, held: FloatRow, labels: Labels, sums: FloatRow, means: FloatRow) -> bool:
    """Subtract from each value that is held the mean of its group.

    Returns whether what is left of one may be rounding.

    labels : below 0 are one group of their own
    sums : of length (groups + 1) * 2 * _LANES, scratch: a group's sum and number beside each other.
        Neighbours add to different lanes, so that no addition waits for the one before
    means : of length groups + 1, scratch
    """
    unknown = len(means) - 1
    sums[:] = 0.0
    whole = row.shape[0] // _LANES * _LANES
    for i in range(0, whole, _LANES):
        for lane in range(_LANES):
            label = labels[i + lane]
            start = np.uint64(label if label >= 0 else unknown) * _LANE_CELLS
            place = start + np.uint64(2 * lane)
            total = sums[place] + row[i + lane]
            count = sums[place + _NEXT] + held[i + lane]
            sums[place] = total
            sums[place + _NEXT] = count
    for i in range(whole, row.shape[0]):
        start = np.uint64(labels[i] if labels[i] >= 0 else unknown) * _LANE_CELLS
        sums[start] += row[i]
        sums[start + _NEXT] += held[i]
    for group in range(unknown + 1):
        total = 0.0
        count = 0.0
        for lane in range(_LANES):
            total += sums[2 * (_LANES * group + lane)]
            count += sums[2 * (_LANES * group + lane) + 1]
        means[group] = total / max(count, 1.0)
    small = 0
    for i in range(row.shape[0]):
        place = np.uint64(labels[i] if labels[i] >= 0 else unknown)
        rest = (row[i] - means[place]) * held[i]
        row[i] = rest
        small += 1 if (rest != 0.0) & (abs(rest) <= NOISE) else 0
    return small > 0


@kernel
def _drop_noise(
    row: FloatRow, values: FloatRow, held: FloatRow, labels: Labels, least: FloatRow
) -> None:
    """Put 0 for what is rounding beside the largest of the values in its group.

    least : of length groups + 1, scratch
    """
    unknown = len(least) - 1
    least[:] = 0.0
    for i in range(row.shape[0]):
        group = labels[i] if labels[i] >= 0 else unknown
        if held[i] > 0.0:
            least[group] = max(least[group], abs(values[i]))
    largest = least.max()
    for i in range(row.shape[0]):
        group = labels[i] if labels[i] >= 0 else unknown
        if abs(row[i]) <= NOISE * (least[group] / largest):
            row[i] = 0.0


@summing_kernel
def _gross(row: FloatRow) -> float:
    total = 0.0
    for i in range(row.shape[0]):
        total += abs(row[i])
    return total


@summing_kernel
def _below(row: FloatRow, cut: float) -> tuple[float, int]:
    """Return the sum of |weights| up to the cut and how many are above."""
    total = 0.0
    above = 0
    for i in range(row.shape[0]):
        size = abs(row[i])
        total += size if size <= cut else 0.0
        above += 1 if size > cut else 0
    return total, above


@kernel
def _scale(row: FloatRow, truncation: float) -> None:
    """Scale to sum of |weight| = 1, with no |weight| above `truncation` where that is possible.

    What is cut off goes to the others in proportion; who thereby comes above the limit is cut
    too. Where everybody would be, all weights have the same size.
    """
    gross = _gross(row)
    if gross == 0.0:
        return
    cut = _largest(row.view(np.int64))
    if not 0.0 < truncation < 1.0 or cut <= truncation * gross:
        for i in range(row.shape[0]):
            row[i] /= gross
        return
    names = 0
    for i in range(row.shape[0]):
        names += 1 if row[i] != 0.0 else 0
    if names * truncation <= 1.0:
        for i in range(row.shape[0]):
            row[i] = math.copysign(1.0 / names, row[i]) if row[i] != 0.0 else 0.0
        return
    above = 0
    free = gross
    while True:
        cut = truncation * free / (1.0 - truncation * above)
        free, found = _below(row, cut)
        if found <= above or found * truncation >= 1.0:
            above = found
            break
        above = found
    gross = free + above * cut
    for i in range(row.shape[0]):
        row[i] = min(max(row[i], -cut), cut) / gross


@kernel
def weighed(
    values: FloatPanel,
    mask: Flags,
    groups: GroupPanel,
    n_groups: int,
    truncation: float,
    result: FloatPanel,
) -> None:
    """Fill result with weights, sum of |weight| 1 a row, or 0 with nothing to hold.

    values : (n_days, n_names); NaN and infinities get no position
    mask : who may be held
    groups : 0..n_groups - 1, negative is unknown
    n_groups : 0 takes no means away
    truncation : largest |weight|, 0 is off
    """
    held = np.empty(values.shape[1])
    sums = np.empty((n_groups + 1) * 2 * _LANES)
    means = np.empty(n_groups + 1)
    for t in range(values.shape[0]):
        row = result[t]
        if _take(values[t], mask[t], row, held) > 0.0:
            if n_groups > 0 and _center(row, held, groups[t], sums, means):
                _drop_noise(row, values[t], held, groups[t], means)
            _scale(row, truncation)


@summing_kernel
def _earned(now: FloatRow, returns: FloatRow) -> float:
    total = 0.0
    for i in range(now.shape[0]):
        profit = now[i] * returns[i]
        total += profit if abs(returns[i]) < math.inf else 0.0
    return total


@summing_kernel
def _changed(now: FloatRow, before: FloatRow) -> float:
    total = 0.0
    for i in range(now.shape[0]):
        total += abs(now[i] - before[i])
    return total


@kernel
def _sides(now: FloatRow) -> tuple[int, int]:
    long = 0
    short = 0
    for i in range(now.shape[0]):
        long += 1 if now[i] > 0.0 else 0
        short += 1 if now[i] < 0.0 else 0
    return long, short


@kernel
def held_by_day(
    weights: FloatPanel, returns: FloatPanel, before: int, found: FloatPanel, first: int
) -> None:
    """Fill found's columns from `first` on with the days' shares of the book.

    weights : positions of these days, one after another; and of `before` days before, 0 or 1
    returns : of these days; a missing one earns 0
    found : shape (5, n_days): profit, traded, longs, shorts, largest |weight|
    """
    nothing = np.zeros(weights.shape[1])
    for t in range(returns.shape[0]):
        now = weights[t + before]
        found[0, first + t] = _earned(now, returns[t])
        found[1, first + t] = _changed(now, weights[t + before - 1] if t + before > 0 else nothing)
        found[2, first + t], found[3, first + t] = _sides(now)
        found[4, first + t] = _largest(now.view(np.int64))


@summing_kernel
def _cut_inside(weights: FloatRow, inside: Flags, row: FloatRow) -> tuple[float, int]:
    """Fill row with the weights inside, 0 for the others; return their sum and number."""
    total = 0.0
    count = 0
    for i in range(row.shape[0]):
        row[i] = weights[i] if inside[i] else 0.0
        total += row[i]
        count += 1 if row[i] != 0.0 else 0
    return total, count


@summing_kernel
def _earned_around(row: FloatRow, mean: float, least: float, returns: FloatRow) -> float:
    """Return what values that are not 0, less their mean and scaled to a whole book, earn."""
    gross = 0.0
    earned = 0.0
    for i in range(row.shape[0]):
        rest = row[i] - mean
        held = (row[i] != 0.0) & (abs(rest) > least)
        rest = rest if held else 0.0
        gross += abs(rest)
        profit = rest * returns[i]
        earned += profit if abs(returns[i]) < math.inf else 0.0
    return earned / gross if gross > 0.0 else 0.0


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
    row = np.empty(weights.shape[1])
    for t in range(max(lag, first), last):
        total, count = _cut_inside(weights[t - lag], inside[t - lag], row)
        least = NOISE * _largest(row.view(np.int64))
        profit[t] = _earned_around(row, total / max(count, 1), least, returns[t])


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
