"""Operators along the history of two or more series: correlation, regression, projection.

A window of d days ends today. Where the definition says nothing else, the answer is NaN until d
days are there and as long as one of them is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import along_time
from alphafoundry.expressions.operators.declaration import declares, number
from alphafoundry.expressions.operators.ranks import (
    RollingRanks,
    means_gap,
    rolling_ranks,
    rolling_ranks_under,
)
from alphafoundry.expressions.operators.time_series_windows import SUM, total
from alphafoundry.expressions.precision import SMALLEST
from alphafoundry.expressions.registry import Input, Kernel, Kind
from alphafoundry.expressions.units import (
    dimensionless,
    of_first,
    of_product,
    of_regression,
)

FloatPanel = NDArray[np.float64]
X = Input("x")
Y = Input("y")
D = Input("d", Kind.LOOKBACK)
CORRELATION, COVARIANCE = range(2)

correlation = along_time("moments", "rolling_comoment", CORRELATION)
_joint = along_time("moments", "rolling_joint_moment")


def _projection(x: FloatPanel, y: FloatPanel, d: int) -> FloatPanel:
    total_of = total(SUM)
    squares, products = total_of(y * y, d), total_of(x * y, d)
    known = (squares > SMALLEST) & (squares < np.inf) & np.isfinite(products)
    result: FloatPanel = np.where(known, y * (products / squares), np.nan)
    return result


def _rank_means_gap(ranks: RollingRanks) -> Kernel:
    return lambda *inputs: means_gap([ranks(values, inputs[-1]) for values in inputs[:-1]])


def _partial_correlation(x: FloatPanel, y: FloatPanel, z: FloatPanel, d: int) -> FloatPanel:
    xy, xz, yz = correlation(x, y, d), correlation(x, z, d), correlation(y, z, d)
    left_x, left_y = 1.0 - xz * xz, 1.0 - yz * yz
    apart = np.minimum(left_x, left_y) >= 1e-12
    result: FloatPanel = np.where(apart, (xy - xz * yz) / np.sqrt(left_x * left_y), np.nan)
    return result


_operator = declares("Time Series", unit=of_first, keeps_nan=True)

OPERATORS = (
    _operator(
        "ts_corr",
        (X, Y, D),
        correlation,
        "Pearson correlation of x and y over d days; NaN where one of them is constant, 0 where "
        "rounding left less than 1e-14.",
        dimensionless,
        commutative=True,
        aliases=("correlation",),
    ),
    _operator(
        "ts_covariance",
        (Y, X, D),
        along_time("moments", "rolling_comoment", COVARIANCE),
        "Population covariance of y and x over d days.",
        of_product,
        commutative=True,
        aliases=("covariance",),
    ),
    _operator(
        "ts_regression",
        (Y, X, D),
        along_time("regression", "rolling_regression"),
        "Least-squares line of y on x (lag days before) over d days, pairs with NaN left out. "
        "rettype 0 error of today, 1 intercept, 2 slope, 3 estimate of today, 4 sum of squared "
        "errors, 5 total sum of squares, 6 R2, 7 mean squared error over n - 2, 8 and 9 standard "
        "errors of slope and intercept. NaN where x is constant.",
        of_regression,
        keywords=(
            number("lag", 0.0, 0.0, whole=True, days=True),
            number("rettype", 0.0, choices=tuple("0123456789")),
        ),
        keeps_nan=False,
    ),
    _operator(
        "ts_triple_corr",
        (X, Y, Input("z"), D),
        lambda x, y, z, d: _joint(x, y, z, d, power=1),
        "Mean of x * y * z over d days, each standardized; NaN where one is constant.",
        dimensionless,
        tier="legacy",
    ),
    _operator(
        "ts_co_skewness",
        (Y, X, D),
        lambda y, x, d: _joint(y, x, x, d, power=1),
        "Mean of y * x^2 over d days, each standardized; NaN where one is constant.",
        dimensionless,
        tier="legacy",
    ),
    _operator(
        "ts_co_kurtosis",
        (Y, X, D),
        lambda y, x, d: _joint(y, x, x, d, power=2),
        "Mean of y * x^3 over d days, each standardized; NaN where one is constant.",
        dimensionless,
        tier="legacy",
    ),
    _operator(
        "ts_theilsen",
        (X, Y, D),
        along_time("median_slopes", "rolling_median_slope"),
        "Median slope of y on x over all pairs of d days; pairs of equal x are left out.",
        lambda _: None,
        tier="legacy",
    ),
    _operator(
        "ts_vector_proj",
        (X, Y, D),
        _projection,
        "Today's part of the projection of x on y over d days: y * sum(x * y) / sum(y^2).",
        tier="legacy",
    ),
    _operator(
        "ts_vector_neut",
        (X, Y, D),
        lambda x, y, d: x - _projection(x, y, d),
        "x minus its projection on y over d days.",
        tier="legacy",
    ),
    _operator(
        "ts_partial_corr",
        (X, Y, Input("z"), D),
        _partial_correlation,
        "Correlation of x and y over d days with the part that z explains taken out; NaN where z "
        "explains one of them wholly.",
        dimensionless,
        tier="legacy",
    ),
    _operator(
        "ts_poly_regression",
        (Y, X, D),
        along_time("fits", "rolling_polynomial"),
        "Today's error of the polynomial of y in x of order k over d days, pairs with NaN or inf "
        "left out. NaN where the x have no more than k different values.",
        keywords=(number("k", 1.0, 1.0, whole=True, maximum=20.0),),
        tier="legacy",
    ),
    _operator(
        "ts_rank_gmean_amean_diff",
        (X, Input("y", many=True), D),
        _rank_means_gap(rolling_ranks),
        "Geometric minus arithmetic mean of the ts_ranks over d days of two or more inputs; NaN "
        "where one is.",
        dimensionless,
        tier="legacy",
        commutative=True,
        conventions=("rank_ties",),
        under=lambda conventions: _rank_means_gap(rolling_ranks_under(conventions)),
    ),
)
