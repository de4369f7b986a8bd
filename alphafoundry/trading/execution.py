"""What the execution agent does at each tick: reconcile, send what is intended, read the fills.

Every step is one commit, and may be the last before the process is killed: an order is `sending`
before it is sent, and one that still is at the next tick is settled by its client id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import BindParameter, Select, Table, bindparam, func, select
from sqlalchemy.orm import Session as Transaction

from alphafoundry.errors import BrokerError, BrokerRefused, BrokerUnavailable
from alphafoundry.store import Store
from alphafoundry.store.database import in_chunks, read_rows
from alphafoundry.store.desk_tables import (
    FillRow,
    LedgerEntryRow,
    OrderRow,
    OrderStatus,
    ReconciliationRow,
)
from alphafoundry.trading.broker_client import BrokerActivity, BrokerClient, BrokerOrder
from alphafoundry.trading.desks import Desk, change_desk, desk_in, limits_in
from alphafoundry.trading.ledger import (
    Entry,
    Line,
    Waiting,
    books_of,
    post,
    post_all,
    read_books,
    read_waiting,
    settle_lines,
    transfer_lines,
)
from alphafoundry.trading.money import CENT, MONEY, PRICE, SHARE, amount_of, dollars, plain, shares
from alphafoundry.trading.order_rows import (
    FINAL,
    OPEN,
    ROWS,
    Order,
    Orders,
    OrdersOfTick,
    orders_query,
)
from alphafoundry.trading.orders import (
    Fill,
    OrderCheck,
    book_fill,
    expire_unsent,
    halt,
    mark_sending,
)

SECOND_READ = timedelta(seconds=30)
"""How much later a difference must still be there to count: a broker's answers may lag."""

ABSENT = timedelta(seconds=5)
"""How much later a broker must still not know a client id for the order never to have arrived."""

SENT_TOGETHER = 50
"""Orders whose answers are stored in one commit; all of them where nothing is one by itself."""

_ALL = 1_000_000

_ACTIVITY = "activity:"
_FATE_UNKNOWN = ("sending", "unknown")
_OVERLAP = timedelta(minutes=2)
_SWEEP = timedelta(days=4)
_SKEW = timedelta(minutes=1)

_OPEN_AT_BROKER = frozenset(
    (
        *("new", "accepted", "pending_new", "accepted_for_bidding", "partially_filled", "filled"),
        *("done_for_day", "held", "pending_cancel", "pending_replace", "stopped", "suspended"),
        *("calculated", "pending_review"),
    )
)
_ENDED: dict[str, OrderStatus] = {
    "canceled": "cancelled",
    "expired": "expired",
    "rejected": "rejected",
    "replaced": "replaced",
}
_PAYMENTS = {
    "INT": "interest",
    "FEE": "fee",
    "CIL": "claim",
    "REORG": "claim",
    "MA": "claim",
}
_TRANSFERS = ("JNLC", "CSD", "CSW")


