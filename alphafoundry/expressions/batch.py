"""In what order a batch of expressions is evaluated, and which values wait for later ones."""

from __future__ import annotations

from bisect import bisect_left
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

    limit : bytes of kept values; beyond it the one that is needed last goes, to be calculated
        again
    """

    def __init__(self, graph: Graph, limit: int) -> None:
        self.graph = graph
        self._limit = limit
        self._below = [self._values_below(root) for root in graph.roots]
        self.order = self._related_first()
        self._readers = self._reading_times()
        self._ending: dict[int, list[str]] = {}
        for text, times in self._readers.items():
            self._ending.setdefault(times[-1], []).append(text)
        self._kept: dict[str, Any] = {}
        self._bytes = 0
        self._time = 0

    def get(self, text: str) -> Any:
        """Return the value that is kept of that text, or None."""
        return self._kept.get(text)

    def put(self, text: str, value: Any) -> None:
        """Keep a value that a later expression reads too."""
        if self._readers[text][-1] > self._time and text not in self._kept:
            self._kept[text] = value
            self._bytes += _size(value)

    def done(self) -> None:
        """Forget what no later expression reads, and what exceeds the limit."""
        for text in self._ending.get(self._time, ()):
            self._forget(text)
        self._time += 1
        if self._bytes <= self._limit:
            return
        for text in sorted(self._kept, key=self._next_reader, reverse=True):
            if self._bytes <= self._limit:
                break
            self._forget(text)

    def _forget(self, text: str) -> None:
        self._bytes -= _size(self._kept.pop(text, None))

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

    def _next_reader(self, text: str) -> int:
        """Return when a value is read next, counted in expressions."""
        times = self._readers[text]
        return times[bisect_left(times, self._time)]


def _size(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else 0
