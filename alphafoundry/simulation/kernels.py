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
def _begin(today: FloatRow, grown: float, noise: float, row: FloatRow, size: FloatRow) -> None:
    """Fill row with today's values times `grown` and size with its |values|; cut as `_add_past`."""
    for j in range(row.shape[0]):
        total = today[j] * grown
        size[j] = abs(total)
        row[j] = 0.0 if abs(total) < noise * size[j] else total


@kernel
def _add_past(past: FloatRow, share: float, noise: float, row: FloatRow, size: FloatRow) -> None:
    """Add a share of an earlier row to row, and its |values| to size; NaN and infinities are 0.

    noise : share of its size below which what there is then becomes 0
    """
    for j in range(row.shape[0]):
        added = share * past[j] if abs(past[j]) < math.inf else 0.0
        total = row[j] + added
        size[j] += abs(added)
        row[j] = 0.0 if abs(total) < noise * size[j] else total


@kernel
def _add_three_past(
    a: FloatRow,
    b: FloatRow,
    c: FloatRow,
    share_a: float,
    share_b: float,
    share_c: float,
    noise: float,
    row: FloatRow,
    size: FloatRow,
) -> None:
    """Do what `_add_past` does for three rows, in their order."""
    for j in range(row.shape[0]):
        first = share_a * a[j] if abs(a[j]) < math.inf else 0.0
        second = share_b * b[j] if abs(b[j]) < math.inf else 0.0
        third = share_c * c[j] if abs(c[j]) < math.inf else 0.0
        total = row[j] + first + second + third
        size[j] = size[j] + abs(first) + abs(second) + abs(third)
        row[j] = 0.0 if abs(total) < noise * size[j] else total


