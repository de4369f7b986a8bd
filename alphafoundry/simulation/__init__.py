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

__all__ = [
    "Check",
    "EvaluatorCache",
    "SimulationResult",
    "SimulationSettings",
    "Simulator",
    "Statistics",
    "YearStatistics",
    "pnl_correlation",
    "simulate",
]

_HOME = {
    "Check": "checks",
    "EvaluatorCache": "evaluators",
    "SimulationResult": "result",
    "Simulator": "simulator",
    "Statistics": "statistics",
    "YearStatistics": "statistics",
    "pnl_correlation": "correlation",
    "simulate": "simulator",
}


def __getattr__(name: str) -> Any:
    # The settings are read by every command line; the rest imports numba.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
