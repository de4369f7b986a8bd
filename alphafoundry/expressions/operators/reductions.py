"""Operators that make one number of many along the last axis, in the `combo` of a SUPER alpha.

Pairs of alphas, shape (n_days, n_alphas, n_alphas), become a matrix with one number per alpha. A
matrix, shape (n_days, n_alphas), becomes one number per day, which every alpha gets. NaN among
the values is left out; NaN where none is left. Moments are of the population.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.registry import Input, Keyword, KeywordKind, Kind, Operator

Values = NDArray[np.float64]
INPUT = Input("input")


def _count(values: Values) -> Values:
    return np.asarray((~np.isnan(values)).sum(axis=-1), np.float64)


def _zeroed(values: Values) -> Values:
    return np.where(np.isnan(values), 0.0, values)


def _known(result: Any, values: Values) -> Values:
    return np.where(_count(values) > 0, result, np.nan)


def _sum(input: Values) -> Values:
    return _known(_zeroed(input).sum(axis=-1), input)


def _mean(values: Values) -> Values:
    return np.asarray(_zeroed(values).sum(axis=-1) / _count(values))


def _central(values: Values, power: int) -> Values:
    """Return the mean of (x - mean)^power, exactly 0 where all values are alike."""
    away = values - _mean(values)[..., None]
    alike = _max(values) == _min(values)
    return np.where(alike, 0.0, _mean(away**power))


def _enough(result: Values, values: Values, threshold: float) -> Values:
    return np.where(_count(values) >= threshold, result, np.nan)


def _avg(input: Values, threshold: float) -> Values:
    return _enough(_mean(input), input, threshold)


def _stddev(input: Values, threshold: float) -> Values:
    return _enough(np.sqrt(_central(input, 2)), input, threshold)


def _max(input: Values) -> Values:
    return _known(np.where(np.isnan(input), -math.inf, input).max(axis=-1), input)


def _min(input: Values) -> Values:
    return _known(np.where(np.isnan(input), math.inf, input).min(axis=-1), input)


def _choose(input: Values, nth: Any, ignoreNan: bool) -> Values:  # noqa: N803
    place = int(nth) - 1
    count = input.shape[-1]
    if not ignoreNan:
        return input[..., place] if place < count else np.full(input.shape[:-1], np.nan)
    order = np.argsort(np.isnan(input), axis=-1, kind="stable")
    sorted_values = np.take_along_axis(input, order, axis=-1)
    return sorted_values[..., place] if place < count else np.full(input.shape[:-1], np.nan)


def _above(input: Values, threshold: Any) -> Values:
    return _known((input > threshold).sum(axis=-1), input)


def _ratio(input: Values) -> Values:
    return np.asarray(_mean(input) / np.sqrt(_central(input, 2)))


def _kurtosis(input: Values) -> Values:
    return np.asarray(_central(input, 4) / _central(input, 2) ** 2 - 3.0)


def _skewness(input: Values) -> Values:
    return np.asarray(_central(input, 3) / _central(input, 2) ** 1.5)


def _norm(input: Values) -> Values:
    return _sum(np.abs(input))


def _percentage(input: Values, percentage: float) -> Values:
    """Interpolate between the sorted values; NaN sorts last and is left out by its place."""
    ordered = np.sort(input, axis=-1)
    place = percentage * np.maximum(_count(input) - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, input.shape[-1] - 1)
    below = np.take_along_axis(ordered, low[..., None], axis=-1)[..., 0]
    above = np.take_along_axis(ordered, high[..., None], axis=-1)[..., 0]
    share = place - low
    return np.where(share > 0, below * (1 - share) + above * share, below)


def _powersum(input: Values, constant: float, precise: bool) -> Values:
    powers = np.power(input, constant)
    if not precise:
        return _sum(powers)
    exact = np.apply_along_axis(math.fsum, -1, _zeroed(powers))
    return _known(exact, powers)


def _range(input: Values) -> Values:
    return np.asarray(_max(input) - _min(input))


THRESHOLD = Keyword("threshold", KeywordKind.NUMBER, 0.0)


def _operator(
    name: str,
    kernel: Callable[..., Values],
    definition: str,
    *keywords: Keyword,
    more: tuple[Input, ...] = (),
) -> Operator:
    return Operator(
        name,
        "Reduce",
        (INPUT, *more),
        definition,
        kernel,
        keywords=keywords,
        tier="super",
        scope=("COMBO",),
    )


OPERATORS = (
    _operator("reduce_avg", _avg, "Mean; NaN with fewer values than threshold.", THRESHOLD),
    _operator(
        "reduce_choose",
        _choose,
        "The value in place nth, 1 for the first; ignoreNan=true does not count NaN. NaN where "
        "there are not so many.",
        Keyword("ignoreNan", KeywordKind.BOOLEAN, True),
        more=(Input("nth", Kind.NUMBER),),
    ),
    _operator(
        "reduce_count",
        _above,
        "How many values are above threshold.",
        more=(Input("threshold", Kind.NUMBER, minimum=-math.inf, whole=False),),
    ),
    _operator("reduce_ir", _ratio, "Mean over standard deviation; NaN where that is 0 / 0."),
    _operator("reduce_kurtosis", _kurtosis, "Excess kurtosis, 0 for a normal distribution."),
    _operator("reduce_max", _max, "Largest value."),
    _operator("reduce_min", _min, "Smallest value."),
    _operator("reduce_norm", _norm, "Sum of absolute values."),
    _operator(
        "reduce_percentage",
        _percentage,
        "The value that this share of the values lies below, interpolated; 0.5 is the median.",
        Keyword("percentage", KeywordKind.NUMBER, 0.5, minimum=0, maximum=1),
    ),
    _operator(
        "reduce_powersum",
        _powersum,
        "Sum of the values to the power constant; precise=true adds them without rounding.",
        Keyword("constant", KeywordKind.NUMBER, 2.0),
        Keyword("precise", KeywordKind.BOOLEAN, False),
    ),
    _operator("reduce_range", _range, "Largest value minus the smallest."),
    _operator("reduce_skewness", _skewness, "Skewness."),
    _operator(
        "reduce_stddev",
        _stddev,
        "Population standard deviation; NaN with fewer values than threshold.",
        THRESHOLD,
    ),
    _operator("reduce_sum", _sum, "Sum."),
)
