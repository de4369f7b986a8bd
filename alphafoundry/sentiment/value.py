"""What scores are worth, held against what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

LEAST_PAIRS = 30


def classified(score: float, threshold: float) -> int:
    """Return 1, -1, or 0 where a score is within the threshold."""
    return int(score > threshold) - int(score < -threshold)


def balanced_accuracy(truth: Sequence[int], told: Sequence[int]) -> float:
    """Return the mean over the classes of `truth` of the share that was told right."""
    pairs = list(zip(truth, told, strict=True))
    shares: Mapping[int, list[bool]] = {
        kind: [kind == said for true, said in pairs if true == kind] for kind in set(truth)
    }
    return float(np.mean([np.mean(right) for right in shares.values()]))


@dataclass(frozen=True)
class Foretold:
    """How far scores foretell returns: rank correlation, its error without any, and of how many."""

    correlation: float
    error: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.correlation:+.3f} +- {self.error:.3f} of {self.pairs} headlines"


def foretold(scores: Sequence[float], returns: Sequence[float]) -> Foretold | None:
    """Return how far scores foretell returns; None with fewer than 30 pairs or one score."""
    pairs = np.array([one for one in zip(scores, returns, strict=True) if np.isfinite(one[1])])
    if len(pairs) < LEAST_PAIRS or np.ptp(pairs[:, 0]) == 0.0:
        return None
    return Foretold(
        float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic),
        float(1.0 / np.sqrt(len(pairs) - 1)),
        len(pairs),
    )
