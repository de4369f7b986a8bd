"""The table of one process: nothing is undefined, lost, or run twice."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.supervisor import states
from alphafoundry.supervisor.processes import ProcessConfig
from alphafoundry.supervisor.states import (
    EVENTS,
    STATES,
    TABLE,
    Exited,
    Go,
    Kill,
    Launch,
    Pause,
    Quarantine,
    Ready,
    Restart,
    Standing,
    Start,
    Stop,
    Tell,
    Terminate,
    Time,
    Unwell,
    step,
)
from tests.property_tests import examples

EVENT = st.one_of(
    st.just(Go()),
    st.builds(states.NotLaunched, st.just("no"), st.booleans()),
    st.just(Ready()),
    st.builds(Exited, st.sampled_from([0, 1, 2]), st.none()),
    st.builds(Exited, st.none(), st.sampled_from([9, 15])),
    st.just(Time()),
    st.builds(Unwell, st.sampled_from(["health", "limit"]), st.just("because")),
    st.builds(Stop, st.just("stop"), st.sampled_from(["person", "end", "pattern", "machine"])),
    st.just(Start()),
    st.just(Restart("again")),
    st.just(Pause("rest")),
    st.just(Quarantine("away")),
    st.just(states.End()),
)
CONFIG = st.builds(
    lambda loop, restart, retry, most: ProcessConfig(
        name="p",
        command="true",
        requires_loop=loop,
        restart="on-failure" if loop and restart == "always" else restart,
        quarantine_retry=retry,
        max_restarts=most,
        loop_from="start" if most % 2 else "end",
        max_turn_seconds=50.0,
    ),
    st.booleans(),
    st.sampled_from(["on-failure", "always", "never"]),
    st.sampled_from([0.0, 3600.0]),
    st.integers(0, 4),
)


def config(**more: Any) -> ProcessConfig:
    return ProcessConfig(name="p", command="true", **more)


def after(events: list[tuple[float, Any]], rules: ProcessConfig) -> Standing:
    standing, draw = Standing(), random.Random(0)
    for now, event in events:
        standing, _ = step(standing, event, rules, now=now, draw=draw)
    return standing


def test_every_pair_of_state_and_event_has_a_rule() -> None:
    assert set(TABLE) == {(state, event) for state in STATES for event in EVENTS}


@settings(max_examples=examples(400), deadline=None)
@given(CONFIG, st.lists(st.tuples(st.floats(0.01, 4000), EVENT), max_size=40))
def test_any_history_keeps_one_life_and_loses_none(
    rules: ProcessConfig, history: list[tuple[float, Any]]
) -> None:
    standing, draw, now, alive = Standing(), random.Random(0), 0.0, False
    for wait, event in history:
        now += wait
        if isinstance(event, Exited | states.NotLaunched) and not alive:
            continue  # nothing that runs could end
        before = standing
        standing, actions = step(standing, event, rules, now=now, draw=draw)
        if isinstance(event, Exited | states.NotLaunched):
            alive = False
        for action in actions:
            if isinstance(action, Launch):
                assert not alive, "a second life beside a first"
                assert standing.life == before.life + 1
                alive = True
            if isinstance(action, Terminate | Kill):
                assert alive, "a signal to nothing"
        assert standing.alive == alive, (before.state, event, standing.state)
        assert len(standing.restarts) <= max(rules.max_restarts, 1)
        if standing.state in ("sleeping", "backing off", "stopping", "starting"):
            assert standing.until is not None, "a state that nothing would end"
        if standing.desired == "stop":
            assert standing.state in ("stopped", "stopping", "quarantined", "finished", "paused")


def test_exit_0_of_a_one_shot_script_is_no_crash() -> None:
    done = after([(0, Go()), (5, Exited(0))], config())
    assert (done.state, done.restarts, done.short_lives) == ("finished", (), 0)
    turn = after([(0, Go()), (5, Exited(0))], config(requires_loop=True))
    assert (turn.state, turn.turns, turn.restarts, turn.until) == ("sleeping", 1, (), 125)


def test_a_service_that_ends_with_0_has_failed() -> None:
    assert after([(0, Go()), (5, Exited(0))], config(restart="always")).state == "backing off"


def test_delay_doubles_with_short_lives_and_a_long_life_resets_it() -> None:
    rules, draw, standing, now = config(restart_delay=30), random.Random(0), Standing(), 0.0
    delays = []
    for lived in (1, 1, 1, 1, 1, 1, 1, 400, 1):
        standing, _ = step(standing, Go(), rules, now=now, draw=draw)
        now += lived
        standing, _ = step(standing, Exited(1), rules, now=now, draw=draw)
        assert standing.until is not None
        delays.append(standing.until - now)
        now = standing.until
        standing, _ = step(standing, Time(), rules, now=now, draw=draw)
    expected = [30, 60, 120, 240, 480, 900, 900, 30, 30]
    assert delays == pytest.approx(expected, rel=0.1001)


def test_five_short_lives_alert_once() -> None:
    rules, draw, standing, now, alerts = config(), random.Random(0), Standing(), 0.0, 0
    for _ in range(9):
        standing, _ = step(standing, Go(), rules, now=now, draw=draw)
        now += 1
        standing, actions = step(standing, Exited(1), rules, now=now, draw=draw)
        alerts += sum(isinstance(one, Tell) and one.kind == "crash_loop" for one in actions)
        assert standing.until is not None
        now = standing.until
        standing, _ = step(standing, Time(), rules, now=now, draw=draw)
    assert alerts == 1


def test_a_person_s_stop_during_back_off_stays() -> None:
    events = [(0, Go()), (1, Exited(1)), (2, Stop("by hand")), (100, Time()), (101, Go())]
    stopped = after(events, config())
    assert (stopped.state, stopped.desired) == ("stopped", "stop")
    assert after([*events, (102, Start())], config()).state == "waiting"


def test_one_restart_too_many_quarantines_and_a_good_trial_ends_it() -> None:
    rules = config(max_restarts=1, restart_delay=0, steady_seconds=60)
    crash = [(0.0, Go()), (1.0, Exited(1)), (1.0, Time()), (1.0, Go()), (2.0, Exited(1))]
    away = after(crash, rules)
    assert (away.state, away.until) == ("quarantined", 3602)
    trial = [*crash, (3602, Time()), (3602, Go()), (3603, Ready())]
    assert after([*trial, (3610, Exited(1))], rules).state == "quarantined"
    well = after([*trial, (3662, Time())], rules)
    assert (well.state, well.trial, well.restarts) == ("running", False, ())


def test_a_turn_that_is_too_long_is_restarted_and_counted() -> None:
    rules = config(requires_loop=True, max_turn_seconds=60)
    hung = after([(0, Go()), (0, Ready()), (60, Time())], rules)
    assert (hung.state, hung.cause) == ("stopping", "hung")
    gone = after([(0, Go()), (0, Ready()), (60, Time()), (61, Exited(None, 15))], rules)
    assert (gone.state, len(gone.restarts), gone.turns) == ("backing off", 1, 0)


@pytest.mark.parametrize(("lived", "due", "skipped"), [(10, 100, 0), (100, 100, 0), (250, 300, 2)])
def test_a_fixed_beat_does_not_drift_and_skips_what_it_missed(
    lived: float, due: float, skipped: int
) -> None:
    rules = config(requires_loop=True, loop_interval=100, loop_from="start")
    turn = after([(0, Go()), (lived, Exited(0))], rules)
    assert (turn.until, turn.skipped) == (due, skipped)


def test_a_late_beat_does_not_move_the_next_and_a_missed_one_is_counted() -> None:
    rules = config(requires_loop=True, loop_interval=100, loop_from="start")
    late = [(0, Go()), (10, Exited(0)), (107, Time()), (107, Go()), (110, Exited(0))]
    assert (after(late, rules).until, after(late, rules).skipped) == (200, 0)
    held = [*late, (350, Time()), (350, Go()), (355, Exited(0))]
    assert (after(held, rules).until, after(held, rules).skipped) == (400, 1)
    crashed = [*late, (200, Time()), (200, Go()), (210, Exited(1)), (5000, Time()), (5000, Go())]
    again = after([*crashed, (5001, Exited(0))], rules)
    assert (again.until, again.skipped) == (5100, 0)
