"""Daily bars for what runs all day: live, else what was kept, else history, else synthetic.

Every answer says where it is from, of which day it is, how old that is in trading days, and why
what comes before it in the chain gave nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from alphafoundry.errors import MarketError
from alphafoundry.market.sessions import (
    NEW_YORK,
    exchange_zone,
    last_closed_session,
    session_days,
    sessions,
)

Source = Literal["live", "cache", "historical", "synthetic"]
Mode = Literal["LIVE", "HISTORICAL"]

HISTORY = (date(2022, 1, 3), date(2023, 12, 29))
HISTORY_DAYS = 5
ATTEMPTS = 3
CALLS_A_MINUTE = 60
REST_OF_FAILED = timedelta(days=1)
"""How long a name that the source does not know is left alone."""

CIRCUIT_FAILURES = 3
CIRCUIT_REST = timedelta(minutes=15)
"""After so many failures in a row a source is left alone so long."""


class StaleData(MarketError):
    """The only bars that there are may not be used: too old, or synthetic."""


class SourceFailed(MarketError):
    """A source gave nothing.

    Attributes
    ----------
    unknown : names that it does not know
    asked : whether it was called at all; a source that rests is not
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = True,
        unknown: Sequence[str] = (),
        asked: bool = True,
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.unknown = tuple(unknown)
        self.asked = asked


