"""The engine of a workflow: its phases in their order, their batches, what comes of both.

What hands work on is a `Submitter`: in this process, or as tasks of Prefect. The numbers do not
depend on it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from alphafoundry.coordinator.batch_work import BatchWork
from alphafoundry.coordinator.batches import Batch, batch_kind
from alphafoundry.coordinator.checkpoints import batch_key, limits_of, reader_of_returns
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.isolation import BatchOutcome
from alphafoundry.coordinator.outputs import outputs_from_json, outputs_to_json
from alphafoundry.coordinator.phase_types import PhaseType, type_of
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.returns_files import returns_are_whole
from alphafoundry.coordinator.run import WorkflowRun
from alphafoundry.coordinator.wording import counted
from alphafoundry.errors import FoundryError, PhaseFailed, RunStopped, UnreadableCheckpoint
from alphafoundry.seeds import seed_number
from alphafoundry.store import TrialRecord, begin_phase, finish_phase, record_trials

AHEAD = 3
"""Batches per worker that are handed on before the first result is needed."""

Logger = logging.Logger | logging.LoggerAdapter[Any]

AwaitBatch = Callable[[], tuple[BatchOutcome, bool]]
"""Waits for a batch; returns what came of it and whether a checkpoint had it.

Raises UnreadableCheckpoint where the checkpoint is of other code.
"""


class Submitter(Protocol):
    """Hands work on and keeps what comes of it under its key."""

    def batch(self, work: BatchWork, *, again: bool) -> AwaitBatch:
        """Hand a batch on. `again` passes over a checkpoint."""
        ...

    async def phase(self, work: PhaseWork, *, again: bool) -> tuple[PhaseResult, bool]:
        """Do a phase, and return its result and whether a checkpoint had it.

        Raises UnreadableCheckpoint where the checkpoint is of other code.
        """
        ...


class PhaseWork:
    """One phase of one run: called, it does the phase.

    Attributes
    ----------
    key : of its checkpoint
    executed : trials that this run worked on; the others were in checkpoints
    """

    def __init__(self, run: WorkflowRun, name: str, submitter: Submitter) -> None:
        self.run = run
        self.phase = run.workflow.phase(name)
        self.key = run.phase_keys[name]
        self.executed = 0
        self._submitter = submitter
        self._done = 0
        self._total = 0

    @property
    def how_far(self) -> str:
        """The phase, and its trials that are over."""
        return f"phase {self.phase.name}, {self._done} of {counted(self._total, 'trial')}"

    def __call__(self) -> PhaseResult:
        """Do the phase. Raises PhaseFailed or RunStopped."""
        run, phase = self.run, self.phase
        kind = type_of(phase)
        self._total = kind.trials(phase, run.workflow, run.bars.shape[0])
        upstream = {name: run.results[name].outputs for name in run.workflow.upstream(phase.name)}
        context = PhaseContext(
            workflow=run.workflow,
            phase=phase,
            bars=run.bars,
            split=run.split,
            setting=run.setting,
            inputs={
                ref.text: _input(upstream[ref.phase], ref.key, ref.text) for ref in phase.inputs
            },
            upstream=upstream,
            run=self._batches,
            say=run.progress.say,
            keep_returns=reader_of_returns(run.workflow, phase.name) is not None,
        )
        outputs = self._run_type(kind, context)
        _check_outputs(phase.name, kind, outputs)
        return PhaseResult(
            outputs=outputs,
            trials=context.trials,
            failures=tuple(context.failures),
            files=tuple(context.files),
            notes=tuple(context.notes),
            work_seconds=context.work_seconds,
            peak=context.peak,
        )

    def _run_type(self, kind: PhaseType, context: PhaseContext) -> Any:
        """Run the phase's function. What a type of the user's own raises is told with its line."""
        try:
            return kind.run(context)
        except FoundryError:
            raise
        except Exception as problem:
            frames = traceback.extract_tb(problem.__traceback__)
            from_batches = any(frame.name == self._batches.__name__ for frame in frames)
            if kind.code is None or from_batches:
                raise
            own = frames[1].filename
            line = [frame.lineno for frame in frames if frame.filename == own][-1]
            said = " ".join(f"{type(problem).__name__}: {problem}".split())
            raise PhaseFailed(
                f"phase {self.phase.name}: its type {kind.name!r} failed at {own}:{line}: {said}"
            ) from problem

    def _batches(self, batches: Sequence[Batch]) -> Iterator[BatchOutcome]:
        """Yield what came of each batch in their order; some are under way ahead of that."""
        waiting = deque(batches)
        flying: deque[tuple[Batch, AwaitBatch]] = deque()
        # A phase that asks for TRADITIONAL runs its batches one after another.
        alone = self.phase.mode == "TRADITIONAL"
        ahead = 1 if alone else AHEAD * self.run.plan.runner.workers
        while waiting or flying:
            while waiting and len(flying) < ahead and not self.run.stop.is_set():
                batch = waiting.popleft()
                flying.append((batch, self._submit(batch, again=self.run.restart)))
            if not flying:
                self.run.record.check_not_stopped()
            batch, wait = flying.popleft()
            outcome, restored = self._outcome(batch, wait)
            self._record(batch, outcome, executed=not restored)
            yield outcome
        self.run.record.check_not_stopped()

    def _submit(self, batch: Batch, *, again: bool) -> AwaitBatch:
        run, phase = self.run, self.phase
        limits = limits_of(run.workflow, phase.name)
        dask = run.plan.runner.name == "dask"
        work = BatchWork(
            key=batch_key(run.setting, batch, limits),
            name=f"{batch.phase}: {batch.kind} {batch.numbers[0]} to {batch.numbers[-1]}",
            setting=run.setting.to_json(),
            batch=batch.to_json(),
            where={
                "runner": "in_process" if phase.mode == "TRADITIONAL" else run.plan.runner.name,
                "workers": 1 if dask else run.plan.runner.workers,
                "cores": phase.cores,
                **limits,
            },
        )
        return self._submitter.batch(work, again=again)

    def _outcome(self, batch: Batch, wait: AwaitBatch) -> tuple[BatchOutcome, bool]:
        """Return what came of a batch, and whether it came from a checkpoint that is whole."""
        try:
            outcome, restored = wait()
        except UnreadableCheckpoint:
            return self._submit(batch, again=True)()[0], False
        if restored and not returns_are_whole(outcome.files, self.run.folder.returns):
            return self._submit(batch, again=True)()[0], False
        return outcome, restored

    def _record(self, batch: Batch, outcome: BatchOutcome, *, executed: bool) -> None:
        kind = batch_kind(batch.kind)
        if not kind.is_trial:
            return
        run, phase = self.run, self.phase
        failures = {failure.number: failure for failure in outcome.failures}
        records = [
            TrialRecord(
                number=number,
                batch=batch.number,
                seed=seed_number(run.workflow.seed, phase.name, number),
                item=item,
                metrics=kind.named(found),
                attempts=failures[number].attempts if number in failures else 1,
                message=failures[number].message if number in failures else None,
                strategy=batch.options.get("strategy"),
            )
            for number, item, found in zip(batch.numbers, batch.items, outcome.results, strict=True)
        ]
        record_trials(
            run.store,
            records,
            run_id=run.run_id,
            workflow=run.workflow.name,
            phase=phase.name,
            phase_key=self.key,
            executed=executed,
        )
        if executed:
            self.executed += len(records)
            run.monitor.count(trials=len(records), left_out=len(failures), seconds=outcome.seconds)
        self._done += len(records)
        run.progress.update(phase.name, self._done, max(self._total, self._done))


def _input(outputs: Any, key: Sequence[str], text: str) -> Any:
    """Return a nested output; raises PhaseFailed where it is absent, as only a run can tell."""
    found: Any = {key[0]: getattr(outputs, key[0])} if hasattr(outputs, key[0]) else {}
    found = outputs_to_json(found)
    for part in key:
        if not isinstance(found, dict) or part not in found:
            known = f"; it holds {', '.join(map(str, found))}" if isinstance(found, dict) else ""
            raise PhaseFailed(f"input {text!r}: the phase gave no {part!r}{known}")
        found = found[part]
    return found


def _check_outputs(name: str, kind: PhaseType, outputs: object) -> None:
    """Refuse outputs of a type of the user's own that its checkpoint could not give back."""
    if kind.code is None:
        return
    if not isinstance(outputs, kind.outputs):
        raise PhaseFailed(
            f"phase {name}: the type {kind.name} returned a {type(outputs).__name__}, not the "
            f"{kind.outputs.__name__} that it declares"
        )
    try:
        plain = json.loads(json.dumps(outputs_to_json(outputs)))
        again = outputs_to_json(outputs_from_json(kind.outputs, plain))
    except (TypeError, ValueError, UnreadableCheckpoint) as problem:
        said = " ".join(str(problem).split())
        raise PhaseFailed(
            f"phase {name}: the outputs of the type {kind.name} cannot be kept as JSON: {said}"
        ) from None
    if json.dumps(again) != json.dumps(plain):
        raise PhaseFailed(
            f"phase {name}: the outputs of the type {kind.name} read back otherwise than they were "
            f"written; give the fields of {kind.outputs.__name__} the types of their values"
        )
    _check_what_is_shown(name, kind, outputs)