_MINE = ROWS.c.desk_id == bindparam("desk")
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_UNSETTLED = select(ROWS.c.id).where(_MINE, ROWS.c.status.in_(_FATE_UNKNOWN)).limit(1)
_OPEN_ONES = select(
    func.min(ROWS.c.intended_at),
    func.count().filter(ROWS.c.time_in_force.not_in(("cls", "opg"))),
).where(_MINE, ROWS.c.status.in_(OPEN))
# Without a condition on the broker's id: an index on it would lead through every order ever sent.
_CANCELS = select(ROWS.c.id, ROWS.c.broker_order_id).where(
    _MINE,
    ROWS.c.status.in_(("accepted", "partially_filled")),
    ROWS.c.cancel_requested_at.is_not(None),
)
_WITHOUT_FATE = orders_query(ROWS.c.status.in_(_FATE_UNKNOWN))
_OPEN_AT_BROKERS = orders_query(ROWS.c.status.in_(OPEN))
_BY_BROKER_ID = orders_query(ROWS.c.broker_order_id.in_(_IDS))
_BY_CLIENT_ID = orders_query(ROWS.c.client_order_id.in_(_IDS))
_KNOWN_ORDERS = select(ROWS.c.broker_order_id).where(_MINE, ROWS.c.broker_order_id.in_(_IDS))
_FILLS, _ENTRIES = cast(Table, FillRow.__table__), cast(Table, LedgerEntryRow.__table__)
_KNOWN_FILLS = select(_FILLS.c.broker_fill_id).where(
    _FILLS.c.desk_id == bindparam("desk"), _FILLS.c.broker_fill_id.in_(_IDS)
)
_KNOWN_PAYMENTS = select(_ENTRIES.c.reference).where(
    _ENTRIES.c.desk_id == bindparam("desk"),
    _ENTRIES.c.reference.in_(bindparam("references", expanding=True)),
)
_LAST_COMPARED = (
    select(ReconciliationRow.at, ReconciliationRow.status, ReconciliationRow.differences)
    .where(ReconciliationRow.desk_id == bindparam("desk"))
    .order_by(ReconciliationRow.id.desc())
    .limit(1)
)


@lru_cache(maxsize=16)
def _due_query(*, only_reduce: bool, limit: int) -> Select[Any]:
    cancelled = select(ROWS.c.symbol).where(
        _MINE, ROWS.c.status.in_(OPEN), ROWS.c.cancel_requested_at.is_not(None)
    )
    return orders_query(
        ROWS.c.status == "intended",
        ROWS.c.send_from <= bindparam("now"),
        ROWS.c.cutoff > bindparam("now"),
        ROWS.c.symbol.not_in(cancelled),
        *([ROWS.c.reduce_only] if only_reduce else []),
        limit=limit,
    )


@dataclass
class Execution:
    """What one tick of execution did.

    Attributes
    ----------
    sent, denied, rejected, unknown, expired : orders of this tick
    fills : booked in this tick
    payments : dividends, fees, interest and the like booked in this tick
    reconciliation : of ledger and broker before sending; None where the broker did not answer
    differences : symbol or "cash" to (ledger, broker), in shares or dollars
    trouble : why the tick ended early or held its orders back, None where it did not
    answered : whether the broker answered to the end
    """

    sent: int = 0
    denied: int = 0
    rejected: int = 0
    unknown: int = 0
    expired: int = 0
    fills: int = 0
    payments: int = 0
    reconciliation: Literal["clean", "suspected", "confirmed", "adopted"] | None = None
    differences: dict[str, tuple[str, str]] = field(default_factory=dict)
    trouble: str | None = None
    answered: bool = True


def execute(
    store: Store,
    desk_id: int,
    broker: BrokerClient,
    now: datetime,
    *,
    only_reduce: bool = False,
    booked: set[str] | None = None,
) -> Execution:
    """Reconcile, send the intended orders, read fills; `now` is the desk's clock.

    Orders past their cut-off expire unsent. Limits and the desk's state are checked in the
    transaction that marks orders as sending. While ledger and broker differ nothing is sent.
    A broker that does not answer ends the tick, and is told as `trouble`; the next one goes on.

    only_reduce : send only orders that lessen a position; the others wait for another tick, or
        for their cut-off
    booked : ids of activities that earlier ticks have booked; those of this one are added, and the
        store is not asked for them. None asks for all
    """
    done = Execution()
    try:
        _Tick(store, desk_id, broker, now, done, only_reduce=only_reduce, booked=booked).run()
    except BrokerUnavailable as problem:
        done.trouble, done.answered = str(problem), False
    return done


def reconcile(store: Store, desk_id: int, broker: BrokerClient, now: datetime) -> Execution:
    """Settle what is unknown, read all recent fills and compare; send no intended order."""
    done = Execution()
    try:
        _Tick(store, desk_id, broker, now, done).reconcile(sweep=True)
    except BrokerUnavailable as problem:
        done.trouble, done.answered = str(problem), False
    return done


