"""Moments, percentiles and choices of the values that a ragged panel has in each cell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel

Values = NDArray[np.float64]
Offsets = NDArray[np.int64]


@kernel
def _standardized(values: Values, power: int) -> float:
    """Return the standardized central moment of that power, over the values without NaN.

    power 1 gives mean over deviation. NaN where the values are all equal or there is none.
    """
    count = 0
    base = math.nan
    total = 0.0
    for value in values:
        if not math.isnan(value):
            if count == 0:
                base = value
            count += 1
            total += value - base
    if count == 0:
        return math.nan
    shift = total / count
    squares = 0.0
    powers = 0.0
    for value in values:
        if not math.isnan(value):
            gap = value - base - shift
            squares += gap * gap
            powers += gap**power
    if not squares > 0.0:
        return math.nan
    deviation = math.sqrt(squares / count)
    if power == 1:
        return float((base + shift) / deviation)
    return float(powers / count / deviation**power)


@kernel
def vector_moments(
    values: Values, offsets: Offsets, power: int, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the standardized moment of each cell's values; power 1 is mean / deviation."""
    names = out.shape[1]
    for t in range(first, last):
        for j in range(names):
            cell = t * names + j
            out[t, j] = _standardized(values[offsets[cell] : offsets[cell + 1]], power)


@kernel
def vector_powers(
    values: Values,
    offsets: Offsets,
    power: float,
    sizes: bool,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with the sum of each cell's values to that power, NaN where there is none.

    sizes : take absolute values first
    """
    names = out.shape[1]
    for t in range(first, last):
        for j in range(names):
            cell = t * names + j
            total = 0.0
            count = 0
            for k in range(offsets[cell], offsets[cell + 1]):
                if not math.isnan(values[k]):
                    total += (abs(values[k]) if sizes else values[k]) ** power
                    count += 1
            out[t, j] = total if count > 0 else math.nan


@kernel
def vector_percentiles(
    values: Values, offsets: Offsets, share: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with a percentile of each cell's values, on straight lines between neighbours."""
    names = out.shape[1]
    for t in range(first, last):
        for j in range(names):
            cell = t * names + j
            ordered = np.sort(values[offsets[cell] : offsets[cell + 1]])
            count = 0
            while count < ordered.shape[0] and not math.isnan(ordered[count]):
                count += 1
            if count == 0:
                out[t, j] = math.nan
                continue
            place = share * (count - 1)
            low = int(place)
            a = ordered[low]
            b = ordered[min(low + 1, count - 1)]
            part = place - low
            out[t, j] = a if part == 0.0 or a == b else a + (b - a) * part


@kernel
def vector_items(
    values: Values, offsets: Offsets, nth: float, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with each cell's value at place nth, counted from 0; NaN where there are fewer."""
    names = out.shape[1]
    for t in range(first, last):
        for j in range(names):
            place = offsets[t * names + j] + int(nth)
            inside = place < offsets[t * names + j + 1]
            out[t, j] = values[place] if inside else math.nan
