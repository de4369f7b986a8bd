"""The desk's double-entry ledger.

Every entry's lines add to 0; an amount above 0 is a debit. A position's line holds shares, too, and
its amount is what was paid for them net, so that profit is value less that amount and needs no
lots. Assets that the broker has not paid yet (dividends from their ex-date on, cash in lieu of
fractions, proceeds of a delisting) wait in accounts of their own until its payment is read.

    equity = cash + sum of quantity x mark
    net asset value = equity + what is receivable - what is owed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import Table, UpdateBase, and_, bindparam, case, func, or_, select
from sqlalchemy.orm import Session as Transaction

from alphafoundry.errors import TradingError, UnbalancedEntry
from alphafoundry.store import Store
from alphafoundry.store.database import (
    add_rows,
    execute_many,
    in_chunks,
    insert_of,
    kept_of,
    read_rows,
)
from alphafoundry.store.desk_tables import (
    BalanceRow,
    FillRow,
    LedgerEntryRow,
    LedgerLineRow,
    MarkRow,
    OrderRow,
)
from alphafoundry.trading.market_day import MarketDay
from alphafoundry.trading.money import (
    CENT,
    MONEY,
    PRICE,
    SHARE,
    amount_of,
    price_units,
    rounded,
    to_units,
)

Account = Literal[
    "cash",
    "position",
    "dividend_receivable",
    "dividend_payable",
    "claims",
    "dividends",
    "fees",
    "borrow",
    "accrued_borrow",
    "interest",
    "accrued_interest",
    "transfers",
]

ACCRUALS: tuple[Account, ...] = (
    "dividend_receivable",
    "dividend_payable",
    "claims",
    "accrued_borrow",
    "accrued_interest",
)
"""Accounts of what is due and not paid; part of the net asset value."""

_BALANCES, _MARKS = cast(Table, BalanceRow.__table__), cast(Table, MarkRow.__table__)
_ENTRIES = cast(Table, LedgerEntryRow.__table__)
_BOOKED = select(_ENTRIES.c.reference, _ENTRIES.c.id).where(
    _ENTRIES.c.desk_id == bindparam("desk"),
    _ENTRIES.c.reference.in_(bindparam("references", expanding=True)),
)
_WAITING = select(_BALANCES.c.account, _BALANCES.c.symbol, _BALANCES.c.amount).where(
    _BALANCES.c.desk_id == bindparam("desk"),
    _BALANCES.c.account.in_(ACCRUALS),
    _BALANCES.c.amount != 0,
)

DAYS_A_YEAR = 360
"""By which borrow fees and interest are counted, on calendar days."""


class Line(NamedTuple):
    """One line of an entry: amount in 1/10,000 dollar, quantity in 1/1,000,000 share."""

    account: Account
    amount: int
    symbol: str = ""
    quantity: int = 0


class Entry(NamedTuple):
    """One entry before it is booked; see `LedgerEntryRow`."""

    kind: str
    reference: str
    at: datetime
    lines: tuple[Line, ...]
    memo: str = ""
    reverses: int | None = None


class Holding(NamedTuple):
    """A position: quantity in 1/1,000,000 share, cost as net amount paid, mark as price or None."""

    symbol: str
    quantity: int
    cost: int
    mark: int | None

    @property
    def value(self) -> int:
        """Quantity times mark as an amount; without a mark, what was paid."""
        return self.cost if self.mark is None else amount_of(self.quantity, self.mark)


@dataclass(frozen=True)
class Books:
    """What a desk has, amounts in 1/10,000 dollar.

    Attributes
    ----------
    cash : settled or not, as the broker counts it
    holdings : symbol to position, those with shares only
    accrued : receivable less owed
    unmarked : symbols without a mark, which are valued at what was paid for them
    """

    cash: int
    holdings: Mapping[str, Holding]
    accrued: int

    @property
    def equity(self) -> int:
        """Cash and the value of the positions; what a broker's account answers."""
        return self.cash + sum(one.value for one in self.holdings.values())

    @property
    def net_asset_value(self) -> int:
        """Equity with what is receivable, less what is owed."""
        return self.equity + self.accrued

    @property
    def gross(self) -> int:
        """Sum of the absolute values of the positions."""
        return sum(abs(one.value) for one in self.holdings.values())

    @property
    def unmarked(self) -> tuple[str, ...]:
        """Symbols that are valued at what was paid for want of a mark."""
        return tuple(one.symbol for one in self.holdings.values() if one.mark is None)


