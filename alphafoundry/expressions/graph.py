"""The distinct sub-expressions of one or more expressions, and who needs whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from alphafoundry.expressions.canonical import CanonicalForm
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.registry import Pieces
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
        self._root_count = Counter(self.roots)
        self._end: dict[str, str] = {}
        self._pieces: dict[str, Pieces] = {}
        self._join()

    @property
    def calculations(self) -> int:
        """How many values are calculated, operators that run together counted once."""
        return sum(
            isinstance(node, Call) and not self.fuses(text) for text, node in self._nodes.items()
        )

    def node(self, text: str) -> Node:
        """Return the node of that text."""
        return self._nodes[text]

    def fuses(self, text: str) -> bool:
        """Whether the value is only a step on the way to one other value of `steps`."""
        return self._end.get(text, text) != text

    def pieces(self, text: str) -> Pieces:
        """How the steps that lead to a value may share the panel among them."""
        return self._pieces[text]

    def is_shared(self, text: str) -> bool:
        """Whether the value is read more than once, by expressions or as one."""
        return len(self.parents[text]) + self._root_count[text] > 1

    def sources(self, text: str) -> list[str]:
        """Return the values that must be there before this one, steps in between left out."""
        inside = self.steps(text)
        below = dict.fromkeys(name for step in inside for name in self.inputs[step])
        return [name for name in below if name not in inside]

    def steps(self, text: str) -> list[str]:
        """Return the operators that run together up to this value, inputs first, itself last."""
        found = {text}
        stack = [text]
        while stack:
            for below in self.inputs[stack.pop()]:
                if below not in found and self.fuses(below):
                    found.add(below)
                    stack.append(below)
        return sorted(found, key=self._place.__getitem__)

    def _join(self) -> None:
        """Let each value run with the ones that read it, where one piece of the panel does.

        Readers come before what they read. The end of a run is a value that is needed whole.
        """
        self._place = {text: place for place, text in enumerate(self._nodes)}
        for text in reversed(self._nodes):
            node = self._nodes[text]
            if not isinstance(node, Call):
                continue
            own = OPERATORS[node.operator].pieces
            ends = {self._end[reader] for reader in self.parents[text]}
            end = text
            if text not in self._root_count and len(ends) == 1:
                (reader,) = ends
                together = _together(self._pieces[reader], own)
                if together is not None:
                    end = reader
                    own = together
            self._end[text] = end
            self._pieces[end] = own

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


def _together(first: Pieces, second: Pieces) -> Pieces | None:
    """Return the pieces on which both kinds of operators can run, None where there are none."""
    if Pieces.WHOLE in (first, second):
        return None
    if first is Pieces.CELLS:
        return second
    return first if second in (Pieces.CELLS, first) else None