def _check_what_is_shown(name: str, kind: PhaseType, outputs: object) -> None:
    """Refuse what a report could not show, before the phases after this one are done."""
    shown: dict[str, Callable[[Any], object]] = {
        "result": kind.result,
        "measured": kind.measured,
        "chosen": kind.chosen,
        "top_trials": kind.top_trials,
    }
    for part, show in shown.items():
        try:
            found = show(outputs)
        except Exception as problem:
            said = " ".join(f"{type(problem).__name__}: {problem}".split())
            raise PhaseFailed(
                f"phase {name}: `{part}` of the type {kind.name} failed: {said}"
            ) from problem
        if part == "result" and not isinstance(found, str):
            raise PhaseFailed(
                f"phase {name}: `result` of the type {kind.name} returned {found!r}, which is no "
                "text"
            )


async def run_phases(run: WorkflowRun, submitter: Submitter, log: Logger) -> None:
    """Do every phase; independent ones at once, unless the mode is TRADITIONAL."""
    try:
        if not run.workflow.parallel:
            for listed in run.workflow.phases:
                await _phase(run, listed.name, submitter, log)
            return
        ended: dict[str, asyncio.Task[None]] = {}

        async def after(name: str) -> None:
            for need in run.workflow.needs[name]:
                await ended[need]
            await _phase(run, name, submitter, log)

        async with asyncio.TaskGroup() as group:
            for listed in run.workflow.phases:
                ended[listed.name] = group.create_task(after(listed.name))
    except BaseExceptionGroup as problems:
        raise _first(problems) from None


