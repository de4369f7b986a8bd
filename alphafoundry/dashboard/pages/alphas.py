"""Alphas: which are new, good, different, submittable; one alpha; a comparison of up to eight."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from fastapi import APIRouter, Request
from sqlalchemy import String, and_, cast, exists, func, or_, select, tuple_
from starlette.responses import RedirectResponse, Response

from alphafoundry.dashboard.asking import MissingPage, read_form, read_table, require, sources_of
from alphafoundry.dashboard.charts import Array, Chart, seconds_of
from alphafoundry.dashboard.evidence import (
    LABEL,
    NOT_JUDGED,
    EvidenceBook,
    of_data,
    same_alpha,
    select_noted,
)
from alphafoundry.dashboard.rendering import data_to, render
from alphafoundry.dashboard.sources import Sources
from alphafoundry.dashboard.tables import (
    Column,
    Filter,
    Given,
    Row,
    Table,
    WrongFilter,
    at_least,
    at_most,
    contains,
    equal,
    since,
)
from alphafoundry.evidence.sharpe import NOISE
from alphafoundry.market.frequency import bars_a_year
from alphafoundry.store import (
    AlphaRow,
    DailyPnl,
    DataVersionRow,
    MarketRow,
    OpeningRow,
    RunRow,
    SimulationRow,
    SubmissionRow,
    VerdictRow,
    read_daily_pnl,
)
from alphafoundry.store.daily_pnl import kept_pnl
from alphafoundry.store.desk_tables import DeskRow, OrderRow
from alphafoundry.store.mark_tables import AlphaMarkRow, AlphaTagRow
from alphafoundry.store.marks import mark_alpha
from alphafoundry.store.tables import PnlRow, VerdictName

router = APIRouter()

MOST_COMPARED = 8
SUBMITTING = ("daily", "submit")
"""Flows that choose alphas to submit."""

NEAREST_OF = 500
"""Best alphas of the same prices among which the nearest are sought."""

NEAREST_SHOWN = 8
ORDERS_SHOWN = 20
LONGEST_LINE = 72


def _name(text: str) -> Any:
    """Return the condition that an operator or a field of this name is in the expression."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]{0,60}", text):
        raise ValueError("is no name of a field or an operator")
    bare = re.escape(text)
    return and_(
        AlphaRow.expression.contains(text, autoescape=True),
        AlphaRow.expression.regexp_match(f"(^|[^A-Za-z0-9_]){bare}([^A-Za-z0-9_]|$)"),
    )


def _marked(text: str) -> Any:
    if text == "favourites":
        return exists().where(same_alpha(AlphaMarkRow), AlphaMarkRow.favourite)
    if text == "hopeful":
        return AlphaRow.hopeful
    if text == "submitted":
        return exists().where(same_alpha(SubmissionRow), SubmissionRow.status == "accepted")
    return and_(AlphaRow.hopeful, ~exists().where(same_alpha(SubmissionRow)))


