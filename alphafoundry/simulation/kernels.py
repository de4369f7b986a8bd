"""Compiled loops over a panel: decay, weights, and what holding them earns.

Every loop goes over days first, so that a row of instruments stays in the processor's cache, and
releases the GIL, so that simulations run side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def decayed(values, days):  # type: ignore[no-untyped-def]
    """Return the linearly decayed values: weights days..1, today's the largest.

    A day before the first row is left out of numerator and denominator, a NaN counts as 0, and
    today's NaN stays NaN.
    """
    n_days, n_names = values.shape
    result = np.empty_like(values)
    for t in range(n_days):
        back = min(days, t + 1)
        total = 0.0
        for k in range(back):
            total += days - k
        for i in range(n_names):
            result[t, i] = days * values[t, i]
        for k in range(1, back):
            weight = days - k
            for i in range(n_names):
                past = values[t - k, i]
                if past == past:
                    result[t, i] += weight * past
        for i in range(n_names):
            result[t, i] /= total
    return result


@njit(cache=True, nogil=True)
def weighed(values, mask, groups, n_groups, neutralize, truncation):  # type: ignore[no-untyped-def]
    """Return weights with sum of |weight| = 1 on each day, all 0 where nothing is to hold.

    values : (n_days, n_names); NaN and infinities get no position
    mask : who may be held
    groups : 0..n_groups - 1, negative is unknown: these form a group of their own
    truncation : largest |weight| before the last scaling, 0 is off
    """
    n_days, n_names = values.shape
    result = np.zeros((n_days, n_names))
    sums = np.empty(n_groups + 1)
    counts = np.empty(n_groups + 1)
    for t in range(n_days):
        if neutralize:
            sums[:] = 0.0
            counts[:] = 0.0
            for i in range(n_names):
                value = values[t, i]
                if mask[t, i] and np.isfinite(value):
                    g = groups[t, i]
                    if g < 0:
                        g = n_groups
                    sums[g] += value
                    counts[g] += 1.0
            for g in range(n_groups + 1):
                if counts[g] > 0.0:
                    sums[g] /= counts[g]
        gross = 0.0
        largest = 0.0
        for i in range(n_names):
            value = values[t, i]
            if mask[t, i] and np.isfinite(value):
                size = abs(value)
                largest = max(largest, size)
                if neutralize:
                    g = groups[t, i]
                    if g < 0:
                        g = n_groups
                    value -= sums[g]
                result[t, i] = value
                gross += abs(value)
        # Values that are all alike leave rounding noise after the mean is taken away, and noise
        # scaled to a whole book would be a position in nothing.
        if not gross > 1e-12 * largest * n_names:
            for i in range(n_names):
                result[t, i] = 0.0
            continue
        if truncation > 0.0:
            cut = truncation * gross
            gross = 0.0
            for i in range(n_names):
                value = result[t, i]
                if value > cut:
                    value = cut
                elif value < -cut:
                    value = -cut
                result[t, i] = value
                gross += abs(value)
        for i in range(n_names):
            result[t, i] /= gross
    return result


@njit(cache=True, nogil=True)
def held(weights, returns, wait):  # type: ignore[no-untyped-def]
    """Return per day, as shares of the book: profit, traded, longs, shorts, largest |weight|.

    The position of day t is the weights of day t - 1 - wait. A missing return earns 0.
    """
    n_days, n_names = weights.shape
    profit = np.zeros(n_days)
    traded = np.zeros(n_days)
    longs = np.zeros(n_days)
    shorts = np.zeros(n_days)
    largest = np.zeros(n_days)
    lag = 1 + wait
    for t in range(lag, n_days):
        now = t - lag
        for i in range(n_names):
            weight = weights[now, i]
            before = weights[now - 1, i] if now > 0 else 0.0
            traded[t] += abs(weight - before)
            if weight != 0.0:
                earned = returns[t, i]
                if earned == earned:
                    profit[t] += weight * earned
                if weight > 0.0:
                    longs[t] += 1.0
                else:
                    shorts[t] += 1.0
                size = abs(weight)
                largest[t] = max(largest[t], size)
    return profit, traded, longs, shorts, largest
