"""What has ended inside a supervised flow run that goes on for days."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterTags,
)
from prefect.context import FlowRunContext

from alphafoundry.supervisor import linux
from alphafoundry.supervisor.worker_runs import FLOW_RUN
from tasks.run import run_context
from tasks.supervisor import old_steps
from tasks.supervisor.old_steps import delete_old_steps
from tests.working_folder import WorkingFolder

NAMES = ["of-a-person", "round-of-it", "for-days"]


async def test_old_rounds_go_while_their_run_goes_on(
    in_process: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(linux.PROCESS, "earlier/worker:3 night/alphas:1")
    supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supervisor.bind("")  # an abstract address that is free
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{supervisor.getsockname()[1:].decode()}")
    deleted = []

    @task
    def work() -> None: ...

    @flow
    async def of_a_person() -> None:
        await round_of_it()

    @flow
    async def round_of_it() -> None:
        work()

    @flow
    async def for_days() -> None:
        async with run_context():
            await round_of_it()
            now = datetime.now(UTC)
            for before, name in (
                (now - timedelta(hours=1), "alphas"),  # not old enough
                (now + timedelta(hours=1), "search"),  # of another process
                (now + timedelta(hours=1), "alphas"),
                (now + timedelta(hours=1), "alphas"),
            ):
                deleted.append(await delete_old_steps(before, [name]))
            await round_of_it()

    await of_a_person()
    await for_days()
    with supervisor:
        supervisor.setblocking(False)
        told = supervisor.recv(200).decode()
        with pytest.raises(BlockingIOError):
            supervisor.recv(200)
    assert deleted == [0, 0, 1, 0]
    tags = FlowRunFilterTags(all_=["process:alphas", "supervision:night"])
    async with get_client() as client:
        (outer,) = await client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags))
        rest = await client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=NAMES)))
    assert outer.state_name == "Completed" and outer.parent_task_run_id is None
    assert told == f"X_FLOW_RUN={outer.id}"
    # The person's two, the outer one, and its second round.
    assert len(rest) == 4 and all(one.state_name == "Completed" for one in rest)


@pytest.mark.long
async def test_one_call_deletes_so_many_and_the_next_goes_on(
    in_process: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(linux.PROCESS, "night/alphas:1")
    monkeypatch.setattr(old_steps, "MOST", 2)
    deleted = []

    @flow
    async def short_round() -> None: ...

    @flow
    async def many_rounds() -> None:
        async with run_context():
            for _ in range(5):
                await short_round()
            before = datetime.now(UTC) + timedelta(hours=1)
            deleted.extend([await delete_old_steps(before, ["alphas"]) for _ in range(4)])

    await many_rounds()
    assert deleted == [2, 2, 1, 0]


@pytest.mark.parametrize("marks", ["night/worker:3", "night/another_worker:3"])
async def test_a_run_that_a_worker_starts_is_no_part_of_the_worker_s_life(
    marks: str, in_process: WorkingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(linux.PROCESS, marks)
    supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supervisor.bind("")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{supervisor.getsockname()[1:].decode()}")
    own = []

    @flow
    async def of_a_worker() -> None:
        run = FlowRunContext.get().flow_run
        if marks.startswith("night/another"):  # which gives its run's id, as every worker does
            monkeypatch.setenv(FLOW_RUN, str(run.id))
        async with run_context():
            own.append(run.id)

    await of_a_worker()
    with supervisor:
        supervisor.setblocking(False)
        with pytest.raises(BlockingIOError):
            supervisor.recv(200)
    async with get_client() as client:
        assert (await client.read_flow_run(own[0])).tags == []
