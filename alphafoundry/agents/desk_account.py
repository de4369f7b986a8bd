"""The desk's account: a ledger here, the broker's own book there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from sqlalchemy import bindparam, func, select

from alphafoundry.agents.account import STATES, Sent, Totals
from alphafoundry.agents.bodies.execution import ExecutionParameters
from alphafoundry.agents.broker_side import BrokerSide, PaperSide
from alphafoundry.agents.hours import ExchangeHours, SessionHours, utc
from alphafoundry.agents.schedule import Schedule
from alphafoundry.agents.snapshot import DeskMode
from alphafoundry.errors import BrokerUnavailable
from alphafoundry.market.panel import Panel
from alphafoundry.store import Store
from alphafoundry.store.database import read_rows
from alphafoundry.store.desk_tables import BalanceRow, DeskState, FillRow, OrderRow
from alphafoundry.trading import (
    PAPER_BROKER,
    Books,
    BrokerRules,
    MarketDays,
    OrderLimits,
    OrderRequest,
    books_of,
    close_session,
    compare,
    count_pending,
    create_desk,
    execute,
    has_unsettled,
    intend_orders,
    open_session,
    price_units,
    read_desk,
    set_state,
    shares,
)
from alphafoundry.trading.desks import Desk, limits_in
from alphafoundry.trading.market_day import MarketDay
from alphafoundry.trading.money import MONEY, PRICE, SHARE
from alphafoundry.trading.orders import closing_orders, within_limits
from alphafoundry.trading.paper_broker import PaperBroker
from alphafoundry.trading.portfolio import IntendedOrder
from alphafoundry.trading.risk import Stop

_FILLED = (
    select(OrderRow.symbol, OrderRow.side, OrderRow.filled)
    .where(OrderRow.desk_id == bindparam("desk"), OrderRow.session == bindparam("session"))
    .order_by(OrderRow.id)
)
_WITH_FILLS = (
    select(func.count())
    .select_from(OrderRow)
    .where(
        OrderRow.desk_id == bindparam("desk"),
        OrderRow.session == bindparam("session"),
        OrderRow.filled != 0,
    )
)
_AT_THE_CLOSE = (
    select(FillRow.symbol, FillRow.price)
    .join(OrderRow, OrderRow.id == FillRow.order_id)
    .where(
        OrderRow.desk_id == bindparam("desk"),
        OrderRow.session == bindparam("session"),
        # What closes a position from the open on does not aim at the close.
        OrderRow.time_in_force == "cls",
        FillRow.desk_id == bindparam("desk"),
        FillRow.at >= bindparam("opens"),
    )
)
_COSTS = {"fees": "commission", "borrow": "borrow", "interest": "interest"}


class DeskAccount:
    """A ledger in the store, and a broker on the other side; a context manager.

    Attributes
    ----------
    version : changes whenever an order, a position or an amount does
    """

    def __init__(
        self,
        store: Store,
        ledger: int,
        side: BrokerSide,
        *,
        panel: Panel,
        days_of: Callable[[Panel], MarketDays],
        kept: Mapping[str, Any] | None,
        alone: bool = False,
        every_session: bool = False,
    ) -> None:
        """Take up a ledger of the store.

        Parameters
        ----------
        ledger : number of its desk
        side : the broker, which is closed with the account
        days_of : the sessions of a market that the account may be asked about
        kept : of an earlier process, which this one goes on from
        alone : nobody else writes to the desk meanwhile
        every_session : orders may be for sessions whose bars are not known yet
        """
        self._store = store
        self._id = ledger
        self._side = side
        self._every_session = every_session
        self._alone = alone
        self._days_of = days_of
        self.take_panel(panel)
        self._kept = _Kept(store, ledger)
        self._booked: set[str] = set()
        self._opened: date | None = None
        self._closed: date | None = None
        self._state: DeskState = "active"
        self._seen: object = None
        self._quality: tuple[object, float | None] = (None, None)
        self.version = 0
        if kept is not None:
            self._restore(kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._side.close()

    def take_panel(self, panel: Panel) -> None:
        """Know the bars of a market from now on."""
        self._panel = panel
        self._days = self._days_of(panel)
        self._sessions = sorted(self._days.days)

    def kept(self) -> dict[str, Any]:
        """Return what no row says, and what the broker's own file does not have yet."""
        return {
            "opened": self._opened,
            "closed": self._closed,
            "state": self._state,
            "version": self.version,
            "seen": self._seen,
            "broker": self._side.kept(),
        }

    def save(self) -> None:
        """Save the broker's book in its file."""
        self._side.save()

    def reload(self, kept: Mapping[str, Any]) -> None:
        """Go on from what another process kept, and from the file that it left."""
        self._side.reopen(kept["broker"])
        self._restore(kept)

    def _restore(self, kept: Mapping[str, Any]) -> None:
        self._opened, self._closed = (
            None if day is None else date.fromisoformat(day)
            for day in (kept["opened"], kept["closed"])
        )
        self._state, self.version = kept["state"], kept["version"]
        self._seen = None if kept["seen"] is None else tuple(kept["seen"])
        self._kept = _Kept(self._store, self._id)

    def positions(self) -> Mapping[str, int]:
        """Return symbol to whole shares, below 0 is short."""
        return self._stored().positions

    def equity(self) -> float:
        """Return dollars: cash and positions at their last marks."""
        return self._stored().books.equity / MONEY

    def pending_orders(self) -> int:
        """Return how many orders are not final."""
        return sum(self._stored().pending.values())

    def fills(self, session: date | None = None) -> int:
        """Return how many fills there were, in a session or ever."""
        if session is None:
            return self._stored().fills
        with self._store.session() as transaction:
            given = {"desk": self._id, "session": session}
            ((count,),) = read_rows(transaction, _WITH_FILLS, given)
        found: int = count
        return found

    def intend(
        self, orders: Sequence[IntendedOrder], *, session: date, now: int, data_until: date
    ) -> int:
        """Store orders for a session's close, before any is sent; return how many.

        Raises FoundryError where the broker does not trade in the session's hours.
        """
        self._side.check_session(session)
        limits = self._limits()
        version, market = self._panel.fingerprint, self._panel.market_id
        requests = [
            OrderRequest(
                one.symbol,
                one.side,
                shares(one.quantity),
                session,
                reduce_only=one.reduces,
                reference_price=_reference(one),
                data_until=data_until,
                data_version=version,
                market_id=market,
                facts={
                    "parts": dict(one.parts),
                    "held": one.held,
                    "target": one.target,
                    "price": one.price,
                    "deferred": one.deferred,
                },
            )
            for whole in orders
            for one in _sendable(whole, limits)
        ]
        intend_orders(self._store, self._id, requests, batch=f"rebalance {session}", now=utc(now))
        self._changed(books=False)
        return len(requests)

    def traded(self, session: date) -> Mapping[str, int]:
        """Return symbol to the shares that a session's orders bought, sold ones below 0."""
        found: dict[str, int] = {}
        with self._store.session() as transaction:
            rows = read_rows(transaction, _FILLED, {"desk": self._id, "session": session})
        for symbol, side, filled in rows:
            count = filled // SHARE * (1 if side == "buy" else -1)
            if count:
                found[symbol] = found.get(symbol, 0) + count
        return found

    def close_out(self, stops: Sequence[Stop], *, session: SessionHours, now: int) -> int:
        """Store orders that close stopped positions from a session's open on; return how many."""
        if not stops or not (self._every_session or session.day in self._days.days):
            return 0
        held = self._stored().books.holdings
        requests = closing_orders(
            # What a stop trades is the position's opposite.
            {one.symbol: -shares(one.shares) for one in stops},
            session.day,
            limits=self._limits(),
            marks={one.symbol: held[one.symbol].mark for one in stops if one.symbol in held},
            send_from=utc(max(now, session.opens)),
            reasons={one.symbol: str(one) for one in stops},
        )
        intend_orders(self._store, self._id, requests, batch=f"stops {stops[0].day}", now=utc(now))
        self._changed(books=False)
        return len(requests)

    def execute(self, now: int, *, mode: DeskMode, only_reduce: bool = False) -> Sent:
        """Compare with the broker, send what is intended, and read what was filled.

        Where neither side has changed since the last turn and nothing waits to be sent, nothing is
        asked.
        """
        self._side.advance(utc(now))
        broken = self._take_state(mode)
        seen = self._both_sides()
        if seen is not None and seen == self._seen and not self._stored().unsettled:
            return Sent(broken=broken)
        done = execute(
            self._store,
            self._id,
            self._side.client,
            utc(now),
            only_reduce=only_reduce,
            booked=self._booked,
        )
        same = not done.fills and not done.payments and done.reconciliation != "adopted"
        self._changed(fills=done.fills, books=not same)
        self._seen = self._both_sides()
        desk = self._stored().desk
        if desk.state == "halted" and self._state != "halted":
            broken = desk.state_reason or "the ledger has halted the desk"
        counts = {
            name: getattr(done, name)
            for name in ("sent", "denied", "rejected", "unknown", "expired", "fills", "payments")
            if getattr(done, name)
        }
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        return Sent("; ".join(filter(None, (told, done.trouble))), counts, broken)

    def open_session(self, session: date, now: int) -> None:
        """Book what happens before a session's open, once: splits, dividends, delistings."""
        if self._opened == session:
            return
        self._side.advance(utc(now))
        self._opened = session
        booked = 0
        if session in self._days.days:
            place = self._sessions.index(session)
            before = self._days.days[self._sessions[place - 1]] if place else None
            day = self._days.days[session]
            booked = open_session(self._store, self._id, day, before=before, at=utc(now))
        self._changed(books=booked > 0)

    def close_session(self, session: date, now: int) -> None:
        """Value the positions at a session's closes, and book what the night costs, once."""
        if self._closed == session:
            return
        self._side.advance(utc(now))
        done = execute(self._store, self._id, self._side.client, utc(now), booked=self._booked)
        if not done.answered:
            raise BrokerUnavailable(f"{session} is not closed yet: {done.trouble}")
        place = self._sessions.index(session)
        following = self._sessions[place + 1 : place + 2]
        close_session(
            self._store,
            self._id,
            self._days.days[session],
            next_session=following[0] if following else session + timedelta(days=1),
            at=utc(now),
            borrow_rate=self._side.borrow_rate,
            interest_rate=self._side.interest_rate,
        )
        self._closed = session
        self._changed(fills=done.fills)

    def fill_quality(self, session: date, tolerance: float) -> float | None:
        """Return the share of fills of orders for the close within a fraction of it; or None."""
        if self._quality[0] == (self.version, session, tolerance):
            return self._quality[1]
        day = self._days.days.get(session)
        if day is None:
            return None
        given = {"desk": self._id, "session": session, "opens": day.session.opens}
        with self._store.session() as transaction:
            found = read_rows(transaction, _AT_THE_CLOSE, given)
        misses = [
            abs(price / PRICE / float(day.bars[symbol].close) - 1.0)
            for symbol, price in found
            if symbol in day.bars
        ]
        share = sum(one <= tolerance for one in misses) / len(misses) if misses else None
        self._quality = ((self.version, session, tolerance), share)
        return share

    def market_day(self, day: date) -> MarketDay | None:
        """Return a session as the panel tells it today, None where it is not known."""
        return self._days.days.get(day)

    def totals(self, now: int) -> Totals:
        """Return what there was so far, compared with the broker's own book."""
        self._side.advance(utc(now))
        statuses = (
            select(OrderRow.status, func.count())
            .where(OrderRow.desk_id == self._id)
            .group_by(OrderRow.status)
            .order_by(func.min(OrderRow.id))
        )
        with self._store.session() as transaction:
            orders = {str(row[0]): row[1] for row in transaction.execute(statuses)}
        fills = self._all_fills()
        traded, slippage = 0.0, 0.0
        for fill in fills:
            count, price = fill.quantity / SHARE, fill.price / PRICE
            traded += count * price
            day = self._days.days.get(fill.session)
            close = None if day is None else day.bars.get(fill.symbol)
            if close is not None:
                signed = count if fill.side == "buy" else -count
                slippage += signed * (price - float(close.close))
        together = self._side.values_with_us
        try:
            found = compare(self._store, self._id, self._side.client, equity=together)
            told = str(found).removeprefix("ledger: NOT reconciled: ")
            differences = [] if found.agrees else [told]
        except BrokerUnavailable as problem:
            differences = [f"not compared: {problem}"]
        books = books_of(self._store, self._id)
        return Totals(
            orders=orders,
            fills=len(fills),
            traded=traded,
            costs={**self._booked_costs(), "impact": slippage},
            differences=differences,
            compared=f"cash{', equity' if together else ''} and {len(books.holdings)} positions "
            "with the broker's own book",
        )

    def lines(self) -> Iterator[str]:
        """Yield every order and fill as a line, in order, without ids that are drawn."""
        query = (
            select(
                OrderRow.sequence,
                OrderRow.session,
                OrderRow.symbol,
                OrderRow.side,
                OrderRow.quantity,
                OrderRow.status,
                OrderRow.reason,
                OrderRow.filled,
            )
            .where(OrderRow.desk_id == self._id)
            .order_by(OrderRow.id)
        )
        with self._store.session() as transaction:
            orders = transaction.execute(query).all()
        for sequence, session, symbol, side, quantity, status, reason, filled in orders:
            yield (
                f"order {sequence} {session} {symbol} {side} {quantity} {status} {reason} {filled}"
            )
        keyed = sorted((one.at, one.sequence, one.quantity, one.price) for one in self._all_fills())
        for at, sequence, quantity, price in keyed:
            yield f"fill {at.isoformat()} {sequence} {quantity} {price}"
        books = books_of(self._store, self._id)
        yield f"books {books.cash} {books.equity} {books.net_asset_value}"
        for name, holding in sorted(books.holdings.items()):
            yield f"holding {name} {holding.quantity} {holding.mark}"

    def _all_fills(self) -> list[_Filled]:
        query = (
            select(
                FillRow.at,
                OrderRow.sequence,
                OrderRow.session,
                FillRow.symbol,
                FillRow.side,
                FillRow.quantity,
                FillRow.price,
            )
            .join(OrderRow, OrderRow.id == FillRow.order_id)
            .where(FillRow.desk_id == self._id)
            .order_by(FillRow.at, FillRow.broker_fill_id)
        )
        with self._store.session() as transaction:
            return [_Filled(*row) for row in transaction.execute(query)]

    def _take_state(self, mode: DeskMode) -> str | None:
        """Tell the ledger the desk's state; return why it halted by itself, None where not."""
        wanted = STATES[mode]
        desk = self._stored().desk
        if desk.state == "halted" and self._state != "halted":
            return desk.state_reason or "the ledger has halted the desk"
        if desk.state != wanted:
            set_state(self._store, self._id, wanted, reason="as the desk")
            self._kept, self._seen = _Kept(self._store, self._id), None
        self._state = wanted
        return None

    def _limits(self) -> OrderLimits:
        with self._store.session() as transaction:
            return limits_in(transaction, self._id)

    def _booked_costs(self) -> dict[str, float]:
        query = select(BalanceRow.account, BalanceRow.amount).where(
            BalanceRow.desk_id == self._id, BalanceRow.account.in_(tuple(_COSTS))
        )
        found = dict.fromkeys(_COSTS.values(), 0.0)
        with self._store.session() as session:
            for account, amount in session.execute(query):
                found[_COSTS[account]] += amount / MONEY
        return {kind: amount for kind, amount in found.items() if amount}

    def _both_sides(self) -> object:
        """Return what changes with every event that the ledger could read; None is not known."""
        theirs = self._side.seen()
        return None if theirs is None else (self.version, *theirs)

    def _stored(self) -> _Kept:
        """Return the rows as they are: read again where another may have changed them."""
        if not self._alone:
            self._kept = _Kept(self._store, self._id)
        return self._kept

    def _changed(self, *, fills: int = 0, books: bool = True) -> None:
        """Read anew from now on, but for what has not changed.

        Parameters
        ----------
        fills : how many were booked
        books : whether cash, a position or a mark may have changed
        """
        self.version += 1
        before = vars(self._kept)
        self._kept = _Kept(self._store, self._id)
        if "fills" in before:
            self._kept.fills = before["fills"] + fills
        for name in () if books else ("books", "positions"):
            if name in before:
                setattr(self._kept, name, before[name])


