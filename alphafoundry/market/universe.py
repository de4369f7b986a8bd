"""Universes: the most liquid names of a panel, as they were known on the day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.panel import Panel

UNIVERSE_SIZES = {"TOP3000": 3000, "TOP1000": 1000, "TOP500": 500, "TOP200": 200}

LIQUIDITY_DAYS = 63
RANKING_DAYS = 21
ABSENT_DAYS = 5


def universe_mask(panel: Panel, name: str) -> tuple[NDArray[np.bool_], str | None]:
    """Return who is in the universe on each day, and a note where it is not what its name says.

    Parameters
    ----------
    panel : gives close and, where known, volume
    name : TOP3000, TOP1000, TOP500 or TOP200

    Returns
    -------
    A bool array of shape (n_days, n_instruments) and a line for people, or None.

    Every 21 days, from the second day on, names are ranked by average daily dollar volume
    (close times volume) over up to 63 days before that day; a missing day counts as nothing
    traded. Ties go to the earlier column. A name of the ranking is in on day t where it had a
    price within the last 5 days, t included, so the row of day t uses no bar after t. Nobody is
    in on the first day, which has no past to rank by. Without volume every name with a price
    within those 5 days is in, from the first day on. Where the market tells who belonged to it on
    each day, nobody else is ranked or in. Raises MarketError on an unknown name.
    """
    if name not in UNIVERSE_SIZES:
        raise MarketError(f"universe {name!r}: unknown; choose one of {', '.join(UNIVERSE_SIZES)}")
    close = panel.fields["close"]
    priced = _priced_lately(~np.isnan(close))
    if panel.members is not None:
        priced &= panel.members
    if "volume" not in panel.fields:
        return priced, (
            f"This market has no volume, so {name} is every name with a price, "
            f"{close.shape[1]} in all"
        )
    size = UNIVERSE_SIZES[name]
    note = None
    if close.shape[1] < size:
        note = f"This market has {close.shape[1]} names, so {name} is all of them"
    return priced & _ranked(close, panel.fields["volume"], size, panel.members), note


def dollar_volume(close: NDArray[np.float64], volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return close times volume, 0 where either is NaN; shape of `close`."""
    return np.nan_to_num(close * volume, nan=0.0)


def _ranked(
    close: NDArray[np.float64],
    volume: NDArray[np.float64],
    size: int,
    members: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    traded = dollar_volume(close, volume)
    chosen = np.zeros(close.shape, dtype=bool)
    for day in range(1, len(close), RANKING_DAYS):
        average = traded[max(0, day - LIQUIDITY_DAYS) : day].mean(axis=0)
        if members is not None:
            average = np.where(members[day], average, 0.0)
        best = np.argsort(-average, kind="stable")[:size]
        chosen[day : day + RANKING_DAYS, best] = average[best] > 0.0
    return chosen


def _priced_lately(priced: NDArray[np.bool_]) -> NDArray[np.bool_]:
    lately = priced.copy()
    for days in range(1, min(ABSENT_DAYS, len(priced))):
        lately[days:] |= priced[:-days]
    return lately
