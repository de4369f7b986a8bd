"""Submissions: exactly once, within the day's limit, each refusal with its reason."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from alphafoundry.brain import BrainClient
from alphafoundry.clock import eastern_day, utc_now
from alphafoundry.research.report import AlphasReport
from alphafoundry.settings import load_settings
from alphafoundry.store import (
    begin_run,
    finish_run,
    intend_submission,
    open_store,
)
from tests.flows.misbehaving import FITTING, Service
from tests.some_cases import one_in
from tests.working_folder import TIMEOUT, WorkingFolder

GOOD = "rank(volume)"
OTHER_GOOD = "rank(cap)"
ALIKE = "rank(log(volume))"
POOR = "reverse(rank(volume))"


def submit(url: str) -> AlphasReport:
    from flows.submit import submit as flow

    return asyncio.run(flow(brain=url))


async def make_alphas(url: str, *expressions: str) -> list[str]:
    """Simulate at the service; return the ids of the alphas."""
    alphas = []
    async with BrainClient(url) as brain:
        for expression in expressions:
            location = await brain.post_simulation(expression, load_settings().alpha)
            alphas.append((await brain.poll_simulation(location)).alpha)
    assert all(alphas)
    return [str(alpha) for alpha in alphas]


def have(place: WorkingFolder, url: str, *expressions: str) -> list[str]:
    """Make alphas at the service that the next run takes over from the file of hopeful ones."""
    alphas = asyncio.run(make_alphas(url, *expressions))
    entries = [
        {"expression": expression, "timestamp": 1, "alpha_id": alpha, "fitness": 1.5}
        for expression, alpha in zip(expressions, alphas, strict=True)
    ]
    (place.path / "hopeful_alphas.json").write_text(json.dumps(entries))
    return alphas


async def _service_name(url: str) -> str:
    async with BrainClient(url) as brain:
        await brain.authenticate()
        return brain.service


def leave_intended(place: WorkingFolder, url: str, alpha_id: str) -> None:
    """Leave what a run leaves that is killed between its intent and the answer."""
    name = asyncio.run(_service_name(url))
    with open_store(home=place.home) as store:
        run = begin_run(store, flow="submit", service=name)
        day = eastern_day(utc_now())
        intent = intend_submission(store, name, alpha_id, day, daily_limit=4, run_id=run.id)
        assert intent.submission is not None
        finish_run(store, run.id, "interrupted")


async def submit_behind_its_back(url: str, alpha_id: str) -> None:
    async with BrainClient(url) as brain:
        assert (await brain.submit(alpha_id)).status == "accepted"


def submissions(place: WorkingFolder) -> dict[str, tuple[str, str]]:
    rows = place.rows("SELECT alpha_id, status, detail FROM submissions")
    return {alpha: (status, detail) for alpha, status, detail in rows}


def outcome(report: AlphasReport, alpha_id: str) -> str:
    return next(line.outcome for line in report.alphas if line.alpha_id == alpha_id)


def test_good_alphas_are_submitted_and_the_next_run_leaves_them(
    place: WorkingFolder, service: Service, url: str
) -> None:
    good, other = have(place, url, GOOD, OTHER_GOOD)
    assert submit(url).counts.submitted == 2
    again = submit(url)
    assert (again.counts.submitted, again.counts.submitted_today) == (0, 2)
    assert service.counting.submitted == {good: 1, other: 1}
    log = place.json("submission_log.json")
    assert log["last_submission_date"] == eastern_day(utc_now()).isoformat()


def test_a_submission_that_arrived_before_the_run_died_is_found(
    place: WorkingFolder, service: Service, url: str
) -> None:
    (alpha,) = have(place, url, GOOD)
    leave_intended(place, url, alpha)
    asyncio.run(submit_behind_its_back(url, alpha))
    report = submit(url)
    assert submissions(place)[alpha][0] == "accepted"
    assert report.counts.submitted_today == 1
    assert service.counting.submitted == {alpha: 1}


@pytest.mark.long
def test_a_submission_that_never_arrived_is_sent(
    place: WorkingFolder, service: Service, url: str
) -> None:
    (alpha,) = have(place, url, GOOD)
    leave_intended(place, url, alpha)
    report = submit(url)
    assert submissions(place)[alpha][0] == "accepted"
    assert report.counts.submitted == 1
    assert service.counting.submitted == {alpha: 1}


@pytest.mark.long
def test_an_intended_alpha_that_the_service_does_not_know_blocks_nothing(
    place: WorkingFolder, url: str
) -> None:
    (alpha,) = have(place, url, GOOD)
    leave_intended(place, url, "Nowhere1")
    assert submit(url).counts.submitted == 1
    found = submissions(place)
    assert found["Nowhere1"][0] == "failed" and "404" in found["Nowhere1"][1]
    assert found[alpha][0] == "accepted"


@pytest.mark.parametrize(
    "fault",
    one_in(
        2,
        [
            "drop-after",
            "500",
            *(pytest.param(one, marks=pytest.mark.long) for one in ("drop-before", "truncated")),
            pytest.param("not-json", marks=pytest.mark.long),
        ],
    ),
)
def test_a_lost_answer_to_a_submission_is_asked_for(
    place: WorkingFolder, service: Service, url: str, fault: str
) -> None:
    (alpha,) = have(place, url, GOOD)
    service.faulty.plan(fault, method="POST", path="/submit$")
    service.misbehaving = True
    submit(url)
    if submissions(place)[alpha][0] != "accepted":
        submit(url)
    assert submissions(place)[alpha][0] == "accepted"
    assert service.counting.submitted == {alpha: 1}


@pytest.mark.long
def test_a_rejection_keeps_its_reason_and_is_not_repeated(
    place: WorkingFolder, service: Service, url: str
) -> None:
    (alpha,) = have(place, url, GOOD)
    service.rejecting = True
    report = submit(url)
    status, detail = submissions(place)[alpha]
    assert status == "rejected"
    assert "SELF_CORRELATION FAIL 0.9 (limit 0.7)" in detail
    assert "SELF_CORRELATION FAIL 0.9 (limit 0.7)" in outcome(report, alpha)
    service.rejecting = False
    assert submit(url).counts.submitted == 0
    assert service.counting.submitted == {}


@pytest.mark.long
def test_the_quota_of_the_service_ends_the_run(place: WorkingFolder, tmp_path: Path) -> None:
    service = Service(tmp_path, daily_submissions=1)
    with service.on_a_port() as url:
        alphas = have(place, url, GOOD, OTHER_GOOD)
        report = submit(url)
    assert report.counts.submitted == 1
    found = submissions(place)
    (refused,) = [alpha for alpha in alphas if found.get(alpha, ("", ""))[0] != "accepted"]
    assert "REGULAR_SUBMISSION" in outcome(report, refused)


@pytest.mark.long
def test_what_stays_behind_says_why(
    place: WorkingFolder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, alike, poor = have(place, url, GOOD, ALIKE, POOR)
    monkeypatch.setenv("FOUNDRY_HOPEFUL__FITNESS", "-100")
    report = submit(url)
    assert report.counts.submitted == 1
    accepted = {alpha for alpha, (status, _) in submissions(place).items() if status == "accepted"}
    (left,) = {good, alike} - accepted
    assert "correlation" in outcome(report, left)
    assert "LOW_SHARPE FAIL" in outcome(report, poor)


@pytest.mark.long
def test_a_check_without_an_answer_does_not_hold_up_the_others(
    place: WorkingFolder, service: Service, url: str
) -> None:
    good, other = have(place, url, GOOD, OTHER_GOOD)
    service.faulty.plan("500", path=f"^/alphas/{good}/check$", times=1000)
    service.misbehaving = True
    report = submit(url)
    assert set(submissions(place)) == {other}
    assert report.counts.submitted == 1


@pytest.mark.long
def test_two_processes_keep_one_daily_limit(
    place: WorkingFolder, service: Service, url: str
) -> None:
    have(place, url, GOOD, OTHER_GOOD)
    env = {**FITTING, "FOUNDRY_SUBMISSION__DAILY_LIMIT": "1"}
    with (
        place.start("flows.submit", "--brain", url, **env) as one,
        place.start("flows.submit", "--brain", url, **env) as other,
    ):
        assert [one.wait(TIMEOUT), other.wait(TIMEOUT)] == [0, 0], place.output("flows.submit")
    assert service.counting.submitted.total() == 1
    accepted = [status for status, _ in submissions(place).values() if status == "accepted"]
    assert accepted == ["accepted"]
