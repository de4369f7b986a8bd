"""How much new an alpha brings beside better ones and those already submitted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alphafoundry.research.selection import PnlSeries
from alphafoundry.simulation.correlation import pnl_correlation

MOST_LEADERS = 25
"""Leaders that the others are compared with; more would cost time and change little."""


def novelty(
    alphas: Sequence[PnlSeries], submitted: Sequence[PnlSeries] = (), *, crowd: float = 0.7
) -> dict[str, float]:
    """Return alpha id to novelty, 1 minus the largest |correlation| with a leader before it.

    Leaders are the submitted alphas and, from the fittest down, each alpha whose correlation
    with every leader before it is at most `crowd`. An alpha that is submitted has novelty 0, the
    first alpha of an empty desk has 1. An unknown correlation counts as 0.

    Parameters
    ----------
    alphas : with fitness; the order does not matter
    submitted : daily PnL of what was submitted
    crowd : correlation above which an alpha follows a leader instead of being one
    """
    leaders = list(submitted)
    taken = {series.alpha_id for series in submitted}
    found: dict[str, float] = {}
    for alpha in sorted(alphas, key=lambda one: (-_fitness(one), one.alpha_id)):
        if alpha.alpha_id in taken:
            found[alpha.alpha_id] = 0.0
            continue
        likeness = max((_likeness(alpha, leader) for leader in leaders), default=0.0)
        found[alpha.alpha_id] = 1.0 - likeness
        if likeness <= crowd and len(leaders) < MOST_LEADERS + len(submitted):
            leaders.append(alpha)
    return found


def _likeness(one: PnlSeries, other: PnlSeries) -> float:
    found = pnl_correlation(one.dates, one.daily_pnl, other.dates, other.daily_pnl)
    return 0.0 if math.isnan(found) else abs(found)


def _fitness(series: PnlSeries) -> float:
    return -math.inf if math.isnan(series.fitness) else series.fitness
