"""Orders of a desk: intended, checked, and the states that they go through.

    intended -> sending -> accepted -> partially_filled -> filled

`denied` is what the desk itself refuses, with a code; `rejected` what the broker refuses; `unknown`
is an order whose answer was lost. An order is stored before it is sent, under a client id that no
other order ever has. Fills may come after the end: they are booked, the state stays.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session as Transaction

from alphafoundry.errors import TradingError
from alphafoundry.market.sessions import last_session_before
from alphafoundry.store import Store
from alphafoundry.store.database import add_rows, read_rows
from alphafoundry.store.desk_tables import (
    FillRow,
    OrderEventRow,
    OrderRow,
    OrderSide,
    OrderStatus,
)
from alphafoundry.trading.desks import PAPER_BROKER, Desk, OrderLimits, change_desk, desk_in
from alphafoundry.trading.ledger import Books, Entry, fill_lines, reverse
from alphafoundry.trading.market_day import session_of
from alphafoundry.trading.money import MONEY, PRICE, SHARE, amount_of, plain
from alphafoundry.trading.order_rows import (
    FINAL,
    OPEN,
    ROWS,
    Order,
    Orders,
    orders_in,
    orders_query,
)

TimeInForce = Literal["cls", "opg", "day"]
Denial = Literal[
    "desk_halted",
    "desk_reducing",
    "not_reducing",
    "crosses_zero",
    "fractional_short",
    "order_value",
    "order_shares",
    "gross_limit",
    "name_limit",
    "no_mark",
    "stale_data",
    "synthetic_at_real_broker",
]

CLOSING_CUTOFF = timedelta(minutes=10)
"""How long before the close the last order for the closing auction is sent."""

OPENING_CUTOFF = timedelta(minutes=2)
"""How long before the open the last order for the opening auction is sent."""

_BATCH = orders_query(ROWS.c.batch == bindparam("batch"))
_LATE = orders_query(ROWS.c.status == "intended", ROWS.c.cutoff <= bindparam("now"))
_PENDING = (
    select(ROWS.c.status, func.count())
    .where(ROWS.c.desk_id == bindparam("desk"), ROWS.c.status.in_(("intended", *OPEN)))
    .group_by(ROWS.c.status)
)
_TO_TELL = (
    select(ROWS.c.id)
    .where(
        ROWS.c.desk_id == bindparam("desk"),
        ROWS.c.status.in_(["intended", *(status for status in OPEN if status != "pending_cancel")]),
        or_(ROWS.c.status.in_(("intended", "unknown")), ROWS.c.cancel_requested_at.is_not(None)),
    )
    .limit(1)
)


@dataclass(frozen=True)
class OrderRequest:
    """What an order shall be.

    Attributes
    ----------
    quantity : above 0, in 1/1,000,000 share
    session : the trading day that it is for
    time_in_force : "cls" and "opg" for the closing and opening auction, "day" for the time between
    limit_price : in 1/1,000,000 dollar; None for a market order
    reduce_only : it may only bring the position nearer to zero; passes a reducing desk
    reference_price : last known price, by which limits judge the order; 1/1,000,000 dollar
    send_from : None is at once
    data_until, data_version, market_id : last day and content of the data behind it
    facts : target, prices, shares of strategies: what explains the order
    """

    symbol: str
    side: OrderSide
    quantity: int
    session: date
    time_in_force: TimeInForce = "cls"
    limit_price: int | None = None
    reduce_only: bool = False
    reference_price: int | None = None
    send_from: datetime | None = None
    data_until: date | None = None
    data_version: str | None = None
    market_id: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.quantity <= 0:
            raise TradingError(
                f"{self.symbol}: an order's quantity is above 0, not {self.quantity}"
            )
        if self.side not in get_args(OrderSide):
            raise TradingError(f"{self.symbol}: side {self.side!r} is unknown; buy or sell")
        if self.time_in_force not in get_args(TimeInForce):
            raise TradingError(
                f"{self.symbol}: time in force {self.time_in_force!r} is unknown; choose one of "
                f"{', '.join(get_args(TimeInForce))}"
            )


def closing_orders(
    positions: Mapping[str, int],
    session: date,
    *,
    limits: OrderLimits,
    marks: Mapping[str, int | None],
    send_from: datetime,
    reasons: Mapping[str, str],
) -> list[OrderRequest]:
    """Return reduce-only orders that close positions, each within the limits of a single order.

    Parameters
    ----------
    positions : symbol to what is to be closed, in 1/1,000,000 share, below 0 is short
    session : the trading day that they are for, from its open to its close
    marks : symbol to the price by which limits judge it, in 1/1,000,000 dollar; None is unknown
    send_from : when they may be sent
    reasons : symbol to why, kept with the orders
    """
    return [
        OrderRequest(
            symbol,
            "sell" if held > 0 else "buy",
            quantity,
            session,
            time_in_force="day",
            reduce_only=True,
            send_from=send_from,
            reference_price=marks.get(symbol) or None,
            facts={"reason": reasons[symbol]},
        )
        for symbol, held in positions.items()
        for quantity in within_limits(abs(held), marks.get(symbol), limits)
    ]


def within_limits(quantity: int, price: int | None, limits: OrderLimits) -> Iterator[int]:
    """Yield the parts of a quantity, largest first, that a single order may have each.

    Parameters
    ----------
    quantity : in 1/1,000,000 share, 0 or above
    price : in 1/1,000,000 dollar; None, or 0, leaves out the limit in dollars
    """
    most = [math.inf if limits.max_order_shares is None else limits.max_order_shares]
    if limits.max_order_value is not None and price:
        most.append(limits.max_order_value * PRICE / price)
    size = max(1.0, min(most))
    part = quantity if math.isinf(size) else int(size) * SHARE
    for start in range(0, quantity, part or 1):
        yield min(part, quantity - start)


def client_order_id(epoch: str, session: date, symbol: str, sequence: int) -> str:
    """Return the id that an order has at the broker for ever, 43 characters."""
    text = f"{epoch}|{session}|{symbol}|{sequence}"
    return f"af-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def cutoff_of(exchange: str, session: date, time_in_force: str) -> datetime:
    """Return when the last order of this kind is sent, half days included."""
    hours = session_of(exchange, session)
    if time_in_force == "cls":
        return hours.closes - CLOSING_CUTOFF
    return hours.opens - OPENING_CUTOFF if time_in_force == "opg" else hours.closes


def intend_orders(
    store: Store,
    desk_id: int,
    requests: Sequence[OrderRequest],
    *,
    batch: str,
    now: datetime,
) -> list[Order]:
    """Store orders that are to be sent, all or none, with their sequence numbers.

    batch : names this list, such as "rebalance 2024-03-08"; a batch that is stored already is
        returned as it is, so that an agent that was killed may do its work again
    """
    with orders_in(store, desk_id) as orders:
        stored = orders.find(_BATCH, batch=batch)
        if stored:
            return stored
        desk = desk_in(orders.transaction, desk_id)
        first = desk.next_sequence
        rows = [
            _intended(desk, request, batch, position, first + position, now)
            for position, request in enumerate(requests)
        ]
        change_desk(orders.transaction, desk_id, next_sequence=first + len(rows))
        add_rows(orders.transaction, OrderRow, rows)
        intended = orders.find(_BATCH, batch=batch)
        for order in intended:
            orders.event(order.id, at=now, before=None, after="intended")
        return intended


def request_cancel(
    store: Store, desk_id: int, order_ids: Sequence[int], *, now: datetime, reason: str
) -> int:
    """Ask for the end of orders; unsent ones are cancelled at once. Return how many were not over.

    The broker is told at the next execution; until its answer they may still fill.
    """
    count = 0
    with orders_in(store, desk_id) as orders:
        for order in orders.where(ROWS.c.id.in_(order_ids)):
            if order.status in FINAL:
                continue
            count += 1
            order.cancel_requested_at = order.cancel_requested_at or now
            if order.status == "intended":
                orders.move(order, "cancelled", at=now, reason=reason)
    return count


def read_orders(
    store: Store,
    desk_id: int,
    *,
    status: Sequence[OrderStatus] = (),
    session: date | None = None,
) -> list[OrderRow]:
    """Return a desk's orders in the order intended; an empty `status` is every status."""
    query = select(OrderRow).where(OrderRow.desk_id == desk_id).order_by(OrderRow.id)
    if status:
        query = query.where(OrderRow.status.in_(status))
    if session is not None:
        query = query.where(OrderRow.session == session)
    with store.session() as transaction:
        return list(transaction.scalars(query))


