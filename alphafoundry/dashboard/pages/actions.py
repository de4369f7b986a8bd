"""What was asked for on these pages, and what came of it; the settings of a browser."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import select
from starlette.responses import Response

from alphafoundry.dashboard.asking import MissingPage, row_number, sources_of
from alphafoundry.dashboard.rendering import render, render_list
from alphafoundry.dashboard.tables import Column, Filter, Table, equal
from alphafoundry.store.mark_tables import ActionRow

router = APIRouter()
CHARTS: dict[str, Any] = {}

ACTIONS = Table(
    name="actions",
    title="What was asked for",
    columns=(
        Column("id", "number", "integer", of=ActionRow.id, link="/actions/{id}", sorts=True),
        Column("at", "at", "time", of=ActionRow.at),
        Column("actor", "by", of=ActionRow.actor),
        Column("action", "action", of=ActionRow.action),
        Column("subject", "of", of=ActionRow.subject),
        Column("parameters", "with", "code", of=ActionRow.parameters),
        Column("status", "status", "status", of=ActionRow.status),
        Column("told", "what came of it", of=ActionRow.told),
    ),
    source=ActionRow.__table__,
    keys=(ActionRow.id,),
    order="-id",
    empty="Nobody has asked for anything on these pages.",
    filters=(
        Filter("action", "action", equal(ActionRow.action)),
        Filter("subject", "of", equal(ActionRow.subject)),
    ),
)
TABLES = (ACTIONS,)


@router.get("/actions")
def actions(request: Request) -> Response:
    """Show what was asked for on these pages."""
    return render_list(request, ACTIONS, page="", back=False)


@router.get("/actions/{number}")
def action(request: Request, number: int) -> Response:
    """Show one action and what came of it."""
    with sources_of(request).connect("store") as connection:
        row = connection.execute(
            select(*ActionRow.__table__.columns).where(ActionRow.id == row_number(number))
        ).one_or_none()
    if row is None:
        raise MissingPage(f"there is no action {number}")
    return render(request, "action.html", page="", title=f"Action {number}", row=row)


@router.get("/settings")
def settings(request: Request) -> Response:
    """Show the settings of this browser: theme, zone, keys, updates."""
    return render(request, "settings.html", page="", title="Settings")
