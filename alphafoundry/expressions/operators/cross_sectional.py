"""Operators across the instruments of each day.

NaN cells are left out and stay NaN. So are infinite ones, except that ranks take them as values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import across
from alphafoundry.expressions.operators.declaration import DRIVER, declares, flag, number
from alphafoundry.expressions.operators.drivers import inverse_distribution
from alphafoundry.expressions.operators.ranks import Ranks, day_ranks, day_ranks_under, means_gap
from alphafoundry.expressions.operators.regressions import regression_errors
from alphafoundry.expressions.registry import Input, Kernel, Keyword, KeywordKind
from alphafoundry.expressions.units import of_first, of_normalized

FloatPanel = NDArray[np.float64]
X = Input("x")
Y = Input("y")

_scaled = across("cross_section", "scaled")
_neutralized = across("cross_section", "neutralized")


def _rank(ranks: Ranks) -> Kernel:
    """Rank exactly at every rate: the approximation that a rate allows is not needed."""
    return lambda x, rate: ranks(x)


def _quantile(ranks: Ranks) -> Kernel:
    def kernel(x: FloatPanel, driver: str, sigma: float) -> FloatPanel:
        found = ranks(x)
        count = np.sum(~np.isnan(found), axis=1, keepdims=True)
        shifted = 1.0 / count + found * (1.0 - 2.0 / count)
        result: FloatPanel = sigma * inverse_distribution(shifted, driver)
        return result

    return kernel


def _scale(
    x: FloatPanel, scale: float, longscale: float | None, shortscale: float | None
) -> FloatPanel:
    if longscale is None and shortscale is None:
        return _scaled(x, scale, math.nan, math.nan)
    return _scaled(
        x, scale, 1.0 if longscale is None else longscale, 1.0 if shortscale is None else shortscale
    )


def _rank_means_gap(ranks: Ranks) -> Kernel:
    return lambda *inputs: means_gap([ranks(values) for values in inputs])


def _rank_by_side(ranks: Ranks) -> Kernel:
    def kernel(x: FloatPanel, rate: float, scale: float) -> FloatPanel:
        above = ranks(np.where(x > 0, x, np.nan))
        below = ranks(np.where(x < 0, -x, np.nan))
        ranked = np.where(x > 0, above, np.where(x < 0, -below, x))
        return _scaled(ranked, scale, math.nan, math.nan) if scale else ranked

    return kernel


def _generalized_rank(x: FloatPanel, m: float) -> FloatPanel:
    if m == 0:
        ranks = day_ranks(np.where(np.isfinite(x), x, np.nan))
        count = np.sum(~np.isnan(ranks), axis=1, keepdims=True)
        result: FloatPanel = (2.0 * ranks - 1.0) * (count - 1)
        return result
    return across("pairs", "pairwise_ranks")(x, m)


def _multi_regression(*panels: FloatPanel) -> FloatPanel:
    return regression_errors(panels, np.zeros(panels[0].shape, np.int32))


def _one_side(x: FloatPanel, side: str) -> FloatPanel:
    finite = np.isfinite(x)
    if side == "long":
        edge = np.min(np.where(finite, x, np.inf), axis=1, keepdims=True, initial=np.inf)
    else:
        edge = np.max(np.where(finite, x, -np.inf), axis=1, keepdims=True, initial=-np.inf)
    shifted: FloatPanel = np.where(finite, x - edge, np.nan)
    return shifted


_operator = declares("Cross Sectional", keeps_nan=True)


def _of_ranks(made: Callable[[Ranks], Kernel]) -> dict[str, Any]:
    """Return the attributes of an operator whose kernel is made from what ranks a day."""
    return {
        "conventions": ("rank_ties",),
        "under": lambda conventions: made(day_ranks_under(conventions)),
    }


OPERATORS = (
    _operator(
        "normalize",
        (X,),
        across("cross_section", "normalized"),
        "x minus the day's mean; useStd=true divides by the population standard deviation, a limit "
        "other than 0 then clips to -limit..limit.",
        of_normalized,
        keywords=(flag("useStd"), number("limit", 0.0, 0.0)),
    ),
    _operator(
        "quantile",
        (X,),
        _quantile(day_ranks),
        "rank r of n names, moved to s = 1/n + r * (1 - 2/n), through the inverse distribution of "
        "the driver (gaussian, cauchy) or s - 0.5 (uniform), times sigma.",
        keywords=(
            DRIVER,
            number("sigma", 1.0),
        ),
        **_of_ranks(_quantile),
    ),
    _operator(
        "rank",
        (X,),
        _rank(day_ranks),
        "Rank of the day, evenly spaced from 0 (lowest) to 1. Equal values share the mean of their "
        "ranks, for which no rule is published (convention rank_ties); a single name gets 0.5. "
        "Values that differ by less than about 1e-9 of the day's typical distance between names "
        "are equal, so that rounding noise makes no order. Every rate sorts exactly.",
        keywords=(number("rate", 2.0),),
        idempotent=True,
        **_of_ranks(_rank),
    ),
    _operator(
        "scale",
        (X,),
        _scale,
        "x times what makes the day's sum of |x| equal to scale. With longscale or shortscale "
        "given, positive and negative sides are scaled to these sums by themselves.",
        keywords=(
            number("scale", 1.0),
            number("longscale", None, 0.0),
            number("shortscale", None, 0.0),
        ),
    ),
    _operator(
        "scale_down",
        (X,),
        across("cross_section", "scaled_to_range"),
        "(x - min) / (max - min) of the day, minus constant; NaN where all are equal.",
        keywords=(number("constant", 0.0),),
        tier="ext",
    ),
    _operator(
        "truncate",
        (X,),
        across("cross_section", "truncated"),
        "x limited to maxPercent of the day's sum of |x|, on either side.",
        of_first,
        keywords=(number("maxPercent", 0.01, 0.0),),
        tier="ext",
    ),
    _operator(
        "vector_neut",
        (X, Y),
        lambda x, y: _neutralized(x, y, False),
        "x minus its projection on y, over the day's names that have both.",
        of_first,
        tier="ext",
    ),
    _operator(
        "regression_neut",
        (Y, X),
        lambda y, x: _neutralized(y, x, True),
        "Residual of the day's regression of y on x with intercept.",
        of_first,
        tier="ext",
    ),
    _operator(
        "winsorize",
        (X,),
        across("cross_section", "winsorized"),
        "x limited to the day's mean plus and minus std population standard deviations.",
        of_first,
        keywords=(number("std", 4.0, 0.0),),
    ),
    _operator(
        "zscore",
        (X,),
        across("cross_section", "normalized", True, 0.0),
        "(x - mean) / population standard deviation of the day; NaN where all are equal.",
    ),
    _operator(
        "rank_gmean_amean_diff",
        (X, Input("y", many=True)),
        _rank_means_gap(day_ranks),
        "Geometric minus arithmetic mean of the ranks of two or more inputs; NaN where one is.",
        tier="legacy",
        commutative=True,
        **_of_ranks(_rank_means_gap),
    ),
    _operator(
        "rank_by_side",
        (X,),
        _rank_by_side(day_ranks),
        "Positive and negative values ranked apart by their distance from 0, each from 0 to 1 as "
        "by rank, with the sign of x; then the day's sum of |ranks| is made equal to scale, unless "
        "that is 0. How ranks and scale go together is not published, and the default of scale is "
        "stated as both 1 and 0.",
        keywords=(number("rate", 2.0), number("scale", 1.0, 0.0)),
        tier="legacy",
        **_of_ranks(_rank_by_side),
    ),
    _operator(
        "generalized_rank",
        (X,),
        _generalized_rank,
        "Sum of |x - other|^m over the day's lower values minus that over its higher ones; m=0 "
        "orders as rank does. Other values of m than 0 and 1 compare every two names.",
        keywords=(number("m", 1.0, 0.0),),
        tier="legacy",
    ),
    _operator(
        "multi_regression",
        (Y, Input("x", many=True)),
        _multi_regression,
        "Residual of the day's regression of y on one or more x with intercept. An x that the "
        "others already give changes nothing; NaN where none of them varies.",
        of_first,
        tier="legacy",
    ),
    _operator(
        "one_side",
        (X,),
        _one_side,
        "x minus the day's smallest (side=long) or largest (side=short), so all are on one side.",
        of_first,
        keywords=(Keyword("side", KeywordKind.TEXT, "long", choices=("long", "short")),),
        tier="legacy",
    ),
    _operator(
        "vector_proj",
        (X, Y),
        lambda x, y: x - _neutralized(x, y, False),
        "Projection of x on y, over the day's names that have both.",
        of_first,
        tier="legacy",
    ),
    _operator(
        "regression_proj",
        (Y, X),
        lambda y, x: y - _neutralized(y, x, True),
        "Estimate of the day's regression of y on x with intercept.",
        of_first,
        tier="legacy",
    ),
)