def pending_orders(store: Store, desk_id: int) -> list[OrderRow]:
    """Return the orders that are not over; one is not while fills of it are known to be missing."""
    return read_orders(store, desk_id, status=("intended", *OPEN))


def count_pending(store: Store, desk_id: int) -> Counter[str]:
    """Return status to how many of a desk's pending orders have it."""
    with store.session() as transaction:
        rows = read_rows(transaction, _PENDING, {"desk": desk_id})
    return Counter({str(status): count for status, count in rows})


def has_unsettled(store: Store, desk_id: int) -> bool:
    """Return whether an order is yet to be sent, cancelled or looked up at the broker."""
    with store.session() as transaction:
        return bool(read_rows(transaction, _TO_TELL, {"desk": desk_id}))


def read_events(store: Store, order_id: int) -> list[OrderEventRow]:
    """Return the changes of an order's state, oldest first."""
    with store.session() as transaction:
        return list(
            transaction.scalars(
                select(OrderEventRow)
                .where(OrderEventRow.order_id == order_id)
                .order_by(OrderEventRow.id)
            )
        )


def read_fills(store: Store, desk_id: int, *, since: datetime | None = None) -> list[FillRow]:
    """Return a desk's fills by the time of the trade, broken ones included."""
    query = select(FillRow).where(FillRow.desk_id == desk_id)
    if since is not None:
        query = query.where(FillRow.at >= since)
    with store.session() as transaction:
        return list(transaction.scalars(query.order_by(FillRow.at, FillRow.broker_fill_id)))


