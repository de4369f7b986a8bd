"""All processes together, in simulated time."""

from __future__ import annotations

import pytest

from alphafoundry.supervisor.states import Restart, Start, Stop
from alphafoundry.supervisor.supervision import HEALTH_RESTARTS
from tests.library.supervisor.simulated import SimulatedMachine, endless, one_shot, processes


def test_a_one_shot_script_for_six_hours_takes_turns_and_no_restarts() -> None:
    machine = SimulatedMachine({"collector": one_shot(1.0)})
    machine.supervise(processes({"name": "collector", "requires_loop": True}))
    machine.run(360 * 60)
    standing = machine.supervision.standings["collector"]
    assert standing.turns == len(machine.started) - (1 if standing.alive else 0)
    assert 178 <= standing.turns <= 180
    assert standing.restarts == () and not machine.events("restarting")
    assert machine.most_alive == {"collector": 1}


def test_a_fixed_beat_keeps_to_it_for_a_day() -> None:
    machine = SimulatedMachine({"beat": lambda life: (3.0 + life % 5, 0)})
    machine.supervise(
        processes(
            {"name": "beat", "requires_loop": True, "loop_interval": 60, "loop_from": "start"}
        )
    )
    machine.run(86_400)
    assert [moment for moment, _, _ in machine.started] == [60.0 * n for n in range(1441)]


def test_a_missing_script_is_quarantined_at_once_and_holds_nobody_up() -> None:
    machine = SimulatedMachine({"gone": lambda life: None, "other": endless()})
    machine.supervise(processes({"name": "gone", "priority": 1}, {"name": "other"}))
    machine.run(1.5)
    assert machine.supervision.standings["gone"].state == "quarantined"
    assert machine.supervision.standings["other"].state == "running"
    machine.run(13 * 3600 - 1)
    assert len(machine.events("trial", "gone")) == 12
    assert machine.supervision.standings["gone"].restarts == ()


@pytest.mark.parametrize("turn", [2.0, 20.0, 200.0])
def test_the_end_comes_within_a_minute_turn_under_way_included(turn: float) -> None:
    machine = SimulatedMachine(
        {"loop": one_shot(turn), "service": endless(), "stubborn": endless()}, stop_takes=9.0
    )
    machine.supervise(
        processes(
            {"name": "loop", "requires_loop": True, "loop_interval": 1},
            {"name": "service", "priority": 1},
            {"name": "stubborn", "priority": 9},
        )
    )
    machine.run(600)
    machine.supervision.end(600, "the runtime is over")
    begun = len(machine.started)
    machine.run(700)
    assert machine.supervision.phase == "over"
    assert machine.now <= 660 and not machine.alive()
    assert len(machine.started) == begun, "something began after the end"


@pytest.mark.parametrize(("given", "finish"), [(None, 30), (5.0, 5), (100.0, 30)])
def test_turns_that_take_too_long_end_side_by_side(given: float | None, finish: float) -> None:
    names = ["a", "b", "c"]
    machine = SimulatedMachine({name: one_shot(1000) for name in names}, stop_takes=20.0)
    machine.supervise(
        processes(
            *(
                {"name": name, "requires_loop": True, "priority": n + 1, "stop_seconds": 25}
                for n, name in enumerate(names)
            )
        )
    )
    machine.run(10)
    machine.supervision.end(10, "end", finish_seconds=given)
    machine.run(100)
    assert machine.now == pytest.approx(10 + finish + 20)
    assert not machine.events("killed")


def test_at_the_end_a_turn_holds_up_only_what_it_depends_on() -> None:
    takes = {"session": 2.0, "server": 3.0, "market": 4.0, "pipeline": 5.0, "turn": 20.0}
    machine = SimulatedMachine({name: endless() for name in takes}, stop_takes=takes)
    turn = {"requires_loop": True, "stop_seconds": 25, "depends_on": {"server": "ready"}}
    machine.supervise(
        processes(
            {"name": "session", "priority": 0},
            {"name": "server", "priority": 2},
            {"name": "market", "priority": 3},
            {"name": "pipeline", "priority": 5, "depends_on": {"market": "ready"}},
            {"name": "turn", "priority": 9, **turn},
        )
    )
    machine.run(30)
    machine.supervision.end(30, "end", finish_seconds=5)
    machine.run(100)
    stops = {name: at for at, name, kind, _, _ in machine.told if kind == "stopping"}
    # Pipeline and market end beside the turn, its server after it, and the session after all.
    assert stops == {"turn": 35, "pipeline": 35, "market": 40, "server": 55, "session": 58}
    assert machine.now == pytest.approx(60)


