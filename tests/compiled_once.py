"""Kernels that several processes of the tests need at the same moment, compiled by one of them.

On a new machine each of them would otherwise compile the commonest ones, seconds of processor time
for each. One waits here, and then finds on the disk what another has compiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

from alphafoundry.file_lock import file_lock

LONGEST = 120.0
"""Seconds to wait for another process; a kernel takes some."""

_held: set[Path] = set()
_compile = Dispatcher.compile


def compile_once() -> None:
    """Let the kernels of this process, and of those that it forks, be compiled by one at a time."""
    Dispatcher.compile = compile_alone  # type: ignore[method-assign]


def compile_alone(dispatcher: Any, signature: Any) -> Any:
    """Do what a dispatcher's `compile` does, while no other process compiles that kernel."""
    folder = Path(dispatcher.stats.cache_path or "")
    lock = folder / f"{dispatcher.py_func.__name__}.lock"
    # A kernel that another one calls is compiled within it, never the other way round.
    with global_compiler_lock:
        if lock in _held or not dispatcher.stats.cache_path or not folder.is_dir():
            return _compile(dispatcher, signature)
        with file_lock(lock, wait=LONGEST):
            _held.add(lock)
            try:
                return _compile(dispatcher, signature)
            finally:
                _held.discard(lock)
