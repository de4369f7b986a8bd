"""The tables of the desk: its account, orders, fills and double-entry ledger.

Amounts are whole numbers of 1/10,000 dollar, quantities whole numbers of 1/1,000,000 share, prices
whole numbers of 1/1,000,000 dollar a share. Times are the desk's clock, which a simulation moves.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from alphafoundry.store.column_types import PlainText
from alphafoundry.store.tables import OfData, Table, one_of

DeskState = Literal["active", "reducing", "halted"]
ForeignRule = Literal["adopt", "halt"]
OrderStatus = Literal[
    "intended",
    "sending",
    "accepted",
    "partially_filled",
    "filled",
    "denied",
    "rejected",
    "pending_cancel",
    "cancelled",
    "expired",
    "replaced",
    "unknown",
]
OrderSide = Literal["buy", "sell"]
OrderOrigin = Literal["desk", "foreign"]
ReconciliationStatus = Literal["clean", "suspected", "confirmed", "adopted"]


class DeskRow(Table):
    """A desk and its one account.

    name : by which people call it
    epoch : random, 16 hex digits, in every client order id: two desks never share one
    exchange : code of the calendar, such as XNYS
    broker, account_number : whose account it is
    synthetic : its prices are generated; such a desk never has a real account
    state, state_reason : active; reducing (only orders that reduce); halted (none)
    foreign_rule : what happens with orders and positions that are not of this desk
    next_sequence : of the next order; moved in the transaction that stores the order
    fills_until : newest time of an activity that was read
    reconciled_at : when ledger and broker last agreed
    """

    __tablename__ = "desks"
    __table_args__ = (
        UniqueConstraint("name"),
        UniqueConstraint("broker", "account_number"),
        one_of("state", DeskState),
        one_of("foreign_rule", ForeignRule),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    epoch: Mapped[str]
    exchange: Mapped[str]
    broker: Mapped[str]
    account_number: Mapped[str]
    synthetic: Mapped[bool]
    state: Mapped[DeskState] = mapped_column(PlainText)
    state_reason: Mapped[str | None]
    foreign_rule: Mapped[ForeignRule] = mapped_column(PlainText)
    next_sequence: Mapped[int]
    fills_until: Mapped[datetime | None]
    reconciled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    def __repr__(self) -> str:
        return f"DeskRow({self.id}, {self.name!r}, {self.state})"


class LimitVersionRow(Table):
    """The limits of a desk's orders from `created_at` on; the newest version holds.

    actor : who set them
    """

    __tablename__ = "limit_versions"

    desk_id: Mapped[int] = mapped_column(ForeignKey("desks.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    limits: Mapped[dict[str, Any]]
    actor: Mapped[str]
    created_at: Mapped[datetime]


class OrderRow(OfData, Table):
    """One order, stored before it is sent.

    batch, position : which list of intentions it is from, so that none is stored twice
    session : the trading day that it is for
    send_from, cutoff : when it may be sent; what is unsent at the cut-off expires
    limit_price : None for a market order
    reduce_only : it may only bring a position nearer to zero
    reference_price : last price known when it was intended, by which limits judge it
    status, reason : the reason is a code for what the desk decided, the broker's text otherwise
    filled : of the fills that were booked; broker_filled : what the broker's order says
    attempts : how often it was sent, always under the same client id
    cancel_requested_at : when the desk wanted it gone
    absent_at : when the broker first did not know a client id whose fate is unknown
    facts : target, limits and what else explains the order
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("desk_id", "client_order_id"),
        UniqueConstraint("desk_id", "sequence"),
        UniqueConstraint("desk_id", "batch", "position"),
        one_of("status", OrderStatus),
        one_of("side", OrderSide),
        one_of("origin", OrderOrigin),
        Index(None, "desk_id", "status"),
        Index(None, "desk_id", "session"),
        Index(None, "desk_id", "broker_order_id"),
        Index(None, "desk_id", "symbol", "session"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    desk_id: Mapped[int] = mapped_column(ForeignKey("desks.id"))
    origin: Mapped[OrderOrigin] = mapped_column(PlainText)
    sequence: Mapped[int]
    batch: Mapped[str]
    position: Mapped[int]
    client_order_id: Mapped[str]
    broker_order_id: Mapped[str | None]
    session: Mapped[date]
    symbol: Mapped[str]
    side: Mapped[OrderSide] = mapped_column(PlainText)
    quantity: Mapped[int] = mapped_column(BigInteger)
    order_type: Mapped[str]
    time_in_force: Mapped[str]
    limit_price: Mapped[int | None] = mapped_column(BigInteger)
    reduce_only: Mapped[bool]
    reference_price: Mapped[int | None] = mapped_column(BigInteger)
    send_from: Mapped[datetime]
    cutoff: Mapped[datetime]
    status: Mapped[OrderStatus] = mapped_column(PlainText)
    reason: Mapped[str | None]
    filled: Mapped[int] = mapped_column(BigInteger)
    broker_filled: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int]
    intended_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    absent_at: Mapped[datetime | None]
    facts: Mapped[dict[str, Any]]

    def __repr__(self) -> str:
        return (
            f"OrderRow({self.id}, {self.side} {self.quantity / 1e6:g} {self.symbol}, {self.status})"
        )


