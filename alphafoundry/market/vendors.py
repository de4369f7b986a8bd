"""Daily bars of vendors over HTTP: Alpha Vantage, Massive (Polygon until 2025), Alpaca.

Each is one function from names and days to a long table, as `market.update_sources` asks for:
incremental, with the last ten sessions again, revisions kept, disagreement in quarantine. What a
vendor answers is believed only in the form that it promises: a text where a number belongs, another
name than was asked for, a note about a limit under HTTP 200, a page that comes twice, all are told
in one line and none of it is stored. Keys go to the vendor's own address only and stand in no
message.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from alphafoundry.errors import MarketError
from alphafoundry.market.sessions import NEW_YORK, exchange_zone
from alphafoundry.retry_after import retry_after

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("date", "symbol", "open", "high", "low", "close", "volume")
LONGEST_WAIT = 90.0
"""Seconds of a limit that are waited for; a longer one ends the update, which goes on later."""

_TIMEOUT = 30.0
_MOST_PAGES = 1000
_COMPACT_DAYS = 120
_LIMITS = ("rate limit", "requests per day", "call frequency", "premium", "per minute")
_OK, _BAD_KEY, _TOO_MANY = 200, (401, 403), 429

Row = tuple[date, str, float, float, float, float, float]


class QuotaExhausted(MarketError):
    """A vendor gives no more for now; what came is kept, and the same command goes on later."""

    transient = True


class _NoAnswer(Exception):
    """Nothing usable came, and it may with the next attempt."""


@dataclass(frozen=True)
class Vendor:
    """A vendor of daily bars.

    Attributes
    ----------
    name : as `--source` has it
    fetch : (names, first day, day after the last) to a long table with the columns of COLUMNS
    batch_size : names asked for at a time
    """

    name: str
    fetch: Callable[[Sequence[str], date, date], pd.DataFrame]
    batch_size: int


@dataclass
class _Web:
    """Requests to one vendor.

    Attributes
    ----------
    secrets : what stands in no message
    spacing : seconds between two requests, by the vendor's limit a minute
    """

    vendor: str
    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    spacing: float = 0.0
    wait: Callable[[float], None] = time.sleep
    _asked: bool = False

    def get(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON object of an answer, after a limit that ends soon.

        Raises QuotaExhausted for a limit that does not, MarketError for a refusal.
        """
        for _ in range(3):
            if self._asked and self.spacing:
                self.wait(self.spacing)
            self._asked = True
            try:
                # Redirects are not followed: they would take the key elsewhere.
                answer = httpx.get(
                    self.address + path, params=query, headers=self.headers, timeout=_TIMEOUT
                )
            except httpx.HTTPError as problem:
                raise _NoAnswer(type(problem).__name__) from None
            if answer.status_code != _TOO_MANY:
                return self._read(answer)
            seconds = _until_reset(answer.headers)
            if seconds > LONGEST_WAIT:
                when = datetime.now(UTC) + timedelta(seconds=seconds)
                raise QuotaExhausted(
                    f"{self.vendor}: its limit is reached until {when:%Y-%m-%d %H:%M} UTC; run the "
                    "same command then"
                )
            self.wait(seconds)
        raise QuotaExhausted(f"{self.vendor}: its limit is reached; run the same command later")

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code in _BAD_KEY:
            raise MarketError(
                f"{self.vendor}: answered {answer.status_code}: {self.shown(answer.text)}; see "
                "whether the key is right and its plan holds daily bars"
            )
        if answer.is_server_error:
            raise _NoAnswer(f"answered {answer.status_code}")
        if answer.status_code != _OK:
            raise MarketError(
                f"{self.vendor}: answered {answer.status_code}: {self.shown(answer.text)}"
            )
        try:
            found = answer.json()
        except ValueError:
            raise _NoAnswer("the answer is no JSON") from None
        if not isinstance(found, dict):
            raise self.odd(f"an object was promised, and {type(found).__name__} came")
        return found

    def odd(self, what: str) -> MarketError:
        """Return the error for an answer that is not of the promised form."""
        return MarketError(f"{self.vendor}: {self.shown(what)}; nothing of it was stored")

    def shown(self, text: str) -> str:
        """Return the first 200 characters of a text in one line, without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:200]


def alpha_vantage(
    key: str,
    *,
    address: str = "https://www.alphavantage.co",
    wait: Callable[[float], None] = time.sleep,
    spacing: float = 12.5,
) -> Vendor:
    """Return Alpha Vantage's daily bars as traded; free keys give 25 requests a day.

    spacing : seconds between requests; free keys give 5 a minute
    """
    web = _Web("alpha_vantage", address, secrets=(key,), spacing=spacing, wait=wait)

    def fetch(names: Sequence[str], first: date, after: date) -> pd.DataFrame:
        recent = (date.today() - first).days < _COMPACT_DAYS
        rows: list[Row] = []
        for name in names:
            query = {
                "function": "TIME_SERIES_DAILY",
                "symbol": name,
                "outputsize": "compact" if recent else "full",
                "apikey": key,
            }
            rows += _alpha_vantage_rows(web, name, web.get("/query", query))
        return _table(web, rows, first, after)

    return Vendor("alpha_vantage", fetch, 1)


def _alpha_vantage_rows(web: _Web, name: str, answer: Mapping[str, Any]) -> Iterator[Row]:
    told = str(answer.get("Note") or answer.get("Information") or "")
    if told:
        if any(word in told.lower() for word in _LIMITS):
            raise QuotaExhausted(f"alpha_vantage: {web.shown(told)}")
        raise MarketError(f"alpha_vantage: {web.shown(told)}")
    if "Error Message" in answer:
        return
    series, about = answer.get("Time Series (Daily)"), answer.get("Meta Data")
    if not isinstance(series, dict) or not isinstance(about, dict):
        raise web.odd(f"{name}: no daily series, but {', '.join(answer) or 'nothing'}")
    if str(about.get("2. Symbol", "")).upper() != name.upper():
        raise web.odd(f"{name} was asked for, and {about.get('2. Symbol')!r} came")
    for day, bar in series.items():
        keys = ("1. open", "2. high", "3. low", "4. close", "5. volume")
        yield _row(web, name, _day(web, name, day), bar, keys)


def massive(
    key: str,
    *,
    address: str = "https://api.massive.com",
    wait: Callable[[float], None] = time.sleep,
) -> Vendor:
    """Return Massive's daily bars, adjusted for splits; one request a day for all names where that
    is fewer."""
    web = _Web("massive", address, {"Authorization": f"Bearer {key}"}, secrets=(key,), wait=wait)

    def fetch(names: Sequence[str], first: date, after: date) -> pd.DataFrame:
        days = [first + timedelta(days=n) for n in range((after - first).days)]
        workdays = [day for day in days if day.weekday() < 5]
        rows: list[Row] = []
        if len(workdays) < len(names):
            wanted = set(names)
            for day in workdays:
                path = f"/v2/aggs/grouped/locale/us/market/stocks/{day}"
                for bar in _massive_bars(web, path):
                    if bar.get("T") in wanted:
                        rows.append(_massive_row(web, str(bar["T"]), bar))
        else:
            last = after - timedelta(days=1)
            for name in names:
                path = f"/v2/aggs/ticker/{name}/range/1/day/{first}/{last}"
                rows += [_massive_row(web, name, bar) for bar in _massive_bars(web, path, name)]
        return _table(web, rows, first, after)

    return Vendor("massive", fetch, 1000)


def _massive_bars(web: _Web, path: str, name: str | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield the bars of every page of an answer."""
    query: Mapping[str, Any] = {"adjusted": "true", "sort": "asc", "limit": 50_000}
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        answer = web.get(path, query)
        if answer.get("status") not in ("OK", "DELAYED"):
            told = answer.get("error") or answer.get("message") or answer.get("status")
            raise web.odd(f"{name or path}: {told}")
        if name is not None and answer.get("ticker", name) != name:
            raise web.odd(f"{name} was asked for, and {answer.get('ticker')!r} came")
        # Where there is nothing, `results` is absent.
        found = answer.get("results", [])
        if not isinstance(found, list) or not all(isinstance(bar, dict) for bar in found):
            raise web.odd(f"{name or path}: results are no list of bars")
        yield from found
        following = answer.get("next_url")
        if following is None:
            return
        url = httpx.URL(str(following))
        if url.host != httpx.URL(web.address).host or str(url) in seen:
            raise web.odd(f"{name or path}: its next page is on {url.host}, or came before")
        seen.add(str(url))
        path, query = url.path, dict(url.params)
    raise web.odd(f"{name or path}: more than {_MOST_PAGES} pages")


