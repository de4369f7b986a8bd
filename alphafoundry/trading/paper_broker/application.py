"""The paper broker's web application: Alpaca's paths and JSON, as plain ASGI."""

from __future__ import annotations

import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import orjson

from alphafoundry.clock import EASTERN
from alphafoundry.trading.broker_client import InProcess
from alphafoundry.trading.paper_broker.broker import PaperBroker, PaperOrder, Refused
from alphafoundry.trading.paper_broker.intraday import LABEL

Message = MutableMapping[str, Any]
Answer = tuple[int, Any]
Query = dict[str, str]

MAX_BODY_BYTES = 100_000
_HERE = ("127.0.0.1", "localhost", "::1", "paper")
_ZERO = Decimal(0)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class AnswerLost(Exception):
    """The connection is to be closed without an answer."""


class PaperApplication:
    """Answers HTTP requests for one broker.

    It speaks to this machine alone: another `Host`, and an `Origin` that is not its own (a page in
    a browser), are refused. `POST /foundry/advance {"now": "2024-03-08T20:55:00Z"}` moves time.
    """

    def __init__(self, broker: PaperBroker) -> None:
        self.broker = broker

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                done = message["type"].removeprefix("lifespan.")
                await send({"type": f"lifespan.{done}.complete"})
                if done == "shutdown":
                    return
        if scope["type"] != "http":
            return
        body = bytearray()
        more = True
        while more and len(body) <= MAX_BODY_BYTES:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            status, content = self._guarded(scope, bytes(body))
        except AnswerLost:
            # Without an answer the server closes the connection, or says 500 for itself.
            return
        payload = b"" if content is None else orjson.dumps(content)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(payload)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": payload})

    def _guarded(self, scope: MutableMapping[str, Any], body: bytes) -> Answer:
        hosts, origins = (_headers(scope, name) for name in (b"host", b"origin"))
        if len(hosts) != 1 or not _is_here(hosts[0]):
            return 421, _told(42110000, f"this broker does not answer for the host {hosts}")
        if any(one != f"http://{hosts[0]}" for one in origins):
            return 403, _told(40310000, "this broker takes no requests of other sites' pages")
        if len(body) > MAX_BODY_BYTES:
            return 413, _told(41310000, f"at most {MAX_BODY_BYTES} bytes")
        asked = scope["query_string"].decode("latin-1")
        query = dict(parse_qsl(asked)) if asked else {}
        try:
            with self.broker.lock:
                return self._route(scope["method"], scope["path"], query, body)
        except Refused as problem:
            return problem.status, _told(problem.code, problem.message)

    def _route(self, method: str, path: str, query: Query, body: bytes) -> Answer:
        if method == "POST":
            request = _json(body)
            if path == "/v2/orders":
                return self._post_order(request)
            if path == "/foundry/advance":
                self.broker.advance(_moment(request.get("now"), "now"))
                return 200, {"now": self.broker.now.isoformat()}
        elif method == "DELETE" and path.startswith("/v2/orders/"):
            self.broker.cancel(unquote(path.removeprefix("/v2/orders/")))
            return 204, None
        elif method == "DELETE" and path == "/v2/orders":
            return 207, [self._cancelled(one) for one in self._orders({"status": "open"})]
        elif method == "GET":
            return self._get(path, query)
        known = path.startswith(("/v2/", "/foundry/"))
        return (405, _told(40510000, f"{method} is not allowed")) if known else _not_found(path)

    def _get(self, path: str, query: Query) -> Answer:
        simple: dict[str, Callable[[], Any]] = {
            "/v2/account": self._account,
            "/v2/positions": self._positions,
            "/v2/orders": lambda: [order_json(one) for one in self._orders(query)],
            "/v2/clock": self._clock,
            "/v2/calendar": lambda: self._calendar(query),
            "/v2/account/activities": lambda: self._activities(query, query.get("activity_types")),
        }
        if path in simple:
            return 200, simple[path]()
        if path == "/v2/orders:by_client_order_id":
            return _found(self.broker.by_client_id(query.get("client_order_id", "")))
        parent, _, name = path.rpartition("/")
        return self._get_one(parent, unquote(name), query) or _not_found(path)

    def _get_one(self, parent: str, name: str, query: Query) -> Answer | None:
        if parent == "/v2/orders":
            return _found(self.broker.orders.get(name))
        if parent == "/v2/positions" and name in self.broker.book.positions:
            return 200, self._position(name, self.broker.open_qty())
        if parent == "/v2/account/activities":
            return 200, self._activities(query, name)
        if parent == "/v2/assets" and name in self.broker.market.symbols:
            return 200, self._asset(name)
        return None

    def _post_order(self, request: dict[str, Any]) -> Answer:
        broker = self.broker
        client_id = str(request.get("client_order_id") or "")
        fault, arrives = "", True
        if client_id and broker.by_client_id(client_id) is None:
            attempt = broker.attempt(client_id)
            fault, arrives = broker.faults.of_order(broker.seed, client_id, attempt)
        if fault == "too_many":
            return 429, _told(42910000, "too many requests.")
        answer = order_json(broker.place(request)) if arrives else None
        if fault == "answer_lost":
            raise AnswerLost
        if fault == "gateway_timeout":
            return 504, _told(50410000, "upstream request timeout")
        return 200, answer

    def _cancelled(self, order: PaperOrder) -> dict[str, Any]:
        self.broker.cancel(order.id)
        return {"id": order.id, "status": 200, "body": order_json(order)}

    def _orders(self, query: Query) -> list[PaperOrder]:
        wanted = query.get("status", "open")
        after = _moment(query["after"], "after") if "after" in query else _EARLIEST
        if wanted == "open":
            found = [one for one in self.broker.open_orders if _sent(one) > after]
        else:
            found = self.broker.orders_after(after)
        if wanted == "closed":
            still = {one.id for one in self.broker.open_orders}
            found = [one for one in found if one.id not in still]
        if "until" in query:
            until = _moment(query["until"], "until").isoformat()
            found = [one for one in found if one.submitted_at < until]
        if "side" in query:
            found = [one for one in found if one.side == query["side"]]
        if "symbols" in query:
            found = [one for one in found if one.symbol in query["symbols"].split(",")]
        if query.get("direction") != "asc":
            found = found[::-1]
        return found[: _whole(query, "limit", 50, 500)]

    def _activities(self, query: Query, kinds: str | None) -> list[dict[str, Any]]:
        wanted = None if kinds is None else set(kinds.split(","))
        listed = self.broker.activities
        if "after" in query:
            listed = listed[
                bisect_right(listed, _moment(query["after"], "after"), key=_moment_of) :
            ]
        if "until" in query:
            listed = listed[: bisect_left(listed, _moment(query["until"], "until"), key=_moment_of)]
        listed = [one for one in listed if wanted is None or one["activity_type"] in wanted]
        if "date" in query:
            listed = [one for one in listed if _when(one).startswith(query["date"])]
        if query.get("direction") != "asc":
            listed.reverse()
        token = query.get("page_token")
        if token is not None:
            place = next((n for n, one in enumerate(listed) if one["id"] == token), len(listed))
            listed = listed[place + 1 :]
        page = listed[: _whole(query, "page_size", 100, 100)]
        faults = self.broker.faults
        last = page[-1:]
        if faults.duplicate_fills:
            page = [one for one in page[:-1] for _ in range(2)] + last
        if faults.reordered_fills:
            # The last stays in its place: it is the token of the next page.
            page = [*reversed(page[:-1]), *last]
        account = _id_of(self.broker.account_number)
        return [{**one, "account_id": account} for one in page]

    def _account(self) -> dict[str, Any]:
        broker = self.broker
        long, short = broker.long_value, broker.short_value
        equity = broker.book.cash + long + short
        numbers = {
            "cash": broker.book.cash,
            "equity": equity,
            "portfolio_value": equity,
            "last_equity": broker.book.last_equity,
            "buying_power": max(broker.buying_power, _ZERO),
            "regt_buying_power": max(broker.buying_power, _ZERO),
            "long_market_value": long,
            "short_market_value": short,
            "initial_margin": (long - short) / 2,
            "maintenance_margin": (long - short) * Decimal("0.3"),
            "accrued_fees": _ZERO,
        }
        return {
            "id": _id_of(broker.account_number),
            "account_number": broker.account_number,
            "status": "ACTIVE",
            "currency": "USD",
            **{name: f"{value:f}" for name, value in numbers.items()},
            "multiplier": str(broker.rules.multiplier),
            "shorting_enabled": True,
            "trading_blocked": False,
            "transfers_blocked": False,
            "account_blocked": False,
            "trade_suspended_by_user": False,
            "created_at": "2000-01-01T00:00:00Z",
            "foundry_label": f"{broker.market.label}; {LABEL}",
        }

    def _positions(self) -> list[dict[str, Any]]:
        closing = self.broker.open_qty()
        return [self._position(name, closing) for name in sorted(self.broker.book.positions)]

    def _position(self, symbol: str, closing: Mapping[str, Decimal]) -> dict[str, Any]:
        broker = self.broker
        held = broker.book.positions[symbol]
        price = broker.price_of(symbol)
        cost = broker.book.costs.get(symbol, _ZERO)
        value = held * price
        gain = value - cost
        return {
            "asset_id": _id_of(symbol),
            "symbol": symbol,
            "exchange": "NYSE",
            "asset_class": "us_equity",
            "asset_marginable": True,
            "qty": f"{held:f}",
            "qty_available": f"{abs(held) - closing.get(symbol, _ZERO):f}",
            "side": "long" if held > 0 else "short",
            "avg_entry_price": f"{abs(cost / held):f}",
            "market_value": f"{value:f}",
            "cost_basis": f"{cost:f}",
            "unrealized_pl": f"{gain:f}",
            "unrealized_plpc": f"{gain / abs(cost) if cost else _ZERO:f}",
            "unrealized_intraday_pl": "0",
            "unrealized_intraday_plpc": "0",
            "current_price": f"{price:f}",
            "lastday_price": f"{price:f}",
            "change_today": "0",
        }

    def _clock(self) -> dict[str, Any]:
        now = self.broker.now
        hours = [day.session for day in self.broker.market.days.values()]
        opens = min((one.opens for one in hours if one.opens > now), default=now)
        closes = min((one.closes for one in hours if one.closes > now), default=now)
        return {
            "timestamp": now.isoformat(),
            "is_open": any(one.opens <= now < one.closes for one in hours),
            "next_open": opens.astimezone(EASTERN).isoformat(),
            "next_close": closes.astimezone(EASTERN).isoformat(),
        }

    def _calendar(self, query: Query) -> list[dict[str, str]]:
        start, end = query.get("start", ""), query.get("end", "9999")
        return [
            {
                "date": day.isoformat(),
                "open": f"{one.session.opens.astimezone(EASTERN):%H:%M}",
                "close": f"{one.session.closes.astimezone(EASTERN):%H:%M}",
            }
            for day, one in sorted(self.broker.market.days.items())
            if start <= day.isoformat() <= end
        ]

    def _asset(self, symbol: str) -> dict[str, Any]:
        shortable = symbol not in self.broker.rules.hard_to_borrow
        return {
            "id": _id_of(symbol),
            "class": "us_equity",
            "exchange": "NYSE",
            "symbol": symbol,
            "name": symbol,
            "status": "active",
            "tradable": True,
            "marginable": True,
            "shortable": shortable,
            "easy_to_borrow": shortable,
            "fractionable": True,
            "maintenance_margin_requirement": 30,
        }


