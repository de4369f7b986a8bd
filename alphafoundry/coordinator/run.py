"""The run of a workflow: opened once, shared by its phases, closed however it ends."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from alphafoundry.backtest import Bars, narrowed
from alphafoundry.backtest.trials import require_prices
from alphafoundry.coordinator.bars_folder import save_bars
from alphafoundry.coordinator.batches import Setting, execution_to_json
from alphafoundry.coordinator.checkpoints import phase_keys
from alphafoundry.coordinator.data import first_test_row, load_bars_of, origin_of
from alphafoundry.coordinator.identity import code_version, digest
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.coordinator.monitoring import Monitor
from alphafoundry.coordinator.planning import Plan, manager_of, measure_trial, plan_workflow
from alphafoundry.coordinator.resources import ResourceManager
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.coordinator.run_folder import RunFolder
from alphafoundry.coordinator.worker_pool import close_shared_pools
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import BacktestError, ConfigurationError
from alphafoundry.runs import Progress, Run, Stop, open_run
from alphafoundry.settings import FoundrySettings
from alphafoundry.store import Store, open_store


@dataclass
class WorkflowRun:
    """Everything that the phases of one run share.

    Attributes
    ----------
    record : the run itself: its row, its stop, its ending
    market : as the settings name it, for a document that names none
    split : first row out of sample
    results : phase to its result, filled as phases end
    restart : whether checkpoints are passed over
    """

    workflow: Workflow
    market: str
    bars: Bars
    split: int
    setting: Setting
    folder: RunFolder
    record: Run
    manager: ResourceManager
    plan: Plan
    monitor: Monitor
    restart: bool
    results: dict[str, PhaseResult] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The database."""
        return self.record.store

    @property
    def run_id(self) -> int:
        """The run's row in the database."""
        return self.record.id

    @property
    def progress(self) -> Progress:
        """Where the run shows how far it is."""
        return self.record.progress

    @property
    def stop(self) -> Stop:
        """Set when the run was asked to end."""
        return self.record.stop

    @cached_property
    def phase_keys(self) -> dict[str, str]:
        """Phase to the name of its checkpoint."""
        return phase_keys(self.workflow, self.setting, split=self.split)


def open_folder(home: Path, workflow: Workflow, identity: str) -> RunFolder:
    """Return the folder of a workflow; the same document and data give the same folder."""
    home = home.resolve()
    return RunFolder(home / "workflows" / f"{workflow.name}-{identity[:12]}", home / "coordinator")


def check_workflow(source: str | Path | Mapping[str, Any], settings: FoundrySettings) -> None:
    """Read a document and its data; the next run of this process takes the data from here.

    Raises
    ------
    FoundryError : what is wrong, in one line
    """
    workflow = load_workflow(source)
    _checked[_data_key(workflow, settings)] = _load(workflow, settings)


_checked: dict[str, Bars] = {}
"""Bars that were loaded to see whether they can be, until a run takes them."""


def _data_key(workflow: Workflow, settings: FoundrySettings) -> str:
    data = workflow.document.data.model_dump(mode="json")
    return digest([data, settings.market, str(settings.home.resolve())])


def _load(workflow: Workflow, settings: FoundrySettings) -> Bars:
    bars = load_bars_of(
        workflow.document.data, market=settings.market, cache_dir=settings.home / "cache"
    )
    _check_strategies(workflow, bars)
    return bars


def _check_strategies(workflow: Workflow, bars: Bars) -> None:
    """Refuse what needs prices, symbols or groups that the market does not hold."""
    try:
        require_prices(bars, workflow.execution)
    except BacktestError as problem:
        raise ConfigurationError(f"{workflow.path}: execution: {problem}") from None
    for use in workflow.strategies:
        try:
            symbols = use.source.symbols
            use.strategy.require(bars if symbols is None else narrowed(bars, symbols))
        except BacktestError as problem:
            raise ConfigurationError(f"{workflow.path}: strategy {use.name}: {problem}") from None


@contextlib.contextmanager
def opened_workflow(
    source: str | Path | Mapping[str, Any],
    *,
    settings: FoundrySettings,
    progress: Progress,
    stop: Stop,
    restart: bool = False,
    task_runner: str | None = None,
) -> Iterator[WorkflowRun]:
    """Open a run: read and check the document, load the data, measure a trial, record the run.

    Parameters
    ----------
    source : file, or the document itself
    restart : pass over checkpoints
    task_runner : wins over the document's; "auto" or None lets the mode decide

    Raises FoundryError before anything runs where something is wrong, and TakenOver at the end
    where the run was presumed dead and another has its work.
    """
    workflow = load_workflow(source)
    bars = _checked.pop(_data_key(workflow, settings), None)
    _checked.clear()
    if bars is None:
        bars = _load(workflow, settings)
    identity = digest([workflow.document.model_dump(mode="json"), bars.fingerprint, code_version()])
    folder = open_folder(settings.home, workflow, identity)
    with contextlib.ExitStack() as stack:
        stack.enter_context(folder.locked())
        folder.make()
        _keep_document(source, folder.path / Path(workflow.path).name)
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
        record = stack.enter_context(
            open_run(
                store,
                flow="optimize",
                service=f"workflow:{workflow.name}",
                market_label=bars.label,
                seed=workflow.seed,
                settings={
                    "workflow": workflow.path,
                    "identity": identity,
                    "folder": str(folder.path),
                },
                data=origin_of(workflow.document.data, bars, market=settings.market),
                progress=progress,
                stop=stop,
            )
        )
        monitor = Monitor(store, record.id, workflow.document, home=settings.home)
        run = WorkflowRun(
            workflow=workflow,
            market=workflow.document.data.market or settings.market,
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
            record=record,
            manager=manager,
            plan=plan,
            monitor=monitor,
            restart=restart,
        )
        stack.callback(close_shared_pools)
        stack.enter_context(monitor)
        yield run


def _keep_document(source: str | Path | Mapping[str, Any], path: Path) -> None:
    """Keep the document in the run's folder, from which it can be run again."""
    if isinstance(source, Mapping):
        path.write_text(yaml.safe_dump(dict(source), sort_keys=False, allow_unicode=True))
        return
    with contextlib.suppress(shutil.SameFileError):
        shutil.copyfile(source, path)
