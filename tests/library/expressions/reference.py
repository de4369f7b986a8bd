"""The operators again, written the slow, obvious way.

A history is a list of floats, oldest first; a day is a list of floats. Each function answers for
the last day of the history, or for the whole day.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pandas as pd

NAN = math.nan
Window = Sequence[float]


def rolling(function: Callable[[Window], float], d: int) -> Callable[[np.ndarray], np.ndarray]:
    """Apply to each full window without NaN, else NaN."""

    def strict(window: Window) -> float:
        return NAN if np.isnan(window).any() else function(window)

    return rolling_with_gaps(strict, d)


def rolling_with_gaps(
    function: Callable[[Window], float], d: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Apply to each full window, NaN or not."""

    def run(x: np.ndarray) -> np.ndarray:
        out = np.full(x.shape, NAN)
        for j in range(x.shape[1]):
            for t in range(d - 1, len(x)):
                out[t, j] = function(x[t - d + 1 : t + 1, j])
        return out

    return run


def growing(function: Callable[[Window], float], d: int) -> Callable[[np.ndarray], np.ndarray]:
    """Apply to the last d values, or to what history there is."""

    def run(x: np.ndarray) -> np.ndarray:
        out = np.full(x.shape, NAN)
        for j in range(x.shape[1]):
            for t in range(len(x)):
                out[t, j] = function(x[max(t - d + 1, 0) : t + 1, j])
        return out

    return run


def exact_mean(window: Window) -> Fraction:
    return sum(map(Fraction, window), Fraction(0)) / len(window)


def exact_squares(window: Window) -> Fraction:
    mean = exact_mean(window)
    return sum(((Fraction(value) - mean) ** 2 for value in window), Fraction(0))


def exact_products(x: Window, y: Window) -> Fraction:
    mean_x, mean_y = exact_mean(x), exact_mean(y)
    return sum(
        ((Fraction(a) - mean_x) * (Fraction(b) - mean_y) for a, b in zip(x, y, strict=True)),
        Fraction(0),
    )


def std(window: Window) -> float:
    return math.sqrt(exact_squares(window) / len(window))


def zscore(window: Window) -> float:
    deviation = std(window)
    return NAN if deviation == 0 else float(Fraction(window[-1]) - exact_mean(window)) / deviation


def correlation(x: Window, y: Window) -> float:
    xx, yy = exact_squares(x), exact_squares(y)
    if xx == 0 or yy == 0:
        return NAN
    return float(exact_products(x, y)) / math.sqrt(xx * yy)


def rank_today(window: Window) -> float:
    if len(window) == 1:
        return 0.5
    return (float(pd.Series(window).rank().iloc[-1]) - 1) / (len(window) - 1)


def arg_extreme(window: Window, best: Callable[[Window], float]) -> float:
    newest_first = list(reversed(list(window)))
    return float(newest_first.index(best(newest_first)))


def scaled(window: Window) -> float:
    low, high = min(window), max(window)
    return NAN if low == high else (window[-1] - low) / (high - low)


def decay(window: Window) -> float:
    if np.isnan(window).all():
        return NAN
    weights = np.arange(1, len(window) + 1)
    return float(np.nansum(weights * np.asarray(window)) / weights.sum())


def av_diff(window: Window) -> float:
    if math.isnan(window[-1]):
        return NAN
    return float(window[-1] - np.nanmean(window))


def kth(window: Window, k: int) -> float:
    valid = [value for value in reversed(list(window)) if not math.isnan(value)]
    return valid[k - 1] if len(valid) >= k else NAN


def last_different(window: Window) -> float:
    today = window[-1]
    if math.isnan(today):
        return NAN
    others = [v for v in reversed(list(window)) if not math.isnan(v) and v != today]
    return others[0] if others else NAN


def quantile_today(window: Window) -> float:
    d = len(window)
    return NormalDist().inv_cdf(1 / d + rank_today(window) * (1 - 2 / d))


def day_rank(row: Window) -> list[float]:
    series = pd.Series(np.round(np.asarray(row), 9))
    count = series.notna().sum()
    if count == 1:
        return [0.5 if value == value else NAN for value in row]
    return list((series.rank() - 1) / (count - 1))


def day_zscore(row: Window) -> list[float]:
    values = np.asarray(row)
    deviation = np.nanstd(values) if np.isfinite(values).any() else NAN
    valid = values[~np.isnan(values)]
    if len(valid) == 0 or (valid == valid[0]).all():
        return [NAN] * len(values)
    return list((values - np.nanmean(values)) / deviation)


def by_group(
    function: Callable[[Window], Sequence[float]], row: Window, labels: Sequence[int]
) -> list[float]:
    """Apply to the valid members of each group, NaN elsewhere."""
    out = [NAN] * len(row)
    for label in {label for label in labels if label >= 0}:
        members = [j for j, value in enumerate(row) if labels[j] == label and not math.isnan(value)]
        if not members:
            continue
        for j, value in zip(members, function([row[j] for j in members]), strict=True):
            out[j] = value
    return out
