"""Comparisons of every two instruments of a day."""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.expressions.kernels.compilation import FloatPanel, kernel


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
        for i in range(count):
            if m == 1.0:
                sums[i] = count * values[i] - total
                continue
            for k in range(i):
                gap = values[i] - values[k]
                if gap != 0.0:
                    part = abs(gap) ** m
                    sums[i] += part if gap > 0.0 else -part
                    sums[k] -= part if gap > 0.0 else -part
        for i in range(count):
            out[t, places[i]] = sums[i]
