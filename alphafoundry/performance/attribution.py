"""Where the dollars of a session came from, and where paper parts from backtest; to the cent.

Amounts are whole numbers of 1/10,000 dollar, quantities of 1/1,000,000 share and prices of
1/1,000,000 dollar, as in the ledger. Every sum here is exact: what rounding leaves of a split is
given to the parts with the largest rest (the method of Hamilton).

What the shares of the evening before earn from close to close belongs to the reasons for which they
are held: those of the newest order of their name. An order's reasons are what each strategy alone
would hold, what the optimiser made of it, and the steps to whole shares; what was not filled is one
more, below 0 for a purchase. What is traded in a session earns the distance of its price from the
close, and costs what is booked as cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, NamedTuple

from alphafoundry.errors import PerformanceError
from alphafoundry.trading.money import amount_of, rounded

STRATEGY = "strategy "
"""How the reason of a strategy begins, in orders as here; its id follows."""

OPTIMISER, FOREIGN, CORPORATE = "optimiser", "foreign positions", "corporate actions"
TIMING, UNFILLED, PRICE = "timing", "unfilled", "price"
COSTS = ("commission", "borrow", "interest")
GAPS = (TIMING, PRICE, UNFILLED)
DRIFT = ("backtest", "data revision", TIMING, PRICE, UNFILLED, "cost")
"""Columns of a strategy's drift; their sum is what it earned on paper."""

_DECIDED = ("rounding", "minimum trade", "net repair", OPTIMISER)
_RENAMED = {"flip": TIMING, "participation": UNFILLED, "later orders": UNFILLED}
_ACCOUNTS = {"fees": "commission", "borrow": "borrow", "interest": "interest"}

Parts = Mapping[str, int]
Origin = Literal["order", "corporate", "foreign"]


class Movement(NamedTuple):
    """A line of the ledger that moved a position.

    Attributes
    ----------
    quantity, amount : of the line; the amount is what was paid
    origin : "order" (a fill or its reversal), "corporate" (splits, delistings), or "foreign"
    keeps : whether what it makes of a position counts as holding it: splits and delistings
    parts : reasons of the order
    """

    symbol: str
    quantity: int
    amount: int
    origin: Origin
    keeps: bool = False
    parts: Parts = MappingProxyType({})


class Cost(NamedTuple):
    """A line of fees, borrow or interest; an amount above 0 is a cost.

    parts : reasons of the shares that it was paid for; empty where it is nobody's
    """

    kind: str
    amount: int
    parts: Parts = MappingProxyType({})


@dataclass(frozen=True)
class SessionBooks:
    """What a session began with, what happened in it, and what it ended with.

    Attributes
    ----------
    held : symbol to quantity at the evening before
    before, after : symbol to value at the marks of both evenings
    parts : symbol to the reasons of what was held, as `reasons` gives them
    close : symbol to the session's official close
    dividends : symbol to what it paid on what was held; below 0 is owed
    movements, costs : of the session
    revised : symbol to what today's data say a share more would have earned, as a price; names
        whose bars were never revised are left out
    transfers : what came into the account
    """

    session: date
    held: Mapping[str, int]
    before: Mapping[str, int]
    after: Mapping[str, int]
    parts: Mapping[str, Parts]
    close: Mapping[str, int]
    dividends: Mapping[str, int] = field(default_factory=dict)
    movements: Sequence[Movement] = ()
    costs: Sequence[Cost] = ()
    revised: Mapping[str, int] = field(default_factory=dict)
    transfers: int = 0


@dataclass(frozen=True)
class Attribution:
    """The PnL of a session and its parts, which add up to it.

    Attributes
    ----------
    pnl : change of the net asset value but for transfers
    parts : "strategy ID", "optimiser", "timing", "price", "unfilled", "commission", "borrow",
        "interest", "corporate actions", "foreign positions" to dollars; costs below 0
    drift : strategy id to the columns of `DRIFT`
    held : symbol to what the shares of the evening before earned, dividends included
    """

    session: date
    pnl: int
    parts: Parts
    drift: Mapping[str, Parts]
    held: Parts

    def paper(self, strategy: str) -> int:
        """Return what a strategy earned on paper: the sum of its drift's columns."""
        return sum(self.drift[strategy].values())


