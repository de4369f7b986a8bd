"""Ranks and percentiles across a day, with rounding noise taken for ties.

Values are rounded before they are compared, so that values which are equal in mathematics, such as
correlations of three ranks, are equal here whatever order their sums were computed in. The step is
2^-30 (about 1e-9) of the row's typical distance, the geometric mean of the differences between
neighbouring columns (of the first 512 where these suffice), and at least 2^-50 (1e-15) of its
typical size. So neither a factor nor a level that is added changes a rank, as far as the values
themselves keep their differences. Differences below 2^-40 of the size are left out of the mean:
they may be noise, and would not raise the step above its least. Infinite values are compared like
any other.

A row is sorted in three steps: every cell becomes one word of a short key, which never contradicts
the order, and its place; two radix passes sort the words; what shares a key is then compared.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, GroupPanel, inlined_kernel, kernel

Row = NDArray[np.float64]
Bits = NDArray[np.uint64]
Keys = NDArray[np.int64]
Words = NDArray[np.uint32]
Labels = NDArray[np.int32]
Counts = NDArray[np.int64]

_WORD = 32
_EXPONENT = np.uint64(0x7FF)
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_SIGN = np.int64(63)
_ONE = np.uint32(1)
_FARTHEST = float(1 << 20)
_BEYOND = 1 << 62
_WHOLE = 4.5e15
_MOVES = 8
_MANY = 3
_ALIKE = 30
_NOISE = 40
_DIGITS = 50
_PAIRS = 512
_LEAST_PAIRS = 8
_LARGEST_SCALE = 1020.0


@kernel
def _typical(bits: Bits, least: int) -> tuple[int, int]:
    """Return sum and number of the exponents above `least` of the values whose bits are given."""
    total = np.int64(0)
    counted = 0
    for j in range(bits.shape[0]):
        exponent = np.int64((bits[j] >> np.uint64(52)) & _EXPONENT)
        fits = 1 if (exponent > least) & (exponent < 0x7FF) else 0
        total += (exponent - 1023) * fits
        counted += fits
    return int(total), counted


@kernel
def _scale(row: Row, room: Row) -> tuple[float, float]:
    """Return one over the rounding step of a row, and its typical size; room is as long."""
    total, counted = _typical(row.view(np.uint64), 0)
    if counted == 0:
        return 1.0, 1.0
    level = total / counted
    size = math.pow(2.0, level)
    finest = _DIGITS - math.floor(level)
    pairs = min(row.shape[0] - 1, _PAIRS)
    for j in range(pairs):
        room[j] = row[j + 1] - row[j]
    least = max(1023 + math.floor(level) - _NOISE, 0)
    total, counted = _typical(room[:pairs].view(np.uint64), least)
    if counted < _LEAST_PAIRS:
        before = math.nan
        for j in range(row.shape[0]):
            room[j] = row[j] - before
            before = before if math.isnan(row[j]) else row[j]
        total, counted = _typical(room.view(np.uint64), least)
    if counted > 0:
        finest = min(finest, _ALIKE - math.floor(total / counted))
    return math.pow(2.0, min(max(finest, -_LARGEST_SCALE), _LARGEST_SCALE)), size


@kernel
def _fill_keys(
    row: Row, scale: float, typical: float, keys: Keys, rounded: Row
) -> tuple[int, int, int]:
    """Round each value and give it a key; return the least and greatest key, and their number.

    NaN has none. The key is the position of sign(v) * (|v| + typical) among the floating-point
    numbers: even near zero, and logarithmic far from it.
    """
    room = keys.view(np.float64)
    farthest = typical * _FARTHEST
    room[0] = typical
    zero = keys[0]
    for j in range(row.shape[0]):
        scaled = row[j] * scale
        scaled = np.rint(scaled) if abs(scaled) < _WHOLE else scaled
        rounded[j] = scaled
        room[j] = math.copysign(min(abs(scaled), farthest) + typical, scaled)
    low = np.int64(_BEYOND)
    high = np.int64(-_BEYOND)
    missing = 0
    for j in range(row.shape[0]):
        sign = keys[j] >> _SIGN
        key = (((keys[j] & _MAGNITUDE) - zero) ^ sign) - sign
        gone = math.isnan(row[j])
        missing += 1 if gone else 0
        key = np.int64(_BEYOND) if gone else key
        keys[j] = key
        low = min(low, key)
        high = max(high, np.int64(-_BEYOND) if gone else key)
    return int(low), int(high), row.shape[0] - missing


@kernel
def _key_bits(place_bits: int) -> int:
    """Return the bits of a word that hold the key: no more counters in a pass than names."""
    return min(2 * place_bits, _WORD - place_bits)


@kernel
def _fill_words(keys: Keys, low: int, high: int, place_bits: int, words: Words) -> None:
    """Put the leading bits of each key above its place; what is missing comes last."""
    last = (np.int64(1) << np.int64(_key_bits(place_bits))) - np.int64(1)
    shift = np.int64(0)
    while ((high - low) >> shift) >= last:
        shift += np.int64(1)
    above = np.int64(place_bits)
    for j in range(keys.shape[0]):
        key = min((keys[j] - low) >> shift, last)
        words[j] = np.uint32((key << above) | np.int64(j))


@kernel
def _sort_words(
    words: Words, place_bits: int, other: Words, tally: Words, tally_high: Words, doubled: Words
) -> None:
    """Sort the words in two passes and note twice each place's rank; other is room for words."""
    names = words.shape[0]
    above = np.uint32(place_bits)
    half = _key_bits(place_bits) // 2
    above_both = np.uint32(place_bits + half)
    digit = np.uint32((1 << half) - 1)
    place = np.uint32((1 << place_bits) - 1)
    tally[:] = 0
    tally_high[:] = 0
    for j in range(names):
        word = words[j]
        tally[(word >> above) & digit] += _ONE
        tally_high[word >> above_both] += _ONE
    start = np.uint32(0)
    for b in range(tally.shape[0]):
        here = tally[b]
        tally[b] = start
        start += here
    start = np.uint32(0)
    for b in range(tally_high.shape[0]):
        here = tally_high[b]
        tally_high[b] = start
        start += here
    for j in range(names):
        word = words[j]
        bucket = (word >> above) & digit
        to = tally[bucket]
        other[to] = word
        tally[bucket] = to + _ONE
    for j in range(names):
        word = other[j]
        bucket = word >> above_both
        to = tally_high[bucket]
        words[to] = word
        doubled[word & place] = to + to
        tally_high[bucket] = to + _ONE


