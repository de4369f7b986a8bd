"""How many requests may be under way at once, learned from what the service says.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), as TCP does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator


class AdaptiveConcurrency:
    """A number of permits between 1 and `cap` that falls on 429 and rises on success.

    A refusal halves the number, once for all requests that were under way when it fell; a whole
    round of successes (as many as there are permits) raises it by one.

    Parameters
    ----------
    cap : most requests at once, at least 1; also the number to start with

    Attributes
    ----------
    lowest, peak : fewest permits so far, and most requests under way at once
    """

    def __init__(self, cap: int) -> None:
        if cap < 1:
            raise ValueError(f"a cap of {cap} requests lets nothing through")
        self.cap = cap
        self.lowest = cap
        self.peak = 0
        self._permits = float(cap)
        self._running = 0
        self._generation = 0
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        return f"AdaptiveConcurrency({self._running} under way, {self.limit} of {self.cap} allowed)"

    @property
    def limit(self) -> int:
        """Requests that may be under way now, 1 to `cap`."""
        return math.floor(self._permits + 1e-9)

    @property
    def generation(self) -> int:
        """How often the number fell; remember it when a request is sent."""
        return self._generation

    def succeeded(self) -> None:
        """Count an answer."""
        self._permits = min(float(self.cap), self._permits + 1.0 / self.limit)

    def refused(self, generation: int) -> None:
        """Count a 429 of a request that was sent when `generation` was the current one."""
        if generation != self._generation:
            return
        self._generation += 1
        self._permits = max(1.0, self._permits / 2)
        self.lowest = min(self.lowest, self.limit)

    @contextlib.asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Hold one permit for the length of the block, waiting for it where none is free."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._running < self.limit)
            self._running += 1
            self.peak = max(self.peak, self._running)
        try:
            yield
        finally:
            self._running -= 1
            async with self._changed:
                self._changed.notify_all()
