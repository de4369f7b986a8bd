"""Phases and batches of trials as Prefect tasks whose results are checkpoints.

A result is kept under a key of all that it depends on. Started again, a workflow finds the
results of what had ended, after `kill -9` too, and works on the rest only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.transactions import CommitMode, TransactionState, transaction

from alphafoundry.coordinator.batches import METRICS, Batch, batch_from_json, batch_key, perform
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.isolation import TrialFailed, carry_out
from alphafoundry.coordinator.report import result_line
from alphafoundry.coordinator.returns_files import returns_are_whole
from alphafoundry.coordinator.worker_pool import shared_pool
from alphafoundry.coordinator.workflow import Phase
from alphafoundry.errors import CannotKeep, FoundryError, PhaseFailed
from alphafoundry.seeds import seed_number
from alphafoundry.store import TrialRecord, begin_phase, finish_phase, record_trials
from tasks.coordinator.workflow_run import WorkflowRun, manager_of_run, opened

AHEAD = 3
"""Batches per worker that are handed to the task runner before the first result is needed."""


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
def run_batch(key: str, name: str, work: str) -> dict[str, Any]:
    """Do a batch of trials; those that fail for good are left out and reported.

    Parameters
    ----------
    key : of the checkpoint
    work : {"setting", "batch", "where"} as JSON: text, because Prefect looks into parameters for
        results of other tasks, which takes longer than the trials where there are many
    """
    given = json.loads(work)
    where = given["where"]
    setting = given["setting"]
    manager = manager_of_run(where["token"])

    def attempt(batch: Batch) -> dict[str, Any]:
        with manager.admit(memory=where["memory"], cores=where["cores"]):
            try:
                if where["runner"] in ("processes", "dask"):
                    return shared_pool(where["workers"]).run(
                        setting,
                        batch.to_json(),
                        memory=manager.fitting(where["memory"]),
                        cpu_seconds=where["cpu_seconds"],
                        timeout=where["timeout"],
                    )
                return _perform_here(setting, batch)
            except TrialFailed as problem:
                if problem.kind == "memory" and len(batch.items) > 1:
                    manager.shrink()
                raise

    return carry_out(batch_from_json(given["batch"]), attempt, retries=where["retries"])


def _perform_here(setting: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
    under_way: list[int | None] = [None]

    def begun(place: int) -> None:
        under_way[0] = place

    try:
        return perform(setting, batch.to_json(), begun)
    except CannotKeep as problem:
        raise TrialFailed("storage", str(problem)) from None
    except MemoryError:
        raise TrialFailed("memory", "needed more memory than there is", under_way[0]) from None
    except Exception as problem:
        text = " ".join(str(problem).split()) or "no message"
        raise TrialFailed("raised", f"{type(problem).__name__}: {text}", under_way[0]) from problem


class _Batches:
    """Does the batches of one phase as Prefect tasks, and records their trials."""

    def __init__(self, run: WorkflowRun, phase: Phase, key: str, total: int) -> None:
        self._run = run
        self._phase = phase
        self._key = key
        self._total = total
        self._done = 0
        self.executed = 0

    def __call__(self, batches: Sequence[Batch]) -> Iterator[dict[str, Any]]:
        """Yield what came of each batch in their order; some are under way ahead of that."""
        waiting = deque(batches)
        flying: deque[tuple[Batch, PrefectFuture[dict[str, Any]]]] = deque()
        # A phase that asks for TRADITIONAL runs its batches one after another.
        alone = self._phase.mode == "TRADITIONAL"
        ahead = 1 if alone else AHEAD * self._run.plan.runner.workers
        while waiting or flying:
            while waiting and len(flying) < ahead and not self._run.stop.is_set():
                batch = waiting.popleft()
                flying.append((batch, self._submit(batch)))
            if not flying:
                self._run.check_not_stopped()
            batch, future = flying.popleft()
            outcome, cached = self._result(batch, future)
            self._record(batch, outcome, executed=not cached)
            yield outcome
        self._run.check_not_stopped()

    def _submit(self, batch: Batch, *, refresh: bool = False) -> PrefectFuture[dict[str, Any]]:
        run, phase = self._run, self._phase
        limits = run.limits(phase.name)
        dask = run.plan.runner.name == "dask"
        where = {
            "runner": "in_process" if phase.mode == "TRADITIONAL" else run.plan.runner.name,
            "workers": 1 if dask else run.plan.runner.workers,
            "token": run.token,
            "cores": phase.cores,
            **limits,
        }
        first, last = batch.numbers[0], batch.numbers[-1]
        chosen = run_batch.with_options(refresh_cache=True) if refresh or run.restart else run_batch
        return chosen.submit(
            key=batch_key(run.setting, batch, limits),
            name=f"{batch.phase}: {batch.kind} {first} to {last}",
            work=json.dumps(
                {"setting": run.setting.to_json(), "batch": batch.to_json(), "where": where}
            ),
        )

    def _result(
        self, batch: Batch, future: PrefectFuture[dict[str, Any]]
    ) -> tuple[dict[str, Any], bool]:
        """Return what came of a batch, and whether it came from a checkpoint that is whole."""
        outcome = future.result()
        cached = future.state.name == "Cached"
        if cached and not returns_are_whole(outcome["files"], self._run.folder.returns):
            return self._submit(batch, refresh=True).result(), False
        return outcome, cached

    def _record(self, batch: Batch, outcome: dict[str, Any], *, executed: bool) -> None:
        run, phase = self._run, self._phase
        failures = {failure["number"]: failure for failure in outcome["failures"]}
        records = [
            TrialRecord(
                number=number,
                batch=batch.number,
                seed=seed_number(run.workflow.seed, phase.name, number),
                item=item,
                metrics=_named(batch.kind, found),
                attempts=failures[number]["attempts"] if number in failures else 1,
                message=failures[number]["message"] if number in failures else None,
            )
            for number, item, found in zip(
                batch.numbers, batch.items, outcome["results"], strict=True
            )
        ]
        record_trials(
            run.store,
            records,
            run_id=run.run_id,
            workflow=run.workflow.name,
            phase=phase.name,
            phase_key=self._key,
            executed=executed,
        )
        if executed:
            self.executed += len(records)
            run.monitor.count(
                trials=len(records), left_out=len(failures), seconds=outcome["seconds"]
            )
        self._done += len(records)
        run.progress.update(phase.name, self._done, max(self._total, self._done))


def _named(kind: str, found: Any) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"key": found} if kind == "signals" else dict(zip(METRICS, found, strict=True))


class _PhaseWork:
    """One phase of one run."""

    def __init__(self, run: WorkflowRun, name: str, key: str) -> None:
        self.run = run
        self.phase = run.workflow.phase(name)
        self.key = key
        self.batches = _Batches(
            run,
            self.phase,
            key,
            self.phase.kind.trials(self.phase, run.workflow, run.bars.shape[0]),
        )

    def __call__(self) -> dict[str, Any]:
        run = self.run
        upstream = {
            name: run.results[name]["outputs"] for name in run.workflow.upstream(self.phase.name)
        }
        context = PhaseContext(
            workflow=run.workflow,
            phase=self.phase,
            bars=run.bars,
            split=run.split,
            setting=run.setting,
            inputs={
                ref.text: _inner(upstream[ref.phase], ref.key, ref.text)
                for ref in self.phase.inputs
            },
            upstream=upstream,
            run=self.batches,
            say=run.progress.say,
            keep_returns=run.keeps_returns(self.phase.name),
        )
        outputs = self.phase.kind.run(context)
        return {
            "outputs": outputs,
            "trials": context.trials,
            "failures": context.failures,
            "files": context.files,
            "notes": context.notes,
            "work_seconds": context.work_seconds,
            "peak": context.peak,
        }


_working: dict[str, _PhaseWork] = {}
"""Phases that this process works on, by key."""


def _work_on(key: str, name: str, token: str) -> dict[str, Any]:
    """Do a phase. Apart from the task, which Dask sends along with every batch, globals and all."""
    work = _PhaseWork(opened(token), name, key)
    _working[key] = work
    # A task inside another task is persisted when the outer one ends, unless the transaction
    # around it says otherwise; a checkpoint that waits for the phase would be none.
    failure: BaseException | None = None
    with transaction(commit_mode=CommitMode.EAGER) as around:
        try:
            return work()
        except BaseException as problem:
            failure = problem
            # A batch that failed has rolled this one back, which would be passed on as well.
            around.state = TransactionState.COMMITTED
    # Raised in the block, it would roll the phase's own transaction back too, which is an async
    # one that Prefect then forgets to await. The phase's task rolls it back by itself.
    raise failure


def _inner(outputs: Mapping[str, Any], key: Sequence[str], text: str) -> Any:
    """Return a nested output; raises PhaseFailed where it is absent, as only a run can tell."""
    found: Any = outputs
    for part in key:
        if not isinstance(found, Mapping) or part not in found:
            known = f"; it holds {', '.join(map(str, found))}" if isinstance(found, Mapping) else ""
            raise PhaseFailed(f"input {text!r}: the phase gave no {part!r}{known}")
        found = found[part]
    return found


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
    return await asyncio.to_thread(_work_on, key, name, token)


async def phase(run: WorkflowRun, name: str) -> None:
    """Do a phase or take it from its checkpoint, and record it."""
    run.check_not_stopped()
    key = run.phase_key(name)
    row = begin_phase(run.store, run_id=run.run_id, workflow=run.workflow.name, phase=name, key=key)
    begun = time.monotonic()
    run.monitor.begin(name)
    try:
        result, restored = await _result(run, key, name)
    except BaseException as problem:
        stopped = not isinstance(problem, Exception) or run.stop.is_set()
        finish_phase(
            run.store,
            row,
            "interrupted" if stopped else "failed",
            executed=_executed(key),
            seconds=time.monotonic() - begun,
            message=str(problem) if isinstance(problem, FoundryError) else type(problem).__name__,
        )
        raise
    finally:
        run.monitor.end(name)
    run.results[name] = {**result, "restored": restored, "seconds": time.monotonic() - begun}
    finish_phase(
        run.store,
        row,
        "restored" if restored else "finished",
        trials=result["trials"],
        executed=_executed(key),
        left_out=len(result["failures"]),
        seconds=time.monotonic() - begun,
        work_seconds=result["work_seconds"],
    )
    logger = get_run_logger()
    for failure in result["failures"]:
        logger.warning("%s: trial %d is left out: %s", name, failure["number"], failure["message"])
    found = result_line(run.workflow.phase(name).kind.name, result["outputs"])
    logger.info("%s: %s%s", name, found, " (from its checkpoint)" if restored else "")
    if restored:
        run.progress.say(f"{name}: taken from its checkpoint")


def _executed(key: str) -> int:
    """Return how many trials this process worked on for a phase, 0 where it was restored."""
    work = _working.pop(key, None)
    return 0 if work is None else work.batches.executed


async def _result(run: WorkflowRun, key: str, name: str) -> tuple[dict[str, Any], bool]:
    """Return the phase's result and whether it came from a checkpoint that is whole."""
    again = run_phase.with_options(refresh_cache=True)
    chosen = again if run.restart else run_phase
    state: State[dict[str, Any]] = await chosen(  # type: ignore[misc]
        key=key, name=name, token=run.token, return_state=True
    )
    result = await state.aresult()
    if state.name != "Cached":
        return result, False
    if returns_are_whole(result["files"], run.folder.returns):
        return result, True
    return await again(key=key, name=name, token=run.token), False


async def run_all(run: WorkflowRun) -> None:
    """Do every phase; independent ones at once, unless the mode is TRADITIONAL."""
    try:
        if not run.workflow.parallel:
            for listed in run.workflow.phases:
                await phase(run, listed.name)
            return
        ended: dict[str, asyncio.Task[None]] = {}

        async def after(name: str) -> None:
            for need in run.workflow.needs[name]:
                await ended[need]
            await phase(run, name)

        async with asyncio.TaskGroup() as group:
            for listed in run.workflow.phases:
                ended[listed.name] = group.create_task(after(listed.name))
    except BaseExceptionGroup as problems:
        raise _first(problems) from None


def _first(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one problem of those that phases side by side had: the first that says something."""
    flat: list[BaseException] = []
    waiting: list[BaseException] = [problems]
    while waiting:
        problem = waiting.pop(0)
        if isinstance(problem, BaseExceptionGroup):
            waiting.extend(problem.exceptions)
        else:
            flat.append(problem)
    return next((problem for problem in flat if isinstance(problem, FoundryError)), flat[0])
