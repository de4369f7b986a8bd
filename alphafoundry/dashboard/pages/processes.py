"""Processes: what is down, flapping, leaking, and why; and the buttons that steer them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from fastapi import APIRouter, Request
from sqlalchemy import Float, Integer, Text, column, text
from sqlalchemy import table as table_of
from starlette.responses import JSONResponse, Response

from alphafoundry.dashboard.asking import MissingPage, Refused, act, given_of, read_form, sources_of
from alphafoundry.dashboard.charts import Array, Chart
from alphafoundry.dashboard.rendering import render, render_list, safe_text
from alphafoundry.dashboard.sources import NothingYet, Sources
from alphafoundry.dashboard.tables import (
    Column,
    Filter,
    Given,
    Row,
    Table,
    contains,
    equal,
    read_page,
)
from alphafoundry.supervisor.control import COMMANDS, ask, folder_of, is_running
from alphafoundry.supervisor.desired import set_desired
from alphafoundry.supervisor.fingerprints import advice
from alphafoundry.supervisor.output import last_lines
from alphafoundry.supervisor.reading import health_told, moment_of, next_action

router = APIRouter()

LOG_LINES = 200
TAIL_BYTES = 64 * 1024
EMPTY = (
    "Nothing is supervised here yet. `make up` starts the platform with every process of "
    "config/processes.yaml, `python -m flows.supervise` the processes alone."
)

_EVENTS = table_of(
    "process_events",
    *(column(name, Text) for name in ("process", "at", "kind", "severity", "text", "supervision")),
    column("id", Integer),
)
_LIVES = table_of(
    "process_runs",
    *(column(name, Text) for name in ("process", "started_at", "ended_at", "cause", "git_commit")),
    *(
        column(name, Integer)
        for name in ("id", "life", "pid", "code", "signal", "peak_bytes", "output_bytes")
    ),
    column("lines_not_stored", Integer),
    column("seconds", Float),
    column("cpu_seconds", Float),
)
_ERRORS = table_of(
    "process_errors",
    *(
        column(name, Text)
        for name in ("process", "fingerprint", "stream", "first_at", "last_at", "sample", "context")
    ),
    column("id", Integer),
    column("count", Integer),
)
_OUTPUT = table_of(
    "process_output",
    *(column(name, Text) for name in ("process", "at", "stream", "line")),
    column("id", Integer),
    column("life", Integer),
)

EVENTS = Table(
    name="events",
    title="Events of processes",
    database="supervisor",
    columns=(
        Column("id", "number", "integer", of=_EVENTS.c.id, hidden=True, sorts=True),
        Column("at", "at", "time", of=_EVENTS.c.at),
        Column("process", "process", of=_EVENTS.c.process, link="/processes/{process}"),
        Column("severity", "severity", "status", of=_EVENTS.c.severity),
        Column("kind", "kind", of=_EVENTS.c.kind),
        Column("text", "what happened", of=_EVENTS.c.text),
    ),
    source=_EVENTS,
    keys=(_EVENTS.c.id,),
    order="-id",
    empty="Nothing has happened yet.",
    filters=(
        Filter("process", "process", equal(_EVENTS.c.process)),
        Filter(
            "severity", "severity", equal(_EVENTS.c.severity), choices=("info", "warning", "alert")
        ),
        Filter("q", "text has", contains(_EVENTS.c.text)),
    ),
)
LIVES = Table(
    name="lives",
    title="Lives and turns",
    database="supervisor",
    columns=(
        Column("id", "number", "integer", of=_LIVES.c.id, hidden=True, sorts=True),
        Column("process", "process", of=_LIVES.c.process, link="/processes/{process}"),
        Column("life", "life", "integer", of=_LIVES.c.life),
        Column("started_at", "began", "time", of=_LIVES.c.started_at),
        Column("ended_at", "ended", "time", of=_LIVES.c.ended_at),
        Column("cause", "why it ended", "status", of=_LIVES.c.cause),
        Column("code", "exit", "integer", of=_LIVES.c.code),
        Column("signal", "signal", "integer", of=_LIVES.c.signal),
        Column("seconds", "lived", "seconds", of=_LIVES.c.seconds),
        Column("cpu_seconds", "processor", "seconds", of=_LIVES.c.cpu_seconds),
        Column("peak_bytes", "peak memory", "bytes", of=_LIVES.c.peak_bytes),
        Column("git_commit", "commit", "code", of=_LIVES.c.git_commit),
    ),
    source=_LIVES,
    keys=(_LIVES.c.id,),
    order="-id",
    empty="It has not lived yet.",
    filters=(
        Filter("process", "process", equal(_LIVES.c.process)),
        Filter("cause", "why it ended", equal(_LIVES.c.cause)),
    ),
)
ERRORS = Table(
    name="errors",
    title="Errors, alike ones together",
    database="supervisor",
    columns=(
        Column("id", "number", "integer", of=_ERRORS.c.id, hidden=True),
        Column("last_at", "last", "time", of=_ERRORS.c.last_at, sorts=True),
        Column("process", "process", of=_ERRORS.c.process, link="/processes/{process}"),
        Column("count", "times", "integer", of=_ERRORS.c.count, sorts=True),
        Column("sample", "error", "code", of=_ERRORS.c.sample),
        Column("context", "last lines", "code", of=_ERRORS.c.context, hidden=True),
        Column("first_at", "first", "time", of=_ERRORS.c.first_at),
    ),
    source=_ERRORS,
    keys=(_ERRORS.c.id,),
    order="-last_at",
    empty="No error was seen in its output.",
    filters=(Filter("process", "process", equal(_ERRORS.c.process)),),
)
OUTPUT = Table(
    name="output",
    title="Output",
    database="supervisor",
    columns=(
        Column("id", "number", "integer", of=_OUTPUT.c.id, hidden=True),
        Column("at", "at", "time", of=_OUTPUT.c.at),
        Column("process", "process", of=_OUTPUT.c.process, hidden=True),
        Column("stream", "stream", of=_OUTPUT.c.stream),
        Column("line", "line", "code", of=_OUTPUT.c.line),
    ),
    source=_OUTPUT,
    keys=(_OUTPUT.c.id,),
    order="-id",
    empty="Nothing was printed, or nothing that is kept has these words.",
    filters=(
        Filter("process", "process", equal(_OUTPUT.c.process)),
        Filter("q", "line has", contains(_OUTPUT.c.line)),
    ),
)
TABLES = (EVENTS, LIVES, ERRORS, OUTPUT)

_STATE = (
    "SELECT * FROM processes WHERE supervision = "
    "(SELECT id FROM supervisions ORDER BY started_at DESC, rowid DESC LIMIT 1)"
)


@router.get("/processes")
def processes(request: Request) -> Response:
    """Show every process that is supervised."""
    sources = sources_of(request)
    rows: list[Row] = []
    events = None
    supervised = is_running(sources.home)
    try:
        with sources.connect("supervisor") as connection:
            rows = [
                _told(dict(row._mapping), now=sources.now(), supervised=supervised)
                for row in connection.execute(text(f"{_STATE} ORDER BY priority, name"))
            ]
            events = read_page(connection, EVENTS, given_of(request), limit=25)
    except NothingYet:
        pass
    return render(
        request,
        "processes.html",
        page="processes",
        title="Processes",
        rows=rows,
        events=events,
        empty=EMPTY,
        actions=COMMANDS,
    )


@router.get("/processes/{name}")
def process(request: Request, name: str) -> Response:
    """Show one process: state, health and why, lives, errors, output."""
    sources = sources_of(request)
    given = given_of(request) | {"process": name}
    try:
        with sources.connect("supervisor") as connection:
            found = connection.execute(
                text("SELECT * FROM processes WHERE name = :name"), {"name": name}
            ).one_or_none()
            if found is None:
                raise MissingPage(f"there is no process {name!r}")
            row = _told(
                dict(found._mapping), now=sources.now(), supervised=is_running(sources.home)
            )
            lives = read_page(connection, LIVES, given, limit=15)
            errors = read_page(connection, ERRORS, {"process": name}, limit=5)
    except NothingYet:
        raise MissingPage(f"there is no process {name!r}: {EMPTY}") from None
    for one in errors.rows:
        one["advice"] = advice(one["sample"]) or ""
    log = folder_of(sources.home) / "logs" / f"{row['name']}.log"
    return render(
        request,
        "process.html",
        page="processes",
        title=name,
        row=row,
        lives=lives,
        errors=errors,
        lines=last_lines(log, LOG_LINES) if log.exists() else [],
        offset=log.stat().st_size if log.exists() else 0,
        actions=COMMANDS,
        configured=_configured(row["name"]),
    )


@router.get("/processes/{name}/events")
def events_of(request: Request, name: str) -> Response:
    """Show what happened to one process, and why."""
    _known(sources_of(request), name)
    title = f"Events of {name}"
    return render_list(request, EVENTS, page="processes", title=title, process=name)


@router.get("/processes/{name}/output")
def output_of(request: Request, name: str) -> Response:
    """Show what one process has printed, with search."""
    _known(sources_of(request), name)
    title = f"Output of {name}"
    return render_list(request, OUTPUT, page="processes", title=title, process=name)


@router.get("/api/output/{name}")
def tail(request: Request, name: str, offset: int = 0) -> Response:
    """Return what a process has printed from an offset of its log on."""
    sources = sources_of(request)
    known = _known(sources, name)
    path = folder_of(sources.home) / "logs" / f"{known}.log"
    if not path.exists():
        return JSONResponse({"offset": 0, "lines": []})
    size = path.stat().st_size
    # Turned over or far behind: begin near the end.
    begin = offset if 0 <= offset <= size and size - offset <= TAIL_BYTES else size - TAIL_BYTES
    with path.open("rb") as file:
        file.seek(max(begin, 0))
        whole, _, rest = file.read(TAIL_BYTES).rpartition(b"\n")
        end = file.tell() - len(rest)
    lines = (
        [safe_text(one) for one in whole.decode("utf-8", "replace").split("\n")] if whole else []
    )
    return JSONResponse({"offset": end, "lines": lines[-1000:]})


@router.post("/processes/{name}/{action}")
async def steer(request: Request, name: str, action: str) -> Response:
    """Start, stop, restart or pause a process."""
    form = await read_form(request)
    if action not in COMMANDS:
        raise Refused(f"{action} is nothing that a process does; {', '.join(COMMANDS)}")
    sources = sources_of(request)
    known = _known(sources, name)

    def do() -> tuple[str, str | None]:
        if is_running(sources.home):
            told = ask(sources.home, {"do": action, "name": known})["told"]
        elif action in ("start", "stop"):
            told = set_desired(sources.supervisor, known, action)
        else:
            raise Refused(f"no supervisor runs, so there is nothing to {action}")
        return str(told), f"/processes/{known}"

    return await act(request, form, action=action, subject=f"process {known}", parameters={}, do=do)


def _known(sources: Sources, name: str) -> str:
    """Return the name of a process as the database has it: no part of a path comes from outside."""
    try:
        with sources.connect("supervisor") as connection:
            found = connection.execute(
                text("SELECT name FROM processes WHERE name = :name"), {"name": name}
            ).scalar()
    except NothingYet:
        found = None
    if found is None:
        raise MissingPage(f"there is no process {name!r}")
    return str(found)


def _told(row: Row, *, now: datetime, supervised: bool) -> Row:
    """Return the row of a process with what people are told about it."""
    alive = supervised and row["state"] in ("running", "starting", "stopping")
    factors: dict[str, float] = json.loads(row["factors"] or "{}")
    return row | {
        "alive": alive,
        "health_told": health_told(row) if alive else "-",  # type: ignore[arg-type]
        "factors": factors,
        "next": next_action(row, now),  # type: ignore[arg-type]
        "up": (now - moment_of(row["since"])).total_seconds(),
    }


def _configured(name: str) -> list[tuple[str, str, bool]]:
    """Return the settings of a process as they apply, and whether each is its default."""
    from alphafoundry.errors import FoundryError
    from alphafoundry.supervisor.processes import PROCESSES, load_processes

    try:
        settings = load_processes(PROCESSES)
    except FoundryError:
        return []
    found = next((one for one in settings.processes if one.name == name), None)
    if found is None:
        return []
    given = found.model_fields_set
    # An environment may hold secrets.
    return [
        (key, json.dumps(value, default=str), key not in given)
        for key, value in found.model_dump(mode="json", exclude={"environment"}).items()
    ]


def usage_chart(what: str, title: str, unit: str) -> Callable[[Sources, Given], Chart]:
    """Return a chart of one measure of a process, from the roll-up that fits the time asked for."""

    def chart(sources: Sources, given: Given) -> Chart:
        name = given.get("name", "")
        hours = min(max(float(given.get("hours") or 6), 0.1), 24 * 365)
        at, values, note = _usage(sources, name, what, hours)
        if not len(at):
            _known(sources, name)
        marks = _marks(sources, name, hours)
        return Chart(f"{title} of {name}", at, {title: values}, unit=unit, marks=marks, note=note)

    return chart


def _usage(sources: Sources, name: str, what: str, hours: float) -> tuple[Array, Array, str]:
    """Return seconds since 1970, what was measured then, and what of several samples is shown.

    Both arrays are of shape (n,); NaN where nothing was measured.
    """
    raw, rolled, told = _MEASURES[what]
    table, at, value, rest, note = "resource_usage", "at", raw, "", ""
    if hours > 6:
        step = "minute" if hours <= 24 * 10 else "hour"
        note = f"Thinned: {told} of each {step}."
        if rolled:
            table, value = f"resource_usage_{step}", rolled
        else:
            at, value = f"substr(at, 1, {16 if step == 'minute' else 13})", f"max({raw})"
            rest = "GROUP BY 1"
            note += " Samples are kept for as long as retention.samples_hours says."
    since = f"datetime('now', '-{hours:.3f} hours')"
    moments, values = [np.empty(0)], [np.empty(0)]
    with contextlib.suppress(NothingYet), sources.connect("supervisor") as connection:
        # In parts: tens of thousands of rows at once are megabytes that a thread would keep.
        found = connection.execute(
            text(
                f"SELECT {at}, {value} FROM {table} WHERE process = :name "
                f"AND at > {since} {rest} ORDER BY 1"
            ),
            {"name": name},
        )
        for part in found.partitions(2_000):
            moments.append(_seconds([row[0] for row in part]))
            values.append(np.array([row[1] for row in part], dtype=float))
    return np.concatenate(moments), np.concatenate(values), note


_MEASURES = {
    "memory": ("rss", "rss_max", "the most"),
    "cpu": ("cpu_percent", "cpu_mean", "the mean"),
    "health": ("health", "health_min", "the least"),
    "files": ("open_files", "", "the most"),
}
"""Measure to its column of samples and of what sums them up, "" where nothing does."""


def _seconds(stored: Sequence[str]) -> Array:
    """Return moments of one table as seconds since 1970; a roll-up's end at the minute or hour."""
    rest = "0000-00-00 00:00:00.000"[len(stored[0]) :] if stored else ""
    whole = [one + rest for one in stored] if rest else stored
    return np.array(whole, dtype="datetime64[ms]").astype(np.int64) / 1000


def _marks(sources: Sources, name: str, hours: float) -> list[tuple[float, str]]:
    """Return when a process was started again, and why."""
    try:
        with sources.connect("supervisor") as connection:
            rows = connection.execute(
                text(
                    "SELECT ended_at, cause FROM process_runs WHERE process = :name "
                    f"AND ended_at > datetime('now', '-{hours:.3f} hours') "
                    "AND cause NOT IN ('turn', 'finished', 'end') ORDER BY id DESC LIMIT 50"
                ),
                {"name": name},
            ).all()
    except NothingYet:
        return []
    return [(moment_of(row[0]).timestamp(), str(row[1])) for row in reversed(rows)]


CHARTS = {
    "memory": usage_chart("memory", "Memory", "bytes"),
    "cpu": usage_chart("cpu", "Processor", "core"),
    "health": usage_chart("health", "Health", "share"),
    "files": usage_chart("files", "Open files", ""),
}
