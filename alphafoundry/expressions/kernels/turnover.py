"""Smoothing whose strength is set each day, so that turnover meets a target.

Turnover of a day is the sum of |changes| of the answer over the sum of |yesterday's answer|. The
strength is found from what is known that day. NaN gives NaN, and the next value starts afresh.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel

_HALVINGS = 50


@kernel
def _start(x: FloatPanel, t: int, out: FloatPanel) -> float:
    """Fill row t with yesterday's answers, or x where there is none; return their sum of sizes."""
    held = 0.0
    for j in range(x.shape[1]):
        before = out[t - 1, j] if t > 0 else math.nan
        if math.isfinite(before) and math.isfinite(x[t, j]):
            out[t, j] = before
            held += abs(before)
        else:
            out[t, j] = x[t, j]
    return held


@kernel
def target_decay(x: FloatPanel, least: float, most: float, target: float, out: FloatPanel) -> None:
    """Fill out with s * yesterday's answer + (1 - s) * x, s from least to most."""
    for t in range(x.shape[0]):
        held = _start(x, t, out)
        gap = 0.0
        for j in range(x.shape[1]):
            if math.isfinite(x[t, j]):
                gap += abs(x[t, j] - out[t, j])
        strength = 1.0 - target * held / gap if gap > 0.0 else least
        strength = min(max(strength, least), most)
        for j in range(x.shape[1]):
            out[t, j] += (1.0 - strength) * (x[t, j] - out[t, j])


@kernel
def _limited_total(x: FloatPanel, y: FloatPanel, t: int, share: float, out: FloatPanel) -> float:
    total = 0.0
    for j in range(x.shape[1]):
        change = abs(x[t, j] - out[t, j])
        limit = share * abs(y[t, j])
        if math.isfinite(change) and math.isfinite(limit):
            total += min(change, limit)
    return total


@kernel
def target_delta_limit(
    x: FloatPanel, y: FloatPanel, least: float, most: float, target: float, out: FloatPanel
) -> None:
    """Fill out with x moving at most s * |y| a day from its last answer, s from least to most."""
    for t in range(x.shape[0]):
        wanted = target * _start(x, t, out)
        low = least
        high = most
        if _limited_total(x, y, t, high, out) > wanted:
            for _ in range(_HALVINGS):
                middle = 0.5 * (low + high)
                if _limited_total(x, y, t, middle, out) > wanted:
                    high = middle
                else:
                    low = middle
            share = low
        else:
            share = high
        for j in range(x.shape[1]):
            limit = share * abs(y[t, j])
            change = x[t, j] - out[t, j]
            if math.isnan(limit):
                out[t, j] = math.nan
            else:
                out[t, j] += min(max(change, -limit), limit)


@kernel
def _hump_limit(changes: NDArray[np.float64], wanted: float) -> float:
    """Return the least limit whose moves add up to what is wanted, or that of the most moves.

    changes : sorted. Each change above the limit moves by the limit, others not at all.
    """
    best = 0.0
    limit = 0.0
    for i in range(changes.shape[0]):
        count = changes.shape[0] - i
        if wanted < changes[i] * count:
            return float(wanted / count)
        if changes[i] * count > best:
            best = changes[i] * count
            limit = changes[i] * (1.0 - 1e-12)
    return limit


@kernel
def target_hump(x: FloatPanel, least: float, most: float, target: float, out: FloatPanel) -> None:
    """Fill out with x moving by s * (sum of |x| over the day) where it changed by more than that.

    A smaller change is not followed. s from least to most.
    """
    changes = np.empty(x.shape[1])
    for t in range(x.shape[0]):
        wanted = target * _start(x, t, out)
        size = 0.0
        count = 0
        for j in range(x.shape[1]):
            change = abs(x[t, j] - out[t, j])
            if math.isfinite(x[t, j]):
                size += abs(x[t, j])
                if change > 0.0:
                    changes[count] = change
                    count += 1
        moving = np.sort(changes[:count])
        limit = min(max(_hump_limit(moving, wanted), least * size), most * size)
        for j in range(x.shape[1]):
            change = x[t, j] - out[t, j]
            if change > limit:
                out[t, j] += limit
            elif change < -limit:
                out[t, j] -= limit
