"""Ticks on a real clock and in the store: once each, caught up, retried, tripped, resumed."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from alphafoundry.agents.desk import TimedOut
from alphafoundry.agents.due_times import due_times
from alphafoundry.agents.registry import AgentContext, AgentResult, Control
from alphafoundry.agents.simulator import Simulator
from alphafoundry.agents.status import desk_status
from alphafoundry.errors import ConfigurationError, MarketError, StoreError
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_agent_alerts, read_control_decisions, read_ticks
from tests.library.agents.desks import (
    GivenClock,
    GivenFloor,
    at,
    desk_of,
    hours_of,
    schedule_of,
    stored_book,
)
from tests.property_tests import examples

HOURS = hours_of("2024-03-01", "2024-03-31")
NOON = at("2024-03-08T17:00:00")
EVERY_MINUTE = "  work: {interval_minutes: 1, timeout_minutes: 2}\n"


def moment_after(desk, name: str, moment: int) -> int:
    task = desk.schedule.tasks[name]
    return due_times(task, desk.hours, moment, moment + 10 * task.interval)[0]


@pytest.fixture
def store(tmp_path):
    with open_store(home=tmp_path) as opened:
        yield opened


def test_two_workers_never_run_one_tick_twice(tmp_path, store):
    schedule = schedule_of(tmp_path, EVERY_MINUTE)
    ran: list[int] = []

    def work(context: AgentContext) -> AgentResult:
        ran.append(context.due_at)
        return AgentResult()

    due = due_times(schedule.tasks["work"], HOURS, NOON, NOON + 600)

    def worker() -> None:
        desk = desk_of(
            schedule, HOURS, NOON, {"work": work}, book=stored_book(store, schedule, NOON)
        )
        for moment in due:
            at_once.wait(300)  # one clock for both: no lease ends while the other works
            desk.step("work", GivenClock(moment), due_at=moment)

    at_once = threading.Barrier(2)
    threads = [threading.Thread(target=worker) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    rows = read_ticks(store, "test")
    assert [int(row.due_at.timestamp()) for row in rows] == due
    assert [row.position for row in rows] == list(range(len(due)))
    assert {row.outcome for row in rows} == {"ran"}
    assert sorted(ran) == due


def test_a_restart_and_a_clock_set_back_do_nothing_twice(tmp_path, store):
    schedule = schedule_of(tmp_path, EVERY_MINUTE)
    ran: list[int] = []

    def work(context: AgentContext) -> AgentResult:
        ran.append(context.due_at)
        return AgentResult()

    for start in (NOON, NOON, NOON - 3600, NOON + 120):
        # Each time another process with the same store.
        desk = desk_of(
            schedule,
            HOURS,
            NOON - 7200,
            {"work": work},
            book=stored_book(store, schedule, NOON - 7200),
        )
        for minute in range(5):
            desk.step("work", GivenClock(start + 60 * minute))
    assert len(ran) == len(set(ran))


def test_three_hours_away_are_one_catch_up_and_the_rest_is_missed(tmp_path, store):
    schedule = schedule_of(
        tmp_path,
        "  latest: {interval_minutes: 1, catch_up: latest}\n"
        "  none: {interval_minutes: 1}\n"
        "  all: {interval_minutes: 60, catch_up: all}\n",
    )
    began = NOON - 1
    desk = desk_of(schedule, HOURS, began, book=stored_book(store, schedule, began))
    back = NOON + 3 * 3600 - 1
    for name in ("latest", "none", "all"):
        # What a server with late runs does: oldest first.
        for moment in due_times(schedule.tasks[name], HOURS, began, back):
            desk.step(name, GivenClock(back), due_at=moment)
    count = Counter((row.agent, row.outcome) for row in read_ticks(store, "test"))
    assert count["latest", "ran"] == 1 and count["latest", "missed"] == 179
    assert count["none", "ran"] <= 1 and count["none", "missed"] >= 179
    assert count["all", "ran"] == 3 and ("all", "missed") not in count


def test_due_times_without_a_row_become_missed_rows(tmp_path, store):
    schedule = schedule_of(tmp_path, EVERY_MINUTE)
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    clock = GivenClock(NOON + 3600)
    desk.step("work", clock)
    rows = read_ticks(store, "test")
    assert [row.outcome for row in rows] == ["missed"] * 59 + ["ran"]
    assert rows[0].reason == "nobody was there at the time"


def test_a_dead_dependency_is_seen_by_who_waits_for_it(tmp_path, store):
    schedule = schedule_of(
        tmp_path,
        "  first: {interval_minutes: 5}\n  second: {interval_minutes: 5, dependencies: [first]}\n",
    )
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    moment = moment_after(desk, "first", NOON)
    desk.step("first", GivenClock(moment))
    assert desk.step("second", GivenClock(moment + 60)).record.outcome == "ran"
    later = GivenClock(moment + 1500)
    found = desk.step("second", later)
    assert found.decision.verdict == "blocked" and "first missed" in found.decision.reason


def test_no_row_where_nothing_is_due(tmp_path, store):
    schedule = schedule_of(
        tmp_path, "  work: {interval_minutes: 10, conditions: {market_hours: true}}\n"
    )
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    sunday = at("2024-03-10T17:00:00")
    found = desk.step("work", GivenClock(sunday), due_at=sunday)
    assert found.status == "not due" and read_ticks(store, "test") == []


def test_retries_double_and_end_before_the_next_tick(tmp_path):
    schedule = schedule_of(
        tmp_path,
        "  work: {interval_minutes: 10, timeout_minutes: 8, retry_count: 5, retry_delay: 1}\n",
    )
    tries: list[int] = []

    def work(context: AgentContext) -> AgentResult:
        tries.append(context.now)
        raise MarketError("not there")

    desk = desk_of(schedule, HOURS, NOON, {"work": work})
    clock = GivenClock(moment_after(desk, "work", NOON))
    found = desk.step("work", clock)
    delays = [b - a for a, b in pairwise(tries)]
    assert [round(delay / 60) for delay in delays] == [1, 2, 4]
    assert found.record.attempts == 4  # a fourth delay of 8 minutes would pass the time-out
    assert (found.record.outcome, found.record.reason) == ("failed", "not there")


def test_retries_repeat_a_tick_that_succeeds_in_the_end(tmp_path):
    schedule = schedule_of(
        tmp_path, "  work: {interval_minutes: 10, retry_count: 5, retry_delay_minutes: 0.5}\n"
    )
    tries: list[int] = []

    def work(context: AgentContext) -> AgentResult:
        tries.append(context.due_at)
        if len(tries) < 3:
            raise MarketError("not there")
        return AgentResult("there")

    desk = desk_of(schedule, HOURS, NOON, {"work": work})
    found = desk.step("work", GivenClock(moment_after(desk, "work", NOON)))
    assert (found.record.outcome, found.record.attempts) == ("ran", 3)
    assert len(set(tries)) == 1


def test_failures_in_a_row_trip_an_agent_and_a_probe_lets_it_go_on(tmp_path, store):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 1, error_threshold: 3}\n")
    broken = True
    ran: list[int] = []

    def work(context: AgentContext) -> AgentResult:
        ran.append(context.now)
        if broken:
            raise RuntimeError("secret text of foreign code")
        return AgentResult()

    desk = desk_of(schedule, HOURS, NOON, {"work": work}, book=stored_book(store, schedule, NOON))
    clock = GivenClock(NOON)

    def minutes(count: int) -> list[str]:
        outcomes = []
        for _ in range(count):
            clock.moment += 60
            found = desk.step("work", clock)
            outcomes.append(found.record.outcome)
        return outcomes

    assert minutes(3) == ["failed"] * 3
    assert minutes(4) == ["blocked"] * 4  # five intervals of rest
    assert minutes(1) == ["failed"]  # the probe
    assert minutes(9) == ["blocked"] * 9  # twice as long
    alert, *_ = read_agent_alerts(store, "test")
    assert alert.key == "tripped:work" and "secret" not in alert.text
    broken = False
    assert minutes(1) == ["ran"]
    assert minutes(3) == ["ran"] * 3
    alert, *_ = read_agent_alerts(store, "test")
    assert alert.resolved_at is not None


def test_the_success_rate_is_held_against_its_threshold(tmp_path, store):
    schedule = schedule_of(
        tmp_path, "  work: {interval_minutes: 1, performance_threshold: 0.9, on_low: pause}\n"
    )

    def work(context: AgentContext) -> AgentResult:
        if (context.due_at // 60) % 2:
            raise MarketError("not there")
        return AgentResult()

    desk = desk_of(schedule, HOURS, NOON, {"work": work}, book=stored_book(store, schedule, NOON))
    clock = GivenClock(NOON)
    outcomes = []
    for _ in range(7):
        clock.moment += 60
        outcomes.append(desk.step("work", clock).record.outcome)
    # From five ticks on.
    assert outcomes[-2:] == ["blocked", "blocked"] and "blocked" not in outcomes[:5]
    assert any(one.key == "performance:work" for one in read_agent_alerts(store, "test"))
    (decision,) = read_control_decisions(store, "test")
    assert (decision.actor, decision.subject, decision.after) == ("desk", "work", "paused")
    assert decision.reason == "performance 0.60 is below 0.90"
    assert decision.undo == "resume work"


def test_each_pause_by_an_agent_has_its_own_reason(tmp_path, store):
    schedule = schedule_of(
        tmp_path, "  chief: {interval_minutes: 1}\n  work: {interval_minutes: 1}\n"
    )

    def chief(context: AgentContext) -> AgentResult:
        return AgentResult(
            control=Control("all is well", "ACTIVE", {"work": "3 failures in a row"})
        )

    book = stored_book(store, schedule, NOON)
    desk = desk_of(schedule, HOURS, NOON, {"chief": chief}, book=book)
    desk.step("chief", GivenClock(NOON + 60))
    decisions = {one.subject: one.reason for one in read_control_decisions(store, "test")}
    assert decisions["work"] == "3 failures in a row"
    rows = {row[0]: row[-1] for row in desk_status(store).rows()}
    assert rows["work"] == "paused: 3 failures in a row"


def test_an_agent_without_concurrency_waits_for_its_own_tick(tmp_path, store):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 1, timeout_minutes: 5}\n")
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    first = moment_after(desk, "work", NOON)
    running = desk.begin("work", first)
    found = desk.begin("work", first + 60)
    assert running.status == "running"
    assert found.decision.verdict == "blocked" and "still running" in found.decision.reason


def test_concurrency_has_as_many_instances_as_allowed(tmp_path, store):
    schedule = schedule_of(
        tmp_path,
        "  work: {interval_minutes: 1, timeout_minutes: 9, concurrent_execution: true}\n",
    )
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    first = moment_after(desk, "work", NOON)
    statuses = [desk.begin("work", first + 60 * n).status for n in range(3)]
    assert statuses == ["running", "running", "settled"]


def test_one_place_is_kept_for_what_is_critical(tmp_path, store):
    names = ["a", "b", "c"]
    tasks = "".join(f"  {name}: {{interval_minutes: 1}}\n" for name in names)
    schedule = schedule_of(
        tmp_path,
        tasks + "  urgent: {interval_minutes: 1, priority: critical}\n",
        orchestrator="  max_concurrent_tasks: 3",
    )
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    now = NOON + 120
    assert [desk.begin(name, now).status for name in names] == ["running", "running", "no place"]
    assert desk.begin("urgent", now).status == "running"
    assert len([row for row in read_ticks(store, "test") if row.outcome == "running"]) == 3


def test_a_tick_whose_process_died_ends_with_its_lease(tmp_path, store):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 10, timeout_minutes: 2}\n")
    book = stored_book(store, schedule, NOON)
    desk = desk_of(schedule, HOURS, NOON, book=book)
    first = moment_after(desk, "work", NOON)
    lost = desk.begin("work", first)
    assert desk.step("work", GivenClock(first + 600)).record.outcome == "ran"
    outcomes = [row.outcome for row in read_ticks(store, "test")]
    assert outcomes == ["failed", "ran"]
    # The dead one comes back and finds that it is too late.
    desk.end(lost, first + 700, AgentResult("I am here"))
    assert [row.outcome for row in read_ticks(store, "test")] == outcomes


def test_a_full_disk_is_told_in_one_line_and_the_next_tick_goes_on(tmp_path, store):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 10, timeout_minutes: 2}\n")
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    first = moment_after(desk, "work", NOON)
    pages: list[int] = [1]

    def limit(connection, _record, _proxy):
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")

    event.listen(store.engine, "checkout", limit)

    def grows(context: AgentContext) -> AgentResult:
        pages[0] = 1
        return AgentResult("x" * 100_000)

    # The smallest that SQLite takes is what the file has: no page can be added.
    with pytest.raises(StoreError) as full:
        for minute in range(0, 6000, 10):
            desk.step("work", GivenClock(first + 60 * minute))
    assert "full" in str(full.value) and "\n" not in str(full.value)
    before = [(row.due_at, row.outcome) for row in read_ticks(store, "test")]
    assert all(outcome in ("ran", "missed") for _, outcome in before)

    # There is room to claim a tick, and none to write its end.
    pages[0] = 1_000_000
    moment = first + 60 * 6000
    large = desk_of(schedule, HOURS, NOON, {"work": grows}, book=stored_book(store, schedule, NOON))
    with pytest.raises(StoreError):
        large.step("work", GivenClock(moment))
    assert read_ticks(store, "test")[-1].outcome == "running"

    pages[0] = 1_000_000
    assert desk.step("work", GivenClock(moment + 600)).record.outcome == "ran"
    after = read_ticks(store, "test")
    assert [row.outcome for row in after[-2:]] == ["failed", "ran"]
    assert "could not write its end" in after[-2].reason
    assert [(row.due_at, row.outcome) for row in after[: len(before)]] == before


def test_a_server_that_wakes_the_same_ticks_again_after_its_restart_runs_nothing_twice(
    tmp_path, store
):
    schedule = schedule_of(tmp_path, EVERY_MINUTE)
    ran: list[int] = []

    def work(context: AgentContext) -> AgentResult:
        ran.append(context.due_at)
        return AgentResult()

    due = due_times(schedule.tasks["work"], HOURS, NOON, NOON + 600)
    desk = desk_of(schedule, HOURS, NOON, {"work": work}, book=stored_book(store, schedule, NOON))
    for moment in due[:6]:
        desk.step("work", GivenClock(moment), due_at=moment)
    # It was down for the last four minutes, and sends what it had sent before, newest first.
    for moment in reversed(due):
        desk.step("work", GivenClock(due[-1] + 5), due_at=moment)
    assert ran == [*due[:6], due[-1]]
    rows = read_ticks(store, "test")
    assert [row.outcome for row in rows] == ["ran"] * 6 + ["missed"] * 3 + ["ran"]


def test_what_did_not_change_is_not_done_again(tmp_path):
    from alphafoundry.agents.book import fresh_book
    from alphafoundry.agents.desk import Desk
    from alphafoundry.agents.registry import Agent, Parameters

    schedule = schedule_of(tmp_path, EVERY_MINUTE)
    version = "a"
    ran: list[str] = []

    def work(context: AgentContext) -> AgentResult:
        ran.append(version)
        return AgentResult()

    agent = Agent("work", work, Parameters, inputs_version=lambda context: version)
    desk = Desk(schedule, HOURS, {"work": agent}, fresh_book({"work": 60}, NOON), GivenFloor())
    clock = GivenClock(NOON)
    reasons = []
    for minute in range(6):
        version = "b" if minute >= 4 else "a"
        clock.moment += 60
        reasons.append(desk.step("work", clock).record.reason)
    assert ran == ["a", "b"]
    assert reasons == ["", "unchanged", "unchanged", "unchanged", "", "unchanged"]


def test_control_is_recorded_with_what_undoes_it(tmp_path, store):
    schedule = schedule_of(tmp_path, EVERY_MINUTE)

    def work(context: AgentContext) -> AgentResult:
        wanted = Control("drawdown of 12 %", "REDUCING", evidence={"drawdown": 0.12})
        return AgentResult(control=wanted)

    desk = desk_of(schedule, HOURS, NOON, {"work": work}, book=stored_book(store, schedule, NOON))
    desk.step("work", GivenClock(NOON + 60))
    desk.step("work", GivenClock(NOON + 120))
    (one,) = read_control_decisions(store, "test")
    assert (one.actor, one.before, one.after, one.undo) == ("work", "ACTIVE", "REDUCING", "resume")
    assert one.evidence == {"drawdown": 0.12}


def test_an_agent_that_is_not_there_is_told_before_anything_runs(tmp_path):
    from alphafoundry.agents.book import fresh_book
    from alphafoundry.agents.desk import Desk

    schedule = schedule_of(tmp_path, "  wrok: {interval_minutes: 1}\n")
    with pytest.raises(ConfigurationError, match="wrok: no agent of that name"):
        Desk(schedule, HOURS, {}, fresh_book({"wrok": 60}, NOON), GivenFloor())


CHAIN = """
  meta:
    interval_minutes: 5
    priority: critical
    error_threshold: 3
    conditions: {system_health: 0.7}
  risk:
    interval_minutes: 15
    dependencies: [meta]
    error_threshold: 4
    conditions: {system_health: 0.8}
  execution:
    interval_minutes: 1
    dependencies: [risk]
    error_threshold: 5
    conditions: {system_health: 0.9}
