"""Signing in: once for all, again when it ends, with a person where BRAIN wants one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from alphafoundry.brain import BrainClient, Credentials, session
from alphafoundry.brain.addresses import absolute_location, base_address
from alphafoundry.brain.server import in_process
from alphafoundry.errors import (
    AuthenticationError,
    BrainRequestError,
    BrainUnavailable,
    ConfigurationError,
    PersonaRequired,
)
from tests.library.brain.conftest import GOOD, SETTINGS, recorded_pauses
from tests.library.brain.faults import FaultyBrain, serve

SIGN_IN = ("POST", "/authentication")

Make = Callable[..., FastAPI]


async def test_account_and_identity_are_known_after_signing_in(app: FastAPI) -> None:
    async with BrainClient("http://brain.local", transport=in_process(app)) as client:
        assert client.service == "brain.local" and client.market_label is None
        account = await client.authenticate()
        assert account["token"]["expiry"] == 14400
        assert client.service == "local:0000000000000005.5"
        assert client.market_label == "SYNTHETIC test market, 40 names × 800 days"


async def test_first_call_signs_in_and_concurrent_calls_share_it(
    faulty: FaultyBrain, url: str, credentials: Credentials
) -> None:
    async with BrainClient(url, credentials) as client:
        await asyncio.gather(*(client.operators() for _ in range(12)))
    assert faulty.requests[SIGN_IN] == 1


async def test_an_ended_session_is_renewed_once_for_all_tasks(
    faulty: FaultyBrain, url: str, app: FastAPI
) -> None:
    async with BrainClient(url) as client:
        await client.authenticate()
        app.state.brain.sessions._tokens.clear()
        await asyncio.gather(*(client.operators() for _ in range(12)))
    assert faulty.requests[SIGN_IN] == 2


@pytest.mark.parametrize("fault", ["expired", "empty-html"])
async def test_each_sign_of_an_ended_session_leads_to_a_new_one(
    faulty: FaultyBrain, url: str, fault: str
) -> None:
    async with BrainClient(url) as client:
        await client.authenticate()
        faulty.plan(fault, path="/operators")
        assert await client.operators()
    assert faulty.requests[SIGN_IN] == 2


@pytest.mark.parametrize(
    "lost",
    [
        httpx.Response(400, json={"detail": "Incorrect authentication credentials."}),
        httpx.Response(204),
    ],
)
async def test_old_signs_of_an_ended_session(lost: httpx.Response) -> None:
    answers = [lost, httpx.Response(200, json=[{"name": "rank"}])]
    signed_in = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal signed_in
        if request.url.path == "/authentication":
            signed_in += 1
            return httpx.Response(201, json={"user": {"id": "AB12345"}})
        return answers.pop(0)

    async with BrainClient("http://x", transport=httpx.MockTransport(answer)) as client:
        assert [operator.name for operator in await client.operators()] == ["rank"]
    assert signed_in == 2


async def test_session_is_renewed_before_it_ends(
    make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed)
    monkeypatch.setattr(session, "time", clock)
    faulty = FaultyBrain(make_app(token_seconds=1000.0))
    with serve(faulty) as url:
        async with BrainClient(url) as client:
            await client.operators()
            passed = 995.0
            await client.operators()
    assert faulty.requests[SIGN_IN] == 2
    assert faulty.requests["GET", "/operators"] == 2


async def test_a_session_that_ends_at_once_is_opened_again(faulty: FaultyBrain, url: str) -> None:
    """One refusal is an ordinary end; two in a row come where the service loses sessions."""
    faulty.plan("expired", path="/operators", times=2)
    async with BrainClient(url) as client:
        assert await client.operators()
    assert faulty.requests["GET", "/operators"] == 3
    assert faulty.requests[SIGN_IN] == 3


async def test_a_service_that_refuses_each_new_session_is_an_error(
    faulty: FaultyBrain, url: str
) -> None:
    faulty.plan("expired", path="/operators", times=4)
    async with BrainClient(url) as client:
        with pytest.raises(AuthenticationError, match="session that it has just opened"):
            await client.operators()
    assert faulty.requests["GET", "/operators"] == 4


async def test_wrong_credentials_are_tried_once_by_many_tasks(
    make_app: Make, credentials: Credentials
) -> None:
    faulty = FaultyBrain(make_app(credentials=Credentials("a@b.c", "other")))
    with serve(faulty) as url:
        async with BrainClient(url, credentials) as client:
            results = await asyncio.gather(
                *(client.operators() for _ in range(8)), return_exceptions=True
            )
    assert all(isinstance(result, AuthenticationError) for result in results)
    assert faulty.requests[SIGN_IN] == 1


async def test_tasks_that_wait_for_one_sign_in_share_its_failure(
    faulty: FaultyBrain, url: str
) -> None:
    faulty.plan("drop-before", path="/authentication")
    async with BrainClient(url) as client:
        results = await asyncio.gather(
            *(client.operators() for _ in range(8)), return_exceptions=True
        )
        assert {type(result) for result in results} == {BrainUnavailable}, results
        assert faulty.requests[SIGN_IN] == 1
        assert await client.operators()


async def test_many_failures_ask_for_a_captcha(make_app: Make, credentials: Credentials) -> None:
    app = make_app(credentials=Credentials("a@b.c", "other"))
    async with BrainClient("http://x", credentials, transport=in_process(app)) as client:
        for _ in range(6):
            with pytest.raises(AuthenticationError) as caught:
                await client.authenticate()
    assert "captcha" in str(caught.value)


async def test_a_person_confirms_in_a_browser(make_app: Make, credentials: Credentials) -> None:
    faulty = FaultyBrain(make_app(persona=True, credentials=credentials))
    shown: list[str] = []
    with serve(faulty) as url:
        async with BrainClient(url, credentials, on_persona=shown.append) as client:
            client._exchange.session._persona_poll = 0.05
            waiting = asyncio.create_task(client.authenticate())
            while not shown:
                await asyncio.sleep(0.01)
            assert f"{url}/authentication/persona?inquiry=inq_" in shown[0]
            while not faulty.requests["POST", "/authentication/persona"]:
                await asyncio.sleep(0.01)
            assert not waiting.done()
            link = next(word for word in shown[0].split() if word.startswith("http"))
            async with httpx.AsyncClient() as browser:
                assert (await browser.get(link)).status_code == 200
            await waiting
            assert await client.operators()
    assert faulty.requests["POST", "/authentication/persona"] >= 2


async def test_nobody_confirms(make_app: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(persona=True)
    shown: list[str] = []
    transport = in_process(app)
    async with BrainClient(
        "http://x", transport=transport, on_persona=shown.append, persona_timeout=0.1
    ) as client:
        pauses = recorded_pauses(session, monkeypatch)
        with pytest.raises(PersonaRequired):
            await client.authenticate()
        assert max(pauses) <= 0.1 and len(shown) == 1
    async with BrainClient("http://x", transport=transport) as client:
        with pytest.raises(PersonaRequired) as caught:
            await client.authenticate()
    assert caught.value.url.startswith("http://x/authentication/persona?inquiry=")


async def test_worldquant_without_credentials_is_told_before_anything_is_sent() -> None:
    def never(_: httpx.Request) -> httpx.Response:
        raise AssertionError("a request was sent")

    async with BrainClient(transport=httpx.MockTransport(never)) as client:
        assert client.service == "worldquant"
        with pytest.raises(ConfigurationError, match="--credentials"):
            await client.authenticate()


@pytest.mark.parametrize(
    "location",
    [
        "/alphas/abc/submit",
        "https://api.worldquantbrain.com/alphas/abc/submit",
        "http://api.worldquantbrain.com:443/alphas/abc/submit",
    ],
)
def test_every_form_of_location_is_read(location: str) -> None:
    base = base_address("http://api.worldquantbrain.com/")
    assert str(absolute_location(location, base)) == (
        "https://api.worldquantbrain.com/alphas/abc/submit"
    )


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/simulations/1",
        "https://api.worldquantbrain.com.evil.example/simulations/1",
        "https://api.worldquantbrain.com@evil.example/simulations/1",
        "//evil.example/simulations/1",
        "https://api.worldquantbrain.com:8443/simulations/1",
        "ftp://api.worldquantbrain.com/simulations/1",
        "http://[/",
    ],
)
def test_a_location_elsewhere_is_not_followed(location: str) -> None:
    with pytest.raises(BrainRequestError):
        absolute_location(location, base_address("https://api.worldquantbrain.com"))


@pytest.mark.parametrize(
    "location", ["https://inside.example/simulations/1", "http://x:8080/api/simulations/1"]
)
async def test_a_simulation_whose_location_a_proxy_changed_is_asked_for_where_it_was_sent(
    location: str,
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.path == "/authentication":
            return httpx.Response(201, json={})
        if request.method == "GET":
            return httpx.Response(200, json={"status": "COMPLETE", "alpha": "abc"})
        return httpx.Response(201, headers={"Location": location})

    async with BrainClient("http://x/brain", transport=httpx.MockTransport(answer)) as client:
        found = await client.poll_simulation(await client.post_simulation(GOOD, SETTINGS))
    assert found.alpha == "abc"
    assert asked == [
        f"http://x/brain/{path}" for path in ("authentication", "simulations", "simulations/1")
    ]


@pytest.mark.parametrize(
    "location", [None, "", "https://login.example/", "https://x.example/simulations/1?to=../me"]
)
async def test_a_simulation_without_a_readable_location_may_have_been_started(
    location: str | None,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/authentication":
            return httpx.Response(201, json={})
        return httpx.Response(201, headers={} if location is None else {"Location": location})

    async with BrainClient("http://x", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(BrainUnavailable) as error:
            await client.post_simulation(GOOD, SETTINGS)
    assert error.value.fate_unknown


@pytest.mark.parametrize("address", ["", "api.worldquantbrain.com", "ftp://x", "http://", "x://["])
def test_a_wrong_address_is_told(address: str) -> None:
    with pytest.raises(ConfigurationError, match="not the address of a BRAIN service"):
        BrainClient(address)
