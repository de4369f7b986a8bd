"""The checks that decide whether an alpha can be submitted, by BRAIN's names and limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from alphafoundry.finance.statistics import sharpe
from alphafoundry.simulation.ladder import sharpe_ladder
from alphafoundry.simulation.pnl import DailyPnl
from alphafoundry.simulation.statistics import Statistics

Result = Literal["PASS", "FAIL", "WARNING", "PENDING", "ERROR"]
Account = Literal["user", "consultant"]

LOW_SHARPE = {("user", 1): 1.25, ("user", 0): 2.0, ("consultant", 1): 1.58, ("consultant", 0): 2.69}
"""Account and delay to the Sharpe that must be exceeded."""

LOW_FITNESS = {("user", 1): 1.0, ("user", 0): 1.3, ("consultant", 1): 1.0, ("consultant", 0): 1.5}
"""Account and delay to the fitness that must be exceeded."""

LEAST_TURNOVER = 0.01
MOST_TURNOVER = 0.7
MOST_WEIGHT = 0.1
LEAST_SIDE = 10
LEAST_TOTAL = 20
SUB_UNIVERSE_FACTOR = 0.75
SMALL_MARKET = 2 * LEAST_TOTAL
"""With fewer instruments than this, a failed weight check says that the market is small."""


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
        """Return BRAIN's JSON object; keys without a value are left out, also where it is NaN."""
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


@dataclass(frozen=True)
class SubUniverse:
    """How an alpha does in the next smaller universe.

    Attributes
    ----------
    sharpe : of the alpha cut to it, neutralized on its mean and scaled
    share : its average number of names over that of the universe
    """

    sharpe: float
    share: float


def checks_of(
    found: Statistics,
    days: DailyPnl,
    *,
    delay: int,
    instruments: int,
    sub_universe: SubUniverse | None = None,
    warnings: Sequence[str] = (),
    account: Account = "user",
) -> tuple[Check, ...]:
    """Return every check that can be made from a local panel.

    Parameters
    ----------
    found : statistics of the whole period
    days : the days they were made from, beginning with the first position
    instruments : how many the market has, named where it is too small
    sub_universe : None where there is no smaller universe; the check is then left out
    warnings : texts of the unit check
    account : consultants have higher limits, LOW_2Y_SHARPE and IS_LADDER_SHARPE

    A statistic is compared as BRAIN prints it, so 1.254 is 1.25 and does not exceed 1.25. NaN
    fails. SELF_CORRELATION is PENDING: it needs the submitted alphas. LOW_2Y_SHARPE has the limit
    of LOW_SHARPE, since none is published.
    """
    shown = found.to_brain()

    def number(key: str) -> float:
        value = shown[key]
        return float(value) if isinstance(value, int | float) else math.nan

    results = [
        _above("LOW_SHARPE", number("sharpe"), LOW_SHARPE[account, delay]),
        _above("LOW_FITNESS", number("fitness"), LOW_FITNESS[account, delay]),
        _above("LOW_TURNOVER", number("turnover"), LEAST_TURNOVER),
        _below("HIGH_TURNOVER", number("turnover"), MOST_TURNOVER),
        _concentration(days, instruments),
    ]
    if sub_universe is not None:
        results.append(_sub_universe(found.sharpe, sub_universe))
    if account == "consultant":
        two_years = round(2 * days.bars_a_year)
        recent = round(sharpe(days.pnl[-two_years:], days.bars_a_year), 2)
        results.append(_above("LOW_2Y_SHARPE", recent, LOW_SHARPE[account, delay]))
        rung = sharpe_ladder(
            days.pnl, delay=delay, turnover=found.turnover, bars_a_year=days.bars_a_year
        )
        results.append(
            Check("IS_LADDER_SHARPE", rung.result, rung.limit, rung.value, rung.message, rung.years)
        )
    if warnings:
        results.append(Check("UNITS", "WARNING", message="; ".join(warnings)))
    results.append(Check("SELF_CORRELATION", "PENDING"))
    return tuple(results)


def _above(name: str, value: float, limit: float) -> Check:
    return Check(name, "PASS" if value > limit else "FAIL", limit, value)


def _below(name: str, value: float, limit: float) -> Check:
    return Check(name, "PASS" if value < limit else "FAIL", limit, value)


def _concentration(days: DailyPnl, instruments: int) -> Check:
    """Check that no instrument holds 10 % of the book and that enough are held each day."""
    name = "CONCENTRATED_WEIGHT"
    small = f"; this market has only {instruments} instruments"
    hint = small if instruments < SMALL_MARKET else ""
    if not len(days):
        return Check(name, "FAIL", MOST_WEIGHT, message=f"the alpha never holds a position{hint}")
    worst = int(np.argmax(days.largest))
    value = round(float(days.largest[worst]), 4)
    if value >= MOST_WEIGHT:
        message = f"one instrument holds {value:.1%} of the book on {days.dates[worst]}{hint}"
        return Check(name, "FAIL", MOST_WEIGHT, value, message)
    few = np.minimum(days.longs, days.shorts) < LEAST_SIDE
    few |= days.longs + days.shorts < LEAST_TOTAL
    if few.any():
        day = int(np.argmax(few))
        message = (
            f"too few instruments on {int(few.sum())} days, first on {days.dates[day]} with "
            f"{int(days.longs[day])} long and {int(days.shorts[day])} short; {LEAST_SIDE} on "
            f"each side are needed{hint}"
        )
        return Check(name, "FAIL", MOST_WEIGHT, value, message)
    return Check(name, "PASS", MOST_WEIGHT, value)


def _sub_universe(whole: float, part: SubUniverse) -> Check:
    limit = round(SUB_UNIVERSE_FACTOR * math.sqrt(part.share) * whole, 2)
    value = round(part.sharpe, 2)
    return Check("LOW_SUB_UNIVERSE_SHARPE", "PASS" if value >= limit else "FAIL", limit, value)
