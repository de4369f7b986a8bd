"""Phases and batches of trials as Prefect tasks whose results are checkpoints.

A result is kept under a key of all that it depends on. Started again, a workflow finds the
results of what had ended, after `kill -9` too, and works on the rest only.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.transactions import CommitMode, TransactionState, transaction

from alphafoundry.coordinator.batch_work import BatchWork, perform_batch
from alphafoundry.coordinator.isolation import BatchOutcome
from alphafoundry.coordinator.outputs import outputs_from_json, outputs_to_json
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.running import AwaitBatch, PhaseWork, run_phases
from tasks.coordinator.workflow_run import check_not_stopped, manager_of_run, opened, require_fit
from tasks.prefect.dask_workers import Needs


def _key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
    return str(parameters["key"])


CHECKPOINT = CacheKeyFnPolicy(cache_key_fn=_key)


@task(
    name="batch",
    task_run_name="{name}",
    persist_result=True,
    cache_policy=CHECKPOINT,
    result_serializer="json",
    cache_result_in_memory=False,
)
def run_batch(
    key: str, name: str, token: str, work: str, needs: Needs | None = None
) -> dict[str, Any]:
    """Do a batch of trials; those that fail for good are left out and reported.

    Parameters
    ----------
    key : of the checkpoint
    work : as JSON: text, because Prefect looks into parameters for results of other tasks, which
        takes longer than the trials where there are many
    needs : what a worker elsewhere must have for it
    """
    require_fit(token, needs)
    # It may have waited behind others while the run was asked to end.
    check_not_stopped(token)
    outcome = perform_batch(json.loads(work), manager_of_run(token))
    found: dict[str, Any] = outputs_to_json(outcome)
    return found


_working: dict[tuple[str, str], PhaseWork] = {}
"""Phases that this process works on, by token and key."""


def _work_on(key: str, token: str) -> dict[str, Any]:
    """Do a phase. Apart from the task, which Dask sends along with every batch, globals and all."""
    work = _working[token, key]
    # A task inside another task is persisted when the outer one ends, unless the transaction
    # around it says otherwise; a checkpoint that waits for the phase would be none.
    failure: BaseException | None = None
    with transaction(commit_mode=CommitMode.EAGER) as around:
        try:
            return work().to_json()
        except BaseException as problem:
            failure = problem
            # A batch that failed has rolled this one back, which would be passed on as well.
            around.state = TransactionState.COMMITTED
    # Raised in the block, it would roll the phase's own transaction back too, which is an async
    # one that Prefect then forgets to await. The phase's task rolls it back by itself.
    raise failure


@task(
    name="phase",
    task_run_name="phase {name}",
    persist_result=True,
    cache_policy=CHECKPOINT,
    result_serializer="json",
    cache_result_in_memory=False,
)
async def run_phase(key: str, name: str, token: str) -> dict[str, Any]:
    """Do one phase of the open run with that token; its result is plain JSON."""
    return await asyncio.to_thread(_work_on, key, token)


class PrefectTasks:
    """Hands batches and phases to Prefect, which keeps what comes of them."""

    def __init__(self, token: str) -> None:
        self._token = token

    def batch(self, work: BatchWork, *, again: bool) -> AwaitBatch:
        """Hand a batch to the task runner."""
        chosen = run_batch.with_options(refresh_cache=True) if again else run_batch
        future = chosen.submit(
            key=work.key,
            name=work.name,
            token=self._token,
            work=json.dumps(work.to_json()),
            needs=opened(self._token).needs,
        )

        def wait() -> tuple[BatchOutcome, bool]:
            found = outputs_from_json(BatchOutcome, future.result())
            return found, future.state.name == "Cached"

        return wait

    async def phase(self, work: PhaseWork, *, again: bool) -> tuple[PhaseResult, bool]:
        """Do a phase as a task."""
        chosen = run_phase.with_options(refresh_cache=True) if again else run_phase
        place = self._token, work.key
        _working[place] = work
        try:
            state: State[dict[str, Any]] = await chosen(  # type: ignore[misc]
                key=work.key, name=work.phase.name, token=self._token, return_state=True
            )
        finally:
            del _working[place]
        result = await state.aresult()
        found = PhaseResult.from_json(result, type_of(work.phase).outputs)
        return found, state.name == "Cached"


async def run_all(token: str) -> None:
    """Do every phase of the open run with that token."""
    opened_run = opened(token)
    # Cancelling this flow alone ends the whole run, too.
    opened_run.context.cancellation.watch()
    await run_phases(opened_run.run, PrefectTasks(token), get_run_logger())
