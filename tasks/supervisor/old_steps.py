"""Flow runs that have ended inside one that goes on for days.

Prefect's server deletes an old flow run with all that is in it, once the outermost has ended. One
that generates alphas for weeks would keep every round and every task run of it until then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.exceptions import ObjectNotFound

from tasks.run import tag_of_process

_GOES_ON = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
_ENDED = FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(TERMINAL_STATES)))
_MOST_OUTER = 200

MOST = 50
"""Flow runs that one call deletes: some seconds of work, between others' requests."""


async def delete_old_steps(before: datetime, processes: Iterable[str]) -> int:
    """Delete what ended before a moment inside flow runs that go on; return how many it were.

    At most `MOST` are deleted, so that who calls goes on with other work; where it were as many,
    more may be left. Only the flow runs of these supervised processes are looked into, by their
    tags.

    Each goes with its task runs, and with the task run that stands for it in the outer one.
    Whatever Prefect keeps of the outer run itself stays.
    """
    deleted = 0
    tags = FlowRunFilterTags(any_=[tag_of_process(name) for name in processes])
    async with get_client() as client:
        outer = [
            one.id
            for one in await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=_GOES_ON, tags=tags), limit=_MOST_OUTER
            )
        ]
        if not outer:
            return 0
        old = FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=outer),
            state=_ENDED,
            end_time=FlowRunFilterEndTime(before_=before),
        )
        for one in await client.read_flow_runs(flow_run_filter=old, limit=MOST):
            # Another view, or a person, may have deleted it meanwhile.
            with contextlib.suppress(ObjectNotFound):
                await client.delete_flow_run(one.id)
            deleted += 1
            if one.parent_task_run_id is not None:
                with contextlib.suppress(ObjectNotFound):
                    await client.delete_task_run(one.parent_task_run_id)
    return deleted
