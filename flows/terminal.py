"""What a person sees in the terminal: a progress bar while a flow runs, tables when it ends."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from alphafoundry.research.report import AlphaLine, Report

SHORT = 64


class ProgressBar:
    """A bar per phase on standard error; a line per phase where that is not a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", justify="left"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps of `phase` are over."""
        if not self._console.is_terminal:
            if phase not in self._bars:
                self._bars[phase] = TaskID(0)
                print(f"{phase} ...", file=sys.stderr, flush=True)
            return
        if phase not in self._bars:
            self._bars[phase] = self._progress.add_task(phase, total=total, note=note)
        self._progress.update(
            self._bars[phase], completed=done, total=total, note=escape(shorten(note))
        )

    def say(self, message: str) -> None:
        """Show a line above the bars."""
        self._console.print(f"[dim]{escape(message)}")


def shorten(text: str, width: int = SHORT) -> str:
    """Return `text` on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _alpha_table(title: str, lines: list[AlphaLine], *, planted: bool) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("alpha", no_wrap=True)
    for name in ("sharpe", "fitness", "turnover", "returns", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    if planted:
        table.add_column("truth", no_wrap=True)
    table.add_column("expression, and what became of it", overflow="fold", ratio=1)
    for line in lines:
        cells = [
            line.alpha_id,
            _number(line.sharpe, ".2f"),
            _number(line.fitness, ".2f"),
            _number(line.turnover, ".1%"),
            _number(line.returns, ".1%"),
            _number(line.gain, "+.2f"),
        ]
        if planted:
            cells.append((line.truth or "").removeprefix("planted: "))
        settings = f" [{line.settings}]" if line.settings else ""
        cells.append(escape(f"{line.expression}{settings}\n= {line.outcome}"))
        table.add_row(*cells, style="green" if line.submitted else None)
    return table


def print_report(report: Report) -> None:
    """Print the report of a run as tables on standard output."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(f"\n[bold]{escape(report.market)}")
    summary = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_column(overflow="fold")
    for name, value in report.summary():
        summary.add_row(name, escape(value))
    console.print(summary)
    if report.alphas:
        planted = any(line.truth for line in report.alphas)
        console.print()
        console.print(_alpha_table(report.table_title, report.alphas, planted=planted))
    for note in report.notes:
        console.print(f"[dim]{escape(note)}")
