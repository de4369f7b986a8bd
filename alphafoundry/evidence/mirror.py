"""Mirrored prices: a market like the real one in which no direction can be foreseen.

For each day one sign, the same for all names, multiplies the day's simple moves. Spreads, fat
tails, clusters of volatility, co-movement, volume and its link to the size of moves stay. What
cannot survive is a direction that earlier days foretell, so whatever a search finds there is luck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence.sharpe import Array

Kind = Literal["all", "residual"]


@dataclass(frozen=True)
class MirroredPrices:
    """Prices after mirroring.

    Attributes
    ----------
    prices : name to float64 array of shape (n_days, n_names), for the names that were given
    flipped : days whose moves were turned, bool of shape (n_days,)
    kept : days that should have been turned and were not, because a price would reach zero
    """

    prices: Mapping[str, Array]
    flipped: np.ndarray
    kept: int


def mirror_prices(
    prices: Mapping[str, Array], *, generator: np.random.Generator, kind: Kind = "all"
) -> MirroredPrices:
    """Turn each day's moves by a random sign of the day.

    Each price of a day is taken as a simple move since the last known close before it: simple,
    because a book earns simple returns, and with log moves turned a book long in volatile names
    would gain. High and low change places on a turned day. A day on which a price would reach zero
    keeps its sign, for all names.

    Parameters
    ----------
    prices : holds close, and any of open, high, low, vwap, each of shape (n_days, n_names),
        adjusted; NaN is missing and stays missing
    kind : "all" turns the whole move, "residual" only what a name does beside the equal-weighted
        mean of the names of that day, so that the market's own way stays

    Raises EvidenceError without close or where a price is not above zero.
    """
    if "close" not in prices:
        raise EvidenceError("mirrored prices need the close")
    close = np.asarray(prices["close"], dtype=np.float64)
    for name, array in prices.items():
        if (np.asarray(array) <= 0.0).any():
            raise EvidenceError(f"mirrored prices: {name} is not above zero everywhere")
    days = len(close)
    wanted = generator.random(days) < 0.5
    wanted[:1] = False
    result = {name: np.array(array, dtype=np.float64) for name, array in prices.items()}
    flipped = np.zeros(days, dtype=bool)
    known = close[0].copy()
    mirrored = close[0].copy()
    kept = 0
    for day in range(1, days):
        today = {name: np.asarray(array[day], dtype=np.float64) for name, array in prices.items()}
        moves = {name: price / known - 1.0 for name, price in today.items()}
        common = _market_move(moves["close"]) if kind == "residual" else 0.0
        if wanted[day]:
            turned = {name: common - (move - common) for name, move in moves.items()}
            if any((move <= -1.0).any() for move in turned.values()):
                kept += 1
            else:
                flipped[day] = True
                moves = turned
        first = np.isnan(known)
        for name, move in moves.items():
            result[name][day] = np.where(first, today[name], mirrored * (1.0 + move))
        if flipped[day] and "high" in result and "low" in result:
            high, low = result["low"][day].copy(), result["high"][day].copy()
            result["high"][day] = np.where(first, today["high"], high)
            result["low"][day] = np.where(first, today["low"], low)
        seen = ~np.isnan(today["close"])
        known = np.where(seen, today["close"], known)
        mirrored = np.where(seen, result["close"][day], mirrored)
    return MirroredPrices(prices=result, flipped=flipped, kept=kept)


def _market_move(moves: Array) -> float:
    known = moves[np.isfinite(moves)]
    return float(known.mean()) if len(known) else 0.0