@kernel
def _digits(names: int) -> tuple[int, int, int]:
    """Return the bits of a word that hold the place, and the counters of the two passes."""
    place_bits = 1
    while (1 << place_bits) < names:
        place_bits += 1
    key_bits = _key_bits(place_bits)
    half = key_bits // 2
    return place_bits, 1 << half, 1 << (key_bits - half)


@kernel
def _find_same_keys(words: Words, place_bits: int, found: Words) -> int:
    """Fill found with the places of sorted words whose key is that of the one before."""
    above = np.uint32(place_bits)
    count = 0
    for k in range(1, words.shape[0]):
        found[count] = np.uint32(k)
        count += 1 if (words[k] >> above) == (words[k - 1] >> above) else 0
    return count


@kernel
def _run_end(places: Words, i: int) -> int:
    """Return the index behind the successive places that begin at index i."""
    end = i + 1
    while end < places.shape[0] and places[end] == places[end - 1] + _ONE:
        end += 1
    return end


@kernel
def _settle(values: Row, words: Words) -> None:
    """Put words in the order of their values, and the values too; equal ones stay as they are.

    An insertion sort, since little is out of place; where that is not so another one takes over.
    """
    moves = _MOVES * values.shape[0]
    for k in range(1, values.shape[0]):
        value = values[k]
        word = words[k]
        i = k
        while i > 0 and values[i - 1] > value:
            values[i] = values[i - 1]
            words[i] = words[i - 1]
            i -= 1
        values[i] = value
        words[i] = word
        moves -= k - i
        if moves < 0:
            order = np.argsort(values, kind="mergesort")
            values[:] = values[order]
            words[:] = words[order]
            return


