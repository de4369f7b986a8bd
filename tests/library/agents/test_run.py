"""A desk on a clock whose agents' process is killed: another goes on, and the books hold."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from alphafoundry.agents import simulation
from alphafoundry.agents.reconciling import reconcile_desk
from alphafoundry.agents.simulation import open_floor
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_ticks
from alphafoundry.trading import read_orders
from tests.library.agents.small_desks import (
    SkippingClock,
    patient_schedule,
    small_desk,
    small_panel,
)


@pytest.mark.long
def test_a_run_whose_process_is_killed_goes_on_and_its_books_hold(
    tmp_path, monkeypatch, forked_workers
):
    monkeypatch.setattr(simulation, "ReplayClock", SkippingClock)
    panel = small_panel()
    day = panel.dates[-1].item()
    # A quarter of an hour before the orders for the close are written, to after its last fills.
    start = int(datetime(day.year, day.month, day.day, 19, 25, tzinfo=UTC).timestamp())
    killed: list[int] = []
    with (
        open_store(home=tmp_path) as store,
        small_desk(
            store,
            panel,
            tmp_path,
            sessions=1,
            replay_from=start,
            schedule=patient_schedule(tmp_path),
        ) as desk,
    ):

        def asked_to_stop() -> bool:
            if not killed and read_orders(store, 1):
                killed.append(forked_workers[-1].pid)
                forked_workers[-1].kill()
            return False

        desk.replay(
            partial(open_floor, desk="small", url=None, home=tmp_path, load=small_panel),
            speed=1.0,
            minutes=66.0,
            asked_to_stop=asked_to_stop,
        )
        assert killed == [forked_workers[0].pid]
        assert [one.poll() is None for one in forked_workers] == [False, False]
        rows = read_ticks(store, "small")
        assert len({(row.agent, row.due_at) for row in rows}) == len(rows) > 100
        assert {row.outcome for row in rows} <= {"ran", "idle", "blocked", "missed", "failed"}
        assert "all alike" in desk.decided_alike()
        report = desk.report()
        assert report.ticks.total() == len(rows)
        assert report.totals.differences == []
        # An order is at the broker once, whoever sent it.
        ids = [one.client_order_id for one in desk.floor.account._side.paper.orders.values()]
        assert len(ids) == len(set(ids))
        assert set(ids) <= {one.client_order_id for one in read_orders(store, 1)}
        assert reconcile_desk(store, tmp_path).agrees
