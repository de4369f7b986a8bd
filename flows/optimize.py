"""A multi-phase workflow written in YAML: `python -m flows.optimize config/workflows/NAME.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from alphafoundry.coordinator.report import WorkflowReport
from tasks.coordinator.phases import run_all
from tasks.coordinator.publishing import publish_workflow
from tasks.coordinator.workflow_run import OpenRun, run_of_workflow
from tasks.prefect.dask_workers import prepared_for_workers
from tasks.prefect.task_runners import task_runner as runner_for

TaskRunnerName = Literal["auto", "in_process", "threads", "processes", "dask"]


@flow(name="phases")
async def phases(token: str) -> None:
    """Do the phases of the open workflow run with that token."""
    await run_all(token)


async def _run_phases(opened: OpenRun) -> None:
    run = opened.run
    address = run.workflow.document.infrastructure.scheduler_address
    runner = runner_for(run.plan.runner, address)
    named = phases.with_options(task_runner=runner, flow_run_name=f"phases of {run.workflow.name}")
    if run.plan.runner.name != "dask" or address is None:
        await named(opened.token)
        return
    async with prepared_for_workers(
        address, flow_run=str(flow_run.id), folders=(run.folder.path, run.folder.shared)
    ) as opened.needs:
        await named(opened.token)


def _run_name() -> str:
    """Return the document's name without folders: a deployment's path may be long."""
    return f"optimize {Path(str(flow_run.parameters['workflow'])).stem}"


@flow(name="optimize", flow_run_name=_run_name)
async def optimize(
    workflow: str, restart: bool = False, task_runner: TaskRunnerName = "auto"
) -> WorkflowReport:
    """Run the phases of a workflow; what an interrupted run had finished is not done again."""
    async with run_of_workflow(workflow, restart=restart, task_runner=task_runner) as opened:
        run = opened.run
        get_run_logger().info("%s", run.bars.label)
        get_run_logger().info("%s", run.plan.runner)
        for line in run.plan.unenforced:
            get_run_logger().warning("%s", line)
        await _run_phases(opened)
        return await publish_workflow(run)


if __name__ == "__main__":
    from flows.command_line import main
    from flows.workflow_command import workflow_command

    main(optimize, workflow_command())
