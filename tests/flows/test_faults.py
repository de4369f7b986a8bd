"""A BRAIN that misbehaves in every known way: nothing hangs, is lost, or is paid for twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType, TaskRun
from prefect.client.schemas.sorting import FlowRunSort

from alphafoundry.brain import BrainClient
from alphafoundry.errors import BrainUnavailable
from alphafoundry.expressions import parse
from alphafoundry.research import run as research_run
from alphafoundry.research import simulation_queue
from alphafoundry.research.report import AlphasReport
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.simulation_lifecycle import LOST_TWICE, Outcome
from alphafoundry.settings import load_settings
from alphafoundry.store import (
    SimulationPlan,
    begin_run,
    finish_run,
    mark_sending,
    mark_sent,
    open_store,
    plan_simulations,
)
from tests.flows.misbehaving import Service
from tests.working_folder import WorkingFolder, wait_until

RATES = {
    "429-concurrent": 0.02,
    "429-rate": 0.02,
    "500": 0.02,
    "503": 0.02,
    "drop-before": 0.02,
    "drop-after": 0.03,
    "slow": 0.01,
    "truncated": 0.03,
    "expired": 0.02,
    "not-json": 0.02,
    "empty-html": 0.01,
    "redirected": 0.01,
    "408": 0.01,
    "error-state": 0.01,
    "timeout-state": 0.01,
}


def generate(**parameters: Any) -> AlphasReport:
    from flows.generate import generate as flow

    return asyncio.run(flow(**parameters))


def by_status(place: WorkingFolder) -> Counter[str]:
    return Counter(dict(place.rows("SELECT status, count(*) FROM simulations GROUP BY 1")))


@pytest.mark.slow
@pytest.mark.parametrize("simulations", [48, pytest.param(400, marks=pytest.mark.long)])
def test_many_simulations_under_every_fault(
    place: WorkingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulations: int
) -> None:
    # A busy machine may need more than the usual second for a simulation to show.
    monkeypatch.setattr(research_run, "SHORTEST_INVISIBLE", 3.0)
    service = Service(tmp_path, RATES)
    for fault in RATES:
        service.faulty.plan(fault, method="GET", path=r"^/simulations/\w+$")
    with service.on_a_port() as url:
        service.misbehaving = True
        first = generate(simulations=simulations, brain=url, seed=3)
        service.misbehaving = False
        left = first.counts.unfinished
        second = generate(simulations=left, brain=url) if left else None

    injected = service.faulty.injected
    assert set(injected) == set(RATES), "every fault happened"
    counts = first.counts
    assert counts.simulated + counts.unfinished == simulations
    assert sum(first.reasons.values()) == counts.errors + counts.unfinished
    assert counts.unfinished <= simulations // 20
    if second is not None:
        assert (second.counts.resumed, second.counts.unfinished) == (left, 0)

    found = by_status(place)
    assert found.total() == simulations
    assert set(found) <= {"complete", "warning", "error", "timeout", "failed"}
    lost_twice = f"SELECT count(*) FROM simulations WHERE message = '{LOST_TWICE}'"
    assert found["failed"] == place.count(lost_twice) <= simulations // 20
    assert found["complete"] + found["warning"] == place.finished()
    made_to_fail = """SELECT count(*) FROM simulations WHERE message IN
        ('Simulation failed.', 'the simulation ended as TIMEOUT without an alpha')"""
    assert place.count(made_to_fail) <= injected["error-state"] + injected["timeout-state"]
    without_reason = "SELECT count(*) FROM simulations WHERE alpha_id IS NULL AND message IS NULL"
    assert place.count(without_reason) == 0

    assert simulations - found["failed"] <= len(service.counting.accepted) <= simulations
    assert max(service.counting.accepted.values()) <= 2
    # One that ends without an alpha cannot be found again when its answer was lost.
    visible = set(service.expressions())
    repeated = [asked for asked, times in service.counting.accepted.items() if times > 1]
    assert [asked for asked in repeated if json.loads(asked)[0] in visible] == []


@pytest.mark.long
def test_a_lost_answer_of_a_slow_simulation_is_waited_for(
    place: WorkingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alpha shows seconds after its answer was lost, and no simulation was seen before."""
    monkeypatch.setattr(research_run, "USUALLY_INVISIBLE_LOCALLY", 5.0)
    service = Service(tmp_path, simulation_seconds=1.5)
    with service.on_a_port() as url:
        service.faulty.plan("drop-after", method="POST", path="^/simulations$")
        service.misbehaving = True
        report = generate(simulations=1, brain=url)
    assert (report.counts.simulated, report.counts.errors) == (1, 0)
    assert list(service.counting.accepted.values()) == [1]