def _massive_row(web: _Web, name: str, bar: Mapping[str, Any]) -> Row:
    moment = _number(web, name, "t", bar.get("t")) / 1000.0
    try:
        day = datetime.fromtimestamp(moment, UTC).astimezone(exchange_zone(NEW_YORK)).date()
    except (ValueError, OverflowError, OSError):
        raise web.odd(f"{name}: {bar.get('t')!r} is no time") from None
    return _row(web, name, day, bar, ("o", "h", "l", "c", "v"))


def alpaca(
    key: str,
    secret: str,
    *,
    address: str = "https://data.alpaca.markets",
    feed: str = "iex",
    wait: Callable[[float], None] = time.sleep,
) -> Vendor:
    """Return Alpaca's daily bars, adjusted for splits.

    feed : "iex" is one exchange, "sip" all of them, which needs a plan
    """
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    web = _Web("alpaca", address, headers, secrets=(key, secret), wait=wait)

    def fetch(names: Sequence[str], first: date, after: date) -> pd.DataFrame:
        rows: list[Row] = []
        wanted, seen, token = set(names), set(), None
        for _ in range(_MOST_PAGES):
            query: dict[str, Any] = {
                "symbols": ",".join(names),
                "timeframe": "1Day",
                "start": first.isoformat(),
                "end": after.isoformat(),
                "adjustment": "split",
                "feed": feed,
                "limit": 10_000,
            }
            if token is not None:
                query["page_token"] = token
            answer = web.get("/v2/stocks/bars", query)
            bars = answer.get("bars")
            if bars is None:
                bars = {}
            if not isinstance(bars, dict) or not all(isinstance(b, list) for b in bars.values()):
                raise web.odd("bars are no lists by name")
            for name, found in bars.items():
                if name not in wanted:
                    raise web.odd(f"{name!r} came, which was not asked for")
                rows += [_alpaca_row(web, name, bar) for bar in found]
            token = answer.get("next_page_token")
            if token is None:
                return _table(web, rows, first, after)
            if token in seen:
                raise web.odd("the same page came twice")
            seen.add(token)
        raise web.odd(f"more than {_MOST_PAGES} pages")

    return Vendor("alpaca", fetch, 100)


