"""Data: how fresh is what one looks at, and is it real."""

from __future__ import annotations

from typing import Any, get_args

from fastapi import APIRouter, Request
from sqlalchemy import Integer, Text, column, func, select, text
from sqlalchemy import table as table_of
from starlette.responses import Response

from alphafoundry.dashboard.asking import given_of, sources_of
from alphafoundry.dashboard.facts import STALE_DAYS, trading_days_since
from alphafoundry.dashboard.rendering import render
from alphafoundry.dashboard.sources import NothingYet
from alphafoundry.dashboard.tables import (
    Column,
    Filter,
    Page,
    Table,
    contains,
    equal,
    read_page,
)
from alphafoundry.market.feed import Source
from alphafoundry.store import DataVersionRow, MarketRow, OpeningRow
from alphafoundry.store.tables import MarketSplitRow

router = APIRouter()
CHARTS: dict[str, Any] = {}

_FETCHES = table_of(
    "data_fetches",
    *(column(name, Text) for name in ("at", "source", "label", "why")),
    *(column(name, Integer) for name in ("id", "ok", "bars")),
)
FETCHES = Table(
    name="fetches",
    title="Calls of sources of bars",
    database="feed",
    columns=(
        Column("id", "number", "integer", of=_FETCHES.c.id, hidden=True, sorts=True),
        Column("at", "at", "time", of=_FETCHES.c.at),
        Column("source", "source", of=_FETCHES.c.source),
        Column("label", "what", of=_FETCHES.c.label),
        Column("ok", "answered", "yes", of=_FETCHES.c.ok),
        Column("bars", "bars", "integer", of=_FETCHES.c.bars),
        Column("why", "why not", of=_FETCHES.c.why),
    ),
    source=_FETCHES,
    keys=(_FETCHES.c.id,),
    order="-id",
    empty="No source was called: the process market_data of `make up` does so every two minutes.",
    filters=(
        Filter(
            "source",
            "source",
            equal(_FETCHES.c.source),
            choices=get_args(Source),
        ),
        Filter(
            "ok",
            "answered",
            lambda text: _FETCHES.c.ok == int(text == "yes"),
            choices=("yes", "no"),
        ),
        Filter("q", "reason has", contains(_FETCHES.c.why)),
    ),
)
VERSIONS = Table(
    name="versions",
    title="Data versions",
    columns=(
        Column("market_id", "market", "code", of=DataVersionRow.market_id),
        Column(
            "label",
            "what it is",
            of=func.coalesce(DataVersionRow.label, MarketRow.label),
        ),
        Column("fingerprint", "content", "code", of=DataVersionRow.fingerprint),
        Column("first_day", "from", "day", of=DataVersionRow.first_day),
        Column("last_day", "to", "day", of=DataVersionRow.last_day),
        Column("seen_at", "seen", "time", of=DataVersionRow.seen_at, sorts=True),
    ),
    source=DataVersionRow.__table__.outerjoin(
        MarketRow.__table__, MarketRow.id == DataVersionRow.market_id
    ),
    keys=(DataVersionRow.market_id, DataVersionRow.fingerprint),
    order="-seen_at",
    empty="No run has worked on a market yet: `make daily`.",
    filters=(Filter("market", "market", equal(DataVersionRow.market_id)),),
)
TABLES = (FETCHES, VERSIONS)


@router.get("/data")
def data(request: Request) -> Response:
    """Show markets, their days, and where the newest bars came from."""
    sources = sources_of(request)
    today = sources.now().date()
    with sources.connect("store") as connection:
        last = (
            select(
                DataVersionRow.market_id,
                func.max(DataVersionRow.last_day).label("last"),
                func.min(DataVersionRow.first_day).label("first"),
                func.count().label("versions"),
            )
            .group_by(DataVersionRow.market_id)
            .subquery()
        )
        opened = (
            select(OpeningRow.market_id, func.count().label("openings"))
            .where(OpeningRow.opened_at.is_not(None))
            .group_by(OpeningRow.market_id)
            .subquery()
        )
        markets = [
            dict(row._mapping)
            for row in connection.execute(
                select(
                    *MarketRow.__table__.columns,
                    last.c.first,
                    last.c.last,
                    last.c.versions,
                    MarketSplitRow.search_to,
                    MarketSplitRow.sealed_from,
                    func.coalesce(opened.c.openings, 0).label("openings"),
                )
                .outerjoin(last, last.c.market_id == MarketRow.id)
                .outerjoin(MarketSplitRow, MarketSplitRow.market_id == MarketRow.id)
                .outerjoin(opened, opened.c.market_id == MarketRow.id)
                .order_by(MarketRow.created_at.desc())
                .limit(50)
            )
        ]
        versions = read_page(connection, VERSIONS, given_of(request), limit=20)
    for row in markets:
        row["synthetic"] = row["label"].startswith("SYNTHETIC")
        row["old"] = (
            None
            if row["synthetic"] or row["last"] is None
            else trading_days_since(row["last"], today)
        )
        row["stale"] = row["old"] is not None and row["old"] > STALE_DAYS
    status, bars, fetches = _feed(request)
    return render(
        request,
        "data.html",
        page="data",
        title="Data",
        markets=markets,
        versions=versions,
        moment_of_market=status,
        bars=bars,
        fetches=fetches,
        labels=sorted({row["label"] for row in markets if row["synthetic"]}),
    )


def _feed(request: Request) -> tuple[Any, list[Any], Page | None]:
    """Return whether the market is open, the newest bars by source, and calls of sources."""
    sources = sources_of(request)
    try:
        with sources.connect("feed") as connection:
            found = connection.execute(
                text(
                    "SELECT s.source, count(DISTINCT s.symbol) AS names, min(s.day) AS first, "
                    "max(s.day) AS last, max(s.fetched_at) AS fetched, m.at, m.open, m.mode, "
                    "m.next_change, m.half_day FROM feed_bars s LEFT JOIN market_status m "
                    "ON m.id = (SELECT max(id) FROM market_status) GROUP BY s.source"
                )
            ).all()
            return (
                (found[0] if found else None),
                list(found),
                read_page(connection, FETCHES, given_of(request), limit=20),
            )
    except NothingYet:
        return None, [], None
