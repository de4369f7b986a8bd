"""Operators of the `selection` of a SUPER alpha, which chooses among stored alphas.

There every value is a property of the alphas to choose from: one number per alpha, a text (TEXT)
or several texts (COLLECTION).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.registry import Input, Kind, Operator

SELECTION = ("SELECTION",)


def _in(collection: Sequence[Collection[str]], value: Sequence[str | None]) -> NDArray[np.float64]:
    return np.array([float(text in texts) for texts, text in zip(collection, value, strict=True)])


def _universe_size(universe: Sequence[str | None]) -> NDArray[np.float64]:
    """Return the number that a universe's name ends with, 3000 for TOP3000; NaN without one."""
    return np.array([_size(name or "") for name in universe])


def _size(name: str) -> float:
    digits = name.removeprefix("TOP")
    return float(digits) if digits.isascii() and digits.isdigit() else math.nan


OPERATORS = (
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
