"""Runs: what ran, runs, is late; and the buttons that start something."""

from __future__ import annotations

import json
from typing import Any, get_args

from fastapi import APIRouter, Request
from sqlalchemy import exists, select
from starlette.responses import Response

from alphafoundry.dashboard.asking import (
    MissingPage,
    Refused,
    act,
    given_of,
    read_form,
    read_table,
    require,
    row_number,
    sources_of,
)
from alphafoundry.dashboard.rendering import data_to, number, render, render_list
from alphafoundry.dashboard.tables import (
    Column,
    Filter,
    Row,
    Table,
    WrongFilter,
    contains,
    equal,
    read_page,
    since,
)
from alphafoundry.store import (
    ModelRequestRow,
    PhaseRow,
    RaceResultRow,
    RefusalRow,
    RunRow,
    SimulationRow,
    SubmissionRow,
    is_alive,
)
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.tables import RunStatus

router = APIRouter()
CHARTS: dict[str, Any] = {}
LONGEST_PARAMETERS = 20_000


def _lasted(state: Any, connection: Any, rows: list[Row]) -> None:
    for row in rows:
        end = row["finished_at"] or (
            state.sources.now() if row["status"] == "running" else row["heartbeat_at"]
        )
        row["seconds"] = (end - row["started_at"]).total_seconds()


RUNS = Table(
    name="runs",
    title="Runs",
    columns=(
        Column("id", "run", "integer", of=RunRow.id, link="/runs/{id}", sorts=True),
        Column("flow", "flow", of=RunRow.flow),
        Column("status", "status", "status", of=RunRow.status),
        Column("started_at", "began", "time", of=RunRow.started_at, sorts=True),
        Column("finished_at", "ended", "time", of=RunRow.finished_at, sorts=True, hidden=True),
        Column("heartbeat_at", "last beat", "time", of=RunRow.heartbeat_at, hidden=True),
        Column("seconds", "took", "seconds"),
        Column("market_label", "market", of=RunRow.market_label),
        Column("data_until", "data to", "day", of=RunRow.data_until),
        Column("service", "service", of=RunRow.service, hidden=True),
        Column("seed", "seed", "integer", of=RunRow.seed, hidden=True),
    ),
    source=RunRow.__table__,
    keys=(RunRow.id,),
    order="-id",
    empty="Nothing has run yet. `make daily` does one run, `make up` starts the platform, and the "
    "buttons above start a deployment once a Prefect server runs.",
    filters=(
        Filter("flow", "flow", equal(RunRow.flow), hint="daily"),
        Filter(
            "status",
            "status",
            equal(RunRow.status),
            choices=get_args(RunStatus),
        ),
        Filter("q", "market has", contains(RunRow.market_label)),
        Filter("since", "began since", since(RunRow.started_at), hint="2026-11-30"),
    ),
    later=_lasted,
)
SIMULATIONS = Table(
    name="simulations",
    title="Simulations",
    columns=(
        Column("id", "number", "integer", of=SimulationRow.id, sorts=True),
        Column("run_id", "run", "integer", of=SimulationRow.run_id, hidden=True),
        Column("service", "service", of=SimulationRow.service, hidden=True),
        Column(
            "alpha_id",
            "alpha",
            "code",
            of=SimulationRow.alpha_id,
            link="/alpha?service={service}&id={alpha_id}",
        ),
        Column("expression", "expression", "code", of=SimulationRow.expression),
        Column("origin", "from", of=SimulationRow.origin),
        Column("status", "status", "status", of=SimulationRow.status),
        Column("gain", "gain", "number", of=SimulationRow.gain, sorts=True),
        Column("attempts", "sent", "integer", of=SimulationRow.attempts),
        Column("message", "message", of=SimulationRow.message),
        Column("finished_at", "ended", "time", of=SimulationRow.finished_at),
    ),
    source=SimulationRow.__table__,
    keys=(SimulationRow.id,),
    order="id",
    empty="This run has simulated nothing, or nothing that matches.",
    filters=(
        Filter("run", "run", equal(SimulationRow.run_id)),
        Filter("status", "status", equal(SimulationRow.status)),
        Filter("origin", "from", equal(SimulationRow.origin), hint="miner"),
        Filter("q", "expression has", contains(SimulationRow.expression)),
    ),
)
REFUSALS = Table(
    name="refusals",
    title="Texts that were not simulated",
    columns=(
        Column("id", "number", "integer", of=RefusalRow.id, hidden=True),
        Column("run_id", "run", "integer", of=RefusalRow.run_id, hidden=True),
        Column("origin", "from", of=RefusalRow.origin),
        Column("text", "text", "code", of=RefusalRow.text),
        Column("reason", "why", of=RefusalRow.reason),
        Column("at", "at", "time", of=RefusalRow.at),
    ),
    source=RefusalRow.__table__,
    keys=(RefusalRow.id,),
    order="id",
    empty="Every text of this run was simulated or known already.",
    filters=(
        Filter("run", "run", equal(RefusalRow.run_id)),
        Filter("q", "reason has", contains(RefusalRow.reason)),
    ),
)
REQUESTS = Table(
    name="requests",
    title="Requests to language models",
    columns=(
        Column("id", "number", "integer", of=ModelRequestRow.id, hidden=True),
        Column("run_id", "run", "integer", of=ModelRequestRow.run_id, hidden=True),
        Column("model", "model", of=ModelRequestRow.model),
        Column("provider", "provider", of=ModelRequestRow.provider),
        Column("number", "try", "integer", of=ModelRequestRow.number),
        Column("outcome", "outcome", "status", of=ModelRequestRow.outcome),
        Column("status", "HTTP", "integer", of=ModelRequestRow.status),
        Column("seconds", "took", "seconds", of=ModelRequestRow.seconds),
        Column("prompt_tokens", "tokens in", "integer", of=ModelRequestRow.prompt_tokens),
        Column("completion_tokens", "tokens out", "integer", of=ModelRequestRow.completion_tokens),
        Column("cost", "cost", "dollars", of=ModelRequestRow.cost),
        Column("reason", "reason", of=ModelRequestRow.reason),
        Column("at", "at", "time", of=ModelRequestRow.at),
    ),
    source=ModelRequestRow.__table__,
    keys=(ModelRequestRow.id,),
    order="id",
    empty="No language model was asked.",
    filters=(
        Filter("run", "run", equal(ModelRequestRow.run_id)),
        Filter("model", "model", equal(ModelRequestRow.model)),
        Filter("outcome", "outcome", equal(ModelRequestRow.outcome)),
    ),
)
TABLES = (RUNS, SIMULATIONS, REFUSALS, REQUESTS)
OF_RUN = {one.name: one for one in (SIMULATIONS, REFUSALS, REQUESTS)}


