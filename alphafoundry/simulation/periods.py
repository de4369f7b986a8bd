"""Calendar periods: ISO durations, and days some months ago."""

from __future__ import annotations

import re

import numpy as np

from alphafoundry.errors import ConfigurationError

_DURATION = re.compile(r"P([0-9])Y([0-9]{1,2})M(?:([0-9]{1,3})D)?")


def months_before(day: np.datetime64, months: int) -> np.datetime64:
    """Return the same day of the month `months` earlier, the month's last where it is shorter."""
    month = day.astype("datetime64[M]")
    earlier = month - np.timedelta64(months, "M")
    day_of_month = day.astype("datetime64[D]") - month.astype("datetime64[D]")
    following = (earlier + np.timedelta64(1, "M")).astype("datetime64[D]")
    found = earlier.astype("datetime64[D]") + day_of_month
    return np.datetime64(min(found, following - np.timedelta64(1, "D")))


def before(day: np.datetime64, duration: str) -> np.datetime64:
    """Return the day that lies `duration`, such as P1Y6M or P0Y3M0D, before `day`.

    Raises ConfigurationError where the duration is written otherwise.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ConfigurationError(
            f"testPeriod: {duration!r} is not a period; write P0Y0M to P6Y0M0D"
        )
    years, months, days = (int(part or 0) for part in match.groups())
    return np.datetime64(months_before(day, 12 * years + months) - np.timedelta64(days, "D"))
