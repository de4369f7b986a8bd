"""However many fields a service offers, those that are wanted are found, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from alphafoundry.brain import BrainClient
from alphafoundry.errors import ConfigurationError
from alphafoundry.research.checks import check_research
from alphafoundry.research.data_fields import usable_fields
from alphafoundry.settings import FieldSettings, FoundrySettings
from alphafoundry.simulation.settings import SimulationSettings

SETS = {"pv1": 20, "model16": 9_000, "news12": 3_000}


def service() -> FastAPI:
    """Return a service with more fields than BRAIN lists at once; it counts the requests."""
    app = FastAPI()
    app.state.asked = 0
    fields = [
        {"id": f"{name}_{n}", "type": "MATRIX", "dataset": {"id": name}, "coverage": n / size}
        for name, size in SETS.items()
        for n in range(size)
    ] + [{"id": "sector", "type": "GROUP", "dataset": {"id": "pv1"}, "coverage": 1.0}]

    @app.post("/authentication")
    def sign_in() -> Response:
        return Response('{"user": {"id": "x"}, "token": {"expiry": 100}}', 201)

    @app.get("/data-sets")
    def sets() -> dict[str, Any]:
        return {"count": len(SETS), "results": [{"id": name} for name in SETS]}

    @app.get("/data-fields")
    def some(request: Request, limit: int, offset: int = 0) -> Any:
        app.state.asked += 1
        query = request.query_params
        found = [
            one
            for one in fields
            if query.get("dataset.id") in (None, one["dataset"]["id"])  # type: ignore[index]
            and query.get("type") in (None, one["type"])
            and one["coverage"] >= float(query.get("coverage>", 0))  # type: ignore[operator]
        ]
        if offset >= 10_000:
            return Response("[]", 400)
        return {"count": len(found), "results": found[offset : offset + limit]}

    return app


async def fields_of(app: FastAPI, home: Path, **wanted: Any) -> set[str]:
    settings = FoundrySettings(home=home, fields=FieldSettings(**wanted))
    async with BrainClient("http://brain.test", transport=httpx.ASGITransport(app)) as brain:
        return set(await usable_fields(brain, settings))


@pytest.mark.long
async def test_more_fields_than_one_list_shows_are_all_there_and_kept(tmp_path: Path) -> None:
    app = service()
    found = await fields_of(app, tmp_path)
    assert len(found) == sum(SETS.values()) + 1
    asked = app.state.asked
    assert await fields_of(app, tmp_path) == found and app.state.asked == asked


async def test_only_the_data_sets_and_coverage_that_are_wanted(tmp_path: Path) -> None:
    found = await fields_of(service(), tmp_path, datasets=("pv1",), coverage=0.5)
    assert found == {f"pv1_{n}" for n in range(10, 20)} | {"sector"}


async def test_a_mistyped_data_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no data set 'modle16'.*did you mean 'model16'"):
        await fields_of(service(), tmp_path, datasets=("pv1", "modle16"))
    assert await fields_of(service(), tmp_path, datasets=("pv1",), coverage=1.0) == {"sector"}


@pytest.mark.parametrize(("region", "told"), [("XX", "no region"), ("EUR", "USA alone")])
def test_a_region_that_is_not_there_is_told_before_anything_starts(region: str, told: str) -> None:
    settings = FoundrySettings(alpha=SimulationSettings(region=region))
    with pytest.raises(ConfigurationError, match=rf"alpha.region: '{region}': .*{told}"):
        check_research(settings, {})
