"""The settings of a simulation, by BRAIN's names and choices."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

OnOff = Literal["ON", "OFF"]

REGIONS = (
    *("USA", "GLB", "EUR", "ASI", "CHN", "AMR", "IND"),
    *("JPN", "HKG", "TWN", "KOR", "MEA", "GBR", "DEU"),
)
"""Regions that BRAIN knows; an ordinary account has the first one alone."""

Neutralization = Literal["NONE", "MARKET", "SECTOR", "INDUSTRY", "SUBINDUSTRY"]


class SimulationSettings(BaseModel):
    """Settings of one alpha simulation; dumps to BRAIN's JSON with `by_alias=True`.

    decay : days of linear decay, 0 and 1 change nothing
    truncation : largest share of the book for one instrument, 0 is off
    test_period : ISO duration P0Y0M to P6Y0M0D, the last part of the period kept as test
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid"
    )

    instrument_type: Literal["EQUITY"] = "EQUITY"
    region: str = "USA"
    universe: str = "TOP3000"
    delay: Literal[0, 1] = 1
    decay: int = Field(default=0, ge=0, le=512)
    neutralization: str = "INDUSTRY"
    truncation: float = Field(default=0.08, ge=0, le=1)
    pasteurization: OnOff = "ON"
    unit_handling: Literal["VERIFY"] = "VERIFY"
    nan_handling: OnOff = "OFF"
    max_trade: OnOff = "OFF"
    language: Literal["FASTEXPR"] = "FASTEXPR"
    visualization: bool = False
    test_period: str = Field(default="P0Y0M", pattern=r"^P[0-6]Y([0-9]|1[01])M([0-9]{1,3}D)?$")

    def to_brain(self) -> dict[str, object]:
        """Return the settings as BRAIN's JSON object."""
        return self.model_dump(by_alias=True)
