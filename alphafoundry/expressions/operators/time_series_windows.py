"""Operators along the history of one series: lags, and statistics of a window of days.

A window of d days ends today. Where the definition says nothing else, the answer is NaN until d
days are there and as long as one of them is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import along_time
from alphafoundry.expressions.conventions import Conventions
from alphafoundry.expressions.operators.declaration import DRIVER, declares, flag, number
from alphafoundry.expressions.operators.drivers import distribution, inverse_distribution
from alphafoundry.expressions.operators.ranks import (
    RollingRanks,
    rolling_ranks,
    rolling_ranks_under,
)
from alphafoundry.expressions.registry import Input, Kernel, Keyword, KeywordKind, Kind
from alphafoundry.expressions.units import (
    dimensionless,
    of_first,
    of_window_product,
)

FloatPanel = NDArray[np.float64]
X = Input("x")
D = Input("d", Kind.LOOKBACK)
SUM, PRODUCT, MIN, MAX = range(4)
STD, ZSCORE, RATIO = range(3)
_change = along_time("windows", "shifted", True)
_delay = along_time("windows", "shifted", False)
_scale = along_time("totals", "rolling_scale")
deviation = along_time("moments", "rolling_deviation", STD)


def total(mode: int) -> Callable[..., FloatPanel]:
    """Return what takes the SUM, PRODUCT, MIN or MAX of a window: called with x and d."""
    return along_time("totals", "rolling_total", mode, 1.0)


_minimum, _maximum, _product = total(MIN), total(MAX), total(PRODUCT)


def mean(x: FloatPanel, d: int) -> FloatPanel:
    """Return the mean of d days."""
    return along_time("totals", "rolling_total", SUM, 1.0 / d)(x, d)


def _scaled(x: FloatPanel, d: int, constant: float) -> FloatPanel:
    out = np.empty(x.shape)
    _scale.kernel(x, d, constant, _minimum(x, d), _maximum(x, d), out, 0, x.shape[1])
    return out


def _rank(ranks: RollingRanks) -> Kernel:
    return lambda x, d, constant: ranks(x, d) + constant if constant else ranks(x, d)


def _quantile(ranks: RollingRanks) -> Kernel:
    def kernel(x: FloatPanel, d: int, driver: str) -> FloatPanel:
        shifted = 1.0 / d + ranks(x, d) * (1.0 - 2.0 / d)
        return inverse_distribution(shifted, driver)

    return kernel


def _quantile_of_zscore(x: FloatPanel, d: int, driver: str) -> FloatPanel:
    zscore = along_time("moments", "rolling_deviation", ZSCORE)(x, d)
    return distribution(zscore * math.sqrt((d - 1) / d), driver)


def _quantile_under(conventions: Conventions) -> Kernel:
    if conventions.ts_quantile == "zscore":
        return _quantile_of_zscore
    return _quantile(rolling_ranks_under(conventions))


def _step(step: FloatPanel) -> FloatPanel:
    return np.cumsum(step, axis=0)


def _returns(x: FloatPanel, d: int, mode: float) -> FloatPanel:
    before = _delay(x, d)
    return (x - before) / (before if mode == 1 else (x + before) / 2)


def _kurtosis(x: FloatPanel, d: int) -> FloatPanel:
    return along_time("moments", "rolling_standardized_moment", 4, True)(x, d) - 3.0


def _moment(x: FloatPanel, d: int, k: float) -> FloatPanel:
    return along_time("moments", "rolling_standardized_moment", int(k), False)(x, d)


def _weighted_decay(x: FloatPanel, k: float) -> FloatPanel:
    return k * x + (1.0 - k) * _delay(x, 1)


DELAY = Input("d", Kind.LOOKBACK, minimum=0)


_operator = declares("Time Series", unit=of_first, keeps_nan=True)

OPERATORS = (
    _operator(
        "inst_tvr",
        (X, D),
        along_time("windows", "relative_change_total"),
        "Sum of |daily changes| over d days over the sum of the values.",
        dimensionless,
        tier="ext",
        extra_days=1,
    ),
    _operator(
        "ts_arg_max",
        (X, D),
        along_time("windows", "rolling_arg_extreme", 1.0),
        "How many days ago the largest of d values was, 0 is today; the most recent of equals.",
        dimensionless,
        aliases=("ts_argmax",),
    ),
    _operator(
        "ts_arg_min",
        (X, D),
        along_time("windows", "rolling_arg_extreme", -1.0),
        "How many days ago the smallest of d values was, 0 is today; the most recent of equals.",
        dimensionless,
        aliases=("ts_argmin",),
    ),
    _operator(
        "ts_av_diff",
        (X, D),
        along_time("windows", "mean_gap"),
        "x minus its mean over d days, NaN left out of the mean; NaN where today is.",
    ),
    _operator(
        "ts_count_nans",
        (X, D),
        along_time("windows", "count_missing"),
        "Number of NaN in the last d days.",
        dimensionless,
        keeps_nan=False,
    ),
    _operator(
        "ts_decay_exp_window",
        (X, D),
        along_time("windows", "exponential_decay"),
        "Mean of d days with weights factor^(days ago), NaN counted as 0. nan=true gives NaN where "
        "today is NaN, nan=false gives 0 where all are.",
        keywords=(number("factor", 1.0), flag("nan", True)),
        tier="ext",
        keeps_nan=False,
    ),
    _operator(
        "ts_decay_linear",
        (X, D),
        along_time("windows", "linear_decay"),
        "Mean of d days with weights d (today) down to 1. dense=false counts NaN as 0, and is NaN "
        "where all are; dense=true is NaN where any is.",
        keywords=(flag("dense"),),
        keeps_nan=False,
        aliases=("decay_linear",),
    ),
    _operator(
        "ts_delay",
        (X, DELAY),
        _delay,
        "The value d trading days ago.",
        aliases=("delay",),
        keeps_nan=False,
    ),
    _operator(
        "ts_delta",
        (X, DELAY),
        _change,
        "x minus its value d trading days ago.",
        aliases=("delta",),
    ),
    _operator("ts_max", (X, D), _maximum, "Largest of d days.", tier="ext"),
    _operator("ts_min", (X, D), _minimum, "Smallest of d days.", tier="ext"),
    _operator("ts_mean", (X, D), mean, "Mean of d days."),
    _operator(
        "ts_median",
        (X, D),
        along_time("windows", "rolling_percentile", 0.5),
        "Median of d days.",
        tier="ext",
    ),
    _operator("ts_product", (X, D), _product, "Product of d days.", of_window_product),
    _operator(
        "ts_quantile",
        (X, D),
        _quantile(rolling_ranks),
        "ts_rank r, moved to s = 1/d + r * (1 - 2/d), through the inverse distribution of the "
        "driver (gaussian, cauchy) or s - 0.5 (uniform). The catalogue's example is the "
        "distribution of the z-score instead (convention ts_quantile).",
        dimensionless,
        keywords=(DRIVER,),
        conventions=("ts_quantile", "rank_ties"),
        under=_quantile_under,
    ),
    _operator(
        "ts_rank",
        (X, D),
        _rank(rolling_ranks),
        "Rank of today's value among the last d, from 0 to 1, plus constant. Equal values share "
        "the mean of their ranks (convention rank_ties); with d = 1 it is 0.5. Values that "
        "differ by less than about 1e-9 of the window's typical distance between days are equal.",
        dimensionless,
        keywords=(number("constant", 0.0),),
        conventions=("rank_ties",),
        under=lambda conventions: _rank(rolling_ranks_under(conventions)),
    ),
    _operator(
        "ts_scale",
        (X, D),
        _scaled,
        "(x - min) / (max - min) over d days, plus constant; NaN where all are equal.",
        dimensionless,
        keywords=(number("constant", 0.0),),
    ),
    _operator(
        "ts_std_dev",
        (X, D),
        deviation,
        "Population standard deviation of d days; exactly 0 where all are equal.",
        aliases=("ts_stddev", "stddev"),
    ),
    _operator(
        "ts_step",
        (Input("step", Kind.NUMBER),),
        _step,
        "Counter of days: step on the first, growing by step.",
        dimensionless,
        keeps_nan=False,
    ),
    _operator("ts_sum", (X, D), total(SUM), "Sum of d days."),
    _operator(
        "ts_zscore",
        (X, D),
        along_time("moments", "rolling_deviation", ZSCORE),
        "(x - mean) / population standard deviation over d days; NaN where all are equal.",
        dimensionless,
    ),
    _operator(
        "ts_entropy",
        (X, D),
        along_time("windows", "rolling_entropy"),
        "log(d) - sum(h * log(h)) / d, with h the counts of d days in equal buckets of the range.",
        dimensionless,
        keywords=(number("buckets", 10.0, 1.0, whole=True, maximum=1000.0),),
        tier="legacy",
    ),
    _operator(
        "log_diff",
        (X,),
        lambda x: np.log(x) - np.log(_delay(x, 1)),
        "Natural logarithm of x minus that of yesterday's x.",
        dimensionless,
        tier="legacy",
        extra_days=1,
    ),
    _operator(
        "ts_returns",
        (X, D),
        _returns,
        "Change over d days relative to the value d days ago (mode=1) or to the mean of both "
        "(mode=2).",
        dimensionless,
        keywords=(number("mode", 1.0, choices=("1", "2")),),
        tier="legacy",
    ),
    _operator(
        "ts_ir",
        (X, D),
        along_time("moments", "rolling_deviation", RATIO),
        "Mean over population standard deviation of d days; NaN where all are equal.",
        dimensionless,
        tier="legacy",
    ),
    _operator(
        "ts_moment",
        (X, D),
        _moment,
        "The k-th central moment of d days.",
        lambda _: None,
        keywords=(number("k", 0.0, 0.0, whole=True),),
        tier="legacy",
    ),
    _operator(
        "ts_skewness",
        (X, D),
        along_time("moments", "rolling_standardized_moment", 3, True),
        "Third standardized moment of d days, population form; NaN where all are equal.",
        dimensionless,
        tier="legacy",
    ),
    _operator(
        "ts_kurtosis",
        (X, D),
        _kurtosis,
        "Fourth standardized moment of d days minus 3, population form; NaN where all are equal.",
        dimensionless,
        tier="legacy",
    ),
    _operator(
        "ts_percentage",
        (X, D),
        along_time("windows", "rolling_percentile"),
        "Percentile of d days, by straight line between neighbours; 0.5 is the median.",
        keywords=(Keyword("percentage", KeywordKind.NUMBER, 0.5, minimum=0.0, maximum=1.0),),
        tier="legacy",
    ),
    _operator(
        "ts_weighted_decay",
        (X,),
        _weighted_decay,
        "k times today plus (1 - k) times yesterday.",
        keywords=(number("k", 0.5),),
        tier="legacy",
        extra_days=1,
    ),
    _operator(
        "ts_min_diff",
        (X, D),
        lambda x, d: x - _minimum(x, d),
        "x minus the smallest of d days.",
        tier="legacy",
    ),
    _operator(
        "ts_max_diff",
        (X, D),
        lambda x, d: x - _maximum(x, d),
        "x minus the largest of d days.",
        tier="legacy",
    ),
    _operator(
        "ts_min_max_diff",
        (X, D),
        lambda x, d, f: x - f * (_minimum(x, d) + _maximum(x, d)),
        "x minus f times (smallest + largest of d days).",
        keywords=(number("f", 0.5),),
        tier="legacy",
    ),
    _operator(
        "ts_min_max_cps",
        (X, D),
        lambda x, d, f: _minimum(x, d) + _maximum(x, d) - f * x,
        "Smallest plus largest of d days, minus f times x.",
        keywords=(number("f", 2.0),),
        tier="legacy",
    ),
)