def post(
    transaction: Transaction,
    desk_id: int,
    *,
    kind: str,
    reference: str,
    at: datetime,
    lines: Sequence[Line],
    memo: str = "",
    reverses: int | None = None,
) -> bool:
    """Book an entry within a transaction; False where its reference was booked before.

    Raises UnbalancedEntry where the amounts do not add to 0.
    """
    entry = Entry(kind, reference, at, tuple(lines), memo, reverses)
    return post_all(transaction, desk_id, [entry]) == 1


def post_all(transaction: Transaction, desk_id: int, entries: Sequence[Entry]) -> int:
    """Book entries of different references; return how many were not booked before.

    Raises UnbalancedEntry where the amounts of one do not add to 0.
    """
    for entry in entries:
        rest = sum(line.amount for line in entry.lines)
        if rest:
            raise UnbalancedEntry(
                f"{entry.reference}: debits and credits differ by {rest} of 1/10,000 $"
            )
    booked = _numbers(transaction, desk_id, entries)
    fresh = [entry for entry in entries if entry.reference not in booked]
    if not fresh:
        return 0
    add_rows(
        transaction,
        LedgerEntryRow,
        [
            {
                "desk_id": desk_id,
                "kind": entry.kind,
                "reference": entry.reference,
                "at": entry.at,
                "memo": entry.memo,
                "reverses": entry.reverses,
            }
            for entry in fresh
        ],
    )
    ids = _numbers(transaction, desk_id, fresh)
    add_rows(
        transaction,
        LedgerLineRow,
        [
            {
                "entry_id": ids[entry.reference],
                "number": number,
                "account": line.account,
                "symbol": line.symbol,
                "amount": line.amount,
                "quantity": line.quantity,
            }
            for entry in fresh
            for number, line in enumerate(entry.lines)
        ],
    )
    _add_to_balances(transaction, desk_id, [line for entry in fresh for line in entry.lines])
    return len(fresh)


def _numbers(transaction: Transaction, desk_id: int, entries: Sequence[Entry]) -> dict[str, int]:
    """Return reference to number, of the entries that are booked."""
    found: dict[str, int] = {}
    for part in in_chunks(entry.reference for entry in entries):
        found |= dict(read_rows(transaction, _BOOKED, {"desk": desk_id, "references": part}))
    return found


def _add_to_balances(transaction: Transaction, desk_id: int, lines: Sequence[Line]) -> None:
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for line in lines:
        amount, quantity = sums.get((line.account, line.symbol), (0, 0))
        sums[line.account, line.symbol] = (amount + line.amount, quantity + line.quantity)
    values = [
        {
            "desk_id": desk_id,
            "account": account,
            "symbol": symbol,
            "amount": amount,
            "quantity": quantity,
        }
        for (account, symbol), (amount, quantity) in sorted(sums.items())
    ]
    execute_many(transaction, _adding(transaction.get_bind().dialect.name), values)
    kept = kept_of(transaction)
    known: _Balances | None = None if kept is None else kept.get((_Balances, desk_id))
    if kept is not None and known is not None:
        for (account, symbol), (amount, quantity) in sums.items():
            if not known.add(account, symbol, amount, quantity):
                del kept[_Balances, desk_id]
                break