async def _phase(run: WorkflowRun, name: str, submitter: Submitter, log: Logger) -> None:
    """Do a phase or take it from its checkpoint, and record it."""
    run.record.check_not_stopped()
    work = PhaseWork(run, name, submitter)
    row = begin_phase(
        run.store, run_id=run.run_id, workflow=run.workflow.name, phase=name, key=work.key
    )
    begun = time.monotonic()
    run.monitor.begin(name)
    try:
        found, restored = await _result(work, submitter)
    except BaseException as problem:
        stopped = not isinstance(problem, Exception) or run.stop.is_set()
        finish_phase(
            run.store,
            row,
            "interrupted" if stopped else "failed",
            executed=work.executed,
            seconds=time.monotonic() - begun,
            message=str(problem) if isinstance(problem, FoundryError) else type(problem).__name__,
        )
        if isinstance(problem, RunStopped) and run.stop.is_set():
            raise RunStopped(f"{run.stop.told(work.how_far)}; run the same command again") from None
        raise
    finally:
        run.monitor.end(name)
    result = replace(found, restored=restored, seconds=time.monotonic() - begun)
    run.results[name] = result
    finish_phase(
        run.store,
        row,
        "restored" if restored else "finished",
        trials=result.trials,
        executed=work.executed,
        left_out=len(result.failures),
        seconds=result.seconds,
        work_seconds=result.work_seconds,
    )
    for failure in result.failures:
        log.warning("%s: trial %d is left out: %s", name, failure.number, failure.message)
    said = type_of(work.phase).result(result.outputs)
    log.info("%s: %s%s", name, said, " (from its checkpoint)" if restored else "")
    if restored:
        run.progress.say(f"{name}: taken from its checkpoint")


async def _result(work: PhaseWork, submitter: Submitter) -> tuple[PhaseResult, bool]:
    """Return the phase's result and whether it came from a checkpoint that is whole."""
    try:
        result, restored = await submitter.phase(work, again=work.run.restart)
    except UnreadableCheckpoint:
        restored, result = False, None
    if result is not None and (
        not restored or returns_are_whole(result.files, work.run.folder.returns)
    ):
        return result, restored
    return (await submitter.phase(work, again=True))[0], False


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
