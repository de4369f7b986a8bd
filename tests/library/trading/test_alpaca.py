"""The execution over HTTP, against a server of Alpaca's JSON with its faults and its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from alpaca.trading.models import Calendar, Clock, Order, Position, TradeAccount, TradeActivity
from pydantic import TypeAdapter

from alphafoundry.agents.outside_account import OutsideSide, begin_outside_desk
from alphafoundry.errors import BrokerError, BrokerRefused, BrokerUnavailable, FoundryError
from alphafoundry.store import Store, open_store
from alphafoundry.store.desk_tables import OrderRow
from alphafoundry.trading import (
    BrokerClient,
    Execution,
    OrderLimits,
    OrderRequest,
    adopt,
    books_of,
    check_ledger,
    compare,
    execute,
    intend_orders,
    read_desk,
    read_fills,
    read_orders,
    request_cancel,
    set_state,
    shares,
)
from alphafoundry.trading.quota import KEPT_FOR_READING, Quota
from tests.library.trading.alpaca_server import KEY, NUMBER, SECRET, Alpaca, serving
from tests.some_cases import one_in

ROOT = Path(__file__).resolve().parents[3]
DAY, NEXT = date(2024, 3, 15), date(2024, 3, 18)
HOURS = dict.fromkeys((DAY, NEXT), ("09:30", "16:00"))
NOON = datetime(2024, 3, 15, 16, 0, tzinfo=UTC)
CLOSE = datetime(2024, 3, 15, 20, 0, tzinfo=UTC)


class Outside:
    """A desk at a served account; its clock and the server's are one."""

    def __init__(self, store: Store, alpaca: Alpaca) -> None:
        self.store, self.alpaca = store, alpaca
        self.now = NOON - timedelta(minutes=1)
        alpaca.now = lambda: self.now
        self.client = client_of(alpaca)
        self.id = begin(store, self.client, self.now).id

    def intend(self, *wanted: tuple[str, str, int], tif: str = "day") -> list[OrderRow]:
        requests = [
            OrderRequest(
                symbol,
                "buy" if side == "buy" else "sell",
                shares(count),
                DAY,
                time_in_force=tif,  # type: ignore[arg-type]
                reference_price=10_000_000,
            )
            for symbol, side, count in wanted
        ]
        batch = f"batch {len(read_orders(self.store, self.id))}"
        intend_orders(self.store, self.id, requests, batch=batch, now=self.now)
        return read_orders(self.store, self.id)[-len(wanted) :]

    def tick(self, seconds: int = 60) -> Execution:
        self.now += timedelta(seconds=seconds)
        return execute(self.store, self.id, self.client, self.now)

    def statuses(self) -> list[str]:
        return [one.status for one in read_orders(self.store, self.id)]

    def held(self) -> dict[str, int]:
        found = books_of(self.store, self.id).holdings
        return {name: one.quantity // 1_000_000 for name, one in found.items()}


def client_of(alpaca: Alpaca, **given: Any) -> BrokerClient:
    return BrokerClient(alpaca.address, key=KEY, secret=SECRET, **given)


def begin(store: Store, client: BrokerClient, now: datetime) -> Any:
    return begin_outside_desk(
        store, client, name="desk", exchange="XNYS", limits=OrderLimits(), now=now
    )


@pytest.fixture
def desk(store: Store) -> Iterator[Outside]:
    with serving(Alpaca(now=lambda: NOON, hours=dict(HOURS))) as alpaca:
        outside = Outside(store, alpaca)
        with outside.client:
            yield outside


def test_every_answer_is_one_that_alpacas_own_client_reads(desk: Outside) -> None:
    desk.intend(("ACE", "buy", 10), ("BOW", "sell", 3))
    desk.tick()
    headers = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}

    def get(path: str) -> Any:
        return httpx.get(f"{desk.alpaca.address}/v2/{path}", headers=headers).json()

    orders = TypeAdapter(list[Order]).validate_python(get("orders?status=all"))
    assert {str(one.client_order_id) for one in orders} == {
        one.client_order_id for one in read_orders(desk.store, desk.id)
    }
    positions = TypeAdapter(list[Position]).validate_python(get("positions"))
    assert {one.symbol: float(one.qty) for one in positions} == {"ACE": 10.0, "BOW": -3.0}
    TypeAdapter(list[TradeActivity]).validate_python(
        [one | {"side": one["side"].removesuffix("_short")} for one in get("account/activities")]
    )
    assert TradeAccount.model_validate(get("account")).account_number == NUMBER
    Clock.model_validate(get("clock"))
    (day,) = (Calendar(**one) for one in get(f"calendar?start={DAY}&end={DAY}"))
    assert day.date == DAY
    assert desk.held() == {"ACE": 10, "BOW": -3}
    for desk.alpaca.numbers in (False, True):
        assert compare(desk.store, desk.id, desk.client).agrees


