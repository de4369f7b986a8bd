"""How kernels are compiled: once per machine, kept on disk, without Python's lock."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import InTreeCacheLocator
from numba.core.dispatcher import Dispatcher
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
    """Tells numba where compiled kernels lie: in a folder named by what they were compiled from.

    A second checkout, a fresh clone or a new environment finds what this machine has compiled
    before; another version of a file, or of a file that its kernels read constants or call kernels
    from, has a folder of its own. For functions of other packages numba decides.
    """

    def __init__(self, function: Callable[..., Any], file: str, folder: Path) -> None:
        super().__init__(function, file)  # type: ignore[no-untyped-call]
        self._stamp = _digest(Path(file))
        self._cache_path = str(folder / f"{Path(file).stem}-{self._stamp[:20]}")

    def get_source_stamp(self) -> str:
        """Return what tells one version of the kernels from another."""
        return self._stamp

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Self | None:
        """Return the first folder that can be written, None where numba should decide."""
        if not Path(file).is_relative_to(LIBRARY):
            return None
        for folder in _folders(Path(file)):
            found = cls(function, file, folder)
            with contextlib.suppress(OSError):
                found.ensure_cache_path()  # type: ignore[no-untyped-call]
                return found
        return None


def _folders(file: Path) -> Iterator[Path]:
    if _config.CACHE_DIR:
        yield Path(_config.CACHE_DIR)
        return
    with contextlib.suppress(RuntimeError):  # no home is known
        yield kernel_folder()
    yield file.parent / "__pycache__"


def kernel_folder() -> Path:
    """Return the folder of the compiled kernels, in the user's cache folder.

    Raises RuntimeError where neither `XDG_CACHE_HOME` nor a home folder is known.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(caches) / "alphafoundry" / "kernels"


_parsing = threading.Lock()
"""Python 3.11 counts the depth of all trees under way together: two threads get a SystemError."""


@functools.cache
def _digest(file: Path) -> str:
    """Return the digest of a file and of all that its kernels are compiled from besides it."""
    source = file.read_bytes()
    digest = hashlib.sha256(source)
    with _parsing:
        module = ast.parse(source)
    for read in _files_read(module):
        digest.update(_digest(read).encode())
    return digest.hexdigest()


def _files_read(module: ast.Module) -> list[Path]:
    """Return the files of this library whose names are used outside of undecorated functions.

    Those are what a kernel can use: numba takes constants and calls compiled functions only.
    """
    used = {
        node.id
        for statement in module.body
        if not isinstance(statement, ast.FunctionDef) or statement.decorator_list
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    return sorted(
        {
            _file_of(statement.module, name.name)
            for statement in module.body
            if isinstance(statement, ast.ImportFrom) and statement.module
            if statement.module.partition(".")[0] == LIBRARY.name
            for name in statement.names
            if (name.asname or name.name) in used
        }
    )


def _file_of(module: str, name: str) -> Path:
    """Return the file that `from module import name` reads the name from."""
    folder = LIBRARY.parent.joinpath(*module.split("."))
    places = (folder / f"{name}.py", folder.with_suffix(".py"))
    return next((place for place in places if place.is_file()), folder / "__init__.py")


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


def inlined_kernel(function: Function) -> Function:
    """Do what `kernel` does for one that is made part of each kernel that calls it.

    Its arrays are then known to be apart from each other where the caller has made them, which
    keeps more in registers. Worth it for what is too long to be inlined by itself.
    """
    return cast(
        Function,
        numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function),
    )


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


def is_compiled(function: Callable[..., Any]) -> bool:
    """Tell whether a kernel need not be compiled on this machine any more."""
    if not isinstance(function, Dispatcher):  # NUMBA_DISABLE_JIT
        return True
    folder = Path(cast(str, function.stats.cache_path))
    return any(folder.glob(f"*.{function.py_func.__name__}-*.nbi"))
