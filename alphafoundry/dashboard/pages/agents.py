"""Agents: who ran, what they concluded and why, who waits for what; and letting one rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

from fastapi import APIRouter, Request
from sqlalchemy import and_, func, select
from starlette.responses import Response

from alphafoundry.agents.control import pause_agent
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import seconds
from alphafoundry.dashboard.asking import Refused, act, read_form, sources_of
from alphafoundry.dashboard.pages.desk import read_desk
from alphafoundry.dashboard.rendering import render, render_list
from alphafoundry.dashboard.tables import Column, Filter, Row, Table, contains, equal, read_page
from alphafoundry.store.agent_tables import AgentAlertRow, AgentStateRow, AgentTickRow, TickOutcome

router = APIRouter()
CHARTS: dict[str, Any] = {}

TICKS = Table(
    name="ticks",
    title="Ticks",
    columns=(
        Column("position", "tick", "integer", of=AgentTickRow.position, sorts=True),
        Column("desk", "desk", of=AgentTickRow.desk, hidden=True),
        Column("agent", "agent", of=AgentTickRow.agent),
        Column("due_at", "due, desk time", "time", of=AgentTickRow.due_at),
        Column("outcome", "outcome", "status", of=AgentTickRow.outcome),
        Column("reason", "why", of=AgentTickRow.reason),
        Column("attempts", "attempts", "integer", of=AgentTickRow.attempts),
        Column("only_safe", "only what lessens risk", "yes", of=AgentTickRow.only_safe),
        Column("result", "result", "code", of=AgentTickRow.result),
    ),
    source=AgentTickRow.__table__,
    keys=(AgentTickRow.position, AgentTickRow.desk, AgentTickRow.agent),
    order="-position",
    empty="No tick matches.",
    filters=(
        Filter("desk", "desk", equal(AgentTickRow.desk)),
        Filter("agent", "agent", equal(AgentTickRow.agent)),
        Filter("outcome", "outcome", equal(AgentTickRow.outcome), choices=get_args(TickOutcome)),
        Filter("q", "reason has", contains(AgentTickRow.reason)),
    ),
)
ALERTS = Table(
    name="alerts",
    title="Alerts",
    columns=(
        Column("id", "number", "integer", of=AgentAlertRow.id, hidden=True, sorts=True),
        Column("at", "at", "time", of=AgentAlertRow.at),
        Column("desk", "desk", of=AgentAlertRow.desk),
        Column("key", "about", of=AgentAlertRow.key),
        Column("text", "what", of=AgentAlertRow.text),
        Column("count", "times", "integer", of=AgentAlertRow.count),
        Column("resolved_at", "over", "time", of=AgentAlertRow.resolved_at),
    ),
    source=AgentAlertRow.__table__,
    keys=(AgentAlertRow.id,),
    order="-id",
    empty="No agent has raised an alert.",
    filters=(Filter("desk", "desk", equal(AgentAlertRow.desk)),),
)
TABLES = (TICKS, ALERTS)


@router.get("/agents")
def agents(request: Request, desk: str = "") -> Response:
    """Show every agent of a desk: health, last decision and its reason, when it is due next."""
    sources = sources_of(request)
    with sources.connect("store") as connection:
        found, _ = read_desk(connection, desk)
        if found is None:
            return render(request, "agents.html", page="agents", title="Agents", found=None)
        rows = _agents(connection, found)
        alerts = read_page(connection, ALERTS, {"desk": found["name"]}, limit=10)
    return render(
        request,
        "agents.html",
        page="agents",
        title=f"Agents of {found['name']}",
        found=found,
        rows=rows,
        alerts=alerts,
        labels=[found["market_label"], f"{found['clock']} clock"],
    )


@router.get("/agents/ticks")
def ticks(request: Request) -> Response:
    """Show the ticks of agents."""
    return render_list(request, TICKS, page="agents")


@router.post("/agents/{action}")
async def steer(request: Request, action: str) -> Response:
    """Let an agent rest, or go on."""
    form = await read_form(request)
    desk, agent = form.get("desk", ""), form.get("agent", "")
    if action not in ("pause", "resume"):
        raise Refused(f"{action} is nothing that an agent does; pause, resume")
    reason = form.get("reason", "").strip()[:300] if action == "pause" else None
    if reason == "":
        raise Refused("say in a few words why the agent is to rest")
    sources = sources_of(request)

    def do() -> tuple[str, str | None]:
        told = pause_agent(sources.store, agent, reason, desk=desk, at=sources.now())
        return told, f"/agents?desk={desk}"

    return await act(
        request,
        form,
        action=action,
        subject=f"agent {agent} of {desk}",
        parameters={"reason": reason},
        do=do,
    )


def _agents(connection: Any, found: Row) -> list[Row]:
    """Return an agent each: its state, what its ticks came to, and the newest one."""
    newest = (
        select(
            AgentTickRow.agent,
            AgentTickRow.outcome,
            func.count().label("count"),
            func.max(AgentTickRow.position).label("position"),
        )
        .where(AgentTickRow.desk == found["name"])
        .group_by(AgentTickRow.agent, AgentTickRow.outcome)
        .subquery()
    )
    query = (
        select(
            AgentStateRow.agent,
            AgentStateRow.state,
            newest.c.outcome,
            newest.c.count,
            newest.c.position,
            AgentTickRow.due_at,
            AgentTickRow.reason,
        )
        .outerjoin(newest, newest.c.agent == AgentStateRow.agent)
        .outerjoin(
            AgentTickRow,
            and_(
                AgentTickRow.desk == AgentStateRow.desk,
                AgentTickRow.agent == newest.c.agent,
                AgentTickRow.position == newest.c.position,
            ),
        )
        .where(AgentStateRow.desk == found["name"])
        .order_by(AgentStateRow.agent, newest.c.position)
    )
    now = seconds(found["seen_until"])
    tasks = (found["schedule"] or {}).get("tasks") or {}
    rows: dict[str, Row] = {}
    for one in connection.execute(query):
        row = rows.setdefault(one.agent, {"agent": one.agent, "counts": Counter()})
        if "health" not in row:
            given = {key: value for key, value in one.state.items() if key != "seen_until"}
            state = AgentState(**given)
            row |= {
                "health": None if state.is_new else state.health(now),
                "paused": state.paused,
                "interval": timedelta(seconds=state.interval),
                "conditions": conditions_told((tasks.get(one.agent) or {}).get("conditions") or {}),
            }
        if one.outcome is not None:
            row["counts"][one.outcome] += one.count
            # In the order of their newest tick, so the last one stays.
            row |= {"last": one.outcome, "due_at": one.due_at, "reason": one.reason}
    for row in rows.values():
        due = row.get("due_at")
        row["next"] = None if due is None else due + row["interval"]
    return list(rows.values())


def conditions_told(given: Mapping[str, Any]) -> list[str]:
    """Return the conditions of a schedule in words."""
    told = []
    for key, condition in given.items():
        name, unknown, value = key.replace("_", " "), "", condition
        if isinstance(condition, dict):
            unknown = " or unknown" if condition.get("on_unknown") == "allow" else ""
            value = condition.get("is")
        if isinstance(value, bool):
            told.append(f"{name if value else f'no {name}'}{unknown}")
        elif isinstance(value, int | float):
            told.append(f"{name} of {value:g} or more{unknown}")
        elif isinstance(value, list):
            told.append(f"{name} {' or '.join(map(str, value))}{unknown}")
        else:
            told.append(f"{name} {str(value).replace('_', ' ')}{unknown}")
    return told
