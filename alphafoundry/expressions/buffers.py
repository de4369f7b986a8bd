"""Memory of arrays that nobody reads any more, kept for the next ones.

A fresh array of some megabytes costs more than most operators: the system hands out its pages one
by one, each set to zero. Here a float64 array's memory comes back when the last view of it is
gone, and serves the next array of that shape.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = 1 << 15
"""Bytes below which arrays are not worth keeping."""

FREE_BYTES = 384 * 2**20
"""Most bytes that are kept without being in use."""

FloatPanel = NDArray[np.float64]

_free: dict[int, deque[NDArray[np.uint8]]] = {}
_ALIGNMENT = 64


class _Loan:
    """Owner of one array's memory; gives it back when no view is left."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: NDArray[np.uint8], interface: dict[str, Any]) -> None:
        self._memory = memory
        self.__array_interface__ = interface

    def __del__(self) -> None:
        # While the interpreter ends, names of a module become None one after another.
        if None not in (_give_back, _free, _ALIGNMENT):
            _give_back(self._memory)


def empty(shape: tuple[int, ...]) -> FloatPanel:
    """Return a float64 array in C order whose values are anything, like `numpy.empty`."""
    size = int(np.prod(shape)) * 8
    if size < SMALL:
        return np.empty(shape)
    memory = _take(size)
    start = -memory.ctypes.data % _ALIGNMENT
    template = memory[start : start + size].view(np.float64).reshape(shape)
    loan = _Loan(memory, template.__array_interface__)
    return np.asarray(loan)


def _take(size: int) -> NDArray[np.uint8]:
    kept = _free.get(size)
    if kept:
        try:
            return kept.pop()
        except IndexError:
            pass
    return np.empty(size + _ALIGNMENT, np.uint8)


def _give_back(memory: NDArray[np.uint8]) -> None:
    """Keep the memory unless too much is kept; runs in destructors, so it takes no lock."""
    size = len(memory) - _ALIGNMENT
    kept = _free.setdefault(size, deque())
    free = sum(bytes_each * len(several) for bytes_each, several in list(_free.items()))
    if free + size <= FREE_BYTES:
        kept.append(memory)
    elif not kept:
        _free.pop(size, None)


def release() -> None:
    """Give all memory that is kept without being in use back to the system."""
    _free.clear()
