"""Which trials of a search are given up early: those below the median of the trials before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from alphafoundry.coordinator.context import Trial
from alphafoundry.coordinator.search_sections import PruningSection


class Medians:
    """The scores on the first days of a search, by strategy.

    What a trial has to reach is the median of all trials of earlier generations, so that it does
    not depend on which trial ended first.
    """

    def __init__(
        self, pruning: PruningSection | None, objective: str, rows: tuple[int, int]
    ) -> None:
        self._pruning = pruning
        self._objective = objective
        self._rows = rows
        self._scores: dict[str, list[float]] = {}
        self._given_up = 0
        self._seen = 0

    def option(self, strategy: str) -> dict[str, Any]:
        """Return what the next batch of the strategy is told; {} where nothing is pruned."""
        if self._pruning is None:
            return {}
        first, last = self._rows
        scores = self._scores.get(strategy)
        return {
            "pruning": {
                "until": first + max(int((last - first) * self._pruning.at), 2),
                "objective": self._objective,
                "below": float(np.median(scores)) if scores else None,
            }
        }

    def take(self, strategy: str, trials: Sequence[Trial]) -> None:
        """Take a generation that ended."""
        if self._pruning is None:
            return
        numbers = [trial.numbers for trial in trials if trial.numbers is not None]
        early = [float(found["early"]) for found in numbers if found["early"] is not None]
        self._scores.setdefault(strategy, []).extend(early)
        self._given_up += sum(bool(found["pruned"]) for found in numbers)
        self._seen += len(trials)

    def notes(self, phase: str) -> list[str]:
        """Return a line for the report on what was given up."""
        if self._pruning is None:
            return []
        return [
            f"{phase}: {self._given_up} of {self._seen} trials were given up after "
            f"{self._pruning.at:.0%} of the days, below the median {self._objective} of the "
            "trials before them"
        ]
