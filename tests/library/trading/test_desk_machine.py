"""Whatever is asked, in whatever order, under whatever faults: the books hold."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alphafoundry.store import open_store
from alphafoundry.trading import (
    BrokerRules,
    Faults,
    OrderRequest,
    check_ledger,
    close_session,
    compare,
    intend_orders,
    open_session,
    pending_orders,
    price_units,
    read_desk,
    read_orders,
    reconcile,
    request_cancel,
    shares,
)
from tests.library.trading.week import SYMBOLS, make_desk


class DeskMachine(RuleBasedStateMachine):
    """A desk over days of the paper broker: intends, cancels, is restarted; the broker fails."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = open_store(home=self.folder)

    @initialize(
        lost=st.sampled_from([0.0, 0.3]),
        timeouts=st.sampled_from([0.0, 0.4]),
        twice=st.booleans(),
        reordered=st.booleans(),
        after_cancel=st.booleans(),
        share=st.sampled_from([0.02, 0.0001]),
    )
    def begin(
        self,
        lost: float,
        timeouts: float,
        twice: bool,
        reordered: bool,
        after_cancel: bool,
        share: float,
    ) -> None:
        self.faults = Faults(
            answer_lost=lost,
            gateway_timeout=timeouts,
            duplicate_fills=twice,
            reordered_fills=reordered,
            fill_after_cancel=after_cancel,
        )
        self.rules_of_broker = BrokerRules(auction_participation=share, borrow_rate=0.05)
        self.number = 0
        self.batch = 0
        self.restart()
        self.open_day()

    def open_day(self) -> None:
        days = list(self.desk.paper.market.days.values())
        self.day = days[self.number]
        self.now = self.day.session.opens - timedelta(minutes=50)
        self.desk.paper.advance(self.now)
        before = days[self.number - 1] if self.number else None
        open_session(self.store, self.desk.desk_id, self.day, before=before, at=self.now)
        self.desk.tick(self.now)
        self.now = self.day.session.closes - timedelta(minutes=30)
        self.desk.paper.advance(self.now)

    @rule()
    def restart(self) -> None:
        if hasattr(self, "desk"):
            self.desk.paper.close()
        self.desk = make_desk(
            self.store,
            state=self.folder / "broker.sqlite",
            faults=self.faults,
            rules=self.rules_of_broker,
        )

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        count=st.integers(-300, 300).filter(bool),
        kind=st.sampled_from(["cls", "cls", "day"]),
    )
    def intend(self, symbol: str, count: int, kind: str) -> None:
        bar = self.day.bars.get(symbol)
        self.batch += 1
        request = OrderRequest(
            symbol,
            "buy" if count > 0 else "sell",
            shares(abs(count)),
            self.day.session.day,
            time_in_force=kind,  # type: ignore[arg-type]
            reference_price=None if bar is None else price_units(bar.open),
        )
        intend_orders(
            self.store, self.desk.desk_id, [request], batch=f"batch {self.batch}", now=self.now
        )

    @rule(minutes=st.integers(1, 7))
    def tick(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.desk.tick(self.now)

    @rule(place=st.integers(0, 5))
    def cancel(self, place: int) -> None:
        pending = pending_orders(self.store, self.desk.desk_id)
        if place < len(pending):
            request_cancel(
                self.store, self.desk.desk_id, [pending[place].id], now=self.now, reason="test"
            )

    @rule()
    def next_day(self) -> None:
        days = list(self.desk.paper.market.days.values())
        if self.number + 2 >= len(days):
            return
        self.close_day()
        self.number += 1
        self.open_day()

    def close_day(self) -> None:
        days = list(self.desk.paper.market.days.values())
        self.now = max(self.now, self.day.session.closes + timedelta(minutes=5))
        for _ in range(3):
            self.desk.tick(self.now)
            self.now += timedelta(minutes=1)
        close_session(
            self.store,
            self.desk.desk_id,
            self.day,
            next_session=days[self.number + 1].session.day,
            at=self.now,
            borrow_rate=0.05,
        )
        reconcile(self.store, self.desk.desk_id, self.desk.broker, self.now)
        found = compare(self.store, self.desk.desk_id, self.desk.broker)
        assert found.agrees, found

    @invariant()
    def the_books_hold(self) -> None:
        if not hasattr(self, "desk"):
            return
        assert check_ledger(self.store, self.desk.desk_id) == []
        ours = {one.client_order_id: one for one in read_orders(self.store, self.desk.desk_id)}
        theirs = [one.client_order_id for one in self.desk.paper.orders.values()]
        assert len(theirs) == len(set(theirs))
        assert set(theirs) <= set(ours)
        for order in self.desk.paper.orders.values():
            mine = ours[order.client_order_id]
            assert mine.filled <= order.filled_qty * 1_000_000
            assert Decimal(mine.quantity) == order.qty * 1_000_000
        assert read_desk(self.store, self.desk.desk_id).state == "active"

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.close_day()
            over = [one.status for one in pending_orders(self.store, self.desk.desk_id)]
            assert over == []
            self.desk.paper.close()
        self.store.close()
        shutil.rmtree(self.folder)


SETTINGS = settings(
    max_examples=6, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)

TestDesk = pytest.mark.slow(DeskMachine.TestCase)
TestDesk.settings = SETTINGS  # type: ignore[attr-defined]


@pytest.mark.long
def test_many_desks() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        DeskMachine,
        settings=settings(SETTINGS, max_examples=60, stateful_step_count=25),
    )