@lru_cache
def _adding(dialect: str) -> UpdateBase:
    added = insert_of(dialect, _BALANCES)
    return added.on_conflict_do_update(
        index_elements=["desk_id", "account", "symbol"],
        set_={
            "amount": _BALANCES.c.amount + added.excluded.amount,
            "quantity": _BALANCES.c.quantity + added.excluded.quantity,
        },
    )


def reverse(
    transaction: Transaction, desk_id: int, reference: str, *, at: datetime, memo: str
) -> bool:
    """Book the opposite of an entry, such as a broken trade; False where that was done before.

    Raises TradingError where nothing was booked under `reference`.
    """
    entry = transaction.scalar(
        select(LedgerEntryRow).where(
            LedgerEntryRow.desk_id == desk_id, LedgerEntryRow.reference == reference
        )
    )
    if entry is None:
        raise TradingError(f"{reference}: nothing was booked under it, so nothing can be reversed")
    lines = transaction.scalars(
        select(LedgerLineRow)
        .where(LedgerLineRow.entry_id == entry.id)
        .order_by(LedgerLineRow.number)
    )
    opposite = [
        Line(line.account, -line.amount, line.symbol, -line.quantity)  # type: ignore[arg-type]
        for line in lines
    ]
    return post(
        transaction,
        desk_id,
        kind="reversal",
        reference=f"reversal:{reference}",
        at=at,
        lines=opposite,
        memo=memo,
        reverses=entry.id,
    )


def transfer(store: Store, desk_id: int, amount: int, *, reference: str, at: datetime) -> bool:
    """Book cash that came into the account (below 0: left it); False where it was booked before."""
    with store.write() as transaction:
        return post(
            transaction,
            desk_id,
            kind="transfer",
            reference=f"transfer:{reference}",
            at=at,
            lines=transfer_lines(amount),
        )


def transfer_lines(amount: int) -> list[Line]:
    """Return the lines of cash that came into the account."""
    return [Line("cash", amount), Line("transfers", -amount)]


def fill_lines(symbol: str, side: str, quantity: int, price: int) -> list[Line]:
    """Return the lines of a fill: shares against cash, the product rounded once."""
    signed = quantity if side == "buy" else -quantity
    amount = amount_of(signed, price)
    return [Line("position", amount, symbol, signed), Line("cash", -amount)]


def open_session(
    store: Store, desk_id: int, day: MarketDay, *, before: MarketDay | None, at: datetime
) -> int:
    """Book what happens before a session's open: splits, dividends, delistings.

    Splits move shares; what they leave below one share becomes a claim at the last close so
    adjusted. Dividends accrue on the ex-date, for shorts as a debt. A delisting turns shares
    into a claim at its price. The broker's payments settle them when they are read.

    Parameters
    ----------
    before : the session before, whose closes are those of cash in lieu; marks are used without it

    Returns how many entries were new: what is booked already is left alone.
    """
    count = 0
    session = day.session.day
    if not (day.splits or day.dividends or day.delistings):
        return 0
    with store.write() as transaction:
        held = read_books(transaction, desk_id).holdings
        for split in day.splits:
            if split.symbol in held:
                holding = held[split.symbol]
                close = before.bars.get(split.symbol) if before is not None else None
                price = holding.mark if close is None else price_units(close.close)
                count += post(
                    transaction,
                    desk_id,
                    kind="split",
                    reference=f"split:{split.symbol}:{session}",
                    at=at,
                    lines=_split_lines(holding, split.new, split.old, price or 0),
                    memo=f"{split.new} for {split.old}",
                )
                if price is not None:
                    adjusted = rounded(price * split.old, split.new)
                    _put_marks(transaction, desk_id, session, {split.symbol: adjusted})
        held = read_books(transaction, desk_id).holdings
        for dividend in day.dividends:
            if dividend.symbol in held:
                per_share = to_units(dividend.per_share, PRICE, what="dividend")
                amount = amount_of(held[dividend.symbol].quantity, per_share)
                account: Account = "dividend_receivable" if amount > 0 else "dividend_payable"
                count += post(
                    transaction,
                    desk_id,
                    kind="dividend",
                    reference=f"dividend:{dividend.symbol}:{session}",
                    at=at,
                    lines=[
                        Line(account, amount, dividend.symbol),
                        Line("dividends", -amount, dividend.symbol),
                    ],
                    memo=f"paid on {dividend.pay_date}",
                )
        for end in day.delistings:
            if end.symbol in held:
                holding = held[end.symbol]
                amount = amount_of(holding.quantity, price_units(end.price))
                count += post(
                    transaction,
                    desk_id,
                    kind="delisting",
                    reference=f"delisting:{end.symbol}:{session}",
                    at=at,
                    lines=[
                        Line("claims", amount, end.symbol),
                        Line("position", -amount, end.symbol, -holding.quantity),
                    ],
                    memo=f"cash at {end.price}",
                )
    return count


