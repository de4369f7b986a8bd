"""The distinct sub-expressions of one or more expressions, and who needs whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from alphafoundry.expressions.canonical import CanonicalForm
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.tree import Call, Node, walk_once


class Graph:
    """Sub-expressions by canonical text; equal ones of different expressions are one.

    Attributes
    ----------
    roots : text of each expression, in the order given
    inputs : text to the texts of its arguments
    parents : text to the texts that read it
    """

    def __init__(self, forms: Iterable[CanonicalForm]) -> None:
        self._nodes: dict[str, Node] = {}
        self._same: dict[str, str] = {}
        self.roots: list[str] = []
        self.inputs: dict[str, tuple[str, ...]] = {}
        self.parents: dict[str, list[str]] = {}
        for form in forms:
            for node in walk_once(form.root):
                self._add(form, node)
            self.roots.append(self._meant(form.text(form.root)))
        self._is_root = frozenset(self.roots)
        self._sources: dict[str, list[str]] = {}

    @property
    def calculations(self) -> int:
        """How many values are calculated, a chain of cell-by-cell operators counted once."""
        return sum(
            isinstance(node, Call) and not self.fuses(text) for text, node in self._nodes.items()
        )

    def node(self, text: str) -> Node:
        """Return the node of that text."""
        return self._nodes[text]

    def fuses(self, text: str) -> bool:
        """Whether the value is only ever a step of one cell-by-cell calculation."""
        if text in self._is_root or not self.is_cellwise(text):
            return False
        readers = self.parents[text]
        return len(readers) == 1 and self.is_cellwise(readers[0])

    def is_cellwise(self, text: str) -> bool:
        """Whether the node is an operator that works cell by cell."""
        node = self._nodes[text]
        return isinstance(node, Call) and OPERATORS[node.operator].elementwise

    def sources(self, text: str) -> list[str]:
        """Return the values that must be there before this one, steps in between left out."""
        if text not in self._sources:
            self._sources[text] = self._read_by(text)
        return self._sources[text]

    def _read_by(self, text: str) -> list[str]:
        found: dict[str, None] = {}
        stack = list(self.inputs[text])
        while stack:
            below = stack.pop()
            if self.fuses(below):
                stack.extend(self.inputs[below])
            else:
                found[below] = None
        return list(found)

    def steps(self, text: str) -> Iterator[str]:
        """Yield the cell-by-cell operators that lead to this one and itself, inputs first."""
        stack = [(text, False)]
        seen: set[str] = set()
        while stack:
            here, opened = stack.pop()
            if opened:
                yield here
            elif here not in seen:
                seen.add(here)
                stack.append((here, True))
                stack.extend((below, False) for below in self.inputs[here] if self.fuses(below))

    def _add(self, form: CanonicalForm, node: Node) -> None:
        text = form.text(node)
        if text in self.inputs or text in self._same:
            return
        below: Sequence[str] = ()
        if isinstance(node, Call):
            below = [self._meant(form.text(child)) for child in node.arguments]
            inner = self._nodes[below[0]] if len(below) == 1 else None
            if isinstance(inner, Call) and inner.operator == node.operator:
                operator = OPERATORS[node.operator]
                if operator.idempotent and not node.keywords and not inner.keywords:
                    self._same[text] = below[0]
                    return
        self._nodes[text] = node
        self.inputs[text] = tuple(below)
        self.parents.setdefault(text, [])
        for child in dict.fromkeys(below):
            self.parents[child].append(text)

    def _meant(self, text: str) -> str:
        return self._same.get(text, text)