class OrderEventRow(Table):
    """One change of an order's state."""

    __tablename__ = "order_events"
    __table_args__ = (Index(None, "order_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    at: Mapped[datetime]
    before: Mapped[str | None]
    after: Mapped[str]
    reason: Mapped[str | None]


class FillRow(Table):
    """One fill, known by the broker's id.

    side, quantity, price : as filled; at : the broker's time of the trade
    bust_at : when the trade was broken and its entry reversed
    """

    __tablename__ = "fills"
    __table_args__ = (
        one_of("side", OrderSide),
        Index(None, "order_id"),
        Index(None, "desk_id", "at"),
    )

    desk_id: Mapped[int] = mapped_column(ForeignKey("desks.id"), primary_key=True)
    broker_fill_id: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    symbol: Mapped[str]
    side: Mapped[OrderSide] = mapped_column(PlainText)
    quantity: Mapped[int] = mapped_column(BigInteger)
    price: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    booked_at: Mapped[datetime]
    bust_at: Mapped[datetime | None]


class LedgerEntryRow(Table):
    """One entry of the ledger; the amounts of its lines add to 0.

    reference : what it books, such as "fill:ID"; unique, so that nothing is booked twice
    reverses : the entry that this one undoes
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("desk_id", "reference"),
        Index(None, "desk_id", "kind"),
        Index(None, "desk_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    desk_id: Mapped[int] = mapped_column(ForeignKey("desks.id"))
    kind: Mapped[str]
    reference: Mapped[str]
    at: Mapped[datetime]
    memo: Mapped[str]
    reverses: Mapped[int | None] = mapped_column(ForeignKey("ledger_entries.id"))

    def __repr__(self) -> str:
        return f"LedgerEntryRow({self.id}, {self.reference!r})"


class LedgerLineRow(Table):
    """One line of an entry: an amount (debit above 0) and, for positions, a quantity."""

    __tablename__ = "ledger_lines"

    entry_id: Mapped[int] = mapped_column(ForeignKey("ledger_entries.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str]
    symbol: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[int] = mapped_column(BigInteger)


class BalanceRow(Table):
    """The sum of all lines of an account and symbol, kept in the transaction of each entry.

    symbol : "" where the account has none
    """

    __tablename__ = "balances"

    desk_id: Mapped[int] = mapped_column(ForeignKey("desks.id"), primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[int] = mapped_column(BigInteger)


class MarkRow(Table):
    """The price that a position is valued at from a session's close on."""

    __tablename__ = "marks"

    desk_id: Mapped[int] = mapped_column(ForeignKey("desks.id"), primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    session: Mapped[date] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(BigInteger)


class ReconciliationRow(Table):
    """A comparison of ledger and broker that was not clean, or the first clean one after it.

    differences : symbol or "cash" to [ledger, broker], in shares or dollars
    """

    __tablename__ = "reconciliations"
    __table_args__ = (
        one_of("status", ReconciliationStatus),
        Index(None, "desk_id", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    desk_id: Mapped[int] = mapped_column(ForeignKey("desks.id"))
    at: Mapped[datetime]
    status: Mapped[ReconciliationStatus] = mapped_column(PlainText)
    differences: Mapped[dict[str, Any]]
