"""Run a flow so that signals ask it to finish, and so that nothing that hangs keeps it alive."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from typing import Any, NoReturn, TypeVar

from alphafoundry.runs import Stop, interrupt_open_runs
from flows.plain_command import EXIT_ERROR, EXIT_INTERRUPTED
from tasks.prefect.temporary_server import kill_temporary_servers

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 0.5
SAVING_SECONDS = 5.0
"""How long a run that has lost its server may take to save what it has."""

CLOSING_SECONDS = 5.0
"""How long the event loop may take to end once the flow has."""

SHOW_CURSOR = "\x1b[?25h"


class Signals:
    """What Ctrl-C, SIGTERM and a closed terminal do, from the start of a command to its end.

    Before the flow they raise KeyboardInterrupt. While it runs, the first asks it to finish.
    A second one ends the process at once, whatever hangs. A SIGHUP that is ignored, as under
    `nohup`, stays so.
    """

    def __init__(self, leave: Callable[[int, str], object] | None = None) -> None:
        self._leave = leave or leave_at_once
        self._stop: Stop | None = None
        self._asked = 0

    def obey(self) -> None:
        """Handle the signals from now on."""
        for number in _obeyed():
            signal.signal(number, self._handle)

    @contextlib.contextmanager
    def asking(self, stop: Stop) -> Iterator[None]:
        """Let the first signal set `stop` during the block."""
        self._stop = stop
        before = {number: signal.signal(number, self._handle) for number in _obeyed()}
        try:
            yield
        finally:
            self._stop = None
            for number, old in before.items():
                signal.signal(number, old)

    def _handle(self, *_: object) -> None:
        self._asked += 1
        if self._asked > 1:
            self._leave(EXIT_INTERRUPTED, "stopped at once; what had finished is saved")
        elif self._stop is None:
            raise KeyboardInterrupt
        else:
            _write("\nstopping: finishing what is in flight and saving; again: at once\n")
            self._stop.set()


def _obeyed() -> list[signal.Signals]:
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in SIGNALS if number != signal.SIGHUP or not ignored]


def run_until_stopped(
    work: Callable[[], Coroutine[Any, Any, T]],
    stop: Stop,
    *,
    signals: Signals,
    lost: Callable[[], str | None] = lambda: None,
    leave: Callable[[int, str], object] | None = None,
) -> T:
    """Run `work` to its end; the first signal sets `stop`.

    The event loop runs in a thread of its own. In the main thread Prefect replaces the handler
    of SIGTERM by one that raises inside the loop, and what is in flight would be lost.

    Parameters
    ----------
    lost : asked twice a second; a text says why the run cannot go on. It is then stopped, gets
        a few seconds to save, and the process ends with that text
    leave : ends the process with a status and a line
    """
    outcome: Future[T] = Future()
    context = contextvars.copy_context()
    loop = threading.Thread(
        target=context.run, args=(_run_into, work, outcome), daemon=True, name="flow"
    )
    with signals.asking(stop):
        loop.start()
        while not wait([outcome], timeout=LOOK_SECONDS).done:
            problem = lost()
            if problem is not None:
                stop.set(problem)
                wait([outcome], timeout=SAVING_SECONDS)
                (leave or leave_at_once)(EXIT_ERROR, problem)
                break
        loop.join(CLOSING_SECONDS)
    if outcome.done() and outcome.exception() is not None and (problem := lost()) is not None:
        (leave or leave_at_once)(EXIT_ERROR, problem)
    return outcome.result()


def _run_into(work: Callable[[], Coroutine[Any, Any, T]], outcome: Future[T]) -> None:
    async def run() -> None:
        # Known before the loop has closed: closing waits for threads that may hang.
        try:
            result = await work()
        except BaseException as problem:
            outcome.set_exception(problem)
        else:
            outcome.set_result(result)

    with contextlib.suppress(BaseException):
        asyncio.run(run())
    if not outcome.done():
        outcome.set_exception(asyncio.CancelledError())


def leave_at_once(status: int, message: str) -> NoReturn:
    """End the process within about a second: runs are recorded as interrupted, nothing is awaited.

    For a signal handler, too: it prints without Python's buffers.
    """
    interrupt_open_runs()
    kill_temporary_servers()
    _write(f"{SHOW_CURSOR if sys.stderr.isatty() else ''}\nerror: {message}\n".lstrip("\n"))
    os._exit(status)


def leave(status: int) -> NoReturn:
    """End the process: all is saved, and threads that still end are not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


class ServerWatch:
    """Tells when the Prefect server of a run is gone for good.

    A temporary server is gone when its process has ended. One that is configured may be
    restarting: it is gone when it has refused every connection for a while. A server that hangs
    is not gone; the person who waits for it can leave by a second signal.
    """

    GONE_SECONDS = 15.0

    def __init__(
        self, url: str, *, has_ended: Callable[[], bool], refuses: Callable[[str], bool]
    ) -> None:
        self._url = url
        self._has_ended = has_ended
        self._refuses = refuses
        self._refused_since: float | None = None
        self._looked = 0.0

    def lost(self) -> str | None:
        """Return the line that says so, None while the server lives."""
        now = time.monotonic()
        if self._has_ended():
            return self._line("has ended")
        if now - self._looked < 2.0:
            return None
        self._looked = now
        if not self._refuses(self._url):
            self._refused_since = None
            return None
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since < self.GONE_SECONDS:
            return None
        return self._line("does not answer any more")

    def _line(self, what: str) -> str:
        return (
            f"the Prefect server at {self._url} {what}; what had finished is saved, and the next "
            "run goes on with the rest"
        )