def apportion(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Return `total` in whole units over names, each within one unit of total x weight / sum.

    weights : of any sign; their sum must not be 0

    The result adds up to `total` exactly. Raises PerformanceError where the weights add to 0.
    """
    base = sum(weights.values())
    if base == 0:
        raise PerformanceError(f"{total} cannot be split by weights that add to 0")
    sign = 1 if base > 0 else -1
    found: dict[str, int] = {}
    rests: list[tuple[int, str]] = []
    left = total
    for name, weight in weights.items():
        found[name], rest = divmod(sign * total * weight, abs(base))
        left -= found[name]
        rests.append((-rest, name))
    if left:
        for _, name in sorted(rests)[:left]:
            found[name] += 1
    return found


def reasons(order_parts: Parts, *, signed: int, filled: int) -> dict[str, int]:
    """Return for what reasons a name is held after an order: quantities that add to its shares.

    Parameters
    ----------
    order_parts : of the order, "held" among them
    signed, filled : quantity of the order and what was filled, below 0 for a sale
    """
    found: defaultdict[str, int] = defaultdict(int)
    for reason, quantity in order_parts.items():
        if reason == "held":
            continue
        name = _RENAMED.get(reason, OPTIMISER if reason in _DECIDED else reason)
        found[name] += quantity
    found[UNFILLED] += filled - signed
    return {name: quantity for name, quantity in found.items() if quantity}


def fitted(parts: Parts, quantity: int, *, alike: bool = False) -> dict[str, int]:
    """Return reasons that add to the shares that there are.

    alike : after a split all reasons grow alike, and shrink alike after an order that only closes;
        any other difference is a position from elsewhere
    """
    total = sum(parts.values())
    if total == quantity:
        return dict(parts)
    if alike and total:
        return apportion(quantity, parts)
    return {**parts, FOREIGN: parts.get(FOREIGN, 0) + quantity - total}


def attribute(books: SessionBooks) -> Attribution:
    """Return the PnL of a session by its reasons.

    Raises PerformanceError where the reasons of a name do not add to its shares.
    """
    parts: defaultdict[str, int] = defaultdict(int)
    drift: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    moved: defaultdict[str, list[Movement]] = defaultdict(list)
    for movement in books.movements:
        moved[movement.symbol].append(movement)
    held: dict[str, int] = {}
    for symbol in sorted({*books.held, *books.before, *books.after, *moved}):
        paid = sum(one.amount for one in moved[symbol])
        rest = books.after.get(symbol, 0) - books.before.get(symbol, 0) - paid
        for one in moved[symbol]:
            gap = _gap(one, books.close.get(symbol))
            rest -= gap
            _share_gap(one, gap, parts, drift)
        rest += books.dividends.get(symbol, 0)
        if books.held.get(symbol, 0):
            held[symbol] = rest
            _share_held(books, symbol, rest, parts, drift)
        else:
            # Without shares at the evening before, only rounding can be left.
            parts[OPTIMISER] += rest
    for cost in books.costs:
        kind = _ACCOUNTS.get(cost.kind, cost.kind)
        parts[kind] -= cost.amount
        for strategy, amount in _among_strategies(-cost.amount, cost.parts).items():
            drift[strategy]["cost"] += amount
    return Attribution(
        session=books.session,
        pnl=sum(parts.values()),
        parts={name: amount for name, amount in parts.items() if amount},
        drift={
            name: {column: columns[column] for column in DRIFT}
            for name, columns in sorted(drift.items())
        },
        held=held,
    )


def _gap(movement: Movement, close: int | None) -> int:
    """Return what shares that moved are worth at the close beyond what was paid for them."""
    if movement.keeps:
        return 0
    if close is None and movement.quantity:
        return 0
    return amount_of(movement.quantity, close or 0) - movement.amount


def _share_gap(
    movement: Movement,
    gap: int,
    parts: defaultdict[str, int],
    drift: defaultdict[str, defaultdict[str, int]],
) -> None:
    if movement.origin != "order":
        parts[CORPORATE if movement.origin == "corporate" else FOREIGN] += gap
        return
    parts[PRICE] += gap
    for strategy, amount in _among_strategies(gap, movement.parts).items():
        drift[strategy][PRICE] += amount


def _share_held(
    books: SessionBooks,
    symbol: str,
    earned: int,
    parts: defaultdict[str, int],
    drift: defaultdict[str, defaultdict[str, int]],
) -> None:
    """Give what held shares earned to their reasons."""
    why, quantity = books.parts[symbol], books.held[symbol]
    if sum(why.values()) != quantity:
        raise PerformanceError(
            f"{symbol}: its reasons add to {sum(why.values())} of 1/1,000,000 share on "
            f"{books.session}, and {quantity} are held"
        )
    shared = apportion(earned, why)
    revision = books.revised.get(symbol, 0)
    today = apportion(earned + amount_of(quantity, revision), why) if revision else shared
    for reason, amount in shared.items():
        parts[reason] += amount
        if reason.startswith(STRATEGY):
            columns = drift[reason.removeprefix(STRATEGY)]
            columns["backtest"] += today[reason]
            columns["data revision"] += amount - today[reason]
        elif reason in (TIMING, UNFILLED):
            for strategy, part in _among_strategies(amount, why).items():
                drift[strategy][reason] += part


def _among_strategies(amount: int, parts: Parts) -> dict[str, int]:
    """Return an amount over the strategies behind some shares, by the size of what each wanted."""
    sizes = {
        name.removeprefix(STRATEGY): abs(quantity)
        for name, quantity in parts.items()
        if name.startswith(STRATEGY) and quantity
    }
    return apportion(amount, sizes) if sizes and amount else {}


def summed(attributions: Sequence[Attribution]) -> Attribution:
    """Return the attribution of several sessions together; the session is the last one.

    Raises PerformanceError without any.
    """
    if not attributions:
        raise PerformanceError("no session has closed yet; there is nothing to add up")
    parts: defaultdict[str, int] = defaultdict(int)
    held: defaultdict[str, int] = defaultdict(int)
    drift: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in attributions:
        for name, amount in one.parts.items():
            parts[name] += amount
        for name, amount in one.held.items():
            held[name] += amount
        for strategy, columns in one.drift.items():
            for column, amount in columns.items():
                drift[strategy][column] += amount
    return Attribution(
        attributions[-1].session,
        sum(one.pnl for one in attributions),
        dict(parts),
        {name: dict(columns) for name, columns in sorted(drift.items())},
        dict(held),
    )


def per_share_revision(known: tuple[int, int], today: tuple[int, int], ratio: Fraction) -> int:
    """Return by how much more a share earned by today's data than by what was known, as a price.

    Parameters
    ----------
    known, today : close of the evening before and of the session, as they were known and as they
        are told today
    ratio : new shares for an old one at the session's open
    """
    change = (today[1] - known[1]) * ratio - (today[0] - known[0])
    return rounded(change.numerator, change.denominator)
