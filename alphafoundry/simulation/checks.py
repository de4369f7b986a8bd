"""The checks that decide whether an alpha can be submitted, by BRAIN's names and limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alphafoundry.simulation.pnl import DailyPnl
from alphafoundry.simulation.statistics import DAYS_A_YEAR, Statistics, sharpe

Result = Literal["PASS", "FAIL", "WARNING", "PENDING", "ERROR"]
Account = Literal["user", "consultant"]

LOW_SHARPE = {("user", 1): 1.25, ("user", 0): 2.0, ("consultant", 1): 1.58, ("consultant", 0): 2.69}
LOW_FITNESS = {1: 1.0, 0: 1.3}
LEAST_TURNOVER = 0.01
MOST_TURNOVER = 0.7
MOST_WEIGHT = 0.1
LEAST_SIDE = 10
LEAST_TOTAL = 20
SUB_UNIVERSE_FACTOR = 0.75
LADDER_FLOOR = {1: 1.59, 0: 2.69}
LADDER_STEPS = {
    1: (2.38, 2.38, 2.38, 2.38, 2.22, 2.06, 1.90, 1.74, 1.59),
    0: (3.96, 3.96, 3.96, 3.96, 3.64, 3.33, 3.17, 2.85, 2.69),
}
"""Delay to the Sharpe that passes over the most recent 2, 3, ... 10 years."""
LADDER_LOW_TURNOVER = 0.3
LADDER_DISCOUNT = 0.85


@dataclass(frozen=True)
class Check:
    """One check of an alpha.

    Attributes
    ----------
    name : BRAIN's name
    result : PASS, FAIL, WARNING, PENDING or ERROR
    limit, value : what is allowed and what was found; None where the check prints none
    message : a line for people, None without one
    year : years looked at (IS_LADDER_SHARPE only)
    """

    name: str
    result: Result
    limit: float | None = None
    value: float | None = None
    message: str | None = None
    year: int | None = None

    def to_brain(self) -> dict[str, object]:
        """Return BRAIN's JSON object; keys without a value are left out."""
        numbers = {"limit": self.limit, "value": self.value}
        shown: dict[str, object] = {"name": self.name, "result": self.result}
        shown |= {
            key: round(value, 4)
            for key, value in numbers.items()
            if value is not None and not math.isnan(value)
        }
        if self.year is not None:
            shown["year"] = self.year
        if self.message is not None:
            shown["message"] = self.message
        return shown


def checks_of(
    found: Statistics,
    days: DailyPnl,
    *,
    delay: int,
    sub_universe: tuple[float, float] | None,
    warnings: Sequence[str] = (),
    account: Account = "user",
) -> tuple[Check, ...]:
    """Return every check that can be made from a local panel.

    Parameters
    ----------
    found : statistics of the whole period
    days : the days they were made from, beginning with the first position
    sub_universe : (Sharpe in the next smaller universe, its size over the universe's size);
        None where there is no smaller one
    warnings : texts of the unit check
    account : consultants have higher limits and the Sharpe ladder

    A statistic is compared as BRAIN prints it, so 1.254 is 1.25 and does not exceed 1.25.
    """
    shown = found.to_brain()

    def number(key: str) -> float:
        value = shown[key]
        return float(value) if isinstance(value, int | float) else math.nan

    results = [
        _above("LOW_SHARPE", number("sharpe"), LOW_SHARPE[account, delay]),
        _above("LOW_FITNESS", number("fitness"), LOW_FITNESS[delay]),
        _above("LOW_TURNOVER", number("turnover"), LEAST_TURNOVER),
        _below("HIGH_TURNOVER", number("turnover"), MOST_TURNOVER),
        _concentration(days),
    ]
    if sub_universe is not None:
        results.append(_sub_universe(found.sharpe, *sub_universe))
    if account == "consultant":
        results.append(_ladder(days, delay, found.turnover))
    results += [Check("UNITS", "WARNING", message=text) for text in warnings]
    results.append(Check("SELF_CORRELATION", "PENDING"))
    return tuple(results)


def _above(name: str, value: float, limit: float) -> Check:
    return Check(name, "PASS" if value > limit else "FAIL", limit, value)


def _below(name: str, value: float, limit: float) -> Check:
    return Check(name, "PASS" if value < limit else "FAIL", limit, value)


def _concentration(days: DailyPnl) -> Check:
    """Check that no instrument holds 10 % of the book and that enough are held each day."""
    name = "CONCENTRATED_WEIGHT"
    if not len(days.pnl):
        return Check(name, "FAIL", MOST_WEIGHT, message="the alpha never holds a position")
    worst = int(np.argmax(days.largest))
    value = float(days.largest[worst])
    if value >= MOST_WEIGHT:
        message = f"one instrument holds {value:.1%} of the book on {days.dates[worst]}"
        return Check(name, "FAIL", MOST_WEIGHT, value, message)
    side = np.minimum(days.longs, days.shorts)
    total = days.longs + days.shorts
    few = (side < LEAST_SIDE) | (total < LEAST_TOTAL)
    if few.any():
        day = int(np.argmax(few))
        message = (
            f"too few instruments on {few.sum()} days: {int(days.longs[day])} long and "
            f"{int(days.shorts[day])} short on {days.dates[day]}; at least {LEAST_SIDE} on each "
            "side are needed"
        )
        return Check(name, "FAIL", MOST_WEIGHT, value, message)
    return Check(name, "PASS", MOST_WEIGHT, value)


def _sub_universe(whole: float, part: float, ratio: float) -> Check:
    limit = SUB_UNIVERSE_FACTOR * math.sqrt(ratio) * whole
    limit, part = round(limit, 2), round(part, 2)
    return Check("LOW_SUB_UNIVERSE_SHARPE", "PASS" if part >= limit else "FAIL", limit, part)


def _ladder(days: DailyPnl, delay: int, turnover: float) -> Check:
    """Check the Sharpe of the most recent 2, 3, ... 10 years until one passes or fails."""
    name = "IS_LADDER_SHARPE"
    floor = LADDER_FLOOR[delay]
    whole = round(sharpe(days.pnl), 2)
    if not whole >= floor:
        return Check(name, "FAIL", floor, whole)
    discount = LADDER_DISCOUNT if turnover < LADDER_LOW_TURNOVER else 1.0
    value, limit, year = whole, floor, 0
    for year, step in enumerate(LADDER_STEPS[delay], start=2):
        if len(days.pnl) < year * DAYS_A_YEAR:
            break
        value = round(sharpe(days.pnl[-year * DAYS_A_YEAR :]), 2)
        limit = step * discount
        if value > limit:
            return Check(name, "PASS", limit, value, year=year)
        if value < floor:
            return Check(name, "FAIL", floor, value, year=year)
    return Check(name, "PASS" if value >= limit else "FAIL", limit, value, year=year or None)
