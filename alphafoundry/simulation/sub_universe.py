"""How an alpha does among the more liquid names of its universe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.threads import ROWS_AT_ONCE, share
from alphafoundry.market.panel import Panel
from alphafoundry.market.universe import (
    LIQUIDITY_DAYS,
    RANKING_DAYS,
    UNIVERSE_SIZES,
    dollar_volume,
)
from alphafoundry.simulation.evaluators import EvaluatorCache, Mask
from alphafoundry.simulation.pnl import lag

MOST_SHARE = 0.8
"""A universe with more than this share of the names is not smaller in a way that matters."""


def next_smaller(shared: EvaluatorCache, universe: str) -> tuple[Mask | None, str | None]:
    """Return who is in the next smaller universe, and a note where it is not BRAIN's.

    BRAIN takes TOP1000 for TOP3000 and so on. A market with fewer names takes the largest TOP
    universe with at most 80 % of the names that the universe has on average; where there is
    none, the half of the universe with the largest average daily dollar volume, ranked as
    universes are. None without volume, since nothing tells who is liquid.
    """
    mask, _ = shared.universe(universe)
    names = average_size(mask)
    sizes = UNIVERSE_SIZES
    smaller = [name for name, size in sizes.items() if size < sizes[universe]]
    if "volume" not in shared.panel.fields:
        return None, (
            "LOW_SUB_UNIVERSE_SHARPE was not checked: this market has no volume to tell which "
            "names are liquid"
        )
    for name in smaller:
        if sizes[name] <= MOST_SHARE * names:
            note = f"LOW_SUB_UNIVERSE_SHARPE compares with {name}, since {universe} has "
            note += f"{names:.0f} names here"
            return shared.universe(name)[0] & mask, None if name == smaller[0] else note
    half = shared.once(f"half of {universe}", lambda: liquid_half(shared.panel, mask))
    return half, (
        f"LOW_SUB_UNIVERSE_SHARPE compares with the most liquid half of the {names:.0f} names "
        f"of {universe}, too few for a smaller universe"
    )


def profit(
    weights: NDArray[np.float64],
    returns: NDArray[np.float64],
    inside: Mask,
    *,
    delay: int,
) -> NDArray[np.float64]:
    """Return what is earned a day, as shares of the book, with `inside` only.

    What is left of the weights is neutralized on its mean and scaled again.

    Parameters
    ----------
    weights : of the whole alpha, shape (n_days, n_instruments)
    returns, inside : who is in the smaller universe; same shape
    """
    from alphafoundry.simulation import kernels

    found = np.zeros(len(weights))
    share(
        lambda first, last: kernels.profit_inside(
            weights, inside, returns, lag(delay), found, first, last
        ),
        len(weights),
        ROWS_AT_ONCE,
    )
    return found


def average_size(mask: Mask) -> float:
    """Return how many names are in on an average day that has any, 0 where none has."""
    counts = mask.sum(axis=1)
    return float(counts[counts > 0].mean()) if counts.any() else 0.0


def liquid_half(panel: Panel, mask: Mask) -> Mask:
    """Return the half of `mask` with the largest average dollar volume before each ranking day.

    Row t uses bars before t only. An odd number of names is rounded down.
    """
    traded = dollar_volume(panel.fields["close"], panel.fields["volume"])
    chosen = np.zeros(mask.shape, dtype=bool)
    for day in range(1, len(mask), RANKING_DAYS):
        average = traded[max(0, day - LIQUIDITY_DAYS) : day].mean(axis=0)
        average[~mask[day]] = -1.0
        best = np.argsort(-average, kind="stable")[: int(mask[day].sum()) // 2]
        chosen[day : day + RANKING_DAYS, best] = True
    return chosen & mask