def adopt(
    store: Store, desk_id: int, broker: BrokerClient, now: datetime, *, reason: str
) -> Execution:
    """Read all recent fills and payments, then take what still differs as the broker has it.

    For a person who knows where a difference comes from, such as a split that no activity tells:
    shares are booked at the broker's price, cash as a transfer. Raises BrokerUnavailable.
    """
    done = Execution()
    _Tick(store, desk_id, broker, now, done).adopt(reason)
    return done


@dataclass(frozen=True)
class Comparison:
    """Ledger less broker: cash and equity in 1/10,000 dollar, shares by symbol where they differ.

    Both round what they tell; less than half a cent is not a difference.
    """

    cash: int
    equity: int
    shares: dict[str, int]

    @property
    def agrees(self) -> bool:
        """Whether cash and equity agree to the cent and every position exactly."""
        return not self.shares and all(2 * abs(one) < CENT for one in (self.cash, self.equity))

    def __str__(self) -> str:
        if self.agrees:
            return "ledger: reconciled to $0.00"
        names = ", ".join(f"{name} {plain(n, SHARE)}" for name, n in self.shares.items())
        return (
            f"ledger: NOT reconciled: cash differs by {dollars(self.cash)}, equity by "
            f"{dollars(self.equity)}, shares: {names or 'none'}"
        )


def compare(store: Store, desk_id: int, broker: BrokerClient, *, equity: bool = True) -> Comparison:
    """Compare cash, equity and every position with what the broker's own book answers.

    Equity compares only where the desk's marks are of the moment that the broker values at: after
    `close_session` and before the next open; without `equity` it is left out, as if it agreed.
    Raises BrokerUnavailable and BrokerRefused.
    """
    account, positions = broker.account(), broker.positions()
    books = books_of(store, desk_id)
    return Comparison(
        books.cash - account.cash,
        books.equity - account.equity if equity else 0,
        _share_differences(
            {name: one.quantity for name, one in books.holdings.items()},
            {name: one.quantity for name, one in positions.items()},
        ),
    )


class _Compared(NamedTuple):
    """How an earlier comparison ended; see `ReconciliationRow`."""

    at: datetime
    status: str
    differences: Mapping[str, Any]


