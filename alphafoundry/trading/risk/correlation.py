"""How names or strategies move together, shrunk by what the sample cannot know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import PortfolioError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ShrunkCorrelation:
    """A correlation matrix of shape (n, n), and how far it was drawn to that of strangers.

    intensity : 0 is the sample's own, 1 knows nothing
    """

    matrix: Array
    intensity: float


def shrunk_correlation(returns: Array) -> ShrunkCorrelation:
    """Return the sample correlations drawn towards 0 by the intensity of least expected error.

    Source: O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices" (2004), applied to standardised returns, whose target is then the identity.

    Parameters
    ----------
    returns : daily, shape (n_days, n), without NaN. A column that never moves is a stranger to all

    Raises PortfolioError for fewer than two days or NaN.
    """
    if returns.ndim != 2 or len(returns) < 2 or not np.isfinite(returns).all():
        raise PortfolioError(
            f"correlations: shape {returns.shape}; give at least two days x names without NaN"
        )
    days, names = returns.shape
    spread = returns.std(axis=0)
    moving = spread > 0.0
    z = np.where(moving, (returns - returns.mean(axis=0)) / np.where(moving, spread, 1.0), 0.0)
    sample = z.T @ z / days
    centred = sample - np.eye(names) * np.trace(sample) / names
    distance = float((centred**2).sum()) / names
    noise = float(((z**2).T @ (z**2)).sum() / days - (sample**2).sum()) / names / days
    intensity = min(noise, distance) / distance if distance > 0.0 else 0.0
    matrix = (1.0 - intensity) * sample
    np.fill_diagonal(matrix, 1.0)
    return ShrunkCorrelation(matrix, intensity)
