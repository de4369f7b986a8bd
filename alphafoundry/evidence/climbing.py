"""How much more than independent draws a search that climbs finds where there is nothing.

A search whose next trials vary the best of the last ones climbs on noise. By how much is not a
matter of formulas; it was measured on calibration markets without any effect, 20 searches of 60
simulations and 20 of 400, with seeds from 101 on:

    python -m benchmarks.truth --parts null-60,null-400     (benchmarks/results/truth.json)

Searches of more than 400 climb further, and were not measured: for them the line is too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Means over searches of markets without effects.

    Attributes
    ----------
    trials : different alphas of a search
    searches : how many were measured; few, so take the numbers for what they are
    best, best_high : Sharpe ratio of the best alpha beyond that of as many independent draws, its
        mean and its 95 % quantile, in standard deviations of a Sharpe ratio (1 / sqrt(days))
    hopeful : share of the simulations with fitness above 0.5, on three and a half years of days
    """

    trials: int
    searches: int
    best: float
    best_high: float
    hopeful: float


MEASURED = (
    # The best alphas had 2.99 deviations in the mean and 3.77 at the 95 % quantile; as many
    # independent draws have 2.31 and 3.14. 12.0 of 60 simulations were hopeful.
    Measured(60, 20, best=0.68, best_high=0.63, hopeful=0.20),
    # 3.53 and 4.39 deviations, of independent draws 2.97 and 3.66; 78.9 of 400 were hopeful.
    Measured(400, 20, best=0.57, best_high=0.73, hopeful=0.20),
)
"""By number of trials; between and beyond them the logarithm of the trials is what counts."""


def climb(trials: int) -> tuple[float, float]:
    """Return by how much the mean and the 95 % quantile of the best are raised, never below 0.

    In standard deviations of a Sharpe ratio. Beyond the largest search that was measured it stays
    as it was there; below the smallest it fades to 0 at one trial.
    """
    return (
        max(_between(trials, [one.best for one in MEASURED]), 0.0),
        max(_between(trials, [one.best_high for one in MEASURED]), 0.0),
    )


def lucky_share(simulations: int) -> float:
    """Return the share of simulations that is hopeful by luck: fitness above 0.5, no effect."""
    shares = [one.hopeful for one in MEASURED]
    if simulations <= MEASURED[0].trials:
        return shares[0]
    return _between(simulations, shares)


def _between(trials: int, values: list[float]) -> float:
    places = [0.0, *(math.log(one.trials) for one in MEASURED)]
    known = [0.0, *values]
    place = math.log(max(trials, 1))
    for number in range(1, len(places)):
        if place <= places[number]:
            share = (place - places[number - 1]) / (places[number] - places[number - 1])
            return known[number - 1] + share * (known[number] - known[number - 1])
    return known[-1]
