"""In what order a batch of expressions is evaluated, and which values wait for later ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from alphafoundry.expressions.graph import Graph


class Batch:
    """The plan of a batch and the values that it keeps between expressions.

    Attributes
    ----------
    graph : of all expressions
    order : places of the expressions, related ones next to each other
    kept : values by text that a later expression reads

    limit : bytes of kept values; beyond it the one that is needed last goes, to be calculated
        again
    """

    def __init__(self, graph: Graph, limit: int) -> None:
        self.graph = graph
        self.kept: dict[str, Any] = {}
        self._limit = limit
        self._below = [self._values_below(root) for root in graph.roots]
        self.order = self._related_first()
        self._readers = self._reading_times()
        self._time = 0

    def done(self, place: int) -> None:
        """Forget what no later expression reads, and what exceeds the limit."""
        self._time += 1
        needed = {text: self._next_reader(text) for text in self.kept}
        for text in [text for text, when in needed.items() if when is None]:
            del self.kept[text]
        size = sum(value.nbytes for value in self.kept.values() if isinstance(value, np.ndarray))
        for text in sorted(self.kept, key=lambda text: -(needed[text] or 0)):
            if size <= self._limit:
                break
            size -= getattr(self.kept.pop(text), "nbytes", 0)

    def _values_below(self, root: str) -> list[str]:
        """Return the values that an expression calculates, itself first."""
        found = {root: None}
        stack = [root]
        while stack:
            for source in self.graph.sources(stack.pop()):
                if source not in found:
                    found[source] = None
                    stack.append(source)
        return list(found)

    def _related_first(self) -> list[int]:
        """Sort by the largest shared sub-expressions: what shares most is next to each other."""
        readers = Counter(text for below in self._below for text in below)
        weight = {
            text: len(text) * (count - 1)
            for text, count in readers.items()
            if count > 1 and self.graph.inputs[text]
        }

        def shared(place: int) -> list[tuple[int, str]]:
            texts = [text for text in self._below[place] if text in weight]
            return sorted((-weight[text], text) for text in texts)

        return sorted(range(len(self._below)), key=shared)

    def _reading_times(self) -> dict[str, list[int]]:
        """Return when, counted in expressions, each value is read by one not yet calculated."""
        made: dict[str, int] = {}
        times: dict[str, list[int]] = {}
        for time, place in enumerate(self.order):
            for text in self._below[place]:
                if text not in made:
                    made[text] = time
                    for source in self.graph.sources(text):
                        times.setdefault(source, []).append(time)
            times.setdefault(self.graph.roots[place], []).append(time)
        return times

    def _next_reader(self, text: str) -> int | None:
        return next((time for time in self._readers.get(text, ()) if time >= self._time), None)
