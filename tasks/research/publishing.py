"""The report of a run as Prefect artifacts: a table, a markdown page and a plot."""

from __future__ import annotations

import base64
import json

from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.research.json_views import write_views
from alphafoundry.research.plots import plot_cumulative_pnl
from alphafoundry.research.report import AlphaLine, Report
from alphafoundry.research.report_building import build_report
from alphafoundry.research.workbench import Workbench
from alphafoundry.store import read_daily_pnl

PLOTTED = 8
COLUMNS = {
    "sharpe": ".2f",
    "fitness": ".2f",
    "turnover": ".1%",
    "returns": ".1%",
    "drawdown": ".1%",
    "gain": "+.2f",
    "correlation_to_parent": ".2f",
}
"""Numbers of the table artifact and their form."""


@task(name="publish the report", task_run_name="publish the report", cache_policy=NO_CACHE)
async def _publish(bench: Workbench, report: Report) -> None:
    """Show the report in the UI: a page with the plot in it, and a table that can be searched."""
    await acreate_markdown_artifact(
        key=f"{bench.flow}-report",
        markdown=report.to_markdown(_plot(bench, report)),
        description=report.market,
    )
    if report.alphas:
        await acreate_table_artifact(
            key=f"{bench.flow}-alphas",
            table=[_table_row(line) for line in report.alphas],
            description=f"{report.table_title}. {report.market}",
        )
    for subject, sentence in report.summary():
        get_run_logger().info("%s: %s", subject, sentence)


def _plot(bench: Workbench, report: Report) -> str | None:
    """Return the plot of the best alphas as a data address, None where there is none."""
    lines = {line.alpha_id: line.expression for line in report.alphas[:PLOTTED]}
    pnl = read_daily_pnl(bench.store, bench.service, lines)
    if not pnl:
        return None
    picture = plot_cumulative_pnl(
        {f"{alpha_id}  {lines[alpha_id]}": pnl[alpha_id] for alpha_id in lines if alpha_id in pnl},
        title=report.market,
    )
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _table_row(line: AlphaLine) -> dict[str, str]:
    row = {"alpha": line.alpha_id}
    for name, form in COLUMNS.items():
        value = getattr(line, name)
        row[name.replace("_", " ")] = "" if value is None else format(value, form)
    return row | {
        "truth": line.truth or "",
        "outcome": line.outcome,
        "origin": line.origin,
        "settings": line.settings,
        "expression": line.expression,
    }


async def publish_report(bench: Workbench) -> Report:
    """Return the report; the outermost flow of a run also shows it in the UI and the files."""
    report = build_report(bench)
    bench.report = json.loads(json.dumps(report.to_json()))
    if bench.top_level:
        write_views(bench)
        await _publish(bench, report)
    return report
