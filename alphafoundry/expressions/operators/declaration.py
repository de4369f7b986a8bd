"""How the operators of a category are declared: what is the same for all of them, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alphafoundry.expressions.operators.drivers import DRIVERS
from alphafoundry.expressions.registry import Input, Kernel, Keyword, KeywordKind, Operator
from alphafoundry.expressions.units import UnitRule, dimensionless

DRIVER = Keyword("driver", KeywordKind.TEXT, "gaussian", choices=DRIVERS)


def declares(
    category: str, *, unit: UnitRule = dimensionless, **usual: Any
) -> Callable[..., Operator]:
    """Return what makes the operators of a category: `operator(name, inputs, kernel, definition)`.

    Parameters
    ----------
    unit : of the results, where an operator does not say another
    usual : attributes of `Operator` that the category's operators have unless they say otherwise
    """

    def operator(
        name: str,
        inputs: tuple[Input, ...],
        kernel: Kernel,
        definition: str,
        unit: UnitRule = unit,
        **more: Any,
    ) -> Operator:
        return Operator(name, category, inputs, definition, kernel, unit, **{**usual, **more})

    return operator


def number(name: str, default: float | None, minimum: float | None = None, **more: Any) -> Keyword:
    """Return a keyword that takes a number; `more` are attributes of `Keyword`."""
    return Keyword(name, KeywordKind.NUMBER, default, minimum=minimum, **more)


def flag(name: str, default: bool = False) -> Keyword:
    """Return a keyword that takes true or false."""
    return Keyword(name, KeywordKind.BOOLEAN, default)
