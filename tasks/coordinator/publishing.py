"""The end of a workflow: its folder, its plots, and artifacts in the Prefect UI."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

from alphafoundry.coordinator.performance import analyse
from alphafoundry.coordinator.report import WorkflowReport, artifact_key, build_report
from alphafoundry.runs import Figure, to_markdown
from alphafoundry.store import read_samples
from tasks.coordinator.workflow_run import WorkflowRun
from tasks.publishing import publish

ARTIFACT_TRIALS = 100


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
        (run.folder.plots / f"{artifact_key(title)}.png").write_bytes(picture)
    return plots


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
    report = replace(
        _report(run),
        best_trials=tuple(_best_trials(run)),
        pictures=tuple(Figure(title, partial(bytes, png)) for title, png in plots.items()),
    )
    run.report = report.to_json()
    run.folder.write_json("report.json", run.report)
    pictures = {title: f"plots/{artifact_key(title)}.png" for title in plots}
    (run.folder.path / "analysis.md").write_text(to_markdown(report, pictures))
    await publish(report)
    return report
