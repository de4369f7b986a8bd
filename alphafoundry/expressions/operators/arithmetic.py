"""Operators that work cell by cell on numbers.

NaN in an input gives NaN unless the definition says otherwise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alphafoundry.expressions.instructions import (
    ABSOLUTE,
    ADD,
    DIVIDE,
    INVERT,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATE,
    SIGN,
    SIGNED_SQUARE,
    SQUARE,
    SUBTRACT,
    Instruction,
)
from alphafoundry.expressions.operators.declaration import flag, number
from alphafoundry.expressions.registry import Input, Keyword, KeywordKind, Kind, Operator, Option
from alphafoundry.expressions.units import (
    UnitRule,
    dimensionless,
    of_any,
    of_first,
    of_inverse,
    of_power,
    of_product,
    of_quotient,
    of_square_root,
)

X = Input("x")
Y = Input("y")
MORE = Input("y", many=True)
FILTER = flag("filter")


def _filled(value: Any, filler: float) -> Any:
    return np.where(np.isnan(value), filler, value)


def _add(*values: Any, filter: bool) -> Any:
    if filter:
        values = tuple(_filled(value, 0.0) for value in values)
    return functools.reduce(np.add, values)


def _multiply(*values: Any, filter: bool) -> Any:
    if filter:
        values = tuple(_filled(value, 1.0) for value in values)
    return functools.reduce(np.multiply, values)


def _subtract(x: Any, y: Any, filter: bool) -> Any:
    return np.subtract(_filled(x, 0.0), _filled(y, 0.0)) if filter else np.subtract(x, y)


def _densify(labels: Any) -> Any:
    """Relabel each day's groups as 0..n-1 in the order of their labels; -1 stays -1."""
    out = np.full(labels.shape, -1, np.int32)
    for day, row in enumerate(labels):
        known = row >= 0
        out[day, known] = np.unique(row[known], return_inverse=True)[1]
    return out


def _power(x: Any, y: Any) -> Any:
    if isinstance(y, float) and y == 2.0:
        return np.multiply(x, x)
    return np.where(np.isnan(x) | np.isnan(y), np.nan, np.power(x, y))[()]


def _signed_power(x: Any, y: Any) -> Any:
    return _power(np.abs(x), y) * np.sign(x)


def _to_nan(x: Any, value: float, reverse: bool) -> Any:
    if reverse:
        return np.where(np.isnan(x), value, x)[()]
    return np.where(x == value, np.nan, x)[()]


def _log_compress(x: Any) -> Any:
    return np.sign(x) * np.log1p(np.abs(x))


def _nan_out(x: Any, lower: float | None, upper: float | None) -> Any:
    low = -math.inf if lower is None else lower
    high = math.inf if upper is None else upper
    return np.where((x < low) | (x > high), np.nan, x)[()]


def _one_bound(values: Mapping[str, Option]) -> str | None:
    if values["lower"] is None and values["upper"] is None:
        return 'Required attribute "lower" must have a value'
    return None


def _finite(x: Any) -> Any:
    return np.where(np.isinf(x), np.nan, x)[()]


