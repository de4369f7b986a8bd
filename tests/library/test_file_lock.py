"""Locks between processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alphafoundry.errors import StoreError, StoreUnavailable
from alphafoundry.file_lock import file_lock
from alphafoundry.store.store_lock import store_lock

_HOLD = """
import sys, time
from pathlib import Path
from alphafoundry.file_lock import file_lock
with file_lock(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def holder(path: Path, *, shared: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", _HOLD, str(path), "shared" if shared else "alone"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_that_another_process_holds_is_not_given(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path):
        for wait in (0, 0.05):
            with file_lock(path, wait=wait) as held:
                assert held is None
        with file_lock(path, shared=True, wait=0) as held:
            assert held is None


def test_a_shared_lock_is_shared_and_keeps_others_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path, shared=True):
        with file_lock(path, shared=True, wait=0) as held:
            assert held is not None
        with file_lock(path, wait=0) as held:
            assert held is None


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        with file_lock(path) as held:  # waits for as long as it takes
            assert held is not None


def test_the_store_says_which_lock_it_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        holder(path),
        pytest.raises(StoreUnavailable, match=r"lock: another process has held this lock"),
        store_lock(path, timeout=0.05),
    ):
        pass
    with (
        pytest.raises(StoreError, match="the lock file cannot be opened"),
        store_lock(tmp_path / "missing" / "lock"),
    ):
        pass
