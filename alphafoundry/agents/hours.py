"""Where a moment lies in an exchange's sessions, in whole seconds since 1970 UTC.

The desk computes its due times and its market conditions from these; the zone of a machine, and
the change of clocks, play no part.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from alphafoundry.errors import MarketError
from alphafoundry.market.sessions import PUBLICATION, exchange_zone, sessions

GRACE_SECONDS = 30 * 60
"""After the close agents of the session go on for so long: its bar and last fills arrive then."""

_MARGIN = timedelta(days=15)


@dataclass(frozen=True, slots=True)
class SessionHours:
    """One session: its day, and its open and close in seconds since 1970."""

    day: date
    opens: int
    closes: int


class MarketMoment(NamedTuple):
    """What the market is at a moment.

    Attributes
    ----------
    open : in a session; the closing second itself is not
    grace : within the half hour after the close
    session : the session that it lies in or has just left; None outside of both
    since_open, to_close : seconds; None outside a session
    last_closed : day of the last session whose daily bar can be had
    """

    open: bool
    grace: bool
    session: date | None
    since_open: int | None
    to_close: int | None
    last_closed: date

    @property
    def trades(self) -> bool:
        """Whether agents of the session are due: in it, or in the half hour after it."""
        return self.open or self.grace


class MarketPhase(NamedTuple):
    """What the market is from one open, end of a half hour of grace or new bar to the next.

    Attributes
    ----------
    trades, last_closed : as those of a `MarketMoment`
    """

    trades: bool
    last_closed: date


class ExchangeHours:
    """The sessions of an exchange over some days.

    Attributes
    ----------
    exchange : ISO 10383 code
    zone : of the exchange
    sessions : ascending
    """

    def __init__(self, exchange: str, first: date, last: date) -> None:
        """Read the sessions from `first` to `last`, and some days on both sides.

        Raises MarketError where the exchange is unknown or its calendar does not reach so far.
        """
        self.exchange = exchange
        self.zone: ZoneInfo = exchange_zone(exchange)
        self.first, self.last = first, last
        self.sessions = tuple(
            SessionHours(one.day, int(one.opens.timestamp()), int(one.closes.timestamp()))
            for one in sessions(exchange, first - _MARGIN, last + _MARGIN)
        )
        self._quarter = (-1, first)
        self._last = (-1, MarketMoment(False, False, None, None, None, first))
        self._opens = [one.opens for one in self.sessions]
        self._ends = [one.closes + GRACE_SECONDS for one in self.sessions]
        self._published = [one.closes + int(PUBLICATION.total_seconds()) for one in self.sessions]
        self._turns = sorted({*self._opens, *self._ends, *self._published})
        self._phase = (0, 0, MarketPhase(False, first))

    def __repr__(self) -> str:
        return f"ExchangeHours({self.exchange!r}, {self.first} to {self.last})"

    def covers(self, moment: int) -> bool:
        """Return whether a moment lies between the first and the last day."""
        return self.first <= datetime.fromtimestamp(moment, UTC).date() <= self.last

    def between(self, first: date, last: date) -> list[SessionHours]:
        """Return the sessions from `first` to `last`, both included."""
        return [one for one in self.sessions if first <= one.day <= last]

    def overlapping(self, after: int, until: int) -> Sequence[SessionHours]:
        """Return the sessions that, with their half hour of grace, lie partly in (after, until]."""
        first = bisect_right(self._ends, after)
        return self.sessions[first : bisect_right(self._opens, until)]

    def at(self, moment: int) -> MarketMoment:
        """Return what the market is at `moment`.

        Raises MarketError for a moment outside the days that were read.
        """
        # Agents that are due together ask together.
        if self._last[0] != moment:
            self._last = (moment, self._at(moment))
        return self._last[1]

    def phase(self, moment: int) -> MarketPhase:
        """Return what of `at` holds for longer than a second; looked up once for all of it.

        Raises MarketError for a moment outside the days that were read.
        """
        begins, ends, _ = self._phase
        if not begins <= moment < ends:
            found = self._at(moment)
            place = bisect_right(self._turns, moment)
            ends = self._turns[place] if place < len(self._turns) else moment + 1
            phase = MarketPhase(found.trades, found.last_closed)
            self._phase = (self._turns[place - 1], ends, phase)
        return self._phase[2]

    def _at(self, moment: int) -> MarketMoment:
        closed = bisect_right(self._published, moment) - 1
        if closed < 0:
            raise MarketError(f"{self!r} does not hold {utc(moment):%Y-%m-%d}; ask for more days")
        last_closed = self.sessions[closed].day
        number = bisect_right(self._opens, moment) - 1
        one = self.sessions[number]
        if moment < one.closes:
            return MarketMoment(
                True, False, one.day, moment - one.opens, one.closes - moment, last_closed
            )
        grace = moment < one.closes + GRACE_SECONDS
        return MarketMoment(False, grace, one.day if grace else None, None, None, last_closed)

    def local_day(self, moment: int) -> date:
        """Return the day that it is at the exchange."""
        # No zone has its midnight between two quarters of an hour.
        quarter = moment // 900
        if self._quarter[0] != quarter:
            self._quarter = (quarter, utc(moment).astimezone(self.zone).date())
        return self._quarter[1]

    def local_moment(self, day: date, clock: time) -> int:
        """Return the moment of a time of day at the exchange.

        A time that the change of clocks leaves out is taken an hour later; one that comes twice
        is taken the first time.
        """
        return int(datetime.combine(day, clock, self.zone).timestamp())


@lru_cache(maxsize=8192)
def utc(moment: int) -> datetime:
    """Return seconds since 1970 as an aware datetime in UTC."""
    return datetime.fromtimestamp(moment, UTC)


def seconds(moment: datetime) -> int:
    """Return an aware datetime as whole seconds since 1970, rounded down.

    Raises ValueError without a time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return int(moment.timestamp() // 1)
