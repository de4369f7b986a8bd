"""Comparisons of every two instruments of a day."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel

Row = NDArray[np.float64]


@kernel
def _add_signed_squares(values: Row, sums: Row) -> None:
    for i in range(values.shape[0]):
        other = values[i]
        for k in range(values.shape[0]):
            gap = values[k] - other
            sums[k] += gap * abs(gap)


@kernel
def _add_signed_whole_powers(values: Row, power: int, sums: Row) -> None:
    for i in range(values.shape[0]):
        other = values[i]
        for k in range(values.shape[0]):
            gap = values[k] - other
            size = abs(gap)
            for _ in range(power - 1):
                gap *= size
            sums[k] += gap


@kernel
def _add_signed_powers(values: Row, m: float, sums: Row) -> None:
    for i in range(values.shape[0]):
        for k in range(i):
            gap = values[i] - values[k]
            if gap != 0.0:
                part = abs(gap) ** m
                sums[i] += part if gap > 0.0 else -part
                sums[k] -= part if gap > 0.0 else -part


@kernel
def pairwise_ranks(x: FloatPanel, m: float, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the sum of |difference|^m to lower cells minus that to higher ones.

    NaN and infinite cells are left out and NaN. m = 1 takes one pass over the day, others one
    over its pairs.
    """
    names = x.shape[1]
    values = np.empty(names)
    places = np.empty(names, np.int64)
    sums = np.empty(names)
    for t in range(first, last):
        count = 0
        base = 0.0
        total = 0.0
        for j in range(names):
            out[t, j] = math.nan
            if math.isfinite(x[t, j]):
                if count == 0:
                    base = x[t, j]
                values[count] = x[t, j] - base
                total += values[count]
                places[count] = j
                sums[count] = 0.0
                count += 1
        if m == 1.0:
            for i in range(count):
                sums[i] = count * values[i] - total
        elif m == 2.0:
            _add_signed_squares(values[:count], sums)
        elif m == math.floor(m) and 2.0 < m < 20.0:
            _add_signed_whole_powers(values[:count], int(m), sums)
        else:
            _add_signed_powers(values[:count], m, sums)
        for i in range(count):
            out[t, places[i]] = sums[i]
