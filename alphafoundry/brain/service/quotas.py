"""Days as BRAIN counts them: US Eastern, from midnight to midnight."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from alphafoundry.clock import EASTERN, eastern_day


def seconds_until_midnight(moment: datetime) -> float:
    """Return the seconds until the quotas begin anew; a day may have 23 or 25 hours."""
    midnight = datetime.combine(eastern_day(moment) + timedelta(days=1), time(), EASTERN)
    return (midnight.astimezone(UTC) - moment).total_seconds()


def eastern_text(moment: datetime) -> str:
    """Return ISO text with the Eastern offset, as BRAIN writes dates."""
    return moment.astimezone(EASTERN).isoformat(timespec="seconds")
