"""strategy_research: a budget, an incubation without weight, and a judgement with figures."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from datetime import UTC, datetime
from unittest import mock

import numpy as np
import pytest

from alphafoundry.agents.bodies import meta_control
from alphafoundry.agents.hours import utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.retirement import Decline, declines
from alphafoundry.agents.strategy_book import person_sets_state, strategy_returns, take_up
from alphafoundry.errors import FoundryError
from alphafoundry.simulation import simulate
from alphafoundry.simulation.pnl import BASE
from alphafoundry.store.agents import read_control_decisions
from alphafoundry.store.strategies import propose_strategies, read_strategies
from tests.library.agents.desks import hours_of
from tests.library.agents.research_floor import research_floor, session_of, tick
from tests.library.agents.small_desks import small_panel
from tests.library.trading.markets import REVERSAL, market, strategy

RESEARCH = known_agents()["strategy_research"]
CONTROL = known_agents()["meta_control"]


def long_panel(days: int = 1080, **given):
    sessions = hours_of("2018-06-01", "2024-03-15").sessions[-days:]
    dates = np.array([one.day for one in sessions], dtype="datetime64[D]")
    return market(days=days, names=40, dates=dates, **given)


def proposed(floor, one, *, row: int, state: str = "incubating") -> None:
    day = floor.panel.dates[row].item()
    propose_strategies(
        floor.store,
        floor.desk,
        [
            {
                "alpha_id": one.alpha_id,
                "strategy": one.to_json(),
                "state": state,
                "found_on": day,
                "data_until": day,
                "fitness": 1.0,
                "sharpe": 1.0,
                "trials": 20,
                "changed_at": utc(session_of(floor, row).closes),
                "reason": "by hand",
                "evidence": {},
                "synthetic": True,
            }
        ],
    )


def at(floor, row: int) -> int:
    floor.data_until = floor.panel.dates[row].item()
    return session_of(floor, row).closes + 3600


def test_a_search_spends_its_budget_on_the_days_that_are_known(tmp_path):
    with research_floor(tmp_path, long_panel()) as floor:
        now = at(floor, 1060)
        found = tick(floor, RESEARCH, now, simulations=6, most_in_simulation=8)
        more = tick(floor, RESEARCH, now, simulations=6, most_in_simulation=8)
        spent = tick(floor, RESEARCH, now, simulations=6, most_in_simulation=8)
        rows = read_strategies(floor.store, "small")
    assert (found.figures["simulated"], more.figures["simulated"]) == (6, 2)
    assert "budget of 8 is spent" in spent.summary
    assert all(row.data_until <= row.found_on and row.state == "incubating" for row in rows)
    assert not list((tmp_path / "scratch").iterdir())


def test_a_market_too_short_for_a_search_is_told(tmp_path):
    with research_floor(tmp_path, small_panel()) as floor:
        assert "too few" in tick(floor, RESEARCH, at(floor, 400)).summary


def test_what_goes_on_as_expected_trades_and_what_does_not_is_retired(tmp_path):
    with research_floor(tmp_path, long_panel()) as floor:
        proposed(floor, REVERSAL, row=1000)
        proposed(floor, strategy("against", "ts_delta(close, 5) / ts_delay(close, 5)"), row=1000)
        proposed(floor, strategy("young", "-ts_delta(close, 4) / ts_delay(close, 4)"), row=1030)
        tick(floor, RESEARCH, at(floor, 1010), most_in_simulation=0)
        assert {row.state for row in read_strategies(floor.store, "small")} == {"incubating"}
        tick(floor, RESEARCH, at(floor, 1040), most_in_simulation=0)
        rows = {row.alpha_id: row for row in read_strategies(floor.store, "small")}
        assert {name: row.state for name, row in rows.items()} == {
            "reversal": "live",
            "against": "retired",
            "young": "incubating",
        }
        assert [one.alpha_id for one in floor.strategies] == ["reversal"]
        assert rows["reversal"].evidence["sessions"] == 40
        # A twin of what trades is no second idea.
        tick(floor, RESEARCH, at(floor, 1060), most_in_simulation=0)
        twin = next(row for row in read_strategies(floor.store, "small") if row.alpha_id == "young")
        assert (twin.state, "correlated" in twin.reason) == ("retired", True)
        decisions = read_control_decisions(floor.store, "small")
        assert {one.undo for one in decisions} == {
            "retire reversal",
            "reinstate against",
            "reinstate young",
        }


def test_a_candidate_is_judged_beside_a_workflow_that_trades(tmp_path):
    rule = {
        "strategy": {"type": "expression", "template": "-ts_mean(volume, {days})", "defaults": []},
        "parameters": {"days": 5},
    }
    workflow = replace(strategy("workflow w/volume", "volume(days=5)"), rule=rule)
    with research_floor(tmp_path, long_panel()) as floor:
        proposed(floor, workflow, row=1000, state="live")
        proposed(floor, REVERSAL, row=1000)
        tick(floor, RESEARCH, at(floor, 1040), most_in_simulation=0)
        row = next(r for r in read_strategies(floor.store, "small") if r.alpha_id == "reversal")
    assert (row.state, row.evidence["most_alike"]) == ("live", "workflow w/volume")


def test_returns_of_what_trades_are_those_of_its_simulation(tmp_path):
    with research_floor(tmp_path, small_panel()) as floor:
        floor.trade([REVERSAL])
        floor.data_until = floor.panel.dates[-1].item()
        dates, returns = strategy_returns(floor)
        days = simulate_short(floor.panel)
    assert dates[-1] == days.dates[-1]
    np.testing.assert_allclose(returns[0][-len(days.pnl) :], days.pnl / BASE, atol=1e-12)


def simulate_short(panel):
    from alphafoundry.simulation import simulator

    shorter = functools.partial(simulator.from_first_position, least=100)
    with mock.patch.object(simulator, "from_first_position", shorter):
        return simulate(REVERSAL.expression, panel, REVERSAL.settings).days


def test_a_strategy_whose_effect_ends_is_retired_by_meta_control_with_its_undo(tmp_path):
    # What fell back goes on from day 700 on: the opposite of what the search saw.
    panel = long_panel(days=1000)
    turned = panel.fields["returns"].copy()
    other = long_panel(days=1000, effect=-0.15).fields
    close = panel.fields["close"].copy()
    close[700:] = close[699] * np.cumprod(1.0 + np.nan_to_num(other["returns"][700:]), axis=0)
    turned[700:] = other["returns"][700:]
    fields = {**panel.fields, "close": close, "returns": turned}
    changed = long_panel(days=1000, fields=fields)
    with research_floor(tmp_path, changed) as floor:
        until = floor.panel.dates[690].item()
        fallback = strategy("reversal", REVERSAL.expression, until=until)
        proposed(floor, fallback, row=690, state="live")
        proposed(floor, strategy("volume", "-rank(volume)", until=until), row=690, state="live")
        take_up(floor, at(floor, 700))
        tick(floor, CONTROL, at(floor, 705))
        assert len(floor.strategies) == 2
        tick(floor, CONTROL, at(floor, 990), control_mode="observe")
        assert len(floor.strategies) == 2
        (fallen,) = [one for one in declines(floor) if one.is_over]
        assert fallen.alpha_id == "reversal"
        assert math.isfinite(fallen.threshold)
        found = tick(floor, CONTROL, at(floor, 990))
        assert "reversal retired: CUSUM" in found.summary
        assert [one.alpha_id for one in floor.strategies] == ["volume"]
        row = next(one for one in read_control_decisions(floor.store, "small"))
        assert (row.actor, row.undo) == ("meta_control", "reinstate reversal")
        assert row.evidence["sum"] > row.evidence["threshold"]


def test_the_last_alpha_stays_while_a_model_that_reads_it_trades(tmp_path, monkeypatch):
    rule = {"model": {}, "features": [REVERSAL.to_json()], "counts_from": "2021-01-04"}
    champion = replace(strategy("ridge", "ridge(reversal)"), rule=rule)
    fallen = Decline("reversal", 9.0, 5.0, 100, 1e-3, -1e-3)
    monkeypatch.setattr(meta_control, "declines", lambda floor: [fallen])
    with research_floor(tmp_path, small_panel(), simulated=False) as floor:
        for one in (REVERSAL, champion):
            proposed(floor, one, row=300, state="live")
        assert tick(floor, CONTROL, at(floor, 400)).summary == ""
        assert {one.alpha_id for one in floor.strategies} == {"reversal", "ridge"}
        given = {"desk": "small", "at": datetime(2024, 1, 5, 12, tzinfo=UTC)}
        with pytest.raises(FoundryError, match="last that trades, but for models"):
            person_sets_state(floor.store, "reversal", "retired", "x", **given)
        proposed(floor, strategy("volume", "-rank(volume)"), row=300, state="live")
        assert "reversal retired" in tick(floor, CONTROL, at(floor, 401)).summary


def test_the_desk_is_halted_where_a_strategy_cannot_run(tmp_path):
    with research_floor(tmp_path, small_panel()) as floor:
        proposed(floor, strategy("odd", "rank(volum)"), row=300, state="live")
        floor.broken_by = "ledger and broker differ"
        found = tick(floor, CONTROL, at(floor, 400))
    assert found.control.mode == "HALTED"
    assert "no strategy was judged" in found.summary and "volum" in found.summary


def test_a_person_retires_and_reinstates_on_a_desk_that_runs(tmp_path):
    moment = datetime(2024, 1, 5, 12, tzinfo=UTC)
    with research_floor(tmp_path, small_panel(), simulated=False) as floor:
        floor.strategies = [REVERSAL, strategy("volume", "-rank(volume)")]
        take_up(floor, at(floor, 400))
        told = person_sets_state(
            floor.store, "reversal", "retired", "looks odd", desk="small", at=moment
        )
        assert told.endswith("live -> retired: looks odd")
        take_up(floor, at(floor, 401))
        assert [one.alpha_id for one in floor.strategies] == ["volume"]
        with pytest.raises(FoundryError, match="last that trades"):
            person_sets_state(floor.store, "volume", "retired", "x", desk="small", at=moment)
        with pytest.raises(FoundryError, match="no strategy 'reversl'"):
            person_sets_state(floor.store, "reversl", "live", "x", desk="small", at=moment)
        person_sets_state(floor.store, "reversal", "live", "mended", desk="small", at=moment)
        take_up(floor, at(floor, 402))
        assert [one.alpha_id for one in floor.strategies] == ["volume", "reversal"]
