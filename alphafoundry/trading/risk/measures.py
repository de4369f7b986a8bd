"""Value at risk and what lies beyond it, by three methods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from alphafoundry.errors import PortfolioError
from alphafoundry.finance.statistics import deviation

Array = NDArray[np.float64]
Method = Literal["historical", "filtered historical", "Cornish-Fisher"]

DECAY = 0.94
"""Weight of yesterday's variance in today's, RiskMetrics' for daily returns."""

WINDOW = 500
"""Days that a method looks back at."""

LEAST_DAYS = 100
"""Fewer days have no 99 % tail."""


@dataclass(frozen=True)
class TailRisk:
    """Loss of the next day that is passed with a small probability; positive is a loss.

    Attributes
    ----------
    method, level : how, and with which confidence (0.99)
    value_at_risk : as a fraction of equity
    shortfall : conditional value at risk, the mean loss of that tail, as a fraction of equity
    """

    method: Method
    level: float
    value_at_risk: float
    shortfall: float


def tail_risk(returns: Array, level: float, method: Method) -> TailRisk:
    """Return the value at risk and the conditional value at risk of the next day.

    Parameters
    ----------
    returns : daily, as fractions of equity, oldest first, shape (n_days,); usually what the
        present book would have earned. A NaN is refused
    level : confidence between 0.5 and 1
    method : "historical" takes the returns as they are. "filtered historical" scales each by the
        volatility of tomorrow over that of its day, both exponentially weighted with 0.94
        (J. Hull and A. White 1998). "Cornish-Fisher" corrects the normal quantile z by skewness s
        and excess kurtosis k: z + (z^2 - 1) s / 6 + (z^3 - 3 z) k / 24 - (2 z^3 - 5 z) s^2 / 36;
        its shortfall is the mean of that over the tail, by quadrature

    Raises PortfolioError for fewer than 100 days, NaN, an unknown method or level.
    """
    x = _returns(returns)
    if not 0.5 < level < 1.0:
        raise PortfolioError(f"level: {level} is out of range; give 0.5 to 1, such as 0.99")
    if method == "historical":
        var, shortfall = historical(x, level)
    elif method == "filtered historical":
        var, shortfall = historical(filtered(x), level)
    elif method == "Cornish-Fisher":
        var, shortfall = _cornish_fisher(x, level)
    else:
        raise PortfolioError(
            f"unknown method {method!r}; choose one of {', '.join(get_args(Method))}"
        )
    return TailRisk(method, level, var, shortfall)


def historical(returns: Array, level: float) -> tuple[float, float]:
    """Return empirical value at risk and conditional value at risk, losses positive.

    With k = (1 - level) n, the first is the loss of the (floor k + 1)-th worst day, the second
    the mean of the k worst, the last of them in part (R. T. Rockafellar and S. Uryasev 2002).
    NaN for no days.
    """
    if not len(returns):
        return math.nan, math.nan
    # A product such as 0.05 * 100 may come out a rounding above or below 5.
    tail = (1.0 - level) * len(returns)
    tail = round(tail) if abs(tail - round(tail)) < 1e-9 * len(returns) else tail
    whole = math.floor(tail)
    worst = np.sort(returns)[: whole + 1]
    var = -float(worst[min(whole, len(worst) - 1)])
    if tail <= 0.0:
        return var, var
    beyond = float(worst[:whole].sum()) + (tail - whole) * -var
    return var, -beyond / tail


def filtered(returns: Array) -> Array:
    """Return the returns as tomorrow's volatility would have them, shape of `returns`.

    The variance of a day is 0.94 of the day before plus 0.06 of that day's squared return; it
    starts as the mean square of all, which tells no day apart. Days whose volatility is 0 stay.
    """
    squares = returns**2
    variance = np.empty(len(returns) + 1)
    variance[0] = squares.mean()
    for t, square in enumerate(squares):
        variance[t + 1] = DECAY * variance[t] + (1.0 - DECAY) * square
    spread = np.sqrt(variance)
    ratio = np.divide(spread[-1], spread[:-1], out=np.ones(len(returns)), where=spread[:-1] > 0.0)
    found: Array = returns * ratio
    return found


def _returns(returns: Array) -> Array:
    x = np.asarray(returns, dtype=np.float64)
    if x.ndim != 1 or len(x) < LEAST_DAYS:
        raise PortfolioError(
            f"tail risk: shape {x.shape}; give at least {LEAST_DAYS} daily returns of one book"
        )
    if not np.isfinite(x).all():
        raise PortfolioError("tail risk: a return is no number; leave that day out")
    return x


def _cornish_fisher(x: Array, level: float) -> tuple[float, float]:
    mean, spread = float(x.mean()), deviation(x)
    if spread == 0.0:
        return -mean, -mean
    z = (x - mean) / spread
    skew, excess = float((z**3).mean()), float((z**4).mean()) - 3.0

    def quantile(at: Array) -> Array:
        corrected: Array = (
            at
            + (at**2 - 1.0) * skew / 6.0
            + (at**3 - 3.0 * at) * excess / 24.0
            - (2.0 * at**3 - 5.0 * at) * skew**2 / 36.0
        )
        return corrected

    # The mean of a cubic in z over the normal tail is known: no sampling of the tail is needed.
    at = float(ndtri(1.0 - level))
    height = math.exp(-at * at / 2.0) / math.sqrt(2.0 * math.pi) / (1.0 - level)
    first, second, third = -height, 1.0 - at * height, -(at * at + 2.0) * height
    tail = (
        first
        + (second - 1.0) * skew / 6.0
        + (third - 3.0 * first) * excess / 24.0
        - (2.0 * third - 5.0 * first) * skew**2 / 36.0
    )
    value = float(quantile(np.array([at]))[0])
    return -(mean + spread * value), -(mean + spread * tail)
