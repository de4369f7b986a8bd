"""A workflow in this process, without Prefect: for notebooks and programs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from alphafoundry.coordinator.batch_work import BatchWork, perform_batch
from alphafoundry.coordinator.checkpoints import CheckpointFiles
from alphafoundry.coordinator.isolation import BatchOutcome
from alphafoundry.coordinator.outputs import outputs_from_json, outputs_to_json
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.report import WorkflowReport
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.run import WorkflowRun, opened_workflow
from alphafoundry.coordinator.run_report import finish_report
from alphafoundry.coordinator.running import AwaitBatch, PhaseWork, run_phases
from alphafoundry.errors import ConfigurationError
from alphafoundry.runs import Stop
from alphafoundry.settings import load_settings

_log = logging.getLogger(__name__)


class _Saying:
    """Shows the lines of a run by one function, and no bar."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def update(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        """Show one line."""
        self._say(message)


class InProcess:
    """Does batches in threads of this process, which hand them to workers where the plan says so.

    Checkpoints are files under the names that Prefect's would have.
    """

    def __init__(self, run: WorkflowRun, pool: ThreadPoolExecutor) -> None:
        self._run = run
        self._pool = pool
        self._kept = CheckpointFiles(run.folder.shared / "checkpoints")

    def batch(self, work: BatchWork, *, again: bool) -> AwaitBatch:
        """Hand a batch to a thread."""
        return self._pool.submit(self._do, work, again).result

    def _do(self, work: BatchWork, again: bool) -> tuple[BatchOutcome, bool]:
        kept = None if again else self._kept.read(work.key)
        if kept is not None:
            return outputs_from_json(BatchOutcome, kept), True
        self._run.record.check_not_stopped()
        outcome = perform_batch(work.to_json(), self._run.manager)
        self._kept.write(work.key, outputs_to_json(outcome))
        return outcome, False

    async def phase(self, work: PhaseWork, *, again: bool) -> tuple[PhaseResult, bool]:
        """Do a phase in a thread."""
        kept = None if again else self._kept.read(work.key)
        if kept is not None:
            return PhaseResult.from_json(kept, type_of(work.phase).outputs), True
        result = await asyncio.to_thread(work)
        self._kept.write(work.key, result.to_json())
        return result, False


def run_workflow(
    workflow: str | Path | Mapping[str, Any],
    *,
    restart: bool = False,
    task_runner: str = "auto",
    home: Path | str | None = None,
    say: Callable[[str], None] = _log.info,
) -> WorkflowReport:
    """Run the phases of a workflow in this process and return its report.

    The numbers are those of `python -m flows.optimize`, bit for bit. What an interrupted run had
    finished is not done again. Works in a notebook, where an event loop runs already.

    Parameters
    ----------
    workflow : YAML file, or the document itself as a mapping
    restart : do everything again, checkpoints are passed over
    task_runner : in_process, threads or processes; "auto" lets the document decide
    home : folder of checkpoints and results, as FOUNDRY_HOME; None takes that of the settings
    say : shows a line to the person

    Raises
    ------
    ConfigurationError : file:line: key, what is wrong and what is allowed
    PhaseFailed : a phase gave no result that the next ones could use
    KeyboardInterrupt : once the batches under way have ended; what had finished is kept
    """
    settings = load_settings()
    if home is not None:
        settings = settings.model_copy(update={"home": Path(home)})
    stop = Stop()

    def run_all() -> WorkflowReport:
        with opened_workflow(
            workflow,
            settings=settings,
            progress=_Saying(say),
            stop=stop,
            restart=restart,
            task_runner=task_runner,
        ) as run:
            if run.plan.runner.name == "dask":
                raise ConfigurationError(
                    f"{run.workflow.path}: infrastructure.task_runner: dask needs Prefect; run "
                    "python -m flows.optimize, or give task_runner='processes'"
                )
            with ThreadPoolExecutor(run.plan.runner.workers, "batch") as pool:
                try:
                    asyncio.run(run_phases(run, InProcess(run, pool), _log))
                finally:
                    pool.shutdown(cancel_futures=True)
            return finish_report(run)

    # A thread of its own, as an event loop may run in this one, and Ctrl-C comes to this one.
    with ThreadPoolExecutor(1, "workflow") as alone:
        future = alone.submit(run_all)
        try:
            return future.result()
        except BaseException:
            stop.set()
            raise
