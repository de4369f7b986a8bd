"""What is to be expected of each of many trials: their Sharpe ratios, shrunk by what all say.

A Sharpe ratio that stands alone among trials that move alike is luck more often than one that they
share. So the trials are turned into the principal components of their daily PnL, and each component
is believed as far as its part in what moves the trials allows: a component that moves few of them
a little would need a mean out of all proportion, and keeps next to nothing of it. The prior is that
of Kozak, Nagel and Santosh (2020), *Shrinking the cross-section*: the mean of a component is normal
around 0 with a variance in proportion to the square of the component's variance, thus its squared
Sharpe ratio in proportion to its variance. How large it is, is learnt from the trials themselves by
maximum likelihood: where there is nothing but luck, next to nothing is left of any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_VARIANCE = 1e-3
"""Components with less variance, one trial having 1, are other forms of the rest and left out."""

SPREADS = np.geomspace(1e-3, 1e2, 101)
"""What the likelihood is compared at: squared Sharpe ratio of a component for each unit of its
variance, luck having 1."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shrunk:
    """What is to be expected of trials.

    Attributes
    ----------
    sharpe : expected annual Sharpe ratios, shape (n_trials,); of the sign that is more likely
    spread : what was learnt, one of `SPREADS`; at the least of them the trials differ by luck alone
    """

    sharpe: Array
    spread: float


def shrunk_sharpe_ratios(
    sharpe: Any, days: Any, correlation: Any, *, periods: float, built: Any = None
) -> Shrunk:
    """Return the Sharpe ratios that are to be expected of trials, given those that they had.

    Parameters
    ----------
    sharpe : annual, of each trial on its own days, shape (n_trials,)
    days : that it is of, at least 1, shape (n_trials,); trials that move alike are expected to earn
        alike, whatever their days
    correlation : of the daily PnL, shape (n_trials, n_trials), with 1 on the diagonal; 0 where it
        is not known, which takes the two as unlike. Where pairs were measured on different days it
        need not be one that trials can have: no trial is then more than wholly made of components
    periods : bars of a year
    built : whether a trial was made from others because these were good, shape (n_trials,); such a
        one is a wish and no witness: it is told what the others say of it, and says nothing itself.
        None, or true of all, hears all

    A trial that was left out because it was weak makes the rest look stronger than they are. A
    Sharpe ratio that is not finite raises ValueError.
    """
    observed = np.asarray(sharpe, dtype=np.float64)
    if not len(observed):
        return Shrunk(observed, float(SPREADS[0]))
    if not np.isfinite(observed).all():
        raise ValueError("a Sharpe ratio to be shrunk is not a finite number")
    years = np.maximum(np.asarray(days, dtype=np.float64), 1.0) / periods
    likeness = np.asarray(correlation, dtype=np.float64)
    heard = np.ones(len(observed), dtype=bool) if built is None else ~np.asarray(built, dtype=bool)
    if not heard.any():
        heard = ~heard
    variance, vectors = np.linalg.eigh(likeness[np.ix_(heard, heard)])
    kept = variance > LEAST_VARIANCE
    variance, vectors = variance[kept], vectors[:, kept]
    axes = vectors / np.sqrt(variance)
    # In standard errors, so that luck has a variance of 1 in every component.
    component = axes.T @ (observed * np.sqrt(years))[heard]
    # Standard errors of a component for each unit of its annual Sharpe ratio.
    scale = (vectors**2).T @ np.sqrt(years[heard])
    signal = variance * scale**2 / years[heard].mean()
    total = SPREADS[:, None] * signal + 1.0
    likelihood = -0.5 * (np.log(total) + component**2 / total).sum(axis=1)
    spread = float(SPREADS[int(np.argmax(likelihood))])
    believed = component * (spread * signal / (spread * signal + 1.0)) / scale
    loading = likeness[:, heard] @ axes
    loading /= np.maximum(np.linalg.norm(loading, axis=1, keepdims=True), 1.0)
    return Shrunk(np.asarray(loading @ believed, dtype=np.float64), spread)
