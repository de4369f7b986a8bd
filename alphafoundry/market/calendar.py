"""Trading days of the synthetic market, by the rules of the New York Stock Exchange.

Days of real markets come from `sessions`. These need no package and never change with one, so
that the calibration market of a seed is the same for ever; a test compares both.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6

UNSCHEDULED_CLOSURES = (
    date(2001, 9, 11),
    date(2001, 9, 12),
    date(2001, 9, 13),
    date(2001, 9, 14),
    date(2004, 6, 11),
    date(2007, 1, 2),
    date(2012, 10, 29),
    date(2012, 10, 30),
    date(2018, 12, 5),
    date(2025, 1, 9),
)


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar.

    The anonymous algorithm of Nature, 20 April 1876, as printed by Meeus in Astronomical
    Algorithms, 1991.
    """
    golden = year % 19
    century, of_century = divmod(year, 100)
    leap_centuries, rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - correction + 15) % 30
    leap_years, of_leap = divmod(of_century, 4)
    weekday = (32 + 2 * rest + 2 * leap_years - epact - of_leap) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1)


def exchange_holidays(year: int) -> frozenset[date]:
    """Return the weekdays of `year` on which the exchange stays closed.

    Rule 7.2 of the exchange: a holiday on Sunday moves to Monday, one on Saturday to Friday,
    except New Year's Day, which is then not observed. Half days count as trading days.
    """
    fixed = [date(year, 7, 4), date(year, 12, 25)]
    if year >= 2022:
        fixed.append(date(year, 6, 19))
    holidays = {_observed(day) for day in fixed}
    new_year = date(year, 1, 1)
    if new_year.weekday() != _SATURDAY:
        holidays.add(_observed(new_year))
    holidays |= {
        _nth_weekday(year, 1, _MONDAY, 3),
        _nth_weekday(year, 2, _MONDAY, 3),
        easter(year) - timedelta(days=2),
        _last_monday_of_may(year),
        _nth_weekday(year, 9, _MONDAY, 1),
        _nth_weekday(year, 11, _THURSDAY, 4),
    }
    return frozenset(holidays | {day for day in UNSCHEDULED_CLOSURES if day.year == year})


def trading_days(first: date, count: int) -> NDArray[np.datetime64]:
    """Return the first `count` trading days on or after `first`, datetime64[D], ascending."""
    days: list[date] = []
    year = first.year
    while len(days) < count:
        holidays = exchange_holidays(year)
        day = max(first, date(year, 1, 1))
        while day.year == year and len(days) < count:
            if day.weekday() < _SATURDAY and day not in holidays:
                days.append(day)
            day += timedelta(days=1)
        year += 1
    return np.array(days, dtype="datetime64[D]")


def _observed(day: date) -> date:
    if day.weekday() == _SATURDAY:
        return day - timedelta(days=1)
    if day.weekday() == _SUNDAY:
        return day + timedelta(days=1)
    return day


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())