def _sigmoid(x: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _round_down(x: Any, f: float) -> Any:
    return np.floor(np.divide(x, f)) * f


def _clamp(x: Any, lower: float, upper: float) -> Any:
    return np.minimum(np.maximum(x, lower), upper)


def _replace(x: Any, target: tuple[float, ...], dest: tuple[float, ...]) -> Any:
    result = x
    for old, new in zip(target, dest, strict=True):
        result = np.where(np.isnan(x) if math.isnan(old) else x == old, new, result)
    return result[()]


def _wrong_replacement(values: Mapping[str, Option]) -> str | None:
    target, dest = values["target"], values["dest"]
    for name, given in (("target", target), ("dest", dest)):
        if not isinstance(given, tuple) or not given:
            return f'Required attribute "{name}" must have a value'
    if isinstance(target, tuple) and isinstance(dest, tuple) and len(target) != len(dest):
        return f'Got invalid value for attribute "dest", must have {len(target)} value(s) as target'
    return None


def _convert(x: Any, close: Any, mode: str) -> Any:
    return x / close if mode == "dollar2share" else x * close


def _of_one(
    name: str,
    kernel: Callable[..., Any],
    definition: str,
    unit: UnitRule = dimensionless,
    *,
    tier: str = "base",
    keywords: tuple[Keyword, ...] = (),
    aliases: tuple[str, ...] = (),
    check: Callable[[Mapping[str, Option]], str | None] | None = None,
    keeps_nan: bool = True,
    instruction: int | None = None,
) -> Operator:
    return Operator(
        name,
        "Arithmetic",
        (X,),
        definition,
        kernel,
        unit,
        keywords=keywords,
        aliases=aliases,
        tier=tier,
        elementwise=True,
        instruction=None if instruction is None else Instruction(instruction, (0,)),
        keeps_nan=keeps_nan,
        check=check,
    )


def _of_more(
    name: str,
    inputs: tuple[Input, ...],
    kernel: Callable[..., Any],
    definition: str,
    unit: UnitRule,
    *,
    agree: tuple[int, ...] | None = (),
    keywords: tuple[Keyword, ...] = (),
    commutative: bool = False,
    aliases: tuple[str, ...] = (),
    tier: str = "base",
    instruction: Instruction | None = None,
) -> Operator:
    return Operator(
        name,
        "Arithmetic",
        inputs,
        definition,
        kernel,
        unit,
        agree,
        keywords,
        aliases,
        tier,
        commutative=commutative,
        elementwise=True,
        instruction=instruction,
        keeps_nan=not keywords,
    )


OPERATORS = (
    _of_one("abs", np.abs, "Absolute value of each cell.", of_first, instruction=ABSOLUTE),
    _of_more(
        "add",
        (X, MORE),
        _add,
        "Sum of two or more inputs; filter=true counts NaN as 0. Also written x + y.",
        of_any,
        agree=None,
        keywords=(FILTER,),
        commutative=True,
        instruction=Instruction(ADD),
    ),
    Operator(
        "densify",
        "Arithmetic",
        (Input("group", Kind.GROUP),),
        "Labels each day's groups afresh as 0..n-1, so that only those present remain.",
        _densify,
        output=Kind.GROUP,
    ),
    _of_more(
        "divide",
        (X, Y),
        np.divide,
        "x over y. Over zero it is inf or -inf, and 0/0 is NaN. Also written x / y.",
        of_quotient,
        instruction=Instruction(DIVIDE),
    ),
    _of_one(
        "inverse",
        lambda x: np.divide(1.0, x),
        "One over x; inf where x is 0.",
        of_inverse,
        instruction=INVERT,
    ),
    _of_one("log", np.log, "Natural logarithm; NaN below 0, -inf at 0."),
    _of_more(
        "max",
        (X, MORE),
        lambda *values: functools.reduce(np.maximum, values),
        "Largest of two or more inputs, cell by cell.",
        of_any,
        agree=None,
        commutative=True,
        instruction=Instruction(MAXIMUM),
    ),
    _of_more(
        "min",
        (X, MORE),
        lambda *values: functools.reduce(np.minimum, values),
        "Smallest of two or more inputs, cell by cell.",
        of_any,
        agree=None,
        commutative=True,
        instruction=Instruction(MINIMUM),
    ),
    _of_more(
        "multiply",
        (X, MORE),
        _multiply,
        "Product of two or more inputs; filter=true counts NaN as 1. Also written x * y.",
        of_product,
        keywords=(FILTER,),
        commutative=True,
        instruction=Instruction(MULTIPLY),
    ),
    _of_more(
        "power",
        (X, Y),
        _power,
        "x to the power y; NaN for a broken power of a negative number. Also written x ^ y.",
        of_power,
        instruction=Instruction(SQUARE, (0,), only=2.0),
    ),
    _of_one("reverse", np.negative, "Minus x. Also written -x.", of_first, instruction=NEGATE),
    _of_one("sign", np.sign, "1, -1 or 0 by the sign of x.", instruction=SIGN),
    _of_more(
        "signed_power",
        (X, Y),
        _signed_power,
        "The absolute value of x to the power y, with the sign of x.",
        of_power,
        instruction=Instruction(SIGNED_SQUARE, (0,), only=2.0),
    ),
    _of_one("sqrt", np.sqrt, "Square root; NaN below 0.", of_square_root),
    _of_more(
        "subtract",
        (X, Y),
        _subtract,
        "x minus y; filter=true counts NaN as 0. Also written x - y.",
        of_any,
        agree=None,
        keywords=(FILTER,),
        instruction=Instruction(SUBTRACT),
    ),
    _of_one(
        "to_nan",
        _to_nan,
        "Turns cells equal to value into NaN; reverse=true turns NaN into value.",
        of_first,
        tier="ext",
        keywords=(number("value", 0.0), flag("reverse")),
        keeps_nan=False,
    ),
    _of_one(
        "s_log_1p",
        _log_compress,
        "sign(x) * log(1 + |x|). The published text gives no formula; this is the usual one.",
        tier="ext",
    ),
    _of_more(
        "nan_mask",
        (X, Y),
        lambda x, y: np.where(y < 0, np.nan, x)[()],
        "x where the mask y is not negative, NaN where it is.",
        of_first,
        tier="legacy",
    ),
    _of_one(
        "nan_out",
        _nan_out,
        "NaN where x is below lower or above upper; at least one bound must be given.",
        of_first,
        tier="legacy",
        keywords=(number("lower", None), number("upper", None)),
        check=_one_bound,
    ),
    _of_one(
        "pasteurize",
        _finite,
        "NaN where x is infinite, and outside the universe where a universe is set.",
        of_first,
        tier="legacy",
    ),
    _of_one("purify", _finite, "NaN where x is infinite.", of_first, tier="legacy"),
    _of_one("exp", np.exp, "e to the power x.", tier="legacy"),
    _of_one("tanh", np.tanh, "Hyperbolic tangent.", tier="legacy"),
    _of_one("sigmoid", _sigmoid, "1 / (1 + e^-x).", tier="legacy"),
    _of_one("arc_sin", np.arcsin, "Inverse sine; NaN outside -1..1.", tier="legacy"),
    _of_one("arc_cos", np.arccos, "Inverse cosine; NaN outside -1..1.", tier="legacy"),
    _of_one("arc_tan", np.arctan, "Inverse tangent.", tier="legacy"),
    _of_one(
        "round",
        np.rint,
        "Nearest whole number; halves go to the even one.",
        of_first,
        tier="legacy",
    ),
    _of_one("floor", np.floor, "Largest whole number not above x.", of_first, tier="legacy"),
    _of_one("ceiling", np.ceil, "Smallest whole number not below x.", of_first, tier="legacy"),
    _of_one(
        "fraction",
        lambda x: x - np.trunc(x),
        "What is left of x without its whole part, with its sign.",
        tier="legacy",
    ),
    _of_one(
        "round_down",
        _round_down,
        "Largest multiple of f not above x; NaN where f is 0.",
        of_first,
        tier="legacy",
        keywords=(number("f", 1.0),),
    ),
    _of_one(
        "clamp",
        _clamp,
        "x limited to lower..upper.",
        of_first,
        tier="legacy",
        keywords=(number("lower", 0.0), number("upper", 0.0)),
    ),
    _of_one(
        "replace",
        _replace,
        "x, each value listed in target replaced by the one at its place in dest; both may hold "
        "NaN.",
        of_first,
        tier="legacy",
        keywords=(
            Keyword("target", KeywordKind.NUMBERS, None),
            Keyword("dest", KeywordKind.NUMBERS, None),
        ),
        check=_wrong_replacement,
        keeps_nan=False,
    ),
    Operator(
        "convert",
        "Arithmetic",
        (X,),
        "Dollars in shares, x / close (mode=dollar2share), or shares in dollars, x * close "
        "(mode=share2dollar). The lists name the first mode only.",
        _convert,
        lambda _: None,
        keywords=(
            Keyword(
                "mode",
                KeywordKind.TEXT,
                "dollar2share",
                choices=("dollar2share", "share2dollar"),
            ),
        ),
        tier="legacy",
        keeps_nan=True,
        reads=("close",),
    ),
)
