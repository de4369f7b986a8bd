"""Several hosts at one work: caps hold over all of them, and nothing is lost or doubled.

One loses its power in the middle, another is cut off the network and comes back.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from tests.flows.misbehaving import FITTING
from tests.hosts.network import Host, Network, network, why_not
from tests.postgres import PostgresServer, running_postgres
from tests.working_folder import TIMEOUT, wait_until

REASON = why_not()
pytestmark = [pytest.mark.long, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

CAP = 3
EACH = 16
LONG = 32
"""Simulations of a run that must not have ended before its host is killed or cut off."""
PORT = 4200


@pytest.fixture
def switch(tmp_path: Path, market_cache: Path) -> Iterator[Network]:
    with network(tmp_path / "network", market_cache) as made:
        yield made


@pytest.fixture
def server(switch: Network) -> Host:
    """The host that the others have in common."""
    return switch.host("server")


@pytest.fixture
def postgres(server: Host) -> Iterator[PostgresServer]:
    """PostgreSQL on that host."""
    with running_postgres(enter=server.enter, address=server.address) as started:
        yield started


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds, nothing before its table exists."""
    with psycopg.connect(url) as database:
        try:
            return database.execute(query).fetchall()
        except psycopg.errors.UndefinedTable:
            return []


def prefect_on(server: Host, postgres: PostgresServer) -> str:
    """Start Prefect's server on its host, its database beside it; return the address of its API."""
    pytest.importorskip("asyncpg")
    url = postgres.url_on_network(postgres.database())
    server.start(
        *("tasks.prefect.server", "--host", server.address, "--port", str(PORT)),
        PREFECT_SERVER_DATABASE_CONNECTION_URL=url.replace("postgresql:", "postgresql+asyncpg:"),
    )
    api = f"http://{server.address}:{PORT}/api"
    server.asked(f"{api}/health")
    return api


def test_a_cap_holds_over_hosts_one_of_which_dies_and_one_is_cut_off(
    switch: Network, server: Host, postgres: PostgresServer
) -> None:
    database = postgres.database()
    api = prefect_on(server, postgres)
    hosts = [switch.host(name) for name in ("one", "two", "three")]
    brain = switch.host("brain")
    for host in (brain, *hosts):
        (host.outside / "credential.txt").write_text('["ada@example.org", "pass"]')
    brain.start(
        *("alphafoundry.brain.server", "--host", brain.address, "--port", "8787"),
        *("--credentials", "credential.txt"),
        *("--simulation-seconds", "1.5", "--max-concurrent", "50", "--poll-seconds", "0.1"),
    )
    service = f"http://{brain.address}:8787"
    brain.wait_for("alphafoundry.brain.server", service)
    shared = {
        "PREFECT_API_URL": api,
        "FOUNDRY_DATABASE_URL": postgres.url_on_network(database),
    }

    def begin(number: int, host: Host, simulations: int = EACH) -> Any:
        flags = ("--simulations", str(simulations), "--brain", service, "--seed", str(number))
        return host.start("flows.generate", *flags, **shared)

    def ended(name: str) -> int:
        query = (
            "SELECT count(*) FROM simulations JOIN runs ON runs.id = simulations.run_id "
            f"WHERE host = '{name}' AND simulations.alpha_id IS NOT NULL"
        )
        found = rows(database, query)
        return int(found[0][0]) if found else 0

    one, two, three = hosts
    runs = [begin(0, one), begin(1, two, LONG), begin(2, three, LONG)]
    faults = {"two": two.lose_power, "three": three.cut_off}

    def befell() -> bool:
        """Let each fault happen as soon as its own host has a simulation, whoever starts first."""
        for name in [name for name in faults if ended(name)]:
            faults.pop(name)()
        return not faults

    wait_until(befell, what="a simulation of each host")
    assert ended("two") < LONG and ended("three") < LONG and runs[2].poll() is None
    before = ended("one")
    wait_until(
        lambda: ended("one") > before + 1 or runs[0].poll() is not None,
        what="two more simulations of the first host",
    )
    three.join()
    assert (runs[0].wait(TIMEOUT), runs[2].wait(TIMEOUT)) == (0, 0), "\n".join(
        host.printed("flows.generate") for host in (one, three)
    )
    again = begin(1, switch.again(two), LONG)
    assert again.wait(TIMEOUT) == 0, two.printed("flows.generate")
    seen = json.loads(brain.asked(f"{service}/foundry/metrics"))
    made = rows(database, "SELECT count(*), count(DISTINCT key) FROM simulations")
    statuses = rows(database, "SELECT DISTINCT status FROM simulations")
    assert {status for (status,) in statuses} <= {"complete", "warning", "error"}
    assert made == [(seen["simulations"], seen["simulations"])]
    assert made[0][0] >= EACH + 2 * LONG
    assert 0 < seen["peak_running"] <= CAP
    assert seen["answered_429"] == 0


