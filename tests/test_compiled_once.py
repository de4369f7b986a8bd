"""That processes of the tests do not compile one kernel at the same time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alphafoundry.file_lock import file_lock
from tests import compiled_once


@pytest.mark.parametrize("kept", [True, False])
def test_whoever_compiles_a_kernel_keeps_others_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Also where it calls itself; one that is not kept on the disk is everybody's own."""
    seen: list[bool] = []

    def compiling(dispatcher: Any, signature: int) -> None:
        with file_lock(tmp_path / "scaled.lock", wait=0) as free:
            seen.append(free is None)
        if signature:
            compiled_once.compile_alone(dispatcher, signature - 1)

    def scaled() -> None: ...

    monkeypatch.setattr(compiled_once, "_compile", compiling)
    stats = SimpleNamespace(cache_path=str(tmp_path) if kept else None)
    kernel = SimpleNamespace(stats=stats, py_func=scaled)
    compiled_once.compile_alone(kernel, 1)
    assert seen == [kept, kept]
    with file_lock(tmp_path / "scaled.lock", wait=0) as free:
        assert free is not None
