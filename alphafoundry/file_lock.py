"""A lock between processes, which the kernel gives back when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from alphafoundry.errors import StoreError, StoreUnavailable


@contextlib.contextmanager
def file_lock(path: Path, *, timeout: float = 60.0) -> Iterator[None]:
    """Hold the lock of the file at `path` for the length of the block; the file stays.

    Parameters
    ----------
    timeout : seconds to wait for another holder

    Raises
    ------
    StoreUnavailable : another process held the lock for longer than `timeout`
    StoreError : the file cannot be created
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(f"{path}: the lock file cannot be opened: {error.strerror}") from None
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"{path}: another process has held this lock for {timeout:g} s; "
                        "see what hangs and try again"
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
