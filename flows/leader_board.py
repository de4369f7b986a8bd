"""What a person sees when the race of the algorithms is over."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alphafoundry.algorithms.report import AlgorithmsReport


def print_algorithms(report: AlgorithmsReport) -> None:
    """Print the report of a run as tables on standard output."""
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    console.print(f"\n[bold]{escape(report.headline)}")
    summary = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_column(overflow="fold")
    for subject, sentence in report.summary():
        summary.add_row(subject, escape(sentence))
    console.print(summary)
    if report.leader_board:
        console.print()
        console.print(_table("Leader board", report.leader_board))
    if report.metrics:
        console.print()
        console.print(_table(f"Requests at {report.endpoint}", report.metrics_rows()))
    for note in report.notes:
        console.print(f"[dim]{escape(note)}")


def _table(title: str, rows: list[dict[str, str]]) -> Table:
    table = Table(
        title=escape(title), title_justify="left", title_style="bold", header_style="bold"
    )
    for name in rows[0]:
        numeric = all(_is_number(row[name]) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row.values()))
    return table


def _is_number(text: str) -> bool:
    return not text.strip("0123456789.,+-/% s$") or text in ("", "nan")
