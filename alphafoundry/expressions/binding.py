"""Which written input belongs to which declared one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from alphafoundry.expressions.registry import Input, Keyword, KeywordKind, Operator, Option
from alphafoundry.expressions.tree import Boolean, Call, Node, Number, Text


@dataclass(frozen=True)
class Bound:
    """A call with constants that were given by name moved to their place.

    Attributes
    ----------
    arguments : by place
    keywords : what remains given by name
    missing : the first constant input that was not given at all
    fits : whether the number of arguments is right
    """

    arguments: tuple[Node, ...]
    keywords: tuple[tuple[str, Node], ...]
    missing: Input | None
    fits: bool


def bind(operator: Operator, call: Call) -> Bound:
    """Put the inputs of a call in the operator's order."""
    if not (call.keywords or operator.many):
        return _bind_places(operator, call.arguments)
    named = dict(call.keywords)
    places = list(call.arguments)
    if operator.many:
        return _bind_many(operator, places, named)
    data = operator.data_inputs
    arguments: list[Node] = []
    missing: Input | None = None
    for item in operator.inputs:
        given = next((name for name in named if name in item.names), None)
        if given is not None:
            arguments.append(named.pop(given))
        elif places:
            arguments.append(places.pop(0))
        elif item.constant and len(call.arguments) >= data:
            missing = missing or item
    fits = not places and len(arguments) == len(operator.inputs)
    return Bound((*arguments, *places), tuple(named.items()), missing, fits)


def _bind_places(operator: Operator, places: tuple[Node, ...]) -> Bound:
    """Return the same for a call without anything given by name, as most are."""
    given, declared = len(places), len(operator.inputs)
    left_out = operator.inputs[given:] if given >= operator.data_inputs else ()
    missing = next((item for item in left_out if item.constant), None)
    return Bound(places, (), missing, given == declared)


def _bind_many(operator: Operator, places: list[Node], named: dict[str, Node]) -> Bound:
    """Put a last constant that was given by name behind the inputs given by place."""
    last = operator.inputs[-1]
    given = next((name for name in named if name in last.names), None)
    if given is not None:
        places.append(named.pop(given))
    short = len(operator.inputs) - len(places)
    missing = last if last.constant and given is None and short == 1 else None
    return Bound(tuple(places), tuple(named.items()), missing, short <= 0)


def read_keyword(keyword: Keyword, node: Node) -> Option:
    """Return the value that was given for a keyword.

    Raises ValueError with what the value must be.
    """
    if keyword.kind is KeywordKind.BOOLEAN:
        return _read_boolean(node)
    if keyword.kind is KeywordKind.NUMBER:
        return _read_number(keyword, node)
    if not isinstance(node, Text):
        if keyword.kind is KeywordKind.NUMBERS and isinstance(node, Number):
            return (node.value,)
        raise ValueError("must be a string")
    if keyword.kind is KeywordKind.NUMBERS:
        return _read_numbers(node.value)
    text = node.value.strip().lower()
    if keyword.choices and text not in keyword.choices:
        raise ValueError(f"must be one of {', '.join(keyword.choices)}")
    return text


def keyword_node(value: Option, like: Node) -> Node:
    """Return the normal form of a keyword's value as a node."""
    if isinstance(value, bool):
        return Boolean(value, like.position)
    if isinstance(value, tuple):
        return Text(", ".join(map(_format, value)), like.position)
    if isinstance(value, str):
        return Text(value, like.position)
    return like


def same_value(left: Option, right: Option) -> bool:
    """Whether two keyword values mean the same; NaN equals NaN."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return list(map(_format, left)) == list(map(_format, right))
    return left == right


def _format(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.17g}"


def _read_boolean(node: Node) -> bool:
    if isinstance(node, Boolean):
        return node.value
    if isinstance(node, Number) and node.value in (0, 1):
        return bool(node.value)
    raise ValueError("must be true or false")


def _read_number(keyword: Keyword, node: Node) -> float:
    if not isinstance(node, Number) or math.isnan(node.value):
        raise ValueError("must be constant or string")
    if keyword.whole and node.value != math.floor(node.value):
        raise ValueError("must be a whole number")
    if keyword.minimum is not None and node.value < keyword.minimum:
        raise ValueError(f"must be at least {keyword.minimum:g}")
    if keyword.maximum is not None and node.value > keyword.maximum:
        raise ValueError(f"must be at most {keyword.maximum:g}")
    if keyword.choices and f"{node.value:g}" not in keyword.choices:
        raise ValueError(f"must be one of {', '.join(keyword.choices)}")
    return node.value


def _read_numbers(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in re.split(r"[\s,]+", text) if part)
    except ValueError:
        raise ValueError("must be numbers separated by commas") from None
    if any(map(math.isinf, values)):
        raise ValueError("must be finite numbers")
    return values