@pytest.mark.slow
def test_a_run_that_died_while_sending_is_not_paid_for_again(
    place: WorkingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead run's request arrived; the simulation is under way when the next run begins."""
    monkeypatch.setattr(research_run, "USUALLY_INVISIBLE_LOCALLY", 5.0)
    service = Service(tmp_path, simulation_seconds=2)
    with service.on_a_port() as url:
        asyncio.run(die_while_sending(place, url, "rank(volume)"))
        report = generate(simulations=1, brain=url)
    assert (report.counts.resumed, report.counts.simulated, report.counts.errors) == (1, 1, 0)
    assert list(service.counting.accepted.values()) == [1]


def test_one_that_ends_without_an_alpha_is_sent_again_once(
    place: WorkingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer comes to either request, and an error leaves no alpha to find it by."""
    monkeypatch.setattr(research_run, "USUALLY_INVISIBLE_LOCALLY", 0.5)
    service = Service(tmp_path)
    with service.on_a_port() as url:
        asyncio.run(die_while_sending(place, url, "rank(no_such_field)"))
        service.faulty.plan("drop-after", method="POST", path="^/simulations$")
        service.misbehaving = True
        report = generate(simulations=1, brain=url)
    assert list(service.counting.accepted.values()) == [2]
    assert (report.counts.resumed, report.counts.errors, report.counts.unfinished) == (1, 1, 0)
    assert any("sent twice" in reason for reason in report.reasons)
    assert by_status(place) == {"failed": 1}


@pytest.mark.long
def test_a_result_that_is_refused_for_good_costs_that_result_alone(
    place: WorkingFolder, tmp_path: Path
) -> None:
    service = Service(tmp_path)
    refused = service.faulty.plan
    refused("gone", method="GET", path=r"^/alphas/\w+$")
    refused("forbidden", method="GET", path=r"^/alphas/\w+/recordsets/daily-pnl$")
    refused("forbidden", method="GET", path=r"^/simulations/\w+$")
    with service.on_a_port() as url:
        service.misbehaving = True
        first = generate(simulations=8, brain=url)
        second = generate(simulations=1, brain=url)
    assert (first.counts.simulated, first.counts.errors, first.counts.unfinished) == (7, 1, 1)
    assert any("stored without its daily PnL" in note for note in first.notes)
    assert (second.counts.resumed, second.counts.simulated) == (1, 1)
    assert by_status(place)["failed"] == 1 and place.finished() == 7
    assert set(service.counting.accepted.values()) == {1}


@pytest.mark.long
def test_an_alpha_is_found_when_the_service_has_forgotten_its_simulation(
    place: WorkingFolder, tmp_path: Path
) -> None:
    service = Service(tmp_path)
    with service.on_a_port() as url:
        asyncio.run(die_while_sending(place, url, "rank(volume)", location="/simulations/gone"))
        report = generate(simulations=1, brain=url)
    assert (report.counts.resumed, report.counts.simulated, report.counts.errors) == (1, 1, 0)
    assert list(service.counting.accepted.values()) == [1]


@pytest.mark.long
def test_a_group_of_the_simulator_in_this_process_is_tried_again_from_where_it_was(
    place: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One task run for all six; what it has stored is not simulated by its retry."""
    asked: list[int] = []
    simulate = simulation_queue.simulate_at_service

    async def away_at_the_third(run: ResearchRun, simulation_id: int) -> Outcome:
        asked.append(simulation_id)
        if len(asked) == 3:
            raise BrainUnavailable("no answer")
        return await simulate(run, simulation_id)

    monkeypatch.setattr(simulation_queue, "simulate_at_service", away_at_the_third)
    report = generate(simulations=6)
    assert (report.counts.simulated, report.counts.unfinished) == (6, 0)
    assert sorted([*asked[:2], *asked[3:]]) == [1, 2, 3, 4, 5, 6] and asked[2] == asked[3]
    assert place.rows("SELECT DISTINCT attempts FROM simulations") == [(1,)]
    (task_run,) = task_runs_of_the_last_flow("simulate ")
    assert task_run.name.endswith(" and 5 more") and task_run.run_count == 2
    assert task_run.state_type == StateType.COMPLETED


def task_runs_of_the_last_flow(beginning: str) -> list[TaskRun]:
    with get_client(sync_client=True) as prefect:
        # Other tests may have left scheduled runs at this server: only what has ended counts.
        completed = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED]))
        )
        (last,) = prefect.read_flow_runs(
            flow_run_filter=completed, sort=FlowRunSort.END_TIME_DESC, limit=1
        )
        of_last = FlowRunFilter(id=FlowRunFilterId(any_=[last.id]))

        def read() -> list[TaskRun]:
            found = prefect.read_task_runs(flow_run_filter=of_last)
            return [one for one in found if one.name.startswith(beginning)]

        # The server writes task runs down a moment later.
        wait_until(
            lambda: any(one.state_type == StateType.COMPLETED for one in read()), what="task runs"
        )
        return read()


