"""Compiled loops over signals and books."""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.compilation import FloatBlock, FloatMatrix, FloatRow, kernel

LEAST_NAMES = 10
"""A correlation over fewer names is left out."""


@kernel
def standardise(weights: FloatMatrix, scores: FloatMatrix) -> None:
    """Fill scores with weights of mean 0 and standard deviation 1 over the names held each day.

    A name without a weight has the score 0; so has every name of a day with fewer than two
    names held, or where all weights are alike.
    """
    scores[:] = 0.0
    for t in range(weights.shape[0]):
        count = 0
        total = 0.0
        for i in range(weights.shape[1]):
            if weights[t, i] != 0.0:
                count += 1
                total += weights[t, i]
        if count < 2:
            continue
        mean = total / count
        squares = 0.0
        largest = 0.0
        for i in range(weights.shape[1]):
            if weights[t, i] != 0.0:
                squares += (weights[t, i] - mean) ** 2
                largest = max(largest, abs(weights[t, i]))
        spread = math.sqrt(squares / count)
        if spread <= 1e-12 * largest:
            continue
        for i in range(weights.shape[1]):
            if weights[t, i] != 0.0:
                scores[t, i] = (weights[t, i] - mean) / spread


@kernel
def information(
    scores: FloatMatrix, residuals: FloatMatrix, volatility: FloatMatrix, found: FloatMatrix
) -> None:
    """Fill found[lag, t] with the correlation of the scores of day t and what came after.

    That is the residual return of day t + 2 + lag over the volatility known on day t, cut to
    four of these, over the names that have both. NaN with fewer than ten names, and where the
    day is beyond the last.
    """
    found[:] = math.nan
    days = scores.shape[0]
    for lag in range(found.shape[0]):
        for t in range(days - 2 - lag):
            count = 0
            sx = 0.0
            sy = 0.0
            sxx = 0.0
            syy = 0.0
            sxy = 0.0
            for i in range(scores.shape[1]):
                x = scores[t, i]
                y = residuals[t + 2 + lag, i] / volatility[t, i]
                if x == 0.0 or not math.isfinite(y):
                    continue
                y = min(max(y, -4.0), 4.0)
                count += 1
                sx += x
                sy += y
                sxx += x * x
                syy += y * y
                sxy += x * y
            if count < LEAST_NAMES:
                continue
            vx = sxx - sx * sx / count
            vy = syy - sy * sy / count
            if vx > 0.0 and vy > 0.0:
                found[lag, t] = (sxy - sx * sy / count) / math.sqrt(vx * vy)


@kernel
def alikeness(scores: FloatBlock, out: FloatMatrix) -> None:
    """Fill out with the mean over days of the products of scores, over the names that both hold.

    scores : shape (n_strategies, n_days, n_instruments). A pair that never holds the same name
    has 0, the diagonal is 1
    """
    for a in range(scores.shape[0]):
        out[a, a] = 1.0
        for b in range(a):
            xy = 0.0
            xx = 0.0
            yy = 0.0
            for t in range(scores.shape[1]):
                for i in range(scores.shape[2]):
                    x = scores[a, t, i]
                    y = scores[b, t, i]
                    xy += x * y
                    xx += x * x
                    yy += y * y
            alike = xy / math.sqrt(xx * yy) if xx > 0.0 and yy > 0.0 else 0.0
            out[a, b] = alike
            out[b, a] = alike


@kernel
def hold_to_weights(
    weights: FloatMatrix,
    returns: FloatMatrix,
    rate: float,
    opening: float,
    value: FloatRow,
    traded: FloatRow,
    cost: FloatRow,
) -> None:
    """Trade to weights[t] of the value before the trade at t, then earn returns[t].

    Costs are taken out of cash, which earns nothing. value[t] is the value before the trade at
    t, its last entry the end. All in the unit of `opening`.
    """
    names = weights.shape[1]
    held = np.zeros(names)
    cash = opening
    for t in range(weights.shape[0]):
        worth = cash
        for i in range(names):
            worth += held[i]
        value[t] = worth
        amount = 0.0
        spent = 0.0
        for i in range(names):
            target = weights[t, i] * worth
            change = target - held[i]
            amount += abs(change)
            spent += change
            held[i] = target
        traded[t] = amount
        cost[t] = rate * amount
        cash -= spent + cost[t]
        for i in range(names):
            if held[i] != 0.0:
                held[i] *= 1.0 + returns[t, i]
    worth = cash
    for i in range(names):
        worth += held[i]
    value[weights.shape[0]] = worth


@kernel
def hold_constant_book(
    weights: FloatMatrix, close: FloatMatrix, dividend: FloatMatrix, book: float, lag: int,
    pnl: FloatRow, traded: FloatRow,
) -> None:  # fmt: skip
    """Fill pnl and traded of a book brought back to weights[t + 1 - lag] * book at each close t.

    Shares are notional: dollars over the close, or over the last known one where the day has
    none. A share earns close + dividend less the close before.
    """
    names = weights.shape[1]
    last = np.full(names, math.nan)
    shares = np.zeros(names)
    before = np.zeros(names)
    for t in range(weights.shape[0]):
        earned = 0.0
        amount = 0.0
        for i in range(names):
            price = close[t, i]
            if math.isfinite(price):
                if shares[i] != 0.0:
                    earned += shares[i] * (price + dividend[t, i] - last[i])
                last[i] = price
            source = t + 1 - lag
            aim = weights[source, i] * book if source >= 0 else 0.0
            if t + 1 < weights.shape[0]:
                amount += abs(aim - before[i])
            before[i] = aim
            shares[i] = aim / last[i] if math.isfinite(last[i]) else 0.0
        pnl[t] = earned
        if t + 1 < weights.shape[0]:
            traded[t + 1] = amount
