"""A client of Alpaca's trading API: the paper broker of this project, Alpaca's paper or live one.

It sends each request once, and no more of them than the account may within a minute: one above that
raises `BrokerUnavailable` unsent, and belongs to a later tick. An order whose answer is lost raises
`BrokerUnavailable` with `fate_unknown`; it is settled by its client id, never by a blind second
order.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, unquote

import httpx
import orjson

from alphafoundry.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    ConfigurationError,
    TradingError,
)
from alphafoundry.trading.money import price_units, shares
from alphafoundry.trading.quota import TOO_MANY, Quota

PAPER_URL = "https://paper-api.alpaca.markets"
LIVE_URL = "https://api.alpaca.markets"
REQUESTS_A_MINUTE = 200
"""What Alpaca allows an account."""

ORDER_PAGE = 500
ACTIVITY_PAGE = 100
T = TypeVar("T")

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class BrokerOrder(NamedTuple):
    """An order as the broker tells it; quantities in 1/1,000,000 share.

    status : Alpaca's word, such as "new" or "partially_filled"
    """

    id: str
    client_order_id: str
    symbol: str
    side: str
    quantity: int
    filled: int
    status: str
    order_type: str
    time_in_force: str
    limit_price: int | None
    submitted_at: datetime

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> BrokerOrder:
        """Read Alpaca's JSON; numbers may be text."""
        limit = body.get("limit_price")
        return cls(
            id=str(body["id"]),
            client_order_id=str(body["client_order_id"]),
            symbol=str(body["symbol"]),
            side=_side(str(body["side"])),
            quantity=shares(body.get("qty") or body.get("filled_qty") or 0),
            filled=shares(body.get("filled_qty") or 0),
            status=str(body["status"]),
            order_type=str(body.get("type") or body.get("order_type") or "market"),
            time_in_force=str(body["time_in_force"]),
            limit_price=None if limit is None else price_units(limit),
            submitted_at=_time(body.get("submitted_at") or body["created_at"]),
        )


class BrokerActivity(NamedTuple):
    """Something that moved cash or shares.

    kind : "FILL", or Alpaca's word for another, such as "DIV" or "FEE"
    quantity, price : of a fill; quantity in 1/1,000,000 share
    amount : of another, in 1/10,000 dollar, below 0 where it was taken
    """

    id: str
    kind: str
    sub_type: str
    at: datetime
    symbol: str
    order_id: str
    side: str
    quantity: int
    price: int
    amount: int

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> BrokerActivity:
        """Read Alpaca's JSON; numbers may be text."""
        fill = body["activity_type"] == "FILL"
        net = Decimal(str(body.get("net_amount") or 0)).quantize(Decimal("0.0001"))
        exact = body.get("transaction_time") or body.get("created_at")
        when = exact or f"{body['date']}T00:00:00Z"
        return cls(
            id=str(body["id"]),
            kind=str(body["activity_type"]),
            sub_type=str(body.get("activity_sub_type") or ""),
            at=_time(when),
            symbol=str(body.get("symbol") or ""),
            order_id=str(body.get("order_id") or ""),
            side=_side(str(body["side"])) if fill else "",
            quantity=shares(body["qty"]) if fill else 0,
            price=price_units(body["price"]) if fill else 0,
            amount=int(net * 10_000),
        )


class BrokerPosition(NamedTuple):
    """Shares in 1/1,000,000, below 0 where short, and the price that the broker values them at."""

    quantity: int
    price: int

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> BrokerPosition:
        """Read Alpaca's JSON; numbers may be text."""
        quantity = abs(shares(body["qty"]))
        price = Decimal(str(body["current_price"])).quantize(Decimal("0.000001"))
        short = body.get("side") == "short"
        return cls(-quantity if short else quantity, price_units(price))


@dataclass(frozen=True)
class BrokerAccount:
    """Cash and equity in 1/10,000 dollar, to which they are rounded.

    blocked : the broker lets it send no orders
    """

    number: str
    cash: int
    equity: int
    blocked: bool


