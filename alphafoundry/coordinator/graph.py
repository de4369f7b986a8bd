"""The order of phases: a graph by their inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def topological(order: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the phases in generations: those of one depend on earlier generations only.

    Parameters
    ----------
    order : names as the document lists them; kept within a generation
    needs : name to the names that it depends on, all of them in `order`

    Raises ValueError naming the cycle, "a -> b -> a", where there is one.
    """
    done: set[str] = set()
    generations = []
    left = list(order)
    while left:
        ready = [name for name in left if all(need in done for need in needs[name])]
        if not ready:
            raise ValueError(" -> ".join(_cycle(left, needs)))
        generations.append(ready)
        done.update(ready)
        left = [name for name in left if name not in done]
    return generations


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


def _cycle(left: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Follow unmet needs until a name comes again."""
    path = [left[0]]
    while True:
        following = next(need for need in needs[path[-1]] if need in left)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
