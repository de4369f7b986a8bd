"""What a person does to a desk that runs: flatten, reconcile, replay."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select

from alphafoundry.agents.control import change_desk
from alphafoundry.agents.decisions import replayed
from alphafoundry.agents.desk_account import open_paper_account
from alphafoundry.agents.flatten import flatten_desk
from alphafoundry.agents.living import LivingDesk
from alphafoundry.agents.reconciling import reconcile_desk
from alphafoundry.agents.simulation import sessions_of
from alphafoundry.errors import FoundryError, StoreError
from alphafoundry.runs import open_run
from alphafoundry.store import Store, open_store
from alphafoundry.store.agent_tables import AgentTickRow
from alphafoundry.store.agents import (
    desk_transaction,
    read_agent_desk,
    read_control_decisions,
)
from alphafoundry.store.desk_tables import DeskRow, LedgerLineRow
from alphafoundry.trading import OrderLimits, read_orders, set_state
from alphafoundry.trading.orders import within_limits
from alphafoundry.trading.portfolio import IntendedOrder
from alphafoundry.trading.risk import Stop
from tests.library.agents.small_desks import patient_schedule, small_desk, small_panel
from tests.library.agents.test_living import Stepping


def store_id(store: Store, name: str) -> int:
    with store.session() as session:
        return session.scalar(select(DeskRow.id).where(DeskRow.name == name))


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.long
def test_a_desk_is_flattened_once_and_its_ledger_holds(tmp_path):
    panel = small_panel()
    with (
        open_store(home=tmp_path) as store,
        open_run(store, flow="desk", service="desk") as run,
    ):
        first, second = (day for day in panel.dates[-2:].tolist())
        start = int(datetime(first.year, first.month, first.day, 19, 30, tzinfo=UTC).timestamp())
        with small_desk(
            store,
            panel,
            tmp_path,
            sessions=2,
            run_id=run.id,
            replay_from=start,
            schedule=patient_schedule(tmp_path),
        ) as desk:
            account = desk.floor.account

            def live(begin: int, end: int) -> None:
                living = LivingDesk(desk.desk, Stepping(begin), speed=1.0, began_at=begin)
                living.run(end, lambda: False)

            # To the evening of the first session, then to a quarter of an hour before the close.
            live(start, desk.sessions[0].closes + 1800)
            held = dict(account.positions())
            assert len(held) > 10
            live(desk.sessions[1].closes - 1800, desk.sessions[1].closes - 840)
            waiting = {one.symbol for one in read_orders(store, 1, status=("accepted",))}
            assert waiting & held.keys() and waiting - held.keys()

            told = flatten_desk(store, "a test", desk=None, at=NOW)
            assert f"{len(waiting)} open orders cancelled, {len(held)} orders to close" in told
            again = flatten_desk(store, "a test", desk=None, at=NOW)
            assert "nothing to do" in again
            live(desk.sessions[1].closes - 840, desk.sessions[1].closes + 1800)

            assert dict(account.positions()) == {}
            orders = read_orders(store, 1, session=second)
            closing = [one for one in orders if one.batch == "flatten 1"]
            assert {one.symbol for one in closing} == held.keys()
            assert {one.status for one in closing} == {"filled"}
            assert {one.status for one in orders if one.batch != "flatten 1"} <= {
                "cancelled",
                "denied",
            }
            assert read_agent_desk(store).mode == "REDUCING"
            newest = read_control_decisions(store, "small", limit=1)[0]
            assert (newest.subject, newest.after, newest.undo) == ("positions", "flat", "resume")

            found = reconcile_desk(store, tmp_path)
            assert found.agrees and found.equity, found

            count, differs = replayed(store, read_agent_desk(store))
            assert count > 100 and differs is None
            with store.write() as session:
                row = session.query(AgentTickRow).filter_by(agent="execution", outcome="ran")[0]
                row.seen = {**row.seen, "pending_orders": 0}
            assert "was run, now idle" in replayed(store, read_agent_desk(store))[1]

            with store.write() as session:
                line = session.query(LedgerLineRow).filter_by(account="cash").first()
                line.amount += 100
            found = reconcile_desk(store, tmp_path)
            assert not found.agrees
            assert any("its lines add to 100" in text for text in found.differences)
            assert any(text.startswith("balance of cash: ") for text in found.differences)
            with store.write() as session:
                session.query(LedgerLineRow).filter_by(account="cash").first().amount -= 100
            assert reconcile_desk(store, tmp_path).agrees

            # The broker's book is another one, kept by other code in another file.
            account._side.paper.book.positions["S00"] = Decimal(5)
            account._side.paper.book.cash -= Decimal("12.34")
            account._side.paper.save()
            found = reconcile_desk(store, tmp_path)
            assert not found.agrees
            assert any(line.startswith("cash: ") and "$12.34" in line for line in found.differences)
            assert "S00: ledger 0 shares, broker 5" in found.differences


def test_a_position_beyond_the_limits_of_an_order_is_closed_in_parts():
    parts = list(within_limits(25_000_500_000, 0, OrderLimits(max_order_shares=10_000)))
    assert parts == [10_000_000_000, 10_000_000_000, 5_000_500_000]
    dollars = OrderLimits(max_order_shares=100, max_order_value=1_000)
    assert list(within_limits(60_000_000, 40_000_000, dollars)) == [
        25_000_000,
        25_000_000,
        10_000_000,
    ]
    assert list(within_limits(60_000_000, None, OrderLimits())) == [60_000_000]
    assert list(within_limits(0, None, OrderLimits(max_order_shares=10))) == []


def test_stops_and_orders_that_reduce_are_split_at_the_limit_and_add_up(tmp_path):
    panel = small_panel()
    hours, (session,) = sessions_of(panel, "XNYS", 1)
    now = session.closes - 1200
    million = 1_000_000
    reducing = IntendedOrder(
        *("S01", "sell", 250, 400, 150, 50.0, 0, 0.0),
        parts={"strategy a": 120 * million, "optimiser": 30 * million, "held": -400 * million},
    )
    opening = replace(reducing, symbol="S02", held=-10, parts={"optimiser": -250 * million})
    with (
        open_store(home=tmp_path) as store,
        open_paper_account(
            store,
            name="split",
            panel=panel,
            hours=hours,
            sessions=[session],
            cash=1e6,
            seed=1,
            limits=OrderLimits(max_order_shares=100),
        ) as account,
    ):
        given = {"session": session.day, "now": now, "data_until": panel.dates[-2].item()}
        assert account.intend([reducing, opening], **given) == 4
        stop = Stop("S03", session.day, -250, -0.2)
        assert account.close_out([stop], session=session, now=now) == 3
        orders = read_orders(store, 1)
    wanted = {"S01": [100, 100, 50], "S02": [250], "S03": [100, 100, 50]}
    for symbol, counts in wanted.items():
        assert [one.quantity // million for one in orders if one.symbol == symbol] == counts
    assert {one.reduce_only for one in orders if one.symbol != "S02"} == {True}
    parts = [one.facts["parts"] for one in orders if one.symbol == "S01"]
    assert [sum(one.values()) for one in parts] == [-100 * million, -100 * million, -50 * million]
    # What is held in the end is held for the reasons of the whole order.
    assert "later orders" not in parts[-1] and parts[-1]["strategy a"] == 120 * million


def test_a_desk_that_a_process_is_at_work_on_is_taken_up_by_no_other(tmp_path):
    panel = small_panel()
    with (
        open_store(home=tmp_path) as store,
        open_run(store, flow="desk", service="desk") as run,
        open_run(store, flow="desk", service="desk") as other,
    ):
        with small_desk(store, panel, tmp_path, sessions=2, run_id=run.id):
            pass
        with (
            pytest.raises(StoreError, match=f"process {os.getpid()} on .* is at work on it"),
            small_desk(store, panel, tmp_path, sessions=2, run_id=other.id),
        ):
            pass


def test_what_cannot_be_flattened_is_told_in_a_line(tmp_path):
    panel = small_panel()
    with open_store(home=tmp_path) as store:
        with (
            small_desk(store, panel, tmp_path, name="past", sessions=2),
            pytest.raises(FoundryError, match="is a simulation"),
        ):
            flatten_desk(store, "a test", desk="past", at=NOW)
        start = 1_710_000_000
        with (
            small_desk(store, panel, tmp_path, name="gone", sessions=2, replay_from=start),
            pytest.raises(FoundryError, match="no process runs it"),
        ):
            flatten_desk(store, "a test", desk="gone", at=NOW)
        with (
            open_run(store, flow="desk", service="desk") as run,
            small_desk(
                store, panel, tmp_path, name="here", sessions=2, replay_from=start, run_id=run.id
            ),
        ):
            ledger = store_id(store, "here")
            # A person's halt is no doubt about the positions; the ledger's own is.
            change_desk(store, "HALTED", "a look", desk="here", at=NOW)
            assert "nothing to do" in flatten_desk(store, "a test", desk="here", at=NOW)
            assert read_agent_desk(store, "here").mode == "HALTED"
            change_desk(store, "ACTIVE", "resumed", desk="here", at=NOW)
            set_state(store, ledger, "halted", reason="cash differs")
            with pytest.raises(FoundryError, match=r"its ledger is halted \(cash differs\)"):
                flatten_desk(store, "a test", desk="here", at=NOW)
            with desk_transaction(store, "here") as rows:
                rows.desk().mode, rows.desk().mode_actor = "HALTED", "meta_control"
            with pytest.raises(FoundryError, match=r"its ledger is halted \(cash differs\)"):
                flatten_desk(store, "a test", desk="here", at=NOW)
        with pytest.raises(FoundryError, match="there is no book of its broker"):
            (tmp_path / "desks" / "past.sqlite").unlink()
            reconcile_desk(store, tmp_path, desk="past")
