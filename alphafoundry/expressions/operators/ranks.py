"""Ranks, under the convention for equal values, and how far their means lie apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import across, along_time
from alphafoundry.expressions.conventions import Conventions

FloatPanel = NDArray[np.float64]
GroupPanel = NDArray[np.int32]
Ranks = Callable[[FloatPanel], FloatPanel]
GroupRanks = Callable[[FloatPanel, GroupPanel], FloatPanel]
RollingRanks = Callable[[FloatPanel, int], FloatPanel]

_RULES = {"lowest": 1, "highest": 2, "order": 3}

day_ranks = across("ranking", "ranks")
_group_ranks = across("ranking", "group_ranks")
_resolved = across("ties", "resolved_ties")
_rolling_rank = {rule: along_time("windows", "rolling_rank", rule) for rule in (0, 1, 2)}


def group_ranks(x: FloatPanel, g: GroupPanel) -> FloatPanel:
    """Return ranks 0..1 inside groups; equal values share the mean of their places."""
    return _group_ranks(x, g, int(g.max(initial=0)) + 1)


def rolling_ranks(x: FloatPanel, d: int) -> FloatPanel:
    """Return today's rank 0..1 among d days; equal values share the mean of their places."""
    return _rolling_rank[0](x, d, 0.0)


def day_ranks_under(conventions: Conventions) -> Ranks:
    """Return what ranks a day."""
    rule = _RULES.get(conventions.rank_ties)
    if rule is None:
        return day_ranks
    return lambda x: _resolved(day_ranks(x), np.zeros(x.shape, np.int32), 1, rule)


def group_ranks_under(conventions: Conventions) -> GroupRanks:
    """Return what ranks inside groups."""
    rule = _RULES.get(conventions.rank_ties)
    if rule is None:
        return group_ranks
    return lambda x, g: _resolved(group_ranks(x, g), g, int(g.max(initial=0)) + 1, rule)


def rolling_ranks_under(conventions: Conventions) -> RollingRanks:
    """Return what ranks today among the last days."""
    rule = _RULES.get(conventions.rank_ties)
    if rule is None:
        return rolling_ranks
    # Of equal values today's is the newest: after the older ones it is the last.
    return lambda x, d: _rolling_rank[min(rule, 2)](x, d, 0.0)


def means_gap(panels: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return geometric minus arithmetic mean, cell by cell; NaN where one panel is."""
    product, total = panels[0], panels[0]
    for values in panels[1:]:
        product, total = product * values, total + values
    result: NDArray[np.float64] = product ** (1.0 / len(panels)) - total / len(panels)
    return result
