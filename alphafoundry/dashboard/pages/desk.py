"""Desk: what it holds, risks and earns; what would stop it; why an order was made."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from sqlalchemy import and_, func, select
from starlette.responses import Response

from alphafoundry.agents.control import change_desk
from alphafoundry.agents.status import why
from alphafoundry.dashboard.asking import (
    MissingPage,
    Refused,
    act,
    read_form,
    require,
    sources_of,
)
from alphafoundry.dashboard.charts import Chart, seconds_of
from alphafoundry.dashboard.rendering import render, render_list
from alphafoundry.dashboard.sources import Sources
from alphafoundry.dashboard.tables import (
    Column,
    Filter,
    Given,
    Row,
    Table,
    equal,
    read_page,
    since,
)
from alphafoundry.store.agent_tables import AgentDeskRow, AgentTickRow, ControlDecisionRow
from alphafoundry.store.agents import IS_COUNTERFACTUAL
from alphafoundry.store.desk_tables import (
    BalanceRow,
    DeskRow,
    FillRow,
    LimitVersionRow,
    MarkRow,
    OrderRow,
)
from alphafoundry.store.performance_tables import ExplanationRow, PerformanceRow
from alphafoundry.trading.money import MONEY, PRICE, SHARE

router = APIRouter()

MODES = {"resume": "ACTIVE", "halt": "HALTED"}
SHOWN_HOLDINGS = 12
SESSIONS_SHOWN = 20

_SHARE, _PRICE, _MONEY = 1.0 * SHARE, 1.0 * PRICE, 1.0 * MONEY

ORDERS = Table(
    name="orders",
    title="Orders",
    columns=(
        Column("id", "row", "integer", of=OrderRow.id, hidden=True, sorts=True),
        Column("desk", "desk", of=DeskRow.name, hidden=True),
        Column(
            "sequence",
            "order",
            "integer",
            of=OrderRow.sequence,
            link="/desk/why?desk={desk}&what={sequence}",
        ),
        Column("session", "session", "day", of=OrderRow.session),
        Column("side", "side", of=OrderRow.side),
        Column("symbol", "name", of=OrderRow.symbol),
        Column("quantity", "shares", "quantity", of=OrderRow.quantity / _SHARE),
        Column("filled", "filled", "quantity", of=OrderRow.filled / _SHARE),
        Column("reference", "at", "number", of=OrderRow.reference_price / _PRICE),
        Column("status", "status", "status", of=OrderRow.status),
        Column("reason", "reason", of=OrderRow.reason),
        Column("reduce_only", "only reduces", "yes", of=OrderRow.reduce_only),
        Column("intended_at", "intended", "time", of=OrderRow.intended_at),
    ),
    source=OrderRow.__table__.join(DeskRow.__table__, DeskRow.id == OrderRow.desk_id),
    keys=(OrderRow.id,),
    order="-id",
    empty="No order matches. `make desk` lets a desk trade five sessions of a generated market.",
    filters=(
        Filter("desk", "desk", equal(DeskRow.name)),
        Filter("symbol", "name", equal(OrderRow.symbol)),
        Filter("status", "status", equal(OrderRow.status)),
        Filter("since", "since", since(OrderRow.session), hint="2026-11-30"),
    ),
)
FILLS = Table(
    name="fills",
    title="Fills",
    columns=(
        Column("at", "at", "time", of=FillRow.at, sorts=True),
        Column("desk_id", "desk", "integer", of=FillRow.desk_id, hidden=True),
        Column("broker_fill_id", "fill", "code", of=FillRow.broker_fill_id, hidden=True),
        Column("symbol", "name", of=FillRow.symbol),
        Column("side", "side", of=FillRow.side),
        Column("quantity", "shares", "quantity", of=FillRow.quantity / _SHARE),
        Column("price", "price", "number", of=FillRow.price / _PRICE),
        Column("bust_at", "broken", "time", of=FillRow.bust_at),
    ),
    source=FillRow.__table__.join(DeskRow.__table__, DeskRow.id == FillRow.desk_id),
    keys=(FillRow.desk_id, FillRow.broker_fill_id),
    order="-at",
    empty="Nothing was filled.",
    filters=(
        Filter("desk", "desk", equal(DeskRow.name)),
        Filter("symbol", "name", equal(FillRow.symbol)),
    ),
)
_NEWEST_MARK = (
    select(MarkRow.desk_id, MarkRow.symbol, func.max(MarkRow.session).label("session"))
    .group_by(MarkRow.desk_id, MarkRow.symbol)
    .subquery()
)
_HELD = (
    BalanceRow.__table__.join(DeskRow.__table__, DeskRow.id == BalanceRow.desk_id)
    .outerjoin(
        _NEWEST_MARK,
        and_(
            _NEWEST_MARK.c.desk_id == BalanceRow.desk_id,
            _NEWEST_MARK.c.symbol == BalanceRow.symbol,
        ),
    )
    .outerjoin(
        MarkRow.__table__,
        and_(
            MarkRow.desk_id == BalanceRow.desk_id,
            MarkRow.symbol == BalanceRow.symbol,
            MarkRow.session == _NEWEST_MARK.c.session,
        ),
    )
)
_WORTH = BalanceRow.quantity / _SHARE * MarkRow.price / _PRICE
HOLDINGS = Table(
    name="holdings",
    title="Holdings",
    columns=(
        Column("symbol", "name", of=BalanceRow.symbol, sorts=True),
        Column("shares", "shares", "quantity", of=BalanceRow.quantity / _SHARE),
        Column("price", "price", "number", of=MarkRow.price / _PRICE),
        Column("worth", "worth", "dollars", of=_WORTH, sorts=True),
        Column("size", "size", "dollars", of=func.abs(_WORTH), hidden=True, sorts=True),
        Column("cost", "paid", "dollars", of=BalanceRow.amount / _MONEY),
        Column("session", "marked", "day", of=MarkRow.session),
    ),
    source=_HELD,
    keys=(BalanceRow.symbol,),
    order="-size",
    empty="It holds nothing.",
    filters=(Filter("desk", "desk", equal(DeskRow.name)),),
    where=lambda given: [BalanceRow.account == "position", BalanceRow.quantity != 0],
)


def _in_dollars(state: Any, connection: Any, rows: list[Row]) -> None:
    """Give the parts of a session's PnL in dollars."""
    for row in rows:
        row["parts"] = {name: amount / _MONEY for name, amount in (row["parts"] or {}).items()}


