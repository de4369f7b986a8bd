"""Operators that answer yes (1) or no (0).

A number is true where it is not 0. NaN in an input gives NaN, so a missing price never becomes a
position; is_nan asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from alphafoundry.expressions import instructions
from alphafoundry.expressions.compiled import cellwise
from alphafoundry.expressions.instructions import Instruction
from alphafoundry.expressions.registry import Input, Operator
from alphafoundry.expressions.units import dimensionless, of_branches

A = Input("a")
B = Input("b")


def _answer(known: Any, *inputs: Any) -> Any:
    missing = np.isnan(inputs[0])
    for value in inputs[1:]:
        missing = missing | np.isnan(value)
    return np.where(missing, np.nan, known)[()]


LESS, LESS_EQUAL, EQUAL, NOT_EQUAL, AND, OR = (cellwise("compare", mode) for mode in range(6))


def _greater(a: Any, b: Any) -> Any:
    return LESS(b, a)


def _greater_equal(a: Any, b: Any) -> Any:
    return LESS_EQUAL(b, a)


def _not(x: Any) -> Any:
    return _answer(np.equal(x, 0), x)


def _is(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x) * 1.0


def _of_two(
    name: str,
    sign: str,
    kernel: Callable[[Any, Any], Any],
    definition: str,
    *,
    instruction: Instruction,
    commutative: bool = False,
    measured: bool = True,
) -> Operator:
    return Operator(
        name,
        "Logical",
        (A, B),
        f"{definition} Also written a {sign} b.",
        kernel,
        dimensionless,
        None if measured else (),
        commutative=commutative,
        compares_texts=measured,
        elementwise=True,
        instruction=instruction,
        keeps_nan=True,
    )


def _test(name: str, kernel: Callable[[Any], Any], definition: str, tier: str) -> Operator:
    return Operator(name, "Logical", (Input("x"),), definition, kernel, tier=tier, elementwise=True)


OPERATORS = (
    _of_two(
        "and",
        "&&",
        AND,
        "1 where both are true.",
        commutative=True,
        measured=False,
        instruction=Instruction(instructions.AND),
    ),
    _of_two(
        "or",
        "||",
        OR,
        "1 where at least one is true.",
        commutative=True,
        measured=False,
        instruction=Instruction(instructions.OR),
    ),
    Operator(
        "not",
        "Logical",
        (Input("x"),),
        "1 where x is 0, else 0. Also written !x.",
        _not,
        elementwise=True,
        instruction=Instruction(instructions.NOT, (0,)),
        keeps_nan=True,
    ),
    _of_two(
        "equal",
        "==",
        EQUAL,
        "1 where a equals b.",
        commutative=True,
        instruction=Instruction(instructions.EQUAL),
    ),
    _of_two(
        "not_equal",
        "!=",
        NOT_EQUAL,
        "1 where a differs from b.",
        commutative=True,
        instruction=Instruction(instructions.NOT_EQUAL),
    ),
    _of_two(
        "less", "<", LESS, "1 where a is less than b.", instruction=Instruction(instructions.LESS)
    ),
    _of_two(
        "less_equal",
        "<=",
        LESS_EQUAL,
        "1 where a is at most b.",
        instruction=Instruction(instructions.LESS_EQUAL),
    ),
    _of_two(
        "greater",
        ">",
        _greater,
        "1 where a is greater than b.",
        instruction=Instruction(instructions.LESS, (1, 0)),
    ),
    _of_two(
        "greater_equal",
        ">=",
        _greater_equal,
        "1 where a is at least b.",
        instruction=Instruction(instructions.LESS_EQUAL, (1, 0)),
    ),
    Operator(
        "if_else",
        "Logical",
        (Input("condition"), A, B),
        "a where the condition is true, b where it is false. Also written condition ? a : b.",
        cellwise("choose"),
        of_branches,
        (1, 2),
        elementwise=True,
        instruction=Instruction(instructions.CHOOSE, (0, 1, 2)),
        keeps_nan=True,
    ),
    _test("is_nan", _is(np.isnan), "1 where x is NaN, else 0.", "base"),
    _test("is_not_nan", _is(lambda x: ~np.isnan(x)), "0 where x is NaN, else 1.", "legacy"),
    _test(
        "is_finite", _is(np.isfinite), "1 where x is neither NaN nor infinite, else 0.", "legacy"
    ),
    _test(
        "is_not_finite",
        _is(lambda x: ~np.isfinite(x)),
        "1 where x is NaN or infinite, else 0.",
        "legacy",
    ),
    Operator(
        "negate",
        "Logical",
        (Input("x"),),
        "1 where x is 0, else 0, as not.",
        _not,
        tier="legacy",
        elementwise=True,
        keeps_nan=True,
    ),
)
