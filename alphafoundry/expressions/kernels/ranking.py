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

from alphafoundry.compilation import FloatPanel, GroupPanel, kernel

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
_FEW = 24
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
def _rounded(value: float, scale: float) -> float:
    scaled = value * scale
    return (np.rint(scaled) if abs(scaled) < _WHOLE else scaled) + 0.0


@kernel
def _fill_keys(row: Row, scale: float, typical: float, keys: Keys) -> tuple[int, int, int]:
    """Give each value a key; return the least and the greatest, and how many are not NaN.

    The key is the position of sign(v) * (|v| + typical) among the floating-point numbers: even
    near zero, and logarithmic far from it.
    """
    room = keys.view(np.float64)
    farthest = typical * _FARTHEST
    room[0] = typical
    zero = keys[0]
    for j in range(row.shape[0]):
        scaled = row[j] * scale
        size = abs(np.rint(scaled) if abs(scaled) < _WHOLE else scaled)
        room[j] = math.copysign(min(size, farthest) + typical, scaled)
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
    words: Words, place_bits: int, other: Words, tally: Words, tally_high: Words, rank: Words
) -> None:
    """Sort the words in two passes and note each place's rank; other is room of the same size."""
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
        rank[word & place] = to
        tally_high[bucket] = to + _ONE


@kernel
def _settle(row: Row, scale: float, words: Words, place: np.uint32, values: Row) -> bool:
    """Put words of one key in the order of their values, which go to values.

    Returns whether there was something to move.
    """
    count = words.shape[0]
    sorted_already = True
    for k in range(count):
        values[k] = _rounded(row[words[k] & place], scale)
        sorted_already = sorted_already and (k == 0 or values[k - 1] <= values[k])
    if sorted_already:
        return False
    if count > _FEW:
        order = np.argsort(values[:count], kind="mergesort")
        values[:count] = values[:count][order]
        words[:] = words[order]
        return True
    for k in range(1, count):
        value = values[k]
        word = words[k]
        i = k - 1
        while i >= 0 and values[i] > value:
            values[i + 1] = values[i]
            words[i + 1] = words[i]
            i -= 1
        values[i + 1] = value
        words[i + 1] = word
    return True


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
def _write_run(
    values: Row, words: Words, place: np.uint32, start: int, steps: float, moved: bool, answer: Row
) -> None:
    """Write the ranks of sorted words that begin at rank start; equal values share the mean."""
    count = values.shape[0]
    k = 0
    while k < count:
        begin = k
        while k < count and values[k] == values[begin]:
            k += 1
        if moved or k > begin + 1:
            rank = 0.5 * (start + begin + start + k - 1) / steps
            for i in range(begin, k):
                answer[words[i] & place] = rank


@kernel
def _all_equal(row: Row, scale: float, words: Words, place: np.uint32) -> bool:
    """Tell whether the words' values are equal after rounding."""
    value = _rounded(row[words[0] & place], scale)
    others = 0
    for k in range(words.shape[0]):
        others += 1 if _rounded(row[words[k] & place], scale) != value else 0
    return others == 0


@kernel
def _write_equal(words: Words, place: np.uint32, rank: float, answer: Row) -> None:
    for k in range(words.shape[0]):
        answer[words[k] & place] = rank


@kernel
def ranks(x: FloatPanel, out: FloatPanel, first: int, last: int) -> None:
    """Fill rows first..last of out with ranks 0 (lowest) to 1; ties share the mean, NaN stays.

    A single valid cell gets 0.5.
    """
    names = x.shape[1]
    place_bits, low_counters, high_counters = _digits(names)
    above = np.uint32(place_bits)
    place = np.uint32((1 << place_bits) - 1)
    keys = np.empty(names, np.int64)
    words = np.empty(names, np.uint32)
    other = np.empty(names, np.uint32)
    rank = np.empty(names, np.uint32)
    tally = np.empty(low_counters, np.uint32)
    tally_high = np.empty(high_counters, np.uint32)
    values = np.empty(names)
    for t in range(first, last):
        row = x[t]
        answer = out[t]
        scale, typical = _scale(row, keys.view(np.float64))
        low, high, count = _fill_keys(row, scale, typical * scale, keys)
        if count < 2:
            for j in range(names):
                answer[j] = math.nan if math.isnan(row[j]) else 0.5
            continue
        _fill_words(keys, low, high, place_bits, words)
        _sort_words(words, place_bits, other, tally, tally_high, rank)
        steps = count - 1.0
        if count == names:
            for j in range(names):
                answer[j] = np.float64(np.int32(rank[j])) / steps
        else:
            for j in range(names):
                even = np.float64(np.int32(rank[j])) / steps
                answer[j] = math.nan if math.isnan(row[j]) else even
        k = 1
        while k < count:
            if (words[k] >> above) != (words[k - 1] >> above):
                k += 1
                continue
            start = k - 1
            key = words[start] >> above
            while k < count and (words[k] >> above) == key:
                k += 1
            run = words[start:k]
            if k - start > 2 and _all_equal(row, scale, run, place):
                _write_equal(run, place, 0.5 * (start + k - 1) / steps, answer)
                continue
            moved = _settle(row, scale, run, place, values)
            _write_run(values[: k - start], run, place, start, steps, moved, answer)


