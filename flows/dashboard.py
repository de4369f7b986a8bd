"""Shows and steers what `flows.supervise` keeps alive: `python -m flows.dashboard`."""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from alphafoundry.settings import load_settings
from alphafoundry.supervisor import database
from alphafoundry.supervisor.control import (
    COMMANDS,
    SupervisorError,
    ask,
    folder_of,
    is_running,
)
from alphafoundry.supervisor.desired import set_desired
from alphafoundry.supervisor.output import last_lines, plain
from alphafoundry.supervisor.reading import (
    Row,
    Status,
    because,
    explain,
    health_told,
    moment_of,
    next_action,
    read_status,
    span,
    sparkline,
)
from alphafoundry.supervisor.worker_runs import WORKER
from flows.plain_command import Parser, end_with

EXIT_TROUBLE = 3
WIDE = 180
LOG_LINES = 50
ACTIONS = (*COMMANDS, "reload", "end")

_COLUMNS = (
    ("process", 13, False),
    ("state", 11, False),
    ("health", 6, False),
    ("prio", 4, True),
    ("up", 8, True),
    ("turns", 5, True),
    ("restarts", 8, True),
    ("cpu", 4, True),
    ("memory", 7, True),
    ("", 4, False),
    ("next", 16, False),
    ("last error", 10, False),
)
"""Heading, least width, and whether it is set to the right."""

_COLOURS = {
    "running": "green",
    "sleeping": "green",
    "finished": "dim",
    "starting": "cyan",
    "waiting": "cyan",
    "stopping": "yellow",
    "backing off": "yellow",
    "paused": "dim",
    "stopped": "dim",
    "quarantined": "bold red",
}


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Do what the flags say, and end the process."""
    end_with(lambda: _run(_parser().parse_args(words)), interrupted=0)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.dashboard",
        description="Show what is supervised, and steer it. Without a flag: one look. Exit status "
        f"{EXIT_TROUBLE} where something needs a person.",
        allow_abbrev=False,
    )
    parser.add_argument("action", nargs="?", choices=ACTIONS, help="what to do, with NAME")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a process")
    parser.add_argument("--watch", action="store_true", help="look again each second, until Ctrl-C")
    parser.add_argument("--report", action="store_true", help="print the report of the supervision")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the report: .txt, .md, .html or .json"
    )
    parser.add_argument("--explain", metavar="NAME", help="say why a process is where it is")
    parser.add_argument("--logs", metavar="NAME", help="print the last lines of a process")
    parser.add_argument("--follow", action="store_true", help="go on printing them, until Ctrl-C")
    parser.add_argument("--check", action="store_true", help="with reload: only say what changes")
    return parser


def _run(given: argparse.Namespace) -> int:
    home = load_settings().home
    path = home / database.FILE
    if given.output is not None and not given.report:
        raise SupervisorError("--output needs --report")
    if given.follow and given.logs is None:
        raise SupervisorError("--follow needs --logs NAME")
    if given.check and given.action != "reload":
        raise SupervisorError("--check needs reload")
    if given.action is not None:
        return _act(home, given.action, given.name, check=given.check)
    if given.report:
        return _report(path, given.output)
    if given.explain is not None:
        for line in explain(path, given.explain):
            print(line)
        return 0
    if given.logs is not None:
        return _logs(home, given.logs, follow=given.follow)
    if given.watch:
        return _watch(home, path)
    status = read_status(path)
    _console().print(_shown(status, running=is_running(home)))
    return EXIT_TROUBLE if status.needs_you else 0


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def _act(home: Path, action: str, name: str | None, *, check: bool) -> int:
    if action in COMMANDS and name is None:
        raise SupervisorError(f"{action} needs the name of a process")
    if action not in COMMANDS and name is not None:
        raise SupervisorError(f"{action} takes no name")
    if not is_running(home):
        if action in ("start", "stop") and name is not None:
            print(set_desired(home / database.FILE, name, action))
            return 0
        raise SupervisorError(f"no supervisor runs for {home}; start `python -m flows.supervise`")
    request: dict[str, object] = {"do": action}
    if name is not None:
        request["name"] = name
    if check:
        request["check"] = True
    print(ask(home, request)["told"])
    return 0


def _watch(home: Path, path: Path) -> int:
    """Look again each second; lines instead of a table where that is no terminal."""
    if not sys.stdout.isatty():
        seen = 0
        while True:
            seen = _print_events(path, seen)
            if not is_running(home):
                return 0
            time.sleep(1)
    with Live(console=_console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(_shown(read_status(path), running=is_running(home)), refresh=True)
            time.sleep(1)


def _print_events(path: Path, seen: int) -> int:
    """Print the events after one, and return the last one's number."""
    from alphafoundry.supervisor.reading import last_supervision, reading

    with reading(path) as connection:
        rows = connection.execute(
            "SELECT * FROM process_events WHERE supervision = ? AND id > ? ORDER BY id",
            (last_supervision(connection)["id"], seen),
        ).fetchall()
    for row in rows:
        print(f"{row['at'][:19]} {row['process'] or 'supervisor':<14} {row['text']}", flush=True)
    return rows[-1]["id"] if rows else seen


