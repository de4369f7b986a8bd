"""performance_analysis on sessions that are written down already: what it tells and alerts."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from alphafoundry.agents.bodies.performance_analysis import (
    PerformanceParameters,
    performance_analysis,
)
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import ExchangeHours
from alphafoundry.agents.registry import AgentContext
from alphafoundry.agents.track_record import record_sessions
from alphafoundry.errors import PerformanceError
from alphafoundry.performance.attribution import Attribution
from alphafoundry.store import open_store
from alphafoundry.store.agents import open_agent_desk, read_agent_alerts
from alphafoundry.store.performance import read_performance, record_performance
from tests.library.performance.test_sheet import rows_of
from tests.library.trading import week
from tests.library.trading.markets import market

NO_DAYS = SimpleNamespace(market_day=lambda day: None)
"""An account that knows no bars: those of the panel are taken."""

NOW = int(datetime(2024, 3, 11, 22, tzinfo=UTC).timestamp())


@pytest.fixture
def floor(tmp_path):
    with open_store(home=tmp_path) as store:
        open_agent_desk(
            store,
            "main",
            market_label="SYNTHETIC by hand",
            clock="wall",
            began_at=week.START,
            schedule={},
            settings={},
        )
        yield TradingFloor(
            store=store,
            desk="main",
            panel=market(days=30, names=5),
            hours=ExchangeHours("XNYS", week.FIRST, week.LAST),
            account=NO_DAYS,  # type: ignore[arg-type]
            strategies=[],
            home=tmp_path,
            simulated=False,
            sample_age=900,
            samples_kept=timedelta(days=1),
        )


def run(floor: TradingFloor, **parameters):
    given = PerformanceParameters(**parameters)
    return performance_analysis(
        AgentContext(floor, "performance_analysis", NOW, NOW, NOW + 600, given, 0)
    )


def closed(floor: TradingFloor, *days: date) -> None:
    floor.evenings = [SimpleNamespace(day=day) for day in days]  # type: ignore[misc]


def test_before_a_session_has_closed_there_is_nothing_to_tell(floor) -> None:
    assert run(floor).summary == "no session has closed yet"


def test_it_tells_the_figures_that_were_asked_for(floor) -> None:
    rows = rows_of(25)
    record_performance(floor.store, "main", rows)
    closed(floor, rows[-1]["session"])
    found = run(floor, metrics=("sharpe_ratio", "max_drawdown"), generate_reports=False)
    assert set(found.figures) == {"sessions", "pnl", "sharpe_ratio", "max_drawdown"}
    assert set(found.figures["sharpe_ratio"]) == {"value", "low", "high", "trials"}
    assert not (floor.home / "desks").exists()
    assert "in 1 sessions" in found.summary
    assert "in 21 sessions" in run(floor, analysis_period="1m", generate_reports=False).summary


@pytest.mark.parametrize("earned", [0, 50_000_000_0])
def test_a_session_far_from_those_before_it_is_an_alert(floor, monkeypatch, earned: int) -> None:
    rows = rows_of(40)
    rows[-1] |= {
        "pnl": rows[-1]["pnl"] + earned,
        "net_asset_value": rows[-1]["net_asset_value"] + earned,
    }
    record_performance(floor.store, "main", rows[:-1])
    closed(floor, rows[-1]["session"])

    def write_the_last(floor: TradingFloor, now: int) -> list[Attribution]:
        record_performance(floor.store, "main", rows[-1:])
        return [Attribution(rows[-1]["session"], rows[-1]["pnl"], {}, {}, {})]

    module = sys.modules[PerformanceParameters.__module__]
    monkeypatch.setattr(module, "record_sessions", write_the_last)
    run(floor, generate_reports=False)
    alerts = read_agent_alerts(floor.store, "main")
    assert len(alerts) == (1 if earned else 0)
    assert all("deviations from the sessions before" in one.text for one in alerts)
    run(floor, generate_reports=False, alert_on_anomalies=False)
    assert sum(one.count for one in read_agent_alerts(floor.store, "main")) == len(alerts)


def test_sessions_that_do_not_add_up_are_told_and_not_written(floor) -> None:
    desk = week.make_desk(floor.store)
    week.run_week(desk)
    rows = rows_of(1)
    # A row of a session that never was: its evening does not lead to the next one.
    record_performance(floor.store, "main", [{**rows[0], "session": date(2024, 3, 1)}])
    closed(floor, date(2024, 3, 4))
    floor.panel = week_panel()
    with pytest.raises(PerformanceError, match=r"2024-03-04: .* are not the .* of the evening"):
        record_sessions(floor, NOW)
    assert len(read_performance(floor.store, "main")) == 1
    assert read_agent_alerts(floor.store, "main") == []


def week_panel():
    """A market on whose days the week's names are not; their marks are then their closes."""
    import numpy as np

    dates = np.array(["2024-03-01", "2024-03-04"], dtype="datetime64[D]")
    return market(days=2, names=5, dates=dates)
