"""The clock of a desk that is not simulated, which replays the past."""

from __future__ import annotations

import time
from collections.abc import Callable


class ReplayClock:
    """A time of the past that goes on from `start`, `speed` times as fast as the true one.

    It counts by the monotonic clock, so that setting the true one changes nothing.
    """

    def __init__(
        self, start: float, speed: float, asked_to_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._start = start
        self._speed = speed
        self._asked_to_stop = asked_to_stop
        self._began = time.monotonic()

    def exact(self) -> float:
        """Return seconds since 1970, with fractions."""
        return self._start + (time.monotonic() - self._began) * self._speed

    def now(self) -> int:
        """Return whole seconds since 1970."""
        return int(self.exact())

    def sleep_until(self, moment: int) -> None:
        """Return at that moment, or when asked to stop."""
        while not self._asked_to_stop() and (left := moment - self.exact()) > 0:
            time.sleep(min(left / self._speed, 0.25))
