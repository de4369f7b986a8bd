"""Inverse distributions that quantile operators offer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import across

DRIVERS = ("gaussian", "uniform", "cauchy")

_normal = across("distributions", "normal_quantiles")


def inverse_distribution(shares: NDArray[np.float64], driver: str) -> NDArray[np.float64]:
    """Map shares in 0..1 through the driver's inverse distribution; uniform subtracts 0.5."""
    if driver == "gaussian":
        return _normal(shares)
    if driver == "cauchy":
        return np.tan(np.pi * (shares - 0.5))
    return shares - 0.5
