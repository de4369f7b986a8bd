"""Does the value at risk keep what it promises: exceptions, their number and their grouping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, chdtrc, xlogy

from alphafoundry.errors import PortfolioError

Array = NDArray[np.float64]
Zone = Literal["green", "yellow", "red"]

DAYS = 250
"""Days that a zone is judged on."""

YELLOW = 0.95
RED = 0.9999
"""Probability of fewer exceptions under a correct model, from which on a zone begins."""


@dataclass(frozen=True)
class LikelihoodRatio:
    """A likelihood-ratio test.

    Attributes
    ----------
    statistic : chi-squared distributed under the hypothesis
    p : probability of at least this statistic under it; NaN where there is nothing to test
    """

    statistic: float
    p: float


@dataclass(frozen=True)
class ExceptionTest:
    """How often a day's loss passed its value at risk.

    Attributes
    ----------
    level : confidence of the value at risk
    days, exceptions : judged, and passed
    zone : Basel's; None below 250 days, since a zone of fewer says little
    kupiec : whether the rate of exceptions is what the level says
    christoffersen : whether an exception makes another the next day more likely
    conditional : both together
    """

    level: float
    days: int
    exceptions: int
    zone: Zone | None
    kupiec: LikelihoodRatio
    christoffersen: LikelihoodRatio
    conditional: LikelihoodRatio

    def __str__(self) -> str:
        colour = f", {self.zone}" if self.zone else f" ({self.days} of {DAYS} days)"
        tests = [
            f"{name} p {test.p:.3f}"
            for name, test in (("Kupiec", self.kupiec), ("Christoffersen", self.christoffersen))
            if math.isfinite(test.p)
        ]
        return (
            f"{self.exceptions} exceptions of {self.level:.0%} VaR in {self.days} days{colour}; "
            f"{', '.join(tests) or 'too few days for a test'}"
        )


def judge_exceptions(returns: Array, value_at_risk: Array, *, level: float = 0.99) -> ExceptionTest:
    """Return the tests of the last 250 days on which both are known.

    Parameters
    ----------
    returns : of the book as it stood at the evening before (hypothetical PnL, without the day's
        trades), fractions, shape (n_days,)
    value_at_risk : foretold for that day, a positive loss, shape (n_days,)

    An exception is a return below minus the value at risk. Raises PortfolioError where the two
    have different shapes.
    """
    if returns.shape != value_at_risk.shape or returns.ndim != 1:
        raise PortfolioError(
            f"{returns.shape} returns for {value_at_risk.shape} values at risk; give one for each"
        )
    known = np.isfinite(returns) & np.isfinite(value_at_risk)
    passed = (returns[known] < -value_at_risk[known])[-DAYS:]
    days, exceptions = len(passed), int(passed.sum())
    count, grouping = kupiec(days, exceptions, level), christoffersen(passed)
    both = count.statistic + grouping.statistic
    return ExceptionTest(
        level=level,
        days=days,
        exceptions=exceptions,
        zone=zone(exceptions, days, level) if days >= DAYS else None,
        kupiec=count,
        christoffersen=grouping,
        conditional=LikelihoodRatio(both, float(chdtrc(2, both)) if days else math.nan),
    )


def kupiec(days: int, exceptions: int, level: float) -> LikelihoodRatio:
    """Return the proportion-of-failures test with one degree of freedom.

    Source: P. Kupiec, "Techniques for Verifying the Accuracy of Risk Measurement Models" (1995).
    No days give a statistic of 0 and p NaN.
    """
    if days == 0:
        return LikelihoodRatio(0.0, math.nan)
    expected, seen = 1.0 - level, exceptions / days
    statistic = -2.0 * (
        _log_likelihood(days, exceptions, expected) - _log_likelihood(days, exceptions, seen)
    )
    return LikelihoodRatio(max(statistic, 0.0), float(chdtrc(1, max(statistic, 0.0))))


def christoffersen(passed: NDArray[np.bool_]) -> LikelihoodRatio:
    """Return the test of independence with one degree of freedom.

    Source: P. Christoffersen, "Evaluating Interval Forecasts" (1998). Fewer than two days, or
    none or nothing but exceptions, give a statistic of 0 and p NaN.
    """
    before, after = passed[:-1], passed[1:]
    moves = {(a, b): int(((before == a) & (after == b)).sum()) for a in (0, 1) for b in (0, 1)}
    calm, hit = moves[0, 0] + moves[0, 1], moves[1, 0] + moves[1, 1]
    if not calm or not hit:
        return LikelihoodRatio(0.0, math.nan)
    hits = moves[0, 1] + moves[1, 1]
    together = _log_likelihood(calm + hit, hits, hits / (calm + hit))
    apart = _log_likelihood(calm, moves[0, 1], moves[0, 1] / calm) + _log_likelihood(
        hit, moves[1, 1], moves[1, 1] / hit
    )
    statistic = max(2.0 * (apart - together), 0.0)
    return LikelihoodRatio(statistic, float(chdtrc(1, statistic)))


def zone(exceptions: int, days: int, level: float) -> Zone:
    """Return the Basel zone: by how likely fewer exceptions are where the model is right.

    Yellow begins where so many or fewer have a probability of 95 %, red where they have 99.99 %:
    for 250 days at 99 % these are 5 and 10. Source: Basel Committee, "Supervisory framework for
    the use of 'backtesting'" (1996).
    """
    probability = float(bdtr(exceptions, days, 1.0 - level))
    if probability >= RED:
        return "red"
    return "yellow" if probability >= YELLOW else "green"


def _log_likelihood(days: int, hits: int, probability: float) -> float:
    return float(xlogy(hits, probability) + xlogy(days - hits, 1.0 - probability))
