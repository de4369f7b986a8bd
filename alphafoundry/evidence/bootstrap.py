"""Bands around statistics of daily PnL by the stationary block bootstrap.

Days are drawn in blocks of random length, so that what hangs together from day to day stays
together (Politis and Romano, "The Stationary Bootstrap", JASA 89, 1994). A draw is kept as how
often each day is in it: the sums of all series over all draws are then two matrix products, and
series that share the draws keep their dependence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence.sharpe import NOISE, Array, daily_pnl

DRAWS = 1000


@dataclass(frozen=True)
class Band:
    """A statistic and what chance alone moves it between; floats, or arrays over series.

    Attributes
    ----------
    value : of the series itself
    low, high : the 5 % and the 95 % quantile over the draws, or the quantiles that were asked for
    """

    value: Any
    low: Any
    high: Any


def block_length(pnl: Any) -> float:
    """Return the mean block length that suits one series, at least 1 day.

    Politis and White, "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric
    Reviews 23, 2004, as corrected by Patton, Politis and White, Econometric Reviews 28, 2009: the
    flat-top window reaches twice as far as the last autocorrelation that counts. 1 for a series
    without variation.
    """
    x = daily_pnl(pnl)
    if x.ndim != 1:
        raise EvidenceError("a block length belongs to one series; give one column")
    days = len(x)
    centred = x - x.mean()
    variance = float(centred @ centred) / days
    if variance <= (NOISE * np.abs(x).max(initial=0.0)) ** 2:
        return 1.0
    quiet = max(5, int(np.sqrt(np.log10(days))))
    farthest = min(int(np.ceil(np.sqrt(days))) + quiet, days - 1)
    covariance = (
        np.array([centred[lag:] @ centred[: days - lag] for lag in range(farthest + 1)]) / days
    )
    small = np.abs(covariance[1:] / variance) < 2.0 * np.sqrt(np.log10(days) / days)
    last = _last_that_counts(small, quiet)
    reach = min(2 * max(last, 1), farthest)
    lags = np.arange(1, reach + 1)
    window = np.clip(2.0 * (1.0 - lags / reach), 0.0, 1.0)
    slope = 2.0 * float((window * lags * covariance[1 : reach + 1]).sum())
    spectrum = variance + 2.0 * float((window * covariance[1 : reach + 1]).sum())
    if spectrum <= 0.0:
        return 1.0
    length = (slope**2 / spectrum**2 * days) ** (1.0 / 3.0)
    most = np.ceil(min(3.0 * np.sqrt(days), days / 3.0))
    return float(np.clip(length, 1.0, most))


def _last_that_counts(small: NDArray[np.bool_], quiet: int) -> int:
    """Return the lag before the first `quiet` small autocorrelations in a row."""
    run = 0
    for lag, is_small in enumerate(small, start=1):
        run = run + 1 if is_small else 0
        if run == quiet:
            return lag - quiet
    counts = np.flatnonzero(~small)
    return int(counts[-1]) + 1 if len(counts) else 0


def common_block_length(pnl: Any) -> float:
    """Return the median block length of the columns of (n_days, n_series), for shared draws."""
    x = daily_pnl(pnl)
    columns = x[:, None] if x.ndim == 1 else x
    return float(np.median([block_length(column) for column in columns.T]))


def draw_days(
    days: int, *, generator: np.random.Generator, mean_block: float, draws: int = DRAWS
) -> Array:
    """Return how often each day is in each draw: float64 of shape (draws, days).

    Each row adds up to `days`. Blocks have geometric lengths with mean `mean_block` and run on
    from the last day to the first.
    """
    if mean_block < 1.0:
        raise EvidenceError(f"a mean block length of {mean_block:g} days: at least 1 is needed")
    starts = generator.integers(days, size=(draws, days))
    begins = generator.random((draws, days)) < 1.0 / mean_block
    begins[:, 0] = True
    places = np.maximum.accumulate(np.where(begins, np.arange(days), 0), axis=1)
    rows = np.arange(draws)[:, None]
    chosen = (starts[rows, places] + np.arange(days) - places) % days
    counts = np.bincount((chosen + rows * days).ravel(), minlength=draws * days)
    return counts.reshape(draws, days).astype(np.float64)


def drawn_means(pnl: Any, counts: Array) -> Array:
    """Return the mean of each series in each draw: (draws,) or (draws, n_series)."""
    x = daily_pnl(pnl)
    _check(x, counts)
    return np.asarray(counts @ x / len(x))


def drawn_sharpe_ratios(pnl: Any, counts: Array) -> Array:
    """Return the daily Sharpe ratio of each series in each draw; NaN without variation."""
    x = daily_pnl(pnl)
    _check(x, counts)
    # About the mean of all days, so that squares of large numbers do not cancel.
    centre = x.mean(axis=0)
    shifted = x - centre
    mean = counts @ shifted / len(x)
    variance = counts @ (shifted * shifted) / len(x) - mean**2
    floor = (NOISE * np.abs(x).max(axis=0)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > floor, (mean + centre) / np.sqrt(variance), np.nan)


def drawn_with_gaps(pnl: Any, counts: Array) -> tuple[Array, Array]:
    """Return (mean, deviation) of each series in each draw, each of shape (draws, n_series).

    pnl : shape (n_days, n_series); a day with NaN is no day of that series. Where a draw has none
    of a series' days both are NaN
    """
    x = np.asarray(pnl, dtype=np.float64)
    _check(x, counts)
    present = ~np.isnan(x)
    centre = np.nanmean(x, axis=0)
    shifted = np.where(present, x - centre, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        days = counts @ present
        mean = counts @ shifted / days
        variance = counts @ shifted**2 / days - mean**2
        return mean + centre, np.sqrt(np.maximum(variance, 0.0))


def _check(x: Array, counts: Array) -> None:
    if counts.shape[1] != len(x):
        raise EvidenceError(f"draws of {counts.shape[1]} days do not fit PnL of {len(x)} days")


def band(drawn: Array, value: Any, *, low: float = 0.05, high: float = 0.95) -> Band:
    """Return the band of a statistic from its value in each draw, of shape (draws, ...)."""
    bounds = np.nanquantile(drawn, [low, high], axis=0)
    if bounds.ndim == 1:
        return Band(value, float(bounds[0]), float(bounds[1]))
    return Band(value, bounds[0], bounds[1])
