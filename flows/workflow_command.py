"""What the command line of `python -m flows.optimize` has of its own."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from rich.markup import escape
from rich.table import Table

from alphafoundry.coordinator.data import load_bars_of
from alphafoundry.coordinator.importing import import_workflow
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
from alphafoundry.coordinator.run import check_workflow
from alphafoundry.coordinator.workflow import Workflow
from alphafoundry.errors import ConfigurationError
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.whole_file import replace_file
from flows.command_line import Command
from flows.terminal import report_console

EXIT_DIFFERENT = 3


def workflow_command() -> Command:
    """Return the command: a file to run, to check, or to run again and compare.

    Exit status beside the usual: 3 where --reproduce found different numbers.
    """
    reproduction = _Reproduction()
    return Command(
        "flows.optimize",
        check=_check_workflow,
        add_arguments=_add_arguments,
        prepare=reproduction.prepare,
        finish=reproduction.finish,
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workflow", nargs="?", metavar="FILE", help="workflow in YAML")
    parser.add_argument(
        "--check", action="store_true", help="check the file and print the plan; nothing runs"
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of workflows, for editors"
    )
    parser.add_argument(
        "--import",
        dest="import_file",
        type=Path,
        metavar="FILE",
        help="print a file of ADMF-PC as a workflow of ours, with what was left out; nothing runs",
    )
    parser.add_argument(
        "--restart", action="store_true", help="do everything again; checkpoints are passed over"
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


def _check_workflow(
    settings: FoundrySettings, given: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """Find the mistakes of the file and of its data."""
    check_workflow(given["workflow"], settings)


class _Reproduction:
    """The run that is to be compared with, where --reproduce names one."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._before: Mapping[str, Any] = {}
        self._state: Mapping[str, Any] = {}

    def prepare(self, arguments: dict[str, Any]) -> dict[str, Any] | int:
        """Take this command's arguments; return the flow's parameters, or the exit status."""
        path, folder = arguments.pop("workflow"), arguments.pop("reproduce")
        restart, task_runner = arguments.pop("restart"), arguments.pop("task_runner")
        check, schema = arguments.pop("check"), arguments.pop("schema")
        import_file = arguments.pop("import_file")
        if schema:
            print(json.dumps(workflow_schema(), indent=2))
            return 0
        if import_file is not None:
            print(import_workflow(import_file).to_yaml(), end="")
            return 0
        if (path is None) == (folder is None):
            raise ConfigurationError("give the FILE of a workflow, or --reproduce FOLDER")
        if folder is not None:
            path = str(document_of(folder))
        if check:
            _show_plan(path, task_runner)
            return 0
        if folder is not None:
            self._folder = folder
            self._before, self._state = read_results(folder), read_state(folder)
        return {
            "workflow": path,
            "restart": restart or folder is not None,
            "task_runner": task_runner,
        }

    def finish(self, report: WorkflowReport) -> int:
        """Compare the numbers of the two runs; return the exit status."""
        if self._folder is None:
            return 0
        folder = Path(report.folder)
        found = compare(self._before, read_results(folder), self._state, read_state(folder))
        _print_comparison(found)
        if not found.equal and folder.resolve() == self._folder.resolve():
            _keep_both(folder, {RESULTS_FILE: self._before, STATE_FILE: self._state})
        return 0 if found.equal else EXIT_DIFFERENT


def _keep_both(folder: Path, before: Mapping[str, Any]) -> None:
    """Put back what the run overwrote, or the next comparison would be with itself."""
    for name, value in before.items():
        (folder / name).replace(folder / f"reproduced-{name}")
        replace_file(folder / name, (json.dumps(value, indent=1) + "\n").encode())
    print(f"the new numbers are in {folder / f'reproduced-{RESULTS_FILE}'}")


def _show_plan(path: str, task_runner: str) -> None:
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


def _print_plan(workflow: Workflow, plan: Plan, market: str, shape: tuple[int, int]) -> None:
    console = report_console()
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
        f"{plan.trials} trial{'' if plan.trials == 1 else 's'}, about {plan.seconds:.1f} s of "
        f"trials with {plan.runner.workers} at once and {plan.memory / 1024**2:.0f} MB, "
        "Prefect's start aside"
    )
    console.print(f"mode {workflow.mode}, task runner {plan.runner.name}: {plan.runner.why}")
    for line in plan.unenforced:
        console.print(escape(line))


def _print_comparison(found: Comparison) -> None:
    console = report_console()
    if found.equal:
        console.print(f"\nreproduced: all {found.numbers} numbers are the same, bit for bit")
    else:
        console.print(f"\nnot reproduced, values that differ: {len(found.differences)}")
        for line in found.differences[:20]:
            console.print(f"  {escape(line)}")
    if found.changed:
        console.print(f"changed since: {', '.join(found.changed)}")
