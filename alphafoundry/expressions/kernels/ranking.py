"""Ranks and percentiles across a day, with rounding noise taken for ties.

Values are rounded to 9 decimals before they are compared, so that values which are equal in
mathematics, such as correlations of three ranks, are equal here whatever order their sums were
computed in. In a row whose typical size (geometric mean of |x|) is below about 0.001 the rounding
step shrinks with that size, so small numbers keep their order. Infinite values are compared like
any other.

A row is sorted in three steps: every value gets a short key that never contradicts the order, two
radix passes sort by it, and an insertion pass settles what shares a key.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.kernels.compilation import FloatPanel, GroupPanel, kernel

Row = NDArray[np.float64]
Words = NDArray[np.uint64]
Places = NDArray[np.uint32]

_BITS = 11
_BUCKETS = 1 << _BITS
_DIGIT = np.uint64(_BUCKETS - 1)
_PLACE = np.uint64(32)
_HIGH = np.uint64(32 + _BITS)
_ONE = np.uint32(1)
_PLACE_MASK = np.uint64(0xFFFFFFFF)
_EXPONENT = np.uint64(0x7FF)
_FARTHEST = float(1 << 20)
_BEYOND = 1 << 62


@kernel
def _scale(bits: Words) -> tuple[float, float]:
    """Return one over the rounding step of values whose bits are given, and their typical size."""
    total = np.int64(0)
    counted = 0
    for j in range(bits.shape[0]):
        exponent = np.int64((bits[j] >> np.uint64(52)) & _EXPONENT)
        fits = 1 if (exponent > 0) & (exponent < 0x7FF) else 0
        total += (exponent - 1023) * fits
        counted += fits
    if counted == 0:
        return 1e9, 1.0
    typical = total / counted
    size = math.pow(2.0, typical)
    if typical > 900.0:
        return 1.0, size
    if typical >= -10.0:
        return 1e9, size
    return 1e9 * math.pow(2.0, min(-10.0 - math.floor(typical), 990.0)), size


@kernel
def _round(row: Row, scale: float, rounded: Row) -> None:
    for j in range(row.shape[0]):
        scaled = row[j] * scale
        rounded[j] = (np.rint(scaled) if abs(scaled) < 4.5e15 else scaled) + 0.0


@kernel
def _fill_words(rounded: Row, typical: float, room: Row, words: Words) -> int:
    """Put a short key and the place of each value that is not NaN into a word.

    The key is the position of sign(v) * (|v| + typical) among the floating-point numbers: even
    near zero, and logarithmic far from it. Returns how many words there are.
    """
    names = rounded.shape[0]
    keys = room.view(np.int64)
    farthest = typical * _FARTHEST
    room[0] = typical
    zero = keys[0]
    for j in range(names):
        room[j] = min(abs(rounded[j]), farthest) + typical
    for j in range(names):
        distance = keys[j] - zero
        keys[j] = -distance if rounded[j] < 0.0 else distance
    low = np.int64(_BEYOND)
    high = np.int64(-_BEYOND)
    for j in range(names):
        missing = math.isnan(rounded[j])
        low = min(low, np.int64(_BEYOND) if missing else keys[j])
        high = max(high, np.int64(-_BEYOND) if missing else keys[j])
    shift = 0
    while ((high - low) >> shift) >= _BUCKETS * _BUCKETS:
        shift += 1
    count = 0
    for j in range(names):
        if not math.isnan(rounded[j]):
            words[count] = (np.uint64((keys[j] - low) >> shift) << _PLACE) | np.uint64(j)
            count += 1
    return count


@kernel
def _sort_words(words: Words, count: int, other: Words, tally: Places, tally_high: Places) -> None:
    """Sort by key, stable, in two passes; other is room of the same size."""
    tally[:] = 0
    tally_high[:] = 0
    for k in range(count):
        word = words[k]
        tally[(word >> _PLACE) & _DIGIT] += _ONE
        tally_high[word >> _HIGH] += _ONE
    start = np.uint32(0)
    start_high = np.uint32(0)
    for b in range(_BUCKETS):
        here = tally[b]
        tally[b] = start
        start += here
        here = tally_high[b]
        tally_high[b] = start_high
        start_high += here
    for k in range(count):
        word = words[k]
        bucket = (word >> _PLACE) & _DIGIT
        other[tally[bucket]] = word
        tally[bucket] += _ONE
    for k in range(count):
        word = other[k]
        bucket = word >> _HIGH
        words[tally_high[bucket]] = word
        tally_high[bucket] += _ONE


@kernel
def _settle(values: Row, places: Places, count: int) -> bool:
    """Sort nearly sorted values with their places; False where that takes too many moves."""
    moves = 0
    for k in range(1, count):
        value = values[k]
        if values[k - 1] <= value:
            continue
        place = places[k]
        i = k - 1
        while i >= 0 and values[i] > value:
            values[i + 1] = values[i]
            places[i + 1] = places[i]
            i -= 1
        values[i + 1] = value
        places[i + 1] = place
        moves += k - i
        if moves > 8 * count:
            return False
    return True


@kernel
def _sort_row(
    row: Row,
    rounded: Row,
    values: Row,
    places: Places,
    words: Words,
    other: Words,
    tally: Places,
    tally_high: Places,
) -> int:
    """Put the row's rounded values that are not NaN, and their places, in order.

    Returns how many there are. rounded, words and other are room as long as the row.
    """
    scale, typical = _scale(row.view(np.uint64))
    _round(row, scale, rounded)
    count = _fill_words(rounded, typical * scale, values, words)
    _sort_words(words, count, other, tally, tally_high)
    for k in range(count):
        place = words[k] & _PLACE_MASK
        places[k] = np.uint32(place)
        values[k] = rounded[place]
    if not _settle(values, places, count):
        order = np.argsort(values[:count], kind="mergesort")
        for k in range(count):
            rounded[k] = values[order[k]]
            other[k] = np.uint64(places[order[k]])
        for k in range(count):
            values[k] = rounded[k]
            places[k] = np.uint32(other[k])
    return count


@kernel
def _write_ranks(values: Row, places: Places, even: Row, row: Row) -> None:
    """Write ranks 0..1 of sorted cells into the row; ties share their mean.

    even : the ranks of as many cells without ties. A single cell gets 0.5.
    """
    count = values.shape[0]
    for k in range(count):
        row[places[k]] = even[k]
    k = 1
    while k < count:
        if values[k] != values[k - 1]:
            k += 1
            continue
        start = k - 1
        while k < count and values[k] == values[start]:
            k += 1
        rank = 0.5 * (start + k - 1) / (count - 1)
        for i in range(start, k):
            row[places[i]] = rank


@kernel
def _fill_even(even: Row) -> None:
    """Fill with ranks 0..1 of cells without ties."""
    count = even.shape[0]
    even[0] = 0.5
    if count > 1:
        for k in range(count):
            even[k] = k / (count - 1)


@kernel
def ranks(x: FloatPanel, out: FloatPanel, first: int, last: int) -> None:
    """Fill rows first..last of out with ranks 0 (lowest) to 1; ties share the mean, NaN stays.

    A single valid cell gets 0.5.
    """
    names = x.shape[1]
    rounded = np.empty(names)
    values = np.empty(names)
    places = np.empty(names, np.uint32)
    words = np.empty(names, np.uint64)
    other = np.empty(names, np.uint64)
    tally = np.empty(_BUCKETS, np.uint32)
    tally_high = np.empty(_BUCKETS, np.uint32)
    even = np.empty(names)
    known = 0
    for t in range(first, last):
        count = _sort_row(x[t], rounded, values, places, words, other, tally, tally_high)
        if count < names:
            out[t, :] = math.nan
        if count > 0:
            if count != known:
                _fill_even(even[:count])
                known = count
            _write_ranks(values[:count], places[:count], even, out[t])


@kernel
def group_ordered(  # noqa: PLR0912
    x: FloatPanel,
    g: GroupPanel,
    labels: int,
    share: float,
    spread: bool,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with ranks inside the group if share is negative, else with its percentile.

    Ranks run from 0 to 1, ties share the mean, a single member gets 0.5. The percentile lies on
    a straight line between neighbours; spread gives it to members with NaN too.
    """
    names = x.shape[1]
    rounded = np.empty(names)
    values = np.empty(names)
    places = np.empty(names, np.uint32)
    words = np.empty(names, np.uint64)
    other = np.empty(names, np.uint64)
    tally = np.empty(_BUCKETS, np.uint32)
    tally_high = np.empty(_BUCKETS, np.uint32)
    apart = np.empty(names)
    members = np.empty(names, np.uint32)
    starts = np.empty(labels + 1, np.int64)
    fill = np.empty(labels, np.int64)
    answer = np.empty(labels)
    for t in range(first, last):
        count = _sort_row(x[t], rounded, values, places, words, other, tally, tally_high)
        starts[:] = 0
        for i in range(count):
            k = g[t, places[i]]
            if k >= 0:
                starts[k + 1] += 1
        for k in range(labels):
            starts[k + 1] += starts[k]
            fill[k] = starts[k]
        for i in range(count):
            k = g[t, places[i]]
            if k >= 0:
                apart[fill[k]] = values[i]
                members[fill[k]] = places[i]
                fill[k] += 1
        out[t, :] = math.nan
        for k in range(labels):
            size = starts[k + 1] - starts[k]
            answer[k] = math.nan
            if size == 0:
                continue
            if share < 0.0:
                inside = slice(starts[k], starts[k + 1])
                _fill_even(rounded[:size])
                _write_ranks(apart[inside], members[inside], rounded, out[t])
            else:
                place = share * (size - 1)
                low = int(place)
                high = min(low + 1, size - 1)
                a = x[t, members[starts[k] + low]]
                b = x[t, members[starts[k] + high]]
                part = place - low
                answer[k] = a if part == 0.0 or a == b else a + (b - a) * part
        if share >= 0.0:
            for j in range(names):
                k = g[t, j]
                if k >= 0 and (spread or not math.isnan(x[t, j])):
                    out[t, j] = answer[k]