def _alpaca_row(web: _Web, name: str, bar: Any) -> Row:
    if not isinstance(bar, dict):
        raise web.odd(f"{name}: a bar is no object")
    try:
        # Midnight in New York, told in UTC: in summer and winter another hour.
        moment = datetime.fromisoformat(str(bar.get("t")).replace("Z", "+00:00"))
        if moment.tzinfo is None:
            raise ValueError
        day = moment.astimezone(exchange_zone(NEW_YORK)).date()
    except (ValueError, OverflowError):
        raise web.odd(f"{name}: {bar.get('t')!r} is no time") from None
    return _row(web, name, day, bar, ("o", "h", "l", "c", "v"))


def _row(web: _Web, name: str, day: date, bar: Any, keys: Sequence[str]) -> Row:
    if not isinstance(bar, dict):
        raise web.odd(f"{name}, {day}: the bar is no object")
    opened, high, low, close, volume = (
        _number(web, f"{name}, {day}", key, bar.get(key)) for key in keys
    )
    if min(opened, high, low, close) <= 0.0 or volume < 0.0:
        raise web.odd(f"{name}, {day}: a price is not above 0, or the volume is below 0")
    return day, name, opened, high, low, close, volume


def _number(web: _Web, where: str, key: str, value: Any) -> float:
    """Return a number, which may be written as a text."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise web.odd(f"{where}: {key} is {value!r}, no number")
    return found


def _day(web: _Web, name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise web.odd(f"{name}: {text!r} is no day") from None


def _until_reset(headers: Mapping[str, str]) -> float:
    """Return the seconds that a 429 asks to wait: Retry-After, or the time of its reset."""
    asked = retry_after(headers)
    if asked is not None:
        return asked
    try:
        return max(1.0, float(headers.get("X-Ratelimit-Reset", "")) - time.time())
    except ValueError:
        return 60.0


def _table(web: _Web, rows: Sequence[Row], first: date, after: date) -> pd.DataFrame:
    """Return the rows within the days as a long table; the same bar twice is one, two are none."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(COLUMNS)).drop_duplicates()
    twice = table[table.duplicated(["date", "symbol"])]
    if len(twice):
        one = twice.iloc[0]
        raise web.odd(f"{one['symbol']}, {one['date']}: two bars of one day that differ")
    inside: pd.DataFrame = table[(table["date"] >= first) & (table["date"] < after)]
    inside = inside.sort_values(["symbol", "date"], ignore_index=True)
    inside["date"] = pd.to_datetime(inside["date"])
    return inside


_MADE_BY: Mapping[str, tuple[Callable[..., Vendor], str, tuple[str, ...]]] = {
    "alpha_vantage": (alpha_vantage, "FOUNDRY_ALPHA_VANTAGE_URL", ("ALPHAVANTAGE_API_KEY",)),
    "massive": (massive, "FOUNDRY_MASSIVE_URL", ("MASSIVE_API_KEY",)),
    "alpaca": (alpaca, "FOUNDRY_ALPACA_DATA_URL", ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")),
}
"""By name what makes a vendor, and the variables that hold its address and its keys."""

VENDORS = tuple(_MADE_BY)


def vendor_of(name: str, environment: Mapping[str, str]) -> Vendor:
    """Return a vendor with the keys of the environment.

    POLYGON_API_KEY is taken where MASSIVE_API_KEY is not set or empty, and FOUNDRY_MASSIVE_URL,
    FOUNDRY_ALPHA_VANTAGE_URL and FOUNDRY_ALPACA_DATA_URL stand over the addresses.
    FOUNDRY_ALPACA_FEED is Alpaca's feed: iex, or sip.

    Raises MarketError where a key is missing, and for another feed.
    """
    make, address, names = _MADE_BY[name]
    given = {one: value for one, value in environment.items() if value}
    given.setdefault("MASSIVE_API_KEY", given.get("POLYGON_API_KEY", ""))
    missing = [one for one in names if not given.get(one)]
    if missing:
        raise MarketError(f"{name}: set {' and '.join(missing)} to your key")
    elsewhere = {"address": given[address].rstrip("/")} if address in given else {}
    if name == "alpaca" and (feed := given.get("FOUNDRY_ALPACA_FEED")) is not None:
        if feed not in ("iex", "sip"):
            raise MarketError(f"FOUNDRY_ALPACA_FEED: {feed!r} is no feed; choose iex or sip")
        elsewhere["feed"] = feed
    return make(*(given[one] for one in names), **elsewhere)