@kernel
def _compare_run(
    words: Words,
    place: np.uint32,
    rounded: Row,
    start: int,
    end: int,
    values: Row,
    doubled: Words,
    equals: Words,
    found: int,
) -> int:
    """Put words start..end in order, and add the places of those that equal the one before.

    values : as long as words, scratch. equals : has `found` places; returns how many it has then
    """
    for k in range(start, end):
        values[k] = rounded[words[k] & place]
    falls = 0
    for k in range(start + 1, end):
        falls += 1 if values[k] < values[k - 1] else 0
    if falls > 0:
        _settle(values[start:end], words[start:end])
        for k in range(start, end):
            doubled[words[k] & place] = np.uint32(2 * k)
    for k in range(start + 1, end):
        equals[found] = np.uint32(k)
        found += 1 if values[k] == values[k - 1] else 0
    return found


@inlined_kernel
def _order_row(
    row: Row,
    place_bits: int,
    keys: Keys,
    rounded: Row,
    words: Words,
    other: Words,
    tally: Words,
    tally_high: Words,
    doubled: Words,
) -> tuple[int, int]:
    """Put the row's words in order and write the rank of each name, doubled.

    Returns how many are not NaN, and how many of these equal the one before: their places among
    the sorted words are left in other.
    """
    place = np.uint32((1 << place_bits) - 1)
    scale, typical = _scale(row, keys.view(np.float64))
    low, high, count = _fill_keys(row, scale, typical * scale, keys, rounded)
    _fill_words(keys, low, high, place_bits, words)
    _sort_words(words, place_bits, other, tally, tally_high, doubled)
    values = keys.view(np.float64)
    same = _find_same_keys(words[:count], place_bits, other)
    if _MANY * same > count:
        return count, _compare_run(words, place, rounded, 0, count, values, doubled, other, 0)
    equal = 0
    i = 0
    while i < same:
        start = int(other[i]) - 1
        i = _run_end(other[:same], i)
        end = int(other[i - 1]) + 1
        equal = _compare_run(words, place, rounded, start, end, values, doubled, other, equal)
    return count, equal


@kernel
def _share_ranks(equals: Words, words: Words, place: np.uint32, doubled: Words) -> None:
    """Write twice the mean rank of sorted words whose values are equal.

    equals : the places of those that equal the one before
    """
    i = 0
    while i < equals.shape[0]:
        start = int(equals[i]) - 1
        i = _run_end(equals, i)
        last = int(equals[i - 1])
        for k in range(start, last + 1):
            doubled[words[k] & place] = np.uint32(start + last)


@kernel
def ranks(x: FloatPanel, out: FloatPanel, first: int, last: int) -> None:
    """Fill rows first..last of out with ranks 0 (lowest) to 1; ties share the mean, NaN stays.

    A single valid cell gets 0.5.
    """
    names = x.shape[1]
    place_bits, low_counters, high_counters = _digits(names)
    place = np.uint32((1 << place_bits) - 1)
    keys = np.empty(names, np.int64)
    rounded = np.empty(names)
    words = np.empty(names, np.uint32)
    other = np.empty(names, np.uint32)
    tally = np.empty(low_counters, np.uint32)
    tally_high = np.empty(high_counters, np.uint32)
    doubled = np.empty(names, np.uint32)
    for t in range(first, last):
        row = x[t]
        answer = out[t]
        count, equal = _order_row(
            row, place_bits, keys, rounded, words, other, tally, tally_high, doubled
        )
        if count < 2:
            for j in range(names):
                answer[j] = math.nan if math.isnan(row[j]) else 0.5
            continue
        _share_ranks(other[:equal], words, place, doubled)
        steps = count - 1.0
        for j in range(names):
            rank = 0.5 * np.float64(np.int32(doubled[j])) / steps
            answer[j] = math.nan if math.isnan(row[j]) else rank


@kernel
def _place_in_groups(
    words: Words, place: np.uint32, groups: Words, sizes: Words, doubled: Words
) -> None:
    """Write twice how many of its group come before each of sorted words; fill groups' sizes."""
    sizes[:] = 0
    for k in range(words.shape[0]):
        here = words[k] & place
        before = sizes[groups[here]]
        doubled[here] = before << _ONE
        sizes[groups[here]] = before + _ONE


@kernel
def _share_in_groups(
    equals: Words,
    words: Words,
    place: np.uint32,
    groups: Words,
    lowest: Words,
    highest: Words,
    doubled: Words,
) -> None:
    """Do what `_share_ranks` does inside groups, from places that are not shared yet.

    lowest, highest : one for each group, scratch
    """
    i = 0
    while i < equals.shape[0]:
        start = int(equals[i]) - 1
        i = _run_end(equals, i)
        last = int(equals[i - 1])
        for k in range(start, last + 1):
            here = words[k] & place
            highest[groups[here]] = doubled[here]
        for k in range(last, start - 1, -1):
            here = words[k] & place
            lowest[groups[here]] = doubled[here]
        for k in range(start, last + 1):
            here = words[k] & place
            doubled[here] = (lowest[groups[here]] + highest[groups[here]]) >> _ONE


