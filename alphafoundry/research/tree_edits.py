"""Small surgery on expression trees."""

from __future__ import annotations

from collections.abc import Iterator

from alphafoundry.expressions.canonical import CanonicalForm
from alphafoundry.expressions.tree import Call, Field, Node, children, walk_once

Path = tuple[int, ...]
"""The way from the root to a node: at each step the index among `children`."""

_MAY_REPEAT_AN_INPUT = frozenset({"add", "multiply", "power", "signed_power", "and", "or"})


def write(root: Node) -> str:
    """Return the tree as text, in canonical form."""
    form = CanonicalForm(root)
    return form.text(form.root)


def places(root: Node) -> Iterator[tuple[Path, Node, Call | None]]:
    """Yield every node with its path and its parent, from the top, left to right."""
    stack: list[tuple[Path, Node, Call | None]] = [((), root, None)]
    while stack:
        path, node, parent = stack.pop()
        yield path, node, parent
        if isinstance(node, Call):
            below = list(enumerate(children(node)))
            stack.extend(((*path, index), child, node) for index, child in reversed(below))


def replaced(root: Node, path: Path, new: Node) -> Node:
    """Return the tree with the node at `path` replaced by `new`."""
    above: list[Call] = []
    node = root
    for index in path:
        if not isinstance(node, Call):
            raise ValueError(f"no node at {path}")
        above.append(node)
        node = children(node)[index]
    for call, index in zip(reversed(above), reversed(path), strict=True):
        new = _with_child(call, index, new)
    return new


def is_pointless(root: Node) -> bool:
    """Return whether some operator gets the same input twice, which makes it constant.

    `subtract(close, close)` and `ts_corr(close, close, 10)` are; `multiply(x, x)` is not.
    """
    for node in walk_once(root):
        if not isinstance(node, Call) or node.operator in _MAY_REPEAT_AN_INPUT:
            continue
        data = [child for child in node.arguments if isinstance(child, Call | Field)]
        if any(data[i] == data[j] for i in range(len(data)) for j in range(i)):
            return True
    return False


def _with_child(call: Call, index: int, new: Node) -> Call:
    count = len(call.arguments)
    if index < count:
        arguments = (*call.arguments[:index], new, *call.arguments[index + 1 :])
        return Call(call.operator, arguments, call.keywords, call.position)
    keywords = list(call.keywords)
    keywords[index - count] = (keywords[index - count][0], new)
    return Call(call.operator, call.arguments, tuple(keywords), call.position)
