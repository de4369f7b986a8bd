"""Flow runs whose process is gone: Prefect would show them as running for ever."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from alphafoundry.supervisor import database, linux
from alphafoundry.supervisor.worker_runs import FLOW_RUN

LOOKED_AT = timedelta(days=7)
GRACE = timedelta(minutes=1)
"""A run may take so long to tell Prefect of its end."""

_OPEN = FlowRunFilterState(
    type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
)


def runs_of_the_dead(connection: sqlite3.Connection, *, now: datetime) -> set[UUID]:
    """Return the flow runs that a worker had started and whose process does not live any more."""
    since, until = database.stamp(now - LOOKED_AT), database.stamp(now - GRACE)
    rows = connection.execute(
        "SELECT flow_run, pid FROM flow_runs WHERE seen_at > ? AND seen_at < ?", (since, until)
    )
    return {
        UUID(row["flow_run"])
        for row in rows
        if row["flow_run"] not in linux.marks(row["pid"], FLOW_RUN)
    }


async def mark_crashed(runs: Iterable[UUID]) -> list[str]:
    """Set what is still open of these runs, and of the runs within them, to Crashed.

    Returns their names. Prefect refuses it for a run that has ended, so that keeps its state.
    """
    names: list[str] = []
    waiting = list(runs)
    async with get_client() as client:
        found = await _open(client, FlowRunFilter(id=FlowRunFilterId(any_=waiting), state=_OPEN))
        while found:
            for one in found:
                await client.set_flow_run_state(
                    one.id, Crashed(message="Its process is gone, as the supervisor has seen.")
                )
                names.append(one.name)
            inside = FlowRunFilterParentFlowRunId(any_=[one.id for one in found])
            found = await _open(client, FlowRunFilter(parent_flow_run_id=inside, state=_OPEN))
    return names


async def _open(client: PrefectClient, which: FlowRunFilter) -> list[FlowRun]:
    return await client.read_flow_runs(flow_run_filter=which)