@pytest.mark.parametrize("fault", one_in(2, ["lost", "504 arrived", "504"]))
def test_an_answer_that_is_lost_makes_no_second_order(desk: Outside, fault: str) -> None:
    desk.alpaca.answers.append(fault)
    (row,) = desk.intend(("ACE", "buy", 10))
    assert desk.tick().unknown == 1
    desk.tick()
    desk.tick()
    (told,) = desk.alpaca.orders.values()
    assert told["client_order_id"] == row.client_order_id
    assert desk.statuses() == ["filled"] and desk.held() == {"ACE": 10}
    assert len(desk.alpaca.posts()) == 2
    assert compare(desk.store, desk.id, desk.client).agrees


def test_fills_that_come_twice_and_out_of_order_are_booked_once(desk: Outside) -> None:
    desk.alpaca.twice = desk.alpaca.shuffled = True
    desk.alpaca.pieces = 4
    desk.intend(("ACE", "buy", 40), ("BOW", "sell", 40))
    desk.tick()
    desk.tick()
    assert len(read_fills(desk.store, desk.id)) == 8
    assert desk.held() == {"ACE": 40, "BOW": -40}
    assert compare(desk.store, desk.id, desk.client).agrees


def test_a_fill_after_a_cancel_is_booked(desk: Outside) -> None:
    desk.alpaca.fills_cancelled = True
    (row,) = desk.intend(("ACE", "buy", 10), tif="cls")
    desk.tick()
    request_cancel(desk.store, desk.id, [row.id], now=desk.now, reason="test")
    desk.tick()
    desk.tick()
    desk.tick()
    assert desk.statuses() == ["filled"] and desk.held() == {"ACE": 10}


def test_a_position_that_lags_is_no_difference_and_one_of_nobody_halts(desk: Outside) -> None:
    desk.alpaca.lag = 10.0
    desk.intend(("ACE", "buy", 10))
    desk.tick()
    desk.intend(("BOW", "buy", 10))
    assert desk.tick(5).reconciliation == "suspected"
    assert desk.tick(30).reconciliation == "clean"
    assert read_desk(desk.store, desk.id).state == "active"
    desk.alpaca.foreign["CAT"] = Decimal(7)
    desk.intend(("BOW", "buy", 1))
    assert desk.tick().reconciliation == "suspected"
    assert desk.tick(31).reconciliation == "confirmed"
    found = read_desk(desk.store, desk.id)
    assert found.state == "halted" and "CAT 0 and 7" in str(found.state_reason)
    assert "BOW" not in [one["symbol"] for one in list(desk.alpaca.orders.values())[2:]]


def test_a_person_takes_over_what_the_broker_has_and_the_desk_goes_on(desk: Outside) -> None:
    desk.intend(("ACE", "buy", 10))
    desk.tick()
    # A split 2:1 that no activity tells, and cash in lieu.
    desk.alpaca.foreign["ACE"] = Decimal(10)
    desk.alpaca.cash += Decimal("1.25")
    desk.intend(("BOW", "buy", 1))
    desk.tick()
    assert desk.tick(31).reconciliation == "confirmed"
    done = adopt(desk.store, desk.id, desk.client, desk.now, reason="split 2:1")
    assert set(done.differences) == {"ACE", "cash"}
    assert desk.held() == {"ACE": 20}
    assert compare(desk.store, desk.id, desk.client, equity=False).agrees
    assert check_ledger(desk.store, desk.id) == []
    assert adopt(desk.store, desk.id, desk.client, desk.now, reason="again").differences == {}
    set_state(desk.store, desk.id, "active", reason="looked at")
    desk.tick()
    assert desk.held() == {"ACE": 20, "BOW": 1}


