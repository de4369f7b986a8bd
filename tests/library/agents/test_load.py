"""Intervals that are stretched while the desk is late: whose, how far, why, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.agents.bodies.meta_control import ControlParameters, meta_control
from alphafoundry.agents.control import pause_agent
from alphafoundry.agents.decisions import differing_decisions
from alphafoundry.agents.gate import is_kept
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import utc
from alphafoundry.agents.load import relief
from alphafoundry.agents.registry import AgentContext, AgentResult, Control
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_agent_states, read_control_decisions, read_ticks
from tests.library.agents.desks import (
    GivenClock,
    at,
    desk_of,
    hours_of,
    schedule_of,
    stored_book,
)
from tests.library.agents.small_desks import small_desk, small_panel

PRIORITIES = {"urgent": "critical", "soon": "high", "middle": "medium", "low": "low"}
MORNING = at("2024-01-05T15:00")
TASKS = """
  urgent: {interval_minutes: 5, priority: critical}
  low: {interval_minutes: 5, priority: low}
"""

CAN_WAIT = "cache_management"
REAL_TASKS = TASKS.replace("urgent:", "meta_control:").replace("low:", "cache_management:")


def states_with(late: float, **stretch: int) -> dict[str, AgentState]:
    found = {name: AgentState(300.0, stretch=stretch.get(name, 1)) for name in PRIORITIES}
    found["urgent"].late = late
    return found


def test_low_is_stretched_before_medium_and_restored_after_it() -> None:
    def step(late: float, **stretch: int) -> dict[str, int]:
        states = states_with(late, **stretch)
        return relief(states, PRIORITIES, now=0, threshold=0.25, most=4)  # type: ignore[arg-type]

    assert step(0.3) == {"low": 2}
    assert step(0.3, low=2) == {"low": 4}
    assert step(0.3, low=4) == {"middle": 2}
    assert step(0.3, low=4, middle=4) == {}
    assert step(0.2, low=4, middle=4) == {}
    assert step(0.05, low=4, middle=4) == {"middle": 2}
    assert step(0.05, low=2) == {"low": 1}
    assert step(0.0) == {}


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 16))
def test_stretches_stay_within_bounds_and_go_back(lates: list[float], most: int) -> None:
    states = states_with(0.0)
    for late in [*lates, *[0.0] * 20]:
        states["urgent"].late = late
        changed = relief(states, PRIORITIES, now=0, threshold=0.25, most=most)  # type: ignore[arg-type]
        for name, every in changed.items():
            states[name].stretch = every
        assert all(1 <= one.stretch <= most for one in states.values())
        assert states["urgent"].stretch == states["soon"].stretch == 1
    assert all(one.stretch == 1 for one in states.values())


def test_lateness_is_smoothed_and_fades() -> None:
    state = AgentState(60.0)
    state.begins(0, 0)
    assert state.late == 0.0
    for _ in range(30):
        state.begins(0, 30)
    assert state.late == pytest.approx(0.5, abs=0.01)
    state.begins(0, 86_400)
    assert state.late <= 0.8 * 0.5 + 0.2 * 2.0 + 1e-9
    for _ in range(60):
        state.begins(0, 0)
    assert state.late == 0.0


def test_lateness_of_an_agent_that_begins_no_more_is_not_believed_for_ever() -> None:
    states = states_with(0.0, low=2)
    for n in range(5):
        states["urgent"].begins(300 * n, 600)
    assert relief(states, PRIORITIES, now=1200 + 3000, threshold=0.25, most=4) == {"low": 4}  # type: ignore[arg-type]
    assert relief(states, PRIORITIES, now=1200 + 3001, threshold=0.25, most=4) == {"low": 1}  # type: ignore[arg-type]


def test_no_interval_is_stretched_beyond_four_hours() -> None:
    states = states_with(1.0)
    for name, minutes in {"low": 60, "middle": 180}.items():
        states[name].interval = 60.0 * minutes
    for _ in range(9):
        changed = relief(states, PRIORITIES, now=0, threshold=0.25, most=16)  # type: ignore[arg-type]
        for name, every in changed.items():
            states[name].stretch = every
    assert {name: one.stretch for name, one in states.items() if one.stretch > 1} == {"low": 4}


def test_a_stretched_agent_runs_at_some_of_its_times_and_misses_none(tmp_path: Path) -> None:
    plan = schedule_of(tmp_path, TASKS)
    desk = desk_of(plan, hours_of("2024-01-02", "2024-01-12"), MORNING)
    desk.book.states["low"].stretch = 2
    low = plan.tasks["low"]
    first = MORNING - MORNING % 300 + low.offset + 300
    outcomes = [desk.step("low", GivenClock(first + 300 * n)).record for n in range(6)]
    assert sorted(one.outcome for one in outcomes[:2]) == ["blocked", "ran"]  # type: ignore[union-attr]
    assert [one.outcome for one in outcomes[:2]] * 3 == [one.outcome for one in outcomes]  # type: ignore[union-attr]
    assert [one.outcome == "ran" for one in outcomes] == [  # type: ignore[union-attr]
        is_kept(low, first + 300 * n, 2) for n in range(6)
    ]
    blocked = next(one for one in outcomes if one is not None and one.outcome == "blocked")
    assert "every 2 intervals" in blocked.reason
    assert desk.book.states["low"].missed_since_ok == 0


def test_each_change_is_a_row_that_a_person_can_undo(tmp_path: Path) -> None:
    plan = schedule_of(tmp_path, REAL_TASKS)
    hours = hours_of("2024-01-02", "2024-01-12")
    with open_store(home=tmp_path) as store:
        changes = iter([2, 4])

        def body(context: AgentContext) -> AgentResult:
            assert context.priorities == {
                "meta_control": "critical",
                CAN_WAIT: "low",
            }
            given = Control("late", stretch={CAN_WAIT: next(changes)})
            return AgentResult(control=given)

        desk = desk_of(
            plan, hours, MORNING, {"meta_control": body}, book=stored_book(store, plan, MORNING)
        )
        desk._keep_facts = True
        for n in range(2):
            due = MORNING - MORNING % 300 + plan.tasks["meta_control"].offset + 300 * (n + 1)
            desk.step("meta_control", GivenClock(due))
            desk.step(CAN_WAIT, GivenClock(due + 60))
        assert read_agent_states(store, "test")[CAN_WAIT]["stretch"] == 4
        rows = read_control_decisions(store, "test")
        found = [(one.before, one.after, one.undo) for one in rows if one.subject == CAN_WAIT]
        assert sorted(found) == [
            ("every 2 intervals", "every 4 intervals", "resume " + CAN_WAIT),
            ("every interval", "every 2 intervals", "resume " + CAN_WAIT),
        ]
        ticks = read_ticks(store, "test")
        assert not list(differing_decisions(plan, hours, ticks, MORNING))
        pause_agent(store, CAN_WAIT, None, desk="test", at=utc(MORNING + 900))
        assert read_agent_states(store, "test")[CAN_WAIT]["stretch"] == 1


def test_meta_control_says_why_and_observes_where_told(tmp_path: Path) -> None:
    late = states_with(0.5)
    late["urgent"].late_at = MORNING

    def context(**given: object) -> AgentContext:
        return AgentContext(
            floor=floor,
            name="meta_control",
            due_at=MORNING,
            now=MORNING,
            deadline=MORNING + 60,
            parameters=ControlParameters.model_validate(given),
            seed=1,
            agents=late,
            priorities=PRIORITIES,  # type: ignore[arg-type]
        )

    with open_store(home=tmp_path) as store, small_desk(store, small_panel(), tmp_path) as desk:
        floor = desk.floor
        control = meta_control(context()).control
        assert control is not None and control.stretch == {"low": 2} and control.mode is None
        assert control.reason == "urgent begins 50% of its interval late, threshold 25%"
        assert (control.evidence["late"], control.evidence["late_threshold"]) == (0.5, 0.25)
        assert meta_control(context(control_mode="observe")).control is None
        assert meta_control(context(most_stretch=1)).control is None
