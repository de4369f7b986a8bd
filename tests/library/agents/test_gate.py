"""What becomes of a tick: missed, blocked, idle or run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.agents.book import fresh_book
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.gate import Tick, decide
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Control
from alphafoundry.agents.simulator import Simulator
from alphafoundry.agents.snapshot import Facts, Snapshot
from alphafoundry.errors import MarketError
from tests.library.agents.desks import at, hours_of, schedule_of
from tests.property_tests import examples

HOURS = hours_of("2024-03-01", "2024-03-20")
NOON = at("2024-03-08T17:00:00")

TASKS = """
  meta: {interval_minutes: 5, priority: critical}
  sync: {interval_minutes: 10, catch_up: latest, conditions: {market_hours: true}}
  risk:
    interval_minutes: 15
    dependencies: [meta]
    conditions: {market_hours: true, position_count: ">0", system_health: 0.8}
  execution:
    interval_minutes: 1
    dependencies: [risk]
    conditions: {market_hours: true, pending_orders: true, system_health: 0.9}
  model:
    interval_minutes: 1440
    dependencies: {sync: {missed: 2}}
    conditions: {market_hours: false}
  fresh: {interval_minutes: 10, dependencies: {sync: {max_age: 30}}}
"""


@pytest.fixture
def tasks(tmp_path):
    return schedule_of(tmp_path, TASKS).tasks


def states(**given: AgentState) -> dict[str, AgentState]:
    names = ("meta", "sync", "risk", "execution", "model", "fresh")
    return {name: AgentState(60.0, since=NOON) for name in names} | given


def ok(moment: int = NOON, **more: object) -> AgentState:
    return AgentState(60.0, since=moment, last_ok=moment, ticks=5, **more)  # type: ignore[arg-type]


def seen(task, now: int = NOON, facts: Facts | None = None, **agents: AgentState) -> Snapshot:
    given = facts or Facts(positions=3, pending_orders=2, host=1.0)
    return Snapshot(
        now, HOURS.at(now), task.name, facts=given, agents=states(**agents), closure=task.closure
    )


def decided(task, snapshot: Snapshot, due_at: int | None = None, **given: object):
    tick = Tick(task.name, snapshot.now if due_at is None else due_at)
    return decide(task, tick, snapshot, **given)  # type: ignore[arg-type]


def test_a_tick_with_nothing_in_its_way_runs(tasks):
    assert decided(tasks["execution"], seen(tasks["execution"], risk=ok())).verdict == "run"


def test_nothing_to_do_is_idle_and_a_closed_market_is_blocked(tasks):
    flat = Facts(positions=0, pending_orders=0, host=1.0)
    idle = decided(tasks["risk"], seen(tasks["risk"], facts=flat, meta=ok()))
    assert (idle.verdict, idle.reason) == ("idle", "position_count is 0, not > 0")
    night = at("2024-03-09T03:00:00")
    closed = decided(tasks["risk"], seen(tasks["risk"], night, facts=flat, meta=ok()))
    assert (closed.verdict, closed.eligible) == ("blocked", False)


def test_orders_that_are_not_known_are_no_reason_to_be_idle(tasks):
    found = decided(tasks["execution"], seen(tasks["execution"], facts=Facts(), risk=ok()))
    assert found.verdict == "blocked" and "pending_orders is not known" in found.reason


def test_a_dependency_that_never_ran_blocks_but_not_before_its_first_tick(tasks):
    task = tasks["execution"]
    assert decided(task, seen(task)).verdict == "run"
    waiting = decided(task, seen(task, risk=AgentState(60.0, ticks=1, missed_since_ok=1)))
    assert (waiting.verdict, waiting.reason) == ("blocked", "risk has not succeeded yet")


def test_a_dependency_may_miss_fewer_than_two_eligible_ticks(tasks):
    task = tasks["execution"]
    once = seen(task, risk=ok(missed_since_ok=1))
    twice = seen(task, risk=ok(missed_since_ok=2))
    assert decided(task, once).verdict == "run"
    assert decided(task, twice).verdict == "blocked"


def test_what_runs_at_night_accepts_a_success_of_the_session_even_on_sunday(tasks):
    sunday = at("2024-03-11T00:00:00")
    friday = at("2024-03-08T20:50:00")
    assert decided(tasks["model"], seen(tasks["model"], sunday, sync=ok(friday))).verdict == "run"


def test_a_limit_of_age_counts_by_the_clock(tasks):
    task = tasks["fresh"]
    assert decided(task, seen(task, sync=ok(NOON - 1800))).verdict == "run"
    assert decided(task, seen(task, sync=ok(NOON - 1801))).verdict == "blocked"


def test_health_is_that_of_the_agents_depended_on_and_of_the_host(tasks):
    sick = AgentState(60.0, since=NOON, failures=1.0, last_ok=NOON, ticks=5)
    risk = tasks["risk"]
    assert decided(risk, seen(risk, meta=sick)).verdict == "blocked"
    # Its own failures, and those of agents that it does not depend on, are left out.
    assert decided(risk, seen(risk, meta=ok(), risk=sick, model=sick)).verdict == "run"
    hot = Facts(positions=3, pending_orders=2, host=0.75)
    assert decided(risk, seen(risk, facts=hot, meta=ok())).verdict == "blocked"


def test_what_lessens_risk_passes_health_and_dependencies_and_nothing_else(tasks):
    task = tasks["execution"]
    sick = AgentState(60.0, since=NOON, failures=1.0, ticks=5, missed_since_ok=5, last_ok=NOON)
    found = decided(task, seen(task, risk=sick), safe=True)
    assert (found.verdict, found.only_safe) == ("run", True)
    assert decided(task, seen(task, risk=sick), safe=False).verdict == "blocked"
    night = at("2024-03-09T03:00:00")
    assert decided(task, seen(task, night, risk=sick), safe=True).verdict == "blocked"
    rests = AgentState(60.0, since=NOON, tripped_at=NOON, cool_down=300, ticks=5)
    assert decided(task, seen(task, risk=sick, execution=rests), safe=True).verdict == "blocked"


def test_late_by_an_interval_is_missed_unless_it_is_caught_up(tasks):
    task = tasks["execution"]
    assert decided(task, seen(task, risk=ok()), NOON - 59).verdict == "run"
    late = decided(task, seen(task, risk=ok()), NOON - 60)
    assert (late.verdict, late.reason) == ("missed", "60 s late")
    sync = tasks["sync"]
    assert decided(sync, seen(sync), NOON - 10_800).verdict == "run"
    older = decide(sync, Tick("sync", NOON - 10_800, latest=False), seen(sync))
    assert older.verdict == "missed"


def test_pauses_rests_and_the_switch_of_the_desk(tasks):
    task = tasks["meta"]
    paused = replace(AgentState(60.0, since=NOON), paused="by hand")
    assert "by hand" in decided(task, seen(task, meta=paused)).reason
    rests = AgentState(60.0, since=NOON, tripped_at=NOON - 299, cool_down=300, ticks=9)
    assert decided(task, seen(task, meta=rests)).verdict == "blocked"
    probes = replace(rests, tripped_at=NOON - 300)
    assert decided(task, seen(task, meta=probes)).verdict == "run"
    assert decided(task, seen(task), on=False).verdict == "blocked"


def test_a_person_skips_conditions_and_never_limits(tasks):
    task = tasks["execution"]
    flat = seen(task, facts=Facts(pending_orders=0))
    forced = Tick("execution", NOON, forced=True)
    assert decide(task, forced, flat).verdict == "run"
    rests = AgentState(60.0, since=NOON, tripped_at=NOON, cool_down=300, ticks=9)
    assert decide(task, forced, seen(task, execution=rests)).verdict == "blocked"
    paused = replace(AgentState(60.0, since=NOON), paused="by hand")
    assert decide(task, forced, seen(task, execution=paused)).verdict == "blocked"


MANY = """
  meta: {interval_minutes: 5, priority: critical, error_threshold: 3}
  sync: {interval_minutes: 10, conditions: {market_hours: true, system_health: 0.6}}
  early: {interval_minutes: 7, conditions: {after_open: 30, data: last_closed_session}}
  risk:
    interval_minutes: 15
    dependencies: {sync: {max_age: 25}}
    conditions: {market_hours: true, position_count: ">0", system_health: 0.8}
  trade:
    interval_minutes: 1
    error_threshold: 4
    dependencies: [risk]
    conditions: {market_hours: true, pending_orders: true, system_health: 0.9}
  tell: {interval_minutes: 20, dependencies: [trade], conditions: {new_trades: true}}
  night:
    interval_minutes: 30
    dependencies: [meta]
    conditions: {market_hours: false, low_activity: true, news_events: false}
