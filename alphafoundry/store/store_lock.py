"""The lock of a file of the store: waited for a while, with errors that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from alphafoundry.errors import StoreError, StoreUnavailable
from alphafoundry.file_lock import file_lock


@contextlib.contextmanager
def store_lock(path: Path, *, timeout: float = 60.0) -> Iterator[None]:
    """Hold the lock of the file at `path` for the length of the block; the file stays.

    Parameters
    ----------
    timeout : seconds to wait for another holder

    Raises
    ------
    StoreUnavailable : another process held the lock for longer than `timeout`
    StoreError : the file cannot be created
    """
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(file_lock(path, wait=timeout, mode=0o666))
        except OSError as error:
            raise StoreError(f"{path}: the lock file cannot be opened: {error.strerror}") from None
        if held is None:
            raise StoreUnavailable(
                f"{path}: another process has held this lock for {timeout:g} s; "
                "see what hangs and try again"
            )
        yield
