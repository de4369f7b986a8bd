"""Operators along the history of each instrument.

A window of d days ends today. Where the definition says nothing else, the answer is NaN until d
days are there and as long as one of them is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import across, along_time
from alphafoundry.expressions.conventions import Conventions
from alphafoundry.expressions.operators.drivers import (
    DRIVERS,
    distribution,
    inverse_distribution,
)
from alphafoundry.expressions.operators.means import means_gap
from alphafoundry.expressions.operators.ties import (
    RollingRanks,
    rolling_ranks,
    rolling_ranks_under,
)
from alphafoundry.expressions.registry import (
    Input,
    Kernel,
    Keyword,
    KeywordKind,
    Kind,
    Operator,
    Option,
)
from alphafoundry.expressions.units import (
    UnitRule,
    dimensionless,
    of_first,
    of_product,
    of_regression,
    of_window_product,
)

FloatPanel = NDArray[np.float64]
X = Input("x")
Y = Input("y")
D = Input("d", Kind.LOOKBACK)
SUM, PRODUCT, MIN, MAX = range(4)
STD, ZSCORE, RATIO = range(3)
CORRELATION, COVARIANCE = range(2)

_change = along_time("windows", "shifted", True)
_delay = along_time("windows", "shifted", False)
_scale = along_time("totals", "rolling_scale")
_filtered = along_time("filters", "recursive_filter")
_changed = along_time("memory", "days_since_change")
_deviation = along_time("moments", "rolling_deviation", STD)
_kth = along_time("memory", "kth_recent")
_jump = along_time("memory", "jump_decay")
_humped = along_time("memory", "hump")
_joint = along_time("moments", "rolling_joint_moment")


def _total(mode: int) -> Callable[..., FloatPanel]:
    return along_time("totals", "rolling_total", mode, 1.0)


_minimum, _maximum, _product = _total(MIN), _total(MAX), _total(PRODUCT)


def _hump(x: FloatPanel, hump: float) -> FloatPanel:
    totals = np.empty((len(x), 1))
    across("cross_section", "day_totals").fill(totals, x)
    return _humped(x, totals, hump)


def _hump_by_amount(x: FloatPanel, hump: float) -> FloatPanel:
    return _humped(x, np.ones((len(x), 1)), hump)


def _with_turnover(function: str) -> Callable[..., FloatPanel]:
    """Return a kernel that goes through the days one after another, all columns at a time."""
    compiled = across("turnover", function)

    def kernel(*inputs: FloatPanel, **options: float) -> FloatPanel:
        out = np.empty(inputs[0].shape)
        compiled.kernel(*inputs, *options.values(), out)
        return out

    return kernel


def _wrong_strengths(values: Mapping[str, Option]) -> str | None:
    least, most = values["lambda_min"], values["lambda_max"]
    if isinstance(least, float) and isinstance(most, float) and least > most:
        return 'Got invalid value for attribute "lambda_min", must be at most lambda_max'
    return None


def _projection(x: FloatPanel, y: FloatPanel, d: int) -> FloatPanel:
    total = _total(SUM)
    squares = total(y * y, d)
    result: FloatPanel = np.where(squares > 0, y * total(x * y, d) / squares, np.nan)
    return result


def _mean(x: FloatPanel, d: int) -> FloatPanel:
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


def _rank_means_gap(ranks: RollingRanks) -> Kernel:
    return lambda *inputs: means_gap([ranks(values, inputs[-1]) for values in inputs[:-1]])


def _days_since_change(conventions: Conventions) -> Kernel:
    return (lambda x: _changed(x) + 1.0) if conventions.last_change == "one" else _changed


def _filter(x: FloatPanel, h: tuple[float, ...], t: tuple[float, ...]) -> FloatPanel:
    return _filtered(x, np.array(h), np.array(t, dtype=np.float64))


def _wrong_filter(values: Mapping[str, Option]) -> str | None:
    if not isinstance(values["h"], tuple) or not values["h"]:
        return 'Required attribute "h" must have a value'
    for name in ("h", "t"):
        given = values[name]
        if isinstance(given, tuple) and any(map(math.isnan, given)):
            return f'Got invalid value for attribute "{name}", must be numbers separated by commas'
    return None


def _keep(x: FloatPanel, condition: FloatPanel, period: float) -> FloatPanel:
    kept: FloatPanel = np.where(_changed(condition) <= period, x, np.nan)
    return kept


def _split_ignored(ignore: tuple[float, ...]) -> tuple[FloatPanel, bool]:
    values = np.array([value for value in ignore if not math.isnan(value)])
    return values, any(map(math.isnan, ignore))


def _kth_element(x: FloatPanel, d: int, k: float, ignore: tuple[float, ...]) -> FloatPanel:
    return _kth(x, d, int(k), *_split_ignored(ignore), False)


def _backfill(x: FloatPanel, d: int, k: float, ignore: tuple[float, ...]) -> FloatPanel:
    return _kth(x, d, int(k), *_split_ignored(ignore), True)


def _step(step: FloatPanel) -> FloatPanel:
    return np.cumsum(step, axis=0)


def _jump_decay(
    x: FloatPanel, d: int, sensitivity: float, force: float, stddev: bool
) -> FloatPanel:
    return _jump(x, _deviation(x, d), sensitivity, force, stddev)


def _returns(x: FloatPanel, d: int, mode: float) -> FloatPanel:
    before = _delay(x, d)
    return (x - before) / (before if mode == 1 else (x + before) / 2)


def _kurtosis(x: FloatPanel, d: int) -> FloatPanel:
    return along_time("moments", "rolling_standardized_moment", 4, True)(x, d) - 3.0


def _moment(x: FloatPanel, d: int, k: float) -> FloatPanel:
    return along_time("moments", "rolling_standardized_moment", int(k), False)(x, d)


def _weighted_decay(x: FloatPanel, k: float) -> FloatPanel:
    return k * x + (1.0 - k) * _delay(x, 1)


def _partial_correlation(x: FloatPanel, y: FloatPanel, z: FloatPanel, d: int) -> FloatPanel:
    correlation = along_time("moments", "rolling_comoment", CORRELATION)
    xy, xz, yz = correlation(x, y, d), correlation(x, z, d), correlation(y, z, d)
    left_x, left_y = 1.0 - xz * xz, 1.0 - yz * yz
    apart = np.minimum(left_x, left_y) >= 1e-12
    result: FloatPanel = np.where(apart, (xy - xz * yz) / np.sqrt(left_x * left_y), np.nan)
    return result


def _operator(
    name: str,
    inputs: tuple[Input, ...],
    kernel: Callable[..., Any],
    definition: str,
    unit: UnitRule = of_first,
    *,
    keywords: tuple[Keyword, ...] = (),
    aliases: tuple[str, ...] = (),
    agree: tuple[int, ...] | None = (),
    tier: str = "base",
    keeps_nan: bool = True,
    commutative: bool = False,
    extra_days: int = 0,
    reads_day: bool = False,
    check: Callable[[Mapping[str, Option]], str | None] | None = None,
    conventions: tuple[str, ...] = (),
    under: Callable[[Conventions], Kernel] | None = None,
) -> Operator:
    return Operator(
        name,
        "Time Series",
        inputs,
        definition,
        kernel,
        unit,
        agree,
        keywords,
        aliases,
        tier,
        commutative=commutative,
        keeps_nan=keeps_nan,
        extra_days=extra_days,
        reads_day=reads_day,
        check=check,
        conventions=conventions,
        under=under,
    )


def _number(name: str, default: float, minimum: float | None = None, **more: Any) -> Keyword:
    return Keyword(name, KeywordKind.NUMBER, default, minimum=minimum, **more)


def _strengths() -> tuple[Keyword, ...]:
    """Return the keywords of operators that meet a turnover."""
    share = {"minimum": 0.0, "maximum": 1.0}
    return (
        _number("lambda_min", 0.0, **share),
        _number("lambda_max", 1.0, **share),
        _number("target_tvr", 0.1, 0.0),
    )


def _driver() -> Keyword:
    return Keyword("driver", KeywordKind.TEXT, "gaussian", choices=DRIVERS)


def _ignore() -> Keyword:
    return Keyword("ignore", KeywordKind.NUMBERS, (math.nan,))


DELAY = Input("d", Kind.LOOKBACK, minimum=0)

OPERATORS = (
    _operator(
        "days_from_last_change",
        (X,),
        _changed,
        "Days since x last changed, 0 on the day of the change as in the article; the catalogue's "
        "example counts one more (convention last_change). The first value counts as a change, a "
        "NaN as none.",
        dimensionless,
        conventions=("last_change",),
        under=_days_since_change,
    ),
    _operator(
        "hump",
        (X,),
        _hump,
        "x, moving at most hump times the day's sum of |x| from its own last answer; a smaller "
        "change is followed not at all. How the limit follows from hump is not published: this "
        "form fits the official example (convention hump).",
        keywords=(_number("hump", 0.01, 0.0),),
        reads_day=True,
        conventions=("hump",),
        under=lambda c: _hump_by_amount if c.hump == "amount" else _hump,
    ),
    _operator(
        "hump_decay",
        (X,),
        along_time("memory", "hump_decay"),
        "Yesterday's x unless it changed by more than p (relative=true: p times |x + yesterday's "
        "x|).",
        keywords=(_number("p", 0.0, 0.0), Keyword("relative", KeywordKind.BOOLEAN, False)),
        tier="ext",
        extra_days=1,
    ),
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
        "jump_decay",
        (X, D),
        _jump_decay,
        "x, with a change of more than sensitivity times its deviation over d days reduced to "
        "force times its size; stddev=false compares with sensitivity itself.",
        keywords=(
            _number("sensitivity", 0.5, 0.0),
            _number("force", 0.1),
            Keyword("stddev", KeywordKind.BOOLEAN, True),
        ),
        tier="ext",
        extra_days=1,
    ),
    _operator(
        "kth_element",
        (X, D, Input("k", Kind.NUMBER)),
        _kth_element,
        "The k-th most recent value of the last d days that is not in ignore; uses what history "
        "there is.",
        keywords=(_ignore(),),
        keeps_nan=False,
    ),
    _operator(
        "last_diff_value",
        (X, D),
        along_time("memory", "last_different"),
        "The most recent value of the last d days that differs from today's; NaN where there is "
        "none or today is NaN. Uses what history there is.",
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
        "ts_backfill",
        (X, D),
        _backfill,
        "Where today is NaN (or in ignore), the k-th most recent other value of the last d days; "
        "uses what history there is.",
        keywords=(_number("k", 1.0, 1.0, whole=True), _ignore()),
        keeps_nan=False,
    ),
    _operator(
        "ts_corr",
        (X, Y, D),
        along_time("moments", "rolling_comoment", CORRELATION),
        "Pearson correlation of x and y over d days; NaN where one of them is constant.",
        dimensionless,
        commutative=True,
        aliases=("correlation",),
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
        "ts_covariance",
        (Y, X, D),
        along_time("moments", "rolling_comoment", COVARIANCE),
        "Population covariance of y and x over d days.",
        of_product,
        commutative=True,
        aliases=("covariance",),
    ),
    _operator(
        "ts_decay_exp_window",
        (X, D),
        along_time("windows", "exponential_decay"),
        "Mean of d days with weights factor^(days ago), NaN counted as 0. nan=true gives NaN where "
        "today is NaN, nan=false gives 0 where all are.",
        keywords=(_number("factor", 1.0), Keyword("nan", KeywordKind.BOOLEAN, True)),
        tier="ext",
        keeps_nan=False,
    ),
    _operator(
        "ts_decay_linear",
        (X, D),
        along_time("windows", "linear_decay"),
        "Mean of d days with weights d (today) down to 1. dense=false counts NaN as 0, and is NaN "
        "where all are; dense=true is NaN where any is.",
        keywords=(Keyword("dense", KeywordKind.BOOLEAN, False),),
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
    _operator(
        "ts_delta_limit",
        (X, Y),
        along_time("memory", "limited_change"),
        "x, moving at most limit_volume times |y| a day from its own last answer.",
        keywords=(_number("limit_volume", 0.1, 0.0),),
        tier="ext",
    ),
    _operator("ts_max", (X, D), _maximum, "Largest of d days.", tier="ext"),
    _operator("ts_min", (X, D), _minimum, "Smallest of d days.", tier="ext"),
    _operator("ts_mean", (X, D), _mean, "Mean of d days."),
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
        keywords=(_driver(),),
        conventions=("ts_quantile", "rank_ties"),
        under=_quantile_under,
    ),
    _operator(
        "ts_rank",
        (X, D),
        _rank(rolling_ranks),
        "Rank of today's value among the last d, from 0 to 1, plus constant. Equal values share "
        "the mean of their ranks (convention rank_ties); with d = 1 it is 0.5. Values are compared "
        "exactly.",
        dimensionless,
        keywords=(_number("constant", 0.0),),
        conventions=("rank_ties",),
        under=lambda conventions: _rank(rolling_ranks_under(conventions)),
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
            _number("lag", 0.0, 0.0, whole=True, days=True),
            _number("rettype", 0.0, choices=tuple("0123456789")),
        ),
        keeps_nan=False,
    ),
    _operator(
        "ts_scale",
        (X, D),
        _scaled,
        "(x - min) / (max - min) over d days, plus constant; NaN where all are equal.",
        dimensionless,
        keywords=(_number("constant", 0.0),),
    ),
    _operator(
        "ts_std_dev",
        (X, D),
        _deviation,
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
    _operator("ts_sum", (X, D), _total(SUM), "Sum of d days."),
    _operator(
        "ts_zscore",
        (X, D),
        along_time("moments", "rolling_deviation", ZSCORE),
        "(x - mean) / population standard deviation over d days; NaN where all are equal.",
        dimensionless,
    ),
    _operator(
        "ts_target_tvr_decay",
        (X,),
        _with_turnover("target_decay"),
        "s times its own last answer plus (1 - s) times x. Each day s is what makes the turnover, "
        "sum of |changes| over sum of |last answers|, equal to target_tvr, within lambda_min to "
        "lambda_max. How the strength is chosen is not published; this form looks at no later day.",
        keywords=_strengths(),
        tier="ext",
        reads_day=True,
        check=_wrong_strengths,
    ),
    _operator(
        "ts_target_tvr_delta_limit",
        (X, Y),
        _with_turnover("target_delta_limit"),
        "x, moving at most s times |y| a day from its own last answer; s is chosen each day as in "
        "ts_target_tvr_decay.",
        keywords=_strengths(),
        tier="ext",
        reads_day=True,
        check=_wrong_strengths,
    ),
    _operator(
        "ts_target_tvr_hump",
        (X,),
        _with_turnover("target_hump"),
        "hump(x, hump=s); s is chosen each day as in ts_target_tvr_decay, the least that meets "
        "target_tvr, or where none does that with the most turnover.",
        keywords=_strengths(),
        tier="ext",
        reads_day=True,
        check=_wrong_strengths,
    ),
    _operator(
        "ts_entropy",
        (X, D),
        along_time("windows", "rolling_entropy"),
        "log(d) - sum(h * log(h)) / d, with h the counts of d days in equal buckets of the range.",
        dimensionless,
        keywords=(_number("buckets", 10.0, 1.0, whole=True, maximum=1000.0),),
        tier="legacy",
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
        along_time("windows", "rolling_median_slope"),
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
        keywords=(_number("mode", 1.0, choices=("1", "2")),),
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
        keywords=(_number("k", 0.0, 0.0, whole=True),),
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
        keywords=(_number("k", 0.5),),
        tier="legacy",
        extra_days=1,
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
        keywords=(_number("f", 0.5),),
        tier="legacy",
    ),
    _operator(
        "ts_min_max_cps",
        (X, D),
        lambda x, d, f: _minimum(x, d) + _maximum(x, d) - f * x,
        "Smallest plus largest of d days, minus f times x.",
        keywords=(_number("f", 2.0),),
        tier="legacy",
    ),
    _operator(
        "ts_poly_regression",
        (Y, X, D),
        along_time("fits", "rolling_polynomial"),
        "Today's error of the polynomial of y in x of order k over d days, pairs with NaN or inf "
        "left out. NaN where the x have no more than k different values.",
        keywords=(_number("k", 1.0, 1.0, whole=True, maximum=20.0),),
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
    _operator(
        "filter",
        (X,),
        _filter,
        'h0 * x + h1 * (yesterday\'s x) + ..., for h="h0, h1, ...", plus t0 * (its own answer of '
        'yesterday) + ..., for t="t0, ...". NaN as long as an x that counts is; an earlier answer '
        "that is NaN counts as 0.",
        keywords=(
            Keyword("h", KeywordKind.NUMBERS, None, days=True),
            Keyword("t", KeywordKind.NUMBERS, ()),
        ),
        tier="legacy",
        check=_wrong_filter,
    ),
    _operator(
        "keep",
        (X, Input("condition")),
        _keep,
        "x on the day on which condition changes and for period days after, then NaN until it "
        "changes again. The first value counts as a change; NaN where condition is.",
        keywords=(_number("period", 5.0, 0.0, whole=True),),
        tier="legacy",
    ),
)
