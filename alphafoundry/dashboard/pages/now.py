"""Now: is all well, what changed since one looked, what needs a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import bindparam, func, select, text, tuple_
from starlette.responses import Response

from alphafoundry.dashboard.access import Session
from alphafoundry.dashboard.asking import sources_of
from alphafoundry.dashboard.evidence import by_alpha, select_noted
from alphafoundry.dashboard.rendering import render
from alphafoundry.dashboard.sources import NothingYet, Sources
from alphafoundry.dashboard.tables import Row
from alphafoundry.store import AlphaRow, RunRow
from alphafoundry.supervisor.reading import MEANT, moment_of

router = APIRouter()
TABLES = ()
CHARTS: dict[str, Any] = {}

HOURS = 24
WINDOWS = {0.25: 3, 1: 10, 6: 60, HOURS: 240}
"""Hours that the timeline shows where everything lies within, to the minutes between its ticks."""

HOUR = timedelta(hours=1)
BEST = 5
LANES = 24
BARS = 400
NARROWEST = 0.2
"""Percent of the timeline that a bar has at least."""

NEAR = 0.5
"""Percent of the timeline; turns of a process that are nearer than that are one bar."""

TOLD = 4
"""Processes whose restarts are told; those of the others are counted."""


@router.get("/")
def now(request: Request) -> Response:
    """Show whether all is well."""
    sources = sources_of(request)
    session: Session = request.state.session
    moment = sources.now()
    since = moment - HOURS * HOUR
    first = session.visit == session.began
    looked = since if first else datetime.fromtimestamp(session.visit, UTC)
    best_since = min(since, looked)
    with sources.connect("store") as connection:
        newer = AlphaRow.created_at > looked
        counts = (
            select(func.count()).select_from(AlphaRow).where(newer).scalar_subquery(),
            select(func.count())
            .select_from(AlphaRow)
            .where(newer, AlphaRow.hopeful)
            .scalar_subquery(),
        )
        chosen = (
            select(AlphaRow.service, AlphaRow.alpha_id)
            .where(AlphaRow.created_at > best_since, AlphaRow.fitness.is_not(None))
            .order_by(AlphaRow.hopeful.desc(), AlphaRow.fitness.desc())
            .limit(BEST)
            .subquery()
        )
        noted = by_alpha(
            connection.execute(
                select_noted(
                    AlphaRow.sharpe,
                    AlphaRow.fitness,
                    AlphaRow.hopeful,
                    AlphaRow.market_id,
                    counts[0].label("new"),
                    counts[1].label("new_hopeful"),
                ).where(
                    tuple_(AlphaRow.service, AlphaRow.alpha_id).in_(
                        select(chosen.c.service, chosen.c.alpha_id)
                    )
                )
            )
        )
        best = sorted(
            (dict(row) for row in noted.values()),
            key=lambda row: (row["hopeful"], row["fitness"]),
            reverse=True,
        )
        request.app.state.evidence.add_to(connection, best, noted)
        runs = [
            dict(row._mapping)
            for row in connection.execute(
                select(
                    RunRow.id,
                    RunRow.flow,
                    RunRow.status,
                    RunRow.started_at,
                    RunRow.finished_at,
                    RunRow.market_label,
                )
                .where(func.coalesce(RunRow.finished_at, RunRow.heartbeat_at) > since)
                .order_by(RunRow.id.desc())
                .limit(BARS)
            )
        ]
    lives, restarts = _lives(sources, since)
    newest: dict[str, Row] = {}
    for row in lives:
        if row["restart"]:
            newest.setdefault(row["lane"], row)
    restarted = list(newest.values())[:TOLD]
    began = [row["started_at"] for row in runs] + [row["start"] for row in lives]
    hours = next(
        (one for one in WINDOWS if moment - min(began, default=moment) < one * HOUR), HOURS
    )
    return render(
        request,
        "now.html",
        page="now",
        title="Now",
        looked=looked,
        best=best,
        best_since=best_since,
        runs=runs[:8],
        ended=[row for row in runs if row["finished_at"] and row["finished_at"] > looked],
        restarts=restarts,
        restarted=restarted,
        timeline=timeline(runs, lives, hours=hours, until=moment),
        lately={0.25: "15 minutes", 1: "hour"}.get(hours, f"{hours} hours"),
        first=first,
    )


def _lives(sources: Sources, since: datetime) -> tuple[list[Row], int]:
    """Return lives and turns of processes that reach into the time since then.

    The newest of each process, so that one of many turns hides no other; and how many of all, read
    or not, ended in a restart.
    """
    try:
        with sources.connect("supervisor") as connection:
            rows = connection.execute(
                text(
                    "SELECT * FROM (SELECT id, process, started_at, ended_at, cause, code, signal, "
                    "restart, sum(restart) OVER () AS restarts, "
                    "count(*) OVER (PARTITION BY process, restart) AS times, row_number() OVER "
                    "(PARTITION BY process, restart ORDER BY id DESC) AS place "
                    "FROM (SELECT *, coalesce(cause NOT IN :meant, 0) AS restart FROM process_runs "
                    "WHERE ended_at IS NULL OR ended_at > :since)) "
                    "WHERE place <= :most ORDER BY id DESC"
                ).bindparams(bindparam("meant", MEANT, expanding=True)),
                {"since": since.strftime("%Y-%m-%d %H:%M:%S"), "most": BARS // 4},
            ).all()
    except NothingYet:
        return [], 0
    lives: list[Row] = [
        {
            "lane": row.process,
            "start": moment_of(row.started_at),
            "end": None if row.ended_at is None else moment_of(row.ended_at),
            "cause": row.cause,
            "how": how_it_ended(row.cause, row.code, row.signal),
            "restart": bool(row.restart),
            "times": row.times,
        }
        for row in rows
    ]
    return lives, rows[0].restarts if rows else 0


def how_it_ended(cause: str | None, code: int | None, signal: int | None) -> str:
    """Return in words why and how a life ended."""
    told = [cause or ""]
    told += [f"exit {code}"] if code is not None else []
    told += [f"signal {signal}"] if signal is not None else []
    return ", ".join(told)


def timeline(runs: list[Row], lives: list[Row], *, hours: float, until: datetime) -> dict[str, Any]:
    """Return runs and lives as bars on an axis from 0 to 100, a lane for each name.

    Turns that follow each other closely are one bar, which says how many they are.

    Where there are more lanes than are shown, those in which something failed or runs come first.
    """
    since = until - hours * HOUR
    length = (until - since).total_seconds()

    def place(at: datetime | None) -> float:
        if at is None:
            return 100.0
        return min(max((at - since).total_seconds() / length, 0.0), 1.0) * 100

    lanes: dict[str, list[dict[str, Any]]] = {}
    for row in runs:
        begin, end = place(row["started_at"]), place(row["finished_at"])
        told = f"{row['flow']} {row['id']}: {row['status']}"
        lanes.setdefault(f"{row['flow']} (run)", []).append(
            {"x": begin, "width": max(end - begin, NARROWEST), "is": row["status"], "told": told}
        )
    for row in sorted(lives, key=lambda row: row["start"]):
        begin, end = place(row["start"]), place(row["end"])
        state = "failed" if row["restart"] else "turn" if row["end"] else "running"
        bars = lanes.setdefault(row["lane"], [])
        before = next((bar for bar in reversed(bars) if bar["is"] == "turn"), None)
        if before and state == "turn" and begin - before["x"] - before["width"] < NEAR:
            before["turns"] += 1
            before["width"] = max(end - before["x"], before["width"])
            before["told"] = f"{row['lane']}: {before['turns']} turns"
            continue
        bars.append(
            {
                "x": begin,
                "width": max(end - begin, NARROWEST),
                "is": state,
                "turns": 1,
                "told": f"{row['lane']}: {row['cause'] or 'runs'}",
            }
        )
    step = timedelta(minutes=WINDOWS[hours])
    day = until.replace(hour=0, minute=0, second=0, microsecond=0)
    ticks = []
    for number in range(-int(HOURS * HOUR / step), int(HOURS * HOUR / step)):
        at = day + number * step
        if since <= at <= until - step / 2:
            ticks.append({"x": place(at), "told": at.strftime("%H:%M")})

    def weight(name: str) -> int:
        states = {bar["is"] for bar in lanes[name]}
        return 0 if "failed" in states else 1 if "running" in states else 2

    shown = sorted(lanes, key=weight)[:LANES]
    return {
        "lanes": [(name, bars) for name, bars in lanes.items() if name in shown],
        "ticks": ticks,
        "left": len(lanes) - len(shown),
    }
