"""How kernels are compiled: once per machine, kept on disk, without Python's lock.

The disk cache looks at the file of a kernel and at no other, so a kernel calls only kernels of its
own file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import InTreeCacheLocator
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


LIBRARY = Path(__file__).parent
_config: Any = numba.config


class KernelFolder(InTreeCacheLocator):
    """Tells numba where compiled kernels lie: in the user's cache folder, by content of the file.

    A second checkout, a fresh clone or a new environment finds what this machine has compiled
    before; another version of a file has a folder of its own. Where that folder cannot be written,
    where `NUMBA_CACHE_DIR` says another, and for functions of other packages numba decides.
    """

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)  # type: ignore[no-untyped-call]
        self._stamp = _digest(file)
        self._cache_path = str(kernel_folder() / f"{Path(file).stem}-{self._stamp[:20]}")

    def get_source_stamp(self) -> str:
        """Return what tells one version of the file from another."""
        return self._stamp

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Self | None:
        """Return the folder for a kernel of this library, None where numba should decide."""
        if _config.CACHE_DIR or not Path(file).is_relative_to(LIBRARY):
            return None
        with contextlib.suppress(RuntimeError):  # no home is known
            found = super().from_function(function, file)  # type: ignore[no-untyped-call]
            return cast("Self | None", found)
        return None


def kernel_folder() -> Path:
    """Return the folder of the compiled kernels, in the user's cache folder.

    Raises RuntimeError where neither `XDG_CACHE_HOME` nor a home folder is known.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(caches) / "alphafoundry" / "kernels"


@functools.cache
def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


if not _config.CACHE_LOCATOR_CLASSES:
    _config.CACHE_LOCATOR_CLASSES = (
        f"{__name__}.{KernelFolder.__name__},UserProvidedCacheLocator,InTreeCacheLocator,"
        "UserWideCacheLocator,IPythonCacheLocator,ZipCacheLocator"
    )


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
