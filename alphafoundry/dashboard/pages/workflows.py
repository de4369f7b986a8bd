"""Workflows: which phase, how far, what the search found, and whether it holds out of sample."""

from __future__ import annotations

import functools
import math
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from fastapi import APIRouter, Request
from sqlalchemy import case, func, select
from starlette.responses import Response

from alphafoundry.dashboard.asking import (
    MissingPage,
    given_of,
    read_table,
    require,
    row_number,
    sources_of,
)
from alphafoundry.dashboard.charts import Chart
from alphafoundry.dashboard.evidence import sureness_of_numbers
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
from alphafoundry.store import AlertRow, PhaseRow, RunRow, SampleRow, TrialRow
from alphafoundry.store.tables import RunStatus, TrialStatus

router = APIRouter()

MOST_WEIGHED = 2_000
"""Trials, a random sample of all, that importances are calculated from."""

SAMPLES = {
    "out_of_sample": "out of sample",
    "in_sample": "in sample",
    "given": "given parameters",
}
"""What measured days are called."""

CELLS = 12
MOST_SHADES = 9

TRIALS_MADE = case(
    (PhaseRow.status.in_(("finished", "restored")), PhaseRow.trials),
    else_=select(func.count())
    .select_from(TrialRow)
    .where(TrialRow.phase_key == PhaseRow.key)
    .scalar_subquery(),
)
"""Trials of a phase; its row has them only once it has finished, its trials have a row each before.

Each that was evaluated is one more that luck could have chosen from.
"""

_OF_PHASE = [
    TRIALS_MADE.label("trials") if column.key == "trials" else column
    for column in PhaseRow.__table__.columns
]

_PHASES = (
    select(
        PhaseRow.run_id,
        func.min(PhaseRow.workflow).label("workflow"),
        func.count().label("phases"),
        func.sum(TRIALS_MADE).label("trials_made"),
        func.sum(PhaseRow.left_out).label("left_out"),
    )
    .group_by(PhaseRow.run_id)
    .subquery()
)


def _out_of_sample(state: Any, connection: Any, rows: list[Row]) -> None:
    """Give each row of workflows what its report measured, with the luck beside it."""
    wanted = [row["id"] for row in rows]
    reports = {
        row.id: row.report or {}
        for row in connection.execute(select(RunRow.id, RunRow.report).where(RunRow.id.in_(wanted)))
    }
    for row in rows:
        row.update(measured(reports.get(row["id"], {})))


def measured(report: Mapping[str, Any]) -> Row:
    """Return the Sharpe ratio that a workflow ended with, and what stands beside it."""
    numbers = report.get("out_of_sample") or report.get("measured") or {}
    sample = str(report.get("sample") or "")
    sure = sureness_of_numbers(numbers.get("sharpe"), numbers.get("days"), bars_a_year(report))
    low, high = sure.band if sure else (None, None)
    return {
        "sharpe": numbers.get("sharpe"),
        "dsr": report.get("deflated"),
        "trials": report.get("deflated_trials"),
        "verdict": SAMPLES.get(sample, "not measured"),
        "low": low,
        "high": high,
    }


def bars_a_year(report: Mapping[str, Any]) -> float:
    """Return how many bars of a workflow's market make a year; 252 where it does not say."""
    found = (report.get("screen") or {}).get("bars_a_year")
    return float(found) if isinstance(found, int | float) and found > 0 else 252.0


