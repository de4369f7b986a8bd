"""Daily bars of vendors over HTTP: Alpha Vantage, Massive (Polygon until 2025), Alpaca.

Each is one function from names and days to a long table, as `market.update_sources` asks for:
incremental, with the last ten sessions again, revisions kept, disagreement in quarantine. What a
vendor answers is believed only in the form that it promises: a text where a number belongs, another
name than was asked for, a note about a limit under HTTP 200, a page that comes twice, all are told
in one line and none of it is stored. Keys go to the vendor's own address only and stand in no
message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from alphafoundry.errors import MarketError
from alphafoundry.market.sessions import NEW_YORK, exchange_zone
from alphafoundry.market.vendor_web import VendorWeb, access_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("date", "symbol", "open", "high", "low", "close", "volume")

_COMPACT_DAYS = 120

Row = tuple[date, str, float, float, float, float, float]


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
    web = VendorWeb("alpha_vantage", address, secrets=(key,), spacing=spacing, wait=wait)

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


def _alpha_vantage_rows(web: VendorWeb, name: str, answer: Mapping[str, Any]) -> Iterator[Row]:
    web.refuse_note(answer)
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
    web = VendorWeb(
        "massive", address, {"Authorization": f"Bearer {key}"}, secrets=(key,), wait=wait
    )

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


def _massive_bars(
    web: VendorWeb, path: str, name: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the bars of every page of an answer."""
    query: Mapping[str, Any] = {"adjusted": "true", "sort": "asc", "limit": 50_000}
    for page in web.massive_pages(path, query, name or path, ticker=name):
        yield from page


def _massive_row(web: VendorWeb, name: str, bar: Mapping[str, Any]) -> Row:
    moment = web.number(name, "t", bar.get("t")) / 1000.0
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
    web = VendorWeb("alpaca", address, headers, secrets=(key, secret), wait=wait)

    def fetch(names: Sequence[str], first: date, after: date) -> pd.DataFrame:
        rows: list[Row] = []
        query: dict[str, Any] = {
            "symbols": ",".join(names),
            "timeframe": "1Day",
            "start": first.isoformat(),
            "end": after.isoformat(),
            "adjustment": "split",
            "feed": feed,
            "limit": 10_000,
        }
        for answer in web.alpaca_pages("/v2/stocks/bars", query):
            bars = answer.get("bars")
            if bars is None:
                bars = {}
            if not isinstance(bars, dict) or not all(isinstance(b, list) for b in bars.values()):
                raise web.odd("bars are no lists by name")
            for name, found in bars.items():
                if name not in names:
                    raise web.odd(f"{name!r} came, which was not asked for")
                rows += [_alpaca_row(web, name, bar) for bar in found]
        return _table(web, rows, first, after)

    return Vendor("alpaca", fetch, 100)


def _alpaca_row(web: VendorWeb, name: str, bar: Any) -> Row:
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


def _row(web: VendorWeb, name: str, day: date, bar: Any, keys: Sequence[str]) -> Row:
    if not isinstance(bar, dict):
        raise web.odd(f"{name}, {day}: the bar is no object")
    opened, high, low, close, volume = (
        web.number(f"{name}, {day}", key, bar.get(key)) for key in keys
    )
    if min(opened, high, low, close) <= 0.0 or volume < 0.0:
        raise web.odd(f"{name}, {day}: a price is not above 0, or the volume is below 0")
    return day, name, opened, high, low, close, volume


def _day(web: VendorWeb, name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise web.odd(f"{name}: {text!r} is no day") from None


def _table(web: VendorWeb, rows: Sequence[Row], first: date, after: date) -> pd.DataFrame:
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


_MADE_BY: Mapping[str, Callable[..., Vendor]] = {
    "alpha_vantage": alpha_vantage,
    "massive": massive,
    "alpaca": alpaca,
}

VENDORS = tuple(_MADE_BY)


def vendor_of(name: str, environment: Mapping[str, str]) -> Vendor:
    """Return a vendor with the keys and the address of the environment, as `access_of` reads them.

    FOUNDRY_ALPACA_FEED is Alpaca's feed: iex, or sip.

    Raises MarketError where a key is missing, and for another feed.
    """
    access = access_of(name, environment)
    given = {} if access.address is None else {"address": access.address}
    if name == "alpaca" and (feed := environment.get("FOUNDRY_ALPACA_FEED")):
        if feed not in ("iex", "sip"):
            raise MarketError(f"FOUNDRY_ALPACA_FEED: {feed!r} is no feed; choose iex or sip")
        given["feed"] = feed
    return _MADE_BY[name](*access.keys, **given)