def test_what_ignores_every_signal_is_killed_within_the_minute() -> None:
    machine = SimulatedMachine({"a": endless(), "b": endless()}, stop_takes=10_000.0)
    machine.supervise(
        processes(
            {"name": "a", "stop_seconds": 600}, {"name": "b", "priority": 9, "stop_seconds": 600}
        )
    )
    machine.run(10)
    machine.supervision.end(10, "end")
    machine.run(80)
    assert machine.supervision.phase == "over" and machine.now <= 70


def test_a_long_turn_does_not_make_the_end_longer_than_a_minute() -> None:
    names = ["first", "second", "turn"]
    machine = SimulatedMachine({name: endless() for name in names}, stop_takes=10_000.0)
    machine.supervise(
        processes(
            {"name": "first", "priority": 1, "stop_seconds": 20},
            {"name": "second", "priority": 2, "stop_seconds": 20},
            {"name": "turn", "priority": 9, "stop_seconds": 20, "requires_loop": True},
        )
    )
    machine.run(10)
    machine.supervision.end(10, "end")
    machine.run(100)
    assert machine.supervision.phase == "over" and machine.now <= 70


def test_dependencies_wait_and_are_stopped_after_those_that_need_them() -> None:
    machine = SimulatedMachine({"server": endless(), "client": endless(), "after": one_shot()})
    machine.supervise(
        processes(
            {"name": "client", "priority": 1, "depends_on": {"server": "ready"}},
            {"name": "server", "priority": 9},
            {"name": "after", "depends_on": {"client": "started"}},
        )
    )
    machine.run(5)
    order = [name for _, name, _ in machine.started]
    assert order.index("server") < order.index("client") < order.index("after")
    assert [moment for moment, name, _ in machine.started if name == "client"] == [1.0]
    machine.supervision.end(5, "end")
    machine.run(60)
    stops = [name for _, name, kind, _, _ in machine.told if kind == "stopping"]
    assert stops == ["client", "server"]


def test_a_dependent_restarts_along_only_where_it_says_so() -> None:
    machine = SimulatedMachine(
        {
            "server": lambda life: (50.0, 1) if life == 1 else (float("inf"), 0),
            "along": endless(),
            "keep": endless(),
        }
    )
    machine.supervise(
        processes(
            {"name": "server", "restart_delay": 1},
            {"name": "along", "depends_on": {"server": "ready"}, "with_dependency": "restart"},
            {"name": "keep", "depends_on": {"server": "ready"}},
        )
    )
    machine.run(100)
    lives = {name: one.life for name, one in machine.supervision.standings.items()}
    assert lives == {"server": 2, "along": 2, "keep": 1}
    assert machine.supervision.standings["along"].restarts == ()


def test_bad_health_of_all_restarts_three_one_at_a_time_and_alerts_once() -> None:
    names = [f"p{number}" for number in range(8)]
    machine = SimulatedMachine({name: endless() for name in names})
    machine.supervise(processes(*({"name": name} for name in names)))
    machine.run(400)
    for second in range(400, 500):
        for name in names:
            machine.supervision.unwell(name, "health", "health 0.10", machine.now)
            stopping = [o for o in machine.supervision.standings.values() if o.state == "stopping"]
            assert len(stopping) <= 1
        machine.run(second)
    restarts = [len(one.restarts) for one in machine.supervision.standings.values()]
    assert sum(restarts) == HEALTH_RESTARTS
    alerts = [text for _, _, kind, severity, text in machine.told if severity == "alert"]
    assert len(alerts) == 1 and "is not restarted" in alerts[0]


