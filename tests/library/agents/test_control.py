"""What a person changes about a desk, and what meta_control may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from alphafoundry.agents.bodies.meta_control import ControlParameters, meta_control
from alphafoundry.agents.control import change_desk, pause_agent
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.registry import AgentContext, AgentResult, Control
from alphafoundry.agents.status import desk_status, why
from alphafoundry.errors import FoundryError, StoreError
from alphafoundry.store import open_store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import read_agent_desk, read_control_decisions
from alphafoundry.store.desk_tables import DeskRow
from alphafoundry.trading import read_desk, set_state
from tests.library.agents.desks import (
    GivenClock,
    at,
    desk_of,
    hours_of,
    schedule_of,
    stored_book,
)
from tests.library.trading import week

HOURS = hours_of("2024-03-01", "2024-03-31")
NOON = at("2024-03-08T17:00:00")
NOW = datetime(2024, 3, 8, 17, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    with open_store(home=tmp_path) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path, store):
    schedule = schedule_of(
        tmp_path, "  work: {interval_minutes: 1}\n  rest: {interval_minutes: 1}\n"
    )
    desk = desk_of(schedule, HOURS, NOON, book=stored_book(store, schedule, NOON))
    for name in ("work", "rest"):
        desk.step(name, GivenClock(NOON + 60))
    return desk


def test_an_agent_rests_until_it_is_resumed(store, desk):
    told = pause_agent(store, "work", "looks odd", desk=None, at=NOW)
    assert told == "desk test: work rests: looks odd"
    paused = desk.step("work", GivenClock(NOON + 120))
    assert paused.decision.reason == "paused: looks odd"
    assert desk.step("rest", GivenClock(NOON + 120)).record.outcome == "ran"
    pause_agent(store, "work", None, desk="test", at=NOW)
    assert desk.step("work", GivenClock(NOON + 180)).record.outcome == "ran"
    after = [one.after for one in read_control_decisions(store, "test")]
    assert after == ["runs", "paused"]


def test_a_desk_is_halted_and_resumed_with_a_row_each(store, desk):
    assert change_desk(store, "HALTED", "looks odd", desk=None, at=NOW).endswith("looks odd")
    assert change_desk(store, "HALTED", "again", desk=None, at=NOW).endswith("HALTED already")
    change_desk(store, "ACTIVE", "it was nothing", desk=None, at=NOW)
    rows = read_control_decisions(store, "test")
    assert [(one.before, one.after) for one in rows] == [("HALTED", "ACTIVE"), ("ACTIVE", "HALTED")]
    assert rows[1].reason == "looks odd" and rows[1].undo == "resume"


@pytest.mark.parametrize(
    ("wanted", "before", "meant", "after"),
    [
        ("REDUCING", "ACTIVE", "HALTED", ("HALTED", "person")),
        ("ACTIVE", "REDUCING", "REDUCING", ("REDUCING", "person")),
        ("HALTED", "ACTIVE", "REDUCING", ("HALTED", "work")),
        ("REDUCING", "ACTIVE", "REDUCING", ("REDUCING", "person")),
    ],
)
def test_what_a_person_sets_while_an_agent_runs_stays(
    tmp_path, store, wanted, before, meant, after
):
    schedule = schedule_of(tmp_path, "  work: {interval_minutes: 1}\n")
    book = stored_book(store, schedule, NOON)

    def work(context: AgentContext) -> AgentResult:
        if context.now > NOON + 60:
            change_desk(store, meant, "a person's word", desk="test", at=NOW)
            return AgentResult(control=Control("what it saw", wanted))
        return AgentResult(control=Control("at first", before) if before != "ACTIVE" else None)

    desk = desk_of(schedule, HOURS, NOON, {"work": work}, book=book)
    desk.step("work", GivenClock(NOON + 60))
    desk.step("work", GivenClock(NOON + 120))
    found = read_agent_desk(store, "test")
    actor = "work" if found.mode_actor == "work" else "person"
    assert (found.mode, actor) == after


def test_a_ledger_that_halted_by_itself_is_resumed_although_the_desk_is_active(store, desk):
    made = week.make_desk(store)
    with store.write() as session:
        session.execute(update(DeskRow).values(name="test"))
    set_state(store, made.desk_id, "halted", reason="cash differs")
    change_desk(store, "ACTIVE", "looked at it", desk="test", at=NOW)
    assert read_desk(store, made.desk_id).state == "active"
    assert "is ACTIVE already" in change_desk(store, "ACTIVE", "again", desk="test", at=NOW)


def test_the_status_of_a_desk_on_a_clock_is_of_its_newest_tick(store, desk):
    told = list(desk_status(store).lines())
    assert told[2] == "2 ticks to 2024-03-08 17:01 UTC of the desk"
    with pytest.raises(FoundryError, match="there is no order 99999999999999999999"):
        list(why(store, "9" * 20))


def test_a_change_has_the_time_of_the_desk(store, desk):
    with store.write() as session:
        session.execute(update(AgentDeskRow).values(clock="replay"))
    change_desk(store, "HALTED", "odd", desk=None, at=datetime(2026, 1, 1, tzinfo=UTC))
    (row,) = read_control_decisions(store, "test")
    assert row.at == NOW + timedelta(minutes=1)


def test_a_simulation_is_changed_by_no_person(store, desk):
    with store.write() as session:
        session.execute(update(AgentDeskRow).values(clock="simulated"))
    with pytest.raises(FoundryError, match="is a simulation"):
        change_desk(store, "HALTED", "odd", desk=None, at=NOW)
    with pytest.raises(FoundryError, match="is a simulation"):
        pause_agent(store, "work", "odd", desk=None, at=NOW)


def test_what_is_not_there_is_told(store, desk, tmp_path):
    with pytest.raises(FoundryError, match="did you mean 'work'"):
        pause_agent(store, "wrok", "odd", desk=None, at=NOW)
    with pytest.raises(StoreError, match="no desk 'other'"):
        change_desk(store, "HALTED", "odd", desk="other", at=NOW)


@dataclass
class _Ledger(TradingFloor):
    def __init__(self, trouble: str | None) -> None:
        self.broken_by = trouble


def decided(
    mode: str, actor: str, *, health: float = 1.0, broken: str | None = None, **given: object
) -> Control | None:
    states = {
        name: AgentState(60.0, since=NOON, successes=health, failures=1 - health)
        for name in ("execution", "risk_management")
    }
    context = AgentContext(
        floor=_Ledger(broken),
        name="meta_control",
        due_at=NOON,
        now=NOON,
        deadline=NOON + 180,
        parameters=ControlParameters(**given),  # type: ignore[arg-type]
        seed=0,
        mode=mode,  # type: ignore[arg-type]
        mode_actor=actor,
        agents=states,
    )
    result: AgentResult = meta_control(context)
    return result.control


def test_meta_control_halts_on_a_broken_ledger_and_reduces_while_agents_are_unwell():
    halted = decided("ACTIVE", "", broken="cash differs by $1.00")
    assert halted is not None and (halted.mode, halted.reason) == (
        "HALTED",
        "cash differs by $1.00",
    )
    reduced = decided("ACTIVE", "", health=0.5)
    assert reduced is not None and reduced.mode == "REDUCING"
    assert reduced.evidence["alert_threshold"] == 0.8
    assert decided("ACTIVE", "", health=0.9) is None


def test_meta_control_undoes_only_what_it_did_itself():
    back = decided("REDUCING", "meta_control")
    assert back is not None and back.mode == "ACTIVE"
    assert decided("REDUCING", "risk_management") is None
    assert decided("HALTED", "meta_control") is None
    assert decided("HALTED", "ada", health=0.5) is None
    assert decided("REDUCING", "meta_control", auto_recovery=False) is None
    assert decided("ACTIVE", "", health=0.5, control_mode="observe") is None
