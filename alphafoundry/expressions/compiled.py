"""Names of compiled kernels, imported when they are first called."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import buffers
from alphafoundry.expressions.threads import ROWS_AT_ONCE, share, threads_here

LEAST_COLUMNS = 64
"""Columns of a piece below which another thread is not worth its start."""


@dataclass(frozen=True)
class Compiled:
    """A kernel by module and name; callable like the operators' other kernels.

    The kernel takes the inputs, the keywords in their declared order, the output array and the
    first and last column (over="columns", for arithmetic along time) or row (over="rows", for
    arithmetic across instruments) to fill. The range lets threads share one call.
    """

    module: str
    function: str
    over: Literal["rows", "columns"]
    fixed: tuple[float | int | bool, ...] = field(default=())

    @cached_property
    def kernel(self) -> Callable[..., None]:
        """The compiled function; the first access imports numba."""
        module = importlib.import_module(f"alphafoundry.expressions.kernels.{self.module}")
        found: Callable[..., None] = getattr(module, self.function)
        return found

    def __call__(self, *inputs: Any, **options: Any) -> NDArray[np.float64]:
        """Return a new float64 array of the first input's shape (n_days, n_instruments)."""
        first: NDArray[np.float64] = inputs[0]
        out = buffers.empty(first.shape)
        self.fill(out, *inputs, *options.values(), *self.fixed)
        return out

    def fill(self, out: NDArray[np.float64], *arguments: Any) -> None:
        """Fill out, shape (n_days, n_instruments), from the kernel's arguments before it."""
        kernel = self.kernel
        rows = self.over == "rows"
        columns = max(-(-out.shape[1] // threads_here()), LEAST_COLUMNS)
        share(
            lambda first, last: kernel(*arguments, out, first, last),
            out.shape[0] if rows else out.shape[1],
            ROWS_AT_ONCE if rows else columns,
        )


def along_time(module: str, function: str, *fixed: float | int | bool) -> Compiled:
    """Name a kernel that works on each column by itself."""
    return Compiled(module, function, "columns", fixed)


def across(module: str, function: str, *fixed: float | int | bool) -> Compiled:
    """Name a kernel that works on each row by itself."""
    return Compiled(module, function, "rows", fixed)


@dataclass(frozen=True)
class CellKernel:
    """A kernel that fills an array cell by cell from arrays of its shape; takes numbers too."""

    module: str
    function: str
    fixed: tuple[int, ...] = field(default=())

    @cached_property
    def kernel(self) -> Callable[..., None]:
        """The compiled function; the first access imports numba."""
        module = importlib.import_module(f"alphafoundry.expressions.kernels.{self.module}")
        found: Callable[..., None] = getattr(module, self.function)
        return found

    def __call__(self, *inputs: Any) -> Any:
        """Return a new array, or a number where all inputs are numbers."""
        shape = np.broadcast_shapes(*(np.shape(value) for value in inputs))
        out = np.empty(shape or (1, 1))
        arrays = [_filled(value, out.shape) for value in inputs]
        self.kernel(*arrays, *self.fixed, out)
        return out if shape else float(out[0, 0])


def _filled(value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if isinstance(value, np.ndarray):
        array: NDArray[np.float64] = np.require(value, np.float64, ["C", "W"])
        return array
    return np.full(shape, float(value))


def cellwise(function: str, *fixed: int) -> CellKernel:
    """Name a kernel of module `cells`."""
    return CellKernel("cells", function, fixed)
