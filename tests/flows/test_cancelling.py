"""Cancel in Prefect's UI, which sets the state Cancelling: the run ends and the next goes on."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelling

from flows.generate import generate
from tests.flows.test_optimize import LASTING, write
from tests.library.llm.chat_server import program, running_chat_server
from tests.working_folder import TIMEOUT, WorkingFolder, wait_until

pytestmark = pytest.mark.slow
MANY = 240
"""So many that they last until a run has noticed that it was cancelled."""


def client() -> SyncPrefectClient:
    return get_client(sync_client=True)


def running(flow: str) -> FlowRun:
    """Return the run of a flow that is under way.

    Other tests may have left runs at this server that are scheduled, or whose process was killed.
    """
    under_way = FlowRunFilterStateType(any_=[StateType.RUNNING])
    with client() as prefect:
        (found,) = prefect.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=under_way)),
            sort=FlowRunSort.START_TIME_DESC,
            limit=1,
        )
    return found


def flow_runs(flow: str) -> int:
    """Return how many runs of a flow this server has seen."""
    with client() as prefect:
        return len(prefect.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow]))))


def cancel(run: UUID) -> None:
    """Do what the button of the UI does."""
    with client() as prefect:
        prefect.set_flow_run_state(run, Cancelling())


def state_of(run: UUID) -> str:
    with client() as prefect:
        state = prefect.read_flow_run(run).state
    assert state is not None
    return str(state.name)


def slots_in_use() -> int:
    async def read() -> int:
        async with get_client() as prefect:
            found = await prefect.read_global_concurrency_limit_by_name("tag:simulation")
            return int(found.active_slots)

    return asyncio.run(read())


def check_it_ended_in_good_order(place: WorkingFolder, module: str, run: UUID) -> None:
    printed = place.output(module)
    assert "Cancelled in Prefect" in printed and "Traceback" not in printed
    assert state_of(run) == "Cancelled"
    assert place.rows("SELECT status FROM runs") == [("interrupted",)]


def check_the_next_run_goes_on(place: WorkingFolder, *, most_attempts: int = 1) -> None:
    """Also where Prefect ended the process of a worker's run before it was done with saving.

    Then the next run writes how that one ended, gives its slots back, and sends again what the
    local service in its process had under way (most_attempts = 2).
    """
    counts = asyncio.run(generate(simulations=6)).counts
    assert (counts.resumed, counts.simulated) == (6, 6)
    assert place.count("SELECT max(attempts) FROM simulations") <= most_attempts
    wait_until(lambda: slots_in_use() == 0, what="the slots of the cancelled run")
    assert place.rows("SELECT status FROM runs ORDER BY id LIMIT 1") == [("interrupted",)]


@pytest.mark.long
def test_a_run_from_the_command_line(in_process: WorkingFolder) -> None:
    """It begins neither another flow nor a simulation; what it had not begun waits for the next."""
    place = in_process
    flows_before = flow_runs("mine"), flow_runs("submit")
    with place.start("flows.daily", "--simulations", str(MANY)) as process:
        wait_until(
            lambda: process.poll() is not None or place.finished() >= 2, what="two simulations"
        )
        run = running("daily")
        cancel(run.id)
        wait_until(
            lambda: "Cancelled in Prefect" in place.output("flows.daily"), what="that it noticed"
        )
        sent = "SELECT count(*) FROM simulations WHERE attempts > 0"
        before = place.count(sent)
        assert process.wait(TIMEOUT) == 130, place.output("flows.daily")
    assert place.count(sent) <= before + 3, "more than what was being sent at that moment"
    assert (flow_runs("mine"), flow_runs("submit")) == flows_before
    check_it_ended_in_good_order(place, "flows.daily", run.id)
    wait_until(lambda: slots_in_use() == 0, what="the slots of the cancelled run")
    check_the_next_run_goes_on(place)


@pytest.mark.long
def test_a_workflow(in_process: WorkingFolder) -> None:
    place = in_process
    place.env["PREFECT_LOCAL_STORAGE_PATH"] = str(place.home / "storage")
    done = "SELECT count(*) FROM workflow_trials"
    with place.start("flows.optimize", write(place, LASTING)) as process:
        wait_until(lambda: process.poll() is not None or place.count(done), what="a trial")
        run = running("optimize")
        cancel(run.id)
        assert process.wait(TIMEOUT) == 130, place.output("flows.optimize")
    check_it_ended_in_good_order(place, "flows.optimize", run.id)
    assert 0 < place.count(done) < 48


def test_a_run_that_waits_for_models(in_process: WorkingFolder) -> None:
    place = in_process
    with running_chat_server() as models:
        models.default = program(delay=60)
        flags = ("--models", "a,b", "--base-url", models.url)
        with place.start("flows.algorithms", *flags) as process:
            wait_until(
                lambda: process.poll() is not None or len(models.sent) == 2, what="two requests"
            )
            run = running("algorithms")
            cancel(run.id)
            assert process.wait(TIMEOUT) == 130, place.output("flows.algorithms")
    check_it_ended_in_good_order(place, "flows.algorithms", run.id)