def _judged(text: str) -> Any:
    given = exists().where(same_alpha(VerdictRow), VerdictRow.verdict.is_not(None))
    if text == NOT_JUDGED:
        return ~given
    newest = (
        select(VerdictRow.verdict)
        .where(same_alpha(VerdictRow), VerdictRow.verdict.is_not(None))
        .order_by(VerdictRow.opening_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return newest == text


ALPHAS = Table(
    name="alphas",
    title="Alphas",
    columns=(
        Column("service", "service", of=AlphaRow.service, hidden=True),
        Column(
            "alpha_id",
            "alpha",
            "code",
            of=AlphaRow.alpha_id,
            link="/alpha?service={service}&id={alpha_id}",
        ),
        Column("expression", "expression", "code", of=AlphaRow.expression),
        Column("sharpe", "Sharpe ratio and evidence", "sharpe", of=AlphaRow.sharpe, sorts=True),
        Column("fitness", "fitness", "number", of=AlphaRow.fitness, sorts=True),
        Column("turnover", "turnover", "percent", of=AlphaRow.turnover, sorts=True),
        Column("returns", "returns", "percent", of=AlphaRow.returns, sorts=True),
        Column("drawdown", "drawdown", "percent", of=AlphaRow.drawdown, sorts=True),
        Column("margin", "margin", "number", of=AlphaRow.margin, sorts=True, hidden=True),
        Column("hopeful", "hopeful", "yes", of=AlphaRow.hopeful),
        Column("submission", "submission", "status"),
        Column("created_at", "made", "time", of=AlphaRow.created_at, sorts=True),
        Column("market_id", "market", of=AlphaRow.market_id, hidden=True),
        Column("data_until", "data to", "day", of=AlphaRow.data_until, hidden=True),
        Column("low", "band from", "number", hidden=True),
        Column("high", "band to", "number", hidden=True),
        Column("dsr", "deflated Sharpe ratio", "number", hidden=True),
        Column("trials", "trials", "integer", hidden=True),
        Column("shrunk", "Sharpe ratio to be expected", "number", hidden=True),
        Column("verdict", "verdict", hidden=True),
        Column("sealed", "sealed Sharpe ratio", "number", hidden=True),
        Column("synthetic", "SYNTHETIC", "yes", hidden=True),
    ),
    source=AlphaRow.__table__,
    keys=(AlphaRow.service, AlphaRow.alpha_id),
    order="-created_at",
    counted=True,
    keys_first=True,
    empty="No alpha matches. `make daily` invents, simulates and mines some in a minute; "
    "Runs has a button for it, and `make up` does it for days.",
    filters=(
        Filter("q", "expression has", contains(AlphaRow.expression), hint="rank volume"),
        Filter("name", "field or operator", _name, hint="ts_mean"),
        Filter("sharpe", "Sharpe from", at_least(AlphaRow.sharpe), hint="1.25"),
        Filter("fitness", "fitness from", at_least(AlphaRow.fitness), hint="1"),
        Filter("turnover", "turnover to", at_most(AlphaRow.turnover), hint="0.7"),
        Filter("drawdown", "drawdown to", at_most(AlphaRow.drawdown), hint="0.1"),
        Filter("since", "made since", since(AlphaRow.created_at), hint="2026-11-30"),
        Filter(
            "only", "only", _marked, choices=("hopeful", "favourites", "submitted", "unsubmitted")
        ),
        Filter(
            "verdict",
            "verdict",
            _judged,
            choices=(*get_args(VerdictName), NOT_JUDGED),
        ),
        Filter(
            "tag",
            "tag",
            lambda text: exists().where(same_alpha(AlphaTagRow), AlphaTagRow.tag == text),
        ),
        Filter("id", "alpha", equal(AlphaRow.alpha_id)),
        Filter("service", "service", equal(AlphaRow.service)),
    ),
    later=lambda state, connection, rows: state.evidence.add_to(connection, rows),
)

TABLES = (ALPHAS,)


@router.get("/alphas")
def alphas(request: Request) -> Response:
    """Show alphas by any statistic, with search."""
    page = read_table(request, ALPHAS)
    return render(
        request, "alphas.html", page="alphas", title="Alphas", table=page, most=MOST_COMPARED
    )


@router.get("/alpha")
def alpha(request: Request, service: str = "", id: str = "") -> Response:
    """Show one alpha: what it is, how sure its numbers are, where it comes from and goes."""
    sources = sources_of(request)
    book: EvidenceBook = request.app.state.evidence
    with sources.connect("store") as connection:
        mine = _read_whole(connection, service, id)
        found = dict(mine)
        book.add_to(connection, [found], {(service, id): mine})
        related = _related(connection, service, id)
    return render(
        request,
        "alpha.html",
        page="alphas",
        title=f"Alpha {id}",
        alpha=found,
        tree=indented(found["expression"]),
        labels=[found["label"] or "", data_to(found)],
        mine=mine,
        tags=sorted(mine["tags"].split(",")) if mine["tags"] else [],
        **related,
    )


@router.get("/alpha/nearest")
def nearest(request: Request, service: str = "", id: str = "") -> Response:
    """Show what moves like an alpha, and what its day by day PnL gives by year."""
    sources = sources_of(request)
    book: EvidenceBook = request.app.state.evidence
    with sources.connect("store") as connection:
        own = _read_pnl(sources, connection, service, id)
        near = [] if own is None else _nearest(sources, connection, (service, id), own)
        book.learn({(row["service"], row["alpha_id"]): row.pop("pnl") for row in near})
        book.add_to(connection, near)
    return render(
        request,
        "alpha_nearest.html",
        page="alphas",
        title=f"Alpha {id}: nearest",
        alpha={"service": service, "alpha_id": id},
        nearest=near,
        most=NEAREST_OF,
        years=by_year(own),
    )


@router.post("/alpha/mark")
async def mark(request: Request) -> Response:
    """Keep a person's favourite, tags and note of an alpha."""
    form = await read_form(request)
    service, alpha_id = form.get("service", ""), form.get("id", "")
    await asyncio.to_thread(
        mark_alpha,
        sources_of(request).store,
        service,
        alpha_id,
        favourite=form.get("favourite") == "yes",
        note=form.get("note", "").replace("\r\n", "\n"),
        tags=form.get("tags", "").split(","),
    )
    address = request.url_for("alpha").include_query_params(service=service, id=alpha_id)
    return RedirectResponse(f"{address.path}?{address.query}#mine", 303)


@router.get("/compare")
def compare(request: Request) -> Response:
    """Compare up to eight alphas: PnL, drawdown, correlation, years."""
    wanted = chosen(request.query_params.getlist("a"))
    if not wanted:
        return render(request, "compare.html", page="alphas", title="Compare", rows=[])
    sources = sources_of(request)
    with sources.connect("store") as connection:
        found = {
            (row.service, row.alpha_id): dict(row._mapping)
            for row in connection.execute(
                _select_alpha().where(tuple_(AlphaRow.service, AlphaRow.alpha_id).in_(wanted))
            )
        }
        if missing := [one for one in wanted if one not in found]:
            raise _missing(*missing[0])
        rows = [found[one] for one in wanted]
        request.app.state.evidence.add_to(connection, rows)
    pnl = _pnl_of(sources, [(row["service"], row["alpha_id"]) for row in rows])
    series = [pnl.get((row["service"], row["alpha_id"])) for row in rows]
    years = [dict(by_year(one)) for one in series]
    return render(
        request,
        "compare.html",
        page="alphas",
        title="Compare",
        rows=rows,
        correlation=correlations(series),
        years=sorted({year for one in years for year in one}),
        by_year=years,
        labels=sorted({row["label"] or "" for row in rows}),
    )


def chosen(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the alphas of a comparison, each SERVICE~ID.

    Raises WrongFilter for more than eight, and for what names no alpha.
    """
    if len(texts) > MOST_COMPARED:
        raise WrongFilter(f"a: {len(texts)} alphas; at most {MOST_COMPARED} are compared")
    pairs = [text.rpartition("~") for text in texts]
    if any(not service or not alpha_id for service, _, alpha_id in pairs):
        raise WrongFilter("a: names no alpha; choose some on the page Alphas")
    return list(dict.fromkeys((service, alpha_id) for service, _, alpha_id in pairs))


def _select_alpha() -> Any:
    return (
        select(*(getattr(AlphaRow, one) for one in _OF_ALPHA), LABEL)
        .outerjoin(MarketRow, MarketRow.id == AlphaRow.market_id)
        .outerjoin(DataVersionRow, of_data(DataVersionRow))
    )


_OF_ALPHA = (
    *("service", "alpha_id", "expression", "settings", "sharpe", "fitness", "turnover", "returns"),
    *("drawdown", "margin", "pnl", "long_count", "short_count", "grade", "checks", "hopeful"),
    *("mined_at", "source", "planted", "created_at", "expected_sharpe", "train", "test"),
    *("market_id", "data_version", "data_until"),
)


def _read_pnl(sources: Sources, connection: Any, service: str, alpha_id: str) -> DailyPnl | None:
    """Return the daily PnL of an alpha, None where it is not known."""
    row = connection.execute(
        select(AlphaRow.alpha_id, PnlRow.days, PnlRow.amounts)
        .select_from(AlphaRow)
        .outerjoin(PnlRow, same_alpha(PnlRow))
        .where(AlphaRow.service == service, AlphaRow.alpha_id == alpha_id)
    ).one_or_none()
    if row is None:
        raise _missing(service, alpha_id)
    return None if row.days is None else kept_pnl(sources.store, row)


def _missing(service: str, alpha_id: str) -> MissingPage:
    return MissingPage(f"there is no alpha {alpha_id!r} of {service!r}")


def _require(connection: Any, service: str, alpha_id: str) -> None:
    own = and_(AlphaRow.service == service, AlphaRow.alpha_id == alpha_id)
    require(connection, own, f"alpha {alpha_id!r} of {service!r}")


def _read_whole(connection: Any, service: str, alpha_id: str) -> Row:
    """Return an alpha with its newest verdict, its submission, and what a person noted."""
    tags = select(func.aggregate_strings(AlphaTagRow.tag, ",")).where(same_alpha(AlphaTagRow))
    passed = select(func.max(RunRow.id)).where(
        RunRow.service == AlphaRow.service,
        RunRow.flow.in_(SUBMITTING),
        RunRow.finished_at > AlphaRow.created_at,
    )
    query = select_noted(
        *(getattr(AlphaRow, one) for one in _OF_ALPHA if one not in ("service", "alpha_id")),
        *(getattr(VerdictRow, one) for one in _OF_VERDICT),
        AlphaMarkRow.note,
        SubmissionRow.detail,
        SubmissionRow.settled_at,
        SubmissionRow.run_id,
        OpeningRow.number,
        OpeningRow.level,
        OpeningRow.sealed_from,
        OpeningRow.sealed_to,
        OpeningRow.run_id.label("opening_run"),
        tags.correlate(AlphaRow).scalar_subquery().label("tags"),
        passed.correlate(AlphaRow).scalar_subquery().label("passed_by"),
    ).where(AlphaRow.service == service, AlphaRow.alpha_id == alpha_id)
    rows = connection.execute(query).all()
    if not rows:
        raise _missing(service, alpha_id)
    return dict(rows[-1]._mapping)


def _related(connection: Any, service: str, alpha_id: str) -> dict[str, Any]:
    """Return where an alpha comes from and what became of it."""
    own = and_(SimulationRow.service == service, SimulationRow.alpha_id == alpha_id)
    child = and_(SimulationRow.service == service, SimulationRow.parent_alpha_id == alpha_id)
    simulations = [
        dict(row._mapping)
        for row in connection.execute(
            select(
                SimulationRow.id,
                SimulationRow.run_id,
                SimulationRow.alpha_id,
                SimulationRow.origin,
                SimulationRow.parent_alpha_id,
                SimulationRow.variation,
                SimulationRow.gain,
                SimulationRow.correlation_to_parent,
                SimulationRow.finished_at,
                SimulationRow.expression,
                RunRow.flow,
            )
            .join(RunRow, RunRow.id == SimulationRow.run_id)
            .where(or_(own, child))
            .order_by(SimulationRow.id)
            .limit(60)
        )
    ]
    return {
        "own": [row for row in simulations if row["alpha_id"] == alpha_id],
        "children": [row for row in simulations if row["parent_alpha_id"] == alpha_id],
        "orders": _orders(connection, alpha_id),
    }


_OF_VERDICT = (
    *("sealed_days", "capacity", "impact_small", "impact_middle", "impact_large", "years"),
    *("years_up", "worst_year", "calm_sharpe", "wild_sharpe", "p", "days_needed"),
)


def _orders(connection: Any, alpha_id: str) -> list[Row]:
    """Return the newest orders that an alpha has a part in."""
    recent = select(OrderRow.id).order_by(OrderRow.id.desc()).limit(2_000).scalar_subquery()
    part = cast(OrderRow.facts, String).contains(f'"strategy {alpha_id}"', autoescape=True)
    query = (
        select(
            OrderRow.sequence,
            OrderRow.session,
            OrderRow.side,
            OrderRow.symbol,
            OrderRow.quantity,
            OrderRow.status,
            DeskRow.name.label("desk"),
        )
        .join(DeskRow, DeskRow.id == OrderRow.desk_id)
        .where(OrderRow.id.in_(recent), part)
        .order_by(OrderRow.id.desc())
        .limit(ORDERS_SHOWN)
    )
    return [dict(row._mapping) for row in connection.execute(query)]


def _nearest(sources: Sources, connection: Any, alpha: tuple[str, str], own: DailyPnl) -> list[Row]:
    """Return the alphas whose daily PnL moves most like an alpha's own, each with its `pnl`."""
    service, alpha_id = alpha
    best = (
        select(
            AlphaRow.service,
            AlphaRow.alpha_id,
            AlphaRow.expression,
            AlphaRow.sharpe,
            AlphaRow.market_id,
            AlphaRow.data_until,
        )
        .where(AlphaRow.service == service, AlphaRow.fitness.is_not(None))
        .order_by(AlphaRow.hopeful.desc(), AlphaRow.fitness.desc())
        .limit(NEAREST_OF)
        .subquery()
    )
    kept = and_(PnlRow.service == best.c.service, PnlRow.alpha_id == best.c.alpha_id)
    names = best.c.keys()
    near = []
    with_pnl = select(best, PnlRow.days, PnlRow.amounts).select_from(best).join(PnlRow, kept)
    for row in connection.execute(with_pnl):
        if row.alpha_id == alpha_id:
            continue
        pnl = kept_pnl(sources.store, row)
        moves = correlation(own, pnl)
        if math.isfinite(moves):
            told = {name: row._mapping[name] for name in names}
            near.append(told | {"pnl": pnl, "correlation": moves})
    near.sort(key=lambda row: (-abs(row["correlation"]), row["alpha_id"]))
    return near[:NEAREST_SHOWN]


def correlation(one: DailyPnl, other: DailyPnl) -> float:
    """Return Pearson's correlation of daily PnL on the days that both have; NaN without any."""
    _, mine, others = np.intersect1d(
        one.dates, other.dates, assume_unique=True, return_indices=True
    )
    x, y = one.values[mine], other.values[others]
    there = np.isfinite(x) & np.isfinite(y)
    x, y = x[there], y[there]
    if len(x) < 20 or min(x.std(), y.std()) <= NOISE * max(np.abs(x).max(), np.abs(y).max()):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def correlations(series: Sequence[DailyPnl | None]) -> list[list[float]]:
    """Return the correlation of each pair; NaN where one has no PnL."""
    nothing = float("nan")
    return [
        [
            1.0 if a == b else nothing if one is None or other is None else correlation(one, other)
            for b, other in enumerate(series)
        ]
        for a, one in enumerate(series)
    ]


def by_year(pnl: DailyPnl | None) -> list[tuple[int, dict[str, float]]]:
    """Return year to days, PnL in dollars, annual Sharpe ratio, and drawdown in dollars."""
    if pnl is None or not pnl.dates.size:
        return []
    values = np.nan_to_num(pnl.values)
    years = pnl.dates.astype("datetime64[Y]").astype(int) + 1970
    bars = bars_a_year(pnl.dates)
    found = []
    for year in np.unique(years).tolist():
        own = values[years == year]
        deviation = own.std()
        worth = np.cumsum(own)
        found.append(
            (
                int(year),
                {
                    "days": float(len(own)),
                    "pnl": float(own.sum()),
                    "sharpe": float(own.mean() / deviation * np.sqrt(bars))
                    if deviation > 0
                    else float("nan"),
                    "drawdown": float(_fall(worth).max()),
                },
            )
        )
    return found


def _fall(worth: Array) -> Array:
    """Return how far a sum lies below its highest so far, which is at least 0."""
    return np.maximum.accumulate(np.maximum(worth, 0.0)) - worth


def _pnl_of(sources: Sources, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], DailyPnl]:
    found = {}
    for service in {service for service, _ in wanted}:
        ids = [alpha_id for one, alpha_id in wanted if one == service]
        for alpha_id, pnl in read_daily_pnl(sources.store, service, ids).items():
            found[service, alpha_id] = pnl
    return found


def pnl_chart(sources: Sources, given: Given) -> Chart:
    """Return the PnL of an alpha summed up, and that of sealed days after it."""
    service, alpha_id = given.get("service", ""), given.get("id", "")
    own = read_daily_pnl(sources.store, service, [alpha_id]).get(alpha_id)
    with sources.connect("store") as connection:
        judged = connection.execute(
            select(
                VerdictRow.pnl_days,
                VerdictRow.pnl_amounts,
                OpeningRow.sealed_from,
                LABEL,
            )
            .join(OpeningRow, OpeningRow.id == VerdictRow.opening_id)
            .join(AlphaRow, same_alpha(VerdictRow))
            .outerjoin(MarketRow, MarketRow.id == OpeningRow.market_id)
            .outerjoin(DataVersionRow, of_data(DataVersionRow))
            .where(
                VerdictRow.service == service,
                VerdictRow.alpha_id == alpha_id,
                VerdictRow.pnl_days.is_not(None),
            )
            .order_by(VerdictRow.opening_id.desc())
            .limit(1)
        ).one_or_none()
        if own is None and judged is None:
            _require(connection, service, alpha_id)
    series: dict[str, DailyPnl] = {}
    marks: list[tuple[float, str]] = []
    note = ""
    if judged is not None and judged.pnl_days and judged.pnl_amounts:
        whole = DailyPnl.from_bytes(judged.pnl_days, judged.pnl_amounts)
        series["search days, then sealed days"] = whole
        opened = np.array(judged.sealed_from, "datetime64[D]")
        marks.append((float(seconds_of(opened)), "sealed days begin"))
        note = judged.label or ""
    elif own is not None:
        series["PnL on search days"] = own
    return _summed(f"PnL of {alpha_id}", series, marks=marks, note=note)


def compared_chart(sources: Sources, given: Given) -> Chart:
    """Return the summed PnL of alphas side by side, or how far each lies below its peak."""
    wanted = chosen(given["a"].split("|") if given.get("a") else [])
    series = {alpha_id: pnl for (_, alpha_id), pnl in _pnl_of(sources, wanted).items()}
    with sources.connect("store") as connection:
        for service, alpha_id in wanted:
            if alpha_id not in series:
                _require(connection, service, alpha_id)
    ordered = {alpha_id: series[alpha_id] for _, alpha_id in wanted if alpha_id in series}
    fall = given.get("what") == "drawdown"
    return _summed("Drawdown" if fall else "PnL", ordered, fall=fall)


def _summed(
    title: str,
    series: dict[str, DailyPnl],
    *,
    fall: bool = False,
    marks: Sequence[tuple[float, str]] = (),
    note: str = "",
) -> Chart:
    if not series:
        return Chart(title, np.array([]), {}, unit="dollars", note="no daily PnL is known")
    dates = np.unique(np.concatenate([one.dates for one in series.values()]))
    columns = {}
    for label, pnl in series.items():
        values = np.full(len(dates), np.nan)
        worth = np.cumsum(np.nan_to_num(pnl.values))
        values[np.searchsorted(dates, pnl.dates)] = -_fall(worth) if fall else worth
        columns[label] = values
    return Chart(title, seconds_of(dates), columns, unit="dollars", marks=marks, note=note)


def scatter_chart(sources: Sources, given: Given) -> Chart:
    """Return Sharpe ratio by turnover of the newest alphas."""
    with sources.connect("store") as connection:
        rows = connection.execute(
            select(AlphaRow.turnover, AlphaRow.sharpe, AlphaRow.hopeful)
            .where(AlphaRow.turnover.is_not(None), AlphaRow.sharpe.is_not(None))
            .order_by(AlphaRow.created_at.desc())
            .limit(500)
        ).all()
    rows = sorted(rows, key=lambda row: row.turnover)
    x = np.array([row.turnover for row in rows])
    sharpe = np.array([row.sharpe for row in rows])
    hopeful = np.array([row.hopeful for row in rows], dtype=bool)
    return Chart(
        "Sharpe ratio by turnover, newest 500",
        x,
        {
            "hopeful": np.where(hopeful, sharpe, np.nan),
            "the others": np.where(hopeful, np.nan, sharpe),
        },
        axis="number",
        x_name="turnover",
        x_unit="percent",
        points=True,
        note="in sample: evidence stands with each alpha",
    )


CHARTS = {"pnl": pnl_chart, "compared": compared_chart, "scatter": scatter_chart}


def indented(expression: str) -> str:
    """Return an expression over lines, so that its nesting shows; any text will do.

    What is in brackets and fits on a line stays on one.
    """
    text = " ".join(expression.split())
    closes: dict[int, int] = {}
    opened: list[int] = []
    for place, one in enumerate(text):
        if one == "(":
            opened.append(place)
        elif one == ")" and opened:
            closes[opened.pop()] = place
    out: list[str] = []
    depth = place = 0
    while place < len(text):
        one = text[place]
        end = closes.get(place)
        if end is not None and end - place <= LONGEST_LINE:
            out.append(text[place : end + 1])
            place = end
        elif one == "(":
            depth += 1
            out.append("(\n" + "  " * depth)
        elif one == ")":
            depth = max(depth - 1, 0)
            out.append("\n" + "  " * depth + ")")
        elif one == "," and depth:
            out.append(",\n" + "  " * depth)
        elif one != " " or not out or not out[-1].endswith(" "):
            out.append(one)
        place += 1
    return "".join(out)