WORKFLOWS = Table(
    name="workflows",
    title="Workflows",
    columns=(
        Column("id", "run", "integer", of=RunRow.id, link="/workflows/{id}", sorts=True),
        Column("workflow", "workflow", of=_PHASES.c.workflow),
        Column("status", "status", "status", of=RunRow.status),
        Column("phases", "phases", "integer", of=_PHASES.c.phases),
        Column("trials_made", "trials", "integer", of=_PHASES.c.trials_made),
        Column("left_out", "left out", "integer", of=_PHASES.c.left_out),
        Column("sharpe", "Sharpe ratio and evidence", "sharpe"),
        Column("market_label", "market", of=RunRow.market_label),
        Column("started_at", "began", "time", of=RunRow.started_at),
    ),
    source=RunRow.__table__.join(_PHASES, _PHASES.c.run_id == RunRow.id),
    keys=(RunRow.id,),
    order="-id",
    empty="No workflow has run. `python -m flows.optimize config/workflows/multi_phase.yaml` runs "
    "one; the deployment optimize does so from the page Runs.",
    filters=(
        Filter("workflow", "workflow", equal(_PHASES.c.workflow)),
        Filter(
            "status",
            "status",
            equal(RunRow.status),
            choices=get_args(RunStatus),
        ),
    ),
    later=_out_of_sample,
)
TRIALS = Table(
    name="trials",
    title="Trials",
    columns=(
        Column("number", "trial", "integer", of=TrialRow.number, sorts=True),
        Column("phase_key", "phase", of=TrialRow.phase_key, hidden=True),
        Column("item", "parameters", "code", of=TrialRow.item),
        Column(
            "sharpe",
            "Sharpe ratio, in sample",
            "sharpe",
            of=TrialRow.metrics["sharpe"].as_float(),
            sorts=True,
        ),
        Column(
            "annual_return",
            "annual return",
            "percent",
            of=TrialRow.metrics["annual_return"].as_float(),
            sorts=True,
        ),
        Column(
            "max_drawdown",
            "drawdown",
            "percent",
            of=TrialRow.metrics["max_drawdown"].as_float(),
            sorts=True,
        ),
        Column(
            "turnover",
            "turnover",
            "percent",
            of=TrialRow.metrics["turnover"].as_float(),
            sorts=True,
        ),
        Column("status", "status", "status", of=TrialRow.status),
        Column("attempts", "attempts", "integer", of=TrialRow.attempts),
        Column("message", "message", of=TrialRow.message),
        Column("seed", "seed", "integer", of=TrialRow.seed, hidden=True),
        Column("days", "days", "integer", of=TrialRow.metrics["days"].as_integer(), hidden=True),
    ),
    source=TrialRow.__table__,
    keys=(TrialRow.number,),
    order="number",
    empty="No trial matches. A phase that made none only looks at what the others found.",
    filters=(
        Filter("phase", "phase", equal(TrialRow.phase_key)),
        Filter("status", "status", equal(TrialRow.status), choices=get_args(TrialStatus)),
        Filter("q", "message has", contains(TrialRow.message)),
    ),
    where=lambda given: [TrialRow.phase_key == given.get("phase", "")],
)
TABLES = (WORKFLOWS, TRIALS)


@router.get("/workflows")
def workflows(request: Request) -> Response:
    """Show the runs of workflows."""
    page = read_table(request, WORKFLOWS)
    return render(request, "workflows.html", page="workflows", title="Workflows", table=page)


@router.get("/workflows/{number}")
def workflow(request: Request, number: int) -> Response:
    """Show one run of a workflow: phases, result out of sample, bottlenecks, alerts."""
    with sources_of(request).connect("store") as connection:
        found = connection.execute(
            select(*RunRow.__table__.columns).where(RunRow.id == row_number(number))
        ).one_or_none()
        phases = connection.execute(
            select(*_OF_PHASE).where(PhaseRow.run_id == row_number(number)).order_by(PhaseRow.id)
        ).all()
        if found is None or not phases:
            raise MissingPage(f"run {number} is no workflow")
        alerts = connection.execute(
            select(AlertRow.at, AlertRow.kind, AlertRow.message)
            .where(AlertRow.run_id == found.id)
            .order_by(AlertRow.id.desc())
            .limit(20)
        ).all()
    report = found.report or {}
    said = {one.get("name"): one for one in report.get("phases") or [] if isinstance(one, dict)}
    return render(
        request,
        "workflow.html",
        page="workflows",
        title=f"Workflow {phases[0].workflow}, run {number}",
        run=found,
        workflow=phases[0].workflow,
        phases=phases,
        said=said,
        report=report,
        measured=measured(report),
        alerts=alerts,
        labels=[found.market_label or report.get("market") or ""],
    )


