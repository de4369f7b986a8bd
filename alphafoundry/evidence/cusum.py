"""The cumulative sum that tells early that a mean has fallen (E. S. Page, 1954)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq

from alphafoundry.errors import EvidenceError

_OVERSHOOT = 1.166
"""What a random walk of normal steps passes a level by, on both sides (D. Siegmund, 1985)."""


def lower_cusum(values: Any, *, mean: float, deviation: float, allowance: float) -> float:
    """Return the sum's last value: how far, in deviations, values have run below their mean.

    S_t = max(0, S_(t-1) - (x_t - mean) / deviation - allowance), from 0; never below 0.

    Parameters
    ----------
    values : shape (n_days,), without NaN
    mean, deviation : that are expected; the deviation above 0
    allowance : deviations by which a day may lie below for nothing; half the fall to be found

    Raises EvidenceError for a deviation that is not above 0.
    """
    if not deviation > 0.0:
        raise EvidenceError(f"deviation {deviation:g}: must be above 0")
    found = 0.0
    for value in np.asarray(values, dtype=np.float64):
        found = max(0.0, found - (value - mean) / deviation - allowance)
    return found


def cusum_threshold(*, allowance: float, run_length: float) -> float:
    """Return the value that the sum passes once in `run_length` days though nothing has changed.

    Siegmund's approximation: run length = (exp(2kb) - 2kb - 1) / (2 k^2), with k the allowance and
    b the threshold plus 1.166, of independent normal days.

    Raises EvidenceError where either is not above 0, or the run length is below 10 days.
    """
    if not (allowance > 0.0 and run_length >= 10.0):
        raise EvidenceError("a threshold needs an allowance above 0 and a run of 10 days or more")

    def missing(b: float) -> float:
        x = 2.0 * allowance * b
        return (math.expm1(x) - x) / (2.0 * allowance**2) - run_length

    high = 1.0
    while missing(high) < 0.0:
        high *= 2.0
    return max(0.1, float(brentq(missing, 0.0, high)) - _OVERSHOOT)
