"""A working directory and a local BRAIN that can be made to misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alphafoundry.brain import waiting
from tests.flows.misbehaving import FITTING, Service
from tests.working_folder import WorkingFolder


@pytest.fixture
def place(in_process: WorkingFolder, monkeypatch: pytest.MonkeyPatch) -> WorkingFolder:
    """A working directory whose settings fit `service`; a lost answer is looked for quickly."""
    import alphafoundry.research.submission

    monkeypatch.setattr(alphafoundry.research.submission, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "FIRST_PAUSE_AFTER_FAILURE", 0.02)
    for name, value in FITTING.items():
        monkeypatch.setenv(name, value)
    return in_process


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A local BRAIN on a small market."""
    return Service(tmp_path)


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    """The address of `service`."""
    with service.on_a_port() as address:
        yield address
