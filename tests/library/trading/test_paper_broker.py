"""The paper broker: its rules, its JSON by Alpaca's own models, its port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from alpaca.trading.models import (
    Asset,
    Calendar,
    Clock,
    NonTradeActivity,
    Order,
    Position,
    TradeAccount,
    TradeActivity,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from alphafoundry.errors import BrokerRefused, BrokerUnavailable, ConfigurationError
from alphafoundry.market.sessions import sessions
from alphafoundry.store import Store
from alphafoundry.trading import (
    BrokerClient,
    BrokerRules,
    DayBar,
    Faults,
    MarketDay,
    MarketDays,
    PaperBroker,
    in_process,
)
from alphafoundry.trading.market_day import _tick, _ticks
from alphafoundry.trading.paper_broker import PaperApplication
from alphafoundry.trading.paper_broker.intraday import price_path, volume_share
from tests.library.trading.week import FIRST, START, make_desk, market, run_week
from tests.property_tests import examples

DAY = market().days[FIRST]
OPEN, CLOSE = DAY.session.opens, DAY.session.closes
BAR = DAY.bars["ACE"]
FREE = BrokerRules(half_spread=0.0, impact=0.0, commission_per_share=Decimal(0), borrow_rate=0.0)


def paper(**other: Any) -> PaperBroker:
    return PaperBroker(market(), start=START, **{"cash": Decimal(100_000), "rules": FREE, **other})


def place(broker: PaperBroker, **request: Any) -> Any:
    return broker.place(
        {"symbol": "ACE", "qty": "100", "side": "buy", "type": "market", "time_in_force": "cls"}
        | request
    )


@settings(max_examples=examples(80), deadline=None)
@given(
    st.tuples(*[st.integers(100, 10_000)] * 4),
    st.sampled_from([210, 390]),
    st.integers(0, 2**31),
)
def test_the_path_goes_through_the_days_prices(
    prices: tuple[int, ...], minutes: int, seed: int
) -> None:
    first, last, *others = (Decimal(price) / 100 for price in prices)
    bar = DayBar(first, max(first, last, *others), min(first, last, *others), last, 1)
    path = price_path(bar, minutes, seed=seed, symbol="ACE", day=FIRST)
    assert path.shape == (minutes + 1,)
    assert (path[0], path[-1]) == (float(bar.open), float(bar.close))
    assert (path.max(), path.min()) == (float(bar.high), float(bar.low))
    again = price_path(bar, minutes, seed=seed, symbol="ACE", day=FIRST)
    assert np.array_equal(path, again)


def test_volume_is_u_shaped() -> None:
    share = volume_share(390)
    assert share.sum() == pytest.approx(1.0)
    assert share[0] == share[-1] == pytest.approx(share.max())
    assert share[0] > 3 * share[195]


@pytest.mark.parametrize(("kind", "price"), [("opg", BAR.open), ("cls", BAR.close)])
def test_auctions_fill_at_their_price(kind: str, price: Decimal) -> None:
    broker = paper()
    order = place(broker, time_in_force=kind)
    broker.advance(CLOSE)
    assert (order.status, order.filled_value) == ("filled", 100 * price)
    assert broker.book.cash == 100_000 - 100 * price


def test_an_auction_gives_no_more_than_its_share_whatever_the_orders() -> None:
    broker = paper(rules=BrokerRules(auction_participation=0.0015))
    first, second = (place(broker, qty=count) for count in ("1000", "1000"))
    broker.advance(CLOSE)
    assert (first.status, second.status) == ("filled", "expired")
    assert second.filled_qty == 500


def test_costs_follow_the_square_root_law() -> None:
    broker = paper(rules=BrokerRules(impact=0.5, half_spread=0.0, commission_per_share=Decimal(0)))
    order = place(broker, qty="1000")
    broker.advance(CLOSE)
    volatility = np.log(float(BAR.high / BAR.low)) / (2 * np.sqrt(np.log(2)))
    expected = float(BAR.close) * (1 + 0.5 * volatility * np.sqrt(1000 / BAR.volume))
    assert float(order.filled_value / 1000) == pytest.approx(expected, abs=1e-4)


def test_a_day_order_fills_in_slices_within_the_range() -> None:
    broker = paper(rules=BrokerRules(participation=0.001, impact=0.0, half_spread=0.0))
    broker.advance(OPEN)
    order = place(broker, qty="100", time_in_force="day")
    broker.advance(CLOSE)
    fills = [one for one in broker.activities if one["activity_type"] == "FILL"]
    assert len(fills) > 3
    assert order.status == "filled"
    assert sum(Decimal(one["qty"]) for one in fills) == 100
    assert all(BAR.low <= Decimal(one["price"]) <= BAR.high for one in fills)
    assert {one["type"] for one in fills[:-1]} == {"partial_fill"}


def test_time_in_small_steps_gives_the_same_fills() -> None:
    results = []
    for step in (timedelta(minutes=1), timedelta(hours=9)):
        broker = paper(rules=BrokerRules(participation=0.001))
        broker.advance(OPEN)
        place(broker, time_in_force="day")
        place(broker, symbol="DOG", side="sell", qty="90", time_in_force="cls")
        now = OPEN
        while now < CLOSE:
            now += step
            broker.advance(now)
        results.append((broker.activities, broker.book.cash, broker.book.positions))
    assert results[0] == results[1]


def test_limit_and_stop_orders_wait_for_their_price() -> None:
    broker = paper()
    broker.advance(OPEN)
    never = place(
        broker, type="limit", limit_price=str(BAR.low - Decimal("0.01")), time_in_force="day"
    )
    touched = place(broker, type="limit", limit_price=str(BAR.low), time_in_force="day", qty="1")
    stop = place(
        broker, type="stop", stop_price=str(BAR.high), time_in_force="day", symbol="ACE", qty="1"
    )
    broker.advance(CLOSE)
    assert (never.status, never.filled_qty) == ("expired", 0)
    assert (touched.status, touched.filled_value) == ("filled", BAR.low)
    assert stop.triggered
    assert stop.filled_value > (BAR.low + BAR.high) / 2


def test_a_symbol_without_a_bar_is_halted() -> None:
    hours = sessions("XNYS", FIRST, FIRST)[0]
    bars = {"ACE": BAR}
    days = MarketDays(
        "SYNTHETIC", True, "XNYS", {FIRST: MarketDay(hours, bars)}, frozenset({"ACE", "BOW"})
    )
    broker = PaperBroker(days, start=START, rules=FREE)
    order = place(broker, symbol="BOW")
    broker.advance(CLOSE)
    assert (order.status, order.filled_qty) == ("expired", 0)


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"symbol": "NONE"}, 422, "not found"),
        ({"qty": "0"}, 422, "qty must be > 0"),
        ({"qty": "x"}, 422, "not a number"),
        ({"side": "hold"}, 422, "invalid side"),
        ({"time_in_force": "fok"}, 422, "invalid time_in_force"),
        ({"type": "limit"}, 422, "need exactly"),
        ({"type": "limit", "limit_price": "20.001"}, 422, "sub-penny"),
        ({"client_order_id": "x" * 49}, 422, "no more than 48"),
        ({"notional": "100"}, 422, "notional"),
        ({"qty": "100000"}, 403, "insufficient buying power"),
        ({"side": "sell", "qty": "1.5"}, 422, "fractional"),
        ({"side": "sell", "symbol": "DOG"}, 403, "sold short"),
    ],
)
def test_what_is_refused_says_why(request_: dict[str, Any], status: int, reason: str) -> None:
    broker = paper(rules=BrokerRules(hard_to_borrow=frozenset({"DOG"})))
    client = httpx.Client(base_url="http://paper", transport=in_process(broker))
    body = {"symbol": "ACE", "qty": "1", "side": "buy", "type": "market", "time_in_force": "cls"}
    answer = client.post("/v2/orders", json=body | request_)
    assert answer.status_code == status
    assert reason in answer.json()["message"]
    assert isinstance(answer.json()["code"], int)
    assert broker.orders == {}


def test_windows_of_the_auctions() -> None:
    broker = paper()
    client = BrokerClient("http://paper", transport=in_process(broker))
    last = {"opg": OPEN - timedelta(minutes=2), "cls": CLOSE - timedelta(minutes=10)}
    for number, (kind, moment) in enumerate(last.items()):
        broker.advance(moment - timedelta(seconds=1))
        order = {"symbol": "ACE", "side": "buy", "quantity": "1", "time_in_force": kind}
        client.submit(client_order_id=f"early {number}", **order)  # type: ignore[arg-type]
        broker.advance(moment)
        with pytest.raises(BrokerRefused, match="not accepted after"):
            client.submit(client_order_id=f"late {number}", **order)  # type: ignore[arg-type]
    broker.advance(datetime.combine(FIRST, CLOSE.timetz()) + timedelta(hours=4))
    client.submit(
        client_order_id="tomorrow", symbol="ACE", side="buy", quantity="1", time_in_force="opg"
    )


def test_a_client_id_is_unique_for_ever_and_opposite_orders_are_refused() -> None:
    broker = paper()
    client = BrokerClient("http://paper", transport=in_process(broker))
    order: Any = {"symbol": "ACE", "quantity": "1", "time_in_force": "cls"}
    first = client.submit(client_order_id="a", side="buy", **order)
    with pytest.raises(BrokerRefused, match="wash trade"):
        client.submit(client_order_id="b", side="sell", **order)
    assert client.cancel(first.id)
    assert not client.cancel(first.id)
    with pytest.raises(BrokerRefused, match="must be unique"):
        client.submit(client_order_id="a", side="buy", **order)


def test_alpacas_models_read_every_answer(store: Store) -> None:
    desk = make_desk(store, rules=BrokerRules(borrow_rate=0.05, interest_rate=0.03))
    run_week(desk)
    client = httpx.Client(base_url="http://paper", transport=in_process(desk.paper))

    def read(kind: Any, path: str) -> Any:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return TypeAdapter(kind).validate_python(answer.json())

    account = read(TradeAccount, "/v2/account")
    assert Decimal(account.equity) == desk.paper.equity
    positions = read(list[Position], "/v2/positions")
    assert {one.symbol for one in positions} == set(desk.paper.book.positions)
    assert read(Position, f"/v2/positions/{positions[0].symbol}") == positions[0]
    orders = read(list[Order], "/v2/orders?status=all&limit=500")
    assert len(orders) == len(desk.paper.orders)
    one = orders[0]
    assert read(Order, f"/v2/orders/{one.id}") == one
    path = f"/v2/orders:by_client_order_id?client_order_id={one.client_order_id}"
    assert read(Order, path) == one
    fills = read(list[TradeActivity], "/v2/account/activities/FILL")
    assert len(fills) == sum(one["activity_type"] == "FILL" for one in desk.paper.activities)
    others = read(
        list[NonTradeActivity], "/v2/account/activities?activity_types=DIV,FEE,INT,CIL,REORG"
    )
    assert {str(one.activity_type.value) for one in others} == {"DIV", "FEE", "INT", "CIL", "REORG"}
    assert read(Clock, "/v2/clock").timestamp == desk.paper.now
    assert len(read(list[Calendar], "/v2/calendar?start=2024-03-05&end=2024-03-07")) == 3
    assert read(Asset, "/v2/assets/ACE").symbol == "ACE"
    assert client.get("/v2/positions/NONE").status_code == 404
    assert client.get("/v2/orders/none").status_code == 404
    assert client.patch("/v2/orders/none").status_code == 405


def test_activities_come_in_pages() -> None:
    broker = paper()
    broker.activities += [
        {
            "activity_type": "FEE",
            "id": f"{number:05d}",
            "date": "2024-03-04",
            "created_at": "2024-03-04T20:00:00Z",
            "net_amount": "-1",
            "symbol": None,
        }
        for number in range(250)
    ]
    client = BrokerClient("http://paper", transport=in_process(broker))
    assert [one.id for one in client.activities()] == [f"{n:05d}" for n in range(250)]
    broker.activities[3] = {"id": "00003", "activity_type": "FILL"}
    with pytest.raises(BrokerUnavailable, match="cannot be read"):
        client.activities()
    fresh = client.activities(known=lambda ids: {*ids[:100], "00200"})
    assert [one.id for one in fresh] == [f"{n:05d}" for n in range(100, 250) if n != 200]


@pytest.fixture
def port() -> Iterator[tuple[int, PaperBroker]]:
    """A paper broker on a real port, half of whose orders lose their answer."""
    broker = paper(faults=Faults(answer_lost=1.0, tries=1))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(PaperApplication(broker), log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1], broker
        finally:
            server.should_exit = True
            thread.join()


def test_on_a_port_it_answers_this_machine_alone(port: tuple[int, PaperBroker]) -> None:
    number, broker = port
    address = f"http://127.0.0.1:{number}"
    client = httpx.Client(base_url=address, trust_env=False)
    assert client.get("/v2/clock").status_code == 200
    assert client.get("/v2/clock", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/v2/clock", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get("/v2/clock", headers={"Origin": address}).status_code == 200
    moved = client.post("/foundry/advance", json={"now": OPEN.isoformat()})
    assert (moved.status_code, broker.now) == (200, OPEN)
    assert client.post("/foundry/advance", json={"now": "soon"}).status_code == 422
    assert client.post("/v2/orders", content=b"[" * 5000).status_code == 400


def test_on_a_port_a_lost_answer_leaves_the_fate_unknown(port: tuple[int, PaperBroker]) -> None:
    from alphafoundry.errors import BrokerUnavailable

    number, broker = port
    with BrokerClient(f"http://127.0.0.1:{number}") as client:
        order: Any = {"symbol": "ACE", "side": "buy", "quantity": "1", "time_in_force": "cls"}
        with pytest.raises(BrokerUnavailable) as lost:
            client.submit(client_order_id="a", **order)
        assert lost.value.fate_unknown
        assert len(broker.orders) == 1
        with pytest.raises(BrokerRefused, match="must be unique"):
            client.submit(client_order_id="a", **order)
        found = client.order_by_client_id("a")
        assert found is not None
        assert found.id in broker.orders
        assert client.order_by_client_id("b") is None


def test_a_live_account_must_be_allowed_and_named() -> None:
    live = "https://api.alpaca.markets"
    for given_ in ({}, {"allow_live": True}, {"account_number": "123"}):
        with pytest.raises(ConfigurationError, match="real money"):
            BrokerClient(live, **given_)  # type: ignore[arg-type]
    with BrokerClient(live, allow_live=True, account_number="123") as client:
        assert client.live
    with BrokerClient() as client:
        assert not client.live


def test_the_account_must_be_the_one_named() -> None:
    from alphafoundry.errors import BrokerError

    broker = paper()
    client = BrokerClient("http://paper", transport=in_process(broker), account_number="other")
    with pytest.raises(BrokerError, match="the configuration names other"):
        client.submit(
            client_order_id="a", symbol="ACE", side="buy", quantity="1", time_in_force="cls"
        )
    assert broker.orders == {}


def test_days_of_a_panel_are_raw_and_whole() -> None:
    import pandas as pd

    from alphafoundry.market import load_frame

    days = pd.bdate_range("2024-03-04", "2024-03-08")
    closes = [10.004, 10.0, 5.0, 5.0, 5.0, 20.0, 20.0, 20.0, None, None]
    frame = pd.DataFrame(
        {
            "date": list(days) * 2,
            "symbol": ["ACE"] * 5 + ["BOW"] * 5,
            **dict.fromkeys(("open", "high", "low", "close"), closes),
            "adj_close": [4.87, 5.0, 5.0, 5.0, 5.0, 20.0, 20.0, 20.0, None, None],
            "volume": [1000.4] * 10,
            "split_factor": [1, 1, 2, 1, 1, 1, 1, 1, 1, 1],
            "dividend": [0, 0.25, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    )
    panel = load_frame(frame, name="hand")
    found = MarketDays.from_panel(panel, date(2024, 3, 4), date(2024, 3, 8))
    first, second, third, fourth = (found.days[date(2024, 3, n)] for n in (4, 5, 6, 7))
    assert first.bars["ACE"].close == Decimal("10.00")
    assert [(one.symbol, one.per_share) for one in second.dividends] == [("ACE", Decimal("0.25"))]
    assert [(one.new, one.old) for one in third.splits] == [(2, 1)]
    assert [(one.symbol, one.price) for one in fourth.delistings] == [("BOW", Decimal("20.00"))]
    assert third.bars["ACE"].close == Decimal("5.00")
    assert set(fourth.bars) == {"ACE"}


def test_adjusted_prices_alone_trade_notional_shares_without_actions() -> None:
    import pandas as pd

    from alphafoundry.market import load_frame

    days = pd.bdate_range("2024-03-04", "2024-03-08")
    frame = pd.DataFrame(
        {"date": days, "symbol": "ACE", "close": [10.0] * 5, "dividend": [1.0] * 5}
    )
    found = MarketDays.from_panel(
        load_frame(frame, name="hand"), date(2024, 3, 4), date(2024, 3, 8)
    )
    assert "notional shares" in found.label
    assert all(day.dividends == () for day in found.days.values())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--fault", "answer_lost=2"], "write a share from 0 to 1"),
        (["--fault", "duplicate_fills=yes"], "on or off"),
        (["--fault", "answer_lost=0.9", "--fault", "too_many=0.9"], "together at most 1"),
    ],
)
def test_mistakes_of_the_command_are_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from alphafoundry.command_line import main

    assert main(["broker", *arguments]) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1


def test_a_port_in_use_is_told_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from alphafoundry.command_line import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert main(["broker", "--port", str(number), "--market", "no such market"]) == 2
    assert f"cannot listen on 127.0.0.1:{number}" in capsys.readouterr().err


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(1e-6, 1e10),
            st.integers(1, 10**8).map(lambda n: n / 1000),
            st.integers(1, 10**7).map(lambda n: (n + 0.5) / 100),
            st.just(float("nan")),
        ),
        max_size=30,
    )
)
def test_prices_of_a_day_are_rounded_as_each_alone(prices: list[float]) -> None:
    alone = [None if price != price else str(_tick(price)) for price in prices]
    together = _ticks(np.array(prices, dtype=np.float64))
    assert [None if one is None else str(one) for one in together] == alone
