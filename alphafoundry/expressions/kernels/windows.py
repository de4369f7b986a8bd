"""Rolling arithmetic that looks at every row of the window."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import NARROW, WIDTH, FloatPanel, kernel

Row = NDArray[np.float64]
Bits = NDArray[np.uint64]

_MANTISSA = np.uint64(52)
_EXPONENT = np.uint64(0x7FF)
_AS_NUMBER = np.uint64(0x433 << 52)
_WHOLE = 2.0**52
_NO_NUMBER = 2047.0
_ALIKE = 30.0
_NOISE = 2.0**-40
_DIGITS = 2.0**-50


@kernel
def shifted(x: FloatPanel, d: int, change: bool, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the value d rows ago, or with the change since then. NaN where none is."""
    for t in range(x.shape[0]):
        answer = out[t, first:last]
        if t < d:
            answer[:] = math.nan
            continue
        before = x[t - d, first:last]
        if change:
            now = x[t, first:last]
            for j in range(answer.shape[0]):
                answer[j] = now[j] - before[j]
        else:
            answer[:] = before


@kernel
def _compare(other: Row, low: Row, high: Row, doubled: Row) -> None:
    """Add 2 where other is below low, 1 where it lies from low to high."""
    for j in range(low.shape[0]):
        doubled[j] += (1.0 if other[j] < low[j] else 0.0) + (1.0 if other[j] <= high[j] else 0.0)


@kernel
def _compare_four(
    a: Row, b: Row, c: Row, e: Row, low: Row, high: Row, fresh: bool, doubled: Row
) -> None:
    """Do what `_compare` does for four rows; fresh begins at 0."""
    kept = 0.0 if fresh else 1.0
    for j in range(low.shape[0]):
        value = low[j]
        total = 1.0 if a[j] < value else 0.0
        total = total + 1.0 if b[j] < value else total
        total = total + 1.0 if c[j] < value else total
        total = total + 1.0 if e[j] < value else total
        value = high[j]
        total = total + 1.0 if a[j] <= value else total
        total = total + 1.0 if b[j] <= value else total
        total = total + 1.0 if c[j] <= value else total
        total = total + 1.0 if e[j] <= value else total
        doubled[j] = doubled[j] * kept + total


@kernel
def _distances(now: Row, before: Row, room: Row, bits: Bits) -> None:
    """Fill room with the exponents of the distances between two rows, 0 for one that may be noise.

    bits : those of room. An integer below 2^52 is read as a number by setting the exponent of 2^52
    """
    for j in range(now.shape[0]):
        change = now[j] - before[j]
        room[j] = change if abs(change) > abs(now[j]) * _NOISE else 0.0
    for j in range(now.shape[0]):
        bits[j] = ((bits[j] >> _MANTISSA) & _EXPONENT) | _AS_NUMBER


@kernel
def _replace_distances(room: Row, old: Row, sums: Row, counted: Row) -> None:
    """Take old exponents out of their sums and numbers, and put new ones in, which replace them."""
    for j in range(room.shape[0]):
        exponent = room[j] - _WHOLE
        exponent = exponent if exponent < _NO_NUMBER else 0.0
        sums[j] += exponent - old[j]
        counted[j] += (1.0 if exponent > 0.0 else 0.0) - (1.0 if old[j] > 0.0 else 0.0)
        old[j] = exponent


@kernel
def _neighbourhood(
    now: Row, sums: Row, counted: Row, rule: int, room: Row, bits: Bits, low: Row, high: Row
) -> None:
    """Fill low and high with the bounds of what is equal to now.

    rule : by 1 what is equal counts as above now, by 2 as below
    """
    for j in range(now.shape[0]):
        number = counted[j] if counted[j] > 1.0 else 1.0
        typical = sums[j] / number - _ALIKE
        room[j] = (typical if typical > 0.0 else 0.0) + _WHOLE
    for j in range(now.shape[0]):
        bits[j] <<= _MANTISSA
    for j in range(now.shape[0]):
        least = abs(now[j]) * _DIGITS
        step = room[j] if room[j] > least else least
        low[j] = now[j] - step
        high[j] = now[j] + step
    if rule == 1:
        for j in range(now.shape[0]):
            high[j] = np.nextafter(low[j], -math.inf)
    elif rule == 2:
        for j in range(now.shape[0]):
            low[j] = np.nextafter(high[j], math.inf)


