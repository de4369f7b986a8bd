"""The order of phases: a graph by their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter


def generations(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the phases in generations: those of one depend on earlier generations only.

    Parameters
    ----------
    needs : name to the names that it depends on, as the document lists them; that order is kept
        within a generation

    Raises ValueError naming the cycle, "a -> b -> a", where there is one.
    """
    order = list(needs)
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as problem:
        # It lists what comes before first; people read what waits first.
        cycle = problem.args[1][:0:-1]
        start = cycle.index(min(cycle, key=order.index))
        turned = [*cycle[start:], *cycle[:start]]
        raise ValueError(" -> ".join([*turned, turned[0]])) from None
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=order.index)
        found.append(ready)
        sorter.done(*ready)
    return found


def ancestors(name: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return every phase that `name` depends on, directly or not."""
    found: set[str] = set()
    waiting = list(needs[name])
    while waiting:
        need = waiting.pop()
        if need not in found:
            found.add(need)
            waiting.extend(needs[need])
    return found
