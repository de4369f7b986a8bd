"""Units of measure: products of powers such as `CSPrice:1,CSShare:-1`.

None stands for a unit that fits everywhere: that of a constant, or of a field that says none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Unit = tuple[tuple[str, float], ...]
NO_UNIT: Unit = ()

FieldType = Literal["MATRIX", "VECTOR", "GROUP", "TEXT", "COLLECTION", "ALPHAS"]


@dataclass(frozen=True)
class FieldInfo:
    """What is known of a data field before its values are.

    Attributes
    ----------
    type : MATRIX is one number per day and instrument, VECTOR a list of them, GROUP a label. In
        SUPER alphas TEXT and COLLECTION are properties of the alphas to select from, ALPHAS
        those that were selected
    unit : "CSPrice:1", powers separated by commas; "" is dimensionless
    """

    name: str
    type: FieldType
    unit: str = ""
    description: str = ""


def parse_unit(text: str) -> Unit:
    """Return the unit that `CSPrice:1,CSShare:-1` says; a name without power has power 1."""
    powers: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, power = part.partition(":")
        powers[name.strip()] = powers.get(name.strip(), 0.0) + float(power or 1)
    return _unit(powers)


def format_unit(unit: Unit | None) -> str:
    """Return BRAIN's form of a unit, `Unit[CSPrice:1]`."""
    return "Unit[" + ",".join(f"{name}:{power:g}" for name, power in unit or ()) + "]"


def _unit(powers: Mapping[str, float]) -> Unit:
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def multiply_units(left: Unit, right: Unit) -> Unit:
    """Return the unit of a product."""
    powers = dict(left)
    for name, power in right:
        powers[name] = powers.get(name, 0.0) + power
    return _unit(powers)


def raise_unit(unit: Unit, exponent: float) -> Unit:
    """Return the unit of a power."""
    return _unit({name: power * exponent for name, power in unit})


@dataclass(frozen=True)
class UnitInputs:
    """What a unit rule sees.

    Attributes
    ----------
    units : of the inputs by place; None where any unit fits
    constants : the numbers given by place; None where the input is not a number
    keywords : values of the keywords, defaults included
    """

    units: Sequence[Unit | None]
    constants: Sequence[float | None]
    keywords: Mapping[str, object]


UnitRule = Callable[[UnitInputs], Unit | None]


def dimensionless(_: UnitInputs) -> Unit | None:
    """A pure number."""
    return NO_UNIT


def of_first(inputs: UnitInputs) -> Unit | None:
    """The unit of the first input."""
    return inputs.units[0] if inputs.units else None


def of_second(inputs: UnitInputs) -> Unit | None:
    """The unit of the second input."""
    return inputs.units[1] if len(inputs.units) > 1 else None


def of_any(inputs: UnitInputs) -> Unit | None:
    """The first unit that is known among the inputs."""
    return next((unit for unit in inputs.units if unit is not None), None)


def of_branches(inputs: UnitInputs) -> Unit | None:
    """The unit of the second and third inputs."""
    return next((unit for unit in inputs.units[1:] if unit is not None), None)


def of_product(inputs: UnitInputs) -> Unit | None:
    """The product of the units; constants have none."""
    result: Unit | None = None
    for unit in inputs.units:
        if unit is not None:
            result = unit if result is None else multiply_units(result, unit)
    return result


def of_quotient(inputs: UnitInputs) -> Unit | None:
    """The unit of the first input over that of the second."""
    if all(unit is None for unit in inputs.units):
        return None
    above, below = inputs.units[0] or NO_UNIT, inputs.units[1] or NO_UNIT
    return multiply_units(above, raise_unit(below, -1))


def of_inverse(inputs: UnitInputs) -> Unit | None:
    """One over the unit of the input."""
    unit = inputs.units[0]
    return None if unit is None else raise_unit(unit, -1)


def of_square_root(inputs: UnitInputs) -> Unit | None:
    """The square root of the unit."""
    unit = inputs.units[0]
    return None if unit is None else raise_unit(unit, 0.5)


def of_power(inputs: UnitInputs) -> Unit | None:
    """The unit to a constant power; unknown where the exponent varies."""
    unit, exponent = inputs.units[0], inputs.constants[1]
    if unit is None or unit == NO_UNIT:
        return unit
    return None if exponent is None or math.isnan(exponent) else raise_unit(unit, exponent)


def of_window_product(inputs: UnitInputs) -> Unit | None:
    """The unit to the power of the number of days."""
    return of_power(inputs)


def of_regression(inputs: UnitInputs) -> Unit | None:
    """The unit of what `rettype` selects, from those of y and x."""
    y, x = inputs.units[0], inputs.units[1]
    rettype = inputs.keywords.get("rettype", 0)
    if rettype == 6:
        return NO_UNIT
    if y is None:
        return None
    if rettype in (4, 5, 7):
        return raise_unit(y, 2)
    if rettype in (2, 8):
        return None if x is None else multiply_units(y, raise_unit(x, -1))
    return y


def of_normalized(inputs: UnitInputs) -> Unit | None:
    """The unit of the input, none once it is divided by its deviation."""
    return NO_UNIT if inputs.keywords.get("useStd") else of_first(inputs)


def _field(name: str, unit: str, description: str) -> tuple[str, FieldInfo]:
    return name, FieldInfo(name, "MATRIX", unit, description)


def _group(name: str, description: str) -> tuple[str, FieldInfo]:
    return name, FieldInfo(name, "GROUP", "", description)


DEFAULT_FIELDS: Mapping[str, FieldInfo] = MappingProxyType(
    dict(
        [
            _field("open", "CSPrice:1", "Daily open price"),
            _field("high", "CSPrice:1", "Daily high price"),
            _field("low", "CSPrice:1", "Daily low price"),
            _field("close", "CSPrice:1", "Daily close price"),
            _field("vwap", "CSPrice:1", "Daily volume weighted average price"),
            _field("volume", "CSShare:1", "Daily volume in shares"),
            _field("adv20", "CSShare:1", "Average daily volume in the past 20 days"),
            _field("returns", "", "Daily returns"),
            _field("cap", "CSPrice:1,CSShare:1", "Market capitalisation"),
            _field("sharesout", "CSShare:1", "Shares outstanding"),
            _field("dividend", "CSPrice:1", "Dividend per share"),
            _field("split", "", "Stock split ratio"),
            _group("market", "All instruments in one group"),
            _group("sector", "Sector"),
            _group("industry", "Industry"),
            _group("subindustry", "Subindustry"),
        ]
    )
)
