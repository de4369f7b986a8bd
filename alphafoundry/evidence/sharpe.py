"""What a Sharpe ratio says once luck is allowed for.

Every Sharpe ratio in this module is daily: mean over population deviation of daily PnL. An annual
one is this times the square root of the bars of a year. Functions that take PnL accept an array of
shape (n_days,) or (n_days, n_series) and answer with a float or an array of shape (n_series,).
A series without variation has no Sharpe ratio: NaN, and NaN in everything that follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence.climbing import climb

Array = NDArray[np.float64]

EULER_GAMMA = 0.5772156649015329
LEAST_EFFECTIVE_DAYS = 100.0
"""Days of equal weight below which a few large days decide, so that no test is made."""

NOISE = 1e-9
"""Deviation over the largest absolute value below which a series counts as constant."""


@dataclass(frozen=True)
class Moments:
    """What the formulas need of daily PnL; floats for one series, arrays for several.

    Attributes
    ----------
    days : number of days
    sharpe : mean over population deviation, daily; NaN where there is no variation
    skewness : third standardised moment
    kurtosis : fourth standardised moment, 3 for a normal distribution
    """

    days: int
    sharpe: Any
    skewness: Any
    kurtosis: Any


def daily_pnl(values: Any) -> Array:
    """Return `values` as float64 of shape (n_days,) or (n_days, n_series).

    Raises EvidenceError where it holds NaN or infinity, or fewer than 2 days.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or len(array) < 2:
        raise EvidenceError(
            f"daily PnL has the shape {array.shape}; days down, and at least 2 of them"
        )
    if not np.isfinite(array).all():
        raise EvidenceError("daily PnL holds NaN or infinite values; leave such days out first")
    return array


def moments(pnl: Any) -> Moments:
    """Return the number of days, daily Sharpe ratio, skewness and kurtosis of daily PnL."""
    x = daily_pnl(pnl)
    mean = x.mean(axis=0)
    centred = x - mean
    deviation = _deviation(x, centred)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = centred / deviation
        sharpe = mean / deviation
    return Moments(
        days=len(x),
        sharpe=_plain(sharpe),
        skewness=_plain((z**3).mean(axis=0)),
        kurtosis=_plain((z**4).mean(axis=0)),
    )


def _deviation(x: Array, centred: Array) -> Array:
    deviation = np.sqrt((centred * centred).mean(axis=0))
    return np.where(deviation > NOISE * np.abs(x).max(axis=0), deviation, np.nan)


def _plain(value: Array) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def sharpe_ratio(pnl: Any) -> Any:
    """Return the daily Sharpe ratio, mean over population deviation; NaN without variation."""
    return moments(pnl).sharpe


def probabilistic_sharpe_ratio(found: Moments, *, threshold: Any = 0.0) -> Any:
    """Return the probability that the true daily Sharpe ratio is above `threshold`.

    Phi((S - S*) sqrt(T - 1) / D) with D as in `sharpe_denominator` (Bailey and Lopez de Prado,
    "The Sharpe Ratio Efficient Frontier", Journal of Risk 15, 2012). NaN where S is.
    """
    scale = np.sqrt(found.days - 1.0) / sharpe_denominator(found)
    return _plain(ndtr((np.asarray(found.sharpe) - threshold) * scale))


def sharpe_denominator(found: Moments) -> Any:
    """Return D = sqrt(1 - g3 S + (g4 - 1)/4 S^2): the deviation of S times sqrt(T - 1)."""
    sharpe = np.asarray(found.sharpe)
    inside = 1.0 - found.skewness * sharpe + (found.kurtosis - 1.0) / 4.0 * sharpe**2
    return _plain(np.sqrt(np.maximum(inside, 0.0)))


def expected_maximum(trials: int) -> float:
    """Return the mean of the largest of `trials` independent standard normal draws.

    Calculated by quadrature, so it is exact for every number of trials: 0 for one, 0.5642 for
    two, 2.508 for a hundred. Raises EvidenceError below one trial.
    """
    _check_trials(trials)
    if trials == 1:
        return 0.0
    top = 9.0
    grid = np.linspace(-top, top, 3601)
    return top - float(np.trapezoid(np.exp(trials * log_ndtr(grid)), grid))


def published_expected_maximum(trials: int) -> float:
    """Return the approximation that the deflated Sharpe ratio was published with.

    (1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e)) with Euler's g (Bailey and Lopez de Prado, "The
    Deflated Sharpe Ratio", Journal of Portfolio Management 40, 2014). It is 0.520 at N = 2, where
    the mean is 0.564, and within one per cent from N = 10 on; 0 at N = 1 by definition.
    """
    _check_trials(trials)
    if trials == 1:
        return 0.0
    upper = ndtri(1.0 - 1.0 / trials)
    far = ndtri(1.0 - 1.0 / (trials * np.e))
    return float((1.0 - EULER_GAMMA) * upper + EULER_GAMMA * far)


def maximum_quantile(trials: int, share: float) -> float:
    """Return what the largest of `trials` standard normal draws stays below with chance `share`."""
    _check_trials(trials)
    return float(ndtri(share ** (1.0 / trials)))


def _check_trials(trials: int) -> None:
    if trials < 1:
        raise EvidenceError(f"{trials} trials: at least one is needed")


