"""One text for all ways of writing the same thing."""

from __future__ import annotations

import math

from alphafoundry.expressions.binding import bind, keyword_node, read_keyword, same_value
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.registry import Kind, Operator
from alphafoundry.expressions.tree import (
    Boolean,
    Call,
    Field,
    Node,
    Number,
    Text,
    opposite,
    walk_once,
)


class CanonicalForm:
    """The canonical tree of an expression; equal sub-expressions are one node.

    Operators are functions by their full names, parameters at their defaults are left out, the
    inputs of commutative operators are in alphabetical order, minus a number is a number.

    Attributes
    ----------
    root : of the canonical tree
    """

    def __init__(self, root: Node) -> None:
        self._nodes: dict[str, Node] = {}
        self._texts: dict[int, str] = {}
        made: dict[int, Node] = {}
        for node in walk_once(root):
            made[id(node)] = self._call(node, made) if isinstance(node, Call) else self._leaf(node)
        self.root = made[id(root)]
        if isinstance(self.root, Boolean):
            self.root = self._leaf(Number(float(self.root.value), self.root.position))

    def text(self, node: Node) -> str:
        """Return the text of a node of this tree."""
        return self._texts[id(node)]

    def _keep(self, text: str, node: Node) -> Node:
        kept = self._nodes.setdefault(text, node)
        self._texts[id(kept)] = text
        return kept

    def _leaf(self, node: Node) -> Node:
        return self._keep(_leaf_text(node), node)

    def _call(self, node: Call, made: dict[int, Node]) -> Node:
        operator = OPERATORS.get(node.operator)
        if operator is None:
            arguments = [made[id(child)] for child in node.arguments]
            keywords = [(name, made[id(value)]) for name, value in node.keywords]
        else:
            bound = bind(operator, node)
            arguments = [made[id(child)] for child in bound.arguments]
            if operator.name == "reverse" and len(arguments) == 1:
                number = arguments[0]
                if isinstance(number, Number | Boolean) and not bound.keywords:
                    return self._leaf(Number(opposite(float(number.value)), node.position))
            arguments = self._arguments(operator, arguments)
            keywords = self._keywords(operator, bound.keywords, made)
        keywords.sort(key=lambda item: item[0])
        parts = [self.text(child) for child in arguments]
        parts += [f"{name}={self.text(value)}" for name, value in keywords]
        call = Call(node.operator, tuple(arguments), tuple(keywords), node.position)
        return self._keep(f"{node.operator}({', '.join(parts)})", call)

    def _arguments(self, operator: Operator, nodes: list[Node]) -> list[Node]:
        """Turn truth values into numbers, and sort what may change places."""
        if not (operator.commutative or any(type(node) is Boolean for node in nodes)):
            return nodes
        kinds = [operator.input_at(index, len(nodes)).kind for index in range(len(nodes))]
        nodes = [
            self._leaf(Number(float(node.value), node.position))
            if isinstance(node, Boolean) and kind is Kind.MATRIX
            else node
            for node, kind in zip(nodes, kinds, strict=True)
        ]
        if not operator.commutative:
            return nodes
        data = kinds.count(Kind.MATRIX)
        return sorted(nodes[:data], key=self.text) + nodes[data:]

    def _keywords(
        self,
        operator: Operator,
        written: tuple[tuple[str, Node], ...],
        made: dict[int, Node],
    ) -> list[tuple[str, Node]]:
        """Give values their normal form and leave out defaults; wrong ones stay as written."""
        kept: list[tuple[str, Node]] = []
        for name, node in written:
            known = operator.keyword(name)
            value = made[id(node)]
            if known is not None:
                try:
                    read = read_keyword(known, node)
                except ValueError:
                    pass
                else:
                    if same_value(read, known.default):
                        continue
                    value = self._leaf(keyword_node(read, node))
            kept.append((name, value))
        return kept


def format_number(value: float) -> str:
    """Return the shortest text that reads back as the number: 5, not 5.0."""
    if math.isnan(value):
        return "nan"
    if abs(value) < 1e15 and value == math.floor(value):
        return str(int(value))
    return repr(value)


def _leaf_text(node: Node) -> str:
    match node:
        case Number(value):
            return format_number(value)
        case Boolean(value):
            return "true" if value else "false"
        case Text(value):
            return f"'{value}'" if '"' in value else f'"{value}"'
        case Field(name):
            return name
        case Call():
            raise TypeError("a call is not a leaf")
