"""The end of a run: its report, and the files of its folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from alphafoundry.coordinator.outputs import outputs_to_json
from alphafoundry.coordinator.performance import analyse
from alphafoundry.coordinator.plots import plots_of
from alphafoundry.coordinator.report import WorkflowReport, best_trials, build_report
from alphafoundry.coordinator.reproducibility import (
    RESULTS_FILE,
    STATE_FILE,
    reproducibility_state,
)
from alphafoundry.coordinator.run import WorkflowRun
from alphafoundry.coordinator.run_folder import file_stem
from alphafoundry.coordinator.studies import write_studies
from alphafoundry.runs import Figure, to_markdown
from alphafoundry.store import read_samples


def finish_report(run: WorkflowRun) -> WorkflowReport:
    """Write results, reproducibility state, studies, plots and report into the run's folder."""
    run.folder.write_json(
        RESULTS_FILE,
        {
            phase.name: outputs_to_json(run.results[phase.name].outputs)
            for phase in run.workflow.phases
        },
    )
    run.folder.write_json(
        STATE_FILE,
        reproducibility_state(
            run.workflow,
            setting=run.setting,
            bars=run.bars,
            market=run.market,
            keys=run.phase_keys,
            trials={name: result.trials for name, result in run.results.items()},
        ),
    )
    reporting = run.workflow.document.reporting
    if reporting.journal:
        write_studies(run.workflow, run.results, run.folder.studies)
    plots = plots_of(run.workflow, run.bars, run.results) if reporting.plots else {}
    for title, picture in plots.items():
        (run.folder.plots / f"{file_stem(title)}.png").write_bytes(picture)
    report = replace(
        _report(run),
        screen=run.bars.screen,
        best_trials=tuple(best_trials(run.workflow, run.results, bars_a_year=run.bars.bars_a_year)),
        pictures=tuple(Figure(title, partial(bytes, png)) for title, png in plots.items()),
    )
    run.record.report = report.to_json()
    run.folder.write_json("report.json", run.record.report)
    pictures = {title: f"plots/{file_stem(title)}.png" for title in plots}
    (run.folder.path / "analysis.md").write_text(to_markdown(report, pictures))
    return report


def _report(run: WorkflowRun) -> WorkflowReport:
    return build_report(
        run.workflow,
        run.results,
        market=run.bars.label,
        folder=str(run.folder.path),
        runner=f"{run.plan.runner.name}, {run.plan.runner.workers} at once",
        notes=run.plan.unenforced,
        bars_a_year=run.bars.bars_a_year,
        analysis=analyse(
            total_seconds=run.record.seconds,
            results=run.results,
            samples=read_samples(run.store, run.run_id),
            alerts=run.monitor.alerts,
            usage=run.manager.usage(),
            workers=run.plan.runner.workers,
        ),
    )