def close_session(
    store: Store,
    desk_id: int,
    day: MarketDay,
    *,
    next_session: date,
    at: datetime,
    borrow_rate: Mapping[str, float] | float = 0.0,
    interest_rate: float = 0.0,
) -> None:
    """Mark every position at the session's close and accrue what the nights to the next one cost.

    A symbol without a bar keeps its last mark. A short owes the borrow rate (a year, as a
    fraction) on its value for each calendar day to `next_session`, over 360; cash earns (below
    0: owes) the interest rate likewise. Each accrual is rounded once. Doing it again changes
    nothing.
    """
    session = day.session.day
    nights = (next_session - session).days
    with store.write() as transaction:
        held = read_books(transaction, desk_id).holdings
        prices = {
            symbol: price_units(day.bars[symbol].close) for symbol in held if symbol in day.bars
        }
        _put_marks(transaction, desk_id, session, prices)
        books = read_books(transaction, desk_id)
        entries = []
        for symbol, holding in books.holdings.items():
            rate = borrow_rate if isinstance(borrow_rate, int | float) else borrow_rate[symbol]
            owed = _accrual(-holding.value, rate, nights) if holding.quantity < 0 else 0
            if owed:
                lines = (Line("borrow", owed, symbol), Line("accrued_borrow", -owed, symbol))
                reference = f"borrow:{symbol}:{session}"
                entries.append(Entry("borrow accrual", reference, at, lines, f"{nights} days"))
        earned = _accrual(books.cash, interest_rate, nights)
        if earned:
            lines = (Line("accrued_interest", earned), Line("interest", -earned))
            reference = f"interest:{session}"
            entries.append(Entry("interest accrual", reference, at, lines, f"{nights} days"))
        post_all(transaction, desk_id, entries)


def set_marks(store: Store, desk_id: int, session: date, prices: Mapping[str, int]) -> None:
    """Value positions at these prices from the close of `session` on."""
    with store.write() as transaction:
        _put_marks(transaction, desk_id, session, prices)


Waiting = dict[tuple[str, str], int]
"""Account and symbol to what waits there for the broker's payment."""


def read_waiting(transaction: Transaction, desk_id: int) -> Waiting:
    """Return what waits for the broker's payments."""
    rows = read_rows(transaction, _WAITING, {"desk": desk_id})
    return {(account, symbol): amount for account, symbol, amount in rows}


