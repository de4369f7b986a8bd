"""What models learn from: scores of alphas by day and name, and what came after.

A sample of day t is known at its close; its position is taken a day later and earns the return of
t + 2, as with every alpha of delay 1. So a model that is tested from day s on may be trained on
samples up to s - 1 - 2 (the purge: later ones share returns with the test) less the embargo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from alphafoundry.errors import EvidenceError
from alphafoundry.market.groups import beyond_group
from alphafoundry.market.panel import Panel

Array = NDArray[np.float64]

HORIZON = 2
"""Days from a sample to the return that it is about."""

LEAST_NAMES = 10
_MOST_DEVIATIONS = 4.0


@dataclass(frozen=True, eq=False)
class Samples:
    """Features and targets.

    Attributes
    ----------
    dates : datetime64[D] of shape (n_days,)
    features : shape (n_days, n_instruments, n_features); 0 where an alpha says nothing
    target : what the name earned beyond its industry on day t + 2, in deviations of that day's
        names, cut to 4, shape (n_days, n_instruments); NaN where it is not known
    """

    dates: NDArray[np.datetime64]
    features: Array
    target: Array

    def __post_init__(self) -> None:
        if self.features.shape[:2] != self.target.shape or len(self.dates) != len(self.target):
            raise EvidenceError(
                f"features of shape {self.features.shape} do not fit targets of shape "
                f"{self.target.shape} on {len(self.dates)} days"
            )

    def __len__(self) -> int:
        return len(self.dates)

    def rows(
        self, start: int, end: int, *, most: int, seed: int, window: int = 1
    ) -> tuple[Array, Array]:
        """Return features, as `looked_at` gives them, and targets of days `start` up to `end`.

        Names of which an alpha says nothing, or whose target is not known, are left out; of more
        than `most` samples so many are drawn.
        """
        said = np.isfinite(self.target[start:end]) & (self.features[start:end] != 0.0).any(axis=2)
        places = np.flatnonzero(said)
        if len(places) > most:
            draw = np.random.default_rng(seed)
            places = np.sort(draw.choice(places, size=most, replace=False))
        days, names = np.unravel_index(places, said.shape)
        return self.looked_at(days + start, names, window), self.target[days + start, names]

    def looked_at(self, days: NDArray[np.intp], names: NDArray[np.intp], window: int = 1) -> Array:
        """Return the features of some days and names, both of shape (n_samples,).

        Shape (n_samples, n_features) with a window of one day; otherwise those of so many days up
        to each day, shape (n_samples, window, n_features), 0 before the first.
        """
        if window == 1:
            single: Array = self.features[days, names]
            return single
        rows = days[:, None] - np.arange(window - 1, -1, -1)
        found: Array = self.features[np.maximum(rows, 0), names[:, None]]
        found[rows < 0] = 0.0
        return found


def samples_of(panel: Panel, scores: Array, *, days: int) -> Samples:
    """Return the samples of the last days of a market.

    Parameters
    ----------
    panel : the market as it is known, such as `panel.until(day)`
    scores : of the alphas, shape (n_alphas, n_days, n_instruments); days after the panel's are
        left out
    days : the last ones that are kept
    """
    count = len(panel.dates)
    start = max(0, count - days)
    target = np.full((count - start, len(panel.symbols)), np.nan)
    target[:-HORIZON] = _residuals(panel, start)[HORIZON:]
    return Samples(
        panel.dates[start:],
        np.ascontiguousarray(np.moveaxis(scores[:, start:count], 0, 2)),
        target,
    )


def walk_forward(
    days: int, *, folds: int, embargo: int, least: int
) -> Iterator[tuple[slice, slice]]:
    """Yield (train, test) days of growing windows, the purge and the embargo between them.

    Parameters
    ----------
    days : to split; the first `least` of them are never tested
    embargo : days that are left out beyond the purge of `HORIZON` days

    Raises EvidenceError where the days do not give every fold a test of 20 days.
    """
    size = (days - least) // folds
    if size < 20 or least <= HORIZON + embargo:
        raise EvidenceError(
            f"{days} days are too few for {folds} folds of 20 after the first {least}"
        )
    for number in range(folds):
        start = least + number * size
        end = days if number == folds - 1 else start + size
        yield slice(0, start - HORIZON - embargo), slice(start, end)


def rank_information(predicted: Array, target: Array) -> Array:
    """Return the rank correlation of predictions and targets each day, shape (n_days,).

    NaN where fewer than 10 names have both, or either is the same for all.
    """
    found = np.full(len(predicted), np.nan)
    for day, (one, other) in enumerate(zip(predicted, target, strict=True)):
        both = np.isfinite(one) & np.isfinite(other) & (one != 0.0)
        if both.sum() < LEAST_NAMES or np.ptp(one[both]) == 0.0 or np.ptp(other[both]) == 0.0:
            continue
        found[day] = np.corrcoef(rankdata(one[both]), rankdata(other[both]))[0, 1]
    return found


def _residuals(panel: Panel, start: int) -> Array:
    """Return returns beyond the mean of their industry, over the deviation of the day's names."""
    returns = panel.fields["returns"][start:]
    groups = panel.groups.get("industry", panel.groups["market"])[start:]
    found = np.full(returns.shape, np.nan)
    for day in range(len(returns)):
        own = beyond_group(returns[day], groups[day])
        known = np.isfinite(own)
        if known.sum() < LEAST_NAMES:
            continue
        spread = own[known].std()
        if spread > 0.0:
            found[day] = np.clip(own / spread, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)
    return found
