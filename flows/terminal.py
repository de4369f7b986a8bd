"""What a person sees in the terminal: a progress bar while a flow runs, tables when it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable
from rich.text import Text

from alphafoundry.runs import Report, Table

SHORT = 64
WIDE = 180
"""Columns of a report that is not printed on a terminal."""

LEAST_ROOM = 40
"""Characters of a line that a long text needs to be read in a column of its own."""

MOST_LINES = 4
"""Lines that a long text may take in such a column; one that takes more stands below the table."""

BORDER = 3
"""Characters between two columns."""


class TimeLeft(TimeRemainingColumn):
    """How long the rest takes at the speed so far; nothing before that is known, nor at the end."""

    def render(self, task: Task) -> Text:
        """Return the time with a word that says what it is."""
        if task.finished or task.time_remaining is None:
            return Text("")
        return super().render(task).append(" left")


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
            TimeLeft(),
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
        """Show a line above the bars; in a file it stays one line, however long."""
        self._console.print(
            f"[dim]{escape(message)}", soft_wrap=not self._console.is_terminal, highlight=False
        )


def shorten(text: str, width: int = SHORT) -> str:
    """Return `text` on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def report_console() -> Console:
    """Return standard output, for tables and sentences."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def print_report(report: Report) -> None:
    """Print the report of a run as tables on standard output."""
    console = report_console()
    console.print(f"\n[bold]{escape(report.headline)}")
    summary = RichTable(show_header=False, box=None, padding=(0, 2, 0, 0))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_column(overflow="fold")
    for subject, sentence in report.summary():
        summary.add_row(escape(subject), escape(sentence))
    console.print(summary)
    for table in report.tables():
        if "terminal" in table.places and table.rows:
            console.print()
            _print_table(console, table)
    for note in report.notes:
        console.print(f"[dim]{escape(note)}")


def _print_table(console: Console, table: Table) -> None:
    """Print a table; long texts that its last column has no room for stand below it."""
    if table.wide is None or _fits(table, table.wide, _room(console, table, table.wide)):
        console.print(_rich_table(table, table.headings))
        return
    first, *_ = table.headings
    others = tuple(heading for heading in table.headings if heading != table.wide)
    console.print(_rich_table(table, others, narrow=True))
    console.print(f"[bold]{escape(table.wide)}")
    for row in table.rows:
        console.print(f"[bold]{escape(row[first])}[/bold]  {escape(row[table.wide])}")


def _room(console: Console, table: Table, wide: str) -> int:
    """Return how many characters of a line the other columns leave to `wide`."""
    widest = (
        max(len(heading), *(len(row[heading]) for row in table.rows)) + BORDER
        for heading in table.headings
        if heading != wide
    )
    return console.width - sum(widest) - BORDER


def _fits(table: Table, wide: str, room: int) -> bool:
    """Tell whether the texts of `wide` can be read in a column of `room` characters."""
    longest = max((len(row[wide]) for row in table.rows), default=0)
    return room >= LEAST_ROOM and longest <= MOST_LINES * room


def _rich_table(table: Table, headings: Sequence[str], *, narrow: bool = False) -> RichTable:
    shown = RichTable(
        title=escape(table.title),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD if narrow else HEAVY_HEAD,
        padding=(0, 0) if narrow else (0, 1),
    )
    for heading in headings:
        shown.add_column(
            escape(heading),
            justify="right" if table.is_numeric(heading) else "left",
            no_wrap=not narrow and table.wide is not None and heading != table.wide,
            overflow="fold",
            ratio=1 if heading == table.wide else None,
        )
    for number, row in enumerate(table.rows):
        cells = (escape(row[heading]) for heading in headings)
        shown.add_row(*cells, style="green" if number in table.marked else None)
    return shown
