"""Requests that schemathesis invents, against what both HTTP interfaces say of themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from alphafoundry.dashboard import Access, Sources, create_application
from alphafoundry.store import open_store
from flows.desk_api import application
from tests.flows.desk_in_store import desk_in_store
from tests.library.dashboard.rows import fill

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")

pytestmark = pytest.mark.long

EXAMPLES = settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TOKEN = "t" * 32


@pytest.fixture(scope="module")
def dashboard_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The dashboard's, asked with the token that scripts have."""
    home = tmp_path_factory.mktemp("dashboard")
    with open_store(home=home) as store:
        fill(store, home)
        access = Access(home / "dashboard", port=4210)
        sources = Sources(store, home)
        token = (home / "dashboard" / "read-token").read_text().strip()
        schema = schemathesis.openapi.from_asgi(
            "/api/schema.json",
            create_application(sources, access, hosts=["testserver", "localhost"]),
            headers={"Authorization": f"Bearer {token}"},
        )
        schema.config.headers = {"Authorization": f"Bearer {token}"}
        yield schema
        sources.close()


@pytest.fixture(scope="module")
def desk_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The desk's, asked by who may change things."""
    home = tmp_path_factory.mktemp("desk")
    with open_store(home=home) as store:
        desk_in_store(store, home)
    web = application(lambda: open_store(home=home), TOKEN)
    schema = schemathesis.openapi.from_asgi("/openapi.json", web)
    schema.config.headers = {"Authorization": f"Bearer {TOKEN}"}
    yield schema


def keeps(schema: Any) -> int:
    """Ask for all that a schema allows, and what it does not; return how many operations it has."""
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        count += 1
        for mode in schemathesis.GenerationMode:

            @EXAMPLES
            @given(case=operation.as_strategy(generation_mode=mode))
            def answered(case: Any) -> None:
                case.call_and_validate()

            # Any text is right for an operation that takes only texts.
            negative = mode is schemathesis.GenerationMode.NEGATIVE
            with contextlib.suppress(*([Unsatisfiable] if negative else [])):
                answered()
    return count


def test_the_dashboard_keeps_its_schema(dashboard_schema: Any) -> None:
    assert keeps(dashboard_schema) == 3


def test_the_desk_keeps_its_schema(desk_schema: Any) -> None:
    assert keeps(desk_schema) == 13
