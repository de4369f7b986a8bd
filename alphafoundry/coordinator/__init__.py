"""Multi-phase workflows: searches, regimes, ensembles and their validation, from one document."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alphafoundry.coordinator.context import PhaseContext
    from alphafoundry.coordinator.in_process import run_workflow
    from alphafoundry.coordinator.loading import load_workflow
    from alphafoundry.coordinator.phase_types import phase_type

__all__ = ["PhaseContext", "load_workflow", "phase_type", "run_workflow"]

_HOMES = {
    "PhaseContext": "context",
    "load_workflow": "loading",
    "phase_type": "phase_types",
    "run_workflow": "in_process",
}
"""Public names to their modules; a worker process imports one of these modules only."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
