"""What an alpha holds and earns, on the way from its values or its weights.

Where nobody asks for the weights, a day's are forgotten as soon as the next day's are traded: what
would be a matrix of them stays in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.threads import ROWS_AT_ONCE, share, threads_here
from alphafoundry.simulation import sub_universe
from alphafoundry.simulation.pnl import DailyPnl, Series, daily_pnl, in_dollars, lag
from alphafoundry.simulation.weights import arrays_of, group_count

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Holding:
    """The life of an alpha.

    Attributes
    ----------
    every_day : what it earns, all days of the panel
    profit_inside : what it earns in a smaller universe, see `sub_universe.profit`; None without one
    weights : shape (n_days, n_instruments); None where they were not kept
    """

    every_day: DailyPnl
    profit_inside: Series | None
    weights: Matrix | None = None


def held(
    weights: Matrix,
    returns: Matrix,
    dates: NDArray[np.datetime64],
    *,
    delay: int,
    inside: Mask | None = None,
) -> Holding:
    """Return what holding `weights` gives; arguments are those of `daily_pnl`.

    inside : who is in the smaller universe, shape of weights; None without one
    """
    every_day = daily_pnl(weights, returns, dates, delay=delay)
    if inside is None:
        return Holding(every_day, None, weights)
    return Holding(every_day, sub_universe.profit(weights, returns, inside, delay=delay), weights)


def judged(
    values: Matrix,
    mask: Mask | None,
    groups: NDArray[np.int32] | None,
    returns: Matrix,
    dates: NDArray[np.datetime64],
    *,
    decay: int,
    truncation: float,
    delay: int,
    inside: Mask | None = None,
    n_groups: int | None = None,
) -> Holding:
    """Return what `held` does with `to_weights` of these values, without the weights.

    Arguments are those of both. Every number is the same, to the last bit.

    n_groups : `group_count` of the groups, for who judges many alphas; None counts them
    """
    from alphafoundry.simulation import kernels

    values, who, labels = arrays_of(values, mask, groups)
    earned = np.ascontiguousarray(returns, dtype=np.float64)
    within = np.empty((len(values), 0), bool) if inside is None else np.ascontiguousarray(inside)
    found = np.zeros((6, len(dates)))
    behind = lag(delay)
    limit = float(truncation)
    count = group_count(labels) if n_groups is None else n_groups

    def fill(first: int, last: int) -> None:
        kernels.judged(
            values, decay, who, labels, count, limit, earned, within, behind, found, first, last
        )

    days = max(len(dates) - behind, 0)
    # The weights of the day before a piece are calculated twice.
    share(fill, days, ROWS_AT_ONCE if threads_here() > 1 else max(days, 1))
    return Holding(in_dollars(found[:5], dates), None if inside is None else found[5])
