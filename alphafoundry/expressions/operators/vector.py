"""Operators that turn the list of values of an instrument and day into one number.

NaN among the values is left out; an instrument without values that day is NaN.
"""

from __future__ import annotations

from typing import Any

from alphafoundry.expressions.compiled import across
from alphafoundry.expressions.registry import Input, Kind, Operator
from alphafoundry.expressions.units import UnitRule, dimensionless, of_first
from alphafoundry.expressions.vectors import VectorField

V = Input("x", Kind.VECTOR)
MEAN, SUM, COUNT, MAX, MIN, STD, RANGE = range(7)


def _reduce(mode: int) -> Any:
    def kernel(field: VectorField) -> Any:
        import numpy as np

        out = np.empty(field.shape)
        across("vectors", "reduce_vectors").kernel(field.values, field.offsets, mode, out)
        return out

    return kernel


def _operator(
    name: str, mode: int, definition: str, unit: UnitRule = of_first, tier: str = "ext"
) -> Operator:
    return Operator(name, "Vector", (V,), definition, _reduce(mode), unit, tier=tier)


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
)
