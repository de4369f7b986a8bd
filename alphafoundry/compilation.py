"""How kernels are compiled: once per machine, kept on disk, without Python's lock.

The disk cache looks at the file of a kernel and at no other, so a kernel calls only kernels of its
own file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

FloatPanel = NDArray[np.float64]
FloatMatrix = NDArray[np.float64]
FloatRow = NDArray[np.float64]
FloatBlock = NDArray[np.float64]
CountMatrix = NDArray[np.int32]
GroupPanel = NDArray[np.int32]

WIDTH = 1504
"""Columns that a rolling kernel treats together: memory is read in long stretches.

Its bytes are no multiple of 4096. Rows of intermediate values that lie one after another would
otherwise share the same places of the first-level cache: correlations then take a third longer.
"""

NARROW = 256
"""The same for kernels that go through a window again for each day: what they keep stays in the
first-level cache."""

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile on first call, read from the disk cache afterwards.

    Division by zero follows IEEE (inf or NaN) instead of raising. Floating-point arithmetic stays
    in the order that is written, so a result does not depend on which kernel a loop is part of.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def summing_kernel(function: Function) -> Function:
    """Do what `kernel` does for one that adds up a row, in whatever order is fastest.

    Sums of a row may differ in the last bits between kinds of processors, never between runs or
    numbers of threads on one.
    """
    return cast(
        Function,
        numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})(
            function
        ),
    )
