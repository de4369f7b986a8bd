"""The end of a workflow: its folder, its plots, and artifacts in the Prefect UI."""

from __future__ import annotations

import asyncio
import base64
import time

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from alphafoundry.coordinator.performance import analyse
from alphafoundry.coordinator.report import WorkflowReport, build_report
from alphafoundry.store import read_samples
from tasks.coordinator.workflow_run import WorkflowRun

ARTIFACT_TRIALS = 100


def _artifact_key(text: str) -> str:
    """Return an artifact's key: lower-case letters, digits and dashes."""
    return "-".join(
        "".join(char if char.isascii() and char.isalnum() else " " for char in text.lower()).split()
    )


def _report(run: WorkflowRun) -> WorkflowReport:
    kinds = {phase.name: phase.kind.name for phase in run.workflow.phases}
    results = {name: run.results[name] for name in kinds}
    return build_report(
        workflow=run.workflow.name,
        market=run.bars.label,
        folder=str(run.folder.path),
        runner=f"{run.plan.runner.name}, {run.plan.runner.workers} at once",
        kinds=kinds,
        results=results,
        notes=run.plan.unenforced,
        analysis=analyse(
            total_seconds=time.monotonic() - run.begun,
            results=results,
            samples=read_samples(run.store, run.run_id),
            alerts=run.monitor.alerts,
            usage=run.manager.usage(),
            workers=run.plan.runner.workers,
        ),
    )


def _write_folder(run: WorkflowRun) -> dict[str, bytes]:
    """Write results, reproducibility state, studies and plots; return the plots by title."""
    from alphafoundry.coordinator.plots import plots_of
    from alphafoundry.coordinator.reproducibility import reproducibility_state
    from alphafoundry.coordinator.studies import write_studies

    outputs = {name: run.results[name]["outputs"] for name in run.results}
    run.folder.write_json("results.json", outputs)
    run.folder.write_json(
        "reproducibility.json",
        reproducibility_state(
            run.workflow,
            setting=run.setting,
            bars=run.bars,
            market=run.workflow.document.data.market or run.settings.market,
            keys={phase.name: run.phase_key(phase.name) for phase in run.workflow.phases},
            trials={name: result["trials"] for name, result in run.results.items()},
        ),
    )
    if run.workflow.document.reporting.journal:
        write_studies(run.workflow, run.results, run.folder.studies)
    if not run.workflow.document.reporting.plots:
        return {}
    plots = plots_of(run.workflow, run.bars, outputs)
    for title, picture in plots.items():
        (run.folder.plots / f"{_artifact_key(title)}.png").write_bytes(picture)
    return plots


@task(name="publish the workflow", task_run_name="publish the workflow", cache_policy=NO_CACHE)
async def _publish(
    report: WorkflowReport, plots: dict[str, bytes], trials: list[dict[str, str]]
) -> None:
    key = _artifact_key(report.workflow)
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


def _best_trials(run: WorkflowRun) -> list[dict[str, str]]:
    rows = []
    for name, result in run.results.items():
        for trial in result["outputs"].get("top_trials") or ():
            row = {"phase": name, "trial": str(trial["number"]), "strategy": trial["strategy"]}
            row |= {key: str(value) for key, value in trial["parameters"].items()}
            row["score"] = f"{trial['score']:.3f}"
            rows.append(row)
    return rows[:ARTIFACT_TRIALS]


async def publish_workflow(run: WorkflowRun) -> WorkflowReport:
    """Write the run's folder, show the report in the UI, and return it."""
    plots = await asyncio.to_thread(_write_folder, run)
    report = _report(run)
    run.report = report.to_json()
    run.folder.write_json("report.json", run.report)
    pictures = {title: f"plots/{_artifact_key(title)}.png" for title in plots}
    (run.folder.path / "analysis.md").write_text(report.to_markdown(pictures))
    await _publish(report, plots, _best_trials(run))
    return report