def settle_lines(waiting: Waiting, kind: str, symbol: str, paid: int) -> list[Line]:
    """Return the lines of a payment that the broker made (below 0: took).

    What waits for it in the account of that kind is cleared, and taken off `waiting`. A cent of
    difference, and what the broker pays beyond what waits, goes to the income or cost account;
    what it pays too little goes on waiting there, where it shows.

    kind : "dividend", "claim", "borrow", "interest", or "fee", for which nothing waits
    """
    places: dict[str, tuple[Account | None, Account]] = {
        "dividend": ("dividend_receivable" if paid > 0 else "dividend_payable", "dividends"),
        "claim": ("claims", "position"),
        "borrow": ("accrued_borrow", "borrow"),
        "interest": ("accrued_interest", "interest"),
        "fee": (None, "fees"),
    }
    account, rest_to = places[kind]
    lines = [Line("cash", paid)]
    due = 0 if account is None else waiting.get((account, symbol), 0)
    if abs(due) - abs(paid) > CENT and due * paid > 0:
        due = paid
    if account is not None and due:
        lines.append(Line(account, -due, symbol))
        waiting[account, symbol] -= due
    if paid - due:
        lines.append(Line(rest_to, due - paid, symbol))
    return lines


_NEWEST_MARK = (
    select(_MARKS.c.price)
    .where(_MARKS.c.desk_id == _BALANCES.c.desk_id, _MARKS.c.symbol == _BALANCES.c.symbol)
    .order_by(_MARKS.c.session.desc())
    .limit(1)
    .correlate(_BALANCES)
    .scalar_subquery()
)
_BOOKS = (
    select(
        _BALANCES.c.account,
        _BALANCES.c.symbol,
        _BALANCES.c.amount,
        _BALANCES.c.quantity,
        case((_BALANCES.c.account == "position", _NEWEST_MARK)),
    )
    .where(
        _BALANCES.c.desk_id == bindparam("desk"),
        or_(
            _BALANCES.c.account == "position",
            and_(_BALANCES.c.account.in_(("cash", *ACCRUALS)), _BALANCES.c.amount != 0),
        ),
    )
    .order_by(_BALANCES.c.symbol)
)
"""Cash, every name that was ever held with its newest mark, and what is due."""


