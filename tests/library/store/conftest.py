"""The same tests over both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alphafoundry.store import RunRow, Store, begin_run, open_store
from tests.postgres import PostgresServer, running_postgres

SERVICE = "local:test"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind; in `make test` PostgreSQL where a test is `on_both` alone."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'foundry.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    with open_store(database_url, home=tmp_path) as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> RunRow:
    return begin_run(store, flow="daily", service=SERVICE)
