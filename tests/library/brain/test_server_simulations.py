"""POST and GET /simulations answer as BRAIN does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from alphafoundry.brain import BrainClient
from alphafoundry.brain.server import create_app, in_process
from alphafoundry.brain.service.quotas import seconds_until_midnight
from alphafoundry.clock import eastern_day
from alphafoundry.errors import BrainRequestError, RateLimited
from tests.library.brain.conftest import GOOD, SETTINGS
from tests.library.brain.faults import serve
from tests.library.brain.markets import small_panel
from tests.some_cases import one_in

Make = Callable[..., FastAPI]


def body(**settings: Any) -> dict[str, Any]:
    return {"type": "REGULAR", "settings": {**SETTINGS.to_brain(), **settings}, "regular": GOOD}


def without(*names: str) -> dict[str, Any]:
    whole = body()
    whole["settings"] = {k: v for k, v in whole["settings"].items() if k not in names}
    return whole


async def finished(http: httpx.AsyncClient, location: str) -> httpx.Response:
    while "retry-after" in (response := await http.get(location)).headers:
        await asyncio.sleep(float(response.headers["retry-after"]))
    return response


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=in_process(app), base_url="http://brain.test") as client:
        assert (await client.post("/authentication")).status_code == 201
        yield client


async def test_everything_but_signing_in_needs_a_session(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=in_process(app), base_url="http://x") as http:
        for path in ("/operators", "/simulations/1", "/users/self/alphas", "/alphas/1"):
            response = await http.get(path)
            assert response.status_code == 401
            assert response.json() == {"detail": "Incorrect authentication credentials."}
        assert (await http.get("/authentication")).status_code == 204
        assert (await http.delete("/authentication")).status_code == 401
        assert (await http.get("/operators", auth=("a", "b"))).status_code == 200


async def test_session_of_the_api(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=in_process(app), base_url="http://x") as http:
        response = await http.post("/authentication", auth=("a", "b"), json={"expiry": 60})
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie and "path=/" in cookie and "secure" not in cookie
        assert response.json()["token"]["expiry"] == 60
        left = (await http.get("/authentication")).json()["token"]["expiry"]
        assert 59 < left <= 60
        assert (await http.delete("/authentication")).status_code == 204
        assert (await http.get("/authentication")).status_code == 204
        wrong = await http.post("/authentication", json={"expiry": 99999})
        assert wrong.status_code == 400 and "expiry" in wrong.json()


async def test_a_simulation_from_post_to_alpha(http: httpx.AsyncClient) -> None:
    response = await http.post("/simulations", json=body())
    assert response.status_code == 201 and not response.content
    location = response.headers["location"]
    assert location.startswith("http://brain.test/simulations/")
    assert float(response.headers["retry-after"]) == 0.01
    assert 0 < int(response.headers["x-ratelimit-reset"]) <= 25 * 3600
    assert response.headers["x-foundry-service"] == "local:0000000000000005.5"
    running = await http.get(location)
    assert 0 <= running.json()["progress"] < 1 and "." in running.headers["retry-after"]
    done = (await finished(http, location)).json()
    assert done.keys() == {"id", "type", "settings", "regular", "status", "alpha"}
    assert done["status"] == "COMPLETE" and done["regular"] == GOOD
    assert done["settings"] == SETTINGS.to_brain() and location.endswith(done["id"])
    alpha = (await http.get(f"/alphas/{done['alpha']}")).json()
    assert alpha["regular"] == {"code": GOOD, "description": None, "operatorCount": 1}
    assert alpha["is"]["bookSize"] == 20_000_000 and alpha["status"] == "UNSUBMITTED"


async def test_who_prefers_to_wait_is_answered_when_it_ends(make_app: Make) -> None:
    transport = in_process(make_app(simulation_seconds=0.3))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        await http.post("/authentication")
        location = (await http.post("/simulations", json=body())).headers["location"]
        for preference in ("respond-async", "wait=", "wait=-1", "wait=0.5", "wait=0"):
            told = await http.get(location, headers={"Prefer": preference})
            assert "progress" in told.json() and "retry-after" in told.headers
        ended = await http.get(location, headers={"Prefer": "respond-async, wait=20"})
        assert ended.json()["status"] == "COMPLETE" and "retry-after" not in ended.headers
        again = await http.get(location, headers={"Prefer": "wait=20"})
        assert ended.json() == again.json() == (await http.get(location)).json()
        unknown = await http.get("/simulations/unknown", headers={"Prefer": "wait=20"})
        assert unknown.status_code == 404


async def test_waiting_ends_with_patience_and_with_a_cancel(make_app: Make) -> None:
    transport = in_process(make_app(simulation_seconds=30.0))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        await http.post("/authentication")
        location = (await http.post("/simulations", json=body())).headers["location"]
        early = await http.get(location, headers={"Prefer": "wait=1"})
        assert "progress" in early.json() and "retry-after" in early.headers
        waiting = asyncio.create_task(http.get(location, headers={"Prefer": "wait=20"}))
        await asyncio.sleep(0)
        assert (await http.delete(location)).status_code == 204
        assert (await waiting).json()["status"] == "CANCELLED"


async def test_several_that_are_waited_for_are_answered_by_their_parent(make_app: Make) -> None:
    transport = in_process(make_app(simulation_seconds=0.1))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        await http.post("/authentication")
        posted = await http.post("/simulations", json=[body(), body(decay=4)])
        parent = await http.get(posted.headers["location"], headers={"Prefer": "wait=20"})
        assert parent.json()["status"] == "COMPLETE" and len(parent.json()["children"]) == 2


async def test_a_patient_client_asks_once(make_app: Make) -> None:
    app, looked = make_app(simulation_seconds=0.3), []

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        looked.append(scope["path"].startswith("/simulations/"))
        await app(scope, receive, send)

    transport = httpx.ASGITransport(app=counting)
    async with BrainClient("http://x", transport=transport, patience=10) as client:
        status = await client.poll_simulation(await client.post_simulation(GOOD, SETTINGS))
    assert status.succeeded and sum(looked) == 1


async def test_an_expression_error_comes_with_its_place(http: httpx.AsyncClient) -> None:
    response = await http.post("/simulations", json=body() | {"regular": "rank(volum)"})
    assert response.status_code == 201
    found = (await finished(http, response.headers["location"])).json()
    assert found["status"] == "ERROR" and "alpha" not in found
    assert found["message"].startswith('Attempted to use unknown variable "volum"')
    where = found["location"]
    assert where == {"line": 1, "start": 5, "end": 10, "property": "regular"}
    assert "rank(volum)"[where["start"] : where["end"]] == "volum"


async def test_a_unit_warning_still_gives_an_alpha(app: FastAPI) -> None:
    async with BrainClient("http://x", transport=in_process(app)) as client:
        status = await client.poll_simulation(
            await client.post_simulation("close + volume", SETTINGS)
        )
        assert status.status == "WARNING" and status.finished and status.succeeded
        assert status.alpha is not None
        checks = {check.name: check for check in (await client.alpha(status.alpha)).checks}
    assert checks["UNITS"].result == "WARNING"
    assert "Incompatible unit" in (checks["UNITS"].message or "")


@pytest.mark.parametrize(
    ("sent", "status", "answer"),
    one_in(
        3,
        [
            (body(region="XXX"), 400, {"settings": {"region": ['"XXX" is not a valid choice.']}}),
            (without("region"), 400, {"settings": {"region": ["This field is required."]}}),
            (
                without("nanHandling", "pasteurization"),
                400,
                {
                    "settings": {
                        "nanHandling": ["This field is required."],
                        "pasteurization": ["This field is required."],
                    }
                },
            ),
            (
                body(instrumentType="CRYPTO"),
                400,
                {
                    "settings": {
                        "instrumentType": ["Instrument type CRYPTO is not available."],
                        "region": ["Region USA is not available for instrument type CRYPTO."],
                    }
                },
            ),
            (
                body() | {"settings": "fast"},
                400,
                {"settings": {"errors": ["Invalid data. Expected a dictionary, but got str."]}},
            ),
            (body(decay="x"), 400, {"settings": {"decay": ["A valid integer is required."]}}),
            (body(decay=1.5), 400, {"settings": {"decay": ["A valid integer is required."]}}),
            (body(decay=None), 400, {"settings": {"decay": ["This field may not be null."]}}),
            (
                body(decay=-1),
                400,
                {"settings": {"decay": ["Ensure this value is greater than or equal to 0."]}},
            ),
            (body(delay=2), 400, {"settings": {"delay": ['"2" is not a valid choice.']}}),
            (
                body(truncation="a"),
                400,
                {"settings": {"truncation": ["A valid number is required."]}},
            ),
            (
                body(neutralization="INDUSTRY"),
                400,
                {"settings": {"neutralization": ['"INDUSTRY" is not a valid choice.']}},
            ),
            (body(universe=["TOP3000"]), 400, {"settings": {"universe": None}}),
            ({"settings": body()["settings"], "regular": GOOD}, 400, {"type": None}),
            (body() | {"type": "X"}, 400, {"type": ['"X" is not a valid choice.']}),
            (
                {k: v for k, v in body().items() if k != "regular"},
                400,
                {"regular": ["This field is required."]},
            ),
            (body() | {"regular": ""}, 400, {"regular": ["This field may not be blank."]}),
            (body() | {"regular": 5}, 400, {"regular": ["Not a valid string."]}),
            ({}, 400, {"type": None, "settings": None, "regular": None}),
            ("rank(close)", 400, {"errors": None}),
            (body(region="EUR"), 403, {"detail": None}),
        ],
    ),
)
async def test_refusals(
    http: httpx.AsyncClient, sent: Any, status: int, answer: dict[str, Any]
) -> None:
    response = await http.post("/simulations", json=sent)
    assert response.status_code == status, response.text
    found = response.json()
    assert found.keys() == answer.keys()
    for key, expected in answer.items():
        if expected is not None and None not in (
            expected.values() if isinstance(expected, dict) else ()
        ):
            assert found[key] == expected


async def test_a_whole_decay_may_be_a_decimal(http: httpx.AsyncClient) -> None:
    assert (await http.post("/simulations", json=body(decay=2.0))).status_code == 201


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"decay": 1e999}', "application/json", 400),
        (b'{"type": "\\ud800"}', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * 2_000_000, "application/json", 413),
    ],
)
async def test_malformed_bodies(
    http: httpx.AsyncClient, content: bytes, media: str, status: int
) -> None:
    response = await http.post("/simulations", content=content, headers={"content-type": media})
    assert response.status_code == status


async def test_unknown_places(http: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/nowhere"),
        ("GET", "/simulations/x"),
        ("DELETE", "/simulations/x"),
        ("GET", "/alphas/x"),
        ("GET", "/alphas/x/check"),
        ("POST", "/alphas/x/submit"),
        ("GET", "/alphas/x/submit"),
        ("PATCH", "/alphas/x"),
        ("GET", "/data-fields/x"),
    ):
        response = await http.request(method, path, json={} if method == "PATCH" else None)
        assert (response.status_code, response.json()) == (404, {"detail": "Not found."})
    assert (await http.put("/simulations")).json() == {"detail": 'Method "PUT" not allowed.'}


async def test_options_are_a_tree_of_what_this_market_allows(http: httpx.AsyncClient) -> None:
    response = await http.options("/simulations")
    children = response.json()["actions"]["POST"]["settings"]["children"]
    tree = children["neutralization"]["choices"]["instrumentType"]["EQUITY"]["region"]["USA"]
    assert [choice["value"] for choice in tree] == ["NONE", "MARKET", "SECTOR"]
    universes = children["universe"]["choices"]["instrumentType"]["EQUITY"]["region"]["USA"]
    assert {"value": "TOP3000", "label": "TOP3000"} in universes


async def test_never_more_than_three_at_once(make_app: Make) -> None:
    app = make_app(simulation_seconds=0.1)
    with serve(app) as url:
        async with BrainClient(url, max_wait_retry_after=0) as client:
            await client.authenticate()
            turned_away = 0

            async def simulate(number: int) -> None:
                nonlocal turned_away
                while True:
                    try:
                        location = await client.post_simulation(f"rank(volume)+{number}", SETTINGS)
                    except RateLimited as problem:
                        assert problem.kind == "concurrent" and problem.retry_after == 0.05
                        turned_away += 1
                        await asyncio.sleep(0.05)
                    else:
                        assert (await client.poll_simulation(location)).succeeded
                        return

            await asyncio.gather(*(simulate(number) for number in range(20)))
        metrics = httpx.get(f"{url}/foundry/metrics").json()
    assert metrics["peak_running"] == 3
    assert metrics["simulations"] == 20
    assert metrics["answered_429"] == turned_away > 0


async def test_a_cancelled_simulation_frees_its_place(make_app: Make) -> None:
    app = make_app(max_concurrent=1, simulation_seconds=60)
    async with BrainClient("http://x", transport=in_process(app)) as client:
        location = await client.post_simulation(GOOD, SETTINGS)
        await client.cancel_simulation(location)
        assert (await client.get_simulation(location)).status == "CANCELLED"
        await client.cancel_simulation(await client.post_simulation(GOOD, SETTINGS))
        assert [alpha async for alpha in client.alphas()] == []


async def test_the_same_alpha_has_the_same_id_on_every_server(
    make_app: Make, tmp_path: Any
) -> None:
    found = []
    for name, expressions in (("a", [GOOD, "volume", GOOD]), ("b", ["cap", GOOD, GOOD])):
        app = make_app(state=tmp_path / f"{name}.sqlite")
        async with BrainClient("http://x", transport=in_process(app)) as client:
            ids = [
                (await client.poll_simulation(await client.post_simulation(text, SETTINGS))).alpha
                for text in expressions
            ]
        found.append([ids[i] for i, text in enumerate(expressions) if text == GOOD])
    assert found[0] == found[1] and len(set(found[0])) == 2


async def test_two_servers_on_one_state_do_not_lose_alphas(make_app: Make) -> None:
    async def simulate(client: BrainClient) -> str | None:
        location = await client.post_simulation(GOOD, SETTINGS)
        return (await client.poll_simulation(location)).alpha

    async with (
        BrainClient("http://x", transport=in_process(make_app())) as first,
        BrainClient("http://y", transport=in_process(make_app())) as second,
    ):
        ids = await asyncio.gather(*(simulate(client) for client in (first, second) * 3))
        assert None not in ids and len(set(ids)) == 6
        assert {alpha.id async for alpha in second.alphas()} == set(ids)


async def test_another_market_on_the_same_state_sees_none_of_it(
    make_app: Make, tmp_path: Path
) -> None:
    async with BrainClient("http://x", transport=in_process(make_app())) as client:
        location = await client.post_simulation(GOOD, SETTINGS)
        alpha = (await client.poll_simulation(location)).alpha
        assert alpha is not None
    other = create_app(small_panel(seed=6), state=tmp_path / "state.sqlite")
    async with BrainClient("http://x", transport=in_process(other)) as client:
        assert [found async for found in client.alphas()] == []
        for call in (client.get_simulation(location), client.alpha(alpha)):
            with pytest.raises(BrainRequestError) as caught:
                await call
            assert caught.value.status == 404


class Clock:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


async def test_the_daily_quota_ends_at_midnight_in_new_york(make_app: Make) -> None:
    clock = Clock(datetime(2026, 3, 8, 4, 58, tzinfo=UTC))  # 23:58 on the 7th in New York
    app = make_app(daily_simulations=2, now=clock)
    transport = in_process(app)
    async with (
        BrainClient("http://x", transport=transport) as client,
        httpx.AsyncClient(transport=transport, base_url="http://x", auth=("a", "b")) as http,
    ):
        failed = await client.post_simulation("rank(nothing)", SETTINGS)
        assert (await client.poll_simulation(failed)).status == "ERROR"
        for _ in range(2):
            await client.poll_simulation(await client.post_simulation(GOOD, SETTINGS))
        refused = await http.post("/simulations", json=body())
        assert refused.status_code == 429
        assert refused.json() == {"detail": "DAILY_SIMULATION_LIMIT_EXCEEDED"}
        assert refused.headers["x-ratelimit-limit"] == "2"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert float(refused.headers["retry-after"]) == 120
        clock.moment = datetime(2026, 3, 8, 5, 0, tzinfo=UTC)
        await client.poll_simulation(await client.post_simulation(GOOD, SETTINGS))


def test_a_day_may_have_23_or_25_hours() -> None:
    assert seconds_until_midnight(datetime(2026, 3, 8, 5, tzinfo=UTC)) == 23 * 3600
    assert seconds_until_midnight(datetime(2026, 11, 1, 4, tzinfo=UTC)) == 25 * 3600
    assert eastern_day(datetime(2026, 11, 1, 3, 59, tzinfo=UTC)).isoformat() == "2026-10-31"


async def test_max_trade_is_taken_and_its_alpha_says_what_it_does(http: httpx.AsyncClient) -> None:
    sent = body(maxTrade="ON", simulationMode="FULL")
    answer = await finished(http, (await http.post("/simulations", json=sent)).headers["location"])
    alpha = (await http.get(f"/alphas/{answer.json()['alpha']}")).json()
    assert alpha["settings"]["maxTrade"] == "ON"
    assert any("maxTrade is ON" in note for note in alpha["notes"])
