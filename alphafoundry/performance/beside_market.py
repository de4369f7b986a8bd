"""A session beside its market: Brinson's effects by sector, and the parts of a few factors.

Both split what the shares of the evening before earned, in dollars; each adds up but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.panel import Panel

Array = NDArray[np.float64]

MOMENTUM_DAYS, SKIPPED_DAYS = 252, 21
_LEAST_NAMES = 30


@dataclass(frozen=True)
class SectorEffect:
    """What a sector added to a book beside an equal-weighted market, in dollars.

    allocation : of holding more or less of it than the market does
    selection : of holding other names in it, interaction included
    """

    allocation: float
    selection: float


@dataclass(frozen=True)
class BesideMarket:
    """A session beside its market.

    Attributes
    ----------
    benchmark : mean return of the names that had one; NaN without any
    sectors : sector, and "cash", to its effects. All of them add up to what the held shares earned
        less equity x benchmark
    factors : "market", "size", "momentum" where the market's data allow them, and "specific" to
        dollars; they add up to what the held shares earned
    """

    benchmark: float
    sectors: Mapping[str, SectorEffect]
    factors: Mapping[str, float]


def beside_market(
    panel: Panel,
    day: date,
    values: Mapping[str, float],
    earned: Mapping[str, float],
    equity: float,
) -> BesideMarket:
    """Return a session of a book beside its market.

    The benchmark holds every name with a return that day alike. Brinson's arithmetic with the
    interaction in the selection: allocation (w - w_b)(r_b,s - r_b), selection w r - w r_b,s, where
    w is the net value over equity and cash is a sector that earns nothing (Brinson, Hood, Beebower,
    "Determinants of Portfolio Performance", 1986; Brinson and Fachler, 1985).

    Factor returns are those of a least-squares regression of the day's returns on what was known
    the evening before: 1 for every name ("market"), and the standardised logarithm of the
    capitalisation ("size") and return of a year without its last month ("momentum"; Jegadeesh and
    Titman, 1993), as far as the market has them. A name without a figure counts as the mean one.

    Parameters
    ----------
    values : symbol to value at the evening before, dollars
    earned : symbol to what that earned, dollars
    equity : of the evening before, dollars, above 0
    """
    row = int(np.searchsorted(panel.dates, np.datetime64(day)))
    returns = panel.fields["returns"][row]
    known = np.isfinite(returns)
    benchmark = float(returns[known].mean()) if known.any() else math.nan
    places = {str(symbol): n for n, symbol in enumerate(panel.symbols)}
    weight, gain = np.zeros(len(returns)), np.zeros(len(returns))
    for symbol, value in values.items():
        if symbol in places:
            weight[places[symbol]] = value
    for symbol, dollars in earned.items():
        if symbol in places:
            gain[places[symbol]] = dollars
    return BesideMarket(
        benchmark,
        _sectors(panel, row, known, weight, gain, equity, benchmark),
        _factors(panel, row, known, weight, gain),
    )


def _sectors(
    panel: Panel,
    row: int,
    known: NDArray[np.bool_],
    value: Array,
    gain: Array,
    equity: float,
    benchmark: float,
) -> dict[str, SectorEffect]:
    if math.isnan(benchmark):
        return {}
    name = "sector" if "sector" in panel.groups else "market"
    labels = panel.groups[name][max(row - 1, 0)]
    names = panel.group_names.get(name, ())
    returns = np.where(known, panel.fields["returns"][row], 0.0)
    found = {}
    for label in np.unique(labels).tolist():
        inside = labels == label
        there = inside & known
        own, theirs = float(value[inside].sum()), equity * float(there.sum()) / float(known.sum())
        of_sector = float(returns[there].mean()) if there.any() else benchmark
        found[names[label] if 0 <= label < len(names) else "unknown"] = SectorEffect(
            allocation=(own - theirs) * (of_sector - benchmark),
            selection=float(gain[inside].sum()) - own * of_sector,
        )
    cash = equity - float(value.sum())
    found["cash"] = SectorEffect(allocation=-cash * benchmark, selection=0.0)
    return found


def _factors(
    panel: Panel, row: int, known: NDArray[np.bool_], value: Array, gain: Array
) -> dict[str, float]:
    if int(known.sum()) < _LEAST_NAMES:
        return {"specific": float(gain.sum())}
    exposures = {"market": np.ones(len(value))}
    if "cap" in panel.fields and row >= 1:
        exposures["size"] = _standardised(_log(panel.fields["cap"][row - 1]), known)
    close = panel.fields["close"]
    if row - 1 >= MOMENTUM_DAYS:
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = close[row - 1 - SKIPPED_DAYS] / close[row - 1 - MOMENTUM_DAYS] - 1.0
        exposures["momentum"] = _standardised(moved, known)
    matrix = np.column_stack(list(exposures.values()))
    solved = np.linalg.lstsq(matrix[known], panel.fields["returns"][row][known], rcond=None)[0]
    parts = {
        name: float(value @ column) * float(factor)
        for (name, column), factor in zip(exposures.items(), solved, strict=True)
    }
    return {**parts, "specific": float(gain.sum()) - sum(parts.values())}


def _log(values: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.log(values))


def _standardised(values: Array, known: NDArray[np.bool_]) -> Array:
    there = np.isfinite(values) & known
    if int(there.sum()) < 2:
        return np.zeros(len(values))
    spread = float(values[there].std())
    centred = np.where(np.isfinite(values), values - values[there].mean(), 0.0)
    return np.asarray(centred / spread if spread > 0.0 else np.zeros(len(values)))
