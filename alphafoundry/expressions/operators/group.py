"""Operators inside the groups of each day.

NaN and infinite cells are left out and are NaN in the answer (group_rank takes inf as a value);
cells of unknown group are NaN. Operators with one value per group give it to members with NaN
too where NaN handling is on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import across
from alphafoundry.expressions.operators.declaration import declares, flag, number
from alphafoundry.expressions.operators.ranks import group_ranks, group_ranks_under
from alphafoundry.expressions.operators.regressions import regression_errors
from alphafoundry.expressions.precision import SMALLEST
from alphafoundry.expressions.registry import Input, Kind
from alphafoundry.expressions.units import dimensionless, of_first

FloatPanel = NDArray[np.float64]
GroupPanel = NDArray[np.int32]
X = Input("x")
G = Input("group", Kind.GROUP)
MEAN, SUM, COUNT, MAX, MIN, STD = range(6)

_centred = across("groups", "group_centred")
_statistic = across("groups", "group_statistic")
_scaled = across("groups", "group_scaled")
_normalized = across("groups", "group_normalized")
_percentile = across("ranking", "group_percentile")
_backfilled = across("groups", "group_backfilled")


def _labels(groups: GroupPanel) -> int:
    return int(groups.max(initial=0)) + 1


def _group_mean(x: FloatPanel, weight: FloatPanel, g: GroupPanel, spread: bool) -> FloatPanel:
    return _statistic(x, weight, g, _labels(g), MEAN, spread)


def _harmonic_mean(x: FloatPanel, weight: FloatPanel, g: GroupPanel, spread: bool) -> FloatPanel:
    return 1.0 / _statistic(1.0 / x, weight, g, _labels(g), MEAN, spread)


def _group_value(mode: int) -> Callable[..., FloatPanel]:
    def kernel(x: FloatPanel, g: GroupPanel, spread: bool) -> FloatPanel:
        return _statistic(x, x, g, _labels(g), mode, spread)

    return kernel


def _group_percentage(x: FloatPanel, g: GroupPanel, percentage: float, spread: bool) -> FloatPanel:
    return _percentile(x, g, _labels(g), percentage, spread)


def _group_median(x: FloatPanel, g: GroupPanel, spread: bool) -> FloatPanel:
    return _percentile(x, g, _labels(g), 0.5, spread)


def _group_backfill(x: FloatPanel, g: GroupPanel, d: int, std: float) -> FloatPanel:
    return _backfilled(x, g, _labels(g), d, std)


def _group_normalize(
    x: FloatPanel,
    g: GroupPanel,
    constantCheck: bool,  # noqa: N803
    tolerance: float,
    scale: float,
) -> FloatPanel:
    return _normalized(x, g, _labels(g), constantCheck, tolerance, scale)


def _group_projection(x: FloatPanel, y: FloatPanel, g: GroupPanel) -> FloatPanel:
    """Return y times sum(x * y) / sum(y^2) of the group, over members that have both."""
    both, squares = x * y, np.where(np.isnan(x), np.nan, y * y)
    labels = _labels(g)
    total = _statistic(both, both, g, labels, SUM, False)
    size = _statistic(squares, squares, g, labels, SUM, False)
    known = (size > SMALLEST) & (size < np.inf) & np.isfinite(total)
    result: FloatPanel = np.where(known, y * (total / size), np.nan)
    return result


def _group_extra(x: FloatPanel, weight: FloatPanel, g: GroupPanel) -> FloatPanel:
    mean = _statistic(x, weight, g, _labels(g), MEAN, True)
    filled: FloatPanel = np.where(np.isnan(x), mean, x)
    return filled


def _multi_regression(*inputs: Any) -> FloatPanel:
    return regression_errors(inputs[:-1], inputs[-1])


def _product(first: GroupPanel, second: GroupPanel) -> GroupPanel:
    pairs = first.astype(np.int64) * _labels(second) + second
    pairs[(first < 0) | (second < 0)] = -1
    return _relabel(pairs)


def _relabel(labels: NDArray[np.int64]) -> GroupPanel:
    known = labels >= 0
    out = np.full(labels.shape, -1, np.int32)
    out[known] = np.unique(labels[known], return_inverse=True)[1]
    return out


def _coalesce(*groups: GroupPanel) -> GroupPanel:
    out = np.full(groups[0].shape, -1, np.int64)
    offset = 0
    for labels in groups:
        out = np.where((out < 0) & (labels >= 0), labels + offset, out)
        offset += _labels(labels)
    return out.astype(np.int32)


_operator = declares("Group", unit=of_first, keeps_nan=True)
_spreading = declares("Group", unit=of_first, spreads=True)

OPERATORS = (
    _operator(
        "group_backfill",
        (X, G, Input("d", Kind.LOOKBACK)),
        _group_backfill,
        "x, its NaN replaced by the mean of all values that the group's members of today had in "
        "the last d days, after limiting these to their mean plus and minus std sample standard "
        "deviations. Uses what history there is.",
        keywords=(number("std", 4.0, 0.0),),
        keeps_nan=False,
    ),
    _operator(
        "group_cartesian_product",
        (Input("g1", Kind.GROUP), Input("g2", Kind.GROUP)),
        _product,
        "One group for each pair of labels; unknown where either is.",
        dimensionless,
        tier="ext",
        output=Kind.GROUP,
    ),
    _spreading("group_max", (X, G), _group_value(MAX), "Largest of the group.", tier="ext"),
    _spreading("group_min", (X, G), _group_value(MIN), "Smallest of the group.", tier="ext"),
    _spreading(
        "group_mean",
        (X, Input("weight"), G),
        _group_mean,
        "sum(x * weight) / sum(weight) of the group; a member without weight is left out. One "
        "article calls it a harmonic mean (convention group_mean).",
        conventions=("group_mean",),
        under=lambda c: _harmonic_mean if c.group_mean == "harmonic" else _group_mean,
    ),
    _spreading(
        "group_median",
        (X, G),
        _group_median,
        "Median of the group.",
        tier="ext",
    ),
    _operator(
        "group_neutralize",
        (X, G),
        lambda x, g: _centred(x, g, _labels(g), False),
        "x minus the mean of its group.",
        aliases=("group_neutralise", "IndNeutralize", "indneutralize"),
    ),
    _operator(
        "group_normalize",
        (X, G),
        _group_normalize,
        "x times what makes the group's sum of |x| equal to scale. constantCheck=true gives NaN "
        "where the group's max - min is at most tolerance.",
        dimensionless,
        keywords=(
            flag("constantCheck"),
            number("tolerance", 0.01, 0.0),
            number("scale", 1.0),
        ),
        tier="ext",
    ),
    _operator(
        "group_rank",
        (X, G),
        group_ranks,
        "Rank inside the group from 0 to 1, by the same rules as rank.",
        dimensionless,
        conventions=("rank_ties",),
        under=group_ranks_under,
    ),
    _operator(
        "group_scale",
        (X, G),
        lambda x, g: _scaled(x, g, _labels(g)),
        "(x - min) / (max - min) of the group; NaN where all are equal.",
        dimensionless,
    ),
    _operator(
        "group_zscore",
        (X, G),
        lambda x, g: _centred(x, g, _labels(g), True),
        "(x - mean) / population standard deviation of the group; NaN where all are equal.",
        dimensionless,
    ),
    _spreading(
        "group_count",
        (X, G),
        _group_value(COUNT),
        "Number of the group's members that are valid.",
        dimensionless,
        tier="legacy",
    ),
    _spreading("group_sum", (X, G), _group_value(SUM), "Sum of the group.", tier="legacy"),
    _spreading(
        "group_std_dev",
        (X, G),
        _group_value(STD),
        "Population standard deviation of the group.",
        tier="legacy",
    ),
    _spreading(
        "group_percentage",
        (X, G),
        _group_percentage,
        "Percentile of the group, by straight line between neighbours; 0.5 is the median.",
        keywords=(number("percentage", 0.5, 0.0, maximum=1.0),),
        tier="legacy",
    ),
    _operator(
        "group_extra",
        (X, Input("weight"), G),
        _group_extra,
        "x, its NaN replaced by the weighted mean of the group.",
        tier="legacy",
        keeps_nan=False,
    ),
    _operator(
        "group_vector_proj",
        (X, Input("y"), G),
        _group_projection,
        "Projection of x on y inside the group, over members that have both.",
        tier="legacy",
    ),
    _operator(
        "group_vector_neut",
        (X, Input("y"), G),
        lambda x, y, g: x - _group_projection(x, y, g),
        "x minus its projection on y inside the group.",
        tier="legacy",
    ),
    _operator(
        "group_multi_regression",
        (Input("y"), Input("x", many=True), G),
        _multi_regression,
        "Residual of the regression of y on one or more x with intercept inside the group. An x "
        "that the others already give changes nothing; NaN where none of them varies.",
        tier="legacy",
    ),
    _operator(
        "group_coalesce",
        (Input("g1", Kind.GROUP), Input("g2", Kind.GROUP, many=True)),
        _coalesce,
        "The first label that is known; labels of different inputs stay apart.",
        dimensionless,
        tier="legacy",
        output=Kind.GROUP,
    ),
)
