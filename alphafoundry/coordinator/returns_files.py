"""Daily returns of trials in files whose names say what made them and what is in them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import CannotKeep, WorkflowError
from alphafoundry.whole_file import replace_file


def write_returns(folder: Path, made_by: str, daily: Sequence[NDArray[np.float64]]) -> str:
    """Write daily returns, one array of shape (n_days,) per trial, and return the file's name.

    made_by : digest of all that the returns depend on

    Raises CannotKeep where the file cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.stack(daily), allow_pickle=False)
    content = buffer.getvalue()
    name = f"{made_by}-{zlib.crc32(content):08x}.npy"
    try:
        replace_file(folder / name, content)
    except OSError as problem:
        raise CannotKeep(
            f"{folder / name}: cannot write daily returns ({problem.strerror}); free space or "
            "move the folder"
        ) from None
    return name


def returns_are_whole(files: Sequence[Mapping[str, Any]], folder: Path) -> bool:
    """Return whether every file that a checkpoint refers to is there with the content it had.

    A damaged file is removed, so that whoever needs it makes it again.
    """
    whole = True
    for item in files:
        path = folder / item["file"]
        try:
            if f"{zlib.crc32(path.read_bytes()):08x}" == path.stem.rpartition("-")[2]:
                continue
            path.unlink()
        except FileNotFoundError:
            pass
        whole = False
    return whole


def read_returns(
    files: Sequence[Mapping[str, Any]], folder: Path
) -> dict[int, NDArray[np.float64]]:
    """Return trial to its daily returns, shape (n_days,), mapped from disk.

    So many thousand trials take no memory. Raises WorkflowError where a file is gone or damaged.
    """
    rows: dict[int, NDArray[np.float64]] = {}
    for item in files:
        path = folder / item["file"]
        try:
            daily = np.load(path, mmap_mode="r", allow_pickle=False)
            rows.update(zip(item["numbers"], daily, strict=True))
        except (OSError, EOFError, ValueError, TypeError) as problem:
            raise WorkflowError(
                f"{path}: the daily returns of trials cannot be read ({problem}); run the same "
                "command again, their batch is done again"
            ) from None
    return rows