class _Balances:
    """What `_BOOKS` finds, kept while nobody else can write: a desk asks for it all day."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._cash, self._accrued = 0, 0
        self._positions: dict[str, Holding] = {}
        self._books: Books | None = None
        for account, symbol, amount, quantity, mark in rows:
            if account == "position":
                self._positions[symbol] = Holding(symbol, quantity, amount, mark)
            elif account == "cash":
                self._cash += amount
            else:
                self._accrued += amount

    def books(self) -> Books:
        if self._books is None:
            held = {name: one for name, one in self._positions.items() if one.quantity}
            self._books = Books(cash=self._cash, holdings=held, accrued=self._accrued)
        return self._books

    def add(self, account: str, symbol: str, amount: int, quantity: int) -> bool:
        """Take in what is booked; False where that cannot be, of a name that was never held."""
        self._books = None
        if account == "position":
            before = self._positions.get(symbol)
            if before is None:
                return False
            self._positions[symbol] = before._replace(
                quantity=before.quantity + quantity, cost=before.cost + amount
            )
        elif account == "cash":
            self._cash += amount
        elif account in ACCRUALS:
            self._accrued += amount
        return True


def read_books(transaction: Transaction, desk_id: int) -> Books:
    """Return what a desk has, at its newest marks."""
    kept = kept_of(transaction)
    found: _Balances | None = None if kept is None else kept.get((_Balances, desk_id))
    if found is None:
        found = _Balances(read_rows(transaction, _BOOKS, {"desk": desk_id}))
        if kept is not None:
            kept[_Balances, desk_id] = found
    return found.books()


def books_of(store: Store, desk_id: int) -> Books:
    """Return what a desk has, at its newest marks."""
    with store.session() as transaction:
        return read_books(transaction, desk_id)


def check_ledger(store: Store, desk_id: int) -> list[str]:
    """Return what is wrong with a ledger, one line each; empty where nothing is.

    Every entry adds to 0; every balance is the sum of its lines; every position is the sum of its
    fills and corporate actions; the fills of an order do not exceed it.
    """
    wrong = []
    with store.session() as transaction:
        entries = (
            select(LedgerEntryRow.reference, func.sum(LedgerLineRow.amount).label("rest"))
            .join(LedgerLineRow, LedgerLineRow.entry_id == LedgerEntryRow.id)
            .where(LedgerEntryRow.desk_id == desk_id)
            .group_by(LedgerEntryRow.id, LedgerEntryRow.reference)
            .having(func.sum(LedgerLineRow.amount) != 0)
        )
        wrong += [f"{name}: its lines add to {rest}" for name, rest in transaction.execute(entries)]
        summed = {
            (account, symbol): (int(amount), int(quantity))
            for account, symbol, amount, quantity in transaction.execute(
                select(
                    LedgerLineRow.account,
                    LedgerLineRow.symbol,
                    func.sum(LedgerLineRow.amount),
                    func.sum(LedgerLineRow.quantity),
                )
                .join(LedgerEntryRow, LedgerLineRow.entry_id == LedgerEntryRow.id)
                .where(LedgerEntryRow.desk_id == desk_id)
                .group_by(LedgerLineRow.account, LedgerLineRow.symbol)
            )
        }
        kept = {
            (row.account, row.symbol): (row.amount, row.quantity)
            for row in transaction.scalars(select(BalanceRow).where(BalanceRow.desk_id == desk_id))
        }
        wrong += [
            f"balance of {' '.join(key).strip()}: {kept.get(key)} is kept, its lines add to "
            f"{summed.get(key)}"
            for key in sorted(summed.keys() | kept.keys())
            if summed.get(key) != kept.get(key)
        ]
        wrong += _wrong_orders(transaction, desk_id)
    return wrong


def _wrong_orders(transaction: Transaction, desk_id: int) -> Iterable[str]:
    sums = transaction.execute(
        select(FillRow.order_id, func.sum(FillRow.quantity))
        .where(FillRow.desk_id == desk_id, FillRow.bust_at.is_(None))
        .group_by(FillRow.order_id)
    )
    filled = {order_id: int(quantity) for order_id, quantity in sums}
    for order in transaction.scalars(select(OrderRow).where(OrderRow.desk_id == desk_id)):
        total = filled.get(order.id, 0)
        if total != order.filled:
            yield f"order {order.id}: {order.filled} is kept as filled, its fills add to {total}"
        if total > order.quantity:
            yield f"order {order.id}: filled {total} of {order.quantity}"


def _split_lines(holding: Holding, new: int, old: int, last_price: int) -> list[Line]:
    exact = holding.quantity * new
    sign = 1 if exact >= 0 else -1
    whole = abs(exact) // (old * SHARE) * SHARE * sign
    # The fraction's value: (exact / old - whole) shares at last_price x old / new.
    fraction = exact - whole * old
    amount = rounded(fraction * last_price * MONEY, new * SHARE * PRICE)
    lines = [Line("position", -amount, holding.symbol, whole - holding.quantity)]
    if amount:
        lines.append(Line("claims", amount, holding.symbol))
    return lines


def _accrual(value: int, rate: float, nights: int) -> int:
    millionths = round(rate * 1_000_000)
    return rounded(value * millionths * nights, 1_000_000 * DAYS_A_YEAR)


def _put_marks(
    transaction: Transaction, desk_id: int, session: date, prices: Mapping[str, int]
) -> None:
    if (kept := kept_of(transaction)) is not None:
        kept.pop((_Balances, desk_id), None)
    execute_many(
        transaction,
        _marking(transaction.get_bind().dialect.name),
        [
            {"desk_id": desk_id, "symbol": symbol, "session": session, "price": price}
            for symbol, price in prices.items()
        ],
    )


@lru_cache
def _marking(dialect: str) -> UpdateBase:
    added = insert_of(dialect, _MARKS)
    return added.on_conflict_do_update(
        index_elements=["desk_id", "symbol", "session"], set_={"price": added.excluded.price}
    )
