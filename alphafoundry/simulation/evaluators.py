"""What simulations on one panel share: universes, and evaluators with their sub-expressions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import Conventions, Evaluator
from alphafoundry.market.panel import Panel
from alphafoundry.market.universe import universe_mask
from alphafoundry.simulation.weights import group_count

Mask = NDArray[np.bool_]
Made = TypeVar("Made")

UniverseOf = Callable[[str], tuple[Mask, str | None]]
"""Tells who is in a universe, shape (n_days, n_instruments), with a note for people or None."""


class EvaluatorCache:
    """Universes and evaluators of one panel, made when first needed; safe to share by threads.

    Parameters
    ----------
    cache_bytes : bound of the sub-expressions that each evaluator keeps
    most : evaluators that are kept; the least recently used goes first
    conventions : how operators are read whose definition is open; None is the usual way
    universe_of : who is in a universe of that name; None is `universe_mask` of the panel
    """

    def __init__(
        self,
        panel: Panel,
        *,
        cache_bytes: int = 256 * 2**20,
        most: int = 3,
        conventions: Conventions | None = None,
        universe_of: UniverseOf | None = None,
    ) -> None:
        self.panel = panel
        self._universe_of = universe_of or (lambda name: universe_mask(panel, name))
        self.conventions = conventions or Conventions()
        self._cache_bytes = cache_bytes
        self._most = most
        self._lock = threading.RLock()
        self._universes: dict[str, tuple[Mask, str | None]] = {}
        self._made: dict[str, Any] = {}
        self._evaluators: OrderedDict[tuple[str | None, bool], Evaluator] = OrderedDict()

    def universe(self, name: str) -> tuple[Mask, str | None]:
        """Return who is in, shape (n_days, n_instruments), and a note for people or None.

        Raises MarketError where there is no such universe.
        """
        with self._lock:
            if name not in self._universes:
                self._universes[name] = self._universe_of(name)
            return self._universes[name]

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Return what `make` gave when this name was first asked for."""
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            found: Made = self._made[name]
            return found

    def group_count(self, neutralization: str, groups: NDArray[np.int32] | None) -> int:
        """Return the number of groups that a neutralization has on this panel, 0 without groups."""
        if groups is None:
            return 0
        return self.once(f"groups of {neutralization}", lambda: group_count(groups))

    def evaluator(self, universe: str, *, pasteurize: bool, nan_handling: bool) -> Evaluator:
        """Return the evaluator for these settings.

        pasteurize : inputs are NaN outside the universe; False makes the universe irrelevant
        """
        mask = self.universe(universe)[0] if pasteurize else None
        key = (universe if pasteurize else None, nan_handling)
        with self._lock:
            if key not in self._evaluators:
                self._evaluators[key] = Evaluator(
                    self.panel.fields,
                    self.panel.groups,
                    mask=mask,
                    nan_handling=nan_handling,
                    cache_bytes=self._cache_bytes,
                    conventions=self.conventions,
                )
            self._evaluators.move_to_end(key)
            while len(self._evaluators) > self._most:
                self._evaluators.popitem(last=False)
            return self._evaluators[key]

    def __repr__(self) -> str:
        return f"EvaluatorCache({self.panel.label!r}, {len(self._evaluators)} evaluators)"
