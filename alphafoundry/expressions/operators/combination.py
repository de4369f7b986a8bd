"""Operators of the `combo` of a SUPER alpha, which weighs the selected alphas day by day.

There a matrix has one column per selected alpha, shape (n_days, n_alphas), so that every operator
on matrices works across alphas as it does across instruments elsewhere. `alpha` stands for the
selected alphas themselves (ALPHAS), generate_stats(alpha) for their daily statistics
(STATISTICS), and self_corr gives a number per day and pair of alphas (PAIRS).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.operators.time_series_relations import correlation
from alphafoundry.expressions.operators.time_series_windows import deviation, mean
from alphafoundry.expressions.registry import Input, Keyword, KeywordKind, Kind, Operator

FloatPanel = NDArray[np.float64]

STATISTICS = (
    "drawdown",
    "hold_pnl",
    "hold_shares",
    "hold_value",
    "long_count",
    "long_value",
    "pnl",
    "returns",
    "short_count",
    "short_value",
    "trade_pnl",
    "trade_shares",
    "trade_value",
    "turnover",
)
"""What generate_stats knows of every alpha and day, by BRAIN's names."""

MODES = ("algo1", "algo2", "algo3")
COMBO = ("COMBO",)


class Alphas(Protocol):
    """The selected alphas, as the kernels here see them."""

    def statistic(self, name: str) -> FloatPanel:
        """Return one of `STATISTICS`, shape (n_days, n_alphas)."""


def _generate_stats(alpha: Alphas, statistic: str) -> FloatPanel:
    return alpha.statistic(statistic)


def _combo_a(alpha: Alphas, nlength: float, mode: str) -> FloatPanel:
    returns = np.ascontiguousarray(alpha.statistic("returns"))
    days = min(int(nlength), len(returns) + 1)
    average = np.maximum(mean(returns, days), 0.0)
    spread = deviation(returns, days)
    spread = np.where(spread > 0, spread, np.nan)
    if mode == "algo1":
        return np.asarray(average / spread)
    if mode == "algo2":
        return np.asarray(average / spread**2)
    return np.where(average > 0, 1.0, average) / spread


def _self_corr(input: FloatPanel, d: int, first: int, last: int) -> FloatPanel:
    """Return the pairs of alphas first..last-1 with all, shape (n_days, last - first, n_alphas).

    An alpha's correlation with itself is exactly 1, so that `== 1.0` finds it.
    """
    days, count = input.shape
    found = np.empty((days, last - first, count))
    for row, alpha in enumerate(range(first, last)):
        one = np.ascontiguousarray(np.broadcast_to(input[:, alpha : alpha + 1], input.shape))
        found[:, row] = correlation(one, input, d)
        itself = found[:, row, alpha]
        itself[~np.isnan(itself)] = 1.0
    return found


ALPHA = Input("alpha", Kind.ALPHAS)

OPERATORS = (
    Operator(
        "generate_stats",
        "Transformational",
        (ALPHA,),
        "Daily statistics of every selected alpha; generate_stats(alpha).pnl and the like choose "
        "one, also of a variable that it was assigned to. pnl and the values are dollars of a "
        "book of 20 million, returns and turnover shares of the book, drawdown the fall of "
        "cumulative PnL from its peak over half the book. hold_ is what was kept from the day "
        "before, trade_ what was bought or sold; shares are counted at the close before. NaN "
        "before an alpha's first position.",
        _generate_stats,
        keywords=(Keyword("statistic", KeywordKind.TEXT, None, STATISTICS),),
        tier="super",
        scope=COMBO,
        output=Kind.STATISTICS,
    ),
    Operator(
        "combo_a",
        "Group",
        (ALPHA,),
        "Weighs alphas by their daily returns against how much they vary over nlength days. The "
        "formulas are not published; here algo1 is mean / standard deviation, algo2 mean / "
        "variance, algo3 1 / standard deviation, and an alpha whose mean is not positive gets 0.",
        _combo_a,
        keywords=(
            Keyword("nlength", KeywordKind.NUMBER, 250.0, minimum=2, whole=True, days=True),
            Keyword("mode", KeywordKind.TEXT, "algo1", MODES),
        ),
        tier="super",
        scope=COMBO,
    ),
    Operator(
        "self_corr",
        "Special",
        (Input("input"), Input("d", Kind.LOOKBACK, minimum=2)),
        "Correlation of the input of every alpha with that of every other over d days, a matrix "
        "of alphas by alphas for each day; exactly 1 with itself. Only operators that work cell "
        "by cell take it as it is; reduce_ operators make one number per alpha of it.",
        _self_corr,
        tier="super",
        scope=COMBO,
        output=Kind.PAIRS,
    ),
)
