"""What a document leaves to the program: keys that change nothing, strategies that are missing."""

from __future__ import annotations

from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.strategy_loading import DEFAULT_STRATEGY
from alphafoundry.coordinator.workflow import Phase, Workflow


def unused_keys(workflow: Workflow, runner: str) -> tuple[str, ...]:
    """Return a line for each key that changes nothing, and one where no strategy is listed.

    runner : name of the task runner that was chosen
    """
    document = workflow.document
    lines = []
    if not document.strategies:
        lines.append(
            f"no strategies are listed, so {DEFAULT_STRATEGY} with its defaults is taken; list "
            "those that are meant"
        )
    if document.workflow.container_count is not None and document.phase_list:
        lines.append(
            "workflow.container_count changes nothing where phases are listed; give each phase its "
            "own container_count"
        )
    if document.infrastructure.scheduler_address is not None and runner != "dask":
        lines.append(
            "infrastructure.scheduler_address changes nothing: the task runner is "
            f"{runner}; set infrastructure.task_runner: dask"
        )
    for phase in workflow.phases:
        lines += [f"{phase.name}: {line}" for line in _of_phase(phase, workflow)]
    return tuple(lines)


def _of_phase(phase: Phase, workflow: Workflow) -> list[str]:
    kind = type_of(phase)
    lines = list(kind.unused(phase, workflow))
    if phase.trials is not None and not kind.takes_count:
        lines.append(
            f"container_count changes nothing: a phase of type {phase.kind} decides itself how "
            "many trials it runs"
        )
    if phase.mode == "PARALLEL" and workflow.mode == "TRADITIONAL":
        lines.append(
            "execution_mode PARALLEL changes nothing in a TRADITIONAL workflow, which runs in one "
            "process, in order; set workflow.execution_mode: AUTO"
        )
    if phase.cores is not None and phase.cores < 1:
        lines.append(
            f"cpu_per_container {phase.cores:g} changes nothing: no more trials run at once than "
            "there are cores"
        )
    return lines