def _sendable(order: IntendedOrder, limits: OrderLimits) -> Iterator[IntendedOrder]:
    """Yield an order; one that only reduces and is above a limit of a single order, in parts.

    An order that opens or enlarges a position is denied there, as it is to be.
    """
    if not order.reduces:
        yield order
        return
    held = order.held
    for part in within_limits(shares(order.quantity), _reference(order), limits):
        piece = order.part(held, part // SHARE)
        held = piece.target
        yield piece


def _reference(order: IntendedOrder) -> int:
    return price_units(Decimal(str(round(order.price, 4))))


class _Filled(NamedTuple):
    at: datetime
    sequence: int
    session: date
    symbol: str
    side: str
    quantity: int
    price: int


class _Kept:
    """What the store holds of a desk; each part is read once, when it is asked for."""

    def __init__(self, store: Store, desk_id: int) -> None:
        self._store = store
        self._id = desk_id

    @cached_property
    def desk(self) -> Desk:
        """The desk itself."""
        return read_desk(self._store, self._id)

    @cached_property
    def books(self) -> Books:
        """Cash and positions."""
        return books_of(self._store, self._id)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Symbol to whole shares."""
        held = self.books.holdings
        return {name: one.quantity // SHARE for name, one in held.items() if one.quantity}

    @cached_property
    def fills(self) -> int:
        """How many there are."""
        query = select(func.count()).select_from(FillRow).where(FillRow.desk_id == self._id)
        with self._store.session() as session:
            return session.scalar(query) or 0

    @cached_property
    def unsettled(self) -> bool:
        """Whether the broker has something to hear about an order."""
        return has_unsettled(self._store, self._id)

    @cached_property
    def pending(self) -> Counter[str]:
        """Status to how many orders have it; none that is final."""
        return count_pending(self._store, self._id)


def open_paper_account(
    store: Store,
    *,
    name: str,
    panel: Panel,
    hours: ExchangeHours,
    sessions: Sequence[SessionHours],
    cash: float,
    seed: int,
    limits: OrderLimits | None = None,
    rules: BrokerRules | None = None,
    state: Path | None = None,
    hold: bool = False,
    kept: Mapping[str, Any] | None = None,
    alone: bool = False,
) -> DeskAccount:
    """Return an account at the paper broker, over some sessions of a market.

    Parameters
    ----------
    name : of the desk
    cash : dollars to begin with
    seed : of the broker's path within a day
    limits : of single orders; what passes one is denied
    rules : what the broker charges and allows
    state : file of the broker's own book; None keeps it in memory alone
    hold : the file is written by `save` alone, instead of at each request
    kept : of an earlier process, which this one goes on from
    alone : nobody else writes to the desk meanwhile, as in a simulation: what was read holds until
        the account itself changes it
    """
    days = MarketDays.from_panel(panel, sessions[0].day, sessions[-1].day, exchange=hours.exchange)
    start = utc(sessions[0].opens - 2 * 3600)
    make = partial(
        PaperBroker,
        days,
        start=start,
        cash=Decimal(str(round(cash, 2))),
        seed=seed,
        state=state,
        hold=hold,
        rules=rules or BrokerRules(),
    )
    # Accounts are one desk's each, and a store holds many simulated desks.
    side = PaperSide(make, f"{name}-{seed}", None if kept is None else kept["broker"])
    account = side.client.account()
    desk = create_desk(
        store,
        name=name,
        broker=PAPER_BROKER,
        account_number=account.number,
        cash=account.cash,
        synthetic=days.synthetic,
        now=start,
        limits=limits or OrderLimits(),
    )
    return DeskAccount(
        store, desk.id, side, panel=panel, days_of=lambda _: days, kept=kept, alone=alone
    )


def broker_file(home: Path, desk: str) -> Path:
    """Return the file in which the paper broker keeps its own book of a desk."""
    return home / "desks" / f"{desk}.sqlite"


def order_limits(schedule: Schedule) -> OrderLimits:
    """Return the limits of single orders: desk.orders, and max_order_size of execution.

    The smaller of the two limits of shares holds. Where max_order_size is left out it is what
    execution takes it for; a schedule without execution has none.
    """
    task = schedule.tasks.get("execution")
    usual = ExecutionParameters().max_order_size
    given = None if task is None else task.settings.parameters.get("max_order_size", usual)
    sizes = [one for one in (given, schedule.rules.orders.max_order_shares) if one is not None]
    return replace(schedule.rules.orders, max_order_shares=min(map(float, sizes), default=None))