def test_a_refusal_is_kept_without_the_keys(desk: Outside) -> None:
    desk.intend(("ACE", "buy", 1_000_000))
    assert desk.tick().rejected == 1
    (row,) = read_orders(desk.store, desk.id)
    assert row.status == "rejected" and row.reason == "insufficient buying power for ***"
    with (
        BrokerClient(desk.alpaca.address, key="PK-WRONG", secret="odd-secret") as wrong,
        pytest.raises(BrokerRefused, match="forbidden") as told,
    ):
        wrong.account()
    assert "odd-secret" not in str(told.value) and "PK-WRONG" not in str(told.value)


def test_an_outage_of_an_hour_is_caught_up_with_once(desk: Outside) -> None:
    desk.intend(("ACE", "buy", 10))
    desk.alpaca.down = True
    for _ in range(60):
        done = desk.tick()
        assert not done.answered and done.trouble is not None
        assert SECRET not in done.trouble
    desk.alpaca.down = False
    desk.tick()
    desk.tick()
    assert len(desk.alpaca.posts()) == len(desk.alpaca.orders) == 1
    assert desk.statuses() == ["filled"] and desk.held() == {"ACE": 10}


def test_the_brokers_limit_is_kept_and_what_is_left_goes_with_the_next_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [1_000_000.0]
    monkeypatch.setattr("alphafoundry.trading.quota.time.time", lambda: moment[0])
    alpaca = Alpaca(now=lambda: NOON, hours=dict(HOURS))
    with serving(alpaca):
        desk = Outside(store, alpaca)
        with client_of(alpaca, per_minute=60) as desk.client:
            alpaca.per_minute = 10_000
            desk.client._quota = Quota(60, lambda: moment[0])
            desk.intend(*(("ACE", "buy", 1) for _ in range(100)))
            before = len(alpaca.asked)
            sent = []
            for _ in range(5):
                done = desk.tick()
                sent.append(done.sent)
                assert len(alpaca.asked) - before <= 60
                before = len(alpaca.asked)
                moment[0] += 60.0
            assert sum(sent) == 100 and 0 < sent[0] <= 60 - KEPT_FOR_READING
            assert set(desk.statuses()) == {"filled"} and desk.held() == {"ACE": 100}
            assert len(alpaca.orders) == len(alpaca.posts()) == 100


def test_after_a_429_nothing_is_asked_before_its_time(desk: Outside) -> None:
    desk.alpaca.answers.append("429")
    desk.intend(("ACE", "buy", 10))
    assert desk.tick().sent == 0
    assert desk.statuses() == ["intended"]
    asked = len(desk.alpaca.asked)
    done = desk.tick()
    assert done.trouble is not None and "requests of this minute are used up" in done.trouble
    assert len(desk.alpaca.asked) == asked
    desk.client._quota = Quota(200)
    desk.tick()
    assert desk.statuses() == ["filled"] and len(desk.alpaca.orders) == 1


def test_a_429_and_the_brokers_own_count_close_the_way_until_their_time() -> None:
    moment = [1000.0]
    quota = Quota(200, lambda: moment[0])
    assert quota.take(order=True) == 0.0
    quota.heard(429, {"X-Ratelimit-Reset": "1030"})
    assert quota.take(order=False) == 30.0
    moment[0] = 1030.0
    assert quota.take(order=False) == 0.0
    quota.heard(200, {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "1040"})
    assert quota.take(order=True) == 10.0
    moment[0] = 1040.0
    quota.heard(429, {})
    assert quota.take(order=False) == 60.0
    moment[0] = 1100.0
    quota.heard(200, {"X-Ratelimit-Remaining": "12", "X-Ratelimit-Reset": "1140"})
    assert quota.take(order=True) == 0.0