@kernel
def _count_valid(now: Row, valid: Row) -> None:
    for j in range(now.shape[0]):
        valid[j] = 0.0 if math.isnan(now[j]) else valid[j] + 1.0


@kernel
def rolling_rank(
    x: FloatPanel, d: int, constant: float, rule: int, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with today's rank among d rows, 0 lowest to 1 highest, plus constant.

    rule : 0 ties share the mean of their ranks, by 1 today's value is the lowest of them, by 2
    the highest. With d = 1 the rank is 0.5. NaN before d rows are there and where the window
    holds NaN. Every row of the window is compared, four at a time: that is faster than keeping a
    sorted window up to some hundreds of rows.

    Equal are values as near to each other as `ranking` says, with neighbouring days in place of
    neighbouring columns, and today's value in place of the typical size.
    """
    days = x.shape[0]
    doubled_row = np.zeros(WIDTH)
    valid_row = np.empty(WIDTH)
    low_row = np.empty(WIDTH)
    high_row = np.empty(WIDTH)
    room_row = np.empty(WIDTH)
    bits_row = room_row.view(np.uint64)
    sums_row = np.empty(WIDTH)
    counted_row = np.empty(WIDTH)
    kept = max(min(d, days) - 1, 1)
    exponents = np.empty((kept, WIDTH))
    share = 0.5 / (d - 1) if d > 1 else 0.0
    start = 0.5 + constant if d == 1 else constant
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        width = right - left
        doubled = doubled_row[:width]
        valid = valid_row[:width]
        low = low_row[:width]
        high = high_row[:width]
        room = room_row[:width]
        bits = bits_row[:width]
        sums = sums_row[:width]
        counted = counted_row[:width]
        valid[:] = 0.0
        sums[:] = 0.0
        counted[:] = 0.0
        exponents[:] = 0.0
        for t in range(days):
            now = x[t, left:right]
            answer = out[t, left:right]
            if t > 0:
                _distances(now, x[t - 1, left:right], room, bits)
                _replace_distances(room, exponents[t % kept, :width], sums, counted)
            if t < d - 1:
                _count_valid(now, valid)
                answer[:] = math.nan
                continue
            _neighbourhood(now, sums, counted, rule, room, bits, low, high)
            i = t - d + 1
            if i + 4 > t:
                doubled[:] = 0.0
            while i + 4 <= t:
                _compare_four(
                    x[i, left:right],
                    x[i + 1, left:right],
                    x[i + 2, left:right],
                    x[i + 3, left:right],
                    low,
                    high,
                    i == t - d + 1,
                    doubled,
                )
                i += 4
            while i < t:
                _compare(x[i, left:right], low, high, doubled)
                i += 1
            for j in range(width):
                known = 0.0 if math.isnan(now[j]) else valid[j] + 1.0
                valid[j] = known
                answer[j] = doubled[j] * share + start if known >= d else math.nan


@kernel
def _take_larger(x: Row, sign: float, t: int, best: Row, row: Row) -> None:
    """Note a later row where it is at least the best so far; a NaN stays in row."""
    here = float(t)
    for j in range(x.shape[0]):
        value = x[j] * sign
        better = value >= best[j]
        best[j] = value if better else best[j]
        found = here if better else row[j]
        found = math.nan if math.isnan(value) else found
        row[j] = math.nan if math.isnan(row[j]) else found


@kernel
def _keep_larger(
    x: Row, sign: float, t: int, best: Row, row: Row, new_best: Row, new_row: Row
) -> None:
    """Note an earlier row where it is above the best of the later ones; a NaN stays in row."""
    here = float(t)
    for j in range(x.shape[0]):
        value = x[j] * sign
        better = value > best[j]
        found = here if better else row[j]
        found = math.nan if math.isnan(value) else found
        new_row[j] = math.nan if math.isnan(row[j]) else found
        new_best[j] = value if better else best[j]


@kernel
def rolling_arg_extreme(
    x: FloatPanel, d: int, sign: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with how many rows ago the largest x * sign of d rows was, 0 is today.

    Of equal ones the most recent counts. NaN before d rows are there and where the window holds
    NaN. A window is the end of one block of d rows and the start of the next, so the cost does
    not depend on d.
    """
    days = x.shape[0]
    room = min(d, days)
    end_best = np.empty((room, WIDTH))
    end_row = np.empty((room, WIDTH))
    best_all = np.empty(WIDTH)
    row_all = np.empty(WIDTH)
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        width = right - left
        best = best_all[:width]
        row = row_all[:width]
        for start in range(0, days, d):
            stop = min(start + d, days)
            best[:] = -math.inf
            row[:] = start
            for t in range(start, stop):
                _take_larger(x[t, left:right], sign, t, best, row)
                answer = out[t, left:right]
                if t < d - 1:
                    answer[:] = math.nan
                elif t - start == d - 1:
                    for j in range(width):
                        answer[j] = t - row[j]
                else:
                    older = end_best[t - start + 1, :width]
                    older_row = end_row[t - start + 1, :width]
                    for j in range(width):
                        found = older_row[j] if older[j] > best[j] else row[j]
                        found = row[j] if math.isnan(row[j]) else found
                        answer[j] = t - (older_row[j] if math.isnan(older_row[j]) else found)
            if stop < days:
                for r in range(d - 1, 0, -1):
                    newer = min(r + 1, d - 1)
                    if r == d - 1:
                        end_best[r, :width] = -math.inf
                        end_row[r, :width] = stop - 1
                    _keep_larger(
                        x[start + r, left:right],
                        sign,
                        start + r,
                        end_best[newer, :width],
                        end_row[newer, :width],
                        end_best[r, :width],
                        end_row[r, :width],
                    )


@kernel
def count_missing(x: FloatPanel, d: int, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the number of NaN among d rows; NaN before d rows are there."""
    for j in range(first, last):
        missing = 0
        for t in range(x.shape[0]):
            missing += 1 if math.isnan(x[t, j]) else 0
            if t >= d:
                missing -= 1 if math.isnan(x[t - d, j]) else 0
            out[t, j] = missing if t >= d - 1 else math.nan


@kernel
def _add_gap(x: Row, now: Row, total: Row, count: Row) -> None:
    """Add how far now is above x, where both are there."""
    for j in range(now.shape[0]):
        gap = now[j] - x[j]
        known = not math.isnan(gap)
        total[j] += gap if known else 0.0
        count[j] += 1.0 if known else 0.0


@kernel
def _add_four_gaps(a: Row, b: Row, c: Row, e: Row, now: Row, total: Row, count: Row) -> None:
    """Do what `_add_gap` does for four rows, in their order."""
    for j in range(now.shape[0]):
        summed = total[j]
        counted = count[j]
        gap = now[j] - a[j]
        summed += 0.0 if math.isnan(gap) else gap
        counted += 0.0 if math.isnan(gap) else 1.0
        gap = now[j] - b[j]
        summed += 0.0 if math.isnan(gap) else gap
        counted += 0.0 if math.isnan(gap) else 1.0
        gap = now[j] - c[j]
        summed += 0.0 if math.isnan(gap) else gap
        counted += 0.0 if math.isnan(gap) else 1.0
        gap = now[j] - e[j]
        summed += 0.0 if math.isnan(gap) else gap
        counted += 0.0 if math.isnan(gap) else 1.0
        total[j] = summed
        count[j] = counted


@kernel
def mean_gap(x: FloatPanel, d: int, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with today's value minus the mean of the d rows without their NaN.

    NaN before d rows are there and where today is NaN.
    """
    total_row = np.empty(NARROW)
    count_row = np.empty(NARROW)
    for left in range(first, last, NARROW):
        right = min(left + NARROW, last)
        total = total_row[: right - left]
        count = count_row[: right - left]
        for t in range(x.shape[0]):
            answer = out[t, left:right]
            if t < d - 1:
                answer[:] = math.nan
                continue
            now = x[t, left:right]
            total[:] = 0.0
            count[:] = 0.0
            i = t - d + 1
            while i + 4 <= t + 1:
                _add_four_gaps(
                    x[i, left:right],
                    x[i + 1, left:right],
                    x[i + 2, left:right],
                    x[i + 3, left:right],
                    now,
                    total,
                    count,
                )
                i += 4
            while i <= t:
                _add_gap(x[i, left:right], now, total, count)
                i += 1
            for j in range(answer.shape[0]):
                answer[j] = total[j] / count[j] if count[j] > 0.0 else math.nan


@kernel
def _decay_row(
    today: Row,
    count: float,
    d: int,
    dense: bool,
    total: Row,
    weighted: Row,
    since: Row,
    older: Row,
    answer: Row,
) -> None:
    """Take one more row into the sums; fill the answer from them and the older rows' sum.

    count : its number in the block, from 1. since counts rows since the last NaN if dense, else
    since the last value.
    """
    share = 2.0 / (d * (d + 1.0))
    more = d - count
    for j in range(answer.shape[0]):
        gone = math.isnan(today[j])
        value = 0.0 if gone else today[j]
        summed = total[j] + value
        rising = weighted[j] + count * value
        total[j] = summed
        weighted[j] = rising
        passed = 0.0 if gone == dense else since[j] + 1.0
        since[j] = passed
        fits = passed >= d if dense else passed < d
        # Not 0 times a sum that may be infinite.
        others = more * summed if more > 0.0 else 0.0
        answer[j] = (rising + others + older[j]) * share if fits else math.nan


@kernel
def _add_older(x: Row, total: Row, weighted: Row, new_total: Row, new_weighted: Row) -> None:
    """Put a row before those summed: it gets weight 1, the others one more than they had."""
    for j in range(x.shape[0]):
        value = 0.0 if math.isnan(x[j]) else x[j]
        summed = total[j] + value
        new_total[j] = summed
        new_weighted[j] = weighted[j] + summed


@kernel
def linear_decay(
    x: FloatPanel, d: int, dense: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the mean of d rows with weights d (today) down to 1.

    dense : False counts NaN as 0, except that a window of nothing but NaN gives NaN; True gives
        NaN where the window holds one. NaN before d rows are there.

    A window is the end of one block of d rows and the start of the next. Of each the sum and the
    weighted sum are accumulated from its own cells only, so nothing drifts and the cost does not
    depend on d.
    """
    days = x.shape[0]
    room = min(d, days)
    end_sum = np.empty((room, WIDTH))
    end_weighted = np.empty((room, WIDTH))
    sum_all = np.empty(WIDTH)
    weighted_all = np.empty(WIDTH)
    since_all = np.empty(WIDTH)
    nothing = np.zeros(WIDTH)
    for left in range(first, last, WIDTH):
        right = min(left + WIDTH, last)
        width = right - left
        total = sum_all[:width]
        weighted = weighted_all[:width]
        since = since_all[:width]
        since[:] = 0.0 if dense else d
        for start in range(0, days, d):
            stop = min(start + d, days)
            total[:] = 0.0
            weighted[:] = 0.0
            for t in range(start, stop):
                count = t - start + 1
                alone = start == 0 or count == d
                _decay_row(
                    x[t, left:right],
                    float(count),
                    d,
                    dense,
                    total,
                    weighted,
                    since,
                    nothing[:width] if alone else end_weighted[count, :width],
                    out[t, left:right],
                )
                if t < d - 1:
                    out[t, left:right] = math.nan
            if stop < days and d > 1:
                _add_older(
                    x[stop - 1, left:right],
                    nothing[:width],
                    nothing[:width],
                    end_sum[d - 1, :width],
                    end_weighted[d - 1, :width],
                )
                for r in range(d - 2, 0, -1):
                    _add_older(
                        x[start + r, left:right],
                        end_sum[r + 1, :width],
                        end_weighted[r + 1, :width],
                        end_sum[r, :width],
                        end_weighted[r, :width],
                    )


@kernel
def exponential_decay(
    x: FloatPanel, d: int, factor: float, strict: bool, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the mean of d rows with weights factor to the power of days ago.

    NaN counts as 0. strict : True gives NaN where today is NaN, False 0 where all are NaN. NaN
    before d rows are there.
    """
    weights = 0.0
    for i in range(d):
        weights += factor**i
    for t in range(x.shape[0]):
        for j in range(first, last):
            if t < d - 1 or (strict and math.isnan(x[t, j])):
                out[t, j] = math.nan
                continue
            total = 0.0
            weight = 1.0
            for i in range(d):
                value = x[t - i, j]
                total += weight * value if not math.isnan(value) else 0.0
                weight *= factor
            out[t, j] = total / weights


@kernel
def _rise(window: Row, place: int) -> None:
    """Move the value at that place down to where it belongs among the sorted ones before."""
    value = window[place]
    while place > 0 and window[place - 1] > value:
        window[place] = window[place - 1]
        place -= 1
    window[place] = value


@kernel
def _replace(window: Row, d: int, gone: float, value: float) -> None:
    """Take one value out of d sorted ones and put another in."""
    low = 0
    high = d - 1
    while low < high:
        middle = (low + high) // 2
        if window[middle] < gone:
            low = middle + 1
        else:
            high = middle
    while low < d - 1 and window[low + 1] < value:
        window[low] = window[low + 1]
        low += 1
    while low > 0 and window[low - 1] > value:
        window[low] = window[low - 1]
        low -= 1
    window[low] = value


@kernel
def rolling_percentile(
    x: FloatPanel, d: int, share: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the percentile of d rows, between neighbours by straight line.

    NaN before d rows are there and where the window holds NaN. The window is kept in order: each
    day one value leaves it and one enters.
    """
    if d > x.shape[0]:
        out[:, first:last] = math.nan
        return
    place = share * (d - 1)
    low = int(place)
    high = min(low + 1, d - 1)
    part = place - low
    window = np.empty(d)
    for j in range(first, last):
        valid = 0
        for t in range(x.shape[0]):
            value = x[t, j]
            out[t, j] = math.nan
            if math.isnan(value):
                valid = 0
                continue
            if valid == d:
                _replace(window, d, x[t - d, j], value)
            else:
                window[valid] = value
                _rise(window, valid)
                valid += 1
            if valid == d:
                if part == 0.0 or window[low] == window[high]:
                    out[t, j] = window[low]
                else:
                    out[t, j] = window[low] + (window[high] - window[low]) * part


@kernel
def relative_change_total(x: FloatPanel, d: int, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the sum of daily |changes| of d days over the sum of the values.

    NaN before d + 1 rows are there and where one of them is NaN.
    """
    for t in range(x.shape[0]):
        for j in range(first, last):
            if t < d:
                out[t, j] = math.nan
                continue
            moved = 0.0
            held = 0.0
            for i in range(t - d + 1, t + 1):
                moved += abs(x[i, j] - x[i - 1, j])
                held += x[i, j]
            out[t, j] = moved / held


@kernel
def rolling_entropy(
    x: FloatPanel, d: int, buckets: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with log(d) - sum(h * log(h)) / d, h the counts of d rows in equal buckets.

    Buckets divide the window's range; equal values fall into one. NaN before d rows are there and
    where the window holds a value that is not finite.
    """
    count = int(buckets)
    counts = np.empty(count)
    for j in range(first, last):
        for t in range(x.shape[0]):
            out[t, j] = math.nan
            if t < d - 1:
                continue
            low = math.inf
            high = -math.inf
            known = True
            for i in range(t - d + 1, t + 1):
                known = known and math.isfinite(x[i, j])
                low = min(low, x[i, j])
                high = max(high, x[i, j])
            if not known:
                continue
            counts[:] = 0.0
            for i in range(t - d + 1, t + 1):
                place = (x[i, j] - low) / (high - low) * count if high > low else 0.0
                counts[min(int(place), count - 1)] += 1.0
            total = 0.0
            for k in range(count):
                if counts[k] > 0.0:
                    total += counts[k] * math.log(counts[k])
            out[t, j] = math.log(d) - total / d
