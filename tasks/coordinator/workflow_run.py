"""The run of a workflow that the optimize flow works on: opened once, closed however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.bars_folder import save_bars
from alphafoundry.coordinator.batches import Setting, execution_to_json
from alphafoundry.coordinator.data import first_test_row, load_bars_of
from alphafoundry.coordinator.identity import code_version, digest
from alphafoundry.coordinator.monitoring import Monitor
from alphafoundry.coordinator.planning import Plan, manager_of, measure_trial, plan_workflow
from alphafoundry.coordinator.resources import ResourceManager
from alphafoundry.coordinator.run_folder import RunFolder
from alphafoundry.coordinator.worker_pool import close_shared_pools
from alphafoundry.coordinator.workflow import Workflow, load_workflow
from alphafoundry.errors import PhaseFailed, WorkflowStopped
from alphafoundry.runs import NoProgress, Progress, Stop
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.store import Store, begin_run, finish_run, open_store
from tasks.run import current_terminal


@dataclass
class WorkflowRun:
    """Everything that the phases of one run share.

    Attributes
    ----------
    results : phase to its result, filled as phases end
    restart : whether checkpoints are passed over
    """

    workflow: Workflow
    settings: FoundrySettings
    bars: Bars
    split: int
    setting: Setting
    folder: RunFolder
    store: Store
    run_id: int
    manager: ResourceManager
    plan: Plan
    monitor: Monitor
    progress: Progress
    stop: Stop
    restart: bool
    token: str
    begun: float = field(default_factory=time.monotonic)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    report: dict[str, Any] | None = None

    def check_not_stopped(self) -> None:
        """Raise WorkflowStopped once the person asked for it."""
        if self.stop.is_set():
            raise WorkflowStopped("stopped; what had finished is saved, run the same command again")

    def phase_key(self, name: str) -> str:
        """Return the name of a phase's checkpoint: all that its numbers depend on.

        That is its own configuration, its strategies, data, code and seed, and the keys of the
        phases before it. So a change in one phase changes the keys after it only.
        """
        phase = self.workflow.phase(name)
        identity = {
            "phase": phase.identity(),
            "resolved": self._resolved(name),
            "setting": self.setting.identity(),
            "split": self.split,
            "seed": self.workflow.seed,
            "upstream": {above: self.phase_key(above) for above in self.workflow.needs[name]},
            # The last of several searches or analyses above counts, so their order does too.
            "order": self.workflow.upstream(name),
            "limits": self.limits(name),
            "keep_returns": self.keeps_returns(name),
        }
        return f"{name}-{digest(identity)[:40]}"

    def limits(self, name: str) -> dict[str, Any]:
        """Return what decides which trials of a phase are left out."""
        phase, document = self.workflow.phase(name), self.workflow.document
        faults = document.coordinator.fault_tolerance
        return {
            "memory": phase.memory,
            "cpu_seconds": phase.cpu_seconds,
            "timeout": document.infrastructure.container_timeout_seconds,
            "retries": faults.max_container_failures if faults.auto_restart else 0,
        }

    def _resolved(self, name: str) -> dict[str, Any]:
        """Return the parts of the document, outside of the phase, that it may read."""
        document = self.workflow.document
        return {
            "strategies": [
                {
                    "name": use.name,
                    "source": use.source.to_json(),
                    "params": dict(use.params),
                    "space": {key: spec.model_dump() for key, spec in use.space.items()},
                    "allocation": use.allocation,
                }
                for use in self.workflow.strategies
            ],
            "optimization": document.optimization.model_dump(mode="json"),
            "walk_forward": document.walk_forward.model_dump(mode="json"),
            "top_trials": document.reporting.top_trials,
            "batch_size": document.infrastructure.batch_size,
            "failed": document.coordinator.fault_tolerance.max_failed_fraction,
        }

    def keeps_returns(self, name: str) -> bool:
        """Return whether a later phase needs the daily returns of this phase's trials."""
        return any(
            phase.kind.name == "analysis" and name in self.workflow.upstream(phase.name)
            for phase in self.workflow.phases
        )


