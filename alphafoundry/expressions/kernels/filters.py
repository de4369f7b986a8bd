"""Filters along time with weights that the user gives."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel

Weights = NDArray[np.float64]


@kernel
def recursive_filter(
    x: FloatPanel, h: Weights, back: Weights, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the sum of h[i] * x(i rows ago) plus back[k] * answer(k + 1 rows ago).

    NaN as long as one of the x that h weighs is missing or before the first row. An answer that
    is missing counts as 0.
    """
    for t in range(x.shape[0]):
        for j in range(first, last):
            total = math.nan if t < h.shape[0] - 1 else 0.0
            for i in range(min(h.shape[0], t + 1)):
                total += h[i] * x[t - i, j]
            for k in range(min(back.shape[0], t)):
                answer = out[t - 1 - k, j]
                total += back[k] * answer if math.isfinite(answer) else 0.0
            out[t, j] = total
