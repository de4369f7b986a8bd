"""Operators that turn the list of values of an instrument and day into one number.

NaN among the values is left out; an instrument without values that day is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alphafoundry.expressions import buffers
from alphafoundry.expressions.compiled import across
from alphafoundry.expressions.operators.declaration import number
from alphafoundry.expressions.registry import (
    Input,
    Kernel,
    Keyword,
    KeywordKind,
    Kind,
    Operator,
    Option,
)
from alphafoundry.expressions.units import UnitRule, dimensionless, of_first
from alphafoundry.expressions.vectors import VectorField

V = Input("x", Kind.VECTOR)
MEAN, SUM, COUNT, MAX, MIN, STD, RANGE = range(7)


def _reduce(mode: int) -> Any:
    def kernel(field: VectorField) -> Any:
        out = np.empty(field.shape)
        across("vectors", "reduce_vectors").kernel(field.values, field.offsets, mode, out)
        return out

    return kernel


def _cellwise(function: str, *fixed: float | bool) -> Kernel:
    """Return a kernel of module `vector_statistics`; keywords come before what is fixed."""
    compiled = across("vector_statistics", function)

    def kernel(field: VectorField, **options: float) -> Any:
        out = buffers.empty(field.shape)
        compiled.fill(out, field.values, field.offsets, *options.values(), *fixed)
        return out

    return kernel


def _excess_kurtosis(field: VectorField) -> Any:
    return _cellwise("vector_moments", 4)(field) - 3.0


def _choose(field: VectorField, nth: float) -> Any:
    return _cellwise("vector_items", nth)(field)


def _wrong_choice(values: Mapping[str, Option]) -> str | None:
    return 'Required attribute "nth" must have a value' if values["nth"] is None else None


def _filter(field: VectorField, value: tuple[float, ...]) -> VectorField:
    kept = ~np.isin(field.values, value)
    if any(map(math.isnan, value)):
        kept &= ~np.isnan(field.values)
    before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    return VectorField(field.values[kept], before[field.offsets], field.shape)


def _operator(
    name: str, mode: int, definition: str, unit: UnitRule = of_first, tier: str = "ext"
) -> Operator:
    return Operator(name, "Vector", (V,), definition, _reduce(mode), unit, tier=tier)


def _statistic(
    name: str,
    kernel: Kernel,
    definition: str,
    *keywords: Keyword,
    unit: UnitRule = dimensionless,
    check: Callable[[Mapping[str, Option]], str | None] | None = None,
    output: Kind = Kind.MATRIX,
) -> Operator:
    return Operator(
        name,
        "Vector",
        (V,),
        definition,
        kernel,
        unit,
        keywords=keywords,
        tier="legacy",
        check=check,
        output=output,
    )


OPERATORS = (
    _operator("vec_avg", MEAN, "Mean of the values of the day.", tier="base"),
    _operator("vec_sum", SUM, "Sum of the values of the day.", tier="base"),
    _operator(
        "vec_count", COUNT, "Number of values of the day; 0 where there is none.", dimensionless
    ),
    _operator("vec_max", MAX, "Largest value of the day."),
    _operator("vec_min", MIN, "Smallest value of the day."),
    _operator("vec_stddev", STD, "Population standard deviation of the values of the day."),
    _operator("vec_range", RANGE, "Largest value of the day minus the smallest."),
    _statistic(
        "vec_choose",
        _choose,
        "The value at place nth of the day's list, counted from 0; NaN where there are fewer. NaN "
        "in the list counts as a value.",
        number("nth", None, minimum=0.0, maximum=1e6, whole=True),
        unit=of_first,
        check=_wrong_choice,
    ),
    _statistic(
        "vec_ir",
        _cellwise("vector_moments", 1),
        "Mean over population standard deviation of the values of the day; NaN where all are "
        "equal.",
    ),
    _statistic(
        "vec_skewness",
        _cellwise("vector_moments", 3),
        "Third standardized moment of the values of the day, population form; NaN where all are "
        "equal.",
    ),
    _statistic(
        "vec_kurtosis",
        _excess_kurtosis,
        "Fourth standardized moment of the values of the day minus 3, population form; NaN where "
        "all are equal.",
    ),
    _statistic(
        "vec_norm",
        _cellwise("vector_powers", 1.0, True),
        "Sum of the absolute values of the day.",
        unit=of_first,
    ),
    _statistic(
        "vec_percentage",
        _cellwise("vector_percentiles"),
        "Percentile of the values of the day, by straight line between neighbours; 0.5 is the "
        "median.",
        number("percentage", 0.5, minimum=0.0, maximum=1.0),
        unit=of_first,
    ),
    _statistic(
        "vec_powersum",
        _cellwise("vector_powers", False),
        "Sum of the values of the day to the power constant.",
        number("constant", 2.0),
        unit=lambda _: None,
    ),
    _statistic(
        "vec_filter",
        _filter,
        "The list of the day without the values that are listed; what is left is a list too.",
        Keyword("value", KeywordKind.NUMBERS, (math.nan,)),
        unit=of_first,
        output=Kind.VECTOR,
    ),
)
