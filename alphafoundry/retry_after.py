"""The Retry-After header of a response (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from alphafoundry.clock import utc_now


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the seconds that Retry-After asks to wait, None where it is absent or unreadable.

    Reads seconds, with decimals too ("5.0", as BRAIN writes them), and HTTP dates, relative to
    `now`, which is the clock's where None. Never negative; infinite and NaN count as unreadable.

    headers : names are looked up as "Retry-After"; httpx's mapping ignores case
    """
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (aware - (now or utc_now())).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
