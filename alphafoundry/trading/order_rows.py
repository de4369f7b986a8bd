"""A desk's orders within one transaction: read as plain values, changed, and written together.

Hundreds of orders change at each close. As mapped objects they would be most of a session's work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import ColumnExpressionArgument, Select, Table, Update, bindparam, select, update
from sqlalchemy.orm import Session as Transaction

from alphafoundry.errors import TradingError
from alphafoundry.store import Store
from alphafoundry.store.database import add_rows, execute_many, in_chunks, read_rows
from alphafoundry.store.desk_tables import (
    FillRow,
    OrderEventRow,
    OrderRow,
    OrderSide,
    OrderStatus,
)

OPEN: tuple[OrderStatus, ...] = (
    "sending",
    "accepted",
    "partially_filled",
    "pending_cancel",
    "unknown",
)
"""States in which a broker may hold the order."""

FINAL: tuple[OrderStatus, ...] = (
    "filled",
    "denied",
    "rejected",
    "cancelled",
    "expired",
    "replaced",
)
"""States that an order does not leave, except for `filled` by late fills."""

_ENDS = ("filled", "cancelled", "expired", "rejected", "replaced")
_NEXT: Mapping[str, tuple[str, ...]] = {
    "intended": ("sending", "denied", "expired", "cancelled"),
    "sending": (*_ENDS, "accepted", "partially_filled", "pending_cancel", "unknown", "intended"),
    "unknown": (*_ENDS, "accepted", "partially_filled", "pending_cancel", "sending"),
    "accepted": (*_ENDS, "partially_filled", "pending_cancel"),
    "partially_filled": (*_ENDS, "accepted", "pending_cancel"),
    "pending_cancel": (*_ENDS, "accepted", "partially_filled"),
    "cancelled": ("filled",),
    "expired": ("filled",),
    "replaced": ("filled",),
    "rejected": ("filled",),
    "filled": ("partially_filled",),
    "denied": (),
}


@dataclass(slots=True, eq=False)
class Order:
    """What is read of an `OrderRow`; those up to `cancel_requested_at` are what changes."""

    id: int
    status: OrderStatus
    reason: str | None
    filled: int
    broker_filled: int
    broker_order_id: str | None
    attempts: int
    sent_at: datetime | None
    settled_at: datetime | None
    absent_at: datetime | None
    cancel_requested_at: datetime | None
    desk_id: int
    client_order_id: str
    session: date
    symbol: str
    side: OrderSide
    quantity: int
    time_in_force: str
    limit_price: int | None
    reduce_only: bool
    reference_price: int | None
    cutoff: datetime
    intended_at: datetime
    data_until: date | None

    def state(self) -> tuple[Any, ...]:
        """Return what may change."""
        return (
            self.status,
            self.reason,
            self.filled,
            self.broker_filled,
            self.broker_order_id,
            self.attempts,
            self.sent_at,
            self.settled_at,
            self.absent_at,
            self.cancel_requested_at,
        )


_NAMES = tuple(one.name for one in fields(Order))
_CHANGING = _NAMES[1:11]
ROWS = cast(Table, OrderRow.__table__)
"""Of orders; what is read of them all day is read without mapped objects."""

_READ = select(*(ROWS.c[name] for name in _NAMES))
_TOLD = _CHANGING.index("broker_order_id")


def orders_query(
    *conditions: ColumnExpressionArgument[bool], limit: int | None = None
) -> Select[Any]:
    """Return a question for `Orders.find`: a desk's orders that meet conditions, as intended.

    Values that are not always the same are a `bindparam`; "desk" is taken.
    """
    query = _READ.where(ROWS.c.desk_id == bindparam("desk"), *conditions).order_by(ROWS.c.id)
    return query if limit is None else query.limit(limit)


_WITH_IDS = orders_query(ROWS.c.id.in_(bindparam("ids", expanding=True)))


def _change_of(names: Sequence[str]) -> Update:
    return (
        update(ROWS)
        .where(ROWS.c.id == bindparam("order"))
        .values({name: bindparam(name) for name in names})
    )


_CHANGE = _change_of(_CHANGING)
# SQLite writes an index anew where a column of it is named, though it stays as it is; the one of
# the broker's ids grows with every order, and is all over the disk.
_CHANGE_WITHOUT_ID = _change_of([name for name in _CHANGING if name != "broker_order_id"])


class Orders:
    """The orders of one desk as a transaction sees and changes them.

    An order that is read twice is one object. What has changed is written before the next reading
    and at the end of `orders_in`.

    Attributes
    ----------
    transaction : for whatever else belongs to it; `save` first where it looks at orders
    """

    def __init__(self, transaction: Transaction, desk_id: int) -> None:
        self.transaction = transaction
        self._desk_id = desk_id
        self._known: dict[int, Order] = {}
        self._stored: dict[int, tuple[Any, ...]] = {}
        self._events: list[dict[str, Any]] = []
        self._fills: list[dict[str, Any]] = []

    def where(
        self, *conditions: ColumnExpressionArgument[bool], limit: int | None = None
    ) -> list[Order]:
        """Return the desk's orders that meet conditions on `OrderRow`, in the order intended."""
        query = orders_query(*conditions, limit=limit)
        self.save()
        return self._taken(self.transaction.execute(query, {"desk": self._desk_id}))

    def find(self, query: Select[Any], **given: Any) -> list[Order]:
        """Return the same by a question that is kept, since making one takes longest.

        Parameters
        ----------
        query : of `orders_query`
        given : the values that it asks for; a list may be of any length
        """
        found: list[Order] = []
        long = next((name for name, value in given.items() if isinstance(value, list)), None)
        parts = (
            [given] if long is None else ({**given, long: one} for one in in_chunks(given[long]))
        )
        for part in parts:
            self.save()
            found += self._taken(
                read_rows(self.transaction, query, {"desk": self._desk_id, **part})
            )
        return found

    def with_ids(self, ids: Sequence[int]) -> dict[int, Order]:
        """Return number to order; those that were read before are not read again."""
        new = [one for one in ids if one not in self._known]
        self.find(_WITH_IDS, ids=new)
        return {one: self._known[one] for one in ids}

    def _taken(self, rows: Iterable[Sequence[Any]]) -> list[Order]:
        found = []
        for row in rows:
            order = self._known.get(row[0])
            if order is None:
                order = self._known[row[0]] = Order(*row)
                self._stored[order.id] = order.state()
            found.append(order)
        return found

    def move(
        self, order: Order, status: OrderStatus, *, at: datetime, reason: str | None = None
    ) -> None:
        """Change an order's state and record it; the same state again changes nothing.

        Raises TradingError where the state machine has no such step.
        """
        if order.status == status:
            return
        if status not in _NEXT[order.status]:
            raise TradingError(f"order {order.id}: from {order.status} there is no way to {status}")
        self.event(order.id, at=at, before=order.status, after=status, reason=reason)
        order.status = status
        order.reason = reason
        order.settled_at = at if status in FINAL else None

    def event(
        self,
        order_id: int,
        *,
        at: datetime,
        before: OrderStatus | None,
        after: OrderStatus,
        reason: str | None = None,
    ) -> None:
        """Record a change of state."""
        self._events.append(
            {"order_id": order_id, "at": at, "before": before, "after": after, "reason": reason}
        )

    def add_fill(self, values: dict[str, Any]) -> None:
        """Keep a row for `FillRow`, to be written with the rest."""
        self._fills.append(values)

    def save(self) -> None:
        """Write what has changed."""
        changed, told = [], []
        for number, order in self._known.items():
            state, before = order.state(), self._stored[number]
            if state != before:
                self._stored[number] = state
                row = {"order": number, **dict(zip(_CHANGING, state, strict=True))}
                if state[_TOLD] != before[_TOLD]:
                    told.append(row)
                else:
                    del row["broker_order_id"]
                    changed.append(row)
        execute_many(self.transaction, _CHANGE_WITHOUT_ID, changed)
        execute_many(self.transaction, _CHANGE, told)
        add_rows(self.transaction, OrderEventRow, self._events)
        add_rows(self.transaction, FillRow, self._fills)
        self._events, self._fills = [], []


@contextlib.contextmanager
def orders_in(store: Store, desk_id: int) -> Iterator[Orders]:
    """Read and change orders, all or nothing."""
    with store.write() as transaction:
        orders = Orders(transaction, desk_id)
        yield orders
        orders.save()


class OrdersOfTick:
    """Transactions on a desk's orders, one after the other.

    Where they are parts of one (`Store.together`), nobody else changes an order between them, so
    that none is read twice.
    """

    def __init__(self, store: Store, desk_id: int) -> None:
        self._store = store
        self._desk_id = desk_id
        self._kept: Orders | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[Orders]:
        """Read and change orders, all or nothing."""
        with self._store.write() as transaction:
            orders = self._kept or Orders(transaction, self._desk_id)
            if self._store.is_together:
                self._kept = orders
            yield orders
            orders.save()
