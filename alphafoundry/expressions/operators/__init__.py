"""The operators, one module per category."""

from __future__ import annotations

from alphafoundry.expressions.operators import (
    arithmetic,
    combination,
    cross_sectional,
    group,
    logical,
    reductions,
    selection,
    special,
    time_series,
    transformational,
    vector,
)
from alphafoundry.expressions.registry import Registry

OPERATORS = Registry(
    (
        *arithmetic.OPERATORS,
        *logical.OPERATORS,
        *time_series.OPERATORS,
        *cross_sectional.OPERATORS,
        *vector.OPERATORS,
        *transformational.OPERATORS,
        *group.OPERATORS,
        *combination.OPERATORS,
        *reductions.OPERATORS,
        *selection.OPERATORS,
        *special.OPERATORS,
    )
)
"""Every operator by canonical name; the one list that everything else reads."""
