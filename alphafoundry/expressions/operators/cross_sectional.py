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
from alphafoundry.expressions.operators.drivers import DRIVERS, inverse_distribution
from alphafoundry.expressions.registry import Input, Keyword, KeywordKind, Operator
from alphafoundry.expressions.units import UnitRule, dimensionless, of_first, of_normalized

FloatPanel = NDArray[np.float64]
X = Input("x")
Y = Input("y")

_ranks = across("ranking", "ranks")
_scaled = across("cross_section", "scaled")
_neutralized = across("cross_section", "neutralized")


def _rank(x: FloatPanel, rate: float) -> FloatPanel:
    """Rank exactly at every rate: the approximation that a rate allows is not needed."""
    return _ranks(x)


def _quantile(x: FloatPanel, driver: str, sigma: float) -> FloatPanel:
    ranks = _ranks(x)
    count = np.sum(~np.isnan(ranks), axis=1, keepdims=True)
    shifted = 1.0 / count + ranks * (1.0 - 2.0 / count)
    return sigma * inverse_distribution(shifted, driver)


def _scale(
    x: FloatPanel, scale: float, longscale: float | None, shortscale: float | None
) -> FloatPanel:
    if longscale is None and shortscale is None:
        return _scaled(x, scale, math.nan, math.nan)
    return _scaled(
        x, scale, 1.0 if longscale is None else longscale, 1.0 if shortscale is None else shortscale
    )


def _rank_means_gap(*inputs: FloatPanel) -> FloatPanel:
    ranks = [_ranks(values) for values in inputs]
    product, total = ranks[0], ranks[0]
    for values in ranks[1:]:
        product, total = product * values, total + values
    return product ** (1.0 / len(ranks)) - total / len(ranks)


def _one_side(x: FloatPanel, side: str) -> FloatPanel:
    finite = np.isfinite(x)
    if side == "long":
        edge = np.min(np.where(finite, x, np.inf), axis=1, keepdims=True, initial=np.inf)
    else:
        edge = np.max(np.where(finite, x, -np.inf), axis=1, keepdims=True, initial=-np.inf)
    shifted: FloatPanel = np.where(finite, x - edge, np.nan)
    return shifted


def _operator(
    name: str,
    inputs: tuple[Input, ...],
    kernel: Callable[..., Any],
    definition: str,
    unit: UnitRule = dimensionless,
    *,
    keywords: tuple[Keyword, ...] = (),
    tier: str = "base",
    idempotent: bool = False,
) -> Operator:
    return Operator(
        name,
        "Cross Sectional",
        inputs,
        definition,
        kernel,
        unit,
        keywords=keywords,
        tier=tier,
        keeps_nan=True,
        idempotent=idempotent,
    )


def _number(name: str, default: float | None, minimum: float | None = None) -> Keyword:
    return Keyword(name, KeywordKind.NUMBER, default, minimum=minimum)


OPERATORS = (
    _operator(
        "normalize",
        (X,),
        across("cross_section", "normalized"),
        "x minus the day's mean; useStd=true divides by the population standard deviation, a limit "
        "other than 0 then clips to -limit..limit.",
        of_normalized,
        keywords=(Keyword("useStd", KeywordKind.BOOLEAN, False), _number("limit", 0.0, 0.0)),
    ),
    _operator(
        "quantile",
        (X,),
        _quantile,
        "rank r of n names, moved to s = 1/n + r * (1 - 2/n), through the inverse distribution of "
        "the driver (gaussian, cauchy) or s - 0.5 (uniform), times sigma.",
        keywords=(
            Keyword("driver", KeywordKind.TEXT, "gaussian", choices=DRIVERS),
            _number("sigma", 1.0),
        ),
    ),
    _operator(
        "rank",
        (X,),
        _rank,
        "Rank of the day, evenly spaced from 0 (lowest) to 1. Equal values share the mean of their "
        "ranks, a single name gets 0.5. Values are rounded to 9 decimals before they are compared "
        "(finer where the day's typical size is below 0.001), so that rounding noise makes no "
        "order. Every rate sorts exactly.",
        keywords=(_number("rate", 2.0),),
        idempotent=True,
    ),
    _operator(
        "scale",
        (X,),
        _scale,
        "x times what makes the day's sum of |x| equal to scale. With longscale or shortscale "
        "given, positive and negative sides are scaled to these sums by themselves.",
        keywords=(
            _number("scale", 1.0),
            _number("longscale", None, 0.0),
            _number("shortscale", None, 0.0),
        ),
    ),
    _operator(
        "scale_down",
        (X,),
        across("cross_section", "scaled_to_range"),
        "(x - min) / (max - min) of the day, minus constant; NaN where all are equal.",
        keywords=(_number("constant", 0.0),),
        tier="ext",
    ),
    _operator(
        "truncate",
        (X,),
        across("cross_section", "truncated"),
        "x limited to maxPercent of the day's sum of |x|, on either side.",
        of_first,
        keywords=(_number("maxPercent", 0.01, 0.0),),
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
        keywords=(_number("std", 4.0, 0.0),),
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
        _rank_means_gap,
        "Geometric minus arithmetic mean of the ranks of two or more inputs.",
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
