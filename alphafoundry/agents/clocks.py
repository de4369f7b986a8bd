"""The clocks of a desk that is not simulated: one replays the past, one is the true one."""

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


class TrueClock:
    """The time of day.

    asked_to_stop : ends a sleep early
    """

    def __init__(self, asked_to_stop: Callable[[], bool] = lambda: False) -> None:
        self._asked_to_stop = asked_to_stop

    def exact(self) -> float:
        """Return seconds since 1970, with fractions."""
        return time.time()

    def now(self) -> int:
        """Return whole seconds since 1970."""
        return int(time.time())

    def sleep_until(self, moment: int) -> None:
        """Return at that moment, or when asked to stop.

        It sleeps in short pieces, so that a clock that is set, or a machine that slept, is noticed.
        """
        while not self._asked_to_stop() and (left := moment - time.time()) > 0:
            time.sleep(min(left, 0.5))
