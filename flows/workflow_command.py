"""The command line of `python -m flows.optimize`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, get_args

from prefect import Flow
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alphafoundry.coordinator.data import load_bars_of
from alphafoundry.coordinator.json_schema import workflow_schema
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.coordinator.machine_sections import TaskRunnerName
from alphafoundry.coordinator.planning import Plan, manager_of, measure_trial, plan_workflow
from alphafoundry.coordinator.report import WorkflowReport
from alphafoundry.coordinator.reproducibility import (
    RESULTS_FILE,
    STATE_FILE,
    Comparison,
    compare,
    document_of,
    read_results,
    read_state,
)
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import FoundryError, WorkflowStopped
from alphafoundry.settings import load_settings
from alphafoundry.whole_file import replace_file
from flows.command_line import EXIT_ERROR, EXIT_INTERRUPTED, complain, in_one_line
from flows.later_imports import import_later_ones, import_plots_in_background
from flows.stopping import interrupt_on_signals, leave_on_signals, run_until_stopped
from flows.terminal import ProgressBar
from tasks.prefect.server import prefect_server
from tasks.research.workbench import running_from_terminal

EXIT_DIFFERENT = 3


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.optimize", description=description, allow_abbrev=False
    )
    parser.add_argument("workflow", nargs="?", metavar="FILE", help="workflow in YAML")
    parser.add_argument(
        "--check", action="store_true", help="check the file and print the plan; nothing runs"
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of workflows, for editors"
    )
    parser.add_argument(
        "--restart", action="store_true", help="do everything again, checkpoints are passed over"
    )
    parser.add_argument(
        "--reproduce",
        type=Path,
        metavar="FOLDER",
        help="run the workflow of a finished run again and compare every number, bit for bit",
    )
    parser.add_argument(
        "--task-runner",
        choices=get_args(TaskRunnerName),
        default="auto",
        help="where trials run (default: as the file says)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the final report to FILE as JSON"
    )
    return parser


def main(flow: Flow[..., Coroutine[Any, Any, WorkflowReport]]) -> None:
    """Run the flow with the flags of this process and exit.

    Exit status: 0 done, 2 a mistake of the user or a failure that was reported, 3 --reproduce
    found different numbers, 130 stopped by Ctrl-C or SIGTERM.
    """
    interrupt_on_signals()
    parser = _parser(flow.fn.__doc__)
    given = parser.parse_args()
    if given.schema:
        print(json.dumps(workflow_schema(), indent=2))
        sys.exit(0)
    if (given.workflow is None) == (given.reproduce is None):
        parser.error("give the FILE of a workflow, or --reproduce FOLDER")
    try:
        if given.check:
            _check(given.workflow or str(document_of(given.reproduce)), given.task_runner)
            sys.exit(0)
        if given.json is not None and not given.json.resolve().parent.is_dir():
            raise FoundryError(f"--json {given.json}: its folder does not exist")
        sys.exit(_run(flow, given))
    except WorkflowStopped as stopped:
        complain(str(stopped))
        sys.exit(EXIT_INTERRUPTED)
    except FoundryError as problem:
        complain(str(problem))
        sys.exit(EXIT_ERROR)
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("stopped; what had finished is saved")
        sys.exit(EXIT_INTERRUPTED)
    except OSError as problem:
        sys.exit(complain(in_one_line(problem)))
    finally:
        leave_on_signals(EXIT_INTERRUPTED)


def _run(flow: Flow[..., Coroutine[Any, Any, WorkflowReport]], given: argparse.Namespace) -> int:
    path, before, state = given.workflow, None, None
    if given.reproduce is not None:
        path = str(document_of(given.reproduce))
        before, state = read_results(given.reproduce), read_state(given.reproduce)
    # Mistakes in the file need no server to be told.
    load_workflow(path)
    stop = asyncio.Event()
    with (
        ProgressBar() as progress,
        prefect_server(meanwhile=import_later_ones) as server,
        running_from_terminal(progress=progress, stop=stop, server=server),
    ):
        import_plots_in_background()
        report: WorkflowReport = run_until_stopped(
            lambda: flow(
                path,
                restart=given.restart or before is not None,
                task_runner=given.task_runner,
            ),
            stop,
        )
    _print_report(report)
    if given.json is not None:
        given.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    if before is None or state is None:
        return 0
    folder = Path(report.folder)
    found = compare(before, read_results(folder), state, read_state(folder))
    _print_comparison(found)
    if not found.equal and folder.resolve() == given.reproduce.resolve():
        _keep_both(folder, {RESULTS_FILE: before, STATE_FILE: state})
    return 0 if found.equal else EXIT_DIFFERENT


def _keep_both(folder: Path, before: Mapping[str, Any]) -> None:
    """Put back what the run overwrote, or the next comparison would be with itself."""
    for name, value in before.items():
        (folder / name).replace(folder / f"reproduced-{name}")
        replace_file(folder / name, (json.dumps(value, indent=1) + "\n").encode())
    print(f"the new numbers are in {folder / f'reproduced-{RESULTS_FILE}'}")


def _check(path: str, task_runner: str) -> None:
    settings = load_settings()
    workflow = load_workflow(path)
    bars = load_bars_of(
        workflow.document.data, market=settings.market, cache_dir=settings.home / "cache"
    )
    plan = plan_workflow(
        workflow,
        bars,
        manager_of(workflow),
        task_runner=task_runner,
        trial_seconds=measure_trial(workflow, bars),
    )
    _print_plan(workflow, plan, bars.label, bars.shape)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def _print_plan(workflow: Workflow, plan: Plan, market: str, shape: tuple[int, int]) -> None:
    console = _console()
    console.print(f"\n[bold]{escape(workflow.name)}[/bold] {escape(workflow.document.description)}")
    console.print(f"{escape(market)}: {shape[0]} days x {shape[1]} instruments")
    table = Table(header_style="bold")
    for name in ("phase", "type", "after"):
        table.add_column(name)
    for name in ("trials", "batches", "work, s", "memory, MB"):
        table.add_column(name, justify="right")
    for phase in plan.phases:
        table.add_row(
            phase.name,
            phase.kind,
            ", ".join(phase.after),
            str(phase.trials),
            str(phase.batches),
            f"{phase.seconds:.2f}",
            f"{phase.memory / 1024**2:.0f}",
        )
    console.print(table)
    console.print(
        f"{plan.trials} trials, about {plan.seconds:.1f} s of trials with {plan.runner.workers} "
        f"at once and {plan.memory / 1024**2:.0f} MB, Prefect's start aside"
    )
    console.print(f"mode {workflow.mode}, task runner {plan.runner.name}: {plan.runner.why}")
    for line in plan.unenforced:
        console.print(escape(line))


def _print_report(report: WorkflowReport) -> None:
    console = _console()
    console.print(f"\n[bold]{escape(report.market)}")
    table = Table(header_style="bold")
    table.add_column("phase", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for name in ("trials", "left out", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("result", overflow="fold", ratio=1)
    for phase in report.phases:
        table.add_row(
            phase.name,
            phase.kind,
            str(phase.trials),
            str(phase.left_out),
            "checkpoint" if phase.restored else f"{phase.seconds:.1f}",
            escape(phase.result),
        )
    console.print(table)
    summary = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_column(overflow="fold")
    for subject, sentence in report.summary():
        summary.add_row(subject, escape(sentence))
    console.print(summary)
    for note in report.notes:
        console.print(f"[dim]{escape(note)}")


def _print_comparison(found: Comparison) -> None:
    console = _console()
    if found.equal:
        console.print(f"\nreproduced: all {found.numbers} numbers are the same, bit for bit")
    else:
        console.print(f"\nnot reproduced, values that differ: {len(found.differences)}")
        for line in found.differences[:20]:
            console.print(f"  {escape(line)}")
    if found.changed:
        console.print(f"changed since: {', '.join(found.changed)}")