def screened(host: Host) -> list[tuple[Any, ...]]:
    """Return all that a host has screened, every number with all its digits."""
    path = host.home / "foundry.sqlite"
    if not path.exists():
        return []
    numbers = "canonical, sharpe, fitness, turnover, returns, drawdown, margin, days, reason"
    with closing(sqlite3.connect(path, timeout=30)) as database:
        try:
            return database.execute(
                f"SELECT {numbers}, pnl_amounts FROM screened ORDER BY key"
            ).fetchall()
        except sqlite3.OperationalError:
            return []


IDEAS = 120


def write_market(path: Path) -> None:
    """Write daily bars of a few names that move at random."""
    generator = np.random.default_rng(1)
    dates = pd.bdate_range("2018-01-02", periods=700)
    names = [f"N{number:02d}" for number in range(40)]
    close = 50.0 * np.exp(np.cumsum(generator.normal(0.0, 0.02, (700, 40)), axis=0))
    bars = pd.DataFrame(close, index=dates, columns=names).stack().rename("close").reset_index()
    bars.columns = pd.Index(["date", "symbol", "close"])
    bars["volume"] = generator.integers(10_000, 90_000, len(bars)).astype(float)
    bars.to_parquet(path)


def test_screening_on_hosts_gives_the_numbers_of_one_though_one_dies_and_one_is_cut_off(
    switch: Network, server: Host
) -> None:
    pytest.importorskip("distributed")
    command = ("flows.screen", "--market", "bars.parquet", "--prescreen", str(IDEAS))
    small = {**FITTING, "FOUNDRY_SCREEN__BATCH": "4"}
    alone, desk = switch.host("alone"), switch.host("desk")
    for host in (alone, desk):
        write_market(host.outside / "bars.parquet")
    alone.run(*command, **small)
    address = f"tcp://{server.address}:8786"
    server.start("distributed.cli.dask_scheduler", "--host", address, "--no-dashboard")
    server.wait_for("distributed.cli.dask_scheduler", "Scheduler at")
    workers = [switch.host(f"worker{number}") for number in range(3)]
    for worker in workers:
        worker.start(
            *("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"),
            *("--no-dashboard", "--host", worker.address),
        )
        worker.wait_for("distributed.cli.dask_worker", "Registered to")
    run = desk.start(*command, **small, FOUNDRY_SCREEN__SCHEDULER_ADDRESS=address)
    wait_until(lambda: screened(desk), what="a batch that was screened")
    workers[0].lose_power()
    workers[1].cut_off()
    kept = len(screened(desk))
    assert kept < IDEAS
    wait_until(
        lambda: len(screened(desk)) > kept + 12 or run.poll() is not None,
        what="more from the worker that is left",
    )
    workers[1].join()
    assert run.wait(TIMEOUT) == 0, desk.printed("flows.screen")
    assert screened(desk) == screened(alone)
    assert len(screened(desk)) >= IDEAS


HOLD = """
import sys, time
from pathlib import Path
from alphafoundry.store import open_store
from alphafoundry.store.database import lock_subject
with open_store(sys.argv[1], home=Path()) as store, store.write() as session:
    lock_subject(session, "subject")
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_in_the_database_of_a_host_without_power_is_free_again(
    switch: Network, postgres: PostgresServer
) -> None:
    url = postgres.url_on_network(postgres.database())
    holder, other = switch.host("holder"), switch.host("other")
    for host in (holder, other):
        (host.outside / "hold.py").write_text(HOLD)
    holder.start("hold", url, "3600")
    holder.wait_for("hold", "held")
    holder.lose_power()
    other.run("hold", url, "0")
