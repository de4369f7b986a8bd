"""How returns move together: market, industries, statistical components, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import PortfolioError

Array = NDArray[np.float64]

DAYS = 252
COMPONENTS = 10
_PRIOR_DAYS = 60
"""Days that the typical name counts for, where a name's own numbers are shrunk towards it."""
_LEAST_DAYS = 20


@dataclass(frozen=True, eq=False)
class RiskModel:
    """Covariance of daily returns: exposures x factor covariance x exposures' + specific.

    Attributes
    ----------
    exposures : shape (n_instruments, n_factors): beta to the market, membership of industries,
        loadings on components
    factor_covariance : shape (n_factors, n_factors), of daily returns as fractions
    specific : variance a day that the factors leave, shape (n_instruments,), above 0
    """

    exposures: Array
    factor_covariance: Array
    specific: Array

    @cached_property
    def root(self) -> Array:
        """Matrix R of shape (n_factors, n_instruments) with R'R the factors' covariance of names.

        Its rows are scaled by the eigenvalues of the factor covariance; a negative one, which
        only rounding can make, counts as 0.
        """
        values, vectors = np.linalg.eigh(self.factor_covariance)
        scaled: Array = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        return np.asarray(scaled @ self.exposures.T)

    def variance(self, weights: Array) -> float:
        """Return the variance a day of a book with these weights, shape (n_instruments,)."""
        shared = self.root @ weights
        return float(shared @ shared + self.specific @ weights**2)

    def solve(self, values: Array) -> Array:
        """Return covariance^-1 values, shape of `values` (..., n_instruments).

        By the identity of Sherman, Morrison and Woodbury: only a matrix of the factors' size is
        inverted.
        """
        scaled = self.root / self.specific
        inner = np.eye(len(self.root)) + scaled @ self.root.T
        plain = values / self.specific
        found: Array = plain - np.linalg.solve(inner, (plain @ self.root.T).T).T @ scaled
        return found


def fit_risk_model(
    returns: Array, industries: NDArray[np.int32], *, components: int = COMPONENTS
) -> RiskModel:
    """Return the risk model of the given days; every one counts alike.

    The market is the mean return of the names; a name's beta is shrunk towards 1 as if 60 days
    had shown it. An industry's return is the mean of what the market leaves of its names. From
    both variances that of the mean of specific returns, which is noise, is taken off. The
    components are the strongest singular vectors of what both leave. Specific variances are what
    is left in the end, shrunk towards their mean as if 60 days had shown it; a name with fewer
    than 20 returns has the mean alone and no loadings.

    Parameters
    ----------
    returns : daily, shape (n_days, n_instruments), usually 252 days up to yesterday; NaN where
        there is none, which counts as a day on which the factors explain all
    industries : labels of the last day, shape (n_instruments,); below 0 belongs to none
    components : statistical factors at most

    Raises PortfolioError for fewer than 20 days or no name with 20 returns.
    """
    known = np.isfinite(returns)
    counts = known.sum(axis=0)
    enough = counts >= _LEAST_DAYS
    if len(returns) < _LEAST_DAYS or not enough.any():
        raise PortfolioError(
            f"a risk model needs {_LEAST_DAYS} days of returns of at least one name, got "
            f"{len(returns)} days; begin later"
        )
    rest = np.where(known & enough, returns, 0.0)
    market = rest.sum(axis=1) / np.maximum((known & enough).sum(axis=1), 1)
    beta = _shrunk_betas(rest, market, known)
    rest = np.where(known & enough, rest - market[:, None] * beta, 0.0)
    labels = np.unique(industries[industries >= 0])
    member = (industries[:, None] == labels).astype(np.float64)
    sizes = (known & enough).astype(np.float64) @ member
    industry = (rest @ member) / np.maximum(sizes, 1.0)
    rest = np.where(known & enough, rest - industry @ member.T, 0.0)
    # Names weigh alike: otherwise the components would be those few that move most.
    scale = np.where(enough, np.sqrt((rest**2).sum(axis=0) / np.maximum(counts, 1)), 0.0)
    scale = np.where(scale > 0.0, scale, 1.0)
    kept = max(min(components, len(returns) - 1, int(enough.sum()) - 1), 0)
    days, sizes_of, names = np.linalg.svd(rest / scale, full_matrices=False)
    component = days[:, :kept] * sizes_of[:kept]
    loadings = names[:kept].T * scale[:, None]
    rest = np.where(known & enough, rest - component @ loadings.T, 0.0)
    squares = (rest**2).sum(axis=0)
    # Market, industry and each component have taken one of a name's degrees of freedom.
    fitted = min(kept + 2, _LEAST_DAYS - 1)
    typical = float(squares.sum() / max((counts[enough] - fitted).sum(), 1))
    own = np.where(enough, counts - fitted, 0)
    specific = (squares + _PRIOR_DAYS * typical) / (own + _PRIOR_DAYS)
    specific = np.maximum(specific, 1e-10)
    factors = np.column_stack([market, industry, component])
    covariance = np.atleast_2d(np.cov(factors, rowvar=False, bias=True))
    # A mean of names holds their specific risk, too; it must not be counted twice.
    inside = np.column_stack([np.ones(len(enough)), member]) * enough[:, None]
    noise = (inside.T @ specific) / np.maximum(inside.sum(axis=0), 1.0) ** 2
    place = np.arange(len(noise))
    covariance[place, place] -= np.minimum(noise, covariance[place, place])
    return RiskModel(
        exposures=np.column_stack([beta, member, loadings]),
        factor_covariance=_without_negative(covariance),
        specific=specific,
    )


def _without_negative(covariance: Array) -> Array:
    """Return the nearest matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _shrunk_betas(rest: Array, market: Array, known: NDArray[np.bool_]) -> Array:
    own = np.where(known, market[:, None], 0.0)
    squares = (own**2).sum(axis=0)
    prior = _PRIOR_DAYS * float((market**2).mean())
    if prior == 0.0:
        return np.ones(rest.shape[1])
    found: Array = ((rest * own).sum(axis=0) + prior) / (squares + prior)
    return found