@kernel
def group_ranks(
    x: FloatPanel, g: GroupPanel, labels: int, out: FloatPanel, first: int, last: int
) -> None:
    """Fill rows first..last of out with ranks 0 to 1 inside the group; ties share the mean.

    g : labels below `labels`, negative is unknown and NaN. A single member gets 0.5. One sort
    serves all groups: a value's rank is how many of its group came before.
    """
    names = x.shape[1]
    place_bits, low_counters, high_counters = _digits(names)
    place = np.uint32((1 << place_bits) - 1)
    keys = np.empty(names, np.int64)
    rounded = np.empty(names)
    words = np.empty(names, np.uint32)
    other = np.empty(names, np.uint32)
    tally = np.empty(low_counters, np.uint32)
    tally_high = np.empty(high_counters, np.uint32)
    doubled = np.zeros(names, np.uint32)
    groups = np.empty(names, np.uint32)
    sizes = np.empty(labels + 1, np.uint32)
    lowest = np.empty(labels + 1, np.uint32)
    highest = np.empty(labels + 1, np.uint32)
    steps = np.ones(labels + 1)
    for t in range(first, last):
        row = x[t]
        answer = out[t]
        for j in range(names):
            groups[j] = np.uint32(g[t, j] if g[t, j] >= 0 else labels)
        count, equal = _order_row(
            row, place_bits, keys, rounded, words, other, tally, tally_high, doubled
        )
        _place_in_groups(words[:count], place, groups, sizes, doubled)
        _share_in_groups(other[:equal], words, place, groups, lowest, highest, doubled)
        for group in range(labels):
            steps[group] = np.float64(sizes[group]) - 1.0
        for j in range(names):
            spread = steps[groups[j]]
            rank = 0.5 * np.float64(np.int32(doubled[j])) / spread if spread > 0.0 else 0.5
            answer[j] = math.nan if math.isnan(row[j]) | (g[t, j] < 0) else rank


@kernel
def group_percentile(
    x: FloatPanel,
    g: GroupPanel,
    labels: int,
    share: float,
    spread: bool,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with the percentile of the group, on a straight line between neighbours.

    spread : members with NaN get it too
    """
    names = x.shape[1]
    place_bits, low_counters, high_counters = _digits(names)
    place_mask = np.uint32((1 << place_bits) - 1)
    keys = np.empty(names, np.int64)
    rounded = np.empty(names)
    words = np.empty(names, np.uint32)
    other = np.empty(names, np.uint32)
    tally = np.empty(low_counters, np.uint32)
    tally_high = np.empty(high_counters, np.uint32)
    doubled = np.empty(names, np.uint32)
    members = np.empty(names, np.uint32)
    starts = np.empty(labels + 1, np.int64)
    fill = np.empty(labels, np.int64)
    answer = np.empty(labels)
    for t in range(first, last):
        count, _ = _order_row(
            x[t], place_bits, keys, rounded, words, other, tally, tally_high, doubled
        )
        starts[:] = 0
        for i in range(count):
            k = g[t, words[i] & place_mask]
            if k >= 0:
                starts[k + 1] += 1
        for k in range(labels):
            starts[k + 1] += starts[k]
            fill[k] = starts[k]
        for i in range(count):
            k = g[t, words[i] & place_mask]
            if k >= 0:
                members[fill[k]] = words[i] & place_mask
                fill[k] += 1
        for k in range(labels):
            size = starts[k + 1] - starts[k]
            answer[k] = math.nan
            if size == 0:
                continue
            place = share * (size - 1)
            low = int(place)
            high = min(low + 1, size - 1)
            a = x[t, members[starts[k] + low]]
            b = x[t, members[starts[k] + high]]
            part = place - low
            answer[k] = a if part == 0.0 or a == b else a + (b - a) * part
        for j in range(names):
            k = g[t, j]
            known = k >= 0 and (spread or not math.isnan(x[t, j]))
            out[t, j] = answer[k] if known else math.nan
