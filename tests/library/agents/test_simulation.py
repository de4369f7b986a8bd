"""A whole desk on a simulated clock: its book agrees with the broker's, and it repeats itself."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from alphafoundry.agents.desk_account import open_paper_account
from alphafoundry.agents.report import DeskReport
from alphafoundry.agents.simulation import DeskSimulation, sessions_of
from alphafoundry.agents.status import desk_status, why
from alphafoundry.errors import FoundryError
from alphafoundry.market import load_market
from alphafoundry.performance.sheet import desk_sheet
from alphafoundry.runs import Report
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import Store, open_store
from alphafoundry.store.agent_tables import AgentTickRow, HealthSampleRow
from alphafoundry.store.agents import count_ticks, read_ticks
from alphafoundry.store.desk_tables import (
    BalanceRow,
    DeskRow,
    FillRow,
    LedgerEntryRow,
    LedgerLineRow,
    MarkRow,
    OrderEventRow,
    OrderRow,
)
from alphafoundry.store.performance import read_explanations, read_performance
from alphafoundry.trading.portfolio import LiveStrategy
from tests.library.agents.small_desks import quick_schedule

SESSIONS = 2
NAMES = {
    *("id", "desk", "desk_id", "order_id", "entry_id", "client_order_id"),
    *("broker_order_id", "broker_fill_id", "reference"),
}


@pytest.fixture(scope="module")
def panel(market_cache):
    return load_market("calibration", cache_dir=market_cache, progress=None)


def simulated(
    store: Store, panel, name: str, home: Path, *, alone: bool = False, workers: int = 1
) -> tuple[DeskSimulation, DeskReport]:
    schedule = quick_schedule()
    hours, days = sessions_of(panel, "XNYS", SESSIONS)
    strategy = LiveStrategy(
        alpha_id="reversal",
        expression="rank(-ts_delta(close, 5))",
        settings=SimulationSettings(),
        data_until=days[0].day - timedelta(days=30),
        verdict="unproven",
        seeded=True,
    )
    account = open_paper_account(
        store,
        name=name,
        panel=panel,
        hours=hours,
        sessions=days,
        cash=1_000_000.0,
        seed=3,
        alone=alone,
    )
    with account:
        desk = DeskSimulation(
            store,
            name=name,
            run_id=None,
            panel=panel,
            schedule=schedule,
            hours=hours,
            sessions=days,
            strategies=[strategy],
            account=account,
            seed=3,
            home=home,
            settings={},
            workers=workers,
        )
        desk.prepare()
        for session in days:
            desk.run_session(session)
        return desk, desk.report()


def rows_of(store: Store, desk: str) -> list[list[tuple[object, ...]]]:
    """Every row of a desk, without what names the desk or is drawn."""
    with store.session() as session:
        (number,) = session.scalars(select(DeskRow.id).where(DeskRow.name == desk))
        orders = select(OrderRow.id).where(OrderRow.desk_id == number)
        entries = select(LedgerEntryRow.id).where(LedgerEntryRow.desk_id == number)
        found = []
        for table, key, owner in (
            (AgentTickRow, "desk", desk),
            (HealthSampleRow, "desk", desk),
            (OrderRow, "desk_id", number),
            (OrderEventRow, "order_id", orders),
            (FillRow, "desk_id", number),
            (LedgerEntryRow, "desk_id", number),
            (LedgerLineRow, "entry_id", entries),
            (BalanceRow, "desk_id", number),
            (MarkRow, "desk_id", number),
        ):
            columns = table.__table__.columns
            named = [columns[name] for name in columns.keys() if name not in NAMES]  # noqa: SIM118
            own = columns[key] == owner if isinstance(owner, int | str) else columns[key].in_(owner)
            listed = session.execute(select(*named).where(own))
            found.append(sorted(tuple(map(str, row)) for row in listed))
        return found


@pytest.mark.slow
def test_a_desk_of_two_sessions(tmp_path, panel):
    with open_store(home=tmp_path) as store:
        desk, report = simulated(store, panel, "first", tmp_path)
        _, again = simulated(store, panel, "second", tmp_path, alone=True, workers=3)

        # The broker's own book, kept by other code, says the same to the cent.
        assert report.totals.differences == []
        assert report.totals.orders["filled"] > 100
        assert report.totals.costs["commission"] > 0

        # The same desk gives the same rows, whatever is kept in memory and however many prepare.
        assert again.digest == report.digest
        assert rows_of(store, "second") == rows_of(store, "first")
        assert report.preparing > 0 and "us a tick" in dict(report.summary())["speed"]

        # Every tick that the report counts is a row, and each agent did its work.
        rows = Counter({(agent, outcome): n for agent, outcome, n in count_ticks(store, "first")})
        assert sum(rows.values()) == report.ticks.total()
        for agent in report.ticks.by_agent:
            assert rows[agent, "failed"] == 0
            # Research waits for a market that is neither quiet nor wild, and backtests for it.
            waits = agent in ("strategy_research", "strategy_backtesting")
            assert rows[agent, "ran"] >= 1 or (waits and rows[agent, "blocked"] >= 1)
        assert rows["portfolio_rebalancing", "ran"] == SESSIONS
        assert rows["execution", "idle"] > rows["execution", "ran"]

        # Orders are written twenty minutes before the close with bars to the day before.
        rebalancing = read_ticks(store, "first", agent="portfolio_rebalancing")
        for tick, session in zip(rebalancing, desk.sessions, strict=True):
            assert tick.due_at.timestamp() == session.closes - 20 * 60
            assert tick.result is not None
            assert date.fromisoformat(tick.result["data_until"]) < session.day

        # The truth: what planted effects earn on the shares held overnight.
        held = desk.floor.evenings[-1]
        assert held.hypothetical != 0 and np.isfinite(held.planted)
        assert report.headline.startswith("SYNTHETIC")
        assert "reconciled to $0.00" in dict(report.summary())["ledger"]
        assert isinstance(report.to_json()["digest"], str)
        shown: Report = report
        assert shown.kind == "desk"

        # Each session is written down once; its parts lead from evening to evening, and its costs
        # are those that the account has booked.
        sessions = read_performance(store, "first")
        assert [one.session for one in sessions] == [one.day for one in desk.sessions]
        wealth = 1_000_000_0000
        for one in sessions:
            assert sum(one.parts.values()) == one.pnl
            wealth += one.pnl
            assert one.net_asset_value == wealth
        told = desk_sheet(store, "first")
        sources = dict(told.sources())
        assert sources["commission"] == pytest.approx(-report.totals.costs["commission"])
        assert sources["execution gap"] == pytest.approx(-report.totals.costs["impact"], abs=0.05)
        held = sum(one.hypothetical for one in desk.floor.evenings)
        assert sources["strategies"] + sources["optimiser"] == pytest.approx(held, abs=20.0)
        page = (tmp_path / "desks" / "first" / "report.html").read_text("utf-8")
        assert "SYNTHETIC" in page and "Trade decision" in page
        assert len(read_explanations(store, "first", day=desk.sessions[-1].day)) == 3

        status = desk_status(store, "first")
        assert status.overall_health == 1.0 and status.desk.mode == "ACTIVE"
        lines = list(why(store, "execution", "first"))
        assert any("pending_orders is 0" in line for line in lines)
        order = list(why(store, "7", "first"))
        assert order[0].startswith("order 7 of desk first: ")
        assert any(line.endswith(", the order's quantity") for line in order)
        with pytest.raises(FoundryError, match="did you mean 'execution'"):
            list(why(store, "exekution", "first"))


def test_more_sessions_than_the_market_has_are_refused(panel):
    with pytest.raises(FoundryError, match="give fewer"):
        sessions_of(panel, "XNYS", len(panel.dates))


def test_a_market_that_trades_when_the_exchange_does_not_is_refused(panel):
    with pytest.raises(FoundryError, match="is no session of XLON"):
        sessions_of(panel, "XLON", 10)