class _Tick:
    """One execution: the store, the broker and the moment that its steps share."""

    def __init__(
        self,
        store: Store,
        desk_id: int,
        broker: BrokerClient,
        now: datetime,
        done: Execution,
        *,
        only_reduce: bool = False,
        booked: set[str] | None = None,
    ) -> None:
        self._store = store
        self._booked: set[str] = set() if booked is None else booked
        self._only_reduce = only_reduce
        self._desk_id = desk_id
        self._broker = broker
        self._now = now
        self._done = done
        self._ours = {"desk": desk_id}
        self._throttled = False
        self._blocked = False
        self._orders = OrdersOfTick(store, desk_id)
        self._most_sent = _ALL if store.is_together else SENT_TOGETHER

    def run(self) -> None:
        with self._orders() as orders:
            self._done.expired += expire_unsent(orders, now=self._now)
            desk = desk_in(orders.transaction, self._desk_id)
            wanted = self._due(orders, limit=1)
            last = self._last_reconciliation(orders.transaction)
        new_day = desk.reconciled_at is None or desk.reconciled_at.date() != self._now.date()
        if wanted or new_day or (last is not None and last.status != "clean"):
            self.reconcile(sweep=new_day)
        else:
            self._read_back(sweep=False)
        self._ask_for_cancels()
        if wanted and self._blocked:
            self._done.trouble = "the broker has blocked the account; ask it why"
        elif wanted and self._done.reconciliation in ("clean", "adopted"):
            self._send_intended()
        if self._done.sent:
            self._read_back(sweep=False)

    def reconcile(self, *, sweep: bool) -> None:
        self._read_back(sweep=sweep)
        differences = self._differences()
        if differences and not sweep:
            self._read_back(sweep=True)
            differences = self._differences()
        self._done.differences = differences
        self._judge(differences)

    def adopt(self, reason: str) -> None:
        self._read_back(sweep=True)
        self._done.differences = differences = self._differences()
        if not differences:
            return
        with self._store.write() as transaction:
            shares_of = {name: pair for name, pair in differences.items() if name != "cash"}
            self._adopt(transaction, shares_of, reason)
            # What the shares cost was booked as brought in, so that cash differs as it did.
            if "cash" in differences:
                ours, theirs = (round(Decimal(one) * MONEY) for one in differences["cash"])
                post(
                    transaction,
                    self._desk_id,
                    kind="adoption",
                    reference=f"adoption:cash:{self._now.isoformat()}",
                    at=self._now,
                    lines=transfer_lines(theirs - ours),
                    memo=f"{reason}: the broker holds {differences['cash'][1]}",
                )
            kept = {name: list(pair) for name, pair in differences.items()}
            self._record(transaction, "adopted", kept)
        self._done.reconciliation = "adopted"

    def _read_back(self, *, sweep: bool) -> None:
        """Settle what is unknown, bring orders up to date and book fills and payments.

        sweep : ask for all recent orders and activities, not only for what orders lead to
        """
        self._settle_unknown()
        if self._look_at_orders(sweep=sweep) or sweep:
            self._read_activities(sweep=sweep)
            # An order that is over waits for its last fill before its row is.
            self._look_at_orders(sweep=False)

    # Orders whose answer was lost, by us or on the way.

    def _settle_unknown(self) -> None:
        with self._store.session() as transaction:
            if not read_rows(transaction, _UNSETTLED, self._ours):
                return
        with self._orders() as orders:
            desk = desk_in(orders.transaction, self._desk_id)
            unknown = orders.find(_WITHOUT_FATE)
            again = [
                order
                for order in unknown
                if order.cutoff > self._now
                and order.cancel_requested_at is None
                and desk.state != "halted"
            ]
            for order in again:
                if order.status == "sending":
                    orders.move(order, "unknown", at=self._now, reason="no answer kept")
            mark_sending(orders, again, now=self._now)
            others = [order for order in unknown if order not in again]
        self._send(again)
        found = [
            (order, self._broker.order_by_client_id(order.client_order_id)) for order in others
        ]
        with self._orders() as orders:
            rows = orders.with_ids([order.id for order in others])
            for order, told in found:
                row = rows[order.id]
                if told is not None:
                    self._apply(orders, row, told)
                elif row.absent_at is None:
                    row.absent_at = self._now
                    if row.status == "sending":
                        orders.move(row, "unknown", at=self._now, reason="not found")
                elif self._now - row.absent_at >= ABSENT:
                    gone: OrderStatus = "cancelled" if row.cancel_requested_at else "expired"
                    orders.move(row, gone, at=self._now, reason="never arrived")

    # Sending.

    def _send_intended(self) -> None:
        while True:
            with self._orders() as orders:
                batch = self._checked(orders)
            if not batch:
                return
            self._send(batch)
            if self._throttled:
                self._done.trouble = "the broker takes no more orders for now (HTTP 429)"
                return

    def _checked(self, orders: Orders) -> list[Order]:
        """Mark the next orders as sending, if desk and limits let them; deny the others."""
        desk = desk_in(orders.transaction, self._desk_id)
        intended = self._due(orders, limit=self._most_sent)
        if not intended:
            return []
        check = OrderCheck(
            desk,
            read_books(orders.transaction, self._desk_id),
            limits_in(orders.transaction, self._desk_id),
            orders.find(_OPEN_AT_BROKERS),
        )
        passed = []
        for order in intended:
            code = check.denial(order)
            if code is None:
                passed.append(order)
            else:
                orders.move(order, "denied", at=self._now, reason=code)
                self._done.denied += 1
        mark_sending(orders, passed, now=self._now)
        return passed or self._checked(orders)

    def _due(self, orders: Orders, *, limit: int) -> list[Order]:
        """Return intended orders that may be sent now; one waits for the end of a cancelled one."""
        query = _due_query(only_reduce=self._only_reduce, limit=limit)
        return orders.find(query, now=self._now)

    def _send(self, chosen: Sequence[Order]) -> None:
        for start in range(0, len(chosen), self._most_sent):
            part = chosen[start : start + self._most_sent]
            answers = [(order.id, self._answer(order)) for order in part]
            with self._orders() as orders:
                rows = orders.with_ids([number for number, _ in answers])
                for number, store_answer in answers:
                    store_answer(orders, rows[number])

    def _answer(self, order: Order) -> Callable[[Orders, Order], None]:
        """Send an order; return how its answer is to be stored."""
        try:
            told: BrokerOrder | None = self._broker.submit(
                client_order_id=order.client_order_id,
                symbol=order.symbol,
                side=order.side,
                quantity=plain(order.quantity, SHARE),
                time_in_force=order.time_in_force,
                limit_price=(
                    None if order.limit_price is None else plain(order.limit_price, PRICE)
                ),
            )
        except BrokerUnavailable as problem:
            return self._unanswered(problem)
        except BrokerRefused as problem:
            if problem.status != 422 or "must be unique" not in problem.reason.lower():
                return self._refused(problem)
            try:
                told = self._broker.order_by_client_id(order.client_order_id)
            except BrokerUnavailable as lost:
                return self._unanswered(lost, arrived=True)
        if told is None:
            return self._unanswered(BrokerError("known to the broker, but not found"), arrived=True)
        self._done.sent += 1
        return lambda orders, row: self._apply(orders, row, told)

    def _unanswered(
        self, problem: BrokerError, *, arrived: bool = False
    ) -> Callable[[Orders, Order], None]:
        unknown = arrived or not isinstance(problem, BrokerUnavailable) or problem.fate_unknown

        def keep(orders: Orders, row: Order) -> None:
            # A 429 says that this request did not arrive; an earlier one of the same order may.
            back = not unknown and row.attempts == 1
            status: OrderStatus = "intended" if back else "unknown"
            orders.move(row, status, at=self._now, reason=str(problem))
            if back:
                row.attempts = 0
                self._throttled = True
            self._done.unknown += not back

        return keep

    def _refused(self, problem: BrokerRefused) -> Callable[[Orders, Order], None]:
        def keep(orders: Orders, row: Order) -> None:
            orders.move(row, "rejected", at=self._now, reason=problem.reason)
            self._done.rejected += 1

        return keep

    def _ask_for_cancels(self) -> None:
        with self._store.session() as transaction:
            wanted = [
                (number, str(broker_order_id))
                for number, broker_order_id in read_rows(transaction, _CANCELS, self._ours)
                if broker_order_id is not None
            ]
        for number, broker_order_id in wanted:
            if self._broker.cancel(broker_order_id):
                with self._orders() as orders:
                    (order,) = orders.where(ROWS.c.id == number)
                    orders.move(order, "pending_cancel", at=self._now)

    # Reading back.

    def _look_at_orders(self, *, sweep: bool) -> bool:
        """Bring the orders up to date with the broker; return whether fills of any are missing."""
        with self._store.session() as transaction:
            ((first, between_auctions),) = read_rows(transaction, _OPEN_ONES, self._ours)
        if first is None and not sweep:
            return False
        told: list[BrokerOrder] = []
        if first is not None:
            # Until its auction an order for one only changes by its end.
            closed = not between_auctions and not sweep
            told = self._broker.orders_since(first - _SKEW, closed=closed)
        if sweep:
            known = {one.id for one in told}
            told += [one for one in self._broker.open_orders() if one.id not in known]
        missing = False
        if told:
            with self._orders() as orders:
                ours = self._rows_of(orders, told)
                for one in told:
                    row = ours.get(one.client_order_id) or self._foreign_row(orders, one)
                    if row is not None:
                        self._apply(orders, row, one)
                        missing = missing or row.broker_filled > row.filled
        return missing

    def _read_activities(self, *, sweep: bool) -> None:
        with self._store.session() as transaction:
            desk = desk_in(transaction, self._desk_id)
        since = desk.fills_until or desk.created_at
        after = max(since - (_SWEEP if sweep else _OVERLAP), desk.created_at - _SKEW)
        told = self._broker.activities(
            after=after, known=partial(self._known_activities, sweep=sweep)
        )
        # A broker may list one twice.
        activities = list({one.id: one for one in told}.values())
        if not activities:
            return
        self._attach(activities)
        with self._orders() as orders:
            booked = self._book(orders, activities)
            newest = max(one.at for one in activities)
            if newest > since:
                change_desk(orders.transaction, self._desk_id, fills_until=newest)
        self._booked |= booked

    def _known_activities(self, ids: list[str], *, sweep: bool) -> set[str]:
        if sweep:
            # What a sweep does not list no longer is not asked for again.
            self._booked.intersection_update(ids)
        known = self._booked.intersection(ids)
        unsure = [one for one in ids if one not in known]
        if not unsure:
            return known
        with self._store.session() as transaction:
            for part in in_chunks(unsure):
                fills = read_rows(transaction, _KNOWN_FILLS, {**self._ours, "ids": part})
                known.update(broker_fill_id for (broker_fill_id,) in fills)
            for part in in_chunks(f"{_ACTIVITY}{one}" for one in unsure if one not in known):
                given = {**self._ours, "references": part}
                paid = read_rows(transaction, _KNOWN_PAYMENTS, given)
                known.update(reference.removeprefix(_ACTIVITY) for (reference,) in paid)
        return known

    def _attach(self, activities: Iterable[BrokerActivity]) -> None:
        """Ask for the orders of fills that we do not know by the broker's id."""
        wanted = {one.order_id for one in activities if one.kind == "FILL"}
        known: set[str | None] = set()
        with self._store.session() as transaction:
            for part in in_chunks(wanted):
                told = read_rows(transaction, _KNOWN_ORDERS, {**self._ours, "ids": part})
                known.update(order_id for (order_id,) in told)
        found = [
            order
            for order_id in sorted(wanted - known)
            if (order := self._broker.order(order_id)) is not None
        ]
        if not found:
            return
        with self._orders() as orders:
            ours = self._rows_of(orders, found)
            for one in found:
                row = ours.get(one.client_order_id) or self._foreign_row(orders, one)
                if row is not None:
                    self._apply(orders, row, one)

    def _book(self, orders: Orders, activities: Sequence[BrokerActivity]) -> set[str]:
        """Book activities that are not booked yet; return the ids of those that now are."""
        booked = set()
        filled = [one.order_id for one in activities if one.kind == "FILL"]
        ours = {order.broker_order_id: order for order in orders.find(_BY_BROKER_ID, ids=filled)}
        waiting = read_waiting(orders.transaction, self._desk_id)
        entries = []
        for activity in activities:
            kind = _payment_of(activity)
            order = ours.get(activity.order_id) if activity.kind == "FILL" else None
            # A fill without one is another's, and the desk is halted: see `_foreign_row`.
            if order is not None:
                entries.append(book_fill(orders, order, _fill_of(activity), now=self._now))
                self._done.fills += 1
                booked.add(activity.id)
            elif kind is not None and activity.amount:
                entries.append(_payment(activity, kind, waiting))
                self._done.payments += 1
                booked.add(activity.id)
        post_all(orders.transaction, self._desk_id, entries)
        return booked

    def _rows_of(self, orders: Orders, told: Sequence[BrokerOrder]) -> dict[str, Order]:
        ids = [one.client_order_id for one in told]
        return {order.client_order_id: order for order in orders.find(_BY_CLIENT_ID, ids=ids)}

    def _foreign_row(self, orders: Orders, told: BrokerOrder) -> Order | None:
        """Return the row of a foreign order, adopted; None where the rule is to halt the desk."""
        desk = desk_in(orders.transaction, self._desk_id)
        if told.submitted_at < desk.created_at - _SKEW and told.status in _ENDED:
            return None
        if desk.foreign_rule == "halt":
            halt(
                orders.transaction,
                self._desk_id,
                f"the broker holds order {told.id} ({told.side} {plain(told.quantity, SHARE)} "
                f"{told.symbol}), which is not of this desk",
            )
            return None
        row = _foreign(desk, told, self._now)
        change_desk(orders.transaction, desk.id, next_sequence=desk.next_sequence + 1)
        orders.transaction.add(row)
        orders.transaction.flush()
        (order,) = orders.where(ROWS.c.id == row.id)
        return order

    def _apply(self, orders: Orders, order: Order, told: BrokerOrder) -> None:
        """Bring an order to what the broker tells of it; fills come by the activities alone."""
        same = (told.symbol, told.side, told.quantity) == (
            order.symbol,
            order.side,
            order.quantity,
        )
        if not same or told.submitted_at < order.intended_at - _SKEW:
            halt(
                orders.transaction,
                self._desk_id,
                f"order {order.id}: the broker has another one under its client id "
                f"({told.side} {plain(told.quantity, SHARE)} {told.symbol})",
            )
            return
        order.broker_order_id = told.id
        order.broker_filled = max(order.broker_filled, told.filled)
        if order.status in FINAL:
            return
        status: OrderStatus = "partially_filled" if order.filled else "accepted"
        if told.status in _ENDED and told.filled <= order.filled:
            status = _ENDED[told.status]
        elif told.status == "pending_cancel" or order.status == "pending_cancel":
            status = "pending_cancel"
        known = told.status in _OPEN_AT_BROKER or told.status in _ENDED
        reason = None if known else f"unknown status {told.status!r} counts as open"
        orders.move(order, status, at=self._now, reason=reason)

    # Comparing.

    def _differences(self) -> dict[str, tuple[str, str]]:
        account, positions = self._broker.account(), self._broker.positions()
        self._blocked = account.blocked
        books = books_of(self._store, self._desk_id)
        held = {name: one.quantity for name, one in books.holdings.items()}
        theirs = {name: one.quantity for name, one in positions.items()}
        found = {
            name: (plain(held.get(name, 0), SHARE), plain(theirs.get(name, 0), SHARE))
            for name in _share_differences(held, theirs)
        }
        if 2 * abs(books.cash - account.cash) >= CENT:
            found["cash"] = (plain(books.cash, MONEY), plain(account.cash, MONEY))
        self._prices = {name: one.price for name, one in positions.items()}
        return found

    def _judge(self, differences: dict[str, tuple[str, str]]) -> None:
        """Record a comparison; a difference that lasts is adopted, or halts the desk."""
        with self._store.write() as transaction:
            desk = desk_in(transaction, self._desk_id)
            last = self._last_reconciliation(transaction)
            kept = {name: list(pair) for name, pair in differences.items()}
            if not differences:
                self._done.reconciliation = "clean"
                change_desk(transaction, desk.id, reconciled_at=self._now)
                if last is not None and last.status != "clean":
                    self._record(transaction, "clean", kept)
                return
            same = last is not None and last.differences == kept
            if not same or last is None:
                self._done.reconciliation = "suspected"
                self._record(transaction, "suspected", kept)
            elif last.status == "suspected" and self._now - last.at < SECOND_READ:
                self._done.reconciliation = "suspected"
            elif desk.foreign_rule == "adopt" and "cash" not in differences:
                self._done.reconciliation = "adopted"
                self._adopt(transaction, differences)
                self._record(transaction, "adopted", kept)
            else:
                self._done.reconciliation = "confirmed"
                if last.status != "confirmed":
                    self._record(transaction, "confirmed", kept)
                halt(transaction, desk.id, f"ledger and broker differ: {_listed(differences)}")
            self._done.trouble = f"ledger and broker differ: {_listed(differences)}"

    def _last_reconciliation(self, transaction: Transaction) -> _Compared | None:
        found = read_rows(transaction, _LAST_COMPARED, self._ours)
        return _Compared(*found[0]) if found else None

    def _record(
        self,
        transaction: Transaction,
        status: Literal["clean", "suspected", "confirmed", "adopted"],
        differences: dict[str, list[str]],
    ) -> None:
        transaction.add(
            ReconciliationRow(
                desk_id=self._desk_id, at=self._now, status=status, differences=differences
            )
        )

    def _adopt(
        self, transaction: Transaction, differences: dict[str, tuple[str, str]], reason: str = ""
    ) -> None:
        """Book positions of unknown origin as brought in at the broker's price."""
        holdings = read_books(transaction, self._desk_id).holdings
        for symbol, (ours, theirs) in differences.items():
            held = holdings.get(symbol)
            quantity = shares(theirs) - shares(ours)
            price = self._prices.get(symbol) or (held.mark if held is not None else None) or 0
            amount = amount_of(quantity, price)
            post(
                transaction,
                self._desk_id,
                kind="adoption",
                reference=f"adoption:{symbol}:{self._now.isoformat()}",
                at=self._now,
                lines=[Line("position", amount, symbol, quantity), Line("transfers", -amount)],
                memo=f"{reason}{': ' if reason else ''}the broker holds {theirs}, the ledger held "
                f"{ours}",
            )


