"""Scores of trials and what their constraints allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from alphafoundry.backtest import Metrics
from alphafoundry.coordinator.search_sections import MetricBounds, ObjectiveSection

METRICS: tuple[str, ...] = tuple(field.name for field in fields(Metrics))
"""Names of the numbers of a trial, in the order in which a batch gives them."""

Numbers = Mapping[str, float | None]

SCORES: Mapping[str, Callable[[Numbers], float | None]] = {
    "sharpe": lambda numbers: numbers["sharpe"],
    "sortino": lambda numbers: numbers["sortino"],
    "calmar": lambda numbers: numbers["calmar"],
    "cvar": lambda numbers: None if numbers["cvar"] is None else -numbers["cvar"],
    "total_return": lambda numbers: numbers["total_return"],
}
"""As `alphafoundry.backtest.OBJECTIVES`, from the numbers of a stored trial."""


def score_of(numbers: Numbers | None, objective: str) -> float:
    """Return the score, higher is better; -inf where it is not defined."""
    value = None if numbers is None else SCORES[objective](numbers)
    return -math.inf if value is None else float(value)


def scores_of(
    numbers: Numbers | None, objectives: Sequence[ObjectiveSection]
) -> tuple[float, ...] | None:
    """Return a score per objective, higher is better; None where one is not defined."""
    if numbers is None:
        return None
    values = [numbers[item.metric] for item in objectives]
    if any(value is None for value in values):
        return None
    return tuple(
        item.sign * value
        for item, value in zip(objectives, values, strict=True)
        if value is not None
    )


def within(numbers: Numbers, bounds: Mapping[str, MetricBounds]) -> bool:
    """Return whether every bounded metric is defined and within its bounds."""
    for name, bound in bounds.items():
        value = numbers.get(name)
        if value is None:
            return False
        if bound.min is not None and value < bound.min:
            return False
        if bound.max is not None and value > bound.max:
            return False
    return True


def unknown_metric(bounds: Mapping[str, MetricBounds]) -> str | None:
    """Return the first name that is no metric, None where all are."""
    return next((name for name in bounds if name not in METRICS), None)
