"""Headlines of vendors over HTTP: Alpaca, Alpha Vantage, Massive (Polygon until 2025).

    vendor = news_vendor_of("alpaca", os.environ)
    for page in vendor.pages(since=then, now=moment):
        ...                                # VendorEntry, as the vendor tells them

A window of time is asked for, so that a desk that replays the past gets what was there. A limit is
not waited for: the next tick asks again. An answer that is not of the promised form is told in one
line, and nothing of it is given. Keys go to the vendor's own address only and stand in no message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from alphafoundry.errors import MarketError, NewsError
from alphafoundry.market.vendor_web import NoAnswer, QuotaExhausted, VendorWeb, access_of
from alphafoundry.sentiment.feed_child import printable
from alphafoundry.sentiment.scoring import LONGEST

LEAST_RELEVANCE = 0.1
"""Alpha Vantage's relevance, 0 to 1, from which on an article is about a name that it mentions."""

_ALPHA_VANTAGE_PAGE = 1000
_ALPHA_VANTAGE_SPACING = 12.5

MOST_PAGES = 40
"""Of an answer; what is newer than these is for the next question."""


class NewsQuotaExhausted(NewsError):
    """A vendor gives no more headlines for now.

    Attributes
    ----------
    seconds : after which it gives again; None where it does not say
    """

    def __init__(self, told: str, *, seconds: float | None) -> None:
        super().__init__(told)
        self.seconds = seconds


@dataclass(frozen=True)
class VendorEntry:
    """One headline as a vendor tells it.

    Attributes
    ----------
    identity : the vendor's number, or the address where it has none
    title : at most 500 characters in one line, all of them printable
    tickers : that the vendor says it is about, as the vendor writes them
    published_at, changed_at : seconds since 1970; its text was this one from changed_at on
    """

    identity: str
    title: str
    url: str
    tickers: tuple[str, ...]
    published_at: int
    changed_at: int


Reader = Callable[[VendorWeb, int, int], Iterator[list[VendorEntry]]]


@dataclass(frozen=True)
class NewsVendor:
    """A vendor of headlines; `pages` asks it."""

    name: str
    _web: VendorWeb
    _read: Reader

    def __repr__(self) -> str:
        return f"NewsVendor({self.name!r})"

    def pages(self, *, since: int, now: int) -> Iterator[list[VendorEntry]]:
        """Yield the headlines of a window, the oldest first, a page each; at most MOST_PAGES.

        What was published or changed after `now` is left out: its text was not known yet.

        Parameters
        ----------
        since, now : seconds since 1970; both belong to the window

        Raises NewsQuotaExhausted for a limit, NewsError for any other answer that is none.
        """
        try:
            for page in islice(self._read(self._web, since, now), MOST_PAGES):
                yield [one for one in page if one.title and one.changed_at <= now]
        except QuotaExhausted as problem:
            raise NewsQuotaExhausted(str(problem), seconds=problem.seconds) from None
        except MarketError as problem:
            raise NewsError(str(problem)) from None
        except NoAnswer as problem:
            raise NewsError(f"{self.name}: no answer ({problem})") from None


def news_vendor_of(
    name: str,
    environment: Mapping[str, str],
    *,
    wait: Callable[[float], None] = time.sleep,
) -> NewsVendor:
    """Return a vendor with the keys and the address of the environment, as for daily bars.

    Parameters
    ----------
    name : one of NEWS_VENDORS
    wait : sleeps for the given seconds, between pages of Alpha Vantage

    Raises NewsError where a key is missing.
    """
    try:
        access = access_of(name, environment)
    except MarketError as problem:
        raise NewsError(str(problem)) from None
    make, usual = _MADE_BY[name]
    headers, read = make(access.keys)
    web = VendorWeb(
        name,
        access.address or usual,
        headers,
        secrets=access.keys,
        spacing=_ALPHA_VANTAGE_SPACING if name == "alpha_vantage" else 0.0,
        wait=wait,
        asks_for="news",
        longest_wait=0.0,
    )
    return NewsVendor(name, web, read)