def test_restarts_stay_within_the_window_for_three_days() -> None:
    machine = SimulatedMachine({"flaky": lambda life: (400.0, 1), "leaf": one_shot(2.0, 1)})
    machine.supervise(
        processes(
            {"name": "flaky", "max_restarts": 5, "restart_window": 7200, "restart_delay": 1},
            {"name": "leaf", "restart_delay": 0, "max_restarts": 10},
        )
    )
    machine.run(72 * 3600)
    for name, most, window in (("flaky", 5, 7200), ("leaf", 10, 21600)):
        starts = [moment for moment, one, _ in machine.started if one == name]
        for position, moment in enumerate(starts):
            recent = sum(1 for one in starts[: position + 1] if one > moment - window)
            # the first start, the restarts, and a trial an hour
            assert recent <= 1 + most + window / 3600 + 1
        assert machine.events("quarantined", name)
    assert machine.most_alive == {"flaky": 1, "leaf": 1}


def test_a_stop_by_a_person_outlives_the_supervisor() -> None:
    machine = SimulatedMachine({"a": endless(), "b": endless()})
    first = machine.supervise(processes({"name": "a"}, {"name": "b"}))
    machine.run(5)
    first.handle("a", Stop("by hand"), 5.0)
    machine.run(6)
    standings = dict(first.standings)
    again = machine.supervise(processes({"name": "a"}, {"name": "b"}), standings=standings)
    machine.run(7200)
    assert again.standings["a"].state == "stopped" and machine.alive() == {"b"}
    again.handle("a", Start(), machine.now)
    machine.run(7300)
    assert machine.alive() == {"a", "b"}


def test_reload_restarts_only_what_changed() -> None:
    machine = SimulatedMachine({name: endless() for name in "abcd"})
    machine.supervise(processes({"name": "a"}, {"name": "b"}, {"name": "c"}))
    machine.run(10)
    done = machine.supervision.reload(
        processes({"name": "a"}, {"name": "b", "stop_seconds": 3}, {"name": "d"}), 10.0
    )
    machine.run(20)
    assert done == {"b": "changed", "c": "gone", "d": "new"}
    assert machine.alive() == {"a", "b", "d"}
    lives = {name: machine.supervision.standings[name].life for name in "abd"}
    assert lives == {"a": 1, "b": 2, "d": 1}


def test_what_left_the_file_and_came_back_runs_again() -> None:
    machine = SimulatedMachine({"a": endless(), "b": endless(), "turns": one_shot()})
    every = ({"name": "a"}, {"name": "b"}, {"name": "turns", "requires_loop": True})
    supervision = machine.supervise(processes(*every))
    machine.run(10)
    assert supervision.standings["turns"].state == "sleeping"
    supervision.reload(processes({"name": "a"}), 10.0)
    # What was between two turns is told as stopped, not as sleeping for ever.
    assert machine.events("stopped", "turns") == ["stays stopped: it left the file"]
    machine.run(20)
    assert machine.alive() == {"a"}
    supervision.reload(processes(*every), 20.0)
    machine.run(30)
    assert machine.alive() == {"a", "b"}
    assert supervision.standings["turns"].turns == 1


def test_no_room_begins_nothing_and_stops_what_allows_it_until_there_is_room() -> None:
    machine = SimulatedMachine({"core": endless(), "search": endless(), "turns": one_shot()})
    machine.supervise(
        processes(
            {"name": "core"},
            {"name": "search", "priority": 9, "slow": "stop"},
            {
                "name": "turns",
                "priority": 8,
                "slow": "turns",
                "requires_loop": True,
                "loop_interval": 10,
            },
        )
    )
    machine.run(15)
    machine.supervision.hold_back("all", 15.0)
    assert machine.supervision.stop_lowest("no room", 15.0) == "search"
    assert machine.supervision.stop_lowest("no room", 15.0) is None
    before = len(machine.started)
    machine.run(100)
    assert len(machine.started) == before and machine.alive() == {"core"}
    assert machine.supervision.waits_for("turns") == "room on the machine"
    machine.supervision.hold_back("nothing", 100.0)
    machine.run(110)
    assert "search" in machine.alive() and len(machine.started) > before
    assert machine.supervision.standings["search"].desired == "run"


def test_a_restart_by_hand_is_not_counted() -> None:
    machine = SimulatedMachine({"a": endless()})
    machine.supervise(processes({"name": "a", "max_restarts": 0}))
    for moment in (10.0, 20.0, 30.0):
        machine.run(moment)
        machine.supervision.handle("a", Restart("by hand"), machine.now)
    machine.run(40)
    standing = machine.supervision.standings["a"]
    assert (standing.state, standing.life, standing.restarts) == ("running", 4, ())