@router.get("/runs")
def runs(request: Request) -> Response:
    """Show what ran and runs, what Prefect has waiting, and what can be started."""
    return render(
        request,
        "runs.html",
        page="runs",
        title="Runs",
        table=read_table(request, RUNS),
        prefect=sources_of(request).prefect.view(),
    )


@router.get("/runs/{number}")
def run(request: Request, number: int) -> Response:
    """Show one run: settings, what it said, what it simulated and submitted."""
    sources = sources_of(request)
    with sources.connect("store") as connection:
        found = connection.execute(
            select(
                *RunRow.__table__.columns,
                exists().where(PhaseRow.run_id == RunRow.id).label("has_phases"),
                exists().where(RaceResultRow.run_id == RunRow.id).label("has_race"),
                select(AgentDeskRow.name)
                .where(AgentDeskRow.run_id == RunRow.id)
                .limit(1)
                .scalar_subquery()
                .label("desk"),
            ).where(RunRow.id == row_number(number))
        ).one_or_none()
        if found is None:
            raise MissingPage(f"there is no run {number}")
        submissions = connection.execute(
            select(
                SubmissionRow.service,
                SubmissionRow.alpha_id,
                SubmissionRow.status,
                SubmissionRow.detail,
                SubmissionRow.settled_at,
            )
            .where(SubmissionRow.run_id == found.id)
            .order_by(SubmissionRow.id)
            .limit(50)
        ).all()
        simulated = read_page(
            connection, SIMULATIONS, given_of(request) | {"run": str(found.id)}, limit=20
        )
    row = dict(found._mapping)
    _lasted(request.app.state, None, [row])
    gone = row["status"] == "running" and not is_alive(_as_row(row), now=sources.now())
    return render(
        request,
        "run.html",
        page="runs",
        title=f"Run {number}",
        run=row,
        gone=gone,
        told=told(row["report"] or {}),
        submissions=submissions,
        simulated=simulated,
        labels=[row["market_label"] or "", data_to(row)],
    )


