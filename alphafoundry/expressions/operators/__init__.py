"""The operators, by category."""

from __future__ import annotations

from alphafoundry.expressions.operators import (
    arithmetic,
    combination,
    cross_sectional,
    group,
    logical,
    reductions,
    special,
    time_series_memory,
    time_series_relations,
    time_series_windows,
    transformational,
    vector,
)
from alphafoundry.expressions.registry import Registry

OPERATORS = Registry(
    (
        *arithmetic.OPERATORS,
        *logical.OPERATORS,
        *time_series_windows.OPERATORS,
        *time_series_relations.OPERATORS,
        *time_series_memory.OPERATORS,
        *cross_sectional.OPERATORS,
        *vector.OPERATORS,
        *transformational.OPERATORS,
        *group.OPERATORS,
        *combination.OPERATORS,
        *reductions.OPERATORS,
        *special.OPERATORS,
    )
)
"""Every operator by canonical name; the one list that everything else reads."""