def _payment_of(activity: BrokerActivity) -> str | None:
    """Return what an activity pays, None where it moves no cash or is not known.

    Cash of an unknown kind is not booked: it shows as a difference, and halts the desk.
    """
    if activity.kind.startswith("DIV"):
        return "dividend"
    if activity.kind in _TRANSFERS:
        return "transfer"
    if activity.kind == "FEE" and activity.sub_type == "BORROW":
        return "borrow"
    return _PAYMENTS.get(activity.kind)


def _fill_of(activity: BrokerActivity) -> Fill:
    return Fill(
        activity.id,
        "sell" if activity.side == "sell" else "buy",
        activity.quantity,
        activity.price,
        activity.at,
    )


def _payment(activity: BrokerActivity, kind: str, waiting: Waiting) -> Entry:
    if kind == "transfer":
        lines = transfer_lines(activity.amount)
    else:
        lines = settle_lines(waiting, kind, activity.symbol, activity.amount)
    name = kind if kind == "transfer" else f"{kind} paid"
    return Entry(name, f"{_ACTIVITY}{activity.id}", activity.at, tuple(lines))


def _foreign(desk: Desk, told: BrokerOrder, now: datetime) -> OrderRow:
    return OrderRow(
        desk_id=desk.id,
        origin="foreign",
        sequence=desk.next_sequence,
        batch="foreign",
        position=desk.next_sequence,
        client_order_id=told.client_order_id,
        broker_order_id=told.id,
        session=told.submitted_at.date(),
        symbol=told.symbol,
        side="sell" if told.side == "sell" else "buy",
        quantity=told.quantity,
        order_type=told.order_type,
        time_in_force=told.time_in_force,
        limit_price=told.limit_price,
        reduce_only=False,
        send_from=told.submitted_at,
        cutoff=told.submitted_at,
        status="accepted",
        filled=0,
        broker_filled=0,
        attempts=1,
        intended_at=told.submitted_at,
        sent_at=told.submitted_at,
        facts={"adopted_at": now.isoformat()},
    )


def _share_differences(ours: dict[str, int], theirs: dict[str, int]) -> dict[str, int]:
    return {
        name: ours.get(name, 0) - theirs.get(name, 0)
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name, 0) != theirs.get(name, 0)
    }


def _listed(differences: dict[str, tuple[str, str]]) -> str:
    return ", ".join(f"{name} {ours} and {theirs}" for name, (ours, theirs) in differences.items())