@router.get("/workflows/{number}/{phase}")
def phase(request: Request, number: int, phase: str) -> Response:
    """Show one phase: its trials, which parameters matter, and where the good ones lie."""
    given = given_of(request)
    with sources_of(request).connect("store") as connection:
        row = _read_phase(connection, number, phase)
        page = read_page(connection, TRIALS, given | {"phase": row.key})
    said: dict[str, Any] = next(
        (one for one in (row.report or {}).get("phases") or [] if one.get("name") == phase), {}
    )
    bars = bars_a_year(row.report or {})
    for one in page.rows:
        tried = _parameters(one["item"])
        if isinstance(tried, dict):
            one["item"] = ", ".join(f"{name}={value}" for name, value in tried.items())
        sure = sureness_of_numbers(one["sharpe"], one["days"], bars)
        low, high = sure.band if sure else (None, None)
        dsr = sure.deflated(row.trials) if sure else None
        one |= {"dsr": dsr, "trials": row.trials, "low": low, "high": high, "verdict": None}
    return render(
        request,
        "phase.html",
        page="workflows",
        title=f"Phase {phase} of run {number}",
        row=row,
        table=page,
        said=said,
        labels=[row.market_label or ""],
    )


@router.get("/workflows/{number}/{phase}/parameters")
def parameters(request: Request, number: int, phase: str) -> Response:
    """Show which parameters of a phase matter, and where the good ones lie."""
    with sources_of(request).connect("store") as connection:
        row = _read_phase(connection, number, phase)
        drawn = _sample(connection, row.key, row.trials)
    weights = importances(drawn)
    return render(
        request,
        "parameters.html",
        page="workflows",
        title=f"Parameters of phase {phase} of run {number}",
        row=row,
        weighed=len(drawn),
        importances=weights,
        heat=heat_map(drawn, [name for name, _ in weights]),
        labels=[row.market_label or ""],
    )