SESSIONS = Table(
    name="sessions",
    title="Sessions",
    columns=(
        Column("desk", "desk", of=PerformanceRow.desk, hidden=True),
        Column("session", "session", "day", of=PerformanceRow.session, sorts=True),
        Column("worth", "worth", "dollars", of=PerformanceRow.net_asset_value / _MONEY),
        Column("pnl", "earned", "dollars", of=PerformanceRow.pnl / _MONEY, sorts=True),
        Column("traded", "traded", "dollars", of=PerformanceRow.traded / _MONEY),
        Column("gross", "gross", "dollars", of=PerformanceRow.gross / _MONEY),
        Column("net", "net", "dollars", of=PerformanceRow.net / _MONEY),
        Column("benchmark", "market", "percent", of=PerformanceRow.benchmark),
        Column("parts", "because of", "parts", of=PerformanceRow.parts),
        Column("synthetic", "SYNTHETIC", "yes", of=PerformanceRow.synthetic),
    ),
    source=PerformanceRow.__table__,
    keys=(PerformanceRow.desk, PerformanceRow.session),
    order="-session",
    empty="No session has closed yet.",
    filters=(Filter("desk", "desk", equal(PerformanceRow.desk)),),
    later=_in_dollars,
)
DECISIONS = Table(
    name="decisions",
    title="Decisions",
    columns=(
        Column("id", "number", "integer", of=ControlDecisionRow.id, hidden=True),
        Column("at", "at", "time", of=ControlDecisionRow.at),
        Column("desk", "desk", of=ControlDecisionRow.desk, hidden=True),
        Column("actor", "who", of=ControlDecisionRow.actor),
        Column("subject", "about", of=ControlDecisionRow.subject),
        Column("before", "before", of=ControlDecisionRow.before),
        Column("after", "after", of=ControlDecisionRow.after),
        Column("reason", "why", of=ControlDecisionRow.reason),
        Column("undo", "undo", "code", of=ControlDecisionRow.undo),
    ),
    source=ControlDecisionRow.__table__,
    keys=(ControlDecisionRow.id,),
    order="-id",
    empty="Nobody has changed anything about it.",
    filters=(Filter("desk", "desk", equal(ControlDecisionRow.desk)),),
)
TABLES = (ORDERS, FILLS, HOLDINGS, SESSIONS, DECISIONS)
OF_DESK = {one.name: one for one in TABLES}


