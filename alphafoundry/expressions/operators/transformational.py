"""Operators that turn values into groups, or into values that hold while nothing is traded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import along_time
from alphafoundry.expressions.operators.declaration import flag, number
from alphafoundry.expressions.registry import Input, Keyword, KeywordKind, Kind, Operator, Option
from alphafoundry.expressions.units import of_first, of_second

FloatPanel = NDArray[np.float64]
X = Input("x")
MOST_BUCKETS = 10_000


def _range_edges(limits: tuple[float, ...]) -> FloatPanel:
    start, stop, step = limits
    count = round((stop - start) / step)
    return np.round(start + step * np.arange(count + 1), 12)


def _bucket(
    x: FloatPanel,
    range: tuple[float, ...] | None,
    buckets: tuple[float, ...] | None,
    skipBegin: bool,  # noqa: N803
    skipEnd: bool,  # noqa: N803
    skipBoth: bool,  # noqa: N803
    NaNGroup: bool,  # noqa: N803
) -> NDArray[np.int32]:
    """Label by interval; the bucket before a range's start has a label after the others."""
    edges = _range_edges(range) if range is not None else np.array(buckets)
    slack = 1e-9 * float(np.min(np.diff(edges), initial=1.0))
    place = np.searchsorted(edges + slack, x.ravel(), side="left").reshape(x.shape)
    last = len(edges)
    labels = place.astype(np.int32)
    if range is not None:
        labels = np.where(place == 0, last, labels - 1).astype(np.int32)
    if skipBegin or skipBoth:
        labels[place == 0] = -1
    if skipEnd or skipBoth:
        labels[place == last] = -1
    labels[np.isnan(x)] = last + 1 if NaNGroup else -1
    return labels


def _check_bucket(values: Mapping[str, Option]) -> str | None:
    limits, edges = values["range"], values["buckets"]
    if limits is None and edges is None:
        return 'Required attribute "range" must have a value'
    if limits is not None and edges is not None:
        return 'Got invalid value for attribute "buckets", must not be given together with range'
    if isinstance(limits, tuple):
        wrong = 'Got invalid value for attribute "range", must be '
        if len(limits) != 3 or not limits[1] > limits[0] or not limits[2] > 0:
            return wrong + "start, end and step with start < end and step > 0"
        if (limits[1] - limits[0]) / limits[2] > MOST_BUCKETS:
            return f"{wrong}of at most {MOST_BUCKETS} steps"
    if isinstance(edges, tuple):
        rising = all(a < b for a, b in pairwise(edges))
        if not edges or not rising or math.isnan(edges[0]):
            return 'Got invalid value for attribute "buckets", must be rising numbers'
    return None


def _left_tail(x: Any, maximum: float) -> Any:
    return np.where(x > maximum, np.nan, x)[()]


def _right_tail(x: Any, minimum: float) -> Any:
    return np.where(x < minimum, np.nan, x)[()]


def _tail(x: Any, lower: float, upper: float, newval: float) -> Any:
    return np.where((x >= lower) & (x <= upper), newval, x)[()]


def _cellwise(name: str, kernel: Any, definition: str, *keywords: str, tier: str) -> Operator:
    return Operator(
        name,
        "Transformational",
        (X,),
        definition,
        kernel,
        of_first,
        keywords=tuple(number(keyword, 0.0) for keyword in keywords),
        tier=tier,
        elementwise=True,
        keeps_nan=True,
    )


OPERATORS = (
    Operator(
        "bucket",
        "Transformational",
        (X,),
        'Groups by interval (lower, upper], either range="start, end, step" or buckets="edge, '
        'edge, ...". What lies before the first and after the last edge forms a bucket of its own '
        "unless skipBegin, skipEnd or skipBoth leaves it out. NaNGroup=true gives NaN a group too.",
        _bucket,
        keywords=(
            Keyword("range", KeywordKind.NUMBERS, None),
            Keyword("buckets", KeywordKind.NUMBERS, None),
            flag("skipBegin"),
            flag("skipEnd"),
            flag("skipBoth"),
            flag("NaNGroup"),
        ),
        output=Kind.GROUP,
        check=_check_bucket,
    ),
    Operator(
        "trade_when",
        "Transformational",
        (Input("trigger"), Input("alpha"), Input("exit")),
        "NaN where exit > 0; else alpha where trigger > 0; else its own value of yesterday. NaN in "
        "exit or trigger is not true.",
        along_time("memory", "trade_when"),
        of_second,
    ),
    _cellwise("left_tail", _left_tail, "NaN where x is above maximum.", "maximum", tier="ext"),
    _cellwise("right_tail", _right_tail, "NaN where x is below minimum.", "minimum", tier="ext"),
    _cellwise(
        "tail",
        _tail,
        "newval where x lies from lower to upper, else x.",
        "lower",
        "upper",
        "newval",
        tier="legacy",
    ),
)
