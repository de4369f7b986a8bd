"""What a search of parameters maximises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from alphafoundry.errors import BacktestError
from alphafoundry.finance.statistics import Metrics

Objective = Callable[[Metrics], float]

OBJECTIVES: Mapping[str, Objective] = {
    "sharpe": lambda metrics: metrics.sharpe,
    "sortino": lambda metrics: metrics.sortino,
    "calmar": lambda metrics: metrics.calmar,
    "cvar": lambda metrics: -metrics.cvar,
    "total_return": lambda metrics: metrics.total_return,
}
"""Name to what a search maximises; NaN is worse than every number."""


def score(metrics: Metrics, objective: str) -> float:
    """Return the objective's value, -inf where it is NaN. Raises BacktestError for a wrong name."""
    if objective not in OBJECTIVES:
        raise BacktestError(
            f"unknown objective {objective!r}; choose one of {', '.join(OBJECTIVES)}"
        )
    value = OBJECTIVES[objective](metrics)
    return -math.inf if math.isnan(value) else value
