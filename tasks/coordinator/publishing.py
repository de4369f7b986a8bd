"""The end of a workflow: its folder, its plots, and artifacts in the Prefect UI."""

from __future__ import annotations

import asyncio

from alphafoundry.coordinator.report import WorkflowReport
from alphafoundry.coordinator.run import WorkflowRun
from alphafoundry.coordinator.run_report import finish_report
from tasks.publishing import publish


async def publish_workflow(run: WorkflowRun) -> WorkflowReport:
    """Write the run's folder, show the report in the UI, and return it."""
    report = await asyncio.to_thread(finish_report, run)
    await publish(report)
    return report
