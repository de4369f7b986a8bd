"""A dashboard over a store with a little of everything, asked without a port."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from alphafoundry.dashboard import (
    Access,
    Cap,
    Deployment,
    PrefectView,
    Sources,
    create_application,
)
from alphafoundry.errors import FoundryError
from alphafoundry.store import Store, open_store
from tests.library.dashboard.rows import BAD, NOW, fill
from tests.postgres import PostgresServer, running_postgres

PORT = 4210
ORIGIN = f"http://127.0.0.1:{PORT}"


class PrefectOfTests:
    """A Prefect with one deployment; keeps what was started."""

    def __init__(self) -> None:
        self.started: list[tuple[str, dict[str, Any]]] = []

    def view(self) -> PrefectView:
        daily = Deployment("daily/daily", BAD, {"simulations": 60}, ["cron 0 6 * * 1-5"])
        return PrefectView("", "http://127.0.0.1:4200", [daily], [], [Cap("simulation", 3, 1)])

    def start(self, deployment: str, parameters: Mapping[str, Any], *, key: str) -> tuple[str, str]:
        if deployment != "daily/daily":
            raise FoundryError(f"{deployment}: Prefect has no such deployment")
        self.started.append((deployment, dict(parameters)))
        return "run quick-fox is scheduled", "http://127.0.0.1:4200/runs/flow-run/1"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that is copied, since making its tables takes a second."""
    home = tmp_path_factory.mktemp("filled")
    with open_store(home=home) as opened:
        fill(opened, home)
    return home


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    with open_store(home=tmp_path) as opened:
        yield opened


@pytest.fixture
def prefect() -> PrefectOfTests:
    return PrefectOfTests()


@pytest.fixture
def sources(store: Store, tmp_path: Path, prefect: PrefectOfTests) -> Iterator[Sources]:
    made = Sources(store, tmp_path, prefect=prefect, now=lambda: NOW)
    yield made
    made.close()


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(tmp_path / "dashboard", port=PORT)


@pytest.fixture
async def stranger(sources: Sources, access: Access) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has not signed in."""
    transport = httpx.ASGITransport(create_application(sources, access), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


@pytest.fixture
async def client(stranger: httpx.AsyncClient, access: Access) -> httpx.AsyncClient:
    """Somebody who has come in by a link."""
    answer = await stranger.get("/enter", params={"code": access.code()})
    assert answer.status_code == 303
    return stranger
