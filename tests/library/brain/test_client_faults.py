"""Each fault of the service, as the client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from alphafoundry.brain import BrainClient, waiting
from alphafoundry.errors import BrainError, BrainRequestError, BrainUnavailable, RateLimited
from tests.flows.misbehaving import CountingBrain
from tests.library.brain.conftest import GOOD, SETTINGS, recorded_pauses
from tests.library.brain.faults import FaultyBrain, serve
from tests.some_cases import one_in

SIMULATE = ("POST", "/simulations")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_AFTER_FAILURE", 0.02)


@pytest.fixture
def slow_seconds() -> float:
    """How long a slow answer takes: longer than `IMPATIENT`, which is enough for any other."""
    return 4.5


IMPATIENT = 3.0


@pytest.mark.parametrize("fault", one_in(3, ["429-concurrent", "429-rate", "503"]))
async def test_a_short_retry_after_is_waited(faulty: FaultyBrain, url: str, fault: str) -> None:
    faulty.plan(fault, path="/operators", times=2)
    async with BrainClient(url) as client:
        assert await client.operators()
    assert faulty.requests["GET", "/operators"] == 3


async def test_patience_has_an_end(faulty: FaultyBrain, url: str) -> None:
    faulty.plan("429-rate", path="/operators", times=100)
    async with BrainClient(url) as client:
        with pytest.raises(RateLimited) as caught:
            await client.operators()
    assert caught.value.kind == "rate" and caught.value.retry_after == 0.05
    assert faulty.requests["GET", "/operators"] == 4


async def test_a_long_retry_after_is_an_error_that_carries_it(
    faulty: FaultyBrain, url: str
) -> None:
    faulty.plan("429-concurrent", path="/simulations")
    async with BrainClient(url, max_wait_retry_after=0.01) as client:
        with pytest.raises(RateLimited) as caught:
            await client.post_simulation(GOOD, SETTINGS)
    assert caught.value.retry_after == 0.05 and caught.value.kind == "concurrent"
    assert caught.value.transient and not caught.value.fate_unknown


async def test_sign_in_waits_too(faulty: FaultyBrain, url: str) -> None:
    faulty.plan("503", path="/authentication")
    async with BrainClient(url) as client:
        assert await client.operators()


async def test_the_daily_quota_is_not_tried_again(faulty: FaultyBrain, url: str) -> None:
    faulty.plan("429-daily", method="POST", path="/simulations")
    async with BrainClient(url) as client:
        with pytest.raises(RateLimited) as caught:
            await client.post_simulation(GOOD, SETTINGS)
    assert caught.value.kind == "daily" and not caught.value.transient
    assert faulty.requests[SIMULATE] == 1


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (429, "SIMULATION_LIMIT_EXCEEDED"),
        (429, "CONCURRENT_SIMULATION_LIMIT_EXCEEDED"),
        (400, "CONCURRENT_SIMULATION_LIMIT_EXCEEDED"),
    ],
)
async def test_every_form_of_the_cap(status: int, text: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/authentication":
            return httpx.Response(201, json={})
        return httpx.Response(status, json={"detail": text})

    async with BrainClient("http://x", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(RateLimited) as caught:
            await client.post_simulation(GOOD, SETTINGS)
    assert caught.value.kind == "concurrent"


@pytest.mark.parametrize(
    "fault", one_in(3, ["500", "503", "drop-before", "drop-after", "slow", "truncated", "not-json"])
)
async def test_a_simulation_of_unknown_fate_is_never_sent_twice(
    faulty: FaultyBrain, url: str, fault: str
) -> None:
    async with BrainClient(url, timeout=IMPATIENT) as client:
        await client.authenticate()
        if fault == "truncated":
            # An empty body cannot be cut; a submission's refusal can.
            location = await client.post_simulation(f"-{GOOD}", SETTINGS)
            alpha = (await client.poll_simulation(location)).alpha
            assert alpha is not None
            faulty.plan(fault, method="POST", path="/submit")
            call, path = client.post_submit(alpha), f"/alphas/{alpha}/submit"
        else:
            faulty.plan(fault, method="POST", path="/simulations")
            call, path = client.post_simulation(GOOD, SETTINGS), "/simulations"
        before = faulty.requests["POST", path]
        with pytest.raises(BrainUnavailable) as caught:
            await call
    assert caught.value.fate_unknown and not caught.value.transient
    assert faulty.requests["POST", path] == before + 1


@pytest.mark.parametrize("fault", one_in(2, ["500", "drop-before", "drop-after", "slow"]))
async def test_a_submission_of_unknown_fate_is_never_sent_twice(
    faulty: FaultyBrain, url: str, fault: str
) -> None:
    async with BrainClient(url, timeout=IMPATIENT) as client:
        alpha = (await client.poll_simulation(await client.post_simulation(GOOD, SETTINGS))).alpha
        assert alpha is not None
        path = f"/alphas/{alpha}/submit"
        faulty.plan(fault, method="POST", path="/submit")
        with pytest.raises(BrainUnavailable) as caught:
            await client.submit(alpha)
        assert caught.value.fate_unknown
        assert faulty.requests["POST", path] == 1
        if fault in ("drop-after", "slow"):
            async with asyncio.timeout(300):
                while (await client.alpha(alpha)).status != "ACTIVE":
                    await asyncio.sleep(0.05)


async def test_a_page_in_place_of_a_verdict_is_no_acceptance(faulty: FaultyBrain, url: str) -> None:
    async with BrainClient(url) as client:
        alpha = (await client.poll_simulation(await client.post_simulation(GOOD, SETTINGS))).alpha
        assert alpha is not None
        for fault in ("not-json", "empty-html"):
            faulty.plan(fault, method="POST", path="/submit")
            with pytest.raises(BrainUnavailable) as caught:
                await client.submit(alpha)
            assert caught.value.fate_unknown
        assert (await client.alpha(alpha)).status == "UNSUBMITTED"
        assert (await client.post_submit(alpha)).status == "started"
        faulty.plan("not-json", method="GET", path="/submit")
        faulty.plan("empty-html", method="GET", path="/submit", times=2)
        assert (await client.poll_submit(alpha)).status == "accepted"


async def test_a_server_that_is_not_there_has_a_known_fate() -> None:
    async with BrainClient("http://127.0.0.1:1") as client:
        with pytest.raises(BrainUnavailable, match=r"no answer from 127\.0\.0\.1:1") as caught:
            await client.post_simulation(GOOD, SETTINGS)
    assert not caught.value.fate_unknown and caught.value.transient


@pytest.mark.parametrize("fault", ["500", "drop-before", "drop-after", "truncated", "not-json"])
async def test_a_failed_read_is_transient(faulty: FaultyBrain, url: str, fault: str) -> None:
    faulty.plan(fault, path="/operators")
    async with BrainClient(url) as client:
        with pytest.raises(BrainUnavailable) as caught:
            await client.operators()
        assert caught.value.transient and not caught.value.fate_unknown
        assert await client.operators()


@pytest.mark.parametrize(
    "fault",
    one_in(3, ["500", "503", "429-rate", "drop-before", "truncated", "not-json", "expired"]),
)
async def test_polling_survives_a_fault(faulty: FaultyBrain, url: str, fault: str) -> None:
    async with BrainClient(url) as client:
        location = await client.post_simulation(GOOD, SETTINGS)
        faulty.plan(fault, method="GET", path="/simulations/", times=1 if fault == "expired" else 3)
        status = await client.poll_simulation(location)
    assert status.status == "COMPLETE" and status.succeeded and faulty.injected[fault] >= 1


async def test_polling_gives_up_after_five_faults_in_a_row(faulty: FaultyBrain, url: str) -> None:
    async with BrainClient(url, max_wait_retry_after=0) as client:
        location = await client.post_simulation(GOOD, SETTINGS)
        faulty.plan("503", method="GET", path="/simulations/", times=100)
        with pytest.raises(BrainUnavailable):
            await client.poll_simulation(location)
    assert faulty.injected["503"] == 5


@pytest.mark.parametrize(
    ("fault", "status"), [("error-state", "ERROR"), ("timeout-state", "TIMEOUT")]
)
async def test_failed_states_are_finished(
    faulty: FaultyBrain, url: str, fault: str, status: str
) -> None:
    faulty.plan(fault, method="GET", path="/simulations/")
    async with BrainClient(url) as client:
        found = await client.poll_simulation(await client.post_simulation(GOOD, SETTINGS))
    assert found.status == status and found.finished and not found.succeeded


async def test_polling_has_a_deadline(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = recorded_pauses(waiting, monkeypatch)
    with serve(make_app(simulation_seconds=30, poll_seconds=20)) as url:
        async with BrainClient(url) as client:
            location = await client.post_simulation(GOOD, SETTINGS)
            with pytest.raises(BrainUnavailable, match=r"not finished after 0\.2 s"):
                await client.poll_simulation(location, deadline=0.2)
            assert max(pauses) <= 0.2
            await client.cancel_simulation(location)
            assert (await client.poll_simulation(location)).status == "CANCELLED"


async def test_a_state_that_never_ends_does_not_poll_for_ever() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/authentication":
            return httpx.Response(201, json={})
        return httpx.Response(200, json={"progress": 0.1}, headers={"Retry-After": "0.0"})

    async with BrainClient("http://x", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(BrainUnavailable, match="not finished"):
            await client.poll_simulation("/simulations/1", deadline=0.2)


@pytest.mark.parametrize(
    "body",
    [
        {"status": 5},
        {"status": "COMPLETE", "alpha": ["x"]},
        ["status"],
        "COMPLETE",
        None,
    ],
)
async def test_a_strange_answer_is_an_error_not_a_crash(body: object) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201 if request.method == "POST" else 200, json=body or {})

    async with BrainClient("http://x", transport=httpx.MockTransport(answer)) as client:
        for call in (
            client.get_simulation("/simulations/1"),
            client.alpha("x"),
            client.check("x", deadline=0.1),
            client.daily_pnl("x"),
        ):
            try:
                await call
            except BrainError as problem:
                assert "\n" not in str(problem)


async def test_unknown_ids_are_refused_with_404(url: str) -> None:
    async with BrainClient(url) as client:
        for call in (
            client.alpha("../../etc"),
            client.poll_simulation("/simulations/unknown"),
            client.post_submit("unknown"),
            client.check("unknown"),
        ):
            with pytest.raises(BrainRequestError) as caught:
                await call
            assert caught.value.status == 404


@pytest.mark.parametrize("seed", one_in(2, [1, 2]))
async def test_a_day_of_bad_weather_loses_and_doubles_nothing(
    make_app: Callable[..., FastAPI], seed: int
) -> None:
    """Twelve simulations under every fault at once: each is found again, none is paid twice."""
    often = ("429-concurrent", "429-rate", "500", "503", "drop-before", "drop-after", "expired")
    rates = dict.fromkeys(often, 0.03) | dict.fromkeys(("truncated", "not-json"), 0.02)
    counting = CountingBrain(make_app())
    faulty = FaultyBrain(counting, seed=seed, rates=rates)
    expressions = [f"ts_mean(volume, {days})" for days in range(2, 14)]
    with serve(faulty) as url:
        async with BrainClient(url) as client:

            async def until_known(expression: str) -> None:
                location = None
                while True:
                    try:
                        if location is None:
                            location = await client.post_simulation(expression, SETTINGS)
                        await client.poll_simulation(location)
                        return
                    except BrainUnavailable as problem:
                        if problem.fate_unknown:
                            await all_have_ended(counting)
                            if await _is_there(client, expression):
                                return

            for expression in expressions:
                await until_known(expression)
            faulty.stop()
            await all_have_ended(counting)
            codes = [alpha.code async for alpha in client.alphas()]
    assert sorted(codes) == sorted(expressions)
    assert sum(faulty.injected.values()) > 5


async def all_have_ended(counting: CountingBrain) -> None:
    """Wait until nothing that the server accepted is still simulated."""
    transport = httpx.ASGITransport(counting)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as behind_the_faults:
        async with asyncio.timeout(300):
            while True:
                metrics = (await behind_the_faults.get("/foundry/metrics")).json()
                if metrics["simulations"] == counting.accepted.total():
                    return
                await asyncio.sleep(0.02)


async def _is_there(client: BrainClient, expression: str) -> bool:
    while True:
        try:
            return expression in [alpha.code async for alpha in client.alphas()]
        except BrainUnavailable:
            await asyncio.sleep(0.05)
