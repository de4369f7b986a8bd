"""A lock between processes, which the kernel gives back when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

_PAUSE = 0.02


@contextlib.contextmanager
def file_lock(
    path: Path, *, shared: bool = False, wait: float = math.inf, mode: int = 0o600
) -> Iterator[int | None]:
    """Hold the lock of a file for the length of the block; the file is made, and stays.

    Gives the file's descriptor, None where another holder did not give the lock back in time.

    Parameters
    ----------
    shared : others may hold the lock too, as long as all of them share it
    wait : seconds to wait for other holders; 0 tries once
    mode : permissions of a file that is made

    Raises OSError where the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        yield descriptor if _locked(descriptor, shared=shared, wait=wait) else None
    finally:
        os.close(descriptor)


def _locked(descriptor: int, *, shared: bool, wait: float) -> bool:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if math.isinf(wait):
        fcntl.flock(descriptor, kind)
        return True
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        else:
            return True
