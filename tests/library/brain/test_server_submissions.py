"""Checking and submitting: once, by the rules, at most four a day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from alphafoundry.brain import BrainClient, CheckInfo
from alphafoundry.brain.server import in_process
from alphafoundry.brain.service.self_correlation import Related, self_correlation_check
from tests.library.brain.conftest import GOOD, OTHER_GOOD, SETTINGS
from tests.library.brain.faults import FaultyBrain

Make = Callable[..., FastAPI]


async def make_alpha(client: BrainClient, expression: str) -> str:
    status = await client.poll_simulation(await client.post_simulation(expression, SETTINGS))
    assert status.alpha is not None
    return status.alpha


def named(checks: list[CheckInfo] | tuple[CheckInfo, ...], name: str) -> CheckInfo:
    return next(check for check in checks if check.name == name)


async def test_from_check_to_submitted(app: FastAPI) -> None:
    async with BrainClient("http://x", transport=in_process(app)) as client:
        alpha = await make_alpha(client, GOOD)
        assert named((await client.alpha(alpha)).checks, "SELF_CORRELATION").result == "PENDING"
        checks = await client.check(alpha)
        assert {check.result for check in checks} == {"PASS"}
        assert named(checks, "SELF_CORRELATION").value == 0
        assert named(checks, "REGULAR_SUBMISSION").limit == 4
        assert (await client.alpha(alpha)).status == "UNSUBMITTED"
        assert (await client.submit(alpha)).status == "accepted"
        found = await client.alpha(alpha)
        assert (found.status, found.stage) == ("ACTIVE", "OS") and found.date_submitted
        assert named(found.checks, "SELF_CORRELATION").result == "PASS"
        assert [a.id async for a in client.alphas(stage="OS", status="ACTIVE")] == [alpha]
        assert [check.name for check in await client.check(alpha)] == ["ALREADY_SUBMITTED"]
        assert (await client.submit(alpha)).status == "already_submitted"


async def test_the_steps_of_a_submission(make_app: Callable[..., FastAPI]) -> None:
    transport = in_process(make_app(poll_seconds=1.0))
    async with (
        BrainClient("http://x", transport=transport) as client,
        httpx.AsyncClient(transport=transport, base_url="http://x", auth=("a", "b")) as http,
    ):
        alpha = await make_alpha(client, GOOD)
        path = f"/alphas/{alpha}/submit"
        never_sent = await http.get(path)
        assert never_sent.status_code == 403 and never_sent.json()["is"]["checks"]
        first = await http.post(path)
        assert first.status_code == 201 and first.headers["location"] == f"http://x{path}"
        assert not first.content and "retry-after" in first.headers
        looking = await http.get(path)
        assert looking.status_code == 200 and "retry-after" in looking.headers
        assert not looking.content
        async with asyncio.timeout(300):
            while (done := await http.get(path)).status_code == 200:
                await asyncio.sleep(0.05)
        assert done.status_code == 404 and not done.content and "retry-after" not in done.headers
        again = await http.post(path)
        assert again.status_code == 403 and "retry-after" not in again.headers
        assert again.json() == {"is": {"checks": [{"name": "ALREADY_SUBMITTED", "result": "FAIL"}]}}


async def test_a_client_that_repeats_the_post_is_answered_without_retry_after(
    app: FastAPI,
) -> None:
    transport = in_process(app)
    async with (
        BrainClient("http://x", transport=transport) as client,
        httpx.AsyncClient(transport=transport, base_url="http://x", auth=("a", "b")) as http,
    ):
        for expression, verdict in ((GOOD, 200), ("rank(volume) * 2", 403)):
            alpha = await make_alpha(client, expression)
            answers = []
            for _ in range(100):
                response = await http.post(f"/alphas/{alpha}/submit")
                answers.append(response.status_code)
                if "retry-after" not in response.headers:
                    break
                await asyncio.sleep(float(response.headers["retry-after"]))
            assert answers[0] == 201 and answers[-1] == verdict


async def test_a_bad_alpha_is_rejected_with_reasons(app: FastAPI) -> None:
    async with BrainClient("http://x", transport=in_process(app)) as client:
        alpha = await make_alpha(client, "-rank(volume)")
        outcome = await client.submit(alpha)
        assert outcome.status == "rejected"
        assert named(outcome.checks, "LOW_SHARPE").result == "FAIL"
        assert (await client.alpha(alpha)).status == "UNSUBMITTED"


async def test_a_near_copy_is_rejected_and_another_idea_is_not(app: FastAPI) -> None:
    transport = in_process(app)
    async with (
        BrainClient("http://x", transport=transport) as client,
        httpx.AsyncClient(transport=transport, base_url="http://x", auth=("a", "b")) as http,
    ):
        first, copy, other = [
            await make_alpha(client, text) for text in (GOOD, "rank(log(volume))", OTHER_GOOD)
        ]
        assert (await client.submit(first)).status == "accepted"
        correlation = named(await client.check(copy), "SELF_CORRELATION")
        assert correlation.result == "FAIL" and correlation.value == pytest.approx(1, abs=0.01)
        outcome = await client.submit(copy)
        assert outcome.status == "rejected"
        assert named(outcome.checks, "SELF_CORRELATION").result == "FAIL"
        assert (await client.submit(other)).status == "accepted"
        while not (response := await http.get(f"/alphas/{other}/correlations/self")).content:
            await asyncio.sleep(float(response.headers["retry-after"]))
        table = response.json()
        assert [row[0] for row in table["records"]] == [first]
        _, ours = await client.daily_pnl(other)
        _, theirs = await client.daily_pnl(first)
        assert table["max"] == pytest.approx(np.corrcoef(ours, theirs)[0, 1], abs=1e-4)


@pytest.mark.parametrize(
    ("sharpe", "others", "result"),
    [
        (1.5, [], "PASS"),
        (1.5, [(0.70, 3.0)], "PASS"),
        (1.5, [(0.71, 1.4)], "FAIL"),
        (1.54, [(0.71, 1.4)], "PASS"),
        (1.6, [(0.9, 1.4), (0.8, 1.5)], "FAIL"),
        (1.6, [(0.9, 1.4), (0.6, 9.0)], "PASS"),
        (None, [(0.9, 1.4)], "FAIL"),
    ],
)
def test_rule_of_self_correlation(
    sharpe: float | None, others: list[tuple[float, float]], result: str
) -> None:
    related = [Related({"is": {"sharpe": theirs}}, value) for value, theirs in others]
    check = self_correlation_check({"is": {"sharpe": sharpe}}, related)
    assert check["result"] == result and check["limit"] == 0.7


async def test_many_posts_at_once_submit_once(app: FastAPI) -> None:
    async with BrainClient("http://x", transport=in_process(app)) as client:
        alpha = await make_alpha(client, GOOD)
        outcomes = await asyncio.gather(*(client.submit(alpha) for _ in range(8)))
        assert {outcome.status for outcome in outcomes} <= {"accepted", "already_submitted"}
        assert any(outcome.status == "accepted" for outcome in outcomes)
        other = await make_alpha(client, OTHER_GOOD)
        assert named(await client.check(other), "REGULAR_SUBMISSION").value == 1


async def test_a_lost_answer_does_not_submit_twice(faulty: FaultyBrain, url: str) -> None:
    async with BrainClient(url) as client:
        alpha = await make_alpha(client, GOOD)
        faulty.plan("drop-after", method="POST", path="/submit")
        with pytest.raises(Exception, match="no answer"):
            await client.submit(alpha)
        assert (await client.poll_submit(alpha)).status == "accepted"
        other = await make_alpha(client, OTHER_GOOD)
        assert named(await client.check(other), "REGULAR_SUBMISSION").value == 1


async def test_the_quota_ends_at_midnight_in_new_york(make_app: Make) -> None:
    moment = datetime(2026, 7, 2, 3, 59, tzinfo=UTC)  # 23:59 on the 1st in New York
    app = make_app(daily_submissions=1, now=lambda: moment)
    async with BrainClient("http://x", transport=in_process(app)) as client:
        first, other = [await make_alpha(client, text) for text in (GOOD, OTHER_GOOD)]
        rejected = await make_alpha(client, "-rank(cap)")
        assert (await client.submit(rejected)).status == "rejected"
        assert (await client.submit(first)).status == "accepted"
        outcome = await client.submit(other)
        assert outcome.status == "rejected"
        quota = named(outcome.checks, "REGULAR_SUBMISSION")
        assert (quota.result, quota.value, quota.limit) == ("FAIL", 1, 1)
        moment = datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
        assert (await client.submit(other)).status == "accepted"
        found = await client.alpha(other)
        assert found.raw["dateSubmitted"] == "2026-07-02T00:00:00-04:00"