"""


@settings(max_examples=examples(40), deadline=None)
@given(
    faults=st.lists(
        st.tuples(
            st.sampled_from(["meta", "risk", "execution"]),
            st.integers(0, 6 * 3600),
            st.integers(60, 4 * 3600),
            st.sampled_from(["raise", "hang"]),
        ),
        max_size=6,
    )
)
def test_whatever_fails_for_hours_everything_runs_again_within_two_days(tmp_path_factory, faults):
    """Liveness: no history of failures locks the desk for ever."""
    folder: Path = tmp_path_factory.mktemp("chain")
    schedule = schedule_of(folder, CHAIN)
    start = at("2024-03-04T00:00:00")

    def is_broken(name: str, moment: int, kind: str) -> bool:
        return any(
            who == name and how == kind and start + begin <= moment < start + begin + length
            for who, begin, length, how in faults
        )

    def body(name: str):
        def run(context: AgentContext) -> AgentResult:
            if is_broken(name, context.now, "raise"):
                raise MarketError("a fault")
            return AgentResult()

        return run

    def lasts(agent: str, due_at: int, attempt: int) -> float:
        return 1e6 if is_broken(agent, due_at, "hang") else 1.0

    names = ("meta", "risk", "execution")
    desk = desk_of(schedule, HOURS, start, {name: body(name) for name in names})
    simulator = Simulator(desk, start, durations=lasts)
    simulator.run_until(start + 10 * 3600 + 2 * 86_400)
    last_hour = start + 10 * 3600 + 2 * 86_400 - 3600
    simulator.finish()
    for name in names:
        recent = [
            one.outcome for one in desk.book.ended if one.agent == name and one.due_at >= last_hour
        ]
        assert recent and set(recent) == {"ran"}, (name, Counter(recent))


def test_what_hangs_is_killed_and_counts_as_failed(tmp_path):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 10, timeout_minutes: 2}\n")
    desk = desk_of(schedule, HOURS, NOON)
    simulator = Simulator(desk, NOON, durations=lambda *given: 1e9)
    simulator.run_until(NOON + 700)
    simulator.finish()
    first = desk.book.ended[0]
    assert first.outcome == "failed" and first.ended_at == first.claimed_at + 120
    assert str(TimedOut("killed after 120 s, its time-out")) == first.reason