def _read_phase(connection: Any, number: int, phase: str) -> Any:
    row = connection.execute(
        select(*_OF_PHASE, RunRow.market_label, RunRow.report)
        .join(RunRow, RunRow.id == PhaseRow.run_id)
        .where(PhaseRow.run_id == row_number(number), PhaseRow.phase == phase)
        .order_by(PhaseRow.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise MissingPage(f"run {number} has no phase {phase!r}")
    return row


Trial = tuple[dict[str, Any], float]


def _sample(connection: Any, key: str, count: int) -> list[Trial]:
    """Return (parameters, Sharpe ratio) of a phase's trials, of many a sample.

    It is a random one, always the same: every fiftieth point of a grid has the same parameters.
    """
    query = (
        select(TrialRow.item, TrialRow.metrics["sharpe"].as_float())
        .where(TrialRow.phase_key == key, TrialRow.status == "done")
        .order_by(TrialRow.number)
        .limit(MOST_WEIGHED)
    )
    if count > MOST_WEIGHED:
        chosen = random.Random(0).sample(range(count), MOST_WEIGHED)
        query = query.where(TrialRow.number.in_(chosen))
    return [
        (parameters, float(value))
        for item, value in connection.execute(query)
        if value is not None and isinstance(parameters := _parameters(item), dict)
    ]


def _parameters(item: Any) -> Any:
    return item.get("parameters", item) if isinstance(item, dict) else item


@functools.cache
def load_optuna() -> Any:
    """Return Optuna with its importances, without scikit-learn and pandas.

    They take 60 MB, and only importances that are not asked for here need them.
    """
    hidden = "sklearn" not in sys.modules
    if hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        import optuna.importance
    finally:
        if hidden:
            del sys.modules["sklearn"]
    return optuna


def importances(trials: Sequence[Trial]) -> list[tuple[str, float]]:
    """Return which share of the best fifth each parameter explains, the greatest first.

    PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023), as Optuna has it. Empty for fewer than 20
    trials, or where no parameter varies.
    """
    columns = _varied(trials)
    if len(trials) < 20 or not columns:
        return []
    optuna = load_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    spaces = {name: _space([parameters[name] for parameters, _ in trials]) for name in columns}
    study.add_trials(
        [
            optuna.create_trial(
                params={name: parameters[name] for name in columns},
                distributions=spaces,
                value=value,
            )
            for parameters, value in trials
        ]
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.2)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return [(name, float(share)) for name, share in found.items() if math.isfinite(share)]


def _varied(trials: Sequence[Trial]) -> list[str]:
    """Return the parameters that every trial has, plain ones, of more than one value."""
    if not trials:
        return []
    shared = set(trials[0][0]).intersection(*(parameters for parameters, _ in trials))
    return sorted(
        name
        for name in shared
        if all(type(one[name]) in (int, float, str, bool) for one, _ in trials)
        and len({one[name] for one, _ in trials}) > 1
    )


def _space(values: Sequence[Any]) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if all(type(one) is int for one in values):
        return IntDistribution(min(values), max(values))
    if all(type(one) in (int, float) for one in values):
        return FloatDistribution(float(min(values)), float(max(values)))
    return CategoricalDistribution(sorted(set(values), key=str))


def heat_map(trials: Sequence[Trial], names: Sequence[str]) -> dict[str, Any] | None:
    """Return the mean Sharpe ratio over the two most important numeric parameters.

    shade : 0 to 8 by rank among the cells; None where there are not two such parameters
    """
    numeric = [
        name
        for name in names
        if all(type(one.get(name)) in (int, float) for one, _ in trials)
        and len({one[name] for one, _ in trials}) > 2
    ]
    if len(numeric) < 2:
        return None
    x_name, y_name = numeric[:2]
    x = np.array([float(one[x_name]) for one, _ in trials])
    y = np.array([float(one[y_name]) for one, _ in trials])
    value = np.array([sharpe for _, sharpe in trials])
    x_place, x_edges = _places(x)
    y_place, y_edges = _places(y)
    total = np.zeros((len(y_edges) - 1, len(x_edges) - 1))
    count = np.zeros_like(total)
    np.add.at(total, (y_place, x_place), value)
    np.add.at(count, (y_place, x_place), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
    known = mean[count > 0]
    ranks = np.searchsorted(np.sort(known), mean) / max(len(known) - 1, 1)
    cells = [
        {
            "x": column,
            "y": total.shape[0] - 1 - line,
            "mean": float(mean[line, column]),
            "count": int(count[line, column]),
            "shade": int(min(ranks[line, column], 1.0) * (MOST_SHADES - 1)),
        }
        for line in range(total.shape[0])
        for column in range(total.shape[1])
        if count[line, column]
    ]
    return {
        "x_name": x_name,
        "y_name": y_name,
        "columns": total.shape[1],
        "lines": total.shape[0],
        "x_from": float(x.min()),
        "x_to": float(x.max()),
        "y_from": float(y.min()),
        "y_to": float(y.max()),
        "cells": cells,
    }


def _places(values: Any) -> tuple[Any, Any]:
    edges = np.linspace(values.min(), values.max(), min(CELLS, len(np.unique(values))) + 1)
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2), edges


def resources_chart(sources: Sources, given: Given) -> Chart:
    """Return memory and processor of the machine while a workflow ran."""
    number = row_number(whole_number(given.get("run", "0")))
    with sources.connect("store") as connection:
        rows = connection.execute(
            select(
                SampleRow.at,
                SampleRow.memory_percent,
                SampleRow.cpu_percent,
                SampleRow.disk_percent,
            )
            .where(SampleRow.run_id == number)
            .order_by(SampleRow.at)
        ).all()
        if not rows:
            require(connection, RunRow.id == number, f"run {number}")
    at = np.array([row.at.timestamp() for row in rows])
    return Chart(
        "Machine while it ran",
        at,
        {
            "memory": np.array([row.memory_percent / 100 for row in rows]),
            "processor": np.array([row.cpu_percent / 100 for row in rows]),
            "disk": np.array([row.disk_percent / 100 for row in rows]),
        },
        unit="percent",
    )


CHARTS = {"resources": resources_chart}
