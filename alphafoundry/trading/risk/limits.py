"""From a risk snapshot to the state of the desk and what must be reduced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from alphafoundry.finance.costs import check_range
from alphafoundry.trading.risk.snapshot import RiskSnapshot

DeskState = Literal["ACTIVE", "REDUCING", "HALTED"]

_ROUNDING = 1e-9
"""A limit that is passed by less is kept."""


@dataclass(frozen=True)
class RiskLimits:
    """What the risk of a book may be, as fractions of equity unless said otherwise.

    They are wider than the limits that the portfolio aims within: passing one means that the
    market has moved the book, not that a new target did.

    Attributes
    ----------
    value_at_risk : of the designated measure (99 %, one day)
    gross, net, name, sector : exposures; net and sector in absolute value
    beta : in absolute value
    liquidity_days : sessions to sell everything
    stress : loss in the worst scenario
    drawdown : fall from the peak from which on the book may only shrink
    halt_drawdown : fall from which on nothing new is sent
    """

    value_at_risk: float = 0.03
    gross: float = 1.2
    net: float = 0.15
    name: float = 0.04
    sector: float = 0.15
    beta: float = 0.3
    liquidity_days: float = 10.0
    stress: float = 0.15
    drawdown: float = 0.10
    halt_drawdown: float = 0.20

    def __post_init__(self) -> None:
        for one in fields(self):
            check_range(one.name, getattr(self, one.name), 0.0, math.inf)


@dataclass(frozen=True)
class Breach:
    """A limit that is passed.

    Attributes
    ----------
    limit : its name in `RiskLimits`, or "value-at-risk test"
    subject : symbol or sector that passes it; "" for the book
    value, allowed : what is, and what may be
    state : what the desk goes to for it
    """

    limit: str
    subject: str
    value: float
    allowed: float
    state: DeskState

    def __str__(self) -> str:
        where = f" of {self.subject}" if self.subject else ""
        return f"{self.limit}{where}: {self.value:.4g}, limit {self.allowed:.4g}: {self.state}"


@dataclass(frozen=True)
class RiskDecision:
    """What the limits ask for.

    Attributes
    ----------
    state : ACTIVE (trade), REDUCING (positions only shrink) or HALTED (only reductions that a
        person or a stop asks for)
    breaches : the gravest first
    most_shares : symbol to the most shares, long or short, that the limits leave; only of names
        that must shrink. `Rebalancer.rebalance` takes it
    """

    state: DeskState
    breaches: tuple[Breach, ...]
    most_shares: Mapping[str, int]


def judge_risk(
    snapshot: RiskSnapshot, holdings: Mapping[str, int], limits: RiskLimits | None = None
) -> RiskDecision:
    """Return the desk's state and reduce-only targets.

    A drawdown of `halt_drawdown` halts. Every other limit that is passed, and a red zone of the
    test of the value at risk, reduce. Names above their limit are cut to it; a sector's names on
    its heavier side, and the whole book for gross, value at risk and stress, shrink in proportion
    to what is above the limit; whole shares are rounded towards zero. Net, beta and liquidity
    stop new positions but name no position to cut: the next rebalancing chooses.

    Parameters
    ----------
    holdings : symbol to whole shares, those that the snapshot was made from
    """
    rules = limits or RiskLimits()
    breaches = _breaches(snapshot, rules)
    keep = dict.fromkeys(snapshot.weights, 1.0)
    for breach in breaches:
        if breach.limit in ("name", "sector"):
            heavy = 1.0 if breach.value > 0.0 else -1.0
            net = abs(breach.value)
            for symbol, weight in snapshot.weights.items():
                if breach.limit == "name" and symbol == breach.subject:
                    keep[symbol] = min(keep[symbol], breach.allowed / net)
                if (
                    breach.limit == "sector"
                    and snapshot.sector_of[symbol] == breach.subject
                    and weight * heavy > 0.0
                ):
                    keep[symbol] = min(keep[symbol], _heavier(snapshot, breach))
        elif breach.limit in ("gross", "value_at_risk", "stress"):
            share = breach.allowed / breach.value
            keep = {symbol: min(kept, share) for symbol, kept in keep.items()}
    return RiskDecision(
        state=breaches[0].state if breaches else "ACTIVE",
        breaches=breaches,
        most_shares={
            symbol: int(abs(holdings[symbol]) * kept) for symbol, kept in keep.items() if kept < 1.0
        },
    )


def _heavier(snapshot: RiskSnapshot, breach: Breach) -> float:
    """Return the share of a sector's heavier side that leaves its net at the limit."""
    heavy = 1.0 if breach.value > 0.0 else -1.0
    side = sum(
        abs(weight)
        for symbol, weight in snapshot.weights.items()
        if snapshot.sector_of[symbol] == breach.subject and weight * heavy > 0.0
    )
    return max(side - (abs(breach.value) - breach.allowed), 0.0) / side


def _breaches(snapshot: RiskSnapshot, rules: RiskLimits) -> tuple[Breach, ...]:
    found: list[Breach] = []

    def look(limit: str, value: float, allowed: float, *, subject: str = "") -> None:
        # What is not known (NaN) is no breach; `measure_risk` says what it does not know.
        if abs(value) > allowed * (1.0 + _ROUNDING):
            found.append(Breach(limit, subject, value, allowed, "REDUCING"))

    fall = -snapshot.drawdown
    if fall > rules.halt_drawdown:
        found.append(Breach("halt_drawdown", "", fall, rules.halt_drawdown, "HALTED"))
    elif fall > rules.drawdown:
        found.append(Breach("drawdown", "", fall, rules.drawdown, "REDUCING"))
    if snapshot.exceptions.zone == "red":
        found.append(
            Breach("value-at-risk test", "", float(snapshot.exceptions.exceptions), 9.0, "REDUCING")
        )
    designated = snapshot.designated
    if designated is not None:
        look("value_at_risk", max(designated.value_at_risk, 0.0), rules.value_at_risk)
    look("gross", snapshot.gross, rules.gross)
    look("net", snapshot.net, rules.net)
    look("beta", snapshot.beta, rules.beta)
    look("liquidity_days", snapshot.liquidity_days, rules.liquidity_days)
    look("stress", max(-min(snapshot.stress.values(), default=0.0), 0.0), rules.stress)
    for symbol, weight in snapshot.weights.items():
        look("name", weight, rules.name, subject=symbol)
    for sector, net in snapshot.sectors.items():
        look("sector", net, rules.sector, subject=sector)
    return tuple(found)
