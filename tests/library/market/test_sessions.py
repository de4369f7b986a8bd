"""Sessions of exchanges, and the synthetic market's own days beside them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market.calendar import trading_days
from alphafoundry.market.sessions import (
    ALWAYS_OPEN,
    NEW_YORK,
    Session,
    is_session,
    known_exchanges,
    last_closed_session,
    last_session_before,
    session_days,
    sessions,
)


def test_the_synthetic_markets_days_are_those_of_the_exchange() -> None:
    days = session_days(NEW_YORK, date(1998, 1, 1), date(2027, 12, 31))
    assert np.array_equal(trading_days(date(1998, 1, 1), len(days)), days)


@pytest.mark.parametrize(("exchange", "years_first"), [("XTSE", True), ("XASX", False)])
def test_a_session_is_the_same_whatever_was_asked_for_before(
    exchange: str, years_first: bool
) -> None:
    def year_by_year() -> list[Session]:
        years = (2021, 2022, 2023)
        return [one for y in years for one in sessions(exchange, date(y, 1, 1), date(y, 12, 31))]

    earlier = year_by_year() if years_first else []
    whole = sessions(exchange, date(2021, 1, 1), date(2023, 12, 31))
    assert year_by_year() == whole
    assert earlier in (whole, [])
    calendar = exchange_calendars.get_calendar(exchange, start="2020-12-01", end="2024-01-31")
    assert [one.opens for one in whole] == [
        calendar.session_open(day) for day in calendar.sessions_in_range("2021-01-01", "2023-12-31")
    ]


def test_a_half_day_closes_at_one_in_new_york() -> None:
    friday = sessions(NEW_YORK, date(2024, 11, 25), date(2024, 12, 2))
    assert [one.day for one in friday] == [date(2024, 11, day) for day in (25, 26, 27, 29)] + [
        date(2024, 12, 2)
    ]
    assert [one.half_day for one in friday] == [False, False, False, True, False]
    local = friday[3].closes.astimezone(ZoneInfo("America/New_York"))
    assert local.time() == time(13)


@pytest.mark.parametrize(
    ("today", "last"),
    [
        (date(2024, 6, 5), date(2024, 6, 4)),
        (date(2024, 6, 3), date(2024, 5, 31)),
        (date(2024, 7, 5), date(2024, 7, 3)),
        (date(2024, 1, 2), date(2023, 12, 29)),
        (date(2001, 9, 17), date(2001, 9, 10)),
    ],
)
def test_the_last_session_is_before_today(today: date, last: date) -> None:
    assert last_session_before(NEW_YORK, today) == last


@pytest.mark.parametrize(
    ("moment", "last"),
    [
        (datetime(2024, 11, 29, 18, 10, tzinfo=UTC), date(2024, 11, 27)),
        (datetime(2024, 11, 29, 18, 15, tzinfo=UTC), date(2024, 11, 29)),
        (datetime(2024, 7, 8, 20, 14, tzinfo=UTC), date(2024, 7, 5)),
        (datetime(2024, 7, 8, 20, 15, tzinfo=UTC), date(2024, 7, 8)),
    ],
)
def test_a_bar_counts_a_quarter_of_an_hour_after_the_close(moment: datetime, last: date) -> None:
    assert last_closed_session(NEW_YORK, moment) == last


def test_other_exchanges_and_the_market_that_never_closes() -> None:
    assert not is_session("XLON", date(2024, 5, 6))
    assert is_session(NEW_YORK, date(2024, 5, 6))
    assert is_session(ALWAYS_OPEN, date(2024, 12, 25))
    assert {"XNYS", "XLON", "XTKS", "24/7"} <= set(known_exchanges())


def test_an_unknown_exchange_is_named() -> None:
    with pytest.raises(MarketError, match="exchange 'NYSEX': unknown; give a code such as XNYS"):
        session_days("NYSEX", date(2024, 1, 1), date(2024, 1, 5))
    assert len(session_days(NEW_YORK, date(2024, 1, 5), date(2024, 1, 4))) == 0