@dataclass(frozen=True)
class FeedBar:
    """One name on one day; prices in dollars, volume in shares."""

    symbol: str
    day: date
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Provenance:
    """Where bars are from.

    Attributes
    ----------
    source : link of the chain
    label : for people; starts with SYNTHETIC where prices were generated
    as_of : the last day of the bars, of the name that is furthest behind
    fetched_at : when they were fetched from where they come from
    stale_days : trading days between that day and the last one that has closed
    failures : why the links before gave nothing
    """

    source: Source
    label: str
    as_of: date
    fetched_at: datetime
    stale_days: int
    failures: tuple[str, ...] = ()

    def told(self) -> str:
        """Return it as one line; synthetic and stale data say so first."""
        parts = [self.label, f"as of {self.as_of}"]
        if self.source == "cache":
            parts.insert(0, "CACHE")
        if self.source == "historical":
            parts.insert(0, "HISTORICAL")
        if self.stale_days and self.source in ("live", "cache"):
            parts.append(f"{self.stale_days} trading days old")
        if self.failures:
            parts.append(f"because {'; '.join(self.failures)}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Feed:
    """Bars with their provenance."""

    bars: tuple[FeedBar, ...]
    provenance: Provenance


@dataclass(frozen=True)
class MarketStatus:
    """Whether an exchange trades.

    Attributes
    ----------
    mode : LIVE while it is open; HISTORICAL otherwise, and where it is forced
    next_change : when it opens or closes next
    """

    open: bool
    mode: Mode
    at: datetime
    next_change: datetime
    half_day: bool

    def told(self) -> str:
        """Return it as one line, in the exchange's own time."""
        local = self.next_change.astimezone(exchange_zone(NEW_YORK))
        what = "closes" if self.open else "opens"
        early = " (half day)" if self.half_day else ""
        state = "open" if self.open else "closed"
        return f"market {state}{early}, {what} {local:%a %Y-%m-%d %H:%M %Z}; mode {self.mode}"


def market_status(
    now: datetime, *, exchange: str = NEW_YORK, force_historical: bool = False
) -> MarketStatus:
    """Return whether the exchange is open at `now`, which is aware; early closes count."""
    near = sessions(exchange, (now - timedelta(days=2)).date(), (now + timedelta(days=12)).date())
    current = next((one for one in near if one.opens <= now < one.closes), None)
    if current is not None:
        mode: Mode = "HISTORICAL" if force_historical else "LIVE"
        return MarketStatus(True, mode, now, current.closes, current.half_day)
    following = next(one for one in near if one.opens > now)
    return MarketStatus(False, "HISTORICAL", now, following.opens, following.half_day)


def historical_period(
    seed: int, *, first: date | None = None, last: date | None = None
) -> tuple[date, date]:
    """Return a period of five trading days of 2022 and 2023 by seed; given days win.

    Raises
    ------
    MarketError : the days given are in the wrong order or hold no trading day
    """
    if first is not None or last is not None:
        begin, end = first or HISTORY[0], last or HISTORY[1]
        if end < begin or not len(session_days(NEW_YORK, begin, end)):
            raise MarketError(f"there is no trading day from {begin} to {end}")
        return begin, end
    days = session_days(NEW_YORK, *HISTORY)
    start = random.Random(seed).randrange(len(days) - HISTORY_DAYS + 1)
    return days[start].item(), days[start + HISTORY_DAYS - 1].item()


def stale_days(as_of: date, now: datetime, *, exchange: str = NEW_YORK) -> int:
    """Return the trading days that have closed since a day."""
    last = last_closed_session(exchange, now)
    if as_of >= last:
        return 0
    return len(session_days(exchange, as_of + timedelta(days=1), last))


Fetch = Callable[[Sequence[str]], tuple[Sequence[FeedBar], datetime]]
"""Takes names; returns bars and when they were fetched. Raises MarketError where it has none."""


@dataclass(frozen=True)
class Link:
    """One link of the chain: what gives bars, and what it is called."""

    source: Source
    label: str
    fetch: Fetch
    attempts: int = 1


@dataclass
class Attempt:
    """One call of a source, for the record."""

    source: Source
    label: str
    ok: bool
    bars: int
    why: str
    at: datetime


@dataclass
class Chain:
    """Asks one source after the other.

    Attributes
    ----------
    attempts : every call that was made, in order
    """

    links: Sequence[Link]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], object] = lambda seconds: None
    attempts: list[Attempt] = field(default_factory=list)

    def fetch(self, symbols: Sequence[str]) -> Feed:
        """Return bars of the first link that has any.

        A link with several attempts waits 1, 2, 4, ... seconds between them.

        Raises
        ------
        StaleData : no link has anything
        """
        failures: list[str] = []
        for link in self.links:
            found = self._ask(link, symbols, failures)
            if found is not None:
                bars, fetched_at = found
                now = self.clock()
                as_of = _furthest_behind(bars)
                return Feed(
                    tuple(bars),
                    Provenance(
                        link.source,
                        link.label,
                        as_of,
                        fetched_at,
                        stale_days(as_of, now),
                        tuple(failures),
                    ),
                )
        raise StaleData(f"there are no bars: {'; '.join(failures)}")

    def _ask(
        self, link: Link, symbols: Sequence[str], failures: list[str]
    ) -> tuple[Sequence[FeedBar], datetime] | None:
        why = ""
        for number in range(link.attempts):
            if number:
                self.sleep(2.0 ** (number - 1))
            try:
                bars, fetched_at = link.fetch(symbols)
            except MarketError as problem:
                why = str(problem)
                # A rest that counted as a failure would never end.
                if not isinstance(problem, SourceFailed) or problem.asked:
                    self._note(link, 0, why)
                if not problem.transient:
                    break
                continue
            if bars:
                self._note(link, len(bars), "")
                return bars, fetched_at
            why = "no bars"
            self._note(link, 0, why)
            break
        failures.append(f"{link.source}: {why}")
        return None

    def _note(self, link: Link, count: int, why: str) -> None:
        self.attempts.append(Attempt(link.source, link.label, not why, count, why, self.clock()))


def _furthest_behind(bars: Sequence[FeedBar]) -> date:
    """Return the last day of the name whose bars end first."""
    last: dict[str, date] = {}
    for bar in bars:
        last[bar.symbol] = max(bar.day, last.get(bar.symbol, bar.day))
    return min(last.values())


def usable(feed: Feed, *, max_staleness: int | None, allow_synthetic: bool) -> Feed:
    """Return a feed that a consumer may use.

    Parameters
    ----------
    max_staleness : most trading days that bars may be old, None is any
    allow_synthetic : whether generated prices will do

    Raises
    ------
    StaleData : with what was asked for and what there is
    """
    told = feed.provenance
    if told.source == "synthetic" and not allow_synthetic:
        raise StaleData(f"only synthetic bars, which are not allowed here: {told.told()}")
    if max_staleness is not None and told.stale_days > max_staleness:
        raise StaleData(
            f"the bars are {told.stale_days} trading days old, {max_staleness} allowed: "
            f"{told.told()}"
        )
    return feed