def test_no_order_is_written_for_a_session_that_the_broker_knows_otherwise(desk: Outside) -> None:
    side = OutsideSide(desk.client, "XNYS")
    side.check_session(DAY)
    asked = len(desk.alpaca.asked)
    side.check_session(DAY)
    assert len(desk.alpaca.asked) == asked, "once a session"
    desk.alpaca.hours[NEXT] = ("09:30", "13:00")
    with pytest.raises(BrokerError, match=r"trades 09:30 to 13:00 in New York, .* 09:30 to 16:00"):
        side.check_session(NEXT)
    del desk.alpaca.hours[NEXT]
    with pytest.raises(BrokerError, match="is closed in New York"):
        side.check_session(NEXT)


def test_a_half_day_of_both_calendars_is_a_session(desk: Outside) -> None:
    half = date(2024, 11, 29)
    desk.alpaca.hours[half] = ("09:30", "13:00")
    OutsideSide(desk.client, "XNYS").check_session(half)


def test_a_ledger_begins_with_an_account_of_nobody_only(store: Store) -> None:
    alpaca = Alpaca(now=lambda: NOON, hours=dict(HOURS))
    with serving(alpaca), client_of(alpaca) as client:
        alpaca.foreign["CAT"] = Decimal(7)
        with pytest.raises(FoundryError, match=r"positions or open orders of no desk \(CAT\)"):
            begin(store, client, NOON)
        alpaca.foreign.clear()
        with pytest.raises(FoundryError, match="differ by 31 s"):
            begin(store, client, NOON + timedelta(seconds=31))
        alpaca.blocked = True
        with pytest.raises(FoundryError, match="is blocked"):
            begin(store, client, NOON)
        alpaca.blocked = False
        first = begin(store, client, NOON)
        alpaca.foreign["CAT"] = Decimal(7)
        assert begin(store, client, NOON).id == first.id, "a ledger that is there goes on"


def test_a_process_killed_between_sending_and_the_answer_sends_nothing_twice(
    tmp_path: Path,
) -> None:
    alpaca = Alpaca(now=lambda: NOON, hours=dict(HOURS))
    with serving(alpaca), open_store(home=tmp_path) as store:
        desk = Outside(store, alpaca)
        (row,) = desk.intend(("ACE", "buy", 10))
        desk.now = NOON

        def kill(_: dict[str, Any]) -> None:
            os.kill(child.pid, signal.SIGKILL)
            alpaca.before_answer = lambda order: None

        alpaca.before_answer = kill
        words = (str(tmp_path), alpaca.address, str(desk.id), NOON.isoformat())
        with alpaca.lock:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.library.trading.test_alpaca", *words],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        assert child.wait() == -signal.SIGKILL
        assert desk.statuses() == ["sending"]
        desk.tick()
        desk.tick()
        (told,) = alpaca.orders.values()
        assert told["client_order_id"] == row.client_order_id
        assert desk.statuses() == ["filled"] and desk.held() == {"ACE": 10}
        assert compare(store, desk.id, desk.client).agrees
        desk.client.close()


def test_an_answer_that_is_not_of_the_promised_form_is_told(desk: Outside) -> None:
    for body in ({"cash": "1"}, {"cash": "much", "equity": "1"}):
        desk.alpaca._account = lambda body=body: body  # type: ignore[method-assign,misc]
        with pytest.raises(BrokerUnavailable, match="cannot be read"):
            desk.client.account()


def work_once(home: Path, address: str, number: int, now: datetime) -> None:
    """Do one turn of execution, in a process that the server kills."""
    with (
        open_store(home=home) as store,
        BrokerClient(address, key=KEY, secret=SECRET) as client,
    ):
        execute(store, number, client, now)


if __name__ == "__main__":
    given = sys.argv[1:]
    work_once(Path(given[0]), given[1], int(given[2]), datetime.fromisoformat(given[3]))
