"""Algorithms: who leads, on which days, from which prompt; one algorithm; one race."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
from fastapi import APIRouter, Request
from sqlalchemy import select
from starlette.responses import Response

from alphafoundry.dashboard.asking import (
    MissingPage,
    given_of,
    require,
    row_number,
    sources_of,
)
from alphafoundry.dashboard.charts import Chart
from alphafoundry.dashboard.evidence import Sureness
from alphafoundry.dashboard.rendering import render
from alphafoundry.dashboard.sources import Sources
from alphafoundry.dashboard.tables import (
    Column,
    Filter,
    Given,
    Row,
    Table,
    contains,
    equal,
    read_page,
    whole_number,
)
from alphafoundry.evidence import moments, null_deviation
from alphafoundry.store import AlgorithmRow, ModelRequestRow, RaceResultRow, RunRow, count_raced
from alphafoundry.store.tables import AlgorithmStatus

router = APIRouter()

DRAWN = 8

ALGORITHMS = Table(
    name="algorithms",
    title="Algorithms",
    columns=(
        Column("id", "number", "integer", of=AlgorithmRow.id, link="/algorithms/{id}", sorts=True),
        Column("model", "model", of=AlgorithmRow.model, link="/algorithms/{id}"),
        Column("provider", "provider", of=AlgorithmRow.provider),
        Column("status", "status", "status", of=AlgorithmRow.status),
        Column("signature", "signature", of=AlgorithmRow.signature),
        Column("candidate", "candidate", "yes", of=AlgorithmRow.candidate),
        Column("reason", "why not", of=AlgorithmRow.reason),
        Column("label", "written by", of=AlgorithmRow.label),
        Column("prompt_version", "prompt", "code", of=AlgorithmRow.prompt_version),
        Column("run_id", "race", "integer", of=AlgorithmRow.run_id, link="/races/{run_id}"),
        Column("created_at", "asked", "time", of=AlgorithmRow.created_at, sorts=True),
    ),
    source=AlgorithmRow.__table__,
    keys=(AlgorithmRow.id,),
    order="-id",
    empty="No model has been asked for an algorithm. `make algorithms` asks and races some; "
    "without a key or Ollama it takes TEMPLATE ones.",
    filters=(
        Filter("model", "model", equal(AlgorithmRow.model)),
        Filter(
            "status",
            "status",
            equal(AlgorithmRow.status),
            choices=get_args(AlgorithmStatus),
        ),
        Filter("q", "source has", contains(AlgorithmRow.source), hint="np.diff"),
        Filter("run", "race", equal(AlgorithmRow.run_id)),
    ),
)
RACES = Table(
    name="races",
    title="Results of races",
    columns=(
        Column("id", "number", "integer", of=RaceResultRow.id, hidden=True, sorts=True),
        Column("run_id", "race", "integer", of=RaceResultRow.run_id, link="/races/{run_id}"),
        Column("rank", "rank", "integer", of=RaceResultRow.rank),
        Column("name", "algorithm", of=RaceResultRow.name),
        Column("algorithm_id", "number", "integer", of=RaceResultRow.algorithm_id, hidden=True),
        Column("sharpe", "Sharpe ratio and evidence", "sharpe", of=RaceResultRow.sharpe),
        Column("total_return", "return", "percent", of=RaceResultRow.total_return),
        Column("drawdown", "drawdown", "percent", of=RaceResultRow.drawdown),
        Column("trades", "trades", "integer", of=RaceResultRow.trades),
        Column("failure", "out because", of=RaceResultRow.failure),
        Column("market_id", "market", of=RaceResultRow.market_id, hidden=True),
        Column("statistics", "statistics", of=RaceResultRow.statistics, hidden=True),
        Column("at", "at", "time", of=RaceResultRow.at),
    ),
    source=RaceResultRow.__table__,
    keys=(RaceResultRow.id,),
    order="-id",
    empty="Nothing was raced yet: `make algorithms`.",
    filters=(Filter("run", "race", equal(RaceResultRow.run_id)),),
    later=lambda state, connection, rows: add_luck(state, rows),
)
TABLES = (ALGORITHMS, RACES)


def add_luck(state: Any, rows: list[Row]) -> None:
    """Give each row of races band and deflated Sharpe ratio, from its equity."""
    counts = {
        market: max(count_raced(state.sources.store, market), 1)
        for market in {row["market_id"] for row in rows}
    }
    for row in rows:
        trials = counts[row["market_id"]] if row["algorithm_id"] is not None else 1
        row.update(_luck(row, trials))


def _luck(row: Row, trials: int) -> Row:
    beside: Row = {"low": None, "high": None, "dsr": None, "trials": trials, "verdict": None}
    equity = np.array((row["statistics"] or {}).get("equity") or [], dtype=float)
    if row["failure"] or len(equity) < 30 or not np.isfinite(equity).all() or equity.min() <= 0:
        return beside
    if row["sharpe"] is None or row["total_return"] is None:
        return beside
    # Equity is that of evenings: without the cash before the first day its return would be missing.
    worth = np.concatenate(([equity[-1] / (1.0 + row["total_return"])], equity))
    returns = np.diff(worth) / worth[:-1]
    found = moments(returns)
    if not math.isfinite(found.sharpe) or found.sharpe == 0:
        return beside
    year = abs(row["sharpe"] / found.sharpe)
    sure = Sureness(found, float(null_deviation(returns)), year)
    low, high = sure.band
    return beside | {"low": low, "high": high, "dsr": sure.deflated(trials)}


@router.get("/algorithms")
def algorithms(request: Request) -> Response:
    """Show the newest race and every algorithm that was asked for."""
    sources = sources_of(request)
    with sources.connect("store") as connection:
        newest = (
            select(RaceResultRow.run_id).order_by(RaceResultRow.id.desc()).limit(1)
        ).scalar_subquery()
        board = _board(connection, newest)
        page = read_page(connection, ALGORITHMS, given_of(request))
    add_luck(request.app.state, board)
    return render(
        request, "algorithms.html", page="algorithms", title="Algorithms", board=board, table=page
    )


@router.get("/races/{number}")
def race(request: Request, number: int) -> Response:
    """Show one race: its leader board and how equity went."""
    sources = sources_of(request)
    with sources.connect("store") as connection:
        board = _board(connection, row_number(number))
        found = connection.execute(
            select(RunRow.id, RunRow.started_at, RunRow.report).where(
                RunRow.id == row_number(number)
            )
        ).one_or_none()
    if found is None or not board:
        raise MissingPage(f"run {number} is no race")
    add_luck(request.app.state, board)
    report = found.report or {}
    return render(
        request,
        "race.html",
        page="algorithms",
        title=f"Race {number}",
        run=found,
        board=board,
        report=report,
        labels=[board[0]["market_label"], str(report.get("kept_apart") or "")],
    )


@router.get("/algorithms/{number}")
def algorithm(request: Request, number: int) -> Response:
    """Show one algorithm: source, prompt, answer, requests, how it raced."""
    sources = sources_of(request)
    with sources.connect("store") as connection:
        found = connection.execute(
            select(*AlgorithmRow.__table__.columns).where(AlgorithmRow.id == row_number(number))
        ).one_or_none()
        if found is None:
            raise MissingPage(f"there is no algorithm {number}")
        raced = [
            dict(row._mapping)
            for row in connection.execute(
                select(*RaceResultRow.__table__.columns)
                .where(RaceResultRow.algorithm_id == found.id)
                .order_by(RaceResultRow.id.desc())
                .limit(20)
            )
        ]
        requests = connection.execute(
            select(*ModelRequestRow.__table__.columns)
            .where(
                ModelRequestRow.run_id == found.run_id,
                ModelRequestRow.model == found.model,
            )
            .order_by(ModelRequestRow.id)
            .limit(30)
        ).all()
    add_luck(request.app.state, raced)
    return render(
        request,
        "algorithm.html",
        page="algorithms",
        title=f"Algorithm {number} of {found.model}",
        row=found,
        raced=raced,
        requests=requests,
        labels=sorted({one["market_label"] for one in raced}),
    )


def _board(connection: Any, number: Any) -> list[Row]:
    rows = connection.execute(
        select(*RaceResultRow.__table__.columns)
        .where(RaceResultRow.run_id == number)
        .order_by(RaceResultRow.rank.is_(None), RaceResultRow.rank, RaceResultRow.id)
        .limit(200)
    )
    return [dict(row._mapping) for row in rows]


def equity_chart(sources: Sources, given: Given) -> Chart:
    """Return the equity of the best algorithms of a race, or of one algorithm, day by day."""
    number = row_number(whole_number(given.get("run", "0")))
    with sources.connect("store") as connection:
        board = _board(connection, number)
        if not board:
            require(connection, RunRow.id == number, f"run {number}")
    chosen = given.get("algorithm")
    if chosen:
        board = [row for row in board if str(row["algorithm_id"]) in (chosen, "None")]
    lines = {
        row["name"]: np.array(row["statistics"].get("equity") or [], dtype=float)
        for row in board
        if not row["failure"]
    }
    lines = dict([one for one in lines.items() if len(one[1])][:DRAWN])
    days = max((len(one) for one in lines.values()), default=0)
    return Chart(
        "Equity by day of the race",
        np.arange(days, dtype=float),
        {
            name: np.concatenate([values, np.full(days - len(values), np.nan)])
            for name, values in lines.items()
        },
        axis="number",
        x_name="day",
        unit="dollars",
        note=board[0]["market_label"] if board else "",
    )


CHARTS = {"equity": equity_chart}