@router.get("/desk")
def desk(request: Request, desk: str = "") -> Response:
    """Show a desk: state, what would stop it, holdings, sessions, what was decided."""
    sources = sources_of(request)
    with sources.connect("store") as connection:
        found, others = read_desk(connection, desk)
        if found is None:
            return render(request, "desk.html", page="desk", title="Desk", found=None, labels=[])
        name = found["name"]
        holdings = read_page(connection, HOLDINGS, {"desk": name}, limit=SHOWN_HOLDINGS)
        sessions = read_page(connection, SESSIONS, {"desk": name}, limit=SESSIONS_SHOWN)
        _in_dollars(request.app.state, connection, sessions.rows)
    return render(
        request,
        "desk.html",
        page="desk",
        title=f"Desk {name}",
        found=found,
        others=others,
        holdings=holdings,
        sessions=sessions,
        stops=what_would_stop(found),
        labels=[
            found["market_label"],
            f"{found['clock']} clock, bars to {found['data_until']}",
            *(
                [f"a counterfactual: {found['like']} without {' and '.join(found['without'])}"]
                if found["without"]
                else []
            ),
        ],
    )


@router.get("/desk/drift")
def drift(request: Request, desk: str = "") -> Response:
    """Show what each strategy earned beside what its backtest says, and what was explained."""
    sources = sources_of(request)
    with sources.connect("store") as connection:
        found = require_desk(connection, desk)
        rows = connection.execute(
            select(PerformanceRow.session, PerformanceRow.drift, PerformanceRow.sectors)
            .where(PerformanceRow.desk == found["name"])
            .order_by(PerformanceRow.session.desc())
            .limit(250)
        ).all()
        told = connection.execute(
            select(*ExplanationRow.__table__.columns)
            .where(ExplanationRow.desk == found["name"])
            .order_by(ExplanationRow.session.desc(), ExplanationRow.kind)
            .limit(9)
        ).all()
    total: dict[str, dict[str, float]] = {}
    for row in rows:
        for strategy, parts in row.drift.items():
            own = total.setdefault(strategy, {})
            for part, amount in parts.items():
                own[part] = own.get(part, 0.0) + amount / MONEY
    columns = list(dict.fromkeys(part for parts in total.values() for part in parts))
    return render(
        request,
        "drift.html",
        page="desk",
        title=f"Drift of desk {found['name']}",
        found=found,
        total=total,
        columns=columns,
        count=len(rows),
        told=told,
        labels=[found["market_label"]],
    )


@router.get("/desk/why")
def explain(request: Request, desk: str = "", what: str = "") -> Response:
    """Say why an order was made, or what became of an agent's tick."""
    sources = sources_of(request)
    if desk or what:
        with sources.connect("store") as connection:
            require_desk(connection, desk)
    lines = list(why(sources.store, what, desk or None)) if what else []
    return render(request, "why.html", page="desk", title="Why", lines=lines, what=what, desk=desk)


@router.get("/desk/decisions")
def decisions(request: Request, desk: str = "") -> Response:
    """Show what was changed about a desk, by whom and why."""
    return render_list(request, DECISIONS, page="desk", title=f"Decisions about {desk or 'desks'}")


@router.get("/desk/{what}")
def of_desk(request: Request, what: str) -> Response:
    """Show a table of a desk: orders, fills, holdings, sessions."""
    if what not in OF_DESK:
        raise MissingPage(f"a desk has no {what}; {', '.join(OF_DESK)}")
    return render_list(request, OF_DESK[what], page="desk")


@router.post("/desk/{action}")
async def steer(request: Request, action: str) -> Response:
    """Halt a desk, or let it go on."""
    form = await read_form(request)
    if action not in MODES:
        raise Refused(f"{action} is nothing that a desk does; {', '.join(MODES)}")
    name, reason = form.get("desk", ""), form.get("reason", "").strip()[:300]
    if action == "halt" and not reason:
        raise Refused("say in a few words why the desk is to halt")
    sources = sources_of(request)

    def do() -> tuple[str, str | None]:
        told = change_desk(
            sources.store,
            "HALTED" if action == "halt" else "ACTIVE",
            reason or "resumed",
            desk=name,
            at=sources.now(),
        )
        return told, f"/desk?desk={name}"

    return await act(
        request,
        form,
        action=action,
        subject=f"desk {name}",
        parameters={"reason": reason},
        do=do,
    )


