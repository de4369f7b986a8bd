"""The report of a run as Prefect artifacts: a table, a markdown page and a plot."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict

from prefect import task
from prefect.artifacts import (
    acreate_image_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from alphafoundry.research.files import write_views
from alphafoundry.research.plots import plot_cumulative_pnl
from alphafoundry.research.report import Report
from alphafoundry.research.reporting import build_report
from alphafoundry.research.workbench import Workbench
from alphafoundry.store import read_daily_pnl

PLOTTED = 8


@task(name="publish the report", cache_policy=NO_CACHE)
async def _publish(bench: Workbench, report: Report) -> None:
    """Show the report in the UI."""
    await acreate_markdown_artifact(
        key=f"{bench.flow}-report", markdown=report.to_markdown(), description=report.market
    )
    if not report.alphas:
        return
    await acreate_table_artifact(
        key=f"{bench.flow}-alphas",
        table=[asdict(line) for line in report.alphas],
        description=f"{report.table_title}. {report.market}",
    )
    best = [line.alpha_id for line in report.alphas[:PLOTTED]]
    pnl = read_daily_pnl(bench.store, bench.service, best)
    if pnl:
        expressions = {line.alpha_id: line.expression for line in report.alphas}
        picture = plot_cumulative_pnl(
            {expressions[alpha_id]: series for alpha_id, series in pnl.items()},
            title=report.market,
        )
        await acreate_image_artifact(
            key=f"{bench.flow}-pnl",
            image_url=f"data:image/png;base64,{base64.b64encode(picture).decode()}",
            description=f"Cumulative PnL of the best alphas. {report.market}",
        )


async def publish_report(bench: Workbench) -> Report:
    """Return the report; the outermost flow of a run also shows it in the UI and the files."""
    report = build_report(bench)
    bench.report = json.loads(json.dumps(report.to_json()))
    if bench.top_level:
        write_views(bench)
        await _publish(bench, report)
    return report
