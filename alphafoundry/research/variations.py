"""Every alpha that is one step away from a given one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from alphafoundry.expressions import OPERATORS, Expression, FieldInfo, Operator
from alphafoundry.expressions.canonical import format_number
from alphafoundry.expressions.registry import Kind
from alphafoundry.expressions.tree import Call, Field, Node, Number
from alphafoundry.research.tree_edits import Path, places
from alphafoundry.simulation.settings import SimulationSettings

LONGEST_WINDOW = 512
WRAPPING_WINDOWS = (3, 5, 10, 20)
COARSE_TO_FINE = ("MARKET", "SECTOR", "INDUSTRY", "SUBINDUSTRY")

_NEARLY_CONSTANT = frozenset({"ts_count_nans", "ts_step", "is_nan", "inst_pnl"})
_ONE_DAY_IS_ENOUGH = frozenset({"ts_delay", "ts_delta"})
_COMPARES_WITH_ITS_PAST = frozenset({"ts_rank", "ts_quantile", "ts_scale", "ts_zscore"})


@dataclass(frozen=True)
class Variation:
    """One step away from an alpha.

    Attributes
    ----------
    kind : "window", "jump", "constant", "operator", "field", "group", "smooth", "wrap",
        "winsorize", "unwrap" or "sign"
    detail : what changes, such as "20 -> 24"
    path, node : where the tree changes and into what
    """

    kind: str
    detail: str
    path: Path
    node: Node

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True)
class SearchSpace:
    """What variations may use.

    Attributes
    ----------
    fields : fields of the market
    operators : names that the account may use
    neutralizations : choices of the setting
    """

    fields: Mapping[str, FieldInfo]
    operators: frozenset[str]
    neutralizations: tuple[str, ...]

    @classmethod
    def of(cls, fields: Mapping[str, FieldInfo], operators: Iterable[str]) -> SearchSpace:
        """Return the space; a neutralization needs the group of its name."""
        groups = {name.upper() for name, info in fields.items() if info.type == "GROUP"}
        known = ("SECTOR", "INDUSTRY", "SUBINDUSTRY")
        possible = ("NONE", "MARKET", *(name for name in known if name in groups))
        return cls(fields, frozenset(operators) & OPERATORS.names("REGULAR"), possible)


def variations(
    expression: Expression, settings: SimulationSettings, space: SearchSpace
) -> dict[str, list[Variation]]:
    """Return the variations of an alpha by kind, in a fixed order.

    Whole windows n vary from 0.8 n to 1.2 n (at least by 1) and jump to n/2 and 2n; other whole
    constants vary like windows, fractions by up to 10 % in steps of 2 %. Operators are exchanged
    for others with the same inputs, fields for others of the same unit, groups for other groups.
    Left out is what the simulation does to the whole alpha anyway: a scale, and the mean of
    groups that are no finer than those of the setting. Not every variation passes `check`.
    """
    found: dict[str, list[Variation]] = {}
    around = _around(expression.root, space, settings.neutralization)
    steps = (*_in_the_tree(expression.root, space), *around)
    for kind, detail, path, node in steps:
        found.setdefault(kind, []).append(Variation(kind, detail, path, node))
    return found


_Step = tuple[str, str, Path, Node]


def _in_the_tree(root: Node, space: SearchSpace) -> Iterator[_Step]:
    for path, node, parent in places(root):
        match node:
            case Number():
                yield from _number(node, path, parent)
            case Field():
                yield from _field(node, path, space)
            case Call():
                yield from _operator(node, path, space)


def _number(node: Number, path: Path, parent: Call | None) -> Iterator[_Step]:
    operator = OPERATORS.get(parent.operator) if parent else None
    if operator is None or parent is None or node.value != node.value:
        return
    index = path[-1]
    by_place = index < len(parent.arguments)
    value = node.value
    count = len(parent.arguments)
    if by_place and operator.input_at(index, count).kind is Kind.LOOKBACK:
        least = _least_window(operator)
        for new in _near(int(value), least, LONGEST_WINDOW):
            yield "window", f"{value:g} -> {new}", path, Number(float(new))
        for jump in (round(value / 2), round(value * 2)):
            if least <= jump <= LONGEST_WINDOW and jump not in _near(int(value), least, 512):
                yield "jump", f"{value:g} -> {jump}", path, Number(float(jump))
    elif value in (-1.0, 0.0, 1.0):
        return
    elif value == int(value):
        for new in _near(int(value), 1 if value > 0 else -LONGEST_WINDOW, 10 * LONGEST_WINDOW):
            yield "constant", f"{value:g} -> {new}", path, Number(float(new))
    else:
        for percent in (-10, -8, -6, -4, -2, 2, 4, 6, 8, 10):
            changed = float(f"{value * (1 + percent / 100):.6g}")
            yield "constant", f"{value:g} -> {format_number(changed)}", path, Number(changed)


def _near(value: int, least: int, most: int) -> list[int]:
    """Return the whole numbers from 0.8 to 1.2 of `value`, at least one to each side."""
    reach = max(1, int(abs(value) * 0.2))
    return [n for n in range(value - reach, value + reach + 1) if n != value and least <= n <= most]


def _least_window(operator: Operator) -> int:
    if operator.name in _ONE_DAY_IS_ENOUGH:
        return 1
    # With two days such a result is one of two values, or none at all.
    data = sum(item.kind is Kind.MATRIX for item in operator.inputs)
    return 3 if data > 1 or operator.name in _COMPARES_WITH_ITS_PAST else 2


def _field(node: Field, path: Path, space: SearchSpace) -> Iterator[_Step]:
    own = space.fields.get(node.name)
    if own is None:
        return
    for name in sorted(space.fields):
        other = space.fields[name]
        if name != node.name and (other.type, other.unit) == (own.type, own.unit):
            kind = "group" if own.type == "GROUP" else "field"
            yield kind, f"{node.name} -> {name}", path, Field(name)


def _operator(node: Call, path: Path, space: SearchSpace) -> Iterator[_Step]:
    own = OPERATORS.get(node.operator)
    if own is None or own.name == "reverse":
        return
    for name in sorted(space.operators):
        other = OPERATORS[name]
        if name in {own.name, "reverse"} | _NEARLY_CONSTANT:
            continue
        if own.category != other.category or _inputs(own) != _inputs(other):
            continue
        if _shortest_window(node, other) >= _least_window(other):
            keywords = tuple(pair for pair in node.keywords if other.keyword(pair[0]) is not None)
            yield "operator", f"{own.name} -> {name}", path, Call(name, node.arguments, keywords)


def _shortest_window(call: Call, operator: Operator) -> float:
    """Return the shortest lookback that `operator` would get from the call, infinity without."""
    given = enumerate(call.arguments)
    return min(
        (
            node.value
            for index, node in given
            if isinstance(node, Number)
            and operator.input_at(index, len(call.arguments)).kind is Kind.LOOKBACK
        ),
        default=math.inf,
    )


def _inputs(operator: Operator) -> tuple[object, ...]:
    return (operator.output, *((item.kind, item.many) for item in operator.inputs))


def _around(root: Node, space: SearchSpace, neutralization: str) -> Iterator[_Step]:
    """Yield what wraps the whole expression, takes its outermost step off, or turns it."""
    yield from _less_or_turned(root, space)
    top = root.operator if isinstance(root, Call) else ""
    for name in ("rank", "quantile"):
        if name in space.operators and name != top:
            yield "wrap", name, (), Call(name, (root,))
    if "winsorize" in space.operators and top != "winsorize":
        for std in (4.0, 2.0):
            winsorized = Call("winsorize", (root,), (("std", Number(std)),))
            yield "winsorize", f"std {std:g}", (), winsorized
    for name in ("ts_decay_linear", "ts_mean"):
        if name in space.operators and name != top:
            for days in WRAPPING_WINDOWS:
                yield "smooth", f"{name} {days}", (), Call(name, (root, Number(float(days))))
    groups = sorted(name for name, info in space.fields.items() if info.type == "GROUP")
    for name in ("group_neutralize", "group_rank", "group_zscore"):
        if name in space.operators and name != top:
            for group in groups:
                if name == "group_neutralize" and _is_neutral_anyway(group, neutralization):
                    continue
                yield "wrap", f"{name} {group}", (), Call(name, (root, Field(group)))


def _less_or_turned(root: Node, space: SearchSpace) -> Iterator[_Step]:
    top = root.operator if isinstance(root, Call) else ""
    if isinstance(root, Call) and any(isinstance(a, Call) for a in root.arguments):
        inner = next(a for a in root.arguments if isinstance(a, Call))
        if top != "reverse":
            yield "unwrap", f"without {top}", (), inner
    if top == "reverse" or "reverse" in space.operators:
        yield "sign", "reversed", (), turned(root)


def turned(root: Node) -> Node:
    """Return the expression with the other sign; a reversed one loses its `reverse`."""
    if isinstance(root, Call) and root.operator == "reverse":
        return root.arguments[0]
    return Call("reverse", (root,))


def _is_neutral_anyway(group: str, neutralization: str) -> bool:
    """Return whether the setting takes away the mean of these groups in any case."""
    order = COARSE_TO_FINE
    name = group.upper()
    return (name in order and neutralization in order) and order.index(name) <= order.index(
        neutralization
    )
