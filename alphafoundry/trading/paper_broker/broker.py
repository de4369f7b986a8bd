"""The paper broker: orders, auctions, fills and the book of one account."""

from __future__ import annotations

import hashlib
import math
import threading
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.clock import EASTERN
from alphafoundry.errors import TradingError
from alphafoundry.finance.costs import check_range
from alphafoundry.trading.market_day import DayBar, MarketDay, MarketDays
from alphafoundry.trading.paper_broker.faults import Faults
from alphafoundry.trading.paper_broker.intraday import price_path, volume_share
from alphafoundry.trading.paper_broker.state import State

SLICE = timedelta(minutes=5)
"""Orders between the auctions fill at the end of each so long, never more often."""

BEFORE_OPEN = timedelta(hours=1)
"""How long before the open splits, dividends, delistings and nightly fees are booked."""

_CENT = Decimal("0.01")
_UNIT = Decimal("0.0001")
_SHARE = Decimal("0.000001")
_ZERO = Decimal(0)


@dataclass(frozen=True)
class BrokerRules:
    """What trading costs and allows; every figure is a model, none is measured.

    Attributes
    ----------
    participation : most of a slice's volume that this account gets
    auction_participation : most of the day's volume that it gets in one auction
    half_spread : of the price, paid between the auctions
    impact : the price moves by this x daily volatility x sqrt(shares / day's volume)
        (square-root law; volatility from the day's high and low, Parkinson 1980)
    commission_per_share : dollars; at most `max_commission` of the trade's value
    borrow_rate, interest_rate : a year, on calendar days over 360; interest below 0 is owed on
        cash below 0 likewise
    multiplier : gross positions over equity that may be opened (Reg T: 2)
    hard_to_borrow : symbols that cannot be sold short
    """

    participation: float = 0.10
    auction_participation: float = 0.02
    half_spread: float = 0.0002
    impact: float = 0.5
    commission_per_share: Decimal = Decimal("0.0035")
    max_commission: Decimal = Decimal("0.01")
    borrow_rate: float = 0.005
    interest_rate: float = 0.0
    multiplier: int = 2
    hard_to_borrow: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("participation", "auction_participation"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("half_spread", "impact", "borrow_rate", "multiplier"):
            check_range(name, getattr(self, name), 0.0, math.inf)
        for name in ("commission_per_share", "max_commission"):
            check_range(name, float(getattr(self, name)), 0.0, math.inf)
        check_range("interest_rate", self.interest_rate, -1.0, 1.0)


class Refused(TradingError):
    """A request that the broker does not accept."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(message)


@dataclass
class PaperOrder:
    """One order of the broker's book; times are ISO text in UTC."""

    id: str
    client_order_id: str
    symbol: str
    side: str
    qty: Decimal
    type: str
    time_in_force: str
    limit_price: Decimal | None
    stop_price: Decimal | None
    submitted_at: str
    status: str = "accepted"
    filled_qty: Decimal = _ZERO
    filled_value: Decimal = _ZERO
    updated_at: str = ""
    filled_at: str | None = None
    canceled_at: str | None = None
    expired_at: str | None = None
    triggered: bool = False
    late_fill: bool = False

    @property
    def rest(self) -> Decimal:
        """Shares that are not filled."""
        return self.qty - self.filled_qty

    @property
    def signed(self) -> int:
        """1 for buying, -1 for selling."""
        return 1 if self.side == "buy" else -1


@dataclass
class Book:
    """The account: dollars and shares as decimals."""

    cash: Decimal
    positions: dict[str, Decimal] = field(default_factory=dict)
    costs: dict[str, Decimal] = field(default_factory=dict)
    last: dict[str, Decimal] = field(default_factory=dict)
    due: list[tuple[str, str, str]] = field(default_factory=list)
    last_equity: Decimal = _ZERO
    number: int = 0
    moment: str = ""
    closed: str = ""
    attempts: dict[str, int] = field(default_factory=dict)


class PaperBroker:
    """One account over the days of a market; safe for many threads.

    Parameters
    ----------
    market : the days; their prices are raw
    start : the moment that time begins at
    cash : opening dollars, a whole number of cents
    rules : costs and limits
    faults : what goes wrong
    seed : of the path within the day and of the faults
    state : SQLite file that keeps the account, made where absent; None keeps it in memory alone
    hold : save nothing until `save` is called, instead of each request
    changes : what `changes` gave to a program that ended before it had saved it; older than the
        state, it changes nothing

    Raises StoreError where `state` cannot be used.
    """

    def __init__(
        self,
        market: MarketDays,
        *,
        start: datetime,
        cash: Decimal = Decimal(100_000),
        rules: BrokerRules | None = None,
        faults: Faults | None = None,
        seed: int = 0,
        state: Path | None = None,
        hold: bool = False,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.market = market
        self.rules = rules or BrokerRules()
        self.faults = faults or Faults()
        self.seed = seed
        self.lock = threading.RLock()
        self.account_number = f"PAPER{seed:06d}"
        self._state = State(state)
        self._hold = hold
        self._sessions = sorted(market.days)
        self._used: dict[tuple[str, str], Decimal] = {}
        book, orders, activities = self._state.load()
        self._kept = len(activities)
        newer: list[str] = []
        if changes is not None and (book is None or changes["book"]["moment"] > book["moment"]):
            self._kept = changes["first"]
            book = dict(changes["book"])
            newer = [one["id"] for one in changes["orders"]]
            orders = [*orders, *map(dict, changes["orders"])]
            activities = [*activities[: self._kept], *changes["activities"]]
        self.orders: dict[str, PaperOrder] = {}
        for body in orders:
            order = _order_from(body)
            self.orders[order.id] = order
        self.activities: list[dict[str, Any]] = activities
        if book is None:
            self.book = Book(cash=cash, last_equity=cash, moment=start.astimezone(UTC).isoformat())
        else:
            self.book = _book_from(book)
        self._by_client = {order.client_order_id: order for order in self.orders.values()}
        self._open = {order.id: order for order in self.orders.values() if _is_open(order)}
        self._late = {order.id: order for order in self.orders.values() if order.late_fill}
        self._in_order = list(self.orders.values())
        self._times = [datetime.fromisoformat(one.submitted_at) for one in self._in_order]
        self._dirty: dict[str, PaperOrder] = {order_id: self.orders[order_id] for order_id in newer}
        self._free: Decimal | None = None
        self._changes: dict[str, Any] | None = None
        self._save()

    def __repr__(self) -> str:
        return f"PaperBroker({self.market.label!r}, at {self.now.isoformat()})"

    def close(self) -> None:
        """Close the state."""
        self._state.close()

    @property
    def now(self) -> datetime:
        """The broker's time."""
        return datetime.fromisoformat(self.book.moment)

    @property
    def equity(self) -> Decimal:
        """Cash and the positions at their last prices."""
        return self.book.cash + self.long_value + self.short_value

    @property
    def long_value(self) -> Decimal:
        """Value of the positions above 0."""
        return sum((v for v in self._values() if v > 0), _ZERO)

    @property
    def short_value(self) -> Decimal:
        """Value of the positions below 0, below 0."""
        return sum((v for v in self._values() if v < 0), _ZERO)

    @property
    def buying_power(self) -> Decimal:
        """Dollars of positions that may still be opened, open orders taken off."""
        if self._free is None:
            gross = self.long_value - self.short_value
            waiting = (
                order.rest * self._reference(order)
                for order in self._open.values()
                if self.book.positions.get(order.symbol, _ZERO) * order.signed >= 0
            )
            self._free = self.rules.multiplier * self.equity - gross - sum(waiting, _ZERO)
        return self._free

    def advance(self, now: datetime) -> None:
        """Let time pass until `now`: everything due until then happens, in its order.

        An earlier moment than the broker's changes nothing.
        """
        with self.lock:
            until = now.astimezone(UTC)
            self._free = None
            for moment, day, kind in self._events(self.now, until):
                self.book.moment = moment.isoformat()
                if kind == "before":
                    self._before_open(day)
                elif kind == "slice":
                    self._slice(day, moment)
                else:
                    self._auction(day, kind)
            if until > self.now:
                self.book.moment = until.isoformat()
            self._save()

    def place(self, request: dict[str, Any]) -> PaperOrder:
        """Accept an order. Raises Refused as Alpaca refuses."""
        with self.lock:
            self._changes = None
            order = self._read(request)
            self._check_account(order)
            if self.book.positions.get(order.symbol, _ZERO) * order.signed >= 0:
                self._free = self.buying_power - order.rest * self._reference(order)
            self.book.attempts.pop(order.client_order_id, None)
            self.orders[order.id] = self._open[order.id] = order
            self._by_client[order.client_order_id] = order
            self._in_order.append(order)
            self._times.append(self.now)
            self._dirty[order.id] = order
            self._save()
            return order

    def attempt(self, client_order_id: str) -> int:
        """Count a request for an order; return how many there were before."""
        with self.lock:
            before = self.book.attempts.get(client_order_id, 0)
            self.book.attempts[client_order_id] = before + 1
            self._save()
            return before

    def by_client_id(self, client_order_id: str) -> PaperOrder | None:
        """Return an order by the client's id, None where there is none."""
        return self._by_client.get(client_order_id)

    def cancel(self, order_id: str) -> None:
        """End an order. Raises Refused where there is none, or it is over."""
        with self.lock:
            order = self.orders.get(order_id)
            if order is None:
                raise Refused(404, 40410000, f"order not found for {order_id}")
            if not _is_open(order):
                raise Refused(422, 42210000, f'order is already in "{order.status}" state')
            self._end(order, "canceled")
            self._free = None
            if self.faults.fill_after_cancel:
                order.late_fill = True
                self._late[order.id] = order
            self._save()

    @property
    def open_orders(self) -> list[PaperOrder]:
        """Orders that may still fill, oldest first."""
        return list(self._open.values())

    def orders_after(self, moment: datetime) -> list[PaperOrder]:
        """Return the orders that were submitted after a moment, oldest first."""
        place = bisect_right(self._times, moment.astimezone(UTC))
        return self._in_order[place:]

    def open_qty(self) -> dict[str, Decimal]:
        """Return symbol to the shares of its position that open orders would close."""
        closing: dict[str, Decimal] = {}
        for order in self._open.values():
            if order.signed * self.book.positions.get(order.symbol, _ZERO) < 0:
                closing[order.symbol] = closing.get(order.symbol, _ZERO) + order.rest
        return closing

    # Time.

    def _events(
        self, after: datetime, until: datetime
    ) -> Iterator[tuple[datetime, MarketDay, str]]:
        days = self.market.days
        first = bisect_right(self._sessions, after, key=lambda day: days[day].session.closes)
        for day_name in self._sessions[first:]:
            day = days[day_name]
            hours = day.session
            if hours.opens - BEFORE_OPEN > until:
                return
            moments = [(hours.opens - BEFORE_OPEN, "before"), (hours.opens, "open")]
            count = int((hours.closes - hours.opens) / SLICE)
            moments += [(hours.opens + SLICE * n, "slice") for n in range(1, count + 1)]
            moments.append((hours.closes, "close"))
            for moment, kind in moments:
                if after < moment <= until:
                    yield moment, day, kind

    def _before_open(self, day: MarketDay) -> None:
        name = day.session.day
        self._used.clear()
        if self.book.closed:
            self._charge_nights(name, (name - date.fromisoformat(self.book.closed)).days)
        for split in day.splits:
            self._split(split.symbol, split.new, split.old, name)
        for dividend in day.dividends:
            held = self.book.positions.get(dividend.symbol, _ZERO)
            if held:
                amount = (held * dividend.per_share).quantize(_CENT, rounding=ROUND_HALF_EVEN)
                due = (dividend.pay_date.isoformat(), dividend.symbol, str(amount))
                self.book.due.append(due)
        for end in day.delistings:
            held = self.book.positions.pop(end.symbol, _ZERO)
            self.book.costs.pop(end.symbol, None)
            for order in [one for one in self._open.values() if one.symbol == end.symbol]:
                self._end(order, "canceled")
            if held:
                self._pay("REORG", held * end.price, name, end.symbol, "Delisted, cash paid")
        paid = [one for one in self.book.due if one[0] <= name.isoformat()]
        self.book.due = [one for one in self.book.due if one[0] > name.isoformat()]
        for _, symbol, owed in paid:
            self._pay("DIV", Decimal(owed), name, symbol, "Dividend")
        if name in self.faults.unknown_positions:
            symbol, count = self.faults.unknown_positions[name]
            self.book.positions[symbol] = self.book.positions.get(symbol, _ZERO) + count

    def _charge_nights(self, name: date, nights: int) -> None:
        for symbol, held in sorted(self.book.positions.items()):
            if held < 0:
                value = -held * self.book.last[symbol]
                fee = value * Decimal(str(self.rules.borrow_rate)) * nights / 360
                self._pay("FEE", -fee, name, symbol, f"Borrow fee, {nights} days", "BORROW")
        interest = self.book.cash * Decimal(str(self.rules.interest_rate)) * nights / 360
        self._pay("INT", interest, name, "", f"Interest, {nights} days")

    def _split(self, symbol: str, new: int, old: int, name: date) -> None:
        last = self.book.last.get(symbol)
        if last is not None:
            self.book.last[symbol] = last * old / new
        for order in [one for one in self._open.values() if one.symbol == symbol]:
            self._end(order, "canceled")
        held = self.book.positions.get(symbol, _ZERO)
        if not held:
            return
        exact = held * new / old
        whole = exact.to_integral_value(rounding=ROUND_DOWN)
        self._set_position(symbol, whole)
        if exact != whole and last is not None:
            self._pay("CIL", (exact - whole) * last * old / new, name, symbol, "Cash in lieu")

    def _auction(self, day: MarketDay, kind: str) -> None:
        wanted = "opg" if kind == "open" else "cls"
        for order in self._due({wanted}):
            bar = day.bars.get(order.symbol)
            if bar is None:
                continue
            base = bar.open if kind == "open" else bar.close
            left = self._left(order.symbol, kind, bar.volume, self.rules.auction_participation)
            self._fill(order, min(order.rest, left), base, bar, kind)
        for symbol, bar in day.bars.items():
            self.book.last[symbol] = bar.open if kind == "open" else bar.close
        ends = {"opg"} if kind == "open" else {"cls", "day"}
        for order in list(self._open.values()):
            if order.time_in_force in ends and self._is_due(order, day):
                self._end(order, "expired")
        if kind == "close":
            self.book.closed = day.session.day.isoformat()
            self.book.last_equity = self.equity

    def _slice(self, day: MarketDay, moment: datetime) -> None:
        hours = day.session
        for order in self._due({"day", "gtc"}):
            bar = day.bars.get(order.symbol)
            if bar is None or datetime.fromisoformat(order.submitted_at) > moment - SLICE:
                continue
            minutes = int((hours.closes - hours.opens).total_seconds() // 60)
            path = _path(bar, minutes, self.seed, order.symbol, hours.day)
            end = int((moment - hours.opens).total_seconds() // 60)
            begin = end - int(SLICE.total_seconds() // 60)
            share = float(volume_share(minutes)[begin:end].sum())
            key = f"slice {end}"
            left = self._left(order.symbol, key, bar.volume, self.rules.participation * share)
            self._fill_within(order, path[begin : end + 1], left, bar, key)

    def _fill_within(
        self,
        order: PaperOrder,
        prices: NDArray[np.float64],
        left: Decimal,
        bar: DayBar,
        key: str,
    ) -> None:
        """Fill an order in one slice as far as its limit and stop allow."""
        if order.stop_price is not None and not order.triggered:
            reached = prices.max() if order.side == "buy" else -prices.min()
            if reached < float(order.stop_price) * order.signed:
                return
            order.triggered = True
        count = min(order.rest, left)
        base = _decimal(float(prices.mean()))
        if order.limit_price is None:
            self._fill(order, count, base, bar, key, spread=True)
            return
        cost = self._cost(count, bar, spread=True)
        price = base * (1 + order.signed * cost)
        best = _decimal(float(prices.min() if order.side == "buy" else prices.max()))
        if (order.limit_price - price) * order.signed >= 0:
            self._fill(order, count, base, bar, key, spread=True)
        elif (order.limit_price - best) * order.signed >= 0:
            self._fill_at(order, count, order.limit_price, key)

    # Filling and paying.

    def _fill(
        self,
        order: PaperOrder,
        count: Decimal,
        base: Decimal,
        bar: DayBar,
        key: str,
        *,
        spread: bool = False,
    ) -> None:
        price = base * (1 + order.signed * self._cost(count, bar, spread=spread))
        price = max(price.quantize(_UNIT, rounding=ROUND_HALF_EVEN), _UNIT)
        if order.limit_price is not None and (order.limit_price - price) * order.signed < 0:
            if (order.limit_price - base) * order.signed < 0:
                return
            price = order.limit_price
        self._fill_at(order, count, price, key)

    def _fill_at(self, order: PaperOrder, count: Decimal, price: Decimal, key: str) -> None:
        if count <= 0:
            return
        self._used[order.symbol, key] = self._used.get((order.symbol, key), _ZERO) + count
        held = self.book.positions.get(order.symbol, _ZERO)
        self.book.cash -= order.signed * (count * price).quantize(_UNIT, rounding=ROUND_HALF_EVEN)
        cost = self.book.costs.get(order.symbol, _ZERO)
        if held * order.signed >= 0:
            cost += order.signed * count * price
        elif held:
            cost *= 1 - min(count / abs(held), Decimal(1))
        self._set_position(order.symbol, held + order.signed * count)
        if order.symbol in self.book.positions:
            self.book.costs[order.symbol] = cost
        order.filled_qty += count
        order.filled_value += count * price
        order.updated_at = self.book.moment
        whole = order.rest == 0
        if whole:
            order.filled_at = self.book.moment
        if _is_open(order):
            order.status = "filled" if whole else "partially_filled"
            if whole:
                self._open.pop(order.id, None)
        self._dirty[order.id] = order
        self.activities.append(
            {
                "activity_type": "FILL",
                "id": self._activity_id(),
                "transaction_time": _rfc(self.book.moment),
                "type": "fill" if whole else "partial_fill",
                "price": _text(price),
                "qty": _text(count),
                "side": order.side,
                "symbol": order.symbol,
                "leaves_qty": _text(order.rest),
                "cum_qty": _text(order.filled_qty),
                "order_id": order.id,
                "order_status": order.status,
            }
        )
        commission = min(
            count * self.rules.commission_per_share, count * price * self.rules.max_commission
        )
        day = self.now.astimezone(EASTERN).date()
        self._pay("FEE", -commission, day, order.symbol, "Commission", "COMMISSION")

    def _pay(
        self, kind: str, amount: Decimal, day: date, symbol: str, text: str, sub_type: str = ""
    ) -> None:
        amount = amount.quantize(_CENT, rounding=ROUND_HALF_EVEN)
        if not amount:
            return
        self.book.cash += amount
        self.activities.append(
            {
                "activity_type": kind,
                "activity_sub_type": sub_type,
                "id": self._activity_id(),
                "date": day.isoformat(),
                "created_at": _rfc(self.book.moment),
                "net_amount": _text(amount),
                "description": text,
                "symbol": symbol or None,
                "status": "executed",
            }
        )

    def _cost(self, count: Decimal, bar: DayBar, *, spread: bool) -> Decimal:
        share = float(count) / bar.volume if bar.volume else 0.0
        volatility = math.log(float(bar.high / bar.low)) / (2.0 * math.sqrt(math.log(2.0)))
        cost = self.rules.impact * volatility * math.sqrt(share)
        return _decimal(cost + (self.rules.half_spread if spread else 0.0))

    def _left(self, symbol: str, key: str, volume: int, share: float) -> Decimal:
        whole = Decimal(math.floor(volume * share))
        return max(whole - self._used.get((symbol, key), _ZERO), _ZERO)

    def _due(self, kinds: set[str]) -> list[PaperOrder]:
        """Return open orders of these kinds that may trade now, oldest first."""
        late = list(self._late.values())
        today = self.now.astimezone(EASTERN).date()
        return [
            order
            for order in [*self._open.values(), *late]
            if order.time_in_force in kinds and order.rest > 0 and self._session_of(order) <= today
        ]

    def _is_due(self, order: PaperOrder, day: MarketDay) -> bool:
        return self._session_of(order) <= day.session.day

    def _session_of(self, order: PaperOrder) -> date:
        """Return the session that an order is for: the one at hand, or the next after its close."""
        sent = datetime.fromisoformat(order.submitted_at)
        return _first_session(self.market, tuple(self._sessions), sent, order.time_in_force)

    # Accepting.

    def _read(self, request: dict[str, Any]) -> PaperOrder:
        symbol = str(request.get("symbol") or "")
        if symbol not in self.market.symbols:
            raise Refused(422, 42210000, f'asset "{symbol}" not found')
        if request.get("notional") is not None:
            raise Refused(422, 42210000, "this broker takes qty, not notional")
        choices = {
            "side": ("buy", "sell"),
            "type": ("market", "limit", "stop", "stop_limit"),
            "time_in_force": ("day", "gtc", "opg", "cls"),
        }
        for name, known in choices.items():
            if request.get(name) not in known:
                raise Refused(
                    422,
                    40010001,
                    f"invalid {name} {request.get(name)!r}: this broker takes {', '.join(known)}",
                )
        qty, limit, stop = (_number(request, name) for name in ("qty", "limit_price", "stop_price"))
        if qty is None or qty <= 0 or qty != qty.quantize(_SHARE):
            raise Refused(422, 40010001, "qty must be > 0 with at most 6 decimals")
        kind = str(request["type"])
        if (limit is not None) != ("limit" in kind) or (stop is not None) != ("stop" in kind):
            raise Refused(422, 40010001, f"{kind} orders need exactly their own prices")
        for price in (limit, stop):
            if price is not None and (price <= 0 or price % (_CENT if price >= 1 else _UNIT)):
                raise Refused(
                    422,
                    42210000,
                    f"invalid price {price}: sub-penny increment does not fulfill minimum pricing "
                    "criteria",
                )
        client_id = str(request.get("client_order_id") or self._new_id())
        if len(client_id) > 48:
            raise Refused(422, 40010001, "client_order_id must be no more than 48 characters")
        if client_id in self._by_client:
            raise Refused(422, 40010001, "client_order_id must be unique")
        self._check_window(str(request["time_in_force"]))
        return PaperOrder(
            id=self._new_id(),
            client_order_id=client_id,
            symbol=symbol,
            side=str(request["side"]),
            qty=qty,
            type=kind,
            time_in_force=str(request["time_in_force"]),
            limit_price=limit,
            stop_price=stop,
            submitted_at=self.book.moment,
            updated_at=self.book.moment,
        )

    def _check_window(self, time_in_force: str) -> None:
        local = self.now.astimezone(EASTERN)
        day = self.market.days.get(local.date())
        if day is None or local.time() >= time(19):
            return
        last = {
            "cls": day.session.closes - timedelta(minutes=10),
            "opg": day.session.opens - timedelta(minutes=2),
        }.get(time_in_force)
        if last is not None and self.now >= last:
            raise Refused(
                422,
                42210000,
                f"{time_in_force} orders are not accepted after "
                f"{last.astimezone(EASTERN):%H:%M} until 19:00 New York time",
            )

    def _check_account(self, order: PaperOrder) -> None:
        held = self.book.positions.get(order.symbol, _ZERO)
        same = [one for one in self._open.values() if one.symbol == order.symbol]
        opposite = [one for one in same if one.side != order.side]
        if opposite:
            raise Refused(
                403,
                40310000,
                "potential wash trade detected. opposite side order "
                f"{opposite[0].id} exists for {order.symbol}",
            )
        if held * order.signed < 0:
            free = abs(held) - sum((one.rest for one in same if one.signed * held < 0), _ZERO)
            if order.qty > free:
                raise Refused(
                    403,
                    40310000,
                    f"insufficient qty available for order (requested: {_text(order.qty)}, "
                    f"available: {_text(free)})",
                )
            return
        if order.side == "sell":
            if order.symbol in self.rules.hard_to_borrow:
                raise Refused(403, 40310000, f'asset "{order.symbol}" cannot be sold short')
            if order.qty % 1:
                raise Refused(422, 42210000, "fractional orders cannot be sold short")
        if order.qty * self._reference(order) > self.buying_power:
            raise Refused(403, 40310000, "insufficient buying power")

    def _reference(self, order: PaperOrder) -> Decimal:
        """Return the price that an order is counted at; short sales as Alpaca counts them."""
        last = self.book.last.get(order.symbol)
        if last is None:
            last = self._first_price(order.symbol)
        if order.side == "sell" and not self.book.positions.get(order.symbol, _ZERO) > 0:
            return max(order.limit_price or _ZERO, last * Decimal("1.03"))
        return order.limit_price or last

    def _first_price(self, symbol: str) -> Decimal:
        for day in self._sessions:
            bar = self.market.days[day].bars.get(symbol)
            if bar is not None:
                return bar.open
        return _ZERO

    # Keeping.

    def _values(self) -> Iterator[Decimal]:
        for symbol, held in self.book.positions.items():
            yield held * self.price_of(symbol)

    def price_of(self, symbol: str) -> Decimal:
        """Return the price that a position is valued at: of the last auction."""
        last = self.book.last.get(symbol)
        return self._first_price(symbol) if last is None else last

    def _set_position(self, symbol: str, held: Decimal) -> None:
        if held:
            self.book.positions[symbol] = held
        else:
            self.book.positions.pop(symbol, None)
            self.book.costs.pop(symbol, None)

    def _end(self, order: PaperOrder, status: str) -> None:
        order.status = status
        order.updated_at = self.book.moment
        if status == "canceled":
            order.canceled_at = self.book.moment
        else:
            order.expired_at = self.book.moment
        self._open.pop(order.id, None)
        self._dirty[order.id] = order

    def _new_id(self) -> str:
        self.book.number += 1
        text = f"{self.account_number}|{self.book.number}"
        return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))

    def _activity_id(self) -> str:
        return f"{_stamp(self.book.moment)}::{self._new_id()}"

    def changes(self) -> dict[str, Any]:
        """Return what `save` would save, as plain values; do not change them."""
        with self.lock:
            if self._changes is None:
                self._changes = {
                    "book": _plain(self.book.__dict__),
                    "orders": [_plain(order.__dict__) for order in self._dirty.values()],
                    "activities": self.activities[self._kept :],
                    "first": self._kept,
                }
            return self._changes

    def save(self) -> None:
        """Save what has changed."""
        with self.lock:
            if self._state.keeps:
                self._state.save(**self.changes())
            self._dirty.clear()
            self._kept = len(self.activities)
            self._changes = None

    def _save(self) -> None:
        self._changes = None
        if not self._hold:
            self.save()


def _is_open(order: PaperOrder) -> bool:
    return order.status in ("accepted", "partially_filled")


def _first_session(
    market: MarketDays, days: tuple[date, ...], sent: datetime, time_in_force: str
) -> date:
    """Return the first session whose auction or close lies after `sent`."""
    place = bisect_right(
        days,
        sent,
        key=lambda day: (
            market.days[day].session.opens
            if time_in_force == "opg"
            else market.days[day].session.closes
        ),
    )
    return days[place] if place < len(days) else date.max


@lru_cache(maxsize=1024)
def _path(bar: DayBar, minutes: int, seed: int, symbol: str, day: date) -> NDArray[np.float64]:
    return price_path(bar, minutes, seed=seed, symbol=symbol, day=day)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def _number(request: dict[str, Any], name: str) -> Decimal | None:
    value = request.get(name)
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        raise Refused(422, 40010001, f"{name} {value!r} is not a number") from None
    if not number.is_finite():
        raise Refused(422, 40010001, f"{name} {value!r} is not a number")
    return number


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"


@lru_cache(maxsize=16)
def _stamp(moment: str) -> str:
    """Return what the id of an activity begins with: of hundreds at a close it is the same."""
    return f"{datetime.fromisoformat(moment).astimezone(EASTERN):%Y%m%d%H%M%S}000"


@lru_cache(maxsize=16)
def _rfc(moment: str) -> str:
    return moment.replace("+00:00", "Z")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain_value(one) for key, one in value.items()}
    return value


def _order_from(body: dict[str, Any]) -> PaperOrder:
    for name in ("qty", "filled_qty", "filled_value", "limit_price", "stop_price"):
        if body[name] is not None:
            body[name] = Decimal(body[name])
    return PaperOrder(**body)


def _book_from(body: dict[str, Any]) -> Book:
    for name in ("cash", "last_equity"):
        body[name] = Decimal(body[name])
    for name in ("positions", "costs", "last"):
        body[name] = {symbol: Decimal(value) for symbol, value in body[name].items()}
    body["due"] = [tuple(one) for one in body["due"]]
    return Book(**body)
