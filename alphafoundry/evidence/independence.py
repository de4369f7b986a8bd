"""How many trials a search really made: alike ones count together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from alphafoundry.evidence.sharpe import NOISE, Array, daily_pnl

CUT = 0.5
"""Average distance, one minus absolute correlation, up to which trials are one cluster."""

MOST_CLUSTERED = 3000
"""Trials beyond which an even sample of them is clustered; a distance per pair needs memory."""


@dataclass(frozen=True)
class IndependentTrials:
    """How many of the trials are unlike each other.

    Attributes
    ----------
    trials : how many there are
    looked_at : how many were clustered; fewer than `trials` where those were too many
    clusters : groups of trials whose daily PnL moves alike, up to sign
    participation : (sum of eigenvalues)^2 / sum of squares of the correlation matrix
    """

    trials: int
    looked_at: int
    clusters: int
    participation: float


def independent_trials(pnl: Any) -> IndependentTrials:
    """Count the independent trials in daily PnL of shape (n_days, n_trials).

    Clusters by average linkage on 1 - |correlation|, cut at 0.5. Trials that lose as another gains
    are the same idea. A trial without variation is like every other such trial and no other.
    """
    x = daily_pnl(pnl)
    x = x[:, None] if x.ndim == 1 else x
    trials = x.shape[1]
    chosen = x
    if trials > MOST_CLUSTERED:
        chosen = x[:, np.linspace(0, trials - 1, MOST_CLUSTERED).round().astype(int)]
    unit = _standardised(chosen)
    correlation = np.abs(unit.T @ unit)
    return IndependentTrials(
        trials=trials,
        looked_at=chosen.shape[1],
        clusters=_clusters(correlation, idle=~unit.any(axis=0)),
        participation=_participation(_standardised(x) if chosen is not x else unit),
    )


def _standardised(x: Array) -> Array:
    """Return columns with mean 0 and length 1; zeros for one without variation."""
    centred = x - x.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    varies = length > NOISE * np.abs(x).max(axis=0, initial=0.0) * np.sqrt(len(x))
    return np.where(varies, centred / np.where(varies, length, 1.0), 0.0)


def _clusters(correlation: Array, *, idle: Any) -> int:
    if len(correlation) == 1:
        return 1
    distance = 1.0 - np.clip(correlation, 0.0, 1.0)
    distance[np.ix_(idle, idle)] = 0.0
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    return int(fcluster(tree, CUT, criterion="distance").max())


def _participation(unit: Array) -> float:
    varying = unit[:, unit.any(axis=0)]
    if not varying.shape[1]:
        return 1.0
    # The squares of all correlations add up the same from either side.
    small = varying @ varying.T if varying.shape[1] > len(varying) else varying.T @ varying
    return float(varying.shape[1] ** 2 / (small**2).sum())
