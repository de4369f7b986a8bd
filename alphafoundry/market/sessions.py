"""Trading sessions of an exchange: days, hours, half days and holidays.

From exchange-calendars, which knows a hundred exchanges by their ISO 10383 codes (XNYS, XLON,
XTKS, ...) and the market that never closes ("24/7").
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError

NEW_YORK = "XNYS"
ALWAYS_OPEN = "24/7"
PUBLICATION = timedelta(minutes=15)
"""How long after the close a daily bar can be had."""
_LONGEST_CLOSURE = timedelta(days=40)


@dataclass(frozen=True)
class Session:
    """One trading day.

    Attributes
    ----------
    day : by the exchange's own date
    opens, closes : in UTC
    half_day : True where it closes earlier than usual
    """

    day: date
    opens: datetime
    closes: datetime
    half_day: bool


def known_exchanges() -> tuple[str, ...]:
    """Return the codes that the functions of this module take."""
    import exchange_calendars

    return tuple(sorted(exchange_calendars.get_calendar_names(include_aliases=False)))


def exchange_zone(exchange: str) -> ZoneInfo:
    """Return the time zone of an exchange; MarketError where it is unknown."""
    return ZoneInfo(str(_calendar(exchange, 2020, 2020).tz))


def session_days(exchange: str, first: date, last: date) -> NDArray[np.datetime64]:
    """Return the trading days from `first` to `last`, both included, datetime64[D] ascending.

    Raises MarketError where the exchange is unknown or its calendar does not reach so far.
    """
    if last < first:
        return np.zeros(0, dtype="datetime64[D]")
    found = _calendar(exchange, first.year, last.year).sessions_in_range(
        first.isoformat(), last.isoformat()
    )
    days: NDArray[np.datetime64] = found.to_numpy().astype("datetime64[D]")
    return days


def sessions(exchange: str, first: date, last: date) -> list[Session]:
    """Return the trading sessions from `first` to `last` with their hours; errors as above."""
    if last < first:
        return []
    calendar = _calendar(exchange, first.year, last.year)
    short = set(calendar.early_closes)
    return [
        Session(
            day.date(),
            calendar.session_open(day).to_pydatetime(),
            calendar.session_close(day).to_pydatetime(),
            day in short,
        )
        for day in calendar.sessions_in_range(first.isoformat(), last.isoformat())
    ]


def is_session(exchange: str, day: date) -> bool:
    """Return whether the exchange trades on `day`."""
    return len(session_days(exchange, day, day)) == 1


@lru_cache(maxsize=256)
def last_session_before(exchange: str, day: date) -> date:
    """Return the last trading day before `day`."""
    found: date = session_days(exchange, day - _LONGEST_CLOSURE, day - timedelta(days=1))[-1].item()
    return found


def last_closed_session(exchange: str, moment: datetime) -> date:
    """Return the last trading day whose daily bar can be had at `moment`, an aware datetime.

    A bar counts from 15 minutes after its close on, on half days after the early one.
    """
    now = moment.astimezone(UTC)
    recent = sessions(exchange, now.date() - _LONGEST_CLOSURE, now.date() + timedelta(days=1))
    return next(one.day for one in reversed(recent) if one.closes + PUBLICATION <= now)


def _calendar(exchange: str, first_year: int, last_year: int) -> Any:
    """Return a calendar that holds these years: one that was made before, where it does."""
    for first, last in _MADE.get(exchange, ()):
        if first <= first_year and last_year <= last:
            return _made_calendar(exchange, first, last)
    found = _made_calendar(exchange, first_year, last_year)
    _MADE.setdefault(exchange, []).append((first_year, last_year))
    return found


_MADE: dict[str, list[tuple[int, int]]] = {}
"""Exchange to the first and last year of each calendar so far: making one takes 0.15 s."""


@lru_cache(maxsize=8)
def _made_calendar(exchange: str, first_year: int, last_year: int) -> Any:
    import exchange_calendars
    from exchange_calendars.errors import InvalidCalendarName

    try:
        with warnings.catch_warnings():
            # Its use of pandas is its authors' business.
            warnings.simplefilter("ignore")
            # It knows nothing before its first session, so it starts with an earlier one.
            return exchange_calendars.get_calendar(
                exchange, start=f"{first_year - 1}-12-01", end=f"{last_year + 1}-01-31"
            )
    except InvalidCalendarName:
        raise MarketError(
            f"exchange {exchange!r}: unknown; give a code such as XNYS, XLON, XTKS or "
            f"{ALWAYS_OPEN!r} for a market that never closes"
        ) from None
    except ValueError as problem:
        raise MarketError(
            f"exchange {exchange!r}: its calendar does not hold {first_year} to {last_year} "
            f"({str(problem).splitlines()[0]})"
        ) from None
