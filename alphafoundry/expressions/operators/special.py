"""Operators that read a field of the market by themselves."""

from __future__ import annotations

from typing import Any

from alphafoundry.expressions.compiled import along_time
from alphafoundry.expressions.registry import Input, Operator
from alphafoundry.expressions.units import of_first

_delay = along_time("windows", "shifted", False)


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
)
