"""How a run is asked to end: from a signal, another thread, Prefect, or its own heartbeat."""

from __future__ import annotations

import asyncio
import contextlib


class Stop:
    """A request to end, made once, from any thread or signal handler.

    `asyncio.Event` belongs to one event loop and must be set inside it; `threading.Event` cannot
    be awaited, and its lock must not be taken in a signal handler.

    Attributes
    ----------
    reason : why the run was asked to end, None where nobody said
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._set = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"Stop({self.reason or 'asked for'})" if self._set else "Stop(not asked for)"

    def is_set(self) -> bool:
        """Return whether the run was asked to end."""
        return self._set

    def set(self, reason: str | None = None) -> None:
        """Ask the run to end; the first reason counts."""
        if self.reason is None:
            self.reason = reason
        self._set = True
        for loop, future in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                loop.call_soon_threadsafe(_wake, future)

    def told(self, where: str = "") -> str:
        """Return why and where the run was asked to end, in a sentence; empty where it was not."""
        if not self._set:
            return ""
        reason = self.reason or "asked to end; what had finished is saved"
        at = f" (it was at: {where})" if where else ""
        return f"{reason[:1].upper()}{reason[1:]}{at}"

    async def wait(self) -> None:
        """Return once the run was asked to end."""
        loop = asyncio.get_running_loop()
        entry = (loop, loop.create_future())
        # Enter first and look afterwards: `set` does it the other way round.
        self._waiting.append(entry)
        try:
            if not self._set:
                await entry[1]
        finally:
            self._waiting.remove(entry)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
