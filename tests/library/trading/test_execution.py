"""Orders from intention to fill, and everything that goes wrong between."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest

from alphafoundry.errors import TradingError
from alphafoundry.store import Store
from alphafoundry.store.desk_tables import OrderRow
from alphafoundry.trading import (
    BrokerClient,
    BrokerRules,
    Faults,
    OrderLimits,
    OrderRequest,
    books_of,
    bust_fill,
    check_ledger,
    compare,
    create_desk,
    execute,
    in_process,
    intend_orders,
    open_session,
    pending_orders,
    price_units,
    read_desk,
    read_events,
    read_fills,
    read_orders,
    reconcile,
    request_cancel,
    set_limits,
    set_state,
    shares,
)
from alphafoundry.trading.orders import client_order_id, cutoff_of
from tests.library.trading.week import FIRST, START, Desk, make_desk, market, run_week

DAY = market().days[FIRST]
CLOSE = DAY.session.closes
AT_1540 = CLOSE - timedelta(minutes=20)


def order(symbol: str = "ACE", count: int = 100, **other: Any) -> OrderRequest:
    return OrderRequest(
        symbol,
        "buy" if count > 0 else "sell",
        shares(abs(count)),
        FIRST,
        **{"reference_price": price_units(DAY.bars[symbol].open), **other},
    )


def intend(desk: Desk, *requests: OrderRequest, batch: str = "one") -> list[OrderRow]:
    desk.paper.advance(AT_1540)
    return intend_orders(desk.store, desk.desk_id, requests, batch=batch, now=AT_1540)


def statuses(desk: Desk) -> list[str]:
    return [one.status for one in read_orders(desk.store, desk.desk_id)]


def reasons(desk: Desk) -> list[str | None]:
    return [one.reason for one in read_orders(desk.store, desk.desk_id)]


def held(desk: Desk) -> dict[str, int]:
    books = books_of(desk.store, desk.desk_id)
    return {name: one.quantity // 1_000_000 for name, one in books.holdings.items()}


def minute(number: int) -> datetime:
    return AT_1540 + timedelta(minutes=number)


def test_an_order_goes_from_intended_to_filled(store: Store) -> None:
    desk = make_desk(store)
    (row,) = intend(desk, order())
    assert (statuses(desk), len(row.client_order_id)) == (["intended"], 43)
    desk.tick(minute(1))
    assert statuses(desk) == ["accepted"]
    done = desk.tick(CLOSE + timedelta(minutes=1))
    assert (statuses(desk), done.fills, held(desk)) == (["filled"], 1, {"ACE": 100})
    events = [event.after for event in read_events(store, row.id)]
    assert events == ["intended", "sending", "accepted", "filled"]
    assert compare(store, desk.desk_id, desk.broker).cash == 0


def test_a_batch_is_stored_once(store: Store) -> None:
    desk = make_desk(store)
    first = intend(desk, order(), order("BOW"))
    again = intend(desk, order(count=999))
    assert [one.client_order_id for one in again] == [one.client_order_id for one in first]
    assert len(read_orders(store, desk.desk_id)) == 2


def test_two_desks_never_share_a_client_id(store: Store) -> None:
    ids = {
        client_order_id(epoch, FIRST, symbol, number)
        for epoch in ("a" * 16, "b" * 16)
        for symbol in ("ACE", "BOW")
        for number in range(50)
    }
    assert len(ids) == 200
    epochs = {
        create_desk(
            store,
            name=name,
            broker="paper",
            account_number=name,
            cash=0,
            synthetic=True,
            now=START,
        ).epoch
        for name in ("one", "two", "three")
    }
    assert len(epochs) == 3


def test_what_is_unsent_at_the_cut_off_expires(store: Store) -> None:
    desk = make_desk(store)
    intend(desk, order())
    desk.tick(CLOSE - timedelta(minutes=10))
    assert (statuses(desk), reasons(desk)) == (["expired"], ["cutoff"])
    assert desk.paper.orders == {}


@pytest.mark.parametrize(
    ("day", "kind", "moment"),
    [
        ("2024-03-08", "cls", "2024-03-08T20:50"),  # winter
        ("2024-03-11", "cls", "2024-03-11T19:50"),  # the Monday after clocks go forward
        ("2024-11-01", "opg", "2024-11-01T13:28"),
        ("2024-11-04", "opg", "2024-11-04T14:28"),  # the Monday after they go back
        ("2024-11-29", "cls", "2024-11-29T17:50"),  # half day
        ("2024-11-29", "day", "2024-11-29T18:00"),
    ],
)
def test_cut_offs_follow_the_exchanges_clock(day: str, kind: str, moment: str) -> None:
    found = cutoff_of("XNYS", date.fromisoformat(day), kind)
    assert found == datetime.fromisoformat(f"{moment}:00+00:00")


def test_there_is_no_order_for_a_holiday() -> None:
    with pytest.raises(TradingError, match="does not trade"):
        cutoff_of("XNYS", date(2024, 3, 29), "cls")


@pytest.mark.parametrize(
    ("request_", "limits", "code"),
    [
        (order(count=1000), OrderLimits(max_order_value=10_000), "order_value"),
        (order(count=1000), OrderLimits(max_order_shares=999), "order_shares"),
        (order(count=1000), OrderLimits(max_gross=0.01), "gross_limit"),
        (order(count=-1000), OrderLimits(max_name=0.01), "name_limit"),
        (order(reference_price=None), OrderLimits(max_name=0.5), "no_mark"),
        (order(reduce_only=True), OrderLimits(), "not_reducing"),
        (order(data_until=FIRST - timedelta(days=10)), OrderLimits(), "stale_data"),
    ],
)
def test_limits_deny_with_a_code(
    store: Store, request_: OrderRequest, limits: OrderLimits, code: str
) -> None:
    desk = make_desk(store)
    set_limits(store, desk.desk_id, limits, actor="test", now=START)
    intend(desk, request_)
    assert desk.tick(minute(1)).denied == 1
    assert (statuses(desk), reasons(desk)) == (["denied"], [code])
    assert desk.paper.orders == {}


def test_orders_let_through_count_against_the_next(store: Store) -> None:
    desk = make_desk(store)
    set_limits(store, desk.desk_id, OrderLimits(max_gross=0.05), actor="test", now=START)
    intend(desk, *(order(count=1000) for _ in range(4)))
    desk.tick(minute(1))
    # A thousand shares at about 20 dollars are 2 % of a million.
    assert statuses(desk) == ["accepted", "accepted", "denied", "denied"]


def test_a_halted_desk_sends_nothing_and_a_reducing_one_only_what_reduces(store: Store) -> None:
    desk = make_desk(store)
    intend(desk, order(count=100))
    desk.tick(minute(1))
    desk.tick(CLOSE + timedelta(minutes=1))
    set_state(store, desk.desk_id, "reducing", reason="test")
    next_day = list(desk.paper.market.days.values())[1]
    now = next_day.session.closes - timedelta(minutes=20)
    wanted = [
        OrderRequest("ACE", "sell", shares(40), next_day.session.day, reduce_only=True),
        OrderRequest("ACE", "sell", shares(61), next_day.session.day, reduce_only=True),
        OrderRequest("BOW", "buy", shares(1), next_day.session.day),
    ]
    intend_orders(store, desk.desk_id, wanted, batch="two", now=now)
    desk.tick(now)
    assert reasons(desk)[1:] == [None, "not_reducing", "desk_reducing"]
    set_state(store, desk.desk_id, "halted", reason="test")
    intend_orders(store, desk.desk_id, wanted[:1], batch="three", now=now)
    desk.tick(now + timedelta(minutes=1))
    assert reasons(desk)[4:] == ["desk_halted"]


def test_orders_that_open_wait_while_only_what_reduces_is_sent(store: Store) -> None:
    desk = make_desk(store)
    intend(desk, order(count=100))
    desk.tick(minute(1))
    desk.tick(CLOSE + timedelta(minutes=1))
    next_day = list(desk.paper.market.days.values())[1]
    now = next_day.session.closes - timedelta(minutes=20)
    wanted = [
        OrderRequest("ACE", "sell", shares(40), next_day.session.day, reduce_only=True),
        OrderRequest("BOW", "buy", shares(1), next_day.session.day),
    ]
    intend_orders(store, desk.desk_id, wanted, batch="two", now=now)
    desk.paper.advance(now)
    done = execute(store, desk.desk_id, desk.broker, now, only_reduce=True)
    assert (done.sent, done.denied) == (1, 0)
    assert statuses(desk)[1:] == ["accepted", "intended"]
    desk.tick(now + timedelta(minutes=1))
    assert statuses(desk)[1:] == ["accepted", "accepted"]


def test_no_order_crosses_zero(store: Store) -> None:
    desk = make_desk(store)
    intend(desk, order(count=100))
    desk.tick(minute(1))
    desk.tick(CLOSE + timedelta(minutes=1))
    next_day = list(desk.paper.market.days.values())[1]
    now = next_day.session.closes - timedelta(minutes=20)
    flip = OrderRequest("ACE", "sell", shares(150), next_day.session.day)
    intend_orders(store, desk.desk_id, [flip], batch="two", now=now)
    desk.tick(now)
    assert reasons(desk)[-1] == "crosses_zero"


@pytest.mark.parametrize(
    "faults",
    [
        Faults(answer_lost=1.0),
        Faults(gateway_timeout=1.0),
        Faults(too_many=1.0),
        Faults(answer_lost=0.4, gateway_timeout=0.3, too_many=0.3, tries=3),
    ],
)
def test_a_lost_answer_never_makes_a_second_order(store: Store, faults: Faults) -> None:
    desk = make_desk(store, faults=faults)
    intend(desk, *(order(symbol, 100) for symbol in ("ACE", "BOW", "CAT", "DOG")))
    for number in range(1, 6):
        desk.tick(minute(number))
    assert len(desk.paper.orders) == 4
    desk.tick(CLOSE + timedelta(minutes=1))
    assert statuses(desk) == ["filled"] * 4
    assert held(desk) == {"ACE": 100, "BOW": 100, "CAT": 100, "DOG": 100}
    assert all(one.attempts <= 4 for one in read_orders(store, desk.desk_id))


def test_an_unknown_order_past_its_cut_off_is_looked_for_and_not_sent(store: Store) -> None:
    desk = make_desk(store, faults=Faults(gateway_timeout=1.0, tries=9))
    desk.paper.advance(AT_1540)
    late = CLOSE - timedelta(minutes=11)
    intend(desk, *(order(symbol, 100) for symbol in ("ACE", "BOW", "CAT", "DOG", "END", "FOX")))
    desk.tick(late)
    arrived = {one.symbol for one in desk.paper.orders.values()}
    assert 0 < len(arrived) < 6
    desk.tick(CLOSE - timedelta(minutes=9))
    states = {one.symbol: one.status for one in read_orders(store, desk.desk_id)}
    assert {name for name, one in states.items() if one == "accepted"} == arrived
    assert {name for name, one in states.items() if one == "unknown"} == set(states) - arrived
    desk.tick(CLOSE - timedelta(minutes=8))
    states = {one.symbol: one.status for one in read_orders(store, desk.desk_id)}
    assert {name for name, one in states.items() if one == "expired"} == set(states) - arrived
    assert {one.symbol for one in desk.paper.orders.values()} == arrived


def test_a_429_is_sent_again_before_the_cut_off(store: Store) -> None:
    desk = make_desk(store, faults=Faults(too_many=1.0, tries=1))
    intend(desk, order())
    desk.tick(minute(1))
    assert statuses(desk) == ["intended"]
    desk.tick(minute(2))
    assert statuses(desk) == ["accepted"]


def test_duplicate_and_reordered_fills_are_booked_once(store: Store) -> None:
    clean = make_desk(store)
    run_week(clean)
    cash, shares_held = books_of(store, clean.desk_id).cash, held(clean)
    other = make_desk_beside(store, Faults(duplicate_fills=True, reordered_fills=True))
    run_week(other)
    assert (books_of(store, other.desk_id).cash, held(other)) == (cash, shares_held)
    assert check_ledger(store, other.desk_id) == []


def make_desk_beside(store: Store, faults: Faults) -> Desk:
    from decimal import Decimal

    from alphafoundry.trading import PaperBroker

    paper = PaperBroker(market(), start=START, cash=Decimal(1_000_000), faults=faults, seed=4)
    broker = BrokerClient("http://paper", transport=in_process(paper))
    account = broker.account()
    row = create_desk(
        store,
        name="beside",
        broker="paper",
        account_number=account.number,
        cash=account.cash,
        synthetic=True,
        now=START,
    )
    return Desk(store, paper, broker, row.id)


def test_a_fill_after_a_cancel_is_booked(store: Store) -> None:
    desk = make_desk(store, faults=Faults(fill_after_cancel=True))
    (row,) = intend(desk, order())
    desk.tick(minute(1))
    request_cancel(store, desk.desk_id, [row.id], now=minute(2), reason="test")
    desk.tick(minute(2))
    desk.tick(minute(3))
    assert statuses(desk) == ["cancelled"]
    desk.tick(CLOSE + timedelta(minutes=1))
    reconcile(store, desk.desk_id, desk.broker, CLOSE + timedelta(minutes=2))
    assert (statuses(desk), held(desk)) == (["filled"], {"ACE": 100})
    assert compare(store, desk.desk_id, desk.broker).cash == 0


def test_a_cancel_before_sending_and_after(store: Store) -> None:
    desk = make_desk(store)
    first, second = intend(desk, order(), order("BOW"))
    request_cancel(store, desk.desk_id, [first.id], now=minute(0), reason="changed")
    desk.tick(minute(1))
    assert statuses(desk) == ["cancelled", "accepted"]
    assert (
        request_cancel(store, desk.desk_id, [first.id, second.id], now=minute(2), reason="x") == 1
    )
    desk.tick(minute(2))
    desk.tick(CLOSE + timedelta(minutes=1))
    assert (statuses(desk), held(desk)) == (["cancelled", "cancelled"], {})


def test_a_partial_fill_ends_expired_and_stays_booked(store: Store) -> None:
    rules = BrokerRules(auction_participation=0.00007)
    desk = make_desk(store, rules=rules)
    intend(desk, order(count=100))
    desk.tick(minute(1))
    desk.tick(CLOSE + timedelta(minutes=1))
    assert (statuses(desk), held(desk)) == (["expired"], {"ACE": 70})
    assert pending_orders(store, desk.desk_id) == []


def test_a_rejection_keeps_the_brokers_reason(store: Store) -> None:
    desk = make_desk(store, rules=BrokerRules(hard_to_borrow=frozenset({"DOG"})))
    intend(desk, order("DOG", -10), order(count=10_000_000))
    assert desk.tick(minute(1)).rejected == 2
    assert reasons(desk) == ['asset "DOG" cannot be sold short', "insufficient buying power"]


def test_an_unknown_position_counts_after_two_reads_and_is_adopted(store: Store) -> None:
    desk = make_desk(store, faults=Faults(unknown_positions={FIRST: ("FOX", 25)}))
    intend(desk, order())
    first = desk.tick(minute(1))
    assert (first.reconciliation, first.sent) == ("suspected", 0)
    soon = desk.tick(minute(1) + timedelta(seconds=29))
    assert (soon.reconciliation, soon.sent) == ("suspected", 0)
    third = desk.tick(minute(2))
    assert (third.reconciliation, third.sent) == ("adopted", 1)
    assert held(desk) == {"FOX": 25}
    assert desk.tick(minute(3)).reconciliation == "clean"
    assert check_ledger(store, desk.desk_id) == []


def test_an_unknown_position_halts_a_desk_with_that_rule(store: Store) -> None:
    faults = Faults(unknown_positions={FIRST: ("FOX", 25)})
    desk = make_desk(store, faults=faults, foreign_rule="halt")
    intend(desk, order())
    for number in (1, 2, 3):
        desk.tick(minute(number))
    row = read_desk(store, desk.desk_id)
    assert row.state == "halted"
    assert row.state_reason == "ledger and broker differ: FOX 0 and 25"
    assert (statuses(desk), desk.paper.orders) == (["intended"], {})


@pytest.mark.parametrize(("rule", "state"), [("adopt", "active"), ("halt", "halted")])
def test_a_foreign_order_is_adopted_or_halts(store: Store, rule: str, state: str) -> None:
    desk = make_desk(store, foreign_rule=rule)
    desk.paper.advance(AT_1540)
    desk.broker.submit(
        client_order_id="by hand", symbol="ACE", side="buy", quantity="7", time_in_force="cls"
    )
    desk.tick(minute(1))
    assert read_desk(store, desk.desk_id).state == state
    desk.tick(CLOSE + timedelta(minutes=1))
    reconcile(store, desk.desk_id, desk.broker, CLOSE + timedelta(minutes=2))
    assert held(desk) == ({"ACE": 7} if rule == "adopt" else {})
    if rule == "adopt":
        assert [one.origin for one in read_orders(store, desk.desk_id)] == ["foreign"]
        assert compare(store, desk.desk_id, desk.broker).cash == 0


def test_a_broken_trade_is_reversed(store: Store) -> None:
    desk = make_desk(store, rules=BrokerRules(commission_per_share=0))  # type: ignore[arg-type]
    intend(desk, order())
    desk.tick(minute(1))
    before = books_of(store, desk.desk_id).cash
    desk.tick(CLOSE + timedelta(minutes=1))
    (fill,) = read_fills(store, desk.desk_id)
    assert bust_fill(store, desk.desk_id, fill.broker_fill_id, now=CLOSE)
    assert not bust_fill(store, desk.desk_id, fill.broker_fill_id, now=CLOSE)
    assert (books_of(store, desk.desk_id).cash, held(desk)) == (before, {})
    assert check_ledger(store, desk.desk_id) == []


def test_a_broker_that_is_down_ends_the_tick_and_the_next_goes_on(store: Store) -> None:
    desk = make_desk(store)
    intend(desk, order())

    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    desk.paper.advance(minute(1))
    dead = BrokerClient("http://paper", transport=httpx.MockTransport(down))
    assert "refused" in str(execute(store, desk.desk_id, dead, minute(1)).trouble)
    assert statuses(desk) == ["intended"]
    desk.tick(minute(2))
    assert statuses(desk) == ["accepted"]


def test_a_blocked_account_is_sent_nothing(store: Store) -> None:
    desk = make_desk(store)
    intend(desk, order())
    whole = in_process(desk.paper)

    class Blocked(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = whole.handle_request(request)
            if request.url.path != "/v2/account":
                return answer
            return httpx.Response(200, json=answer.json() | {"trading_blocked": True})

    blocked = BrokerClient("http://paper", transport=Blocked())
    desk.paper.advance(minute(1))
    assert "blocked the account" in str(execute(store, desk.desk_id, blocked, minute(1)).trouble)
    assert (statuses(desk), desk.paper.orders) == (["intended"], {})


def test_another_order_under_our_id_halts(store: Store) -> None:
    desk = make_desk(store)
    (row,) = intend(desk, order())
    desk.broker.submit(
        client_order_id=row.client_order_id,
        symbol="ACE",
        side="sell",
        quantity="3",
        time_in_force="cls",
    )
    desk.tick(minute(1))
    found = read_desk(store, desk.desk_id)
    assert found.state == "halted"
    assert "another one under its client id" in str(found.state_reason)


def test_one_account_has_one_desk_and_generated_prices_no_real_one(store: Store) -> None:
    desk = make_desk(store)
    account: Mapping[str, Any] = {
        "account_number": desk.paper.account_number,
        "cash": 0,
        "now": START,
    }
    with pytest.raises(TradingError, match="one desk each"):
        create_desk(store, name="other", broker="paper", synthetic=True, **account)
    with pytest.raises(TradingError, match="generated prices"):
        create_desk(store, name="x", broker="https://api.alpaca.markets", synthetic=True, **account)


def test_open_session_of_a_day_without_events_books_nothing(store: Store) -> None:
    desk = make_desk(store)
    assert open_session(store, desk.desk_id, DAY, before=None, at=START) == 0
