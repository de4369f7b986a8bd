"""Values of a workflow document: numbers, sizes, days and names, and the base of its sections."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from alphafoundry.configuration import number_only

_SIZES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def parse_size(value: object) -> object:
    """Return bytes for "512MB", "2 GB" or a plain number of bytes."""
    if not isinstance(value, str):
        return number_only(value)
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?B?)\s*", value, re.IGNORECASE)
    unit = "" if found is None else found[2].upper()
    if found is None or (unit and unit not in _SIZES and unit + "B" not in _SIZES):
        raise ValueError("is not a size; write it as 512MB or 2GB")
    return int(float(found[1]) * _SIZES[unit if unit in _SIZES else unit + "B"])


def _file_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", value):
        raise ValueError("is not a name; use letters, digits, _ and -")
    return value


def _phase_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", value):
        raise ValueError("is not a phase name; use letters, digits, _ and -")
    return value


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{3,5}", value):
        raise ValueError("is not a currency; write its letters, as USD")
    return value


def _day(value: object) -> object:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("is not a date; write it as 2020-01-31") from None
    return value


Whole = Annotated[int, BeforeValidator(number_only)]
Count = Annotated[int, BeforeValidator(number_only), Field(ge=1)]
TrialCount = Annotated[int, BeforeValidator(number_only), Field(ge=1, le=1_000_000)]
Number = Annotated[float, BeforeValidator(number_only), Field(allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(min_length=1)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(ge=1024**2)]
Day = Annotated[date, BeforeValidator(_day)]
FileName = Annotated[str, AfterValidator(_file_name)]
Currency = Annotated[str, AfterValidator(_currency)]
PhaseName = Annotated[str, AfterValidator(_phase_name)]


class Section(BaseModel):
    """Base of every section."""

    model_config = ConfigDict(frozen=True, extra="forbid")
