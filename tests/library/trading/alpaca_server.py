"""A server on a socket that speaks Alpaca's JSON, faults included; it shares no code with ours.

Numbers are strings, or numbers where that is asked for; times have nine digits; fields that nobody
knows are there; an order that is refused says why with Alpaca's codes.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
KEY, SECRET = "PK0KNOWN", "hush-hush-0123456789"
NUMBER = "PA3TEST00001"
ENDED = ("filled", "canceled", "expired", "rejected", "replaced")


@dataclass
class Alpaca:
    """One account, and what goes wrong with it.

    Attributes
    ----------
    now : the server's time
    hours : day to open and close at New York; a day that is not there is closed
    prices : (day, symbol) to what an order fills at; the price of another day is 10
    bars : symbol to daily bars as the data API writes them
    answers : of the next POSTs, in order: "lost", "504 arrived", "504", "429"; "" is well
    down : nothing is answered
    numbers : amounts of account and positions are numbers
    pieces : fills that an order comes in
    lag : seconds by which positions follow fills
    twice, shuffled : activities are listed twice, out of order
    fills_cancelled : an order whose end was asked for is filled before it ends
    per_minute : requests that it answers
    before_answer : called with an accepted order before it is answered
    """

    now: Callable[[], datetime]
    hours: dict[date, tuple[str, str]]
    prices: Mapping[tuple[date, str], Decimal] = field(default_factory=dict)
    bars: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    cash: Decimal = Decimal(100_000)
    answers: deque[str] = field(default_factory=deque)
    down: bool = False
    blocked: bool = False
    numbers: bool = False
    pieces: int = 1
    lag: float = 0.0
    twice: bool = False
    shuffled: bool = False
    fills_cancelled: bool = False
    per_minute: int = 10_000
    before_answer: Callable[[dict[str, Any]], None] = lambda order: None
    address: str = ""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)
    foreign: dict[str, Decimal] = field(default_factory=dict)
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def posts(self) -> list[str]:
        """Return the paths of the orders that were asked for."""
        return [path for _, method, path in self.asked if method == "POST"]

    # What time does.

    def settle(self) -> None:
        """Fill what is due by now."""
        for order in list(self.orders.values()):
            if order["status"] in ENDED:
                continue
            day = order["_day"]
            open_, close = (self._moment(day, one) for one in self.hours[day])
            at_close = order["time_in_force"] == "cls"
            due = close if at_close else max(open_, order["_at"])
            if order["status"] == "pending_cancel":
                if self.fills_cancelled:
                    self._fill(order, self.now())
                order["status"] = "filled" if self._rest(order) == 0 else "canceled"
            elif self.now() >= due:
                self._fill(order, due)

    def _moment(self, day: date, clock: str) -> datetime:
        hour, minute = map(int, clock.split(":"))
        return datetime(day.year, day.month, day.day, hour, minute, tzinfo=EASTERN).astimezone(UTC)

    def _rest(self, order: dict[str, Any]) -> Decimal:
        return Decimal(order["qty"]) - Decimal(order["filled_qty"])

    def _fill(self, order: dict[str, Any], at: datetime) -> None:
        price = self.price(order["_day"], order["symbol"])
        rest = self._rest(order)
        piece = (rest / self.pieces).to_integral_value(rounding="ROUND_UP")
        while self._rest(order) > 0:
            quantity = min(piece, self._rest(order))
            done = Decimal(order["filled_qty"]) + quantity
            order |= {"filled_qty": f"{done:f}", "filled_avg_price": f"{price:f}"}
            bought = order["side"] == "buy"
            self.cash += -quantity * price if bought else quantity * price
            self.activities.append(
                {
                    "activity_type": "FILL",
                    "id": f"{at:%Y%m%d%H%M%S}{next(self._numbers):03d}::{uuid.uuid4()}",
                    "transaction_time": _stamp(at),
                    "type": "partial_fill" if self._rest(order) else "fill",
                    "price": f"{price:f}",
                    "qty": f"{quantity:f}",
                    # Short sales have been seen so.
                    "side": "buy" if bought else ("sell_short" if len(self.asked) % 2 else "sell"),
                    "symbol": order["symbol"],
                    "leaves_qty": f"{self._rest(order):f}",
                    "cum_qty": order["filled_qty"],
                    "order_id": order["id"],
                    "order_status": "filled",
                    "account_id": str(uuid.uuid5(uuid.NAMESPACE_OID, NUMBER)),
                    "_booked": self.now(),
                }
            )
        order |= {"status": "filled", "filled_at": _stamp(at)}

    def price(self, day: date, symbol: str) -> Decimal:
        """Return what an order of a day fills at."""
        return self.prices.get((day, symbol), Decimal(10))

    def held(self) -> dict[str, Decimal]:
        """Return the shares that `/v2/positions` tells."""
        found = dict(self.foreign)
        for one in self.activities:
            if self.now() - one["_booked"] < timedelta(seconds=self.lag):
                continue
            signed = Decimal(one["qty"]) * (1 if one["side"] == "buy" else -1)
            found[one["symbol"]] = found.get(one["symbol"], Decimal(0)) + signed
        return {name: shares for name, shares in found.items() if shares}

    # What it answers.

    def answer(
        self, method: str, path: str, query: dict[str, str], body: Any
    ) -> tuple[int, Any] | None:
        """Return status and JSON; None closes the connection without an answer."""
        if method == "POST" and path == "/v2/orders":
            return self._post(body)
        if method == "DELETE" and path.startswith("/v2/orders/"):
            return self._cancel(path.rpartition("/")[2])
        if path == "/v2/orders":
            return 200, self._listed(query)
        if path == "/v2/orders:by_client_order_id":
            wanted = query["client_order_id"]
            found = [o for o in self.orders.values() if o["client_order_id"] == wanted]
            return (200, found[0]) if found else _no(404, 40410000, "order not found")
        if path.startswith("/v2/orders/"):
            one = self.orders.get(path.rpartition("/")[2])
            return (200, one) if one else _no(404, 40410000, "order not found")
        if path == "/v2/positions":
            return 200, [self._position(*one) for one in self.held().items()]
        if path == "/v2/account":
            return 200, self._account()
        if path == "/v2/account/activities":
            return 200, self._activities(query)
        if path == "/v2/clock":
            now = self.now().astimezone(EASTERN)
            later = (now + timedelta(days=1)).isoformat()
            told = {"is_open": True, "next_open": later, "next_close": later}
            return 200, {"timestamp": now.isoformat(), **told}
        if path == "/v2/calendar":
            return 200, [
                {"date": str(day), "open": one, "close": other, "session_open": "0400"}
                for day, (one, other) in self.hours.items()
                if query["start"] <= str(day) <= query["end"]
            ]
        if path == "/v2/stocks/bars":
            return 200, self._bars(query)
        return _no(404, 40410000, f"{path} not found")

    def _post(self, body: dict[str, Any]) -> tuple[int, Any] | None:
        fault = self.answers.popleft() if self.answers else ""
        if fault == "429":
            return _no(429, 42910000, "rate limit exceeded")
        if fault == "504":
            return _no(504, 50410000, "upstream request timeout")
        client_id = body.get("client_order_id", "")
        if not client_id or len(client_id) > 48:
            return _no(422, 40010001, "client_order_id must be no more than 48 characters")
        if any(one["client_order_id"] == client_id for one in self.orders.values()):
            return _no(422, 40010001, "client_order_id must be unique")
        now = self.now()
        day = now.astimezone(EASTERN).date()
        if day not in self.hours:
            day = min((one for one in self.hours if one > day), default=day)
        cut = self._moment(day, self.hours[day][1]) - timedelta(minutes=10)
        if body["time_in_force"] == "cls" and now >= cut:
            return _no(422, 42210000, "cls orders are not accepted after 15:50")
        quantity = Decimal(body["qty"])
        cost = quantity * self.price(day, body["symbol"]) * Decimal("1.03")
        if body["side"] == "sell" and self.held().get(body["symbol"], 0) >= quantity:
            cost = Decimal(0)
        if cost > 2 * self.cash:
            return _no(403, 40310000, f"insufficient buying power for {SECRET}")
        order = {
            **dict.fromkeys(
                ("expired_at", "canceled_at", "failed_at", "replaced_at", "replaced_by"), None
            ),
            **dict.fromkeys(("replaces", "notional", "legs", "hwm", "trail_price"), None),
            **dict.fromkeys(("filled_at", "filled_avg_price", "trail_percent", "stop_price")),
            "id": str(uuid.uuid4()),
            "client_order_id": client_id,
            "created_at": _stamp(now),
            "updated_at": _stamp(now),
            "submitted_at": _stamp(now),
            "asset_id": str(uuid.uuid5(uuid.NAMESPACE_OID, body["symbol"])),
            "symbol": body["symbol"],
            "asset_class": "us_equity",
            "qty": f"{quantity:f}",
            "filled_qty": "0",
            "order_class": "",
            "order_type": body["type"],
            "type": body["type"],
            "side": body["side"],
            "time_in_force": body["time_in_force"],
            "limit_price": body.get("limit_price"),
            "status": "accepted",
            "extended_hours": False,
            "position_intent": "buy_to_open",
            "commission": "0",
            "_day": day,
            "_at": now,
        }
        self.orders[str(order["id"])] = order
        self.before_answer(order)
        if fault == "504 arrived":
            return _no(504, 50410000, "upstream request timeout")
        return None if fault == "lost" else (200, order)

    def _cancel(self, number: str) -> tuple[int, Any]:
        order = self.orders.get(number)
        if order is None:
            return _no(404, 40410000, "order not found")
        if order["status"] in ENDED:
            return _no(422, 42210000, "order is not cancelable")
        order["status"] = "pending_cancel"
        return 204, None

    def _listed(self, query: dict[str, str]) -> list[dict[str, Any]]:
        found = sorted(self.orders.values(), key=lambda one: one["submitted_at"])
        wanted = query.get("status", "open")
        if wanted != "all":
            found = [one for one in found if (one["status"] in ENDED) == (wanted == "closed")]
        if "after" in query:
            after = datetime.fromisoformat(query["after"])
            found = [one for one in found if one["_at"] > after]
        if query.get("direction") != "asc":
            found.reverse()
        return found[: min(int(query.get("limit", 50)), 500)]

    def _position(self, symbol: str, shares: Decimal) -> dict[str, Any]:
        price = self.price(self.now().astimezone(EASTERN).date(), symbol)
        money = f"{shares * price:f}"
        return {
            "asset_id": str(uuid.uuid5(uuid.NAMESPACE_OID, symbol)),
            "symbol": symbol,
            "exchange": "NYSE",
            "asset_class": "us_equity",
            "asset_marginable": True,
            "qty": f"{shares:f}",
            "qty_available": "0",
            "side": "long" if shares > 0 else "short",
            "avg_entry_price": f"{price:f}",
            "market_value": money,
            "cost_basis": money,
            "unrealized_pl": "0",
            "unrealized_plpc": "0",
            "unrealized_intraday_pl": "0",
            "unrealized_intraday_plpc": "0",
            "current_price": float(price) if self.numbers else f"{price:f}",
            "lastday_price": f"{price:f}",
            "change_today": "0",
        }

    def _account(self) -> dict[str, Any]:
        today = self.now().astimezone(EASTERN).date()
        value = sum(
            (shares * self.price(today, name) for name, shares in self.held().items()), Decimal(0)
        )
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, NUMBER)),
            "account_number": NUMBER,
            "status": "ACTIVE",
            "currency": "USD",
            "cash": float(self.cash) if self.numbers else f"{self.cash:f}",
            "equity": f"{self.cash + value:f}",
            "buying_power": f"{2 * self.cash:f}",
            "trading_blocked": self.blocked,
            "account_blocked": False,
            "shorting_enabled": True,
            "multiplier": "2",
            "nobody_knows": {"this": 1},
        }

    def _activities(self, query: dict[str, str]) -> list[dict[str, Any]]:
        found = sorted(self.activities, key=lambda one: one["transaction_time"])
        if "after" in query:
            after = datetime.fromisoformat(query["after"])
            found = [one for one in found if _time(one["transaction_time"]) > after]
        if "page_token" in query:
            place = [one["id"] for one in found].index(query["page_token"])
            found = found[place + 1 :]
        page = found[: int(query.get("page_size", 100))]
        if self.twice:
            page = [one for one in page[:-1] for _ in range(2)] + page[-1:]
        return [*page[:-1][::-1], *page[-1:]] if self.shuffled else page

    def _bars(self, query: dict[str, str]) -> dict[str, Any]:
        names = query["symbols"].split(",")
        start = int(query.get("page_token", "0"))
        every = [
            (name, bar)
            for name in names
            for bar in self.bars.get(name, [])
            if query["start"] <= bar["t"][:10] < query["end"] and _time(bar["t"]) < self.now()
        ]
        most = int(query["limit"])
        page: dict[str, list[Any]] = {}
        for name, bar in every[start : start + most]:
            page.setdefault(name, []).append(bar)
        more = start + most < len(every)
        return {"bars": page, "next_page_token": str(start + most) if more else None}


@contextmanager
def serving(alpaca: Alpaca, *, port: int = 0) -> Iterator[Alpaca]:
    """Serve an account on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            split = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            with alpaca.lock:
                moment = time.time()
                recent = [at for at, _, _ in alpaca.asked if at > moment - 60]
                alpaca.asked.append((moment, self.command, split.path))
                left = alpaca.per_minute - len(recent) - 1
                keys = tuple(
                    self.headers.get(f"APCA-API-{one}") for one in ("KEY-ID", "SECRET-KEY")
                )
                told: tuple[int, Any] | None
                if alpaca.down:
                    told = None
                elif keys != (KEY, SECRET):
                    told = _no(403, 40310000, f"forbidden: {keys}")
                elif left < 0:
                    told = _no(429, 42910000, "rate limit exceeded")
                else:
                    alpaca.settle()
                    query = dict(parse_qsl(split.query))
                    told = alpaca.answer(self.command, split.path, query, body)
                    alpaca.settle()
            if told is None:
                self.close_connection = True
                return
            status, content = told
            data = b"" if content is None else json.dumps(_public(content)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Ratelimit-Limit", str(alpaca.per_minute))
            self.send_header("X-Ratelimit-Remaining", str(max(left, 0)))
            self.send_header("X-Ratelimit-Reset", str(int(moment) + 60))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _handle

        def log_message(self, *_: object) -> None: ...

    web = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    alpaca.address = f"http://127.0.0.1:{web.server_port}"
    threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield alpaca
    finally:
        web.shutdown()
        web.server_close()


def _public(content: Any) -> Any:
    if isinstance(content, list):
        return [_public(one) for one in content]
    if isinstance(content, dict):
        return {name: one for name, one in content.items() if not name.startswith("_")}
    return content


def _no(status: int, code: int, message: str) -> tuple[int, Any]:
    return status, {"code": code, "message": message}


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}123Z"


def _time(text: str) -> datetime:
    whole, _, digits = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{digits[:6] or '0'}+00:00")
