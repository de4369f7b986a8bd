"""A store with a little of everything, whose texts are as bad as they get."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.market.feed_store import FeedStore
from alphafoundry.store import (
    AlgorithmRow,
    AlphaRow,
    DailyPnl,
    DataVersionRow,
    MarketRow,
    ModelRequestRow,
    OpeningRow,
    PhaseRow,
    RaceResultRow,
    RefusalRow,
    RunRow,
    SampleRow,
    SimulationRow,
    Store,
    SubmissionRow,
    TrialRow,
    VerdictRow,
)
from alphafoundry.store.agent_tables import (
    AgentAlertRow,
    AgentDeskRow,
    AgentStateRow,
    AgentTickRow,
)
from alphafoundry.store.desk_tables import BalanceRow, DeskRow, MarkRow, OrderRow
from alphafoundry.store.performance_tables import ExplanationRow, PerformanceRow
from alphafoundry.store.tables import PnlRow
from alphafoundry.supervisor import database
from alphafoundry.supervisor.control import folder_of

SERVICE = "local:abc"
MARKET = "abc"
LABEL = "SYNTHETIC market of tests"
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BAD = "<script>alert('x')</script>\x1b[31m\u202e"
"""Markup, a control sequence of terminals, and what turns the direction of writing."""

OF_DATA: dict[str, Any] = {
    "market_id": MARKET,
    "data_version": "v1",
    "data_until": date(2026, 11, 27),
}


def fill(store: Store, home: Path) -> None:
    """Write the rows; every text that comes from outside holds `BAD`."""
    with store.write() as session:
        session.add(
            MarketRow(
                id=MARKET, source="test", universe="", adjustment="", label=LABEL, created_at=NOW
            )
        )
        session.add(
            DataVersionRow(
                market_id=MARKET,
                fingerprint="v1",
                first_day=date(2020, 1, 2),
                last_day=date(2026, 11, 27),
                seen_at=NOW,
            )
        )
        for number, (flow, status) in enumerate(
            (
                ("daily", "finished"),
                ("optimize", "finished"),
                ("algorithms", "failed"),
                ("optimize", "running"),
            ),
            start=1,
        ):
            session.add(_run(number, flow, status))
        session.flush()
        for number in range(1, 6):
            session.add(_alpha(number))
            session.add(_simulation(number))
        session.flush()
        for number in (1, 2, 3):
            session.add(_pnl(number))
        session.add(_opening())
        session.flush()
        session.add(_verdict())
        session.add(
            SubmissionRow(
                service=SERVICE,
                alpha_id="alpha1",
                eastern_day=NOW.date(),
                status="accepted",
                detail=BAD,
                checks=[],
                intended_at=NOW,
                settled_at=NOW,
                run_id=1,
            )
        )
        session.add(RefusalRow(run_id=1, origin=BAD, text=BAD, reason=BAD, at=NOW))
        _workflow(session)
        _algorithm(session)
        _desk(session)
    _supervised(home)
    FeedStore(home / "feed.db")


def _run(number: int, flow: str, status: str) -> RunRow:
    return RunRow(
        id=number,
        flow=flow,
        service=SERVICE,
        market_label=LABEL,
        seed=0,
        settings={"note": BAD, BAD: 1},
        host=BAD,
        pid=1,
        process_started=0.0,
        heartbeat_at=NOW,
        started_at=NOW - timedelta(minutes=5),
        finished_at=None if status == "running" else NOW,
        status=status,
        report=None
        if status == "running"
        else {
            "notes": [BAD],
            "error": BAD,
            "sample": "out_of_sample",
            "deflated": 0.99,
            "out_of_sample": {
                "sharpe": 2.28,
                "days": 378,
                "annual_return": 0.1,
                "max_drawdown": 0.1,
                "turnover": 0.1,
                "trades": 3,
            },
        },
        **OF_DATA,
    )


def _alpha(number: int) -> AlphaRow:
    return AlphaRow(
        service=SERVICE,
        alpha_id=f"alpha{number}",
        expression=BAD if number == 5 else f"rank(ts_mean(volume, {number}))",
        settings={"decay": number, BAD: BAD},
        sharpe=0.5 * number,
        fitness=0.4 * number,
        turnover=0.1 * number,
        returns=0.05,
        drawdown=0.1,
        margin=0.001,
        pnl=1000.0,
        long_count=10,
        short_count=10,
        grade=BAD,
        checks=[
            {"name": "LOW_SHARPE", "result": "FAIL", "value": 0.5, "limit": 1.25},
            {"name": BAD, "result": BAD, "message": BAD},
        ],
        hopeful=number > 2,
        source="simulated",
        created_at=NOW - timedelta(hours=number),
        **OF_DATA,
    )


def _simulation(number: int) -> SimulationRow:
    return SimulationRow(
        service=SERVICE,
        key=f"key{number}",
        canonical=f"rank(ts_mean(volume, {number}))",
        expression=f"rank(ts_mean(volume, {number}))",
        settings={},
        origin="miner",
        run_id=1,
        parent_alpha_id="alpha1" if number > 1 else None,
        variation=BAD,
        gain=0.1,
        correlation_to_parent=0.5,
        status="complete",
        alpha_id=f"alpha{number}",
        message=BAD,
        attempts=1,
        created_at=NOW,
        finished_at=NOW,
        **OF_DATA,
    )


def _pnl(number: int) -> PnlRow:
    days = np.arange("2022-01-03", "2023-06-01", dtype="datetime64[D]")
    days = days[np.is_busday(days)]
    values = np.random.default_rng(number).normal(100.0 * number, 1000.0, len(days))
    kept, amounts = DailyPnl(days, values).to_bytes()
    return PnlRow(service=SERVICE, alpha_id=f"alpha{number}", days=kept, amounts=amounts)


def _opening() -> OpeningRow:
    return OpeningRow(
        id=1,
        run_id=1,
        service=SERVICE,
        market_id=MARKET,
        sealed_from=date(2023, 6, 1),
        sealed_to=date(2026, 11, 27),
        number=1,
        level=0.05,
        trials=7,
        finalists="f",
        planned_at=NOW,
        opened_at=NOW,
    )


def _verdict() -> VerdictRow:
    return VerdictRow(
        opening_id=1,
        position=0,
        service=SERVICE,
        alpha_id="alpha1",
        expression="rank(ts_mean(volume, 1))",
        settings={},
        key="key1",
        frozen_on=NOW.date(),
        search_days=400,
        sharpe=0.5,
        sharpe_low=0.1,
        sharpe_high=0.9,
        dsr=0.42,
        shrunk_sharpe=0.21,
        sealed_days=300,
        sealed_sharpe=0.3,
        sealed_low=-0.4,
        sealed_high=1.0,
        p=0.2,
        years=4,
        years_up=3,
        worst_year=-0.1,
        verdict="not confirmed",
        reason=f"luck explains it {BAD}",
    )


def _workflow(session: Any) -> None:
    session.add(
        PhaseRow(
            run_id=2,
            workflow=BAD,
            phase="search",
            key="search-1",
            status="finished",
            trials=40,
            executed=40,
            left_out=0,
            seconds=1.0,
            work_seconds=1.0,
            message=BAD,
            started_at=NOW,
            finished_at=NOW,
        )
    )
    session.add(
        PhaseRow(
            run_id=4,
            workflow="new",
            phase="search",
            key="search-2",
            status="running",
            trials=0,
            executed=0,
            left_out=0,
            started_at=NOW,
        )
    )
    for number in range(40):
        session.add(
            TrialRow(
                phase_key="search-1",
                number=number,
                run_id=2,
                workflow=BAD,
                phase="search",
                batch=0,
                seed=number,
                item={"fast": number % 7, "slow": 20 + number, "mode": BAD},
                metrics={"sharpe": (number % 7) / 3, "annual_return": 0.1, "max_drawdown": 0.1},
                status="done",
                attempts=1,
                executions=1,
                message=BAD,
                **OF_DATA,
            )
        )
    session.add(
        SampleRow(
            run_id=2,
            at=NOW,
            phase="search",
            memory_percent=1.0,
            cpu_percent=1.0,
            disk_percent=1.0,
            workflow_memory=1,
            workers=1,
            trials_done=1,
            trials_left_out=0,
        )
    )


def _algorithm(session: Any) -> None:
    session.add(
        AlgorithmRow(
            id=1,
            run_id=3,
            batch="b",
            position=0,
            model=BAD,
            provider=BAD,
            label=BAD,
            prompt_version="v1",
            prompt=BAD,
            status="ready",
            answer=BAD,
            source=BAD,
            signature="full",
            reason=BAD,
            requests=1,
            candidate=True,
            created_at=NOW,
        )
    )
    session.flush()
    equity = (40_000 * np.cumprod(1 + np.random.default_rng(0).normal(0.001, 0.01, 200))).tolist()
    session.add(
        RaceResultRow(
            run_id=3,
            algorithm_id=1,
            name=BAD,
            market_label=LABEL,
            tickers=["AAPL", BAD],
            rank=1,
            total_return=0.1,
            sharpe=1.1,
            drawdown=0.1,
            trades=3,
            statistics={"equity": equity},
            at=NOW,
            **OF_DATA,
        )
    )
    session.add(
        ModelRequestRow(
            run_id=3,
            model=BAD,
            provider=BAD,
            endpoint=BAD,
            number=1,
            outcome=BAD,
            seconds=1.0,
            reason=BAD,
            at=NOW,
        )
    )


def _desk(session: Any) -> None:
    session.add(
        AgentDeskRow(
            name="desk1",
            run_id=1,
            market_label=LABEL,
            clock="wall",
            created_at=NOW,
            began_at=NOW,
            seen_until=NOW,
            ticks=1,
            mode="ACTIVE",
            mode_actor="",
            mode_reason=BAD,
            data_until=date(2026, 11, 27),
            schedule={
                "desk": {"risk": {"gross": 1.2, "halt_drawdown": 0.2}},
                "tasks": {"risk_management": {"conditions": {BAD: BAD}}},
            },
            settings={},
        )
    )
    session.add(
        DeskRow(
            id=1,
            name="desk1",
            epoch="e",
            exchange="XNYS",
            broker="paper",
            account_number="1",
            synthetic=True,
            state="active",
            foreign_rule="halt",
            next_sequence=2,
            created_at=NOW,
        )
    )
    session.flush()
    session.add(
        OrderRow(
            desk_id=1,
            origin="desk",
            sequence=1,
            batch="b",
            position=0,
            client_order_id="c",
            session=NOW.date(),
            symbol=BAD,
            side="buy",
            quantity=10_000_000,
            order_type="market",
            time_in_force="cls",
            reduce_only=False,
            reference_price=5_000_000,
            send_from=NOW,
            cutoff=NOW,
            status="filled",
            reason=BAD,
            filled=10_000_000,
            broker_filled=10_000_000,
            attempts=1,
            intended_at=NOW,
            facts={"parts": {"strategy alpha1": 10_000_000}, "held": 0, "target": 10, "price": 5.0},
            **OF_DATA,
        )
    )
    session.add(
        BalanceRow(desk_id=1, account="position", symbol=BAD, amount=500_000, quantity=10_000_000)
    )
    session.add(MarkRow(desk_id=1, symbol=BAD, session=NOW.date(), price=6_000_000))
    session.add(
        PerformanceRow(
            desk="desk1",
            session=NOW.date(),
            made_at=NOW,
            synthetic=True,
            data_version="v1",
            before=10_000_000_000,
            net_asset_value=10_010_000_000,
            pnl=10_000_000,
            transfers=0,
            traded=1,
            gross=1,
            net=1,
            parts={BAD: 1},
            drift={"alpha1": {"cost": -10_000, BAD: 1}},
            sectors={},
            factors={},
            entries_to=1,
        )
    )
    session.add(
        ExplanationRow(
            desk="desk1",
            session=NOW.date(),
            kind="trade_decision",
            made_at=NOW,
            synthetic=True,
            data_version="v1",
            facts=[],
            text=BAD,
            written_by=BAD,
            refused=BAD,
        )
    )
    session.add(
        AgentTickRow(
            desk="desk1",
            agent="risk_management",
            due_at=NOW,
            position=0,
            outcome="ran",
            reason=BAD,
            claimed_at=NOW,
            attempts=1,
            only_safe=False,
            result={"gross": 1.1, "drawdown": 0.02, "exceptions": BAD},
        )
    )
    session.add(AgentStateRow(desk="desk1", agent="risk_management", state={"interval": 900.0}))
    session.add(AgentAlertRow(desk="desk1", key=BAD, at=NOW, text=BAD, count=1))


def _supervised(home: Path) -> None:
    """Write what a supervisor would have, and a log."""
    at = database.stamp(NOW - timedelta(minutes=10))
    rows: list[tuple[str, dict[str, Any]]] = [
        (
            "supervisions",
            {"id": "s", "started_at": at, "status": "running", "runtime_minutes": 0}
            | {"host": "h", "pid": 1, "config": "c"},
        ),
        (
            "processes",
            {"name": "alphas", "supervision": "s", "state": "quarantined", "desired": "run"}
            | {"since": at, "why": BAD, "status": BAD, "standing": '{"short_lives": 3}'}
            | {"health": 0.4, "mendable": 0.5, "factors": json.dumps({"memory": 0.4})}
            | {"restarts": 3},
        ),
        (
            "process_runs",
            {"supervision": "s", "process": "alphas", "life": 1, "pid": 7, "started_at": at}
            | {"ended_at": database.stamp(NOW), "cause": "crash", "code": 3, "seconds": 600.0},
        ),
        (
            "process_events",
            {"supervision": "s", "process": "alphas", "at": at, "kind": "quarantined"}
            | {"severity": "alert", "text": BAD},
        ),
        (
            "process_errors",
            {"process": "alphas", "fingerprint": "f", "supervision": "s", "life": 1}
            | {"stream": "stderr", "count": 2, "first_at": at, "last_at": at, "sample": BAD}
            | {"context": BAD},
        ),
        (
            "process_output",
            {"supervision": "s", "process": "alphas", "life": 1, "at": at, "stream": "stdout"}
            | {"line": BAD},
        ),
        (
            "machine_usage",
            {"at": at, "memory_percent": 20.0, "load": 1.0, "disk_free": 10**11, "level": "fine"},
        ),
    ]
    with contextlib.closing(database.open_for_writing(home / database.FILE)) as connection:
        for table, values in rows:
            columns, marks = ", ".join(values), ", ".join("?" for _ in values)
            connection.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(values.values())
            )
    logs = folder_of(home) / "logs"
    logs.mkdir(parents=True)
    (logs / "alphas.log").write_text(f"first\n{BAD}\nlast\n", "utf-8")