class Fill(NamedTuple):
    """A fill as the broker tells it; quantity and price as of `OrderRequest`."""

    id: str
    side: OrderSide
    quantity: int
    price: int
    at: datetime


def book_fill(orders: Orders, order: Order, fill: Fill, *, now: datetime) -> Entry:
    """Store a fill that is not stored yet and move its order; return the ledger entry to post.

    Raises TradingError where the order would be filled beyond its quantity, or on its other side.
    """
    if fill.side != order.side or order.filled + fill.quantity > order.quantity:
        raise TradingError(
            f"fill {fill.id}: {fill.side} {plain(fill.quantity, SHARE)} {order.symbol} does not "
            f"fit order {order.id} ({order.side} {plain(order.quantity, SHARE)}, "
            f"{plain(order.filled, SHARE)} filled); compare with the broker"
        )
    orders.add_fill(
        {
            "desk_id": order.desk_id,
            "broker_fill_id": fill.id,
            "order_id": order.id,
            "symbol": order.symbol,
            "side": fill.side,
            "quantity": fill.quantity,
            "price": fill.price,
            "at": fill.at,
            "booked_at": now,
        }
    )
    order.filled += fill.quantity
    order.broker_filled = max(order.broker_filled, order.filled)
    if order.filled == order.quantity:
        orders.move(order, "filled", at=now)
    elif order.status in ("sending", "unknown", "accepted"):
        orders.move(order, "partially_filled", at=now)
    lines = fill_lines(order.symbol, fill.side, fill.quantity, fill.price)
    return Entry("fill", f"fill:{fill.id}", fill.at, tuple(lines))


def bust_fill(store: Store, desk_id: int, broker_fill_id: str, *, now: datetime) -> bool:
    """Undo a fill that the exchange has broken, by a reversing entry; False where it was undone.

    Raises TradingError where there is no such fill.
    """
    with orders_in(store, desk_id) as orders:
        transaction = orders.transaction
        fill = transaction.get(FillRow, (desk_id, broker_fill_id))
        if fill is None:
            raise TradingError(f"fill {broker_fill_id}: not known, so it cannot be broken")
        reference = f"fill:{broker_fill_id}"
        if not reverse(transaction, desk_id, reference, at=now, memo="trade broken"):
            return False
        fill.bust_at = now
        (order,) = orders.where(ROWS.c.id == fill.order_id)
        order.filled -= fill.quantity
        order.broker_filled = order.filled
        if order.status == "filled":
            orders.move(order, "partially_filled", at=now, reason="trade broken")
        return True


