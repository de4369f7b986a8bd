"""A busy database is asked again before Prefect's client hears of it."""

from __future__ import annotations

import httpx
import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tasks.prefect import application
from tasks.prefect.application import PatientApplication, create_application

SLOT = "/api/v2/concurrency_limits/increment-with-lease"


class Busy:
    """A server that is busy for its first answers, and keeps the bodies that it was sent."""

    def __init__(self, times: int, *, raising: bool = False) -> None:
        self.bodies: list[bytes] = []
        self._times = times
        self._raising = raising
        routes = [Route(SLOT, self._answer, methods=["POST"]), Route("/api/flows", self._answer)]
        handlers = {Exception: self._busy}
        served = PatientApplication(Starlette(routes=routes, exception_handlers=handlers))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(served), base_url="http://server"
        )

    async def _answer(self, request: Request) -> JSONResponse:
        self.bodies.append(await request.body())
        busy = len(self.bodies) <= self._times
        if busy and self._raising:
            raise OSError("database is locked")
        return JSONResponse({"busy": busy}, status_code=503 if busy else 200)

    async def _busy(self, _: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"busy": True}, status_code=503)


@pytest.mark.parametrize("raising", [False, True])
async def test_a_slot_is_asked_for_again_with_the_same_body(raising: bool) -> None:
    server = Busy(times=3, raising=raising)
    answer = await server.client.post(SLOT, json={"slots": 1})
    assert answer.status_code == 200
    assert len(server.bodies) == 4
    assert len(set(server.bodies)) == 1


async def test_other_requests_are_passed_on_as_they_are() -> None:
    server = Busy(times=1)
    assert (await server.client.get("/api/flows")).status_code == 503
    assert (await server.client.get("/api/flows")).status_code == 200


async def test_a_server_that_stays_busy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "LONGEST_WAIT", 0.01)
    server = Busy(times=1000)
    assert (await server.client.post(SLOT, json={})).status_code == 503
    assert len(server.bodies) == application.TRIES


@pytest.mark.parametrize(
    ("database", "status"),
    [
        ("sqlite+aiosqlite:///:memory:", 200),
        ("postgresql+asyncpg://somebody@nowhere/prefect", 503),
    ],
)
async def test_requests_are_repeated_on_sqlite_only(
    database: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([503, 200])

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse({}, status_code=next(answers))

    app = Starlette(routes=[Route(SLOT, answer, methods=["POST"])])
    monkeypatch.setattr("prefect.server.api.server.create_app", lambda: app)
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: database}):
        transport = httpx.ASGITransport(create_application())
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.post(SLOT)).status_code == status
