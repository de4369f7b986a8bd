"""Simulations: planned once, changed in order, claimed once after a crash."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import StoreError
from alphafoundry.store import (
    AlphaRecord,
    DailyPnl,
    RunRow,
    SimulationPlan,
    SimulationRow,
    Store,
    begin_run,
    claim_abandoned,
    count_simulations,
    finish_run,
    finish_simulation,
    known_keys,
    mark_back_to_planned,
    mark_deferred,
    mark_sending,
    mark_sent,
    plan_simulations,
    read_alphas,
    read_daily_pnl,
    read_simulations,
    simulation_key,
)
from tests.library.store.child import plan_of
from tests.library.store.conftest import SERVICE
from tests.library.store.processes import race
from tests.postgres import on_both

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def planned(store: Store, run: RunRow, number: int = 0) -> SimulationRow:
    (simulation,) = plan_simulations(store, SERVICE, [plan_of(number)], run_id=run.id).new
    return simulation


def test_new_simulations_come_back_in_the_order_given(store: Store, run: RunRow) -> None:
    plans = [plan_of(number) for number in (7, 3, 5, 3)]
    made = plan_simulations(store, SERVICE, plans, run_id=run.id, now=NOON)
    assert [simulation.expression for simulation in made.new] == ["x7", "x3", "x5"]
    assert made.duplicates == 1
    assert all(simulation.status == "planned" for simulation in made.new)
    assert made.new[0].created_at == NOON


def test_a_simulation_is_planned_once_for_a_service(store: Store, run: RunRow) -> None:
    planned(store, run)
    again = plan_simulations(store, SERVICE, [plan_of(0), plan_of(1)], run_id=run.id)
    assert [simulation.expression for simulation in again.new] == ["x1"]
    assert again.duplicates == 1
    elsewhere = plan_simulations(store, "worldquant", [plan_of(0)], run_id=run.id)
    assert elsewhere.duplicates == 0


@pytest.mark.long
def test_thousands_at_once(store: Store, run: RunRow) -> None:
    plans = [plan_of(number) for number in range(3000)]
    assert len(plan_simulations(store, SERVICE, plans, run_id=run.id).new) == 3000
    keys = [plan.key for plan in plans]
    assert known_keys(store, SERVICE, [*keys, "unknown"]) == set(keys)
    assert known_keys(store, "worldquant", keys) == frozenset()


def test_nothing_to_plan(store: Store, run: RunRow) -> None:
    assert plan_simulations(store, SERVICE, [], run_id=run.id).new == ()


def test_processes_plan_the_same_simulations(database_url: str, tmp_path: Path) -> None:
    printed = race("plan", database_url, tmp_path / "go", ("0", "200"), ("100", "300"))
    keys = [key for one in printed for key in one]
    assert len(keys) == len(set(keys)) == 300


settings_values = st.one_of(
    st.integers(-1000, 1000), st.booleans(), st.text(max_size=5), st.sampled_from([0.08, 0.5])
)


@given(st.dictionaries(st.text(max_size=5), settings_values, max_size=6), st.randoms())
def test_key_ignores_the_order_and_kind_of_numbers(settings: dict, random) -> None:
    shuffled = list(settings.items())
    random.shuffle(shuffled)
    floats = {name: float(value) if type(value) is int else value for name, value in shuffled}
    assert simulation_key("close", settings) == simulation_key("close", floats)
    assert simulation_key("close", settings) != simulation_key("open", settings)
    assert simulation_key("close", {**settings, "other key": 1}) != simulation_key(
        "close", settings
    )


@on_both
def test_from_planned_to_complete(store: Store, run: RunRow) -> None:
    simulation = planned(store, run)
    mark_sending(store, simulation.id, now=NOON)
    mark_sent(store, simulation.id, "https://host/simulations/1")
    record = AlphaRecord("a1", "x0", {"decay": 0}, sharpe=1.5, fitness=1.0, long_count=10)
    pnl = DailyPnl(np.array(["2024-01-02"], "datetime64[D]"), np.array([3.25]))
    finish_simulation(
        store,
        simulation.id,
        "complete",
        alpha=record,
        daily_pnl=pnl,
        correlation_to_parent=0.5,
        gain=0.25,
        now=NOON,
    )
    (found,) = read_simulations(store, run_id=run.id)
    assert (found.status, found.alpha_id, found.attempts) == ("complete", "a1", 1)
    assert (found.location, found.gain) == ("https://host/simulations/1", 0.25)
    assert found.sent_at == found.finished_at == NOON
    assert read_alphas(store, SERVICE, ["a1"])["a1"].sharpe == 1.5
    assert read_daily_pnl(store, SERVICE, ["a1"])["a1"].values.tolist() == [3.25]
    assert count_simulations(store, SERVICE) == {"complete": 1}


def test_a_refused_request_is_sent_again(store: Store, run: RunRow) -> None:
    simulation = planned(store, run)
    mark_sending(store, simulation.id)
    mark_back_to_planned(store, simulation.id, "429", refused=True)
    (waiting,) = read_simulations(store, status=["planned"])
    assert (waiting.message, waiting.sent_at, waiting.attempts) == ("429", None, 0)
    mark_sending(store, simulation.id)
    mark_deferred(store, simulation.id, "daily quota")
    mark_sending(store, simulation.id)
    assert read_simulations(store)[0].attempts == 1


def test_a_lost_request_counts_as_sent(store: Store, run: RunRow) -> None:
    simulation = planned(store, run)
    mark_sending(store, simulation.id)
    mark_back_to_planned(store, simulation.id, "no answer")
    mark_sending(store, simulation.id)
    assert read_simulations(store)[0].attempts == 2


def test_wrong_order_is_refused(store: Store, run: RunRow) -> None:
    simulation = planned(store, run)
    with pytest.raises(StoreError, match="already planned"):
        mark_sent(store, simulation.id, "/1")
    finish_simulation(store, simulation.id, "error", message="unknown field")
    for change in (
        lambda: mark_sending(store, simulation.id),
        lambda: mark_back_to_planned(store, simulation.id),
        lambda: finish_simulation(store, simulation.id, "complete"),
    ):
        with pytest.raises(StoreError, match="already error"):
            change()
    with pytest.raises(StoreError, match="no simulation 999"):
        mark_sending(store, 999)


def test_a_simulation_without_a_run_is_refused(store: Store) -> None:
    with pytest.raises(StoreError):
        plan_simulations(store, SERVICE, [plan_of(0)], run_id=77)
    assert read_simulations(store) == []


def test_a_failure_while_finishing_changes_nothing(store: Store, run: RunRow) -> None:
    simulation = planned(store, run)
    broken = DailyPnl(np.array(["NaT"], "datetime64[D]"), np.array([1.0]))
    record = AlphaRecord("a1", "x0", {})
    with pytest.raises(ValueError, match="missing or out of range"):
        finish_simulation(store, simulation.id, "complete", alpha=record, daily_pnl=broken)
    assert read_simulations(store)[0].status == "planned"
    assert read_alphas(store, SERVICE, ["a1"]) == {}


def test_text_of_any_kind_is_kept(store: Store, run: RunRow) -> None:
    text = "rank(\x00close) \ud800 …"
    plan = SimulationPlan(text.replace("\ud800", ""), text, {"note": text}, "ollama")
    (made,) = plan_simulations(store, SERVICE, [plan], run_id=run.id).new
    (found,) = read_simulations(store)
    assert found.expression == "rank(\ufffdclose) \ufffd …"
    assert found.settings == made.settings == {"note": text}


def test_the_work_of_a_finished_run_is_claimed(store: Store, run: RunRow) -> None:
    first, second, third, done = (planned(store, run, number) for number in range(4))
    finish_simulation(store, done.id, "complete")
    mark_deferred(store, first.id, "daily quota")
    mark_sending(store, third.id)
    other = begin_run(store, flow="daily", service=SERVICE)
    assert claim_abandoned(store, SERVICE, run_id=other.id) == []
    finish_run(store, run.id, "failed")
    assert claim_abandoned(store, "worldquant", run_id=other.id) == []
    assert [row.id for row in claim_abandoned(store, SERVICE, run_id=other.id, limit=2)] == [
        third.id,
        first.id,
    ]
    assert [row.id for row in claim_abandoned(store, SERVICE, run_id=other.id)] == [second.id]
    assert claim_abandoned(store, SERVICE, run_id=other.id) == []
    assert {row.run_id for row in read_simulations(store)} == {run.id, other.id}


def test_the_work_of_a_silent_host_is_claimed(
    store: Store, run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(store, run)
    monkeypatch.setattr(socket, "gethostname", lambda: "another-host")
    other = begin_run(store, flow="daily", service=SERVICE)
    soon = run.heartbeat_at + timedelta(minutes=9)
    assert claim_abandoned(store, SERVICE, run_id=other.id, now=soon) == []
    late = run.heartbeat_at + timedelta(minutes=11)
    assert len(claim_abandoned(store, SERVICE, run_id=other.id, now=late)) == 1


def test_processes_claim_each_simulation_once(
    store: Store, run: RunRow, database_url: str, tmp_path: Path
) -> None:
    plan_simulations(store, SERVICE, [plan_of(n) for n in range(60)], run_id=run.id)
    finish_run(store, run.id, "interrupted")
    printed = race("claim", database_url, tmp_path / "go", *[()] * 3)
    assert sorted(len(one) for one in printed) == [0, 30, 30]
    assert len({simulation for one in printed for simulation in one}) == 60
