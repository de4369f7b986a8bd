"""The time of day, for callers that give none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")

Clock = Callable[[], datetime]
"""Returns the present time, aware."""


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


def eastern_day(now: datetime) -> date:
    """Return the day of US Eastern time at `now`, which must be aware; BRAIN's limits follow it.

    Raises
    ------
    ValueError : `now` has no time zone
    """
    if now.tzinfo is None:
        raise ValueError(f"{now.isoformat()} has no time zone")
    return now.astimezone(EASTERN).date()
