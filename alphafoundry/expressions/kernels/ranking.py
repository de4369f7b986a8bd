"""Ranks and percentiles across a day, with rounding noise taken for ties.

Values are rounded to 9 decimals before they are compared, so that values which are equal in
mathematics, such as correlations of three ranks, are equal here whatever order their sums were
computed in. In a row whose typical size (geometric mean of |x|) is below about 0.001 the rounding
step shrinks with that size, so small numbers keep their order. Infinite values are compared like
any other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.kernels.compilation import FloatPanel, GroupPanel, kernel

Keys = NDArray[np.uint64]
Places = NDArray[np.int64]

_BITS = 11
_PASSES = 6
_BUCKETS = 1 << _BITS
_FEW = 64
_SIGN = np.uint64(1 << 63)
_EXPONENT = np.uint64(0x7FF)


@kernel
def _collect(
    x: NDArray[np.float64], values: NDArray[np.float64], keys: Keys, places: Places
) -> int:
    """Gather a row's cells that are not NaN, as keys that sort like the rounded values.

    values and keys share memory. Returns how many there are.
    """
    count = 0
    for j in range(x.shape[0]):
        if not math.isnan(x[j]):
            values[count] = x[j]
            places[count] = j
            count += 1
    scale = _scale(keys, count)
    for k in range(count):
        scaled = values[k] * scale
        values[k] = (np.rint(scaled) if abs(scaled) < 4.5e15 else scaled) + 0.0
    for k in range(count):
        bits = keys[k]
        keys[k] = ~bits if bits & _SIGN else bits | _SIGN
    return count


@kernel
def _scale(keys: Keys, count: int) -> float:
    """Return one over the rounding step of values whose bits are given."""
    total = 0
    counted = 0
    for k in range(count):
        exponent = int((keys[k] >> np.uint64(52)) & _EXPONENT)
        if 0 < exponent < 0x7FF:
            total += exponent - 1023
            counted += 1
    if counted == 0:
        return 1e9
    typical = total / counted
    if typical > 900.0:
        return 1.0
    if typical >= -10.0:
        return 1e9
    return 1e9 * math.pow(2.0, min(-10.0 - math.floor(typical), 990.0))


@kernel
def _sort(
    keys: Keys, places: Places, count: int, keys_2: Keys, places_2: Places, tally: Places
) -> None:
    """Sort the first count keys with their places, stable; the other arrays are room to work.

    Radix sort by 11 bits; passes in which all digits agree are skipped. tally has 6 * 2048
    entries.
    """
    if count <= _FEW:
        for k in range(1, count):
            key = keys[k]
            place = places[k]
            i = k - 1
            while i >= 0 and keys[i] > key:
                keys[i + 1] = keys[i]
                places[i + 1] = places[i]
                i -= 1
            keys[i + 1] = key
            places[i + 1] = place
        return
    mask = np.uint64(_BUCKETS - 1)
    tally[:] = 0
    for k in range(count):
        key = keys[k]
        for p in range(_PASSES):
            tally[p * _BUCKETS + np.int64((key >> np.uint64(p * _BITS)) & mask)] += 1
    swapped = False
    for p in range(_PASSES):
        shift = np.uint64(p * _BITS)
        source = keys_2 if swapped else keys
        source_places = places_2 if swapped else places
        target = keys if swapped else keys_2
        target_places = places if swapped else places_2
        base = p * _BUCKETS
        if tally[base + np.int64((source[0] >> shift) & mask)] == count:
            continue
        start = 0
        for b in range(base, base + _BUCKETS):
            here = tally[b]
            tally[b] = start
            start += here
        for k in range(count):
            bucket = base + np.int64((source[k] >> shift) & mask)
            target[tally[bucket]] = source[k]
            target_places[tally[bucket]] = source_places[k]
            tally[bucket] += 1
        swapped = not swapped
    if swapped:
        keys[:count] = keys_2[:count]
        places[:count] = places_2[:count]


@kernel
def _write_ranks(
    keys: Keys, places: Places, start: int, stop: int, row: NDArray[np.float64]
) -> None:
    """Write ranks 0..1 of the sorted cells start..stop into the row; ties share their mean.

    A single cell gets 0.5.
    """
    count = stop - start
    if count == 1:
        row[places[start]] = 0.5
        return
    k = start
    while k < stop:
        end = k + 1
        while end < stop and keys[end] == keys[k]:
            end += 1
        rank = (0.5 * (k + end - 1) - start) / (count - 1)
        for i in range(k, end):
            row[places[i]] = rank
        k = end


@kernel
def ranks(x: FloatPanel, out: FloatPanel, first: int, last: int) -> None:
    """Fill rows first..last of out with ranks 0 (lowest) to 1; ties share the mean, NaN stays.

    A single valid cell gets 0.5.
    """
    names = x.shape[1]
    values = np.empty(names)
    keys = values.view(np.uint64)
    places = np.empty(names, np.int64)
    keys_2 = np.empty(names, np.uint64)
    places_2 = np.empty(names, np.int64)
    tally = np.empty(6 * 2048, np.int64)
    for t in range(first, last):
        count = _collect(x[t], values, keys, places)
        out[t, :] = math.nan
        if count > 0:
            _sort(keys, places, count, keys_2, places_2, tally)
            _write_ranks(keys, places, 0, count, out[t])


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
    values = np.empty(names)
    keys = values.view(np.uint64)
    places = np.empty(names, np.int64)
    keys_2 = np.empty(names, np.uint64)
    places_2 = np.empty(names, np.int64)
    tally = np.empty(6 * 2048, np.int64)
    starts = np.empty(labels + 1, np.int64)
    fill = np.empty(labels, np.int64)
    answer = np.empty(labels)
    for t in range(first, last):
        count = _collect(x[t], values, keys, places)
        _sort(keys, places, count, keys_2, places_2, tally)
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
                keys_2[fill[k]] = keys[i]
                places_2[fill[k]] = places[i]
                fill[k] += 1
        out[t, :] = math.nan
        for k in range(labels):
            size = starts[k + 1] - starts[k]
            answer[k] = math.nan
            if size == 0:
                continue
            if share < 0.0:
                _write_ranks(keys_2, places_2, starts[k], starts[k + 1], out[t])
            else:
                place = share * (size - 1)
                low = int(place)
                high = min(low + 1, size - 1)
                a = x[t, places_2[starts[k] + low]]
                b = x[t, places_2[starts[k] + high]]
                part = place - low
                answer[k] = a if part == 0.0 or a == b else a + (b - a) * part
        if share >= 0.0:
            for j in range(names):
                k = g[t, j]
                if k >= 0 and (spread or not math.isnan(x[t, j])):
                    out[t, j] = answer[k]
