"""Corrections for a list of tests that was given beforehand.

They hold for a fixed list: a file of ready alphas, a grid, the finalists of a search on days that
the search never saw. They do not hold for the trials of a search that climbs, which chooses its
next trial by the noise of the last one; those need the deflated Sharpe ratio and sealed days.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence.bootstrap import drawn_means
from alphafoundry.evidence.sharpe import Array, daily_pnl, long_run_variance_ratio, moments


def holm(p_values: Any) -> Array:
    """Return p-values adjusted for the family-wise error, under any dependence.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6, 1979.
    """
    p, order = _sorted(p_values)
    steps = np.arange(len(p), 0, -1) * p[order]
    return _restored(np.minimum(np.maximum.accumulate(steps), 1.0), order)


def benjamini_hochberg(p_values: Any) -> Array:
    """Return p-values adjusted for the false discovery rate of independent tests.

    Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 1995.
    """
    adjusted: Array = np.minimum(_unclipped_hochberg(p_values), 1.0)
    return adjusted


def benjamini_yekutieli(p_values: Any) -> Array:
    """Return p-values adjusted for the false discovery rate under any dependence.

    Benjamini and Yekutieli, Annals of Statistics 29, 2001.
    """
    p = np.asarray(p_values, dtype=np.float64)
    harmonic = (1.0 / np.arange(1, len(p) + 1)).sum()
    adjusted: Array = np.minimum(_unclipped_hochberg(p) * harmonic, 1.0)
    return adjusted


def _unclipped_hochberg(p_values: Any) -> Array:
    p, order = _sorted(p_values)
    steps = len(p) / np.arange(1, len(p) + 1) * p[order]
    return _restored(np.minimum.accumulate(steps[::-1])[::-1], order)


def _sorted(p_values: Any) -> tuple[Array, Any]:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise EvidenceError("p-values are a list of numbers from 0 to 1")
    return p, np.argsort(p, kind="stable")


def _restored(steps: Array, order: Any) -> Array:
    result = np.empty_like(steps)
    result[order] = steps
    return result


def t_statistics(pnl: Any) -> Any:
    """Return mean over its long-run standard error, for each series; NaN without variation."""
    found = moments(pnl)
    return found.sharpe * np.sqrt(found.days / np.asarray(long_run_variance_ratio(pnl)))


def romano_wolf(pnl: Any, counts: Array) -> Array:
    """Return p-values, adjusted over the columns, of "the mean of this series is not above 0".

    The step-down of Romano and Wolf, "Stepwise Multiple Testing as Formalized Data Snooping",
    Econometrica 73, 2005, one-sided, with long-run standard errors. The draws are shared, so the
    dependence between the series is kept and alike ones cost one test. The least p-value is
    1 / (draws + 1). A series without variation has a p-value of 1.

    Parameters
    ----------
    pnl : daily PnL of shape (n_days, n_series)
    counts : how often each day is in each draw, from `draw_days`
    """
    x = daily_pnl(pnl)
    x = x[:, None] if x.ndim == 1 else x
    t = np.asarray(t_statistics(x))
    ratio = np.asarray(long_run_variance_ratio(x))
    error = x.std(axis=0) * np.sqrt(ratio / len(x))
    tested = np.isfinite(t)
    p = np.ones(x.shape[1])
    if not tested.any():
        return p
    deviations = (drawn_means(x[:, tested], counts) - x[:, tested].mean(axis=0)) / error[tested]
    order = np.argsort(-t[tested], kind="stable")
    ordered = deviations[:, order]
    # For the k-th best series: the largest deviation among those not yet rejected before it.
    largest = np.maximum.accumulate(ordered[:, ::-1], axis=1)[:, ::-1]
    exceed = (largest >= t[tested][order]).sum(axis=0)
    steps = np.maximum.accumulate((exceed + 1.0) / (len(counts) + 1.0))
    columns = np.flatnonzero(tested)[order]
    p[columns] = steps
    return p
