"""The special operators: one that reads a field by itself, and those of a SUPER alpha's selection.

The `selection` of a SUPER alpha chooses among stored alphas. There every value is a property of
the alphas to choose from: one number per alpha, a text (TEXT) or several texts (COLLECTION).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import along_time
from alphafoundry.expressions.registry import Input, Kind, Operator
from alphafoundry.expressions.units import of_first

SELECTION = ("SELECTION",)

_delay = along_time("windows", "shifted", False)


def _in(collection: Sequence[Collection[str]], value: Sequence[str | None]) -> NDArray[np.float64]:
    return np.array([float(text in texts) for texts, text in zip(collection, value, strict=True)])


def _universe_size(universe: Sequence[str | None]) -> NDArray[np.float64]:
    """Return the number that a universe's name ends with, 3000 for TOP3000; NaN without one."""
    return np.array([_size(name or "") for name in universe])


def _size(name: str) -> float:
    digits = name.removeprefix("TOP")
    return float(digits) if digits.isascii() and digits.isdigit() else math.nan


def _profit(x: Any, returns: Any) -> Any:
    return _delay(x, 1) * returns


OPERATORS = (
    Operator(
        "inst_pnl",
        "Special",
        (Input("x"),),
        "What each instrument earned today with yesterday's x as its weight: yesterday's x times "
        "the field returns.",
        _profit,
        of_first,
        tier="legacy",
        extra_days=1,
        reads=("returns",),
    ),
    Operator(
        "in",
        "Special",
        (Input("collection", Kind.COLLECTION), Input("value", Kind.TEXT)),
        'Whether a collection of texts holds one: in(datafields, "close").',
        _in,
        tier="super",
        scope=SELECTION,
    ),
    Operator(
        "universe_size",
        "Special",
        (Input("universe", Kind.TEXT),),
        "Number of instruments that a universe is named after: 3000 for TOP3000; NaN for one "
        "that is not named so.",
        _universe_size,
        tier="super",
        scope=SELECTION,
    ),
)
