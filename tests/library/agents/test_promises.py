"""What the schedule of a desk promises, key by key, where other programs of its kind fell short."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from alphafoundry.agents.due_times import due_times
from alphafoundry.agents.gate import Tick, decide
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Parameters
from alphafoundry.agents.schedule_check import cautions, checked_schedule
from alphafoundry.agents.simulator import Simulator
from alphafoundry.agents.snapshot import Facts, Snapshot
from alphafoundry.agents.status import desk_status
from alphafoundry.errors import MarketError
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_agent_alerts, read_ticks
from tests.library.agents.desks import (
    GivenClock,
    at,
    desk_of,
    hours_of,
    intervals,
    schedule_of,
    stored_book,
)
from tests.library.agents.small_desks import SCHEDULE

HOURS = hours_of("2024-03-01", "2024-07-31")
NOON = at("2024-03-08T17:00:00")


@pytest.fixture
def store(tmp_path: Path):
    with open_store(home=tmp_path) as opened:
        yield opened


def test_every_agent_that_is_due_is_run(tmp_path):
    names = ("one", "two", "three")
    schedule = schedule_of(tmp_path, "".join(f"  {n}: {{interval_minutes: 5}}\n" for n in names))
    ran: Counter[str] = Counter()

    def body(context: AgentContext) -> AgentResult:
        ran[context.name] += 1
        return AgentResult()

    simulator = Simulator(desk_of(schedule, HOURS, NOON, dict.fromkeys(names, body)), NOON)
    simulator.run_until(NOON + 3600)
    assert ran == dict.fromkeys(names, 12)


def test_each_task_of_the_project_is_looked_up_by_its_own_name():
    schedule = checked_schedule(SCHEDULE)
    for name in schedule.tasks:
        found = known_agents()[name]
        assert found.name == name and found.run.__name__ == name


def test_a_person_runs_the_agent_that_was_named_with_the_parameters_given(tmp_path, store):
    class Given(Parameters):
        mode: str = "exploratory"

    schedule = schedule_of(tmp_path, "  model: {interval_minutes: 1440}\n")
    seen: list[tuple[str, str]] = []

    def body(context: AgentContext) -> AgentResult:
        seen.append((context.name, context.parameters.mode))
        return AgentResult()

    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    desk.agents["model"] = Agent("model", body, Given)
    step = desk.step("model", GivenClock(NOON + 7), forced=True, parameters={"mode": "aggressive"})
    assert step.record.outcome == "ran" and seen == [("model", "aggressive")]


@pytest.mark.parametrize(
    ("condition", "moment", "facts", "verdict"),
    [
        # In winter the session opens at 14:30 UTC, in summer at 13:30.
        ("market_hours: true", "2024-03-08T14:00:00", {}, "blocked"),
        ("market_hours: true", "2024-07-08T14:00:00", {}, "run"),
        ("market_hours: true", "2024-03-09T17:00:00", {}, "blocked"),
        ("market_hours: true", "2024-03-29T17:00:00", {}, "blocked"),
        ("market_hours: false", "2024-03-08T17:00:00", {}, "blocked"),
        ("market_hours: false", "2024-03-09T17:00:00", {}, "run"),
        ("system_health: 0.9", "2024-03-08T17:00:00", {"host": 0.9}, "run"),
        ("system_health: 0.9", "2024-03-08T17:00:00", {"host": 0.89}, "blocked"),
        ('position_count: ">0"', "2024-03-08T17:00:00", {"positions": 1}, "run"),
        ('position_count: ">0"', "2024-03-08T17:00:00", {"positions": 0}, "idle"),
        ("pending_orders: true", "2024-03-08T17:00:00", {"pending_orders": 2}, "run"),
        ("pending_orders: true", "2024-03-08T17:00:00", {"pending_orders": 0}, "idle"),
        ("new_trades: true", "2024-03-08T17:00:00", {"fills": 3}, "run"),
        ("new_trades: true", "2024-03-08T17:00:00", {"fills": 0}, "idle"),
        ("trading_activity: true", "2024-03-08T17:00:00", {"trades_today": 1}, "run"),
        (
            "low_activity: true",
            "2024-03-08T17:00:00",
            {"trades_today": 0, "pending_orders": 0},
            "run",
        ),
        ("market_volatility: normal", "2024-03-08T17:00:00", {"volatility": "normal"}, "run"),
        ("market_volatility: normal", "2024-03-08T17:00:00", {"volatility": "high"}, "blocked"),
        ("news_events: false", "2024-03-08T17:00:00", {}, "blocked"),
        ("news_events: {is: false, on_unknown: allow}", "2024-03-08T17:00:00", {}, "run"),
    ],
)
def test_a_condition_is_asked_at_every_tick(tmp_path, condition, moment, facts, verdict):
    task = schedule_of(
        tmp_path, f"  work: {{interval_minutes: 5, conditions: {{{condition}}}}}\n"
    ).tasks["work"]
    now = at(moment)
    agents = {"work": AgentState(300.0, since=now)}
    snapshot = Snapshot(
        now, HOURS.at(now), "work", facts=Facts(**{"host": 1.0} | facts), agents=agents
    )
    assert decide(task, Tick("work", now), snapshot).verdict == verdict


def test_health_is_success_over_all_and_1_where_nothing_ran():
    state = AgentState(60.0, since=NOON)
    assert state.health(NOON) == 1.0 and state.is_new
    for outcome in ("ran", "ran", "failed", "idle", "blocked", "missed"):
        state.fold(outcome, NOON)
    # At one moment nothing ages; what did not run does not count.
    assert state.health(NOON) == pytest.approx(2 / 3)
    # Twenty intervals later a success counts twice as much as what was before.
    state.fold("ran", NOON + 20 * 60)
    assert state.health(NOON + 20 * 60) == pytest.approx((1.0 + 1.0) / (1.5 + 1.0))


def test_how_long_runs_take_is_a_mean_in_which_the_last_ones_count_most():
    state = AgentState(60.0, since=NOON)
    for outcome in ("idle", "missed", "blocked"):
        state.fold(outcome, NOON)
    assert state.took is None
    for _ in range(50):
        state.fold("ran", NOON, took=10.0)
    assert state.took == 10.0
    state.fold("failed", NOON, took=20.0)
    assert 10.0 < state.took < 15.0
    for _ in range(50):
        state.fold("ran", NOON, took=20.0)
    assert state.took == pytest.approx(20.0, abs=0.1)


def test_what_takes_longer_than_its_duration_is_told_and_costs_score(tmp_path):
    schedule = schedule_of(
        tmp_path,
        "  slow: {interval_minutes: 10, max_duration_minutes: 2, timeout_minutes: 8}\n"
        "  never: {interval_minutes: 10, max_duration_minutes: 9, timeout_minutes: 8}\n",
    )
    desk = desk_of(schedule, HOURS, NOON)
    simulator = Simulator(desk, NOON, durations=lambda *given: 180.0)
    simulator.run_until(NOON + 6 * 600)
    assert {one.outcome for one in desk.book.ended} == {"ran"}
    assert any(key == "too_long:slow" and text for key, _, text in desk.book.alerts)
    assert not any(key == "too_long:never" and text for key, _, text in desk.book.alerts)
    assert desk.book.states["slow"].success_rate == 0.5
    assert desk.book.states["never"].success_rate == 1.0
    assert any(line.startswith("never: it is killed after 8 min") for line in cautions(schedule))


async def test_the_state_is_read_within_a_running_loop_with_rate_and_reason(tmp_path, store):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 1}\n")

    def body(context: AgentContext) -> AgentResult:
        if context.due_at % 120 < 60:
            raise MarketError("not there")
        return AgentResult()

    desk = desk_of(schedule, HOURS, NOON, {"work": body}, book=stored_book(store, schedule, NOON))
    for minute in range(1, 9):
        desk.step("work", GivenClock(NOON + 60 * minute))
    status = desk_status(store, "test")
    assert 0 < status.overall_health < 1
    row = dict(zip(status.headings(), next(iter(status.rows())), strict=True))
    assert (row["agent"], row["success"], row["ran"], row["failed"]) == ("work", "0.50", "4", "4")


@pytest.mark.parametrize("minutes", [0.5, 1, 45, 60, 61, 90, 720, 1440, 2880])
def test_an_interval_of_any_length_has_its_ticks(tmp_path, minutes):
    task = schedule_of(tmp_path, f"  work: {{interval_minutes: {minutes}}}\n").tasks["work"]
    span = round(20 * minutes * 60)
    found = due_times(task, HOURS, NOON, NOON + span)
    assert len(found) == 20
    assert {b - a for a, b in pairwise(found)} == {minutes * 60}


@pytest.mark.parametrize(("jump", "more"), [(-3600, 0), (3600, 1)])
def test_a_clock_that_jumps_by_an_hour_runs_nothing_twice_and_catches_up_once(
    tmp_path, store, jump, more
):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 10, catch_up: latest}\n")
    began = NOON - 7200
    desk = desk_of(schedule, HOURS, began, book=stored_book(store, schedule, began))
    due = due_times(schedule.tasks["work"], HOURS, began, NOON)
    for moment in (*due, due[-1] + jump, due[-1] + jump + 60):
        desk.step("work", GivenClock(moment))
    rows = read_ticks(store, "test")
    outcomes = Counter(row.outcome for row in rows)
    assert len({row.due_at for row in rows}) == len(rows)
    assert outcomes["ran"] == len(due) + more
    # An hour forward passes over five due times before the one that is caught up.
    assert outcomes["missed"] == 5 * more


def test_the_switch_of_a_task_takes_its_ticks_away(tmp_path):
    schedule = schedule_of(
        tmp_path, "  on: {interval_minutes: 5}\n  off: {interval_minutes: 5, enabled: false}\n"
    )
    assert set(schedule.tasks) == {"on"} == set(intervals(schedule))
    assert set(schedule.disabled) == {"off"}


@pytest.mark.parametrize(
    ("day", "ticks"),
    # Half an hour after the close belongs to the session; the half day ends at 13:00.
    [
        *[("2024-03-08", 42), ("2024-03-11", 42), ("2024-11-01", 42), ("2024-11-04", 42)],
        *[("2024-11-29", 24), ("2024-03-29", 0), ("2024-03-10", 0), ("2024-11-03", 0)],
    ],
)
def test_a_day_has_its_ticks_whatever_day_it_is(tmp_path, day, ticks):
    schedule = schedule_of(
        tmp_path, "  work: {interval_minutes: 10, conditions: {market_hours: true}}\n"
    )
    hours = hours_of("2024-02-20", "2024-12-10")
    began = at(day)
    desk = desk_of(schedule, hours, began)
    simulator = Simulator(desk, began)
    simulator.run_until(began + round(timedelta(days=1).total_seconds()))
    simulator.finish()
    assert [one.outcome for one in desk.book.ended] == ["ran"] * ticks


def test_alerts_of_a_failure_are_counted_and_closed(tmp_path, store):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 1, error_threshold: 1}\n")
    broken = [True]

    def body(context: AgentContext) -> AgentResult:
        if broken[0]:
            raise MarketError("not there")
        return AgentResult()

    desk = desk_of(schedule, HOURS, NOON, {"work": body}, book=stored_book(store, schedule, NOON))
    desk.step("work", GivenClock(NOON + 60))
    assert "not there" in read_agent_alerts(store, "test")[0].text
    broken[0] = False
    # It rests for five intervals, then tries once.
    for minute in range(2, 9):
        desk.step("work", GivenClock(NOON + 60 * minute))
    found = read_agent_alerts(store, "test")
    assert len(found) == 1 and found[0].resolved_at is not None
