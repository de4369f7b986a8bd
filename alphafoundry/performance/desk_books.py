"""What the store says of a desk's sessions: positions, values, movements and costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple, cast

from sqlalchemy import Select, Table, bindparam, select
from sqlalchemy.orm import Session as Transaction

from alphafoundry.performance.attribution import (
    FOREIGN,
    Cost,
    Movement,
    Parts,
    SessionBooks,
    fitted,
    per_share_revision,
    reasons,
)
from alphafoundry.store import Store
from alphafoundry.store.database import in_chunks, read_rows
from alphafoundry.store.desk_tables import (
    BalanceRow,
    FillRow,
    LedgerEntryRow,
    LedgerLineRow,
    MarkRow,
    OrderRow,
)
from alphafoundry.trading.ledger import ACCRUALS
from alphafoundry.trading.market_day import MarketDay
from alphafoundry.trading.money import amount_of, price_units

# Thousands of their rows are read for each session, without mapped objects.
_ORDERS = cast(Table, OrderRow.__table__)
_BALANCES = cast(Table, BalanceRow.__table__)
_MARKS = cast(Table, MarkRow.__table__)
_ENTRIES = cast(Table, LedgerEntryRow.__table__)
_LINES = cast(Table, LedgerLineRow.__table__)
_FILLS = cast(Table, FillRow.__table__)

_COSTS = ("fees", "borrow", "interest")
_KEEPS = ("split", "delisting")


@dataclass(frozen=True)
class SessionFacts:
    """One session of a desk.

    Attributes
    ----------
    books : for the attribution
    net_asset_value : at its evening, from cash, accruals and marks
    positions : symbol to value at the evening's marks
    traded : bought and sold
    entries_to : newest entry of the ledger that is in it
    """

    books: SessionBooks
    net_asset_value: int
    positions: Mapping[str, int]
    traded: int
    entries_to: int


class _Order(NamedTuple):
    id: int
    symbol: str
    session: date
    origin: str
    side: str
    quantity: int
    filled: int
    facts: Mapping[str, Any]


def _newest_by_name(column: Any, table: Table, until: Any, *last: Any) -> Select[Any]:
    """Return a question for the newest of something of each of some names that are or were held.

    One step into the index for each name, however many sessions there have been.
    """
    newest = (
        select(column)
        .where(table.c.desk_id == bindparam("desk"), table.c.symbol == _BALANCES.c.symbol, until)
        .order_by(*last)
        .limit(1)
        .correlate(_BALANCES)
        .scalar_subquery()
    )
    return select(_BALANCES.c.symbol, newest).where(
        _BALANCES.c.desk_id == bindparam("desk"),
        _BALANCES.c.account == "position",
        _BALANCES.c.symbol.in_(bindparam("names", expanding=True)),
    )


def _up_to_a_day(column: Any, table: Table, *last: Any) -> dict[bool, Select[Any]]:
    """Return whether the day is included to the question."""
    return {
        True: _newest_by_name(column, table, table.c.session <= bindparam("day"), *last),
        False: _newest_by_name(column, table, table.c.session < bindparam("day"), *last),
    }


_NEWEST_ORDER = _up_to_a_day(_ORDERS.c.id, _ORDERS, _ORDERS.c.session.desc(), _ORDERS.c.id.desc())
_NEWEST_MARK = _up_to_a_day(_MARKS.c.price, _MARKS, _MARKS.c.session.desc())
_ORDERS_BY_ID = select(*(_ORDERS.c[name] for name in _Order._fields)).where(
    _ORDERS.c.id.in_(bindparam("ids", expanding=True))
)
_LINES_AFTER = (
    select(
        _ENTRIES.c.id,
        _ENTRIES.c.kind,
        _ENTRIES.c.reference,
        _ENTRIES.c.at,
        _LINES.c.account,
        _LINES.c.symbol,
        _LINES.c.amount,
        _LINES.c.quantity,
    )
    .join(_LINES, _LINES.c.entry_id == _ENTRIES.c.id)
    .where(_ENTRIES.c.desk_id == bindparam("desk"), _ENTRIES.c.id > bindparam("after"))
    .order_by(_ENTRIES.c.id, _LINES.c.number)
)
_ORDER_OF_FILL = select(_FILLS.c.broker_fill_id, _FILLS.c.order_id).where(
    _FILLS.c.desk_id == bindparam("desk"),
    _FILLS.c.broker_fill_id.in_(bindparam("ids", expanding=True)),
)
_WEALTH = select(
    _BALANCES.c.account, _BALANCES.c.symbol, _BALANCES.c.amount, _BALANCES.c.quantity
).where(
    _BALANCES.c.desk_id == bindparam("desk"),
    _BALANCES.c.account.in_(("cash", "position", *ACCRUALS)),
)
_SPLITS = select(_ENTRIES.c.reference).where(
    _ENTRIES.c.desk_id == bindparam("desk"), _ENTRIES.c.kind == "split"
)


class _Orders:
    """The orders behind fills and positions; each is read once, their facts are long."""

    def __init__(self, transaction: Transaction, desk_id: int) -> None:
        self._transaction = transaction
        self._desk_id = desk_id
        self._known: dict[int, _Order] = {}
        self._reasons: dict[int, dict[str, int]] = {}

    def reasons(self, order: _Order) -> Mapping[str, int]:
        """Return for what reasons its name is held after an order that has parts."""
        found = self._reasons.get(order.id)
        if found is None:
            sign = 1 if order.side == "buy" else -1
            found = self._reasons[order.id] = reasons(
                order.facts["parts"], signed=sign * order.quantity, filled=sign * order.filled
            )
        return found

    def with_ids(self, ids: Iterable[int]) -> dict[int, _Order]:
        """Return number to order."""
        wanted = list(ids)
        for part in in_chunks(one for one in wanted if one not in self._known):
            rows = read_rows(self._transaction, _ORDERS_BY_ID, {"ids": part})
            self._known |= {row[0]: _Order(*row) for row in rows}
        return {one: self._known[one] for one in wanted}

    def newest(self, names: Sequence[str], day: date, *, included: bool) -> dict[str, _Order]:
        """Return symbol to its newest order up to a day."""
        last: dict[str, int] = {}
        for part in in_chunks(names):
            given = {"desk": self._desk_id, "day": day, "names": part}
            rows = read_rows(self._transaction, _NEWEST_ORDER[included], given)
            last |= {row[0]: row[1] for row in rows if row[1]}
        found = self.with_ids(last.values())
        return {symbol: found[number] for symbol, number in last.items()}

    def with_parts(self, newest: _Order) -> _Order:
        """Return the order itself, or the newest before it that says what it was made of."""
        if "parts" in newest.facts or newest.origin != "desk":
            return newest
        query = (
            select(_ORDERS.c.id)
            .where(
                _ORDERS.c.desk_id == self._desk_id,
                _ORDERS.c.symbol == newest.symbol,
                _ORDERS.c.id < newest.id,
            )
            .order_by(_ORDERS.c.id.desc())
        )
        for number in self._transaction.scalars(query):
            order = self.with_ids([number])[number]
            if "parts" in order.facts:
                return order
        return newest


class _Line(NamedTuple):
    entry: int
    kind: str
    reference: str
    at: datetime
    account: str
    symbol: str
    amount: int
    quantity: int


def read_session_facts(
    store: Store,
    desk_id: int,
    sessions: Sequence[tuple[date, datetime]],
    market: Mapping[date, MarketDay],
    *,
    entries_from: int = 0,
) -> list[SessionFacts]:
    """Return what happened in consecutive sessions, the last of which has just closed.

    Parameters
    ----------
    sessions : day and its first moment at the exchange, ascending; what was booked before that of
        the first one belongs to it too
    market : these days and the one before, as they are told today; revisions are told by them
    entries_from : newest entry that an earlier session has
    """
    days = [day for day, _ in sessions]
    with store.session() as transaction:
        lines = _lines(transaction, desk_id, entries_from)
        of_day: defaultdict[date, list[_Line]] = defaultdict(list)
        for line in lines:
            started = [day for day, begins in sessions if begins <= line.at]
            of_day[started[-1] if started else days[0]].append(line)
        orders = _Orders(transaction, desk_id)
        filled = _orders_of_fills(transaction, desk_id, lines, orders)
        held, wealth = _balances(transaction, desk_id)
        evenings: list[tuple[date, dict[str, int], int]] = []
        for day in reversed(days):
            evenings.append((day, dict(held), wealth))
            for line in of_day[day]:
                if line.account == "position":
                    held[line.symbol] = held.get(line.symbol, 0) - line.quantity
                if line.account in ("cash", *ACCRUALS):
                    wealth -= line.amount
        evenings.append((date.min, dict(held), wealth))
        evenings.reverse()
        found = []
        entries_to = entries_from
        for (_, began, _), (day, ended, cash) in pairwise(evenings):
            own = of_day[day]
            entries_to = max((line.entry for line in own), default=entries_to)
            found.append(
                _session(
                    *(transaction, desk_id, day, began, ended, cash, own),
                    *(orders, filled, market, entries_to),
                )
            )
    return found


def _session(
    transaction: Transaction,
    desk_id: int,
    day: date,
    began: Mapping[str, int],
    ended: Mapping[str, int],
    cash: int,
    lines: Sequence[_Line],
    orders: _Orders,
    filled: Mapping[str, _Order],
    market: Mapping[date, MarketDay],
    entries_to: int,
) -> SessionFacts:
    held = {name: quantity for name, quantity in began.items() if quantity}
    marks_before = _marks(transaction, desk_id, held, day, included=False)
    marks_after = _marks(transaction, desk_id, ended, day, included=True)
    before = {name: amount_of(n, marks_before.get(name, 0)) for name, n in held.items()}
    after = {name: amount_of(n, marks_after.get(name, 0)) for name, n in ended.items() if n}
    today = market.get(day)
    close, official = dict(marks_after), dict[str, int]()
    if today is not None:
        official = {name: price_units(bar.close) for name, bar in today.bars.items()}
        close |= official
        # A position is valued at its mark; what was traded in it is held against the same price.
        close |= {name: marks_after[name] for name in after if name in marks_after}
    splits = _split_days(transaction, desk_id)
    parts_before = _reasons(orders, splits, held, day, included=False)
    parts_after = _reasons(orders, splits, ended, day, included=True)
    movements, costs, traded = [], [], 0
    dividends: defaultdict[str, int] = defaultdict(int)
    transfers = 0
    for line in lines:
        order = filled.get(line.reference.removeprefix("reversal:"))
        if line.account == "position":
            keeps = line.kind in _KEEPS
            origin = "order" if order is not None else "foreign"
            if keeps or line.kind == "claim paid":
                origin = "corporate"
            wanted = order.facts.get("parts", {}) if order is not None else {}
            movements.append(
                Movement(line.symbol, line.quantity, line.amount, origin, keeps, wanted)  # type: ignore[arg-type]
            )
            traded += abs(line.amount) if order is not None else 0
        elif line.account == "dividends":
            dividends[line.symbol] -= line.amount
        elif line.account == "transfers":
            transfers -= line.amount
        elif line.account in _COSTS:
            costs.append(Cost(line.account, line.amount, _paid_for(line, parts_after, lines)))
    books = SessionBooks(
        session=day,
        held=held,
        before=before,
        after=after,
        parts=parts_before,
        close=close,
        dividends=dividends,
        movements=movements,
        costs=costs,
        revised=_revisions(held, day, marks_before, marks_after, official, market),
        transfers=transfers,
    )
    return SessionFacts(books, cash + sum(after.values()), after, traded, entries_to)


def _paid_for(line: _Line, after: Mapping[str, Parts], lines: Sequence[_Line]) -> Parts:
    """Return the reasons behind a cost: those of its name, or of all names that were traded."""
    if line.symbol:
        return after.get(line.symbol, {})
    if line.account != "fees":
        return {}
    total: defaultdict[str, int] = defaultdict(int)
    for one in lines:
        if one.account == "position":
            for name, quantity in after.get(one.symbol, {}).items():
                total[name] += abs(quantity)
    return total


def _lines(transaction: Transaction, desk_id: int, after: int) -> list[_Line]:
    rows = read_rows(transaction, _LINES_AFTER, {"desk": desk_id, "after": after})
    return [_Line(*row) for row in rows]


def _orders_of_fills(
    transaction: Transaction, desk_id: int, lines: Iterable[_Line], orders: _Orders
) -> dict[str, _Order]:
    """Return reference of an entry to the order that it fills."""
    wanted = {
        line.reference.removeprefix("reversal:").removeprefix("fill:")
        for line in lines
        if "fill:" in line.reference
    }
    numbers: dict[str, int] = {}
    for part in in_chunks(sorted(wanted)):
        rows = read_rows(transaction, _ORDER_OF_FILL, {"desk": desk_id, "ids": part})
        numbers |= {f"fill:{name}": number for name, number in rows}
    found = orders.with_ids(numbers.values())
    return {name: found[number] for name, number in numbers.items()}


def _balances(transaction: Transaction, desk_id: int) -> tuple[dict[str, int], int]:
    """Return (symbol to quantity, cash and accruals) as they are now."""
    held, wealth = {}, 0
    for account, symbol, amount, quantity in read_rows(transaction, _WEALTH, {"desk": desk_id}):
        if account == "position":
            held[symbol] = quantity
        else:
            wealth += amount
    return held, wealth


def _marks(
    transaction: Transaction,
    desk_id: int,
    held: Mapping[str, int],
    day: date,
    *,
    included: bool,
) -> dict[str, int]:
    """Return symbol to its newest mark up to a day."""
    found: dict[str, int] = {}
    for part in in_chunks(sorted(name for name, quantity in held.items() if quantity)):
        given = {"desk": desk_id, "day": day, "names": part}
        rows = read_rows(transaction, _NEWEST_MARK[included], given)
        found |= {symbol: price for symbol, price in rows if price is not None}
    return found


def _reasons(
    orders: _Orders,
    splits: Mapping[str, Sequence[date]],
    held: Mapping[str, int],
    day: date,
    *,
    included: bool,
) -> dict[str, Parts]:
    """Return symbol to why it is held: what its newest order up to a day was made of.

    An order that closes (a stop, flatten) has no reasons of its own: what it leaves is held for
    those of the order before it, each as much smaller as the position.
    """
    names = sorted(name for name, quantity in held.items() if quantity)
    newest = orders.newest(names, day, included=included)
    found: dict[str, Parts] = {}
    for name in names:
        last = newest.get(name)
        order = None if last is None else orders.with_parts(last)
        if order is None or "parts" not in order.facts:
            found[name] = {FOREIGN: held[name]}
            continue
        why = orders.reasons(order)
        since = any(order.session < one for one in splits.get(name, ()))
        # A position that is on the same side as its reasons, and smaller than they add to.
        whole = sum(why.values())
        smaller = order is not last and held[name] * whole > 0 and abs(held[name]) < abs(whole)
        found[name] = fitted(why, held[name], alike=since or smaller)
    return found


def _split_days(transaction: Transaction, desk_id: int) -> dict[str, list[date]]:
    found: defaultdict[str, list[date]] = defaultdict(list)
    for (reference,) in read_rows(transaction, _SPLITS, {"desk": desk_id}):
        _, symbol, day = reference.split(":")
        found[symbol].append(date.fromisoformat(day))
    return found


def _revisions(
    held: Mapping[str, int],
    day: date,
    marks_before: Mapping[str, int],
    marks_after: Mapping[str, int],
    official: Mapping[str, int],
    market: Mapping[date, MarketDay],
) -> dict[str, int]:
    """Return what today's bars say that a share earned beyond what was known, where they do."""
    today = market.get(day)
    earlier = [one for one in market if one < day]
    if today is None or not earlier:
        return {}
    yesterday = market[max(earlier)]
    ratios = {one.symbol: Fraction(one.new, one.old) for one in today.splits}
    found = {}
    for name in held:
        bar = yesterday.bars.get(name)
        if bar is None or name not in official:
            continue
        if name not in marks_before or name not in marks_after:
            continue
        known = marks_before[name], marks_after[name]
        told = price_units(bar.close), official[name]
        if known == told:
            continue
        revision = per_share_revision(known, told, ratios.get(name, Fraction(1)))
        if revision:
            found[name] = revision
    return found