_open: dict[str, WorkflowRun] = {}
"""Open runs by token. Flows and tasks take the token: a runner such as Dask sends the parameters
of the flow to other processes, and a run cannot leave its own."""


def opened(token: str) -> WorkflowRun:
    """Return the open run of this process with that token."""
    return _open[token]


def manager_of_run(token: str) -> ResourceManager:
    """Return the run's resource manager; in a process of Dask's, one for that process."""
    run = _open.get(token)
    return ResourceManager() if run is None else run.manager


def open_folder(settings: FoundrySettings, workflow: Workflow, identity: str) -> RunFolder:
    """Return the folder of a workflow; the same document and data give the same folder."""
    home = settings.home.resolve()
    return RunFolder(home / "workflows" / f"{workflow.name}-{identity[:12]}", home / "coordinator")


@contextlib.asynccontextmanager
async def workflow_run(
    path: str | Path, *, restart: bool = False, task_runner: str | None = None
) -> AsyncIterator[WorkflowRun]:
    """Open a run: read and check the document, load the data, measure a trial, record the run.

    Raises FoundryError before anything runs where something is wrong.
    """
    shown = current_terminal()
    progress: Progress = shown.progress if shown else NoProgress()
    stop = shown.stop if shown else Stop()
    settings = load_settings()
    workflow = load_workflow(path)
    bars = load_bars_of(
        workflow.document.data, market=settings.market, cache_dir=settings.home / "cache"
    )
    identity = digest([workflow.document.model_dump(mode="json"), bars.fingerprint, code_version()])
    folder = open_folder(settings, workflow, identity)
    with contextlib.ExitStack() as stack:
        stack.enter_context(folder.locked())
        folder.make()
        with contextlib.suppress(shutil.SameFileError):
            shutil.copyfile(path, folder.path / Path(path).name)
        manager = manager_of(workflow)
        plan = plan_workflow(
            workflow,
            bars,
            manager,
            task_runner=task_runner,
            trial_seconds=measure_trial(workflow, bars),
        )
        progress.say(str(plan.runner))
        for line in plan.unenforced:
            progress.say(line)
        url = settings.database_url
        store = stack.enter_context(
            open_store(None if url is None else url.get_secret_value(), home=settings.home)
        )
        run_id = begin_run(
            store,
            flow="optimize",
            service=f"workflow:{workflow.name}",
            market_label=bars.label,
            seed=workflow.seed,
            settings={"workflow": str(path), "identity": identity, "folder": str(folder.path)},
        ).id
        monitor = Monitor(store, run_id, workflow.document, home=settings.home)
        run = WorkflowRun(
            workflow=workflow,
            settings=settings,
            bars=bars,
            split=first_test_row(bars, workflow.document.data),
            setting=Setting(
                bars=str(save_bars(bars, folder.bars)),
                fingerprint=bars.fingerprint,
                signals=str(folder.signals / code_version()),
                returns=str(folder.returns),
                execution=execution_to_json(workflow.execution),
                code=code_version(),
            ),
            folder=folder,
            store=store,
            run_id=run_id,
            manager=manager,
            plan=plan,
            monitor=monitor,
            progress=progress,
            stop=stop,
            restart=restart,
            token=uuid.uuid4().hex,
        )
        stack.callback(close_shared_pools)
        _open[run.token] = run
        stack.callback(_open.pop, run.token)
        stack.enter_context(monitor)
        try:
            yield run
        except WorkflowStopped:
            finish_run(store, run_id, "interrupted", run.report)
            raise
        except BaseException as problem:
            interrupted = isinstance(problem, asyncio.CancelledError | KeyboardInterrupt)
            report = {"error": str(problem)} if isinstance(problem, PhaseFailed) else run.report
            finish_run(store, run_id, "interrupted" if interrupted else "failed", report)
            raise
        finish_run(store, run_id, "finished", run.report)
