"""What earlier runs found, in the words of generators and miners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alphafoundry.research.proposals import Outcome
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import AlphaRow, SimulationRow, Store, read_alphas, read_simulations

FINISHED = ("complete", "warning", "error", "timeout", "failed")


def past_outcomes(store: Store, service: str) -> list[Outcome]:
    """Return every finished simulation of the service with its fitness, oldest first."""
    rows = read_simulations(store, service=service, status=FINISHED)
    alphas = read_alphas(store, service, [row.alpha_id for row in rows if row.alpha_id])
    return [Outcome(row.expression, _fitness(row, alphas)) for row in rows]


def simulated_alphas(store: Store, service: str) -> set[tuple[str, SimulationSettings]]:
    """Return (canonical expression, settings) of everything that was ever planned."""
    return {
        (row.canonical, settings_of(row.settings))
        for row in read_simulations(store, service=service)
    }


def settings_of(brain_settings: Mapping[str, Any]) -> SimulationSettings:
    """Return the settings of a BRAIN object; keys that only BRAIN adds are left out."""
    known = {field.alias for field in SimulationSettings.model_fields.values()}
    return SimulationSettings.model_validate(
        {key: value for key, value in brain_settings.items() if key in known}
    )


def _fitness(row: SimulationRow, alphas: Mapping[str, AlphaRow]) -> float | None:
    alpha = alphas.get(row.alpha_id) if row.alpha_id else None
    return alpha.fitness if alpha else None