"""
START = at("2024-03-07T12:00:00")
NAMES = ("meta", "sync", "risk", "trade", "tell", "night", "early")
MINUTES = st.integers(0, 36 * 60)


@settings(max_examples=examples(60), deadline=None)
@given(
    changes=st.lists(
        st.tuples(
            MINUTES,
            st.builds(
                Facts,
                positions=st.integers(0, 1),
                pending_orders=st.integers(0, 1),
                fills=st.integers(0, 3),
                data_until=st.sampled_from([None, date(2024, 3, 6), date(2024, 3, 7)]),
                severe_news=st.sampled_from([None, False, True]),
                host=st.sampled_from([None, 0.5, 0.85, 1.0]),
            ),
        ),
        max_size=12,
    ),
    faults=st.lists(st.tuples(st.sampled_from(NAMES), MINUTES, st.integers(1, 90)), max_size=5),
    pauses=st.lists(st.tuples(MINUTES, st.sampled_from(NAMES[1:]), st.booleans()), max_size=5),
)
def test_a_gate_is_asked_once_for_as_long_as_it_says_the_same(
    tmp_path_factory, changes, faults, pauses
):
    schedule = schedule_of(tmp_path_factory.mktemp("many"), MANY)
    changes.sort(key=lambda one: one[0])

    class ChangingFloor:
        def facts(self, now: int) -> Facts:
            begun = [facts for minute, facts in changes if START + 60 * minute <= now]
            return begun[-1] if begun else Facts(positions=1, pending_orders=1, fills=0, host=1.0)

    def body(name: str) -> Callable[[AgentContext], AgentResult]:
        def run(context: AgentContext) -> AgentResult:
            minute = (context.now - START) // 60
            if any(who == name and 0 <= minute - begin < n for who, begin, n in faults):
                raise MarketError("a fault")
            wanted = {
                who: "as told" if rests else None
                for begin, who, rests in pauses
                if name == "meta" and 0 <= minute - begin < 5
            }
            return AgentResult(control=Control("as told", pause=wanted) if wanted else None)

        return run

    def lived(*, keep_facts: bool) -> list[object]:
        intervals = {task.name: task.interval for task in schedule.tasks.values()}
        desk = Desk(
            schedule,
            HOURS,
            {name: Agent(name, body(name), safe=name == "trade") for name in NAMES},
            fresh_book(intervals, START),
            ChangingFloor(),
            seed=7,
            # What is kept for a replay is asked for at each tick.
            keep_facts=keep_facts,
        )
        simulator = Simulator(desk, START)
        simulator.run_until(START + 36 * 3600)
        simulator.finish()
        return [
            (one.agent, one.due_at, one.outcome, one.reason, one.claimed_at, one.only_safe)
            for one in desk.book.ended
        ]

    assert lived(keep_facts=False) == lived(keep_facts=True)
