"""The probability of backtest overfitting, by combinatorially symmetric cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence.sharpe import NOISE, Array, daily_pnl

BLOCKS = 16
_AT_ONCE = 2048


@dataclass(frozen=True)
class Overfitting:
    """How the best of one half of the days does in the other, over all ways to halve them.

    Attributes
    ----------
    probability : PBO, the share of halves whose best is not above the middle of the other half
    slope : of the best one's Sharpe ratio in the other half on that in its own; NaN where all
        halves agree
    losses : share of halves whose best loses in the other half
    halves : how many there were
    """

    probability: float
    slope: float
    losses: float
    halves: int


def overfitting(pnl: Any, *, blocks: int = BLOCKS) -> Overfitting:
    """Return the overfitting of a choice among the columns of (n_days, n_trials).

    Bailey, Borwein, Lopez de Prado, Zhu, "The Probability of Backtest Overfitting", Journal of
    Computational Finance 20, 2017. Days are cut into `blocks` of equal length (up to one day; an
    even number of blocks), every half of the blocks once is the first half. The rank of the best in
    the other half counts ties as half; a trial without variation has a Sharpe ratio of 0.

    Raises EvidenceError for fewer than two trials, or fewer than two days a block.
    """
    x = daily_pnl(pnl)
    if x.ndim != 2 or x.shape[1] < 2:
        raise EvidenceError("overfitting is a matter of choosing: give at least two trials")
    if blocks < 2 or blocks % 2 or len(x) < 2 * blocks:
        raise EvidenceError(
            f"{len(x)} days cannot be cut into {blocks} blocks; an even number, two days each"
        )
    shifted = x - x.mean(axis=0)
    edges = np.linspace(0, len(x), blocks + 1).round().astype(int)
    sums = np.add.reduceat(shifted, edges[:-1], axis=0)
    squares = np.add.reduceat(shifted**2, edges[:-1], axis=0)
    lengths = np.diff(edges).astype(np.float64)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    floor = (NOISE * np.abs(x).max(axis=0)) ** 2
    inside: list[Array] = []
    outside: list[Array] = []
    ranks: list[Array] = []
    for start in range(0, len(halves), _AT_ONCE):
        chosen = np.zeros((len(halves[start : start + _AT_ONCE]), blocks))
        np.put_along_axis(chosen, halves[start : start + _AT_ONCE], 1.0, axis=1)
        first = _sharpe(chosen, sums, squares, lengths, x.mean(axis=0), floor)
        second = _sharpe(1.0 - chosen, sums, squares, lengths, x.mean(axis=0), floor)
        best = first.argmax(axis=1)
        rows = np.arange(len(best))
        theirs = second[rows, best][:, None]
        below = (second < theirs).sum(axis=1) + ((second == theirs).sum(axis=1) + 1.0) / 2.0
        ranks.append(below / (x.shape[1] + 1.0))
        inside.append(first[rows, best])
        outside.append(second[rows, best])
    rank, own, other = (np.concatenate(parts) for parts in (ranks, inside, outside))
    spread = own - own.mean()
    variance = float(spread @ spread)
    return Overfitting(
        probability=float((rank <= 0.5).mean()),
        slope=float(spread @ other / variance) if variance > 0.0 else float("nan"),
        losses=float((other < 0.0).mean()),
        halves=len(halves),
    )


def _sharpe(
    chosen: Array, sums: Array, squares: Array, lengths: Array, centre: Array, floor: Array
) -> Array:
    days = (chosen @ lengths)[:, None]
    mean = chosen @ sums / days
    variance = chosen @ squares / days - mean**2
    return np.where(
        variance > floor, (mean + centre) / np.sqrt(np.fmax(variance, floor + 1e-300)), 0.0
    )