def match_tickers(tickers: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a market among a vendor's, whatever divides a class of shares.

    BRK.B, BRK-B and BRK/B are one name.
    """
    plain = {_plain(one): one for one in known}
    return tuple(sorted({plain[_plain(one)] for one in tickers if _plain(one) in plain}))


def _plain(symbol: str) -> str:
    return symbol.upper().replace(".", "-").replace("/", "-")


def _alpaca(keys: Sequence[str]) -> tuple[dict[str, str], Reader]:
    return {"APCA-API-KEY-ID": keys[0], "APCA-API-SECRET-KEY": keys[1]}, _alpaca_news


def _alpaca_news(web: VendorWeb, since: int, now: int) -> Iterator[list[VendorEntry]]:
    query = {"start": _rfc(since), "end": _rfc(now), "sort": "asc", "limit": 50}
    for answer in web.alpaca_pages("/v1beta1/news", query):
        yield [
            _entry(
                web,
                one,
                identity=one.get("id"),
                title=one.get("headline"),
                url=one.get("url"),
                tickers=_texts(web, one.get("symbols")),
                published=_moment(web, one.get("created_at")),
                changed=_moment(web, one.get("updated_at") or one.get("created_at")),
            )
            for one in web.objects("news", answer.get("news"))
        ]


def _massive(keys: Sequence[str]) -> tuple[dict[str, str], Reader]:
    return {"Authorization": f"Bearer {keys[0]}"}, _massive_news


def _massive_news(web: VendorWeb, since: int, now: int) -> Iterator[list[VendorEntry]]:
    query = {
        "published_utc.gte": _rfc(since),
        "published_utc.lte": _rfc(now),
        "sort": "published_utc",
        "order": "asc",
        "limit": 1000,
    }
    for page in web.massive_pages("/v2/reference/news", query, "news"):
        yield [
            _entry(
                web,
                one,
                identity=one.get("id"),
                title=one.get("title"),
                url=one.get("article_url"),
                tickers=_texts(web, one.get("tickers")),
                published=_moment(web, one.get("published_utc")),
            )
            for one in page
        ]


def _alpha_vantage(keys: Sequence[str]) -> tuple[dict[str, str], Reader]:
    def read(web: VendorWeb, since: int, now: int) -> Iterator[list[VendorEntry]]:
        return _alpha_vantage_news(web, keys[0], since, now)

    return {}, read


def _alpha_vantage_news(
    web: VendorWeb, key: str, since: int, now: int
) -> Iterator[list[VendorEntry]]:
    """Ask for the oldest thousand of a window, and for what is newer while a thousand come.

    Every name in one request: several `tickers` would ask for articles that name all of them.
    """
    while True:
        query = {
            "function": "NEWS_SENTIMENT",
            "time_from": _minute(since),
            "time_to": _minute(now),
            "sort": "EARLIEST",
            "limit": _ALPHA_VANTAGE_PAGE,
            "apikey": key,
        }
        answer = web.get("/query", query)
        web.refuse_note(answer)
        if "Error Message" in answer:
            raise web.odd(str(answer["Error Message"]))
        page = [
            _entry(
                web,
                one,
                identity=one.get("url"),
                title=one.get("title"),
                url=one.get("url"),
                tickers=_relevant(web, one.get("ticker_sentiment")),
                published=_moment(web, f"{one.get('time_published')}Z"),
            )
            for one in web.objects("feed", answer.get("feed"))
        ]
        yield page
        if len(page) < _ALPHA_VANTAGE_PAGE:
            return
        newest = max(one.published_at for one in page)
        if newest // 60 <= since // 60:
            return
        since = newest


def _relevant(web: VendorWeb, listed: Any) -> tuple[str, ...]:
    """Return the tickers that an article is about; it may mention others."""
    return tuple(
        str(one.get("ticker"))
        for one in web.objects("ticker_sentiment", listed or [])
        if web.number(str(one.get("ticker")), "relevance_score", one.get("relevance_score"))
        >= LEAST_RELEVANCE
    )


def _entry(
    web: VendorWeb,
    given: Mapping[str, Any],
    *,
    identity: Any,
    title: Any,
    url: Any,
    tickers: tuple[str, ...],
    published: int,
    changed: int | None = None,
) -> VendorEntry:
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise web.odd(f"a headline without identity, of {', '.join(given) or 'nothing'}")
    if not isinstance(title, str):
        raise web.odd(f"{identity}: its title is {title!r}, no text")
    return VendorEntry(
        printable(identity),
        printable(title)[:LONGEST],
        printable(url),
        tickers,
        published,
        max(published, published if changed is None else changed),
    )


def _texts(web: VendorWeb, found: Any) -> tuple[str, ...]:
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise web.odd(f"tickers are {found!r}, no list of names")
    return tuple(found)


def _moment(web: VendorWeb, text: Any) -> int:
    """Return the seconds since 1970 of a time with its zone (ISO 8601)."""
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            raise ValueError
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        raise web.odd(f"{text!r} is no time") from None


def _rfc(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _minute(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M")


_MADE_BY: Mapping[str, tuple[Callable[[Sequence[str]], tuple[dict[str, str], Reader]], str]] = {
    "alpaca": (_alpaca, "https://data.alpaca.markets"),
    "alpha_vantage": (_alpha_vantage, "https://www.alphavantage.co"),
    "massive": (_massive, "https://api.massive.com"),
}

NEWS_VENDORS = tuple(_MADE_BY)
