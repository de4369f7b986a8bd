"""A local server on the small market, in process or on a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from alphafoundry.brain import Credentials
from alphafoundry.brain.server import close_app, create_app
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.settings import SimulationSettings
from tests.library.brain.faults import FaultyBrain, serve
from tests.library.brain.markets import small_panel

PASSWORD = "corr3ct-h0rse"
SETTINGS = SimulationSettings(neutralization="MARKET", truncation=0.2)
GOOD = "rank(volume)"
OTHER_GOOD = "rank(cap)"


def recorded_pauses(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list that takes the seconds of each sleep of a module from now on."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": sleep}))
    return pauses


@pytest.fixture(scope="session")
def panel() -> Panel:
    return small_panel()


@pytest.fixture
def credentials() -> Credentials:
    return Credentials("researcher@example.com", PASSWORD)


@pytest.fixture
def make_app(panel: Panel, tmp_path: Path) -> Iterator[Callable[..., FastAPI]]:
    """Make servers that are closed after the test; they share a state unless told otherwise."""
    made: list[FastAPI] = []

    def make(**options: Any) -> FastAPI:
        options = {
            "state": tmp_path / "state.sqlite",
            "poll_seconds": 0.01,
            "retry_seconds": 0.05,
            **options,
        }
        made.append(create_app(panel, **options))
        return made[-1]

    yield make
    for app in made:
        close_app(app)


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app()


@pytest.fixture
def slow_seconds() -> float:
    """How long an answer of `faulty` takes that is slow."""
    return 0.5


@pytest.fixture
def faulty(app: FastAPI, slow_seconds: float) -> FaultyBrain:
    """The server `app`, which goes wrong as `faulty.plan` says."""
    return FaultyBrain(app, slow_seconds=slow_seconds)


@pytest.fixture
def url(faulty: FaultyBrain) -> Iterator[str]:
    """The address of `faulty`."""
    with serve(faulty) as address:
        yield address