def _shown(status: Status, *, running: bool) -> RenderableType:
    now = datetime.now(UTC)
    parts: list[RenderableType] = [Text(line) for line in _head(status, now, running=running)]
    for row in status.needs_you:
        who = row["process"] or "supervisor"
        parts.append(Text(f"needs you: {row['at'][11:19]} {who}: {row['text']}", style="bold red"))
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading, width, right in _COLUMNS:
        table.add_column(
            heading,
            justify="right" if right else "left",
            min_width=width,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in status.processes:
        table.add_row(*_cells(row, status, now, running=running))
        if row["name"] == WORKER and running:
            for run in status.flow_runs:
                table.add_row(*_cells_of_run(run, now))
    return Group(*parts, table)


def _cells_of_run(run: Row, now: datetime) -> list[str]:
    """Return the row of a flow run, which stands below the worker that has started it."""
    up = span((now - moment_of(run["started_at"])).total_seconds())
    used = (f"{run['cpu_percent']:.0f} %", f"{run['rss'] / 2**20:.0f} MB")
    name = f"  {run['flow_run'][:8]}"
    return [name, "flow run", "", "", up, "", "", *used, "", "", ""]


def _head(status: Status, now: datetime, *, running: bool) -> list[str]:
    row = status.supervision
    begun = moment_of(row["started_at"])
    if not running:
        ended = row["ended_at"]
        end = f"ended {ended[:19]} UTC" if ended else "its processes are gone"
        return [f"no supervisor runs; the last one, {row['status']}: {end}{because(row)}"]
    minutes = row["runtime_minutes"]
    length = f" of {span(60 * minutes)}" if minutes else ""
    line = f"supervision {row['id']}: {span((now - begun).total_seconds())}{length}"
    if status.machine is not None:
        machine = status.machine
        line += f"; memory {machine['memory_percent']:.0f} %, load {machine['load']:.1f}, "
        line += f"disk {(machine['disk_free'] or 0) / 2**30:.0f} GB free"
    return [line]


def _cells(row: Row, status: Status, now: datetime, *, running: bool) -> list[str | Text]:
    alive = running and row["state"] in ("running", "starting", "stopping")
    up = span((now - moment_of(row["since"])).total_seconds()) if alive else ""
    memory = status.memory.get(row["name"], [])
    used = row["rss"] if alive else None
    return [
        row["name"],
        Text(row["state"], style=_COLOURS.get(row["state"], "")),
        health_told(row) if alive else "-",
        str(row["priority"]),
        up,
        str(row["turns"]) if row["turns"] else "",
        f"{row['restarts']}/{row['max_restarts']}",
        "" if used is None else f"{row['cpu_percent']:.0f} %",
        "" if used is None else f"{used / 2**20:.0f} MB",
        sparkline(memory) if used is not None else "",
        next_action(row, now) or (row["status"] or ""),
        escape(status.errors.get(row["name"], "")[:60]),
    ]


def _report(path: Path, output: Path | None) -> int:
    from alphafoundry.runs import to_markdown
    from alphafoundry.supervisor.report import read_report
    from flows.terminal import print_report

    report = read_report(path)
    if output is None:
        print_report(report)
        return 0
    writers: dict[str, Callable[[], str]] = {
        ".json": lambda: json.dumps(report.to_json(), indent=2) + "\n",
        ".md": lambda: to_markdown(report),
        ".html": lambda: _page(report),
        ".txt": lambda: _plain_text(report),
    }
    if output.suffix not in writers:
        raise SupervisorError(f"--output {output}: write .txt, .md, .html or .json")
    output.write_text(writers[output.suffix](), encoding="utf-8")
    print(f"{output}: {report.headline}")
    return 0


def _plain_text(report: object) -> str:
    import io

    from flows.terminal import print_report

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_report(report)  # type: ignore[arg-type]
    return text.getvalue().lstrip("\n")


def _page(report: object) -> str:
    """Return the report as one HTML file that needs nothing else."""
    from alphafoundry.supervisor.report import SupervisionReport

    assert isinstance(report, SupervisionReport)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(report.title)}</title><style>",
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
        "table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
        "td,th{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8884}"
        "pre{overflow:auto;background:#8882;padding:.8rem}</style>",
        f"<h1>{html.escape(report.title)}</h1><p>{html.escape(report.headline)}</p><table>",
    ]
    for subject, sentence in report.summary():
        parts.append(f"<tr><th>{html.escape(subject)}<td>{html.escape(sentence)}")
    parts.append("</table>")
    for table in report.tables():
        if table.rows:
            parts.append(f"<h2>{html.escape(table.title)}</h2><table><tr>")
            parts += [f"<th>{html.escape(one)}" for one in table.headings]
            for row in table.rows:
                parts.append("<tr>")
                parts += [f"<td>{html.escape(row[one])}" for one in table.headings]
            parts.append("</table>")
    for passage in report.passages():
        lines = html.escape("\n".join(passage.lines))
        parts.append(f"<h2>{html.escape(passage.title)}</h2><pre>{lines}</pre>")
    parts += [f"<p>{html.escape(note)}</p>" for note in report.notes]
    return "\n".join(parts) + "\n"


def _logs(home: Path, name: str, *, follow: bool) -> int:
    path = folder_of(home) / "logs" / f"{name}.log"
    if not path.exists():
        known = sorted(one.stem for one in path.parent.glob("*.log"))
        told = f"; choose one of {', '.join(known)}" if known else ""
        raise SupervisorError(f"there is no output of {name!r}{told}")
    for line in last_lines(path, LOG_LINES):
        print(line)
    if follow:
        _follow(path)
    return 0


def _follow(path: Path) -> None:
    """Print what is appended, through the turning over of the file."""
    file = path.open("rb")
    file.seek(0, 2)
    while True:
        line = file.readline()
        if line:
            print(plain(line.decode("utf-8", "replace").rstrip("\n")), flush=True)
            continue
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino != Path(f"/proc/self/fd/{file.fileno()}").stat().st_ino:
                file.close()
                file = path.open("rb")
                continue
        time.sleep(0.2)


if __name__ == "__main__":
    main()
