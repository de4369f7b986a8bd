"""A circuit breaker: an endpoint that keeps failing is left alone, then asked by one probe.

M. Nygard, "Release It!", chapter 5: closed, open, half-open.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from alphafoundry.errors import ModelRequestError


class CircuitBreaker:
    """Stops requests to an endpoint after `failures` of them failed in a row.

    After `rest` seconds one request is let through as a probe. Its success closes the circuit;
    its failure opens it again for twice as long, at most `longest_rest`.

    Parameters
    ----------
    failures : failures in a row (5xx, time-outs, network errors) that open the circuit
    rest, longest_rest : seconds
    clock : monotonic seconds

    Attributes
    ----------
    opened : how often it opened, failed probes included
    failed_probes : probes that failed since the last success
    """

    def __init__(
        self,
        *,
        failures: int = 12,
        rest: float = 10.0,
        longest_rest: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1:
            raise ValueError("a circuit opens after at least one failure")
        self.failures = failures
        self.rest = rest
        self.longest_rest = longest_rest
        self.opened = 0
        self.failed_probes = 0
        self._clock = clock
        self._in_a_row = 0
        self._until = 0.0
        self._resting = rest
        self._open = False
        self._probing = False
        self._last = ""

    def __repr__(self) -> str:
        return f"CircuitBreaker({self.state}, {self._in_a_row} failures in a row)"

    @property
    def state(self) -> str:
        """ "closed" (requests pass), "open" (none does) or "half-open" (one probe does)."""
        if not self._open:
            return "closed"
        return "half-open" if self._probing or self._clock() >= self._until else "open"

    def enter(self, endpoint: str) -> bool:
        """Let a request through, and return whether it is the probe.

        Raises
        ------
        ModelRequestError : kind "circuit"; retry_after says when the next probe is due
        """
        if not self._open:
            return False
        remaining = self._until - self._clock()
        if remaining > 0 or self._probing:
            raise ModelRequestError(
                f"{endpoint}: not asked, because {self._in_a_row} requests in a row failed; "
                f"the last: {self._last}",
                kind="circuit",
                retry_after=max(remaining, 0.5),
            )
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Count an answer of the endpoint, whatever the answer says."""
        self._in_a_row = 0
        self._open = False
        self._probing = False
        self._resting = self.rest
        self.failed_probes = 0

    def failed(self, reason: str, *, probe: bool) -> None:
        """Count a failure of the endpoint; `probe` is what `enter` returned."""
        self._in_a_row += 1
        self._last = reason
        if probe:
            self._probing = False
            self.failed_probes += 1
            self._resting = min(2 * self._resting, self.longest_rest)
        elif self._open or self._in_a_row < self.failures:
            return
        self._open = True
        self.opened += 1
        self._until = self._clock() + self._resting

    def abandoned(self, *, probe: bool) -> None:
        """Forget a request that was cancelled before anything was known."""
        if probe:
            self._probing = False
