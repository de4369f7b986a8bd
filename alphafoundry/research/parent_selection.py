"""Which alphas are worth mining together: promising, and unlike each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from alphafoundry.research.crowding import novelty
from alphafoundry.research.selection import PnlSeries

CROWD = 0.7
"""Correlation of daily PnL above which an alpha adds nothing to a better one."""


class StatisticsLike(Protocol):
    """The statistics that a rule for hopeful alphas may name."""

    @property
    def fitness(self) -> float | None: ...
    @property
    def sharpe(self) -> float | None: ...
    @property
    def returns(self) -> float | None: ...
    @property
    def margin(self) -> float | None: ...
    @property
    def pnl(self) -> float | None: ...
    @property
    def turnover(self) -> float | None: ...
    @property
    def long_count(self) -> int | None: ...
    @property
    def short_count(self) -> int | None: ...


@dataclass(frozen=True)
class ReversedStatistics:
    """What an alpha would be with its sign turned; the drawdown is not known before a simulation.

    The units are those of the statistics.
    """

    fitness: float | None
    sharpe: float | None
    returns: float | None
    margin: float | None
    pnl: float | None
    turnover: float | None
    long_count: int | None
    short_count: int | None
    drawdown: None = None

    @classmethod
    def of(cls, found: StatisticsLike) -> ReversedStatistics:
        """Return the statistics of the reversed alpha."""
        return cls(
            fitness=_turned(found.fitness),
            sharpe=_turned(found.sharpe),
            returns=_turned(found.returns),
            margin=_turned(found.margin),
            pnl=_turned(found.pnl),
            turnover=found.turnover,
            long_count=found.short_count,
            short_count=found.long_count,
        )


def _turned(value: float | None) -> float | None:
    return None if value is None else -value


def choose_parents(
    candidates: Sequence[PnlSeries], submitted: Sequence[PnlSeries] = (), *, limit: int
) -> list[str]:
    """Return the ids of at most `limit` alphas to mine, best |fitness| times novelty first.

    Of alphas that move alike, or exactly against each other, only the best is returned, and none
    that moves like one that was submitted. Where that leaves nobody, the fittest are returned.
    """
    fitness = {one.alpha_id: abs(one.fitness) for one in candidates}
    unsigned = [
        PnlSeries(one.alpha_id, one.dates, one.daily_pnl, abs(one.fitness)) for one in candidates
    ]
    new = novelty(unsigned, submitted, crowd=CROWD)
    unlike = [alpha_id for alpha_id in fitness if new[alpha_id] >= 1.0 - CROWD]
    unlike.sort(key=lambda alpha_id: (-fitness[alpha_id] * new[alpha_id], alpha_id))
    fittest = sorted(fitness, key=lambda alpha_id: (-fitness[alpha_id], alpha_id))
    return (unlike or fittest)[:limit]
