"""A desk on a clock that goes by itself, and its decisions made again from its rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from alphafoundry.agents import decisions
from alphafoundry.agents.clocks import ReplayClock
from alphafoundry.agents.due_times import due_times
from alphafoundry.agents.living import LivingDesk
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult, Parameters
from alphafoundry.errors import MarketError
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_ticks
from tests.library.agents.desks import at, desk_of, hours_of, schedule_of, stored_book

HOURS = hours_of("2024-03-01", "2024-03-31")
NOON = at("2024-03-08T17:00:00")
TASKS = """
  first: {interval_minutes: 1, error_threshold: 2, retry_count: 1, retry_delay: 0.1}
  second: {interval_minutes: 2, dependencies: [first]}
"""


class Stepping(ReplayClock):
    """A clock that jumps to what it is asked to wait for."""

    def __init__(self, start: int) -> None:
        super().__init__(start, 1.0)
        self.moment = start

    def exact(self) -> float:
        return self.moment

    def sleep_until(self, moment: int) -> None:
        self.moment = max(self.moment, moment)


@pytest.fixture
def lived(tmp_path, monkeypatch):
    schedule = schedule_of(tmp_path, TASKS)
    ran: list[int] = []

    def first(context: AgentContext) -> AgentResult:
        ran.append(context.due_at)
        if context.due_at < NOON + 400:
            raise MarketError("not there")
        return AgentResult()

    with open_store(home=tmp_path) as store:
        book = stored_book(store, schedule, NOON)
        desk = desk_of(schedule, HOURS, NOON, {"first": first}, book=book)
        desk._keep_facts = True
        living = LivingDesk(desk, Stepping(NOON), speed=1.0, began_at=NOON)
        living.run(NOON + 1800, lambda: False)
        rows = read_ticks(store, "test")
    agents = {name: Agent(name, first, Parameters) for name in schedule.tasks}
    monkeypatch.setattr(decisions, "known_agents", lambda: agents)
    return schedule, rows, living


def test_every_due_time_has_one_row(lived):
    _, rows, living = lived
    assert len(rows) == 30 + 15 == len({(row.agent, row.due_at) for row in rows})
    assert {row.outcome for row in rows} == {"ran", "failed", "blocked"}
    assert rows[-1].outcome == "ran"
    assert "45 ticks began 0.00 s late" in str(living.punctuality)


def test_the_rows_decide_alike_when_they_are_decided_again(lived):
    schedule, rows, _ = lived
    assert list(decisions.differing_decisions(schedule, HOURS, rows, NOON)) == []


def test_a_decision_that_differs_is_told(lived):
    tasks = dict(lived[0].tasks)
    tasks["second"] = replace(tasks["second"], dependencies={}, closure=())
    schedule = replace(lived[0], tasks=tasks)
    found = list(decisions.differing_decisions(schedule, HOURS, lived[1], NOON))
    assert found and "was blocked, now run" in found[0]


def test_a_replay_goes_as_fast_as_it_is_told():
    clock = ReplayClock(NOON, 1000.0)
    clock.sleep_until(NOON + 50)
    assert clock.now() >= NOON + 50


def test_the_first_tick_in_which_two_desks_differ_is_shown(tmp_path):
    schedule = schedule_of(tmp_path, "  first: {interval_minutes: 1}\n")

    def body(context: AgentContext, *, odd: int | None) -> AgentResult:
        return AgentResult(figures={"orders": 7 if context.due_at == odd else 3})

    due = due_times(schedule.tasks["first"], HOURS, NOON, NOON + 600)
    with open_store(home=tmp_path) as store:
        for name, odd in (("one", None), ("same", None), ("other", due[5])):
            book = stored_book(store, schedule, NOON, name)
            desk = desk_of(schedule, HOURS, NOON, {"first": partial(body, odd=odd)}, book=book)
            living = LivingDesk(desk, Stepping(NOON), speed=1.0, began_at=NOON)
            living.run(NOON + 600, lambda: False)
        assert decisions.first_difference(store, "one", "same") is None
        told = decisions.first_difference(store, "one", "other")
        assert told is not None
        assert f"{datetime.fromtimestamp(due[5], UTC):%Y-%m-%d %H:%M:%S} ran" in told
        assert '"orders": 3' in told and '"orders": 7' in told
