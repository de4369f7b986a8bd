"""How much memory a process keeps that its threads have given back."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ARENAS = 2
_LARGE = 64 * 1024


def give_back() -> None:
    """Give what is free in the heaps back to the system, wherever in them it lies.

    glibc by itself gives back the end of a heap alone. With another C library it does nothing.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_little() -> None:
    """Let all threads of this process share two heaps, and give large pieces back at once.

    Without it, glibc lets each of many threads keep as much as its largest piece of work took. To
    be called before there are threads; with another C library it does nothing.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        adjust = ctypes.CDLL(None).mallopt
        for parameter, value in (
            (_M_ARENA_MAX, _ARENAS),
            (_M_MMAP_THRESHOLD, _LARGE),
            (_M_TRIM_THRESHOLD, _LARGE),
        ):
            adjust(parameter, value)
