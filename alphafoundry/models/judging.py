"""Whether a model may take the place of another: choice, vault, fresh days, decline.

1. Candidates are chosen by purged walk-forward on the days before the vault; anything but ridge has
   to beat ridge there, by a paired block bootstrap of daily rank correlations.
2. The one that was chosen is frozen, and sees the vault once: its daily book has to have earned
   something after costs, at the level of this opening (5 %, 2.5 %, ...: a vault wears), and more
   than the luck of every trial that was ever made.
3. In the shadow of the champion it collects fresh days. The wealth of a bet on each day's
   difference is an e-process: that it ever passes 20 has a probability below 5 % where there is no
   advantage (J. Ville, 1939), whenever one looks.
4. A champion whose fresh days run below its vault's is demoted by the cumulative sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.evidence import (
    block_length,
    deflated_sharpe_ratio,
    draw_days,
    drawn_means,
    moments,
    null_deviation,
    opening_level,
    probabilistic_sharpe_ratio,
)
from alphafoundry.models.samples import HORIZON

Array = NDArray[np.float64]

DEFLATED = 0.95
ENOUGH = 20.0
"""Wealth of the bet at which an advantage is believed: 1 / 20 is the level of 5 %."""

MOST_DIFFERENCE = 0.2
"""Daily differences of rank correlation are cut to it, so that a bet cannot be lost in a day."""

_DRAWS = 500
_MOST_SHARE = 0.5


def beats(
    candidate: Array, other: Array, *, generator: np.random.Generator, level: float = 0.05
) -> bool:
    """Return whether one's daily rank correlations have the higher mean, by a paired bootstrap.

    Blocks keep the dependence from day to day. Days on which either is NaN are left out; False
    with fewer than 20.
    """
    gap = candidate - other
    gap = gap[np.isfinite(gap)]
    if len(gap) < 20 or np.ptp(gap) == 0.0:
        return False
    counts = draw_days(
        len(gap), generator=generator, mean_block=max(1.0, block_length(gap)), draws=_DRAWS
    )
    drawn = drawn_means(gap, counts)
    return bool(np.quantile(drawn, level) > 0.0)


def book_returns(predicted: Array, returns: Array, *, cost: float) -> Array:
    """Return what a book that follows the predictions earns each day, net, of shape (n_days,).

    Long what is above the day's mean forecast and short what is below, by its distance; the
    absolute weights of a day add to 1. Row t is what is earned on day t + 2.

    Parameters
    ----------
    predicted : shape (n_days, n_instruments); 0 has no forecast
    returns : of the same days, as fractions
    cost : of a trade, as a fraction of what is traded

    The last two days are not known and left out.
    """
    there = np.isfinite(predicted) & (predicted != 0.0)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    centred = np.where(there, predicted, 0.0)
    centred = np.where(there, centred - centred.sum(axis=1, keepdims=True) / count, 0.0)
    size = np.abs(centred).sum(axis=1, keepdims=True)
    weights = np.divide(centred, size, out=np.zeros_like(centred), where=size > 0.0)
    traded = np.abs(np.diff(weights, axis=0, prepend=np.zeros((1, weights.shape[1])))).sum(axis=1)
    earned = (weights[:-HORIZON] * np.nan_to_num(returns[HORIZON:])).sum(axis=1)
    return np.asarray(earned - cost * traded[:-HORIZON])


@dataclass(frozen=True)
class VaultResult:
    """What the vault said of a candidate, once.

    Attributes
    ----------
    passed : whether it may go into the shadow
    reason : in one sentence
    information, deviation : mean and deviation of the daily rank correlation
    sharpe : daily, net of costs
    level : of this opening
    chance : probability that the true Sharpe ratio is above 0
    deflated : that it is above the luck of all trials
    """

    passed: bool
    reason: str
    information: float
    deviation: float
    sharpe: float
    level: float
    chance: float
    deflated: float


def open_vault(information: Array, net: Array, *, opening: int, trials: int) -> VaultResult:
    """Return the verdict on a frozen candidate.

    Parameters
    ----------
    information : its daily rank correlations in the vault
    net : what its book earned there each day after costs
    opening : number of this opening of these days, from 1
    trials : every candidate that was ever tried, this one included
    """
    known = information[np.isfinite(information)]
    level = opening_level(opening)
    nothing = None
    if len(known) < 20 or len(net) < 20:
        nothing = "fewer than 20 days of the vault tell anything"
    elif np.ptp(net) == 0.0:
        nothing = "its book earns the same on every day of the vault"
    if nothing is not None:
        return VaultResult(False, nothing, 0.0, 1.0, 0.0, level, 0, 0)
    found = moments(net)
    sigma = float(null_deviation(net))
    chance = float(probabilistic_sharpe_ratio(found, threshold=0.0))
    deflated = float(deflated_sharpe_ratio(found, trials=trials, sigma=sigma))
    values = (
        float(known.mean()),
        float(known.std()),
        float(found.sharpe),
        level,
        chance,
        deflated,
    )
    if known.mean() <= 0.0:
        return VaultResult(False, "its mean rank correlation is not above 0", *values)
    if chance < 1.0 - level:
        told = f"net of costs it is above 0 with probability {chance:.3f}, below {1 - level:.3f}"
        return VaultResult(False, told, *values)
    if deflated < DEFLATED:
        told = f"with {trials} trials its deflated probability is {deflated:.3f}, below {DEFLATED}"
        return VaultResult(False, told, *values)
    return VaultResult(True, f"deflated probability {deflated:.3f} of {trials} trials", *values)


@dataclass(frozen=True)
class Bet:
    """An e-process on daily differences; begin with Bet() and add days one by one.

    Attributes
    ----------
    wealth : now; its inverse is the level at which "no advantage" is refused
    days : so far
    total, squares : of the differences, from which the next stake follows
    """

    wealth: float = 1.0
    days: int = 0
    total: float = 0.0
    squares: float = 0.0

    def after(self, difference: float) -> Bet:
        """Return the bet after a day; NaN changes nothing.

        The stake is of earlier days alone: mean over mean square, at most half of what could be
        lost, with a prior of one day at the largest difference.
        """
        if not math.isfinite(difference):
            return self
        cut = max(-MOST_DIFFERENCE, min(MOST_DIFFERENCE, difference))
        mean = self.total / (self.days + 1)
        square = (self.squares + MOST_DIFFERENCE**2) / (self.days + 1)
        stake = max(0.0, min(_MOST_SHARE / MOST_DIFFERENCE, mean / square))
        return Bet(
            self.wealth * (1.0 + stake * cut),
            self.days + 1,
            self.total + cut,
            self.squares + cut * cut,
        )

    @property
    def is_won(self) -> bool:
        """Whether the advantage is believed."""
        return self.wealth >= ENOUGH
