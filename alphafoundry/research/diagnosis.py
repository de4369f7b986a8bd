"""What an alpha lacks, and which kinds of change help such an alpha."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alphafoundry.research.scoring import mining_score
from alphafoundry.research.selection import CheckLike, obstacles

HIGH_TURNOVER = 0.4
"""Turnover above which trading less raises fitness on most alphas, as a fraction."""

LOW_TURNOVER = 0.15
"""Turnover below which trading less hardly raises fitness, which divides by 0.125 at least."""

WEIGHTS: Mapping[str, float] = {
    "combine": 12.0,
    "decay": 2.0,
    "jump": 2.0,
    "smooth": 1.0,
    "neutralization": 1.5,
    "unwrap": 1.5,
    "group": 1.0,
    "field": 1.0,
    "operator": 1.0,
    "window": 0.7,
    "wrap": 0.7,
    "constant": 0.5,
    "winsorize": 0.1,
    "truncation": 0.1,
    "sign": 0.0,
}
"""How often a kind of change is tried on an alpha without a particular fault.

Roughly in proportion to the mean gain in fitness, max(gain, 0), of two random changes of each kind
on the hopeful alphas of the grammar, on the calibration market and on 470 US stocks.
"""


@dataclass(frozen=True)
class Diagnosis:
    """What a simulation said of an alpha, as far as it guides the search.

    Attributes
    ----------
    score : see `mining_score`; None where the simulation failed
    turnover : mean daily traded value over the book, as a fraction; None where it is not known
    failing : names of the checks that stand against a submission
    """

    score: float | None
    turnover: float | None = None
    failing: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, fitness: float | None, turnover: float | None, checks: Iterable[CheckLike]
    ) -> Diagnosis:
        """Return the diagnosis of an alpha with these statistics and checks."""
        several = list(checks)
        against = frozenset(obstacle.check for obstacle in obstacles(several))
        return cls(mining_score(fitness, several), turnover, against)

    @property
    def passes(self) -> bool:
        """Whether nothing stands against a submission."""
        return self.score is not None and not self.failing


def weights(diagnosis: Diagnosis) -> dict[str, float]:
    """Return kind of change to how often it should be tried, relative to the others.

    An alpha that loses is turned before anything else. A high turnover calls for decay, smoothing
    and other windows, a low one for little of these; concentrated weights for limits and ranks;
    a weak sub-universe for ranks and other neutralizations.
    """
    if diagnosis.score is not None and diagnosis.score < 0:
        return {"sign": 1.0}
    found = dict(WEIGHTS)
    turnover = diagnosis.turnover
    if turnover is not None and turnover > HIGH_TURNOVER:
        _raise(found, 2.5, "decay", "smooth")
    elif turnover is not None and turnover < LOW_TURNOVER:
        _raise(found, 0.5, "decay", "smooth")
    if "LOW_TURNOVER" in diagnosis.failing:
        _raise(found, 3.0, "jump", "window", "unwrap")
    if "CONCENTRATED_WEIGHT" in diagnosis.failing:
        _raise(found, 40.0, "truncation", "winsorize")
        _raise(found, 5.0, "wrap")
    if "LOW_SUB_UNIVERSE_SHARPE" in diagnosis.failing:
        _raise(found, 3.0, "wrap", "neutralization", "group")
    return found


def _raise(found: dict[str, float], factor: float, *kinds: str) -> None:
    for kind in kinds:
        found[kind] *= factor