class BrokerClient:
    """Alpaca's trading API over one connection; a context manager.

    Parameters
    ----------
    base_url : `PAPER_URL` by default
    key, secret : of the account; "" for the paper broker of this project
    transport : in place of the network, such as `in_process(app)`
    timeout : seconds until an answer must have come
    allow_live : real money may be traded; any address but paper ones and this machine's needs it
    account_number : which account this must be, checked before the first order; needed for live
    per_minute : requests that the account may send; None does not count them, as nothing does
        within this process

    Raises ConfigurationError where a live account is not allowed or not named. Methods raise
    BrokerRefused and BrokerUnavailable.
    """

    def __init__(
        self,
        base_url: str = PAPER_URL,
        *,
        key: str = "",
        secret: str = "",
        transport: httpx.BaseTransport | None = None,
        timeout: float = 10.0,
        allow_live: bool = False,
        account_number: str | None = None,
        per_minute: int | None = REQUESTS_A_MINUTE,
    ) -> None:
        address = httpx.URL(base_url)
        self.live = transport is None and not _is_paper(address)
        if self.live and not (allow_live and account_number):
            raise ConfigurationError(
                f"broker {address.host}: it may trade real money; set allow_live: true and the "
                "account_number that it must be, or use a paper address"
            )
        self._number = account_number
        self._checked = account_number is None
        self._secrets = tuple(filter(None, (key, secret)))
        self._quota = None if transport is not None or per_minute is None else Quota(per_minute)
        self._http = httpx.Client(
            base_url=address,
            transport=transport,
            timeout=timeout,
            follow_redirects=False,
            trust_env=not _is_here(address),
            headers={"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret},
        )
        # Within a process a request is a call: no connection, pool, redirects or proxies.
        self._here = transport if isinstance(transport, InProcess) else None
        self._headers = [(b"host", address.netloc), *self._http.headers.raw]

    def __repr__(self) -> str:
        return f"BrokerClient({str(self._http.base_url)!r}, {'LIVE' if self.live else 'paper'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @property
    def host(self) -> str:
        """Name of the machine that answers."""
        return self._http.base_url.host

    def now(self) -> datetime:
        """Return what time it is at the broker, in UTC."""
        body = self._object(self._send("GET", "/v2/clock"))
        return self._read(lambda: _time(body["timestamp"]))

    def hours(self, day: date) -> tuple[str, str] | None:
        """Return open and close of a day as HH:MM at the exchange, None where it does not trade."""
        listed = self._list(self._send("GET", f"/v2/calendar?start={day}&end={day}"))
        found = [one for one in listed if one.get("date") == day.isoformat()]
        if not found:
            return None
        return self._read(lambda: (str(found[0]["open"]), str(found[0]["close"])))

    def account(self) -> BrokerAccount:
        """Return cash and equity. Raises BrokerError where it is not the account expected."""
        body = self._object(self._send("GET", "/v2/account"))
        number = str(body.get("account_number"))
        if self._number is not None and number != self._number:
            raise BrokerError(
                f"broker {self._http.base_url.host}: this is account {number}, the configuration "
                f"names {self._number}; correct one of them"
            )
        self._checked = True
        stops = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
        blocked = any(body.get(name) for name in stops)
        cash, equity = self._read(
            lambda: tuple(
                int((Decimal(str(body[name])) * 10_000).to_integral_value())
                for name in ("cash", "equity")
            )
        )
        return BrokerAccount(number, cash, equity, blocked)

    def submit(
        self,
        *,
        client_order_id: str,
        symbol: str,
        side: str,
        quantity: str,
        time_in_force: str,
        limit_price: str | None = None,
    ) -> BrokerOrder:
        """Send an order once.

        Raises BrokerUnavailable, with `fate_unknown` where it may have arrived.
        """
        if not self._checked:
            self.account()
        body = {
            "symbol": symbol,
            "qty": quantity,
            "side": side,
            "type": "market" if limit_price is None else "limit",
            "time_in_force": time_in_force,
            "client_order_id": client_order_id,
        }
        if limit_price is not None:
            body["limit_price"] = limit_price
        return self._order(self._send("POST", "/v2/orders", body=body))

    def order(self, order_id: str) -> BrokerOrder | None:
        """Return an order by the broker's id, None where it knows none."""
        return self._found(f"/v2/orders/{quote(order_id, safe='')}")

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """Return an order by our id, None where the broker knows none."""
        query = quote(client_order_id, safe="")
        return self._found(f"/v2/orders:by_client_order_id?client_order_id={query}")

    def open_orders(self) -> list[BrokerOrder]:
        """Return all open orders."""
        return self._orders("open", None)

    def orders_since(self, after: datetime, *, closed: bool = False) -> list[BrokerOrder]:
        """Return the orders that were submitted after a moment, oldest first.

        closed : those alone that are over
        """
        return self._orders("closed" if closed else "all", after)

    def cancel(self, order_id: str) -> bool:
        """Ask for the end of an order; False where the broker says that it cannot end any more."""
        try:
            self._send("DELETE", f"/v2/orders/{quote(order_id, safe='')}")
        except BrokerRefused as problem:
            if problem.status in (404, 422):
                return False
            raise
        return True

    def positions(self) -> dict[str, BrokerPosition]:
        """Return symbol to position."""
        listed = self._list(self._send("GET", "/v2/positions"))
        return {str(one["symbol"]): self._read(partial(BrokerPosition.of, one)) for one in listed}

    def activities(
        self,
        *,
        after: datetime | None = None,
        known: Callable[[list[str]], Container[str]] | None = None,
    ) -> list[BrokerActivity]:
        """Return fills, dividends, fees and the like, oldest first.

        Parameters
        ----------
        after : those of later times only
        known : of some ids, those whose activities are left out without being read
        """
        query = f"/v2/account/activities?direction=asc&page_size={ACTIVITY_PAGE}"
        if after is not None:
            query += f"&after={quote(after.astimezone(UTC).isoformat(), safe='')}"
        token = ""
        told: list[dict[str, Any]] = []
        while True:
            page = self._list(self._send("GET", query + token))
            told += page
            if len(page) < ACTIVITY_PAGE:
                break
            token = f"&page_token={quote(str(page[-1]['id']), safe='')}"

        left_out = known([str(one.get("id")) for one in told]) if known is not None else ()
        return [
            self._read(partial(BrokerActivity.of, one))
            for one in told
            if str(one.get("id")) not in left_out
        ]

    def _orders(self, status: str, after: datetime | None) -> list[BrokerOrder]:
        found: dict[str, BrokerOrder] = {}
        while True:
            query = f"/v2/orders?status={status}&limit={ORDER_PAGE}&direction=asc"
            if after is not None:
                query += f"&after={quote(after.astimezone(UTC).isoformat(), safe='')}"
            page = [
                self._read(partial(BrokerOrder.of, one))
                for one in self._list(self._send("GET", query))
            ]
            fresh = [one for one in page if one.id not in found]
            found.update((one.id, one) for one in fresh)
            if len(page) < ORDER_PAGE or not fresh:
                return list(found.values())
            # `after` is exclusive, and several orders may have come within one moment.
            earlier = {one.submitted_at for one in page if one.submitted_at < page[-1].submitted_at}
            after = max(earlier, default=page[-1].submitted_at)

    def _found(self, path: str) -> BrokerOrder | None:
        try:
            return self._order(self._send("GET", path))
        except BrokerRefused as problem:
            if problem.status == 404:
                return None
            raise

    def _send(self, method: str, path: str, *, body: Any = None) -> _Answer:
        once = method == "POST"
        where = f"{method} {path.partition('?')[0]}"
        wait = 0.0 if self._quota is None else self._quota.take(order=once)
        if wait:
            raise BrokerUnavailable(
                f"{where}: not sent, the account's requests of this minute are used up; more in "
                f"{wait:.0f} s"
            )
        try:
            answer = self._ask(method, path, body)
        except httpx.HTTPError as problem:
            reason = str(problem) or type(problem).__name__
            unknown = once and not isinstance(problem, _NEVER_SENT)
        else:
            if answer.status < 300:
                return answer
            if answer.status != TOO_MANY and answer.status < 500:
                raise self._refusal(answer)
            reason, unknown = f"HTTP {answer.status}", once and answer.status != TOO_MANY
        # Raised after the handlers: a caught httpx error refers to the request and its keys.
        raise BrokerUnavailable(f"{where}: no usable answer ({reason})", fate_unknown=unknown)

    def _ask(self, method: str, path: str, body: Any) -> _Answer:
        where = f"{method} {path.partition('?')[0]}"
        if self._here is None:
            response = self._http.request(method, path, json=body)
            if self._quota is not None:
                self._quota.heard(response.status_code, response.headers)
            return _Answer(where, response.status_code, response.content)
        content = b"" if body is None else orjson.dumps(body)
        status, _, told = self._here.ask(method, path, self._headers, content)
        return _Answer(where, status, told)

    def _refusal(self, answer: _Answer) -> BrokerRefused:
        told = answer.body if isinstance(answer.body, dict) else {}
        reason = str(told.get("message") or answer.content.decode("utf-8", "replace"))
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        reason = " ".join(reason.split())[:200] or "no reason given"
        code = told.get("code")
        return BrokerRefused(
            f"{answer.where}: HTTP {answer.status}, {reason}",
            status=answer.status,
            code=code if isinstance(code, int) else None,
            reason=reason,
        )

    def _order(self, answer: _Answer) -> BrokerOrder:
        return self._read(
            partial(BrokerOrder.of, self._object(answer)), fate_unknown=answer.sent_something
        )

    def _object(self, answer: _Answer) -> dict[str, Any]:
        if isinstance(answer.body, dict):
            return answer.body
        raise _unreadable(answer)

    def _list(self, answer: _Answer) -> list[dict[str, Any]]:
        if isinstance(answer.body, list):
            return answer.body
        raise _unreadable(answer)

    def _read(self, reader: Callable[[], T], *, fate_unknown: bool = False) -> T:
        try:
            return reader()
        except (KeyError, TypeError, ValueError, ArithmeticError, TradingError) as problem:
            reason = repr(problem)
        raise BrokerUnavailable(
            f"broker {self._http.base_url.host}: an answer cannot be read ({reason})",
            fate_unknown=fate_unknown,
        )


class InProcess(httpx.BaseTransport):
    """The transport of a client that asks an ASGI application without a network or event loop.

    The application may not wait for anything: its coroutine is run to its end in one go.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request. Raises httpx.ReadError where the application breaks off."""
        target = request.url.raw_path.decode("ascii")
        status, headers, content = self.ask(
            request.method, target, request.headers.raw, request.read()
        )
        return httpx.Response(status, headers=headers, content=content)

    def ask(
        self, method: str, target: str, given: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Return status, headers and body of the answer; errors as of `handle_request`.

        target : path and query; given : headers, `Host` among them
        """
        path, _, query = target.partition("?")
        status = 0
        headers: list[tuple[bytes, bytes]] = []
        content = bytearray()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message["headers"])
            else:
                content.extend(message.get("body", b""))

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in given],
            "server": ("paper", 80),
            "client": ("127.0.0.1", 1),
        }
        running = self._app(scope, receive, send)
        try:
            running.send(None)
        except StopIteration:
            pass
        else:
            running.close()
            raise httpx.ReadError("the application in this process waits for something")
        if not status:
            raise httpx.ReadError("the connection was closed without an answer")
        return status, headers, bytes(content)


@dataclass(frozen=True)
class _Answer:
    """What came back; `where` is the method and path that were asked."""

    where: str
    status: int
    content: bytes

    @property
    def sent_something(self) -> bool:
        """Whether the request was one that must not be repeated."""
        return self.where.startswith("POST")

    @cached_property
    def body(self) -> object:
        """The JSON of the answer, None where it is none."""
        try:
            return orjson.loads(self.content)
        except ValueError:
            return None


def _unreadable(answer: _Answer) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"{answer.where}: the answer is not the JSON that the API promises",
        fate_unknown=answer.sent_something,
    )


def _side(text: str) -> str:
    return "sell" if text.startswith("sell") else "buy"


@lru_cache(maxsize=4096)
def _time(text: Any) -> datetime:
    """Read RFC 3339, of whose fraction the first six digits count."""
    whole, dot, rest = str(text).replace("Z", "+00:00").partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        whole = f"{whole}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"
    moment = datetime.fromisoformat(whole)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _is_here(address: httpx.URL) -> bool:
    return address.host in ("127.0.0.1", "localhost", "::1", "paper")


def _is_paper(address: httpx.URL) -> bool:
    return _is_here(address) or address.host == httpx.URL(PAPER_URL).host
