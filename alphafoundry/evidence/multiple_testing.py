"""The correction for many tests at once, of a list that was given beforehand.

It holds for a fixed list, such as the finalists of a search on days that the search never saw. It
does not hold for the trials of a search that climbs, which chooses its next trial by the noise of
the last one; those need the deflated Sharpe ratio and sealed days.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from alphafoundry.evidence.bootstrap import drawn_means
from alphafoundry.evidence.sharpe import Array, daily_pnl, long_run_variance_ratio, moments


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
