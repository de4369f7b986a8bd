"""`python -m flows.desk report`: the tear sheet and the state of a desk, as one file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.markup import escape

from alphafoundry.agents.status import DeskStatus, desk_status
from alphafoundry.agents.track_record import sheet_folder, told_passages, write_file
from alphafoundry.errors import ConfigurationError
from alphafoundry.performance.page import sheet_page
from alphafoundry.performance.picture import draw_sheet
from alphafoundry.performance.sheet import TearSheet, desk_sheet
from alphafoundry.settings import load_settings
from alphafoundry.store import Store, open_store
from alphafoundry.store.performance import read_explanations
from alphafoundry.store.performance_tables import ExplanationRow
from flows.plain_command import Parser
from flows.terminal import report_console

KINDS = (".html", ".json", ".png")


def report(words: list[str]) -> int:
    """Write the report of a desk, and tell what is in it."""
    given = _parser().parse_args(words)
    output = None if given.output is None else Path(given.output)
    if output is not None and output.suffix not in KINDS:
        raise ConfigurationError(
            f"--output {output}: write a file that ends in .html, .json or .png"
        )
    settings = load_settings()
    url = settings.database_url
    with open_store(None if url is None else url.get_secret_value(), home=settings.home) as store:
        status = desk_status(store, given.desk)
        name = status.desk.name
        sheet = desk_sheet(store, name)
        told = read_explanations(store, name)
        _warn_of_unclosed(store, status, sheet)
    path = output or sheet_folder(settings.home, name) / "report.html"
    write_file(path, _content(path.suffix, sheet, status, told))
    console = report_console()
    for line in _lines(sheet):
        console.print(escape(line))
    console.print(f"written to {escape(str(path))}", soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.desk report",
        allow_abbrev=False,
        description="Write the tear sheet of a desk with its state and what was told of its last "
        "session.",
    )
    parser.add_argument("desk", nargs="?", metavar="DESK", help="default: the newest")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="report.html (one page that fetches nothing), .json (every figure) or .png (the "
        "pictures); default: HOME/desks/DESK/report.html",
    )
    return parser


def _warn_of_unclosed(store: Store, status: DeskStatus, sheet: TearSheet) -> None:
    """Say where the desk has taken in bars of sessions that are not in the tear sheet."""
    until = status.desk.data_until
    last = sheet.series.dates[-1].item()
    if until is not None and until > last:
        report_console().print(
            f"sessions after {last} are left out: performance_analysis has not looked at them yet"
        )


def _content(
    suffix: str, sheet: TearSheet, status: DeskStatus, told: list[ExplanationRow]
) -> bytes:
    if suffix == ".png":
        return draw_sheet(sheet)
    if suffix == ".json":
        plain = sheet.to_json() | {
            "status": {
                "lines": list(status.lines()),
                "health": status.overall_health,
                "agents": [dict(zip(status.headings(), row, strict=True)) for row in status.rows()],
            },
            "explanations": [
                {
                    "session": one.session.isoformat(),
                    "about": one.kind,
                    "facts": one.facts,
                    "text": one.text,
                    "written_by": one.written_by,
                    "refused": one.refused,
                }
                for one in told
            ],
        }
        return json.dumps(plain, indent=2, ensure_ascii=False).encode("utf-8")
    return sheet_page(
        sheet,
        passages=[*told_passages(told), ("State", list(status.lines()))],
        tables=[("Agents", status.headings(), status.rows())],
    ).encode("utf-8")


def _lines(sheet: TearSheet) -> list[str]:
    found = sheet.statistics
    sources = ", ".join(f"{name} {amount:+,.2f}" for name, amount in sheet.sources() if amount)
    total = sum(amount for _, amount in sheet.sources())
    return [
        f"{sheet.title}, {sheet.label}",
        f"return    {found.total_return:+.2%} in {found.days} sessions, deepest drawdown "
        f"{found.max_drawdown:.2%}",
        f"sharpe    {sheet.sharpe}",
        f"dollars   {total:+,.2f}: {sources}",
    ]