@dataclass(frozen=True)
class LuckLine:
    """How good the best of a search looks where there is nothing to find; daily Sharpe ratios.

    Attributes
    ----------
    trials : how many were tried
    days : days that they were tried on
    mean : mean of the best one's Sharpe ratio
    quantile : what the best one stays below in 95 of 100 searches
    """

    trials: int
    days: int
    mean: float
    quantile: float


def luck_line(
    trials: int, days: int, *, sigma: float | None = None, climbing: bool = False
) -> LuckLine:
    """Return the luck line of `trials` trials on `days` days.

    Parameters
    ----------
    sigma : deviation of one trial's daily Sharpe ratio where there is nothing; None is
        1 / sqrt(days). Where PnL is autocorrelated, pass `null_deviation`. The deviation between
        the trials of a real search is not it: real effects spread the trials as well.
    climbing : for a search that chooses its next trial by the last ones: raised by what such
        searches were measured to find beyond independent draws (`climb`)
    """
    scale = 1.0 / np.sqrt(days) if sigma is None else sigma
    more, more_high = climb(trials) if climbing else (0.0, 0.0)
    return LuckLine(
        trials=trials,
        days=days,
        mean=float(scale * (expected_maximum(trials) + more)),
        quantile=float(scale * (maximum_quantile(trials, 0.95) + more_high)),
    )


def deflated_sharpe_ratio(
    found: Moments, *, trials: int, sigma: float | None = None, published: bool = False
) -> Any:
    """Return the probability that the Sharpe ratio is above what `trials` trials give by luck.

    The probabilistic Sharpe ratio against the mean of the luck line.

    Parameters
    ----------
    sigma : as in `luck_line`: the deviation under the null, not that between the trials
    published : use the published approximation of the mean of the maximum
    """
    scale = 1.0 / np.sqrt(found.days) if sigma is None else sigma
    mean = published_expected_maximum(trials) if published else expected_maximum(trials)
    return probabilistic_sharpe_ratio(found, threshold=scale * mean)


def long_run_variance_ratio(pnl: Any) -> Any:
    """Return the long-run variance over the variance, at least 1.

    Bartlett weights with the bandwidth 4 (T/100)^(2/9) of Newey and West ("A Simple, Positive
    Semi-definite, Heteroskedasticity and Autocorrelation Consistent Covariance Matrix",
    Econometrica 55, 1987, and Review of Economic Studies 61, 1994). Below 1, where PnL turns back
    from day to day, it is taken as 1: a test must not gain from a shaky estimate. NaN without
    variation.
    """
    x = daily_pnl(pnl)
    centred = x - x.mean(axis=0)
    variance = _deviation(x, centred) ** 2
    days = len(x)
    lags = min(int(4.0 * (days / 100.0) ** (2.0 / 9.0)), days - 1)
    total = variance.copy()
    for lag in range(1, lags + 1):
        weight = 1.0 - lag / (lags + 1.0)
        total = total + 2.0 * weight * (centred[lag:] * centred[:-lag]).sum(axis=0) / days
    return _plain(np.fmax(total / variance, 1.0) + 0.0 * variance)


def null_deviation(pnl: Any) -> Any:
    """Return the deviation of the daily Sharpe ratio of such PnL where there is nothing."""
    x = daily_pnl(pnl)
    return _plain(np.sqrt(np.asarray(long_run_variance_ratio(x)) / len(x)))


def effective_days(pnl: Any) -> Any:
    """Return (sum x^2)^2 / sum x^4: how many days of equal weight the PnL is worth.

    All days where they are equally large, 1 where one day is everything; 0 where all are zero.
    """
    x = daily_pnl(pnl)
    largest = np.abs(x).max(axis=0)
    squares = (x / np.where(largest > 0.0, largest, 1.0)) ** 2
    fourth = (squares**2).sum(axis=0)
    return _plain(
        np.where(fourth > 0.0, squares.sum(axis=0) ** 2 / np.where(fourth > 0, fourth, 1), 0.0)
    )


def minimum_track_record(found: Moments, *, trials: int = 1, confidence: float = 0.95) -> Any:
    """Return the days that it takes to tell this Sharpe ratio from luck; infinite where none do.

    The least T at which the deflated Sharpe ratio of the same daily moments reaches `confidence`:
    T = ((Z + z D) / S)^2 (+ 1 for a single trial, as published) with Z the expected maximum of the
    trials and D the denominator of the probabilistic Sharpe ratio.
    """
    sharpe = np.asarray(found.sharpe)
    needed = expected_maximum(trials) + ndtri(confidence) * np.asarray(sharpe_denominator(found))
    with np.errstate(divide="ignore", invalid="ignore"):
        days = (needed / sharpe) ** 2 + (1.0 if trials == 1 else 0.0)
    return _plain(np.where(sharpe > 0.0, days, np.where(np.isnan(sharpe), np.nan, np.inf)))


def minimum_backtest_years(trials: int, *, sharpe: float = 1.0) -> float:
    """Return the years below which luck alone gives the best of `trials` this annual Sharpe ratio.

    (expected maximum / Sharpe ratio)^2 (Bailey, Borwein, Lopez de Prado, Zhu,
    "Pseudo-Mathematics and Financial Charlatanism", Notices of the AMS 61, 2014, whose 2 ln N is
    an upper bound of it).
    """
    return (expected_maximum(trials) / sharpe) ** 2
