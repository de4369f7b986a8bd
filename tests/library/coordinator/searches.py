"""Outputs of a search that was not run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from alphafoundry.coordinator.phase_outputs import OptimizationOutputs

_EMPTY = OptimizationOutputs(
    best_params={},
    best_score={},
    best_trial={},
    best_metrics={},
    best_strategy="",
    top_trials=[],
    components={},
    trial_list=[],
    returns=[],
    objective="sharpe",
    infeasible=0,
    rows=(0, 200),
)


def search_outputs(**changes: Any) -> OptimizationOutputs:
    """Return the outputs of a search of days 0 to 200 that found nothing but `changes`."""
    return replace(_EMPTY, **changes)