def in_process(broker: PaperBroker) -> httpx.BaseTransport:
    """Return the transport of a `BrokerClient` that asks the broker without a network."""
    return InProcess(PaperApplication(broker))


def order_json(order: PaperOrder) -> dict[str, Any]:
    """Return an order as Alpaca writes it."""
    average = order.filled_value / order.filled_qty if order.filled_qty else None
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": _utc(order.submitted_at),
        "updated_at": _utc(order.updated_at),
        "submitted_at": _utc(order.submitted_at),
        "filled_at": _utc(order.filled_at),
        "expired_at": _utc(order.expired_at),
        "canceled_at": _utc(order.canceled_at),
        "failed_at": None,
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": _id_of(order.symbol),
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": None,
        "qty": f"{order.qty:f}",
        "filled_qty": f"{order.filled_qty:f}",
        "filled_avg_price": None if average is None else f"{average:f}",
        "order_class": "",
        "order_type": order.type,
        "type": order.type,
        "side": order.side,
        "time_in_force": order.time_in_force,
        "limit_price": None if order.limit_price is None else f"{order.limit_price:f}",
        "stop_price": None if order.stop_price is None else f"{order.stop_price:f}",
        "status": order.status,
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
    }


def _headers(scope: Message, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted]


@lru_cache(maxsize=64)
def _is_here(host: str) -> bool:
    return urlsplit(f"//{host}").hostname in _HERE


def _found(order: PaperOrder | None) -> Answer:
    if order is None:
        return 404, _told(40410000, "order not found")
    return 200, order_json(order)


def _utc(moment: str | None) -> str | None:
    return None if moment is None else moment.replace("+00:00", "Z")


@lru_cache(maxsize=65536)
def _id_of(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _when(activity: dict[str, Any]) -> str:
    return str(activity.get("transaction_time") or activity["created_at"])


def _moment_of(activity: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(_when(activity))


def _sent(order: PaperOrder) -> datetime:
    return datetime.fromisoformat(order.submitted_at)


def _moment(value: Any, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise Refused(422, 40010001, f"{name} {value!r} is not a time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _whole(query: Query, name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise Refused(422, 40010001, f"{name} must be 1 to {most}")
    return int(text)


def _json(body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise Refused(400, 40010000, "request body format is invalid")
    return request


def _told(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


def _not_found(path: str) -> Answer:
    return 404, _told(40410000, f"{path} not found")
