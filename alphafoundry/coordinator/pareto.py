"""Trials that no other beats in every objective, and how one of them is chosen."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Selection = Literal["knee", "first"]


def front_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows that no other row dominates, in their order.

    scores : shape (n_trials, n_objectives), finite, higher is better. A row dominates another
        that it is nowhere worse than and somewhere better; of equal rows the first one counts.
        Scores that agree in twelve digits are equal: what differs there is rounding.
    """
    scores = np.array([[float(f"{value:.12g}") for value in row] for row in scores])
    # In this order a row can be dominated by earlier rows only.
    order = np.lexsort((np.arange(len(scores)), *(-column for column in scores.T[::-1])))
    kept: list[int] = []
    held = np.empty((0, scores.shape[1]))
    for row in order:
        if not (held >= scores[row]).all(axis=1).any():
            kept.append(int(row))
            held = scores[kept]
    return np.array(sorted(kept), dtype=np.int64)


def chosen_of(scores: NDArray[np.float64], rule: Selection) -> int:
    """Return the row that the rule takes of a front, shape (n_trials, n_objectives).

    "knee" takes the row nearest to the best value of every objective, each scaled to the range
    that it has on the front; "first" takes the best of the first objective, of equal ones the
    best of the next. Of rows that are equal in that, the first.
    """
    if rule == "first":
        return int(np.lexsort(tuple(-column for column in scores.T[::-1]))[0])
    best, span = scores.max(axis=0), np.ptp(scores, axis=0)
    lost = np.divide(best - scores, span, out=np.zeros_like(scores), where=span > 0.0)
    return int(np.argmin((lost**2).sum(axis=1)))
