"""The end of a workflow: its folder, and artifacts in the Prefect UI."""

from __future__ import annotations

import asyncio
import base64

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from alphafoundry.coordinator.report import WorkflowReport, best_trials
from alphafoundry.coordinator.run import WorkflowRun
from alphafoundry.coordinator.run_folder import file_stem
from alphafoundry.coordinator.run_report import finish_report


@task(name="publish the workflow", task_run_name="publish the workflow", cache_policy=NO_CACHE)
async def _publish(
    report: WorkflowReport, plots: dict[str, bytes], trials: list[dict[str, str]]
) -> None:
    key = file_stem(report.workflow)
    pictures = {
        title: f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        for title, picture in plots.items()
    }
    await acreate_markdown_artifact(
        key=f"workflow-{key}", markdown=report.to_markdown(pictures), description=report.market
    )
    if trials:
        await acreate_table_artifact(
            key=f"workflow-{key}-trials", table=trials, description=f"best trials. {report.market}"
        )


async def publish_workflow(run: WorkflowRun) -> WorkflowReport:
    """Write the run's folder, show the report in the UI, and return it."""
    report, plots = await asyncio.to_thread(finish_report, run)
    await _publish(report, plots, best_trials(run.workflow, run.results))
    return report