@router.get("/runs/{number}/{what}")
def of_run(request: Request, number: int, what: str) -> Response:
    """Show a table of one run: simulations, refusals, requests."""
    if what not in OF_RUN:
        raise MissingPage(f"a run has no {what}; {', '.join(OF_RUN)}")
    with sources_of(request).connect("store") as connection:
        require(connection, RunRow.id == row_number(number), f"run {number}")
    table = OF_RUN[what]
    title = f"{table.title} of run {number}"
    return render_list(request, table, page="runs", title=title, run=str(number))


def _as_row(row: Row) -> RunRow:
    names = ("status", "host", "heartbeat_at", "pid", "process_started")
    return RunRow(**{name: row[name] for name in names})


def told(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a report says in short: (subject, sentence) pairs; any report will do."""
    lines = []
    evidence = report.get("evidence")
    if isinstance(evidence, dict):
        lines += _luck(evidence)
    if report.get("kind") == "screening" and report.get("luck") is not None:
        lines.append(
            (
                "luck",
                f"{report['ideas']:,} ideas, {report['trials']:,} trials in all on these prices: "
                f"with nothing to find the best Sharpe ratio would be about {report['luck']:.2f}",
            )
        )
    for name in ("error", "rule", "stopped", "kept_apart", "data", "runner", "written_by"):
        if isinstance(report.get(name), str) and report[name]:
            lines.append((name.replace("_", " "), report[name]))
    for name in ("counts", "orders", "costs"):
        if isinstance(report.get(name), dict):
            parts = [
                f"{key.replace('_', ' ')} {number(value) if isinstance(value, float) else value}"
                for key, value in report[name].items()
                if value
            ]
            lines.append((name, ", ".join(parts)))
    for name in ("notes", "failures", "cautions"):
        if isinstance(report.get(name), list):
            lines += [(name.removesuffix("s"), str(one)) for one in report[name][:10]]
    return lines


def _luck(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a run's report says about luck."""
    lines = []
    if evidence.get("luck") is not None:
        lines.append(
            (
                "luck",
                f"{evidence['trials']} trials, {evidence['independent']} of them independent: with "
                f"nothing to find the best Sharpe ratio would be about {evidence['luck']:.2f}",
            )
        )
    finalists = evidence.get("finalists") or {}
    if finalists:
        counted = ", ".join(f"{count} {name}" for name, count in finalists.items())
        lines.append(("verdicts", f"of {sum(finalists.values())} finalists {counted}"))
    if evidence.get("unsealed"):
        lines.append(("sealed days", f"none: {evidence['unsealed']}"))
    if evidence.get("overfitting") is not None:
        lines.append(("overfit", f"PBO {evidence['overfitting']:.2f} (0.5 where there is nothing)"))
    if evidence.get("cautions"):
        lines.append(("cautions", "; ".join(map(str, evidence["cautions"]))))
    return lines


@router.get("/start")
def ask_to_start(request: Request, deployment: str = "", parameters: str = "") -> Response:
    """Show what starting a deployment will do, before it is done."""
    view = sources_of(request).prefect.view()
    found = next(
        (one for one in view.deployments if deployment in (one.name, one.name.split("/")[-1])), None
    )
    if found is None:
        known = ", ".join(one.name for one in view.deployments)
        raise MissingPage(
            f"Prefect has no deployment {deployment!r}: "
            f"{view.problem or (known and f'it has {known}') or '`make deploy` registers them'}"
        )
    return render(
        request,
        "start.html",
        page="runs",
        title=f"Start {found.name}",
        deployment=found,
        parameters=parameters or json.dumps(dict(found.parameters), indent=2),
    )


@router.post("/start")
async def start(request: Request) -> Response:
    """Start a deployment; a form that comes again starts nothing again."""
    form = await read_form(request)
    name, text = form.get("deployment", ""), form.get("parameters", "").strip() or "{}"
    try:
        parameters = json.loads(text) if len(text) <= LONGEST_PARAMETERS else None
        json.dumps(parameters, allow_nan=False)
    except (ValueError, RecursionError) as problem:
        raise WrongFilter(f"parameters: this is no JSON: {problem}") from None
    if not isinstance(parameters, dict):
        raise WrongFilter('parameters: write an object, such as {"simulations": 60}')
    if not name:
        raise Refused("the form names no deployment")
    prefect = sources_of(request).prefect

    def do() -> tuple[str, str | None]:
        return prefect.start(name, parameters, key=form["nonce"])

    return await act(request, form, action="start", subject=name, parameters=parameters, do=do)
