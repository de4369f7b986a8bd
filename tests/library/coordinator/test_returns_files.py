"""Daily returns on disk: whole, or made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.coordinator.returns_files import read_returns, returns_are_whole, write_returns
from alphafoundry.errors import WorkflowError


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _one_bit(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


def _no_header(content: bytes) -> bytes:
    return b"\0" * 64 + content[64:]


def _empty(content: bytes) -> bytes:
    return content[:0]


@pytest.mark.parametrize("damage", [_truncated, _one_bit, _no_header, _empty])
def test_a_damaged_file_counts_as_gone(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    draws = np.random.default_rng(1).normal(size=(3, 50))
    files = [{"file": write_returns(tmp_path, "made", list(draws)), "numbers": [4, 5, 6]}]
    assert returns_are_whole(files, tmp_path)
    found = read_returns(files, tmp_path)
    assert list(found) == [4, 5, 6]
    assert np.array_equal(np.stack(list(found.values())), draws)
    path = tmp_path / str(files[0]["file"])
    path.write_bytes(damage(path.read_bytes()))
    if damage is not _one_bit:
        with pytest.raises(WorkflowError, match=r"cannot be read .*; run the same command again"):
            read_returns(files, tmp_path)
    assert not returns_are_whole(files, tmp_path)
    assert not path.exists()
    assert not returns_are_whole(files, tmp_path)
    assert write_returns(tmp_path, "made", list(draws)) == path.name
    assert returns_are_whole(files, tmp_path)
