"""The dashboard over a large store: milliseconds, queries and bytes of every page and chart.

Builds 100,000 alphas with their simulations and daily PnL, a workflow of 100,000 trials, 100,000
orders and ticks, and 10 million samples of 20 processes; then asks for each page in this process,
several times, and counts the queries at the databases. `first` is the first time a page is asked
for; the other columns are medians of the later ones, `cpu` that of processor time, which depends
less on what else runs. The edge of every page and the number of all trials are read at the first
request alone: a dashboard reads them again some times a minute, for all tabs together and beside
the requests, which on a busy machine would fall into every round.

    python -m benchmarks.dashboard [--alphas 100000] [--samples 10000000] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sqlalchemy import event

from alphafoundry.dashboard import Access, Sources, create_application, evidence, facts
from alphafoundry.store import (
    AlphaRow,
    DailyPnl,
    MarketRow,
    PhaseRow,
    RunRow,
    SimulationRow,
    Store,
    TrialRow,
    open_store,
)
from alphafoundry.store.agent_tables import AgentDeskRow, AgentStateRow, AgentTickRow
from alphafoundry.store.database import add_rows
from alphafoundry.store.desk_tables import DeskRow, OrderRow
from alphafoundry.store.tables import PnlRow
from alphafoundry.supervisor import database
from alphafoundry.supervisor.processes import Retention
from benchmarks.results_file import write_result

SERVICE = "local:bench"
PORT = 4210
ROUNDS = 3
CHUNK = 5_000
PROCESSES = 20
PAGE_MS, CHART_MS, MOST_QUERIES = 300.0, 200.0, 3

PAGES = {
    "now": "/",
    "alphas": "/alphas",
    "alphas by Sharpe ratio": "/alphas?sort=-sharpe",
    "alphas with a word": "/alphas?q=volume+close&sort=-fitness",
    "alphas with no such word": "/alphas?q=nothing+at+all",
    "alphas with an operator": "/alphas?name=ts_rank",
    "alphas by numbers": "/alphas?sharpe=1&turnover=0.3&sort=-fitness",
    "alpha": f"/alpha?service={SERVICE}&id=a0000042",
    "alpha: nearest": f"/alpha/nearest?service={SERVICE}&id=a0000042",
    "compare eight": "/compare?" + "&".join(f"a={SERVICE}~a{n:07}" for n in range(8)),
    "runs": "/runs",
    "run": "/runs/1",
    "workflows": "/workflows",
    "workflow": "/workflows/2",
    "trials": "/workflows/2/search",
    "trials by Sharpe ratio": "/workflows/2/search?sort=-sharpe",
    "algorithms": "/algorithms",
    "data": "/data",
    "desk": "/desk",
    "orders": "/desk/orders",
    "agents": "/agents",
    "ticks": "/agents/ticks?outcome=failed",
    "processes": "/processes",
    "process": "/processes/p01",
    "output": "/processes/p01/output?q=line+99",
    "machine": "/machine",
}
CHARTS = {
    "chart: PnL": f"/api/charts/pnl?service={SERVICE}&id=a0000042&width=1200",
    "chart: eight compared": "/api/charts/compared?width=1200&a="
    + "|".join(f"{SERVICE}~a{n:07}" for n in range(8)),
    "chart: scatter": "/api/charts/scatter?width=1200",
    "chart: memory, 6 hours": "/api/charts/memory?name=p01&hours=6&width=1200",
    "chart: memory, 1 week": "/api/charts/memory?name=p01&hours=168&width=1200",
    "chart: memory, 1 month": "/api/charts/memory?name=p01&hours=720&width=1200",
}


def build(home: Path, alphas: int, samples: int) -> None:
    """Write the rows."""
    now = datetime.now(UTC)
    with open_store(home=home) as store:
        _build_research(store, alphas, now)
        _build_desk(store, alphas, now)
    _build_supervisor(home / database.FILE, samples, now)


def _build_research(store: Store, count: int, now: datetime) -> None:
    generator = np.random.default_rng(0)
    data: dict[str, Any] = {
        "market_id": "bench",
        "data_version": "v",
        "data_until": date(2026, 11, 27),
    }
    run: dict[str, Any] = {
        "service": SERVICE,
        "market_label": "SYNTHETIC market of the benchmark",
        "settings": {},
        "host": "h",
        "pid": 1,
        "process_started": 0.0,
        "status": "finished",
        **data,
    }
    with store.write() as session:
        session.add(
            MarketRow(
                id="bench",
                source="bench",
                universe="",
                adjustment="",
                label="SYNTHETIC market of the benchmark",
                created_at=now,
            )
        )
        for number in range(1, 1001):
            at = now - timedelta(minutes=10 * (1000 - number))
            flow = "optimize" if number == 2 else "daily"
            times = {"heartbeat_at": at, "started_at": at, "finished_at": at}
            session.add(RunRow(id=number, flow=flow, **run, **times))
        session.flush()
        session.add(
            PhaseRow(
                run_id=2,
                workflow="bench",
                phase="search",
                key="search-1",
                status="finished",
                trials=count,
                executed=count,
                left_out=0,
                started_at=now,
                finished_at=now,
            )
        )
    operators = ("ts_rank", "ts_mean", "rank", "group_rank", "ts_delta")
    fields = ("volume", "close", "vwap", "returns", "adv20", "open")
    days = np.arange("2025-11-01", "2026-11-01", dtype="datetime64[D]")
    days = days[np.is_busday(days)]
    checks = [
        {"name": name, "result": "PASS", "limit": 1.25, "value": 1.0}
        for name in ("LOW_SHARPE", "LOW_FITNESS", "LOW_TURNOVER", "HIGH_TURNOVER", "WEIGHT")
    ]
    settings = {"region": "USA", "universe": "TOP3000", "delay": 1, "neutralization": "INDUSTRY"}
    for start in range(0, count, CHUNK):
        rows, simulations, pnl = [], [], []
        for number in range(start, min(start + CHUNK, count)):
            a, b = (operators[int(one)] for one in generator.integers(5, size=2))
            x, y = (fields[int(one)] for one in generator.integers(6, size=2))
            expression = f"{a}({b}(divide({x}, {y}), {number % 97}), {number})"
            sharpe = float(generator.normal())
            alpha_id = f"a{number:07}"
            at = now - timedelta(seconds=count - number)
            rows.append(
                {
                    "service": SERVICE,
                    "alpha_id": alpha_id,
                    "expression": expression,
                    "settings": settings,
                    "sharpe": sharpe,
                    "fitness": sharpe * 0.7,
                    "turnover": float(generator.random()),
                    "returns": 0.05,
                    "drawdown": 0.1,
                    "margin": 0.001,
                    "checks": checks,
                    "hopeful": sharpe > 1,
                    "source": "simulated",
                    "created_at": at,
                    **data,
                }
            )
            simulations.append(
                {
                    "service": SERVICE,
                    "key": f"k{number}",
                    "canonical": expression,
                    "expression": expression,
                    "settings": settings,
                    "origin": "grammar",
                    "run_id": 1 + number % 1000,
                    "status": "complete",
                    "alpha_id": alpha_id,
                    "parent_alpha_id": f"a{number // 2:07}",
                    "attempts": 1,
                    "created_at": at,
                    "finished_at": at,
                    **data,
                }
            )
            kept, amounts = DailyPnl(days, generator.normal(size=len(days)) * 1e4).to_bytes()
            pnl.append({"service": SERVICE, "alpha_id": alpha_id, "days": kept, "amounts": amounts})
        trials = [
            {
                "phase_key": "search-1",
                "number": number,
                "run_id": 2,
                "workflow": "bench",
                "phase": "search",
                "batch": number // 1000,
                "seed": number,
                "item": {"fast": number % 50, "slow": number % 300},
                "metrics": {"sharpe": row["sharpe"], "annual_return": 0.1, "turnover": 0.1},
                "status": "done",
                "attempts": 1,
                "executions": 1,
                **data,
            }
            for number, row in enumerate(rows, start=start)
        ]
        with store.write() as session:
            add_rows(session, AlphaRow, rows)
            add_rows(session, SimulationRow, simulations)
            add_rows(session, PnlRow, pnl)
            add_rows(session, TrialRow, trials)


def _build_desk(store: Store, count: int, now: datetime) -> None:
    agents = ("risk_management", "execution", "data_sync", "meta_control")
    with store.write() as session:
        session.add(
            AgentDeskRow(
                name="bench",
                run_id=3,
                market_label="SYNTHETIC market of the benchmark",
                clock="wall",
                created_at=now,
                began_at=now,
                seen_until=now,
                ticks=count,
                mode="ACTIVE",
                mode_actor="",
                mode_reason="",
                schedule={"desk": {"risk": {"gross": 1.2}}},
                settings={},
            )
        )
        session.add(
            DeskRow(
                id=1,
                name="bench",
                epoch="e",
                exchange="XNYS",
                broker="paper",
                account_number="1",
                synthetic=True,
                state="active",
                foreign_rule="halt",
                next_sequence=1,
                created_at=now,
            )
        )
        session.flush()
        add_rows(
            session,
            AgentStateRow,
            [{"desk": "bench", "agent": one, "state": {"interval": 900.0}} for one in agents],
        )
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        ticks = [
            {
                "desk": "bench",
                "agent": agents[number % len(agents)],
                "due_at": now - timedelta(seconds=count - number),
                "position": number,
                "outcome": "failed" if number % 1000 == 0 else "ran",
                "reason": "because",
                "claimed_at": now,
                "attempts": 1,
                "only_safe": False,
                "result": {"gross": 1.0},
            }
            for number in numbers
        ]
        orders = [
            {
                "desk_id": 1,
                "origin": "desk",
                "sequence": number,
                "batch": "b",
                "position": number,
                "client_order_id": f"c{number}",
                "session": date(2026, 11, 27),
                "symbol": f"S{number % 500}",
                "side": "buy",
                "quantity": 1_000_000,
                "order_type": "market",
                "time_in_force": "cls",
                "reduce_only": False,
                "send_from": now,
                "cutoff": now,
                "status": "filled",
                "filled": 1_000_000,
                "broker_filled": 1_000_000,
                "attempts": 1,
                "intended_at": now,
                "facts": {"parts": {f"strategy a{number % 100:07}": 1}},
            }
            for number in numbers
        ]
        with store.write() as session:
            add_rows(session, AgentTickRow, ticks)
            add_rows(session, OrderRow, orders)


def _build_supervisor(path: Path, samples: int, now: datetime) -> None:
    with contextlib.closing(database.open_for_writing(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(
            "INSERT INTO supervisions (id, started_at, status, runtime_minutes, host, pid, config) "
            "VALUES ('s', ?, 'running', 0, 'h', 1, 'c')",
            (database.stamp(now),),
        )
        names = [f"p{number:02}" for number in range(PROCESSES)]
        for name in names:
            connection.execute(
                "INSERT INTO processes (name, supervision, state, desired, since, standing) "
                "VALUES (?, 's', 'running', 'run', ?, '{}')",
                (name, database.stamp(now)),
            )
        connection.executemany(
            "INSERT INTO process_events (supervision, process, at, kind, severity, text) "
            "VALUES ('s', ?, ?, 'started', 'info', 'it started')",
            [(names[n % PROCESSES], database.stamp(now)) for n in range(20_000)],
        )
        connection.executemany(
            "INSERT INTO process_output (supervision, process, life, at, stream, line) "
            "VALUES ('s', ?, 1, ?, 'stdout', ?)",
            [(names[n % PROCESSES], database.stamp(now), f"line {n}") for n in range(200_000)],
        )
        connection.executemany(
            "INSERT INTO process_runs (supervision, process, life, pid, started_at, ended_at, "
            "cause, seconds) VALUES ('s', ?, ?, 1, ?, ?, 'turn', 10)",
            [
                (
                    names[n % PROCESSES],
                    n,
                    database.stamp(now - timedelta(seconds=10 * n)),
                    database.stamp(now - timedelta(seconds=10 * n - 10)),
                )
                for n in range(10_000)
            ],
        )
        each = samples // PROCESSES
        step = timedelta(hours=47) / max(each, 1)
        for name in names:
            connection.executemany(
                "INSERT OR IGNORE INTO resource_usage VALUES (?, ?, 10.0, ?, 20, 5, 1, 1.0)",
                _samples(name, now - timedelta(hours=47), step, each),
            )
        connection.execute("COMMIT")
        database.take_care(connection, Retention(), now=now)


def _samples(
    name: str, since: datetime, step: timedelta, count: int
) -> Iterator[tuple[str, str, int]]:
    for number in range(count):
        yield name, database.stamp(since + number * step), 10**8 + number % 1000


async def measure(home: Path) -> list[dict[str, Any]]:
    """Ask for each page and chart, and return what it took."""
    rows = list[dict[str, Any]]()
    counted = 0
    print(f"{'':<26}{'first':>8}{'ms':>8}{'cpu ms':>8}{'queries':>9}{'KB':>8}")

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal counted
        counted += statement != "BEGIN"

    facts.REREAD_SECONDS = evidence.COUNT_SECONDS = evidence.MOST_SECONDS = 3600.0
    with open_store(home=home) as store:
        sources = Sources(store, home)
        for engine in sources.engines:
            event.listen(engine, "before_cursor_execute", count)
        access = Access(home / "dashboard", port=PORT)
        transport = httpx.ASGITransport(create_application(sources, access))
        base = f"http://127.0.0.1:{PORT}"
        async with httpx.AsyncClient(transport=transport, base_url=base, timeout=600) as client:
            await client.get("/enter", params={"code": access.code()})
            for name, path in {**PAGES, **CHARTS}.items():
                took, cpu, queries = [], [], []
                for _ in range(ROUNDS + 1):
                    counted = 0
                    begin, busy = time.perf_counter(), time.process_time()
                    answer = await client.get(path)
                    took.append(1000 * (time.perf_counter() - begin))
                    cpu.append(1000 * (time.process_time() - busy))
                    queries.append(counted)
                    assert answer.status_code == 200, (path, answer.text[:300])
                rows.append(
                    {
                        "case": name,
                        "first_ms": round(took[0], 1),
                        "ms": round(statistics.median(took[1:]), 1),
                        "cpu_ms": round(statistics.median(cpu[1:]), 1),
                        "queries": int(statistics.median(queries[1:])),
                        "kilobytes": round(len(answer.content) / 1000, 1),
                    }
                )
                print(_line(rows[-1]), flush=True)
        sources.close()
    return rows


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['case']:<26}{row['first_ms']:>8.0f}{row['ms']:>8.0f}{row['cpu_ms']:>8.0f}"
        f"{row['queries']:>9}{row['kilobytes']:>8.0f}"
    )


def check(rows: list[dict[str, Any]]) -> list[str]:
    """Return what takes more processor time, or asks more, than it should."""
    wrong = []
    for row in rows:
        limit = CHART_MS if row["case"].startswith("chart") else PAGE_MS
        if row["cpu_ms"] > limit:
            wrong.append(f"{row['case']}: {row['cpu_ms']:.0f} ms, at most {limit:.0f}")
        if row["queries"] > MOST_QUERIES:
            wrong.append(f"{row['case']}: {row['queries']} queries, at most {MOST_QUERIES}")
    return wrong


def main() -> None:
    """Build, measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--alphas", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="keep the store here, and take it again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = given.folder or Path(temporary)
        if not (home / "foundry.sqlite").exists():
            print(f"building {given.alphas:,} alphas and {given.samples:,} samples ...", flush=True)
            begin = time.monotonic()
            build(home, given.alphas, given.samples)
            print(f"built in {time.monotonic() - begin:.0f} s")
        sizes = sum(one.stat().st_size for one in home.glob("*.sqlite"))
        sizes += sum(one.stat().st_size for one in home.glob("*.db"))
        rows = asyncio.run(measure(home))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"databases {sizes / 1e6:,.0f} MB, peak memory {peak:,.0f} MB, {os.cpu_count()} cores")
    for line in check(rows):
        print(f"too much: {line}")
    told = [{"case": "load of the machine, 1 minute", "value": round(os.getloadavg()[0], 1)}]
    write_result("dashboard", rows + told, ["fastapi", "jinja2", "sqlalchemy"])
    print(f"SQLite {sqlite3.sqlite_version}")


if __name__ == "__main__":
    main()