async def die_while_sending(
    place: WorkingFolder, url: str, expression: str, *, location: str | None = None
) -> None:
    """Leave what a run leaves that is killed between its request and the answer.

    location : what it leaves that was killed later, when the simulation was over
    """
    settings = load_settings().alpha
    async with BrainClient(url) as brain:
        await brain.authenticate()
        with open_store(home=place.home) as store:
            run = begin_run(store, flow="generate", service=brain.service)
            plan = SimulationPlan(
                parse(expression).canonical, expression, settings.to_brain(), "grammar"
            )
            (row,) = plan_simulations(store, brain.service, [plan], run_id=run.id).new
            mark_sending(store, row.id)
            posted = await brain.post_simulation(expression, settings)
            if location is not None:
                await brain.poll_simulation(posted)
                mark_sent(store, row.id, location)
            finish_run(store, run.id, "interrupted")


@pytest.mark.long
def test_trouble_at_the_start_is_not_the_end(place: WorkingFolder, tmp_path: Path) -> None:
    service = Service(tmp_path)
    with service.on_a_port() as url:
        service.faulty.plan("500", path="^/authentication")
        service.faulty.plan("drop-before", path="^/operators")
        service.faulty.plan("truncated", path="^/data-fields")
        service.misbehaving, service.spared = True, "^$"
        report = generate(simulations=3, brain=url)
    assert report.counts.simulated == 3


@pytest.mark.long
def test_a_used_up_quota_ends_the_run_and_the_rest_waits(
    place: WorkingFolder, tmp_path: Path
) -> None:
    service = Service(tmp_path, daily_simulations=4)
    with service.on_a_port() as url:
        report = generate(simulations=10, brain=url)
        assert (report.counts.simulated, report.counts.unfinished) == (4, 6)
        assert any("daily simulation quota" in reason for reason in report.reasons)
        assert service.counting.posted <= 4 + 3, "no request once the quota is used up"
        again = generate(simulations=10, brain=url)
    assert again.counts.resumed == 6
    assert again.counts.simulated == 0


@pytest.mark.long
def test_a_service_that_goes_away_ends_the_run_soon(place: WorkingFolder, tmp_path: Path) -> None:
    service = Service(tmp_path)
    with service.on_a_port() as url:
        service.away_after = 4
        report = generate(simulations=20, brain=url)
        assert report.counts.simulated + report.counts.unfinished == 20
        assert report.counts.unfinished > 10
        assert any("no answer" in reason for reason in report.reasons)
        service.away_after = None
        again = generate(simulations=report.counts.unfinished, brain=url)
    assert again.counts.resumed == again.counts.simulated == report.counts.unfinished
    assert max(service.counting.accepted.values()) == 1


@pytest.mark.long
def test_mining_that_the_quota_cut_short_is_done_again(
    place: WorkingFolder, tmp_path: Path
) -> None:
    from flows.mine import mine as flow

    service = Service(tmp_path, daily_simulations=6)
    unmined = "SELECT count(*) FROM alphas WHERE hopeful AND mined_at IS NULL"
    with service.on_a_port() as url:
        generate(simulations=6, brain=url, seed=3)
        hopeful = place.count(unmined)
        assert hopeful > 0
        report = asyncio.run(flow(simulations=8, brain=url))
    assert report.counts.mined == 0
    assert report.counts.unfinished > 0
    assert place.count(unmined) == hopeful
