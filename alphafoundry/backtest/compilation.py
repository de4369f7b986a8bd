"""How the backtest's kernels are compiled: once per machine, kept on disk, without Python's lock.

Floating-point arithmetic stays in the order that is written, so that a result does not depend on
which kernel a loop was compiled into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.float64]
FloatRow = NDArray[np.float64]
FloatBlock = NDArray[np.float64]
CountMatrix = NDArray[np.int32]

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile on first call, read from the disk cache afterwards.

    Division by zero follows IEEE (inf or NaN) instead of raising. A kernel calls only kernels of
    its own file, or the disk cache would miss a change of the other.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
