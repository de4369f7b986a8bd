"""From an alpha's values to weights, daily PnL, statistics and checks, by BRAIN's formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alphafoundry.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from alphafoundry.simulation.checks import Check
    from alphafoundry.simulation.correlation import pnl_correlation
    from alphafoundry.simulation.evaluators import EvaluatorCache
    from alphafoundry.simulation.result import SimulationResult
    from alphafoundry.simulation.simulator import Simulator, simulate
    from alphafoundry.simulation.statistics import Statistics, YearStatistics
    from alphafoundry.simulation.stored_alphas import StoredAlpha
    from alphafoundry.simulation.super_settings import SuperSettings
    from alphafoundry.simulation.super_simulation import SuperResult, simulate_super

__all__ = [
    "Check",
    "EvaluatorCache",
    "SimulationResult",
    "SimulationSettings",
    "Simulator",
    "Statistics",
    "StoredAlpha",
    "SuperResult",
    "SuperSettings",
    "YearStatistics",
    "pnl_correlation",
    "simulate",
    "simulate_super",
]

_HOME = {
    "Check": "checks",
    "EvaluatorCache": "evaluators",
    "SimulationResult": "result",
    "Simulator": "simulator",
    "Statistics": "statistics",
    "StoredAlpha": "stored_alphas",
    "SuperResult": "super_simulation",
    "SuperSettings": "super_settings",
    "YearStatistics": "statistics",
    "pnl_correlation": "correlation",
    "simulate": "simulator",
    "simulate_super": "super_simulation",
}


def __getattr__(name: str) -> Any:
    # The settings are read by every command line; the rest imports numba.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