class OrderCheck:
    """Checks orders one after the other against the books, each let through counting at once.

    Parameters
    ----------
    open_orders : those that the broker may hold
    """

    def __init__(
        self, desk: Desk, books: Books, limits: OrderLimits, open_orders: Sequence[Order]
    ) -> None:
        self._desk = desk
        self._books = books
        self._limits = limits
        self._equity = books.equity
        self._buying: dict[str, int] = {}
        self._selling: dict[str, int] = {}
        self._open_value = 0
        for order in open_orders:
            self._count(order)

    def denial(self, order: Order) -> Denial | None:
        """Return why an order may not be sent, None where it may; it then counts as open."""
        mark = self._price(order)
        found = self._state(order) or self._position(order) or self._size(order, mark)
        if found is None:
            self._count(order)
        return found

    def _state(self, order: Order) -> Denial | None:
        if self._desk.synthetic and self._desk.broker != PAPER_BROKER:
            return "synthetic_at_real_broker"
        if self._desk.state == "halted":
            return "desk_halted"
        if self._desk.state == "reducing" and not order.reduce_only:
            return "desk_reducing"
        if order.data_until is not None and order.data_until < last_session_before(
            self._desk.exchange, order.session
        ):
            return "stale_data"
        return None

    def _position(self, order: Order) -> Denial | None:
        held = self._held(order.symbol)
        waiting = self._buying if order.side == "buy" else self._selling
        after = waiting.get(order.symbol, 0) + order.quantity
        towards_zero = held < 0 if order.side == "buy" else held > 0
        if towards_zero and after > abs(held):
            return "not_reducing" if order.reduce_only else "crosses_zero"
        if not towards_zero:
            if order.reduce_only:
                return "not_reducing"
            if order.side == "sell" and order.quantity % SHARE:
                return "fractional_short"
        return None

    def _size(self, order: Order, mark: int | None) -> Denial | None:
        limits = self._limits
        if limits.max_order_shares is not None and (
            order.quantity > limits.max_order_shares * SHARE
        ):
            return "order_shares"
        if limits.max_order_value is limits.max_gross is limits.max_name is None:
            return None
        price = order.limit_price or mark
        return "no_mark" if price is None else self._value(order, price)

    def _value(self, order: Order, price: int) -> Denial | None:
        limits = self._limits
        value = amount_of(order.quantity, price)
        if limits.max_order_value is not None and value > limits.max_order_value * MONEY:
            return "order_value"
        held = self._held(order.symbol)
        if held < 0 if order.side == "buy" else held > 0:
            return None
        gross = self._books.gross + self._open_value + value
        if limits.max_gross is not None and gross > limits.max_gross * self._equity:
            return "gross_limit"
        waiting = self._buying if order.side == "buy" else self._selling
        name = amount_of(abs(held) + waiting.get(order.symbol, 0) + order.quantity, price)
        if limits.max_name is not None and name > limits.max_name * self._equity:
            return "name_limit"
        return None

    def _held(self, symbol: str) -> int:
        holding = self._books.holdings.get(symbol)
        return 0 if holding is None else holding.quantity

    def _price(self, order: Order) -> int | None:
        holding = self._books.holdings.get(order.symbol)
        return order.reference_price or (None if holding is None else holding.mark)

    def _count(self, order: Order) -> None:
        waiting = self._buying if order.side == "buy" else self._selling
        rest = order.quantity - order.filled
        waiting[order.symbol] = waiting.get(order.symbol, 0) + rest
        held = self._held(order.symbol)
        price = order.limit_price or self._price(order)
        if price is not None and (held >= 0 if order.side == "buy" else held <= 0):
            self._open_value += amount_of(rest, price)


def _intended(
    desk: Desk, request: OrderRequest, batch: str, position: int, sequence: int, now: datetime
) -> dict[str, Any]:
    return {
        "desk_id": desk.id,
        "origin": "desk",
        "sequence": sequence,
        "batch": batch,
        "position": position,
        "client_order_id": client_order_id(desk.epoch, request.session, request.symbol, sequence),
        "session": request.session,
        "symbol": request.symbol,
        "side": request.side,
        "quantity": request.quantity,
        "order_type": "market" if request.limit_price is None else "limit",
        "time_in_force": request.time_in_force,
        "limit_price": request.limit_price,
        "reduce_only": request.reduce_only,
        "reference_price": request.reference_price,
        "send_from": request.send_from or now,
        "cutoff": cutoff_of(desk.exchange, request.session, request.time_in_force),
        "status": "intended",
        "filled": 0,
        "broker_filled": 0,
        "attempts": 0,
        "intended_at": now,
        "facts": dict(request.facts),
        "data_until": request.data_until,
        "data_version": request.data_version,
        "market_id": request.market_id,
    }


def expire_unsent(orders: Orders, *, now: datetime) -> int:
    """Expire what was not sent before its cut-off, never rerouted; return how many."""
    late = orders.find(_LATE, now=now)
    for order in late:
        orders.move(order, "expired", at=now, reason="cutoff")
    return len(late)


def mark_sending(orders: Orders, chosen: Sequence[Order], *, now: datetime) -> None:
    """Record that orders are about to be sent."""
    for order in chosen:
        orders.move(order, "sending", at=now)
        order.sent_at = now
        order.attempts += 1
        order.absent_at = None


def halt(transaction: Transaction, desk_id: int, reason: str) -> None:
    """Halt a desk within a transaction."""
    change_desk(transaction, desk_id, state="halted", state_reason=reason)