@kernel
def _place_run(
    values: Row,
    words: Words,
    place: np.uint32,
    labels: Labels,
    lower: Counts,
    equal: Counts,
    answer: Row,
) -> None:
    """Write how many of its group come before each of some sorted words.

    Equal values of a group share the mean.

    lower : how many of each group come before, kept up to date. equal : zeros, and zeros after
    """
    count = values.shape[0]
    k = 0
    while k < count:
        begin = k
        while k < count and values[k] == values[begin]:
            group = labels[words[k] & place]
            if group >= 0:
                equal[group] += 1
            k += 1
        for i in range(begin, k):
            group = labels[words[i] & place]
            if group >= 0:
                answer[words[i] & place] = lower[group] + 0.5 * (equal[group] - 1)
        if k - begin > equal.shape[0]:
            for group in range(equal.shape[0]):
                lower[group] += equal[group]
                equal[group] = 0
            continue
        for i in range(begin, k):
            group = labels[words[i] & place]
            if group >= 0:
                lower[group] += equal[group]
                equal[group] = 0


@kernel
def _over_steps(labels: Labels, sizes: Counts, answer: Row) -> None:
    """Divide places inside groups by the steps from a group's first place to its last."""
    for j in range(answer.shape[0]):
        steps = sizes[max(labels[j], 0)] - 1
        rank = answer[j] / steps if steps > 0 else 0.5
        answer[j] = math.nan if math.isnan(answer[j]) else rank


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
    above = np.uint32(place_bits)
    place = np.uint32((1 << place_bits) - 1)
    keys = np.empty(names, np.int64)
    words = np.empty(names, np.uint32)
    other = np.empty(names, np.uint32)
    rank = np.empty(names, np.uint32)
    tally = np.empty(low_counters, np.uint32)
    tally_high = np.empty(high_counters, np.uint32)
    values = np.empty(names)
    lower = np.empty(labels, np.int64)
    equal = np.zeros(labels, np.int64)
    for t in range(first, last):
        row = x[t]
        group_of = g[t]
        answer = out[t]
        scale, typical = _scale(row, keys.view(np.float64))
        low, high, count = _fill_keys(row, scale, typical * scale, keys)
        _fill_words(keys, low, high, place_bits, words)
        _sort_words(words, place_bits, other, tally, tally_high, rank)
        lower[:] = 0
        answer[:] = math.nan
        k = 0
        while k < count:
            start = k
            key = words[k] >> above
            k += 1
            while k < count and (words[k] >> above) == key:
                k += 1
            if k > start + 1:
                run = words[start:k]
                _settle(row, scale, run, place, values)
                _place_run(values[: k - start], run, place, group_of, lower, equal, answer)
                continue
            here = words[start] & place
            group = group_of[here]
            if group >= 0:
                answer[here] = lower[group]
                lower[group] += 1
        _over_steps(group_of, lower, answer)


@kernel
def _order_row(
    row: Row,
    place_bits: int,
    keys: Keys,
    words: Words,
    other: Words,
    tally: Words,
    tally_high: Words,
    rank: Words,
    values: Row,
) -> int:
    """Put the row's words and its rounded values in order; return how many are not NaN."""
    above = np.uint32(place_bits)
    place = np.uint32((1 << place_bits) - 1)
    scale, typical = _scale(row, keys.view(np.float64))
    low, high, count = _fill_keys(row, scale, typical * scale, keys)
    _fill_words(keys, low, high, place_bits, words)
    _sort_words(words, place_bits, other, tally, tally_high, rank)
    k = 0
    while k < count:
        begin = k
        key = words[k] >> above
        while k < count and (words[k] >> above) == key:
            k += 1
        if k == begin + 1:
            values[begin] = _rounded(row[words[begin] & place], scale)
        else:
            _settle(row, scale, words[begin:k], place, values[begin:k])
    return count


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
    words = np.empty(names, np.uint32)
    other = np.empty(names, np.uint32)
    rank = np.empty(names, np.uint32)
    tally = np.empty(low_counters, np.uint32)
    tally_high = np.empty(high_counters, np.uint32)
    values = np.empty(names)
    members = np.empty(names, np.uint32)
    starts = np.empty(labels + 1, np.int64)
    fill = np.empty(labels, np.int64)
    answer = np.empty(labels)
    for t in range(first, last):
        count = _order_row(x[t], place_bits, keys, words, other, tally, tally_high, rank, values)
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
