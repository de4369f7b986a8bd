"""The typed tree of an expression.

Every node knows the token that it came from. Trees are at most `MAX_DEPTH` deep, and all walks
over them here are loops, so no text can exhaust Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_DEPTH = 200
MAX_NODES = 20_000


@dataclass(frozen=True, slots=True)
class Position:
    """Where a token stands: 1-based line and columns, the end column just after it."""

    line: int = 1
    column: int = 1
    end_column: int = 2


START = Position()


@dataclass(frozen=True, slots=True)
class Number:
    """A constant; `nan` is the constant that is missing."""

    value: float
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string, only ever the value of a keyword."""

    value: str
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    value: bool
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """A data field or a group, by name."""

    name: str
    position: Position = field(default=START, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """An operator with its inputs; infix forms are calls too.

    Attributes
    ----------
    operator : the registered name, or the written one where no operator has it
    arguments : what was given by place
    keywords : what was given by name, in the order written
    position : of the operator's token
    depth, size : levels and nodes of the tree below and including this node
    """

    operator: str
    arguments: tuple[Node, ...]
    keywords: tuple[tuple[str, Node], ...] = ()
    position: Position = field(default=START, compare=False)
    depth: int = field(init=False, compare=False, repr=False)
    size: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        deepest, nodes = 0, 1
        for node in children(self):
            if type(node) is Call:
                nodes += node.size
                deepest = max(deepest, node.depth)
            else:
                nodes += 1
                deepest = deepest or 1
        object.__setattr__(self, "depth", 1 + deepest)
        object.__setattr__(self, "size", nodes)


Node = Number | Text | Boolean | Field | Call


def opposite(value: float) -> float:
    """Return minus a constant. Zero has one sign: -0 is 0, so that 1 / -0 is 1 / 0."""
    return 0.0 - value


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below: arguments, then values of keywords."""
    if type(node) is not Call:
        return ()
    if not node.keywords:
        return node.arguments
    return (*node.arguments, *(value for _, value in node.keywords))


def depth(node: Node) -> int:
    """Return the number of levels of the tree, 1 for a leaf."""
    return node.depth if isinstance(node, Call) else 1


def size(node: Node) -> int:
    """Return the number of nodes of the tree, repeated ones counted each time."""
    return node.size if isinstance(node, Call) else 1


def walk(root: Node) -> Iterator[Node]:
    """Yield every node of the tree once per appearance, children before their parent."""
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, opened = stack.pop()
        if opened or not isinstance(node, Call):
            yield node
        else:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(children(node)))


def walk_once(root: Node) -> Iterator[Node]:
    """Yield every distinct node object once, children before their parent."""
    seen: set[int] = set()
    opened: set[int] = set()
    stack: list[Node] = [root]
    while stack:
        node = stack[-1]
        key = id(node)
        if key in seen:
            stack.pop()
        elif type(node) is not Call or key in opened:
            stack.pop()
            seen.add(key)
            yield node
        else:
            opened.add(key)
            stack.extend(reversed(children(node)))
