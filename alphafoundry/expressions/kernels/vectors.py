"""Reductions of ragged panels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel


@kernel
def reduce_vectors(
    values: NDArray[np.float64], offsets: NDArray[np.int64], mode: int, out: FloatPanel
) -> None:
    """Reduce each cell's values; mode 0 mean, 1 sum, 2 count, 3 max, 4 min, 5 std, 6 range.

    NaN among the values is left out. A cell without values is NaN, except that its count is 0.
    """
    days, names = out.shape
    for t in range(days):
        for j in range(names):
            cell = t * names + j
            count = 0
            total = 0.0
            mean = 0.0
            squares = 0.0
            low = math.inf
            high = -math.inf
            for k in range(offsets[cell], offsets[cell + 1]):
                value = values[k]
                if math.isnan(value):
                    continue
                count += 1
                total += value
                step = value - mean
                mean += step / count
                squares += step * (value - mean)
                low = min(low, value)
                high = max(high, value)
            if mode == 2:
                out[t, j] = count
            elif count == 0:
                out[t, j] = math.nan
            elif mode == 0:
                out[t, j] = total / count
            elif mode == 1:
                out[t, j] = total
            elif mode == 3:
                out[t, j] = high
            elif mode == 4:
                out[t, j] = low
            elif mode == 5:
                out[t, j] = math.sqrt(squares / count)
            else:
                out[t, j] = high - low