@kernel
def _begin_with_three(
    today: FloatRow,
    a: FloatRow,
    b: FloatRow,
    c: FloatRow,
    grown: float,
    share_a: float,
    share_b: float,
    share_c: float,
    noise: float,
    row: FloatRow,
    size: FloatRow,
) -> None:
    """Do what `_begin` and then `_add_three_past` do, going over the rows once."""
    for j in range(row.shape[0]):
        now = today[j] * grown
        first = share_a * a[j] if abs(a[j]) < math.inf else 0.0
        second = share_b * b[j] if abs(b[j]) < math.inf else 0.0
        third = share_c * c[j] if abs(c[j]) < math.inf else 0.0
        total = now + first + second + third
        size[j] = abs(now) + abs(first) + abs(second) + abs(third)
        row[j] = 0.0 if abs(total) < noise * size[j] else total


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
            k = 1
            if back < 4:
                _begin(today, days / weights, NOISE if back == 1 else 0.0, row, size)
            else:
                _begin_with_three(
                    today,
                    values[t - 1, left:right],
                    values[t - 2, left:right],
                    values[t - 3, left:right],
                    days / weights,
                    (days - 1) / weights,
                    (days - 2) / weights,
                    (days - 3) / weights,
                    NOISE if back == 4 else 0.0,
                    row,
                    size,
                )
                k = 4
            while k + 3 <= back:
                _add_three_past(
                    values[t - k, left:right],
                    values[t - k - 1, left:right],
                    values[t - k - 2, left:right],
                    (days - k) / weights,
                    (days - k - 1) / weights,
                    (days - k - 2) / weights,
                    NOISE if back == k + 3 else 0.0,
                    row,
                    size,
                )
                k += 3
            while k < back:
                noise = NOISE if back == k + 1 else 0.0
                _add_past(values[t - k, left:right], (days - k) / weights, noise, row, size)
                k += 1


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
def _center(
    row: FloatRow,
    held: FloatRow,
    labels: Labels,
    sums: FloatRow,
    means: FloatRow,
    around: FloatRow,
) -> bool:
    """Subtract from each value that is held the mean of its group.

    Returns whether what is left of one may be rounding.

    labels : below 0 are one group of their own
    sums : of length (groups + 1) * 2 * _LANES, scratch: a group's sum and number beside each other.
        Neighbours add to different lanes, so that no addition waits for the one before
    means : of length groups + 1, scratch
    around : as long as row, scratch
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
    # Apart from what follows, which is then arithmetic of whole vectors.
    for i in range(row.shape[0]):
        around[i] = means[np.uint64(labels[i] if labels[i] >= 0 else unknown)]
    small = 0
    for i in range(row.shape[0]):
        rest = (row[i] - around[i]) * held[i]
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
def _weigh(
    values: FloatRow,
    mask: Flags,
    labels: Labels,
    truncation: float,
    row: FloatRow,
    held: FloatRow,
    around: FloatRow,
    sums: FloatRow,
    means: FloatRow,
) -> None:
    """Fill row with the weights of a day; see `weighed`. The arrays after it are scratch."""
    if _take(values, mask, row, held) > 0.0:
        if len(means) > 1 and _center(row, held, labels, sums, means, around):
            _drop_noise(row, values, held, labels, means)
        _scale(row, truncation)


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
    around = np.empty(values.shape[1])
    sums = np.empty((n_groups + 1) * 2 * _LANES)
    means = np.empty(n_groups + 1)
    for t in range(values.shape[0]):
        _weigh(values[t], mask[t], groups[t], truncation, result[t], held, around, sums, means)


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
def _hold(now: FloatRow, before: FloatRow, returns: FloatRow, found: FloatPanel, day: int) -> None:
    """Fill a day's column of found; see `held_by_day`."""
    found[0, day] = _earned(now, returns)
    found[1, day] = _changed(now, before)
    found[2, day], found[3, day] = _sides(now)
    found[4, day] = _largest(now.view(np.int64))


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
        earlier = weights[t + before - 1] if t + before > 0 else nothing
        _hold(weights[t + before], earlier, returns[t], found, first + t)


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
def _profit_inside(now: FloatRow, inside: Flags, returns: FloatRow, row: FloatRow) -> float:
    """Return the profit of a day's weights cut to `inside`; row is scratch."""
    total, count = _cut_inside(now, inside, row)
    least = NOISE * _largest(row.view(np.int64))
    return _earned_around(row, total / max(count, 1), least, returns)


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
        profit[t] = _profit_inside(weights[t - lag], inside[t - lag], returns[t], row)


@kernel
def judged(
    values: FloatPanel,
    decay: int,
    mask: Flags,
    groups: GroupPanel,
    n_groups: int,
    truncation: float,
    returns: FloatPanel,
    inside: Flags,
    lag: int,
    found: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill found's columns of the days that weights of days first..last earn, one day at a time.

    Weights are those of `weighed`, of values that are `decayed` where decay is above 1. No more
    than those of two days are there at a time, so that they stay in the processor's cache.

    inside : who is in the smaller universe, shape (n_days, n_names), or (n_days, 0) without one
    lag : days from a weight to the return that it earns
    found : shape (6, n_days): as of `held_by_day`, and `profit_inside`
    """
    n_names = values.shape[1]
    held = np.empty(n_names)
    around = np.empty(n_names)
    sums = np.empty((n_groups + 1) * 2 * _LANES)
    means = np.empty(n_groups + 1)
    rows = np.zeros((2, n_names))
    one = np.empty((1, n_names))
    for t in range(max(first - 1, 0), last):
        now = rows[t % 2]
        if decay > 1:
            decayed(values, decay, t, one)
            _weigh(one[0], mask[t], groups[t], truncation, now, held, around, sums, means)
        else:
            _weigh(values[t], mask[t], groups[t], truncation, now, held, around, sums, means)
        if t >= first:
            day = t + lag
            _hold(now, rows[1 - t % 2], returns[day], found, day)
            if inside.shape[1] > 0:
                found[5, day] = _profit_inside(now, inside[t], returns[day], around)


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
