"""Cell-by-cell answers of yes (1), no (0) or unknown (NaN), in one pass over their inputs."""

from __future__ import annotations

import math

from alphafoundry.compilation import FloatPanel, kernel


@kernel
def compare(a: FloatPanel, b: FloatPanel, mode: int, out: FloatPanel) -> None:
    """Fill out with a comparison of a and b, NaN where either is; all are of one shape.

    mode : 0 a < b, 1 a <= b, 2 a equals b, 3 a differs from b, 4 both are true (not 0), 5 at
        least one is
    """
    x = a.reshape(-1)
    y = b.reshape(-1)
    answer = out.reshape(-1)
    if mode == 0:
        for j in range(answer.shape[0]):
            known = 1.0 if x[j] < y[j] else 0.0
            answer[j] = math.nan if math.isnan(x[j]) | math.isnan(y[j]) else known
    elif mode == 1:
        for j in range(answer.shape[0]):
            known = 1.0 if x[j] <= y[j] else 0.0
            answer[j] = math.nan if math.isnan(x[j]) | math.isnan(y[j]) else known
    elif mode == 2:
        for j in range(answer.shape[0]):
            known = 1.0 if x[j] == y[j] else 0.0
            answer[j] = math.nan if math.isnan(x[j]) | math.isnan(y[j]) else known
    elif mode == 3:
        for j in range(answer.shape[0]):
            known = 1.0 if x[j] != y[j] else 0.0
            answer[j] = math.nan if math.isnan(x[j]) | math.isnan(y[j]) else known
    elif mode == 4:
        for j in range(answer.shape[0]):
            known = 1.0 if (x[j] != 0.0) & (y[j] != 0.0) else 0.0
            answer[j] = math.nan if math.isnan(x[j]) | math.isnan(y[j]) else known
    else:
        for j in range(answer.shape[0]):
            known = 1.0 if (x[j] != 0.0) | (y[j] != 0.0) else 0.0
            answer[j] = math.nan if math.isnan(x[j]) | math.isnan(y[j]) else known


@kernel
def choose(condition: FloatPanel, a: FloatPanel, b: FloatPanel, out: FloatPanel) -> None:
    """Fill out with a where the condition is not 0, else b; NaN where the condition is."""
    c = condition.reshape(-1)
    x = a.reshape(-1)
    y = b.reshape(-1)
    answer = out.reshape(-1)
    for j in range(answer.shape[0]):
        chosen = x[j] if c[j] != 0.0 else y[j]
        answer[j] = math.nan if math.isnan(c[j]) else chosen
