"""What desks of these tests do without: imports of a new process, and pictures of a report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alphafoundry.agents import worker
from alphafoundry.performance import page
from tests.forked_commands import ForkedCommand
from tests.working_folder import fork_server


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures out of a desk's report, 1.3 s each; the tests of performance draw them."""
    monkeypatch.setattr(page, "draw_panels", lambda sheet: ["<svg></svg>", "<svg></svg>"])


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> list[ForkedCommand]:
    """Let each `FloorWorker` fork its process with the imports done, which take it 3 s.

    `test_worker.py` starts Python. Returns them all.
    """
    started: list[ForkedCommand] = []

    def fork(
        command: Sequence[str], *, pass_fds: Sequence[int], start_new_session: bool
    ) -> ForkedCommand:
        _, _, module, descriptor = command
        assert [int(descriptor)] == list(pass_fds)
        forked = fork_server().start(
            module,
            ["0"],
            cwd=Path.cwd(),
            env=dict(os.environ),
            stdin=pass_fds[0],
            stdout=1,
            stderr=2,
            new_session=start_new_session,
        )
        started.append(forked)
        return forked

    given: dict[str, Any] = {**vars(worker.subprocess), "Popen": fork}
    monkeypatch.setattr(worker, "subprocess", SimpleNamespace(**given))
    return started
