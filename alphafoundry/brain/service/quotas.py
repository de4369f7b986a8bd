"""Days as BRAIN counts them: US Eastern, from midnight to midnight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time of the machine."""
    return datetime.now(UTC)


def eastern_day(moment: datetime) -> date:
    """Return the day in US Eastern time; `moment` has a time zone."""
    return moment.astimezone(EASTERN).date()


def seconds_until_midnight(moment: datetime) -> float:
    """Return the seconds until the quotas begin anew; a day may have 23 or 25 hours."""
    midnight = datetime.combine(eastern_day(moment) + timedelta(days=1), time(), EASTERN)
    return (midnight.astimezone(UTC) - moment).total_seconds()


def eastern_text(moment: datetime) -> str:
    """Return ISO text with the Eastern offset, as BRAIN writes dates."""
    return moment.astimezone(EASTERN).isoformat(timespec="seconds")
