"""The report of a run as Prefect artifacts: a page with its pictures, and tables to search in."""

from __future__ import annotations

import asyncio
import base64
from typing import cast

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.utilities.annotations import quote

from alphafoundry.runs import Report, to_markdown


async def publish(report: Report) -> None:
    """Show a report in the UI."""
    # Unquoted, a report that an inner flow returned is recorded as an input of the kind
    # "flow_run", and the UI shows no page with a task run that has one.
    await _publish(cast(Report, quote(report)))


@task(name="publish the report", task_run_name="publish the report", cache_policy=NO_CACHE)
async def _publish(report: Report) -> None:
    pictures = {}
    for figure in report.figures():
        png = await asyncio.to_thread(figure.draw)
        pictures[figure.title] = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    await acreate_markdown_artifact(
        key=report.key, markdown=to_markdown(report, pictures), description=report.headline
    )
    for table in report.tables():
        if table.key is not None and "artifact" in table.places and table.rows:
            await acreate_table_artifact(
                key=table.key,
                table=[dict(row) for row in table.rows],
                description=table.description or f"{table.title}. {report.headline}",
            )
    for subject, sentence in report.summary():
        get_run_logger().info("%s: %s", subject, sentence)
