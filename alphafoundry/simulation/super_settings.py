"""The settings of a SUPER alpha: those of a simulation, and how its alphas are chosen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from alphafoundry.simulation.settings import SimulationSettings

FEWEST_SELECTED = 10
MOST_SELECTED = 1000


class SuperSettings(SimulationSettings):
    """Settings of one SUPER simulation; they apply to the combination of the alphas.

    selection_handling : POSITIVE takes alphas whose selection weight is above 0, NON_ZERO those
        where it is not 0, NON_NAN all that have one
    selection_limit : most alphas, the ones of largest weight; 10 to 1000
    component_activation : IS lets every alpha count from the first day on
    """

    selection_handling: Literal["POSITIVE", "NON_ZERO", "NON_NAN"] = "POSITIVE"
    selection_limit: int = Field(default=100, ge=FEWEST_SELECTED, le=MOST_SELECTED)
    component_activation: Literal["IS"] = "IS"
