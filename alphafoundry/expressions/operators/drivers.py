"""Inverse distributions that quantile operators offer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import across

DRIVERS = ("gaussian", "uniform", "cauchy")

_normal = across("distributions", "normal_quantiles")
_normal_shares = across("ties", "normal_shares")


def inverse_distribution(shares: NDArray[np.float64], driver: str) -> NDArray[np.float64]:
    """Map shares in 0..1 through the driver's inverse distribution; uniform subtracts 0.5."""
    if driver == "gaussian":
        return _normal(shares)
    if driver == "cauchy":
        return np.tan(np.pi * (shares - 0.5))
    return shares - 0.5


def distribution(values: NDArray[np.float64], driver: str) -> NDArray[np.float64]:
    """Map values through the driver's distribution function, of mean 0 and deviation 1.

    The Cauchy distribution has no deviation, its scale is 1.
    """
    if driver == "gaussian":
        return _normal_shares(values)
    if driver == "cauchy":
        return 0.5 + np.arctan(values) / np.pi
    shares: NDArray[np.float64] = np.clip(0.5 + values / np.sqrt(12.0), 0.0, 1.0)
    return shares
