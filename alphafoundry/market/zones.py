"""The trading day of a time stamp: midnights of other zones, and days shifted by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.dates import DAY_SECONDS
from alphafoundry.market.issues import ReadingNote

EXCHANGE_ZONES = (
    "America/New_York",
    "America/Chicago",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Helsinki",
    "Europe/Istanbul",
    "Africa/Johannesburg",
    "Asia/Jerusalem",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Bangkok",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
)
"""Zones of exchanges; others with the same clock give the same days."""

_AT_MIDNIGHT = 0.98
_RARE = 0.02
_MONDAY, _FRIDAY, _SATURDAY, _SUNDAY = 0, 4, 5, 6


def trading_days(
    days: NDArray[np.int64], seconds: NDArray[np.int64], *, zoned: bool
) -> tuple[NDArray[np.int64], tuple[ReadingNote, ...]]:
    """Return (trading day of each stamp, notes) of one or more series stamped alike.

    Parameters
    ----------
    days : int64 array of shape (n_rows,), days since 1970 as the source writes them
    seconds : int64 array of shape (n_rows,), time after midnight
    zoned : whether the times are those of the exchange's own zone

    Stamps in UTC that are all midnights of an exchange's zone are of the day there, where that
    takes bars off weekends or explains a change of the clock by daylight saving. Sunday to
    Thursday with a time on each stamp is Monday to Friday, stamped the evening before; Tuesday
    to Saturday is Monday to Friday, stamped the day after. Sunday to Thursday without times
    stays, as some exchanges trade so, with a note.
    """
    first = int(days.min())
    weekdays = _weekdays(np.flatnonzero(np.bincount(days - first)) + first)
    timed = bool((seconds != 0).any())
    if timed and not zoned:
        stamps = np.unique(days * DAY_SECONDS + seconds)
        found = _midnights(stamps, weekdays)
        if found is not None:
            zone, shift = found
            moved = shift[np.searchsorted(stamps, days * DAY_SECONDS + seconds)]
            note = f"stamps are midnights of {zone} in UTC: each bar is of the day there"
            return moved, (ReadingNote("time-zone", note),)
    if _is_week(weekdays, absent=(_FRIDAY, _SATURDAY), present=_SUNDAY):
        if timed:
            note = (
                "days are Sunday to Thursday, stamped in the evening: each bar is of the next day"
            )
            return days + 1, (ReadingNote("weekdays", note),)
        note = (
            "days are Sunday to Thursday: right for Riyadh or Tel Aviv; elsewhere the days are "
            "shifted by one, as midnights of a zone east of London are in UTC"
        )
        return days, (ReadingNote("weekdays", note),)
    if _is_week(weekdays, absent=(_SUNDAY, _MONDAY), present=_SATURDAY):
        note = "days are Tuesday to Saturday: each bar is taken for the day before"
        return days - 1, (ReadingNote("weekdays", note),)
    return days, _partly_shifted(weekdays)


def _midnights(
    stamps: NDArray[np.int64], weekdays: NDArray[np.int64]
) -> tuple[str, NDArray[np.int64]] | None:
    """Return (zone, trading day of each stamp) where the stamps are midnights there."""
    import pandas as pd

    moments = pd.DatetimeIndex(stamps.astype("datetime64[s]"), tz="UTC")
    as_written = int((weekdays >= _SATURDAY).sum())
    clocks = len(np.unique(stamps % DAY_SECONDS))
    best: tuple[int, str, NDArray[np.int64]] | None = None
    for zone in EXCHANGE_ZONES:
        local = moments.tz_convert(zone).tz_localize(None).to_numpy().astype("datetime64[s]")
        days, rest = np.divmod(local.astype(np.int64), DAY_SECONDS)
        if np.mean(rest == 0) < _AT_MIDNIGHT or (days == stamps // DAY_SECONDS).all():
            continue
        weekend = int((_weekdays(np.unique(days)) >= _SATURDAY).sum())
        explains = weekend < as_written or (clocks > 1 and weekend <= as_written)
        if explains and (best is None or weekend < best[0]):
            best = weekend, zone, days
    return None if best is None else best[1:]


def _weekdays(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 for Monday to 6 for Sunday; 1970-01-01 was a Thursday."""
    return (days + 3) % 7


def _is_week(weekdays: NDArray[np.int64], *, absent: tuple[int, int], present: int) -> bool:
    counts = np.bincount(weekdays, minlength=7)
    usual = counts.max()
    others = [day for day in range(7) if day not in absent]
    return (
        len(weekdays) >= 10
        and all(counts[day] <= _RARE * usual for day in absent)
        and all(counts[day] > usual / 2 for day in others)
        and counts[present] > 0
    )


def _partly_shifted(weekdays: NDArray[np.int64]) -> tuple[ReadingNote, ...]:
    counts = np.bincount(weekdays, minlength=7)
    sundays, fridays = int(counts[_SUNDAY]), int(counts[_FRIDAY])
    usual = int(np.median(counts[1:_FRIDAY]))
    shifted = sundays > 0.1 * usual and counts[_SATURDAY] <= _RARE * usual
    if not shifted or usual < 10 or abs(usual - fridays - sundays) > 0.2 * sundays + 2:
        return ()
    note = (
        f"{sundays} days are Sundays, and about as many Fridays are missing: these days are "
        "shifted by one, as midnights in summer time are in UTC; give the stamps with their zone"
    )
    return (ReadingNote("weekdays", note),)
