"""A desk whose ticks several processes do: each once, each from what the one before has left."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from alphafoundry.agents.due_times import due_times
from alphafoundry.agents.schedule import Schedule
from alphafoundry.agents.shared_desk import SharedClock, do_due_tick, due_agents, share_desk
from alphafoundry.agents.simulation import open_floor, plain_values, sessions_of
from alphafoundry.errors import FoundryError
from alphafoundry.runs import open_run
from alphafoundry.store import Store, open_store
from alphafoundry.store.agents import open_agent_desk, read_agent_desk, read_ticks, save_desk_report
from tests.library.agents.desks import at, hours_of, schedule_of
from tests.library.agents.hanging import counting_floor
from tests.library.agents.small_desks import small_desk, small_panel

BEGAN = at("2024-03-15T19:30")
TASKS = """
  counts_in_test: {interval_minutes: 1, conditions: {market_hours: true}, priority: critical}
"""


def clock(*, ago: float = 130.0, minutes: float = 30.0) -> SharedClock:
    """Return a clock that began some seconds ago."""
    return SharedClock(time.time() - ago, BEGAN, 1.0, minutes, "2024-03-01", "2024-03-15")


def opened(store: Store, plan: Schedule) -> None:
    open_agent_desk(
        store,
        "shared",
        market_label="a test",
        clock="replay",
        began_at=datetime.fromtimestamp(BEGAN, UTC),
        schedule=plain_values(plan),
        settings={"environment": "production", "seed": 7},
    )


@pytest.mark.long
@pytest.mark.usefixtures("forked_workers")
def test_of_two_processes_that_are_woken_together_one_does_the_tick(tmp_path):
    (tmp_path / "desks").mkdir()
    with open_store(home=tmp_path) as store:
        opened(store, schedule_of(tmp_path, TASKS))
        given = {"desk": "shared", "home": tmp_path}
        with pytest.raises(FoundryError, match="desk run --deployments"):
            do_due_tick(store, "counts_in_test", counting_floor, **given)
        share_desk(store, "shared", clock(), {"floor": {"count": 4}, "account": {"version": 0}})
        with pytest.raises(FoundryError, match="has no agent 'nobody'"):
            do_due_tick(store, "nobody", counting_floor, **given)

        def wake(_: int) -> str:
            return do_due_tick(store, "counts_in_test", counting_floor, **given)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(wake, range(2)))
        rows = read_ticks(store, "shared")
        ran = [row for row in rows if row.outcome == "ran"]
        # Between the two a minute may have passed; then each has done a tick of its own.
        counts = [int(row.reason.split()[0]) for row in ran]
        assert counts == list(range(5, 5 + len(ran))) and ran
        assert len({row.due_at for row in rows}) == len(rows)
        assert {row.outcome for row in rows} <= {"ran", "missed"}
        checkpoint = read_agent_desk(store, "shared").checkpoint
        assert checkpoint is not None and checkpoint["floor"] == {"count": counts[-1]}

        save_desk_report(store, "shared", {})
        assert "has ended" in wake(0)


def test_agents_are_woken_at_their_due_times_on_the_true_clock(tmp_path):
    plan = schedule_of(
        tmp_path,
        TASKS
        + "  fails_in_test: {before_close: 20 min, priority: high}\n"
        + "  hangs_in_test: {at: '03:00'}\n",
    )
    hours = hours_of("2024-03-01", "2024-03-15")
    ten_times = SharedClock(1000.0, BEGAN, 10.0, 3.0, "2024-03-01", "2024-03-15")
    minute, moment = due_agents(plan, hours, ten_times)
    assert (minute.agent, minute.priority) == ("counts_in_test", "critical")
    assert minute.interval == timedelta(seconds=6) and minute.moments == ()
    assert minute.first == ten_times.wall(
        due_times(plan.tasks["counts_in_test"], hours, BEGAN, ten_times.ends_at)[0]
    )
    # 15:40 in New York is ten minutes after the beginning, which take one.
    assert (moment.agent, moment.interval, moment.moments) == ("fails_in_test", None, (1060.0,))
    assert ten_times.ends_at == BEGAN + 1800 and ten_times.shown(1060.0) == BEGAN + 600


def test_other_processes_know_what_a_desk_began_with(tmp_path):
    panel = small_panel()
    start = sessions_of(panel, "XNYS", 1)[1][0].opens + 3600
    with open_store(home=tmp_path) as store:
        with small_desk(store, panel, tmp_path, sessions=1, replay_from=start) as desk:
            desk.share(speed=1.0, minutes=60.0)
        given = {"url": None, "home": tmp_path, "load": lambda: panel, "prepare": False}
        kept = read_agent_desk(store, "small").checkpoint
        with open_floor(kept, desk="small", **given) as floor:
            assert floor.began_with == 1_000_000.0


@pytest.mark.long
@pytest.mark.usefixtures("forked_workers")
def test_what_others_did_is_taken_back_and_told(tmp_path):
    panel = small_panel()
    # A second before agents are due; a desk as fast as the true time has patient time-outs.
    start = sessions_of(panel, "XNYS", 1)[1][0].opens + 3600 - 1
    make = partial(
        open_floor, desk="small", url=None, home=tmp_path, load=small_panel, prepare=False
    )
    with (
        open_store(home=tmp_path) as store,
        open_run(store, flow="desk", service="desk") as run,
        small_desk(store, panel, tmp_path, sessions=1, run_id=run.id, replay_from=start) as desk,
    ):
        shared = desk.share(speed=1.0, minutes=60.0)
        first = {one.agent: one.first for one in desk.due_agents(shared)}
        assert {"execution", "data_sync"} <= first.keys()
        assert "portfolio_rebalancing" not in first
        for agent in sorted(("system_health", "data_sync"), key=first.__getitem__):
            time.sleep(max(first[agent] - time.time(), 0.0) + 0.1)
            told = do_due_tick(store, agent, make, desk="small", home=tmp_path)
            assert told.startswith(f"{agent}: ran")
        assert desk.floor.data_until is None
        late = desk.take_back(shared)
        assert desk.floor.data_until == panel.dates[-2].item()
        assert len(late.late) == 2 and min(late.late) >= 0.0
        assert "alike" in desk.decided_alike()
        report = desk.report()
        assert report.totals.differences == [] and report.ticks
        assert "has ended" in do_due_tick(store, "data_sync", make, desk="small", home=tmp_path)
