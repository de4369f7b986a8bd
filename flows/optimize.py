"""A multi-phase workflow written in YAML: `python -m flows.optimize config/workflows/NAME.yaml`."""

from __future__ import annotations

from typing import Literal

from prefect import flow

from alphafoundry.coordinator.report import WorkflowReport
from tasks.phases import run_all
from tasks.task_runners import task_runner as runner_for
from tasks.workflow_report import publish_workflow
from tasks.workflow_run import WorkflowRun, opened, workflow_run

TaskRunnerName = Literal["auto", "in_process", "threads", "processes", "dask"]


@flow(name="phases")
async def phases(token: str) -> None:
    """Do the phases of the open workflow run with that token."""
    await run_all(opened(token))


async def _run_phases(run: WorkflowRun) -> None:
    runner = runner_for(run.plan.runner, run.workflow.document.infrastructure.scheduler_address)
    await phases.with_options(task_runner=runner, flow_run_name=run.workflow.name)(run.token)


@flow(name="optimize", flow_run_name="optimize {workflow}")
async def optimize(
    workflow: str, restart: bool = False, task_runner: TaskRunnerName = "auto"
) -> WorkflowReport:
    """Run the phases of a workflow; what an interrupted run had finished is not done again."""
    async with workflow_run(workflow, restart=restart, task_runner=task_runner) as run:
        await _run_phases(run)
        return await publish_workflow(run)


if __name__ == "__main__":
    from flows.workflow_command import main

    main(optimize)