def read_desk(connection: Any, name: str) -> tuple[Row | None, list[str]]:
    """Return a desk with its account and newest risk, and all names, counterfactuals last.

    name : "" is the newest that is no counterfactual of another
    """
    risk = (
        select(AgentTickRow.result)
        .where(
            AgentTickRow.desk == AgentDeskRow.name,
            AgentTickRow.agent == "risk_management",
            AgentTickRow.outcome == "ran",
        )
        .order_by(AgentTickRow.position.desc())
        .limit(1)
        .scalar_subquery()
    )
    limits = (
        select(LimitVersionRow.limits)
        .where(LimitVersionRow.desk_id == DeskRow.id)
        .order_by(LimitVersionRow.version.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            AgentDeskRow.name,
            AgentDeskRow.clock,
            AgentDeskRow.market_label,
            AgentDeskRow.created_at,
            AgentDeskRow.began_at,
            AgentDeskRow.seen_until,
            AgentDeskRow.ticks,
            AgentDeskRow.mode,
            AgentDeskRow.mode_actor,
            AgentDeskRow.mode_reason,
            AgentDeskRow.data_until,
            AgentDeskRow.schedule,
            AgentDeskRow.run_id,
            AgentDeskRow.settings["like"].as_string().label("like"),
            AgentDeskRow.settings["without"].label("without"),
            DeskRow.state,
            DeskRow.state_reason,
            DeskRow.synthetic,
            DeskRow.broker,
            DeskRow.reconciled_at,
            risk.label("risk"),
            limits.label("limits"),
        )
        .outerjoin(DeskRow, DeskRow.name == AgentDeskRow.name)
        .order_by(IS_COUNTERFACTUAL, AgentDeskRow.created_at.desc(), AgentDeskRow.name.desc())
        .limit(50)
    )
    if name:
        query = query.where(AgentDeskRow.name == name)
    rows = [dict(row._mapping) for row in connection.execute(query)]
    if not rows and name:
        raise MissingPage(f"there is no desk {name!r}")
    return (rows[0] if rows else None), [row["name"] for row in rows]


def require_desk(connection: Any, name: str) -> Row:
    """Return a desk as `read_desk` does; raise MissingPage where there is none."""
    found, _ = read_desk(connection, name)
    if found is None:
        raise MissingPage("there is no desk yet: `make desk`")
    return found


def what_would_stop(found: Row) -> list[tuple[str, float | None, float, str, str]]:
    """Return (measure, now, limit, what happens there, kind) for each limit of the desk's risk."""
    risk = found["risk"] or {}
    limits = ((found["schedule"] or {}).get("desk") or {}).get("risk") or {}
    named = (
        ("value_at_risk", "var", "value at risk, 99 %, one day", "it only reduces"),
        ("gross", "gross", "gross exposure", "it only reduces"),
        ("net", "net", "net exposure", "it only reduces"),
        ("beta", "beta", "beta to the market", "it only reduces"),
        ("stress", "stress", "loss in the worst scenario", "it only reduces"),
        ("drawdown", "drawdown", "fall from the peak", "it only reduces"),
        ("halt_drawdown", "drawdown", "fall from the peak", "it halts"),
    )
    return [
        (label, None if risk.get(key) is None else abs(risk[key]), float(limits[limit]), then, kind)
        for limit, key, label, then in named
        for kind in ("number" if key == "beta" else "percent",)
        if isinstance(limits.get(limit), int | float)
    ]


def worth_chart(sources: Sources, given: Given) -> Chart:
    """Return what a desk is worth in the evening of each session."""
    name = given.get("desk", "")
    with sources.connect("store") as connection:
        rows = connection.execute(
            select(PerformanceRow.session, PerformanceRow.net_asset_value, PerformanceRow.synthetic)
            .where(PerformanceRow.desk == name)
            .order_by(PerformanceRow.session)
        ).all()
        if not rows:
            require(connection, AgentDeskRow.name == name, f"desk {name!r}")
    days = np.array([row.session for row in rows], dtype="datetime64[D]")
    values = np.array([row.net_asset_value / MONEY for row in rows])
    return Chart(
        "Worth of the desk",
        seconds_of(days),
        {"worth": values},
        unit="dollars",
        note="SYNTHETIC prices" if rows and rows[-1].synthetic else "",
    )


CHARTS = {"worth": worth_chart}
