"""Sharing one operator's work among threads.

Kernels and NumPy release Python's lock, so threads of one process run side by side. The calling
thread works too and never waits for a thread that has not started: when all cores are busy with
other evaluations it does everything itself.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

ROWS_AT_ONCE = 64
"""Days of a piece of work that goes day by day."""

_limit: ContextVar[int] = ContextVar("threads", default=0)
_pool_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def at_most(threads: int | None) -> Iterator[None]:
    """Use at most so many threads for an operator inside the block; None sets no limit.

    A limit of a block around this one holds as well.
    """
    outer, own = _limit.get(), threads or 0
    token = _limit.set(min(outer, own) if outer and own else outer or own)
    try:
        yield
    finally:
        _limit.reset(token)


def threads_here() -> int:
    """Return how many threads an operator may use here."""
    return _limit.get() or available_cores()


def share(work: Callable[[int, int], object], length: int, step: int) -> None:
    """Call work(first, last) on pieces of 0..length, each `step` long but the last.

    Returns when every piece is done. An exception of a piece is raised after the others.
    """
    pieces = range(0, length, step)
    wanted = min(threads_here(), len(pieces))
    if wanted <= 1:
        for first in pieces:
            work(first, min(first + step, length))
        return
    taken = itertools.count()

    def run() -> None:
        while (index := next(taken)) < len(pieces):
            first = pieces[index]
            work(first, min(first + step, length))

    helpers = [_pool().submit(run) for _ in range(wanted - 1)]
    try:
        run()
    finally:
        _collect(helpers)


def _collect(helpers: list[Future[None]]) -> None:
    for helper in helpers:
        if not helper.cancel():
            helper.result()


def _pool() -> ThreadPoolExecutor:
    """Return this process's pool; a forked child makes its own."""
    process = os.getpid()
    with _pool_lock:
        if process not in _pools:
            _pools[process] = ThreadPoolExecutor(
                max(available_cores() - 1, 1), thread_name_prefix="alpha-kernel"
            )
        return _pools[process]
