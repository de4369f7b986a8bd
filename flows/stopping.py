"""Run a flow so that Ctrl-C and SIGTERM ask it to finish instead of breaking it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Run:
    """A flow in its event loop, and how it is asked to end."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0

    async def __call__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(work())
        if self._asked:
            self._obey()
        return await self._task

    def end(self, *_: object) -> None:
        """Handle a signal, in the main thread."""
        self._asked += 1
        if self._asked == 1:
            print("\nstopping: finishing what is in flight and saving", file=sys.stderr)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._obey)

    def _obey(self) -> None:
        self._stop.set()
        if self._asked > 1:
            self._task.cancel()


def interrupt_on_signals() -> None:
    """Make SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)


def leave_on_signals(status: int) -> None:
    """Make a signal end the process at once: everything is saved, and only threads are ending."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(status))


@contextlib.contextmanager
def _signals_go_to(handler: Callable[..., None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def run_until_stopped(work: Callable[[], Coroutine[Any, Any, T]], stop: asyncio.Event) -> T:
    """Run `work` to its end; the first signal sets `stop`, the second cancels it.

    The event loop runs in a thread of its own. In the main thread Prefect replaces the handler
    of SIGTERM by one that raises inside the loop, and what is in flight would be lost.

    Raises
    ------
    asyncio.CancelledError : after the second signal
    """
    run = _Run(stop)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="flow") as thread, _signals_go_to(run.end):
        return thread.submit(context.run, lambda: asyncio.run(run(work))).result()
