"""Which alphas hold the same book, though they are written differently.

A search that tries both spends a simulation on nothing. The rules are exact: two alphas with one
`essence` hold the same positions on every market, one perhaps against the other, up to rounding;
that `winsorize` leaves evenly spread values alone supposes that few of them are tied.
"""

from __future__ import annotations

import functools
from collections.abc import Collection

from alphafoundry.expressions import parse
from alphafoundry.expressions.tree import Call, Field, Node, Number
from alphafoundry.research.tree_edits import write

WHOLE_MARKET = "market"
"""The group that all instruments are in."""

_ACROSS = {"group_rank": "rank", "group_zscore": "zscore", "group_neutralize": "normalize"}
"""Operators inside groups, and what they are where the group is the whole market."""

_BLIND_ACROSS = frozenset({*_ACROSS, *_ACROSS.values()})
_BLIND_TO_SHIFT = _BLIND_ACROSS | {"quantile", "ts_delta", "ts_rank", "ts_zscore"}
_HANDS_ON_SHIFT = frozenset({"add", "reverse", "winsorize", "ts_decay_linear", "ts_mean"})
"""What a constant that is added to all values of all days does not change, and is handed on by."""

_ODD = frozenset(
    {"zscore", "normalize", "group_zscore", "group_neutralize", "winsorize", "quantile"}
    | {"ts_decay_linear", "ts_delay", "ts_delta", "ts_mean", "ts_sum", "ts_zscore"}
)
"""Operators that turn with their input."""

_STRETCH = frozenset({"zscore", "normalize", "scale"})
_KEEP_ORDER = _STRETCH | {"rank", "quantile"}
"""What multiplies and moves all values of a day alike, and what keeps their order at least."""

_EVEN = frozenset({"rank", "group_rank"})
_LIMIT_OF_EVEN, _LIMIT_OF_BELLS = 2.0, 4.0
"""Standard deviations within which ranks lie (1.74 at most), and within which they lie as bells
(`quantile`, up to 15,000 names) or less the mean of their group.
"""


@functools.lru_cache(maxsize=65_536)
def essence(canonical: str, *, neutral: bool) -> str:
    """Return a text that is the same for alphas whose books are the same or turned.

    Parameters
    ----------
    canonical : FASTEXPR text
    neutral : whether the settings take away a mean of each day, so that a constant that is added
        to all values changes nothing
    """
    root = _reduced(parse(canonical).canonical_form.root, neutral)
    return write(_unturned(root)[0])


def _unturned(node: Node) -> tuple[Node, bool]:
    """Return the node without its `reverse`, and whether it had one."""
    if isinstance(node, Call) and node.operator == "reverse":
        return node.arguments[0], True
    return node, False


def _turned(node: Node) -> Node:
    inner, was = _unturned(node)
    return inner if was else Call("reverse", (node,))


def _reduced(node: Node, free: bool) -> Node:
    """Return the simplest node with the same book.

    free : whether a constant that is added to all its values changes nothing
    """
    if not isinstance(node, Call):
        return node
    name = node.operator
    if name == "subtract" and len(node.arguments) == 2 and not node.keywords:
        one, other = node.arguments
        if free and isinstance(one, Number):
            return _turned(_reduced(other, True))
        node = Call("add", (one, Call("reverse", (other,))))
        name = "add"
    below = free if name in _HANDS_ON_SHIFT else name in _BLIND_TO_SHIFT
    inputs = tuple(_reduced(argument, below) for argument in node.arguments)
    if name == "reverse":
        return _turned(inputs[0])
    if name in _ODD or (name in _EVEN and free):
        inner, was = _unturned(inputs[0])
        found = _plain(Call(name, (inner, *inputs[1:]), node.keywords))
        return _turned(found) if was else found
    return _plain(Call(name, inputs, node.keywords))


def _plain(call: Call) -> Node:
    """Return the call without steps that change nothing."""
    name = call.operator
    if name == "winsorize" and _leaves_alone(call):
        return call.arguments[0]
    if call.keywords or name not in _BLIND_ACROSS:
        return call
    first = call.arguments[0]
    if name not in _ACROSS:
        return Call(name, (_without(first, name, None),))
    group = call.arguments[1]
    if group == Field(WHOLE_MARKET):
        return _plain(Call(_ACROSS[name], (first,)))
    if name == "group_neutralize" and _is(first, {"group_zscore"}, group):
        return first
    return Call(name, (_without(first, name, group), group))


def _without(node: Node, above: str, group: Node | None) -> Node:
    """Return what is left below `above` without steps that it undoes, in their group or the day."""
    useless: set[str] = {"normalize"}
    in_group = {"group_neutralize"}
    if above not in ("normalize", "group_neutralize"):
        useless |= _STRETCH
        in_group |= {"group_zscore"}
    if above in _EVEN:
        useless |= _KEEP_ORDER
        in_group |= {"group_rank"}
    while isinstance(node, Call) and (
        (node.operator in useless and not node.keywords)
        or (group is not None and _is(node, in_group, group))
    ):
        node = node.arguments[0]
    return node


def _is(node: Node, names: Collection[str], group: Node) -> bool:
    return isinstance(node, Call) and node.operator in names and node.arguments[1] == group


def _leaves_alone(call: Call) -> bool:
    """Return whether winsorize finds nothing to limit."""
    inner = call.arguments[0]
    std = dict(call.keywords).get("std", Number(_LIMIT_OF_BELLS))
    if not isinstance(inner, Call) or not isinstance(std, Number):
        return False
    if inner.operator == "group_neutralize":
        below = inner.arguments[0]
        return isinstance(below, Call) and below.operator in _EVEN and std.value >= _LIMIT_OF_BELLS
    if inner.operator == "quantile" and not inner.keywords:
        return std.value >= _LIMIT_OF_BELLS
    return inner.operator in _EVEN and std.value >= _LIMIT_OF_EVEN
