"""How many requests an account may still send, by the broker's own count where it tells it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from alphafoundry.retry_after import retry_after

MINUTE = 60.0
KEPT_FOR_READING = 20
"""Requests of a minute that orders leave, so that what became of them can be read."""

TOO_MANY = 429


class Quota:
    """Requests of one account within the last minute.

    Nothing waits here: what may not be sent now is sent by a later tick.

    Parameters
    ----------
    per_minute : requests that the broker allows
    clock : seconds since 1970
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.time) -> None:
        self._most = per_minute
        self._clock = clock
        self._sent: deque[float] = deque()
        self._closed_until = 0.0

    def take(self, *, order: bool) -> float:
        """Count a request that is about to be sent; return 0, or the seconds until it may be.

        order : it sends an order; some requests are kept for reading
        """
        now = self._clock()
        while self._sent and self._sent[0] <= now - MINUTE:
            self._sent.popleft()
        if now < self._closed_until:
            return self._closed_until - now
        most = max(self._most - (KEPT_FOR_READING if order else 0), 1)
        if len(self._sent) >= most:
            return self._sent[-most] + MINUTE - now
        self._sent.append(now)
        return 0.0

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """Take what an answer says of the broker's own count, which other programs share.

        X-Ratelimit-Remaining of 0, and a 429, close it until X-Ratelimit-Reset (seconds since
        1970) or for Retry-After; for a minute at most, and where neither is there.
        """
        if status != TOO_MANY and headers.get("X-Ratelimit-Remaining", "").strip() != "0":
            return
        now = self._clock()
        asked = retry_after(headers)
        if asked is None:
            try:
                asked = float(headers.get("X-Ratelimit-Reset", "")) - now
            except ValueError:
                asked = MINUTE
        # Also false for NaN, and for a reset that is over.
        self._closed_until = now + (asked if 0.0 < asked < MINUTE else MINUTE)
