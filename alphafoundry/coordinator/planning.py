"""What a workflow will do before it does it: trials, time, memory, and where it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from alphafoundry.backtest import Bars, run_trials
from alphafoundry.coordinator.context import batch_size
from alphafoundry.coordinator.data import first_test_row
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.resources import ResourceManager
from alphafoundry.coordinator.scoring import METRICS
from alphafoundry.coordinator.unused_keys import unused_keys
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import BacktestError, ConfigurationError

WORKER_MEMORY = 260 * 1024**2
"""What a worker process holds before it works, bytes."""

MOST_TRIALS = 10_000_000
"""More trials than this in one workflow are taken for a slip of the pen."""

PROCESS_GAIN_SECONDS = 20.0
"""Estimated work above which processes pay for their start of some seconds each."""


@dataclass(frozen=True)
class PhasePlan:
    """One phase: seconds are estimated work of one core, memory is of one trial, bytes."""

    name: str
    kind: str
    trials: int
    batches: int
    seconds: float
    memory: int
    after: tuple[str, ...]


@dataclass(frozen=True)
class RunnerChoice:
    """Where work runs, how much of it at once, and why."""

    name: str
    workers: int
    why: str

    def __str__(self) -> str:
        return f"{self.name}, {self.workers} at once: {self.why}"


@dataclass(frozen=True)
class Plan:
    """The plan of a workflow.

    trial_seconds : measured on the workflow's own bars, None where it could not be
    unenforced : limits of the document that do not hold where the work runs, and keys that change
        nothing, a line each
    """

    phases: tuple[PhasePlan, ...]
    runner: RunnerChoice
    trial_seconds: float | None
    unenforced: tuple[str, ...] = ()

    @property
    def trials(self) -> int:
        """Trials of all phases."""
        return sum(phase.trials for phase in self.phases)

    @property
    def seconds(self) -> float:
        """Estimated time of the trials with the chosen workers, seconds."""
        return sum(phase.seconds for phase in self.phases) / self.runner.workers

    @property
    def memory(self) -> int:
        """Most memory held at once, bytes."""
        most = max((phase.memory for phase in self.phases), default=0)
        held = WORKER_MEMORY if self.runner.name in ("processes", "dask") else 0
        return WORKER_MEMORY + self.runner.workers * (most + held)


def manager_of(workflow: Workflow) -> ResourceManager:
    """Return the resource manager with the limits of the document or of the machine."""
    document = workflow.document
    sections = (document.coordinator.resources, document.infrastructure)
    gigabytes = _least(section.max_memory_gb for section in sections)
    cores = _least(section.max_cpu_cores for section in sections)
    here = ResourceManager()
    return ResourceManager(
        memory=None if gigabytes is None else min(int(gigabytes * 1024**3), here.memory),
        cores=None if cores is None else min(cores, here.cores),
    )


def _least(limits: Iterable[float | None]) -> float | None:
    """Return the smallest limit that is set, None where none is."""
    return min((limit for limit in limits if limit is not None), default=None)


def measure_trial(workflow: Workflow, bars: Bars) -> float | None:
    """Return the mean seconds of one trial of the embedded strategies, kernels compiled."""
    split = first_test_row(bars, workflow.document.data)
    train = bars.between(0, max(split, 1))
    times = []
    for use in workflow.strategies:
        if ":" in use.source.type:
            # A module of the user runs in a worker only, where it can be ended.
            continue
        try:
            values = use.complete(
                {
                    name: spec.at(0.5, whole=use.strategy.parameters[name].kind == "int")
                    for name, spec in use.space.items()
                }
            )
        except BacktestError:
            continue
        run_trials(train, use.strategy, [values], workflow.execution)
        begun = time.perf_counter()
        run_trials(train, use.strategy, [values] * 2, workflow.execution)
        times.append((time.perf_counter() - begun) / 2)
    return sum(times) / len(times) if times else None


def plan_workflow(
    workflow: Workflow,
    bars: Bars,
    manager: ResourceManager,
    *,
    task_runner: str | None = None,
    trial_seconds: float | None = None,
) -> Plan:
    """Return the plan.

    Parameters
    ----------
    task_runner : wins over the document's; "auto" or None lets the mode decide
    trial_seconds : what `measure_trial` gave

    Raises ConfigurationError where a phase does not fit the bars.
    """
    each = 0.01 if trial_seconds is None else trial_seconds
    days, instruments = bars.shape
    phases = []
    for phase in workflow.phases:
        try:
            trials = type_of(phase).trials(phase, workflow, days)
        except BacktestError as problem:
            raise ConfigurationError(f"{workflow.path}: phase {phase.name}: {problem}") from None
        memory = (
            manager.fitting(phase.memory) or 3 * days * instruments * 8 + trials * len(METRICS) * 40
        )
        phases.append(
            PhasePlan(
                name=phase.name,
                kind=phase.kind,
                trials=trials,
                batches=-(
                    -trials // batch_size(trials, workflow.document.infrastructure.batch_size)
                ),
                seconds=trials * each,
                memory=memory,
                after=workflow.needs[phase.name],
            )
        )
    runner = choose_runner(workflow, sum(phase.seconds for phase in phases), manager, task_runner)
    planned = sum(phase.trials for phase in phases)
    if planned > MOST_TRIALS:
        raise ConfigurationError(
            f"{workflow.path}: the phases plan {planned:,} trials, more than {MOST_TRIALS:,}; ask "
            "for fewer, or split the workflow"
        )
    lines = unenforced_limits(workflow, runner.name) + unused_keys(workflow, runner.name)
    lines += tied_positions(workflow, instruments)
    plan = Plan(tuple(phases), runner, trial_seconds, lines)
    largest = max(phases, key=lambda phase: phase.memory, default=None)
    if largest is not None and largest.memory > 2 * manager.memory:
        raise ConfigurationError(
            f"{workflow.path}: phase {largest.name} takes about {largest.memory / 1024**3:,.1f} "
            f"GB, and {manager.memory / 1024**3:,.1f} GB are to be used; ask for fewer trials, "
            "days or symbols"
        )
    return plan


def choose_runner(
    workflow: Workflow, seconds: float, manager: ResourceManager, given: str | None
) -> RunnerChoice:
    """Choose where the work runs; what the caller or the document says wins."""
    named = given if given not in (None, "auto") else workflow.document.infrastructure.task_runner
    workers = _workers(workflow, manager)
    limited = next((phase.name for phase in workflow.phases if _is_limited(phase)), None)
    if named not in (None, "auto"):
        assert named is not None
        source = "the command line" if given not in (None, "auto") else "infrastructure.task_runner"
        return RunnerChoice(named, 1 if named == "in_process" else workers, f"{source} says so")
    if workflow.mode == "TRADITIONAL":
        return RunnerChoice("in_process", 1, "the mode TRADITIONAL runs in one process, in order")
    if limited is not None:
        return RunnerChoice(
            "processes", workers, f"phase {limited} limits a trial's memory or time"
        )
    if any(":" in use.source.type for use in workflow.strategies):
        return RunnerChoice("processes", workers, "a strategy comes from a module of your own")
    if seconds > PROCESS_GAIN_SECONDS:
        return RunnerChoice(
            "processes", workers, f"about {seconds:.0f} s of trials pay for starting processes"
        )
    return RunnerChoice(
        "threads", workers, f"about {seconds:.1f} s of trials, less than processes take to start"
    )


def unenforced_limits(workflow: Workflow, runner: str) -> tuple[str, ...]:
    """Return a line for each phase whose trials run in this process under limits that need another.

    A process cannot take memory or processor time away from one of its own threads, nor end it.
    """
    here = runner in ("in_process", "threads")
    infrastructure = workflow.document.infrastructure
    timed = "container_timeout_seconds" in infrastructure.model_fields_set
    lines = []
    for phase in workflow.phases:
        if not here and phase.mode != "TRADITIONAL":
            continue
        limits = {
            "memory_per_container": phase.memory is not None,
            "cpu_seconds": phase.cpu_seconds is not None,
            "container_timeout_seconds": timed,
        }
        named = [name for name, given in limits.items() if given]
        if named:
            lines.append(
                f"{phase.name}: {', '.join(named)} not enforced, as its trials run inside this "
                "process, which cannot cap or end one; task_runner processes does"
            )
    return tuple(lines)


def tied_positions(workflow: Workflow, instruments: int) -> tuple[str, ...]:
    """Return a line where `max_positions` chooses among signals that are often equal."""
    most = workflow.execution.sizing.max_positions
    if most is None or most >= instruments:
        return ()
    return (
        f"risk_management.params.max_positions: {most} of {instruments} symbols are held; where "
        "signals are equal, as those of a strategy that is only long or short are, the names with "
        "the largest dollar volume of 20 days go first",
    )


def _is_limited(phase: Phase) -> bool:
    return phase.memory is not None or phase.cpu_seconds is not None


def _workers(workflow: Workflow, manager: ResourceManager) -> int:
    infrastructure = workflow.document.infrastructure
    resources = workflow.document.coordinator.resources
    limits = (
        infrastructure.max_workers,
        infrastructure.container_pool_size,
        resources.container_pool_size,
    )
    most = min(limit for limit in limits if limit is not None)
    memory = max((phase.memory or 0 for phase in workflow.phases), default=0)
    by_memory = manager.at_once(memory, None) if memory else int(manager.cores)
    return max(1, min(most, int(manager.cores), by_memory))
