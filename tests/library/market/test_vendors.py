"""Vendors' JSON over loopback, right and wrong: what is wrong is told, and none of it stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market.market_folder import is_market_folder, read_market_folder
from alphafoundry.market.sessions import NEW_YORK, session_days
from alphafoundry.market.update import update_market
from alphafoundry.market.update_sources import vendor_source
from alphafoundry.market.vendor_web import QuotaExhausted
from alphafoundry.market.vendors import (
    Vendor,
    alpaca,
    alpha_vantage,
    massive,
    vendor_of,
)
from tests.some_cases import one_in

FIRST, AFTER = date(2024, 3, 7), date(2024, 3, 13)
DAYS = session_days(NEW_YORK, FIRST, date(2024, 3, 12))
KEY = "hush-hush"
Answer = tuple[int, Any, Mapping[str, str]]


class Service:
    """What a vendor's server answers, request by request; the last answer goes on."""

    def __init__(self, answer: Callable[[str, dict[str, str], int], Answer]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.address = ""


@contextmanager
def served(answer: Callable[[str, dict[str, str], int], Answer]) -> Iterator[Service]:
    service = Service(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = dict(parse_qsl(split.query))
            service.asked.append((split.path, query, dict(self.headers)))
            status, body, headers = service.answer(split.path, query, len(service.asked))
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.address = f"http://127.0.0.1:{web.server_port}"
    Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        web.shutdown()
        web.server_close()


def ok(body: Any) -> Callable[[str, dict[str, str], int], Answer]:
    return lambda path, query, number: (200, body, {})


def series(symbol: str = "AAA", **changes: Any) -> dict[str, Any]:
    bars = {
        str(day): {
            "1. open": "10.0",
            "2. high": "11.0",
            "3. low": "9.5",
            "4. close": "10.5",
            "5. volume": "1000",
            **changes,
        }
        for day in DAYS[::-1]
    }
    return {"Meta Data": {"2. Symbol": symbol}, "Time Series (Daily)": bars}


def milliseconds(day: Any) -> int:
    # Midnight in New York: -5 h to 2024-03-10, -4 h after it.
    hour = 5 if day <= np.datetime64("2024-03-10") else 4
    return int(datetime.fromisoformat(f"{day}T{hour:02d}:00:00+00:00").timestamp() * 1000)


def aggregates(**changes: Any) -> dict[str, Any]:
    rows = [
        {"t": milliseconds(day), "o": 10, "h": 11, "l": 9.5, "c": 10.5, "v": 1e3, **changes}
        for day in DAYS
    ]
    return {"ticker": "AAA", "status": "OK", "results": rows}


def alpaca_bars(**changes: Any) -> dict[str, Any]:
    rows = [
        {
            "t": datetime.fromtimestamp(milliseconds(day) / 1000, UTC).isoformat(),
            "o": 10,
            "h": 11,
            "l": 9.5,
            "c": 10.5,
            "v": 1000,
            **changes,
        }
        for day in DAYS
    ]
    return {"bars": {"AAA": rows}, "next_page_token": None}


def make(name: str, address: str, waited: list[float] | None = None) -> Vendor:
    wait = (waited if waited is not None else []).append
    if name == "alpha_vantage":
        return alpha_vantage(KEY, address=address, wait=wait, spacing=0.0)
    if name == "massive":
        return massive(KEY, address=address, wait=wait)
    return alpaca("id", KEY, address=address, wait=wait)


GOOD = {"alpha_vantage": series(), "massive": aggregates(), "alpaca": alpaca_bars()}


@pytest.mark.parametrize("name", GOOD)
def test_bars_come_on_the_day_of_new_york(name: str) -> None:
    with served(ok(GOOD[name])) as service:
        table = make(name, service.address).fetch(["AAA"], FIRST, AFTER)
    assert table["date"].to_numpy().astype("datetime64[D]").tolist() == DAYS.tolist()
    assert set(table["close"]) == {10.5}
    assert set(table["volume"]) == {1000.0}


@pytest.mark.parametrize(
    ("name", "body", "told"),
    one_in(
        4,
        [
            ("alpha_vantage", series(**{"4. close": "None"}), "no number"),
            ("alpha_vantage", series("BBB"), "'BBB' came"),
            ("alpha_vantage", {}, "no daily series"),
            ("alpha_vantage", {"Information": "the parameter apikey is invalid"}, "invalid"),
            ("alpha_vantage", {"Time Series (Daily)": [], "Meta Data": {}}, "no daily series"),
            ("massive", aggregates(c="soon"), "c is 'soon'"),
            ("massive", aggregates(c=-1), "not above 0"),
            ("massive", {"status": "ERROR", "error": f"bad key {KEY}"}, "bad key"),
            ("massive", {"status": "OK", "results": {}}, "no list of objects"),
            ("massive", {"status": "OK", "ticker": "BBB", "results": []}, "'BBB' came"),
            ("massive", {"status": "OK", "next_url": "http://elsewhere/x"}, "elsewhere"),
            ("massive", [1], "list came"),
            ("massive", aggregates(t=1e300), "no time"),
            ("alpaca", alpaca_bars(t="2024-03-07T05:00:00"), "no time"),
            ("alpaca", alpaca_bars(t="0001-01-01T00:00:00Z"), "no time"),
            ("alpaca", alpaca_bars(t="yesterday"), "no time"),
            ("alpaca", alpaca_bars(v=None), "no number"),
            ("alpaca", {"bars": {"BBB": []}}, "not asked for"),
            ("alpaca", {"bars": {"AAA": {}}}, "no lists by name"),
            ("alpaca", {"bars": {}, "next_page_token": "again"}, "same page came twice"),
        ],
    ),
)
def test_what_is_not_of_the_promised_form_is_told_without_the_key(
    name: str, body: Any, told: str
) -> None:
    with served(ok(body)) as service, pytest.raises(MarketError) as problem:
        make(name, service.address).fetch(["AAA"], FIRST, AFTER)
    assert told in str(problem.value)
    assert KEY not in str(problem.value)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("alpha_vantage", {"Error Message": "Invalid API call"}),
        ("massive", {"ticker": "AAA", "status": "OK", "resultsCount": 0}),
        ("alpaca", {"bars": {}, "next_page_token": None}),
        ("alpaca", {"bars": None, "next_page_token": None}),
    ],
)
def test_a_name_without_bars_is_left_out(name: str, body: Any) -> None:
    with served(ok(body)) as service:
        assert len(make(name, service.address).fetch(["AAA"], FIRST, AFTER)) == 0


@pytest.mark.parametrize(
    "note",
    [
        {"Note": f"Thank you! Our standard API call frequency is 5 calls per minute, {KEY}"},
        {"Information": "We have detected your API key as X: rate limit is 25 requests per day"},
        {"Information": "This is a premium endpoint"},
    ],
)
def test_a_limit_under_http_200_is_a_limit(note: dict[str, str]) -> None:
    with served(ok(note)) as service, pytest.raises(QuotaExhausted) as problem:
        make("alpha_vantage", service.address).fetch(["AAA"], FIRST, AFTER)
    assert KEY not in str(problem.value)


def test_pages_are_followed_to_the_end() -> None:
    whole = aggregates()["results"]

    def page(path: str, query: dict[str, str], number: int) -> Answer:
        if number == 1:
            following = f"{service.address}/v2/aggs/next?cursor=2"
            return 200, {"status": "OK", "results": whole[:2], "next_url": following}, {}
        assert query["cursor"] == "2"
        return 200, {"status": "OK", "results": whole[2:]}, {}

    with served(page) as service:
        table = make("massive", service.address).fetch(["AAA"], FIRST, AFTER)
        assert service.asked[1][2]["Authorization"] == f"Bearer {KEY}"
        assert KEY not in json.dumps([one[1] for one in service.asked])
    assert len(table) == len(DAYS)


def test_many_names_are_asked_for_by_the_day() -> None:
    def grouped(path: str, query: dict[str, str], number: int) -> Answer:
        day = np.datetime64(path.rsplit("/", 1)[1])
        rows = [{**aggregates()["results"][0], "T": name} for name in ("A1", "A2", "ZZZ")]
        if day not in DAYS:
            return 200, {"status": "OK", "resultsCount": 0}, {}
        return 200, {"status": "OK", "results": [{**r, "t": milliseconds(day)} for r in rows]}, {}

    with served(grouped) as service:
        names = [f"A{n}" for n in range(9)]
        table = make("massive", service.address).fetch(names, FIRST, AFTER)
        assert len(service.asked) == 4
    assert set(table["symbol"]) == {"A1", "A2"}
    assert len(table) == 2 * len(DAYS)


@pytest.mark.parametrize("header", ["Retry-After", "X-Ratelimit-Reset"])
def test_a_short_limit_is_waited_for_and_a_long_one_ends(header: str) -> None:
    def limited(seconds: float) -> Callable[[str, dict[str, str], int], Answer]:
        told = seconds if header == "Retry-After" else time.time() + seconds

        def answer(path: str, query: dict[str, str], number: int) -> Answer:
            if number == 1:
                return 429, {"message": "too many requests"}, {header: str(int(told))}
            return 200, alpaca_bars(), {}

        return answer

    waited: list[float] = []
    with served(limited(20)) as service:
        assert len(make("alpaca", service.address, waited).fetch(["AAA"], FIRST, AFTER)) == 4
    assert len(waited) == 1
    assert 10 <= waited[0] <= 20
    with served(limited(7200)) as service, pytest.raises(QuotaExhausted, match="limit is reached"):
        make("alpaca", service.address).fetch(["AAA"], FIRST, AFTER)


def test_a_refused_key_and_a_redirect_are_told() -> None:
    with (
        served(lambda *_: (403, {"message": f"forbidden {KEY}"}, {})) as service,
        pytest.raises(MarketError, match="403") as problem,
    ):
        make("alpaca", service.address).fetch(["AAA"], FIRST, AFTER)
    assert KEY not in str(problem.value)
    with (
        served(lambda *_: (302, {}, {"Location": "http://127.0.0.1:1/"})) as service,
        pytest.raises(MarketError, match="302"),
    ):
        make("alpaca", service.address).fetch(["AAA"], FIRST, AFTER)


def test_two_bars_of_a_day_that_differ_are_refused_and_the_same_twice_is_one() -> None:
    body = aggregates()
    with served(ok({**body, "results": body["results"] * 2})) as service:
        assert len(make("massive", service.address).fetch(["AAA"], FIRST, AFTER)) == 4
    other = {**body["results"][0], "c": 10.6}
    with (
        served(ok({**body, "results": [*body["results"], other]})) as service,
        pytest.raises(MarketError, match="two bars of one day"),
    ):
        make("massive", service.address).fetch(["AAA"], FIRST, AFTER)


def test_a_folder_grows_by_a_vendor_keeps_its_revision_and_stores_nothing_of_a_fault(
    tmp_path: Path,
) -> None:
    days = session_days(NEW_YORK, date(2023, 12, 1), date(2024, 3, 12))
    state = {"until": 55, "close": {}, "broken": False}

    def bars(path: str, query: dict[str, str], number: int) -> Answer:
        if state["broken"]:
            return 200, {"bars": {"AAA": [{"t": "x"}]}}, {}
        rows = []
        for place, day in enumerate(days[: state["until"]]):
            if str(day) < query["start"]:
                continue
            close = 10.0 + 0.1 * (place % 7)
            close *= state["close"].get(str(day), 1.0)
            rows.append(
                {
                    "t": f"{day}T05:00:00Z",
                    "o": close,
                    "h": close + 0.2,
                    "l": close - 0.2,
                    "c": close,
                    "v": 1000 + place,
                }
            )
        return 200, {"bars": {"AAA": rows, "BBB": rows}, "next_page_token": None}, {}

    def update(day: Any, **given: Any) -> Any:
        moment = datetime.combine(day.item(), datetime.min.time(), UTC).replace(hour=23)
        source = vendor_source(
            tmp_path / "market",
            "alpaca",
            names=["AAA", "BBB"],
            environment={
                "APCA_API_KEY_ID": "id",
                "APCA_API_SECRET_KEY": KEY,
                "FOUNDRY_ALPACA_DATA_URL": service.address,
            },
            progress=lambda _: None,
            wait=lambda _: None,
        )
        return update_market(tmp_path / "market", source, exchange=NEW_YORK, now=moment, **given)

    with served(bars) as service:
        state["broken"] = True
        with pytest.raises(MarketError, match="no time"):
            update(days[54])
        assert not is_market_folder(tmp_path / "market")
        state["broken"] = False
        update(days[54])
        state["until"], state["close"] = 57, {str(days[53]): 1.001}
        report = update(days[56])
        assert sorted(str(day) for day in report.new_days) == [str(day) for day in days[55:57]]
        assert report.after.revised > 0
        # Ten sessions are asked for again, not the whole history.
        assert service.asked[-1][1]["start"] > str(days[40])
    assert read_market_folder(tmp_path / "market").dates[-1] == days[56]


def test_missing_names_and_keys_are_told(tmp_path: Path) -> None:
    def source(names: list[str], **environment: str) -> Any:
        return vendor_source(
            tmp_path, "massive", names=names, environment=environment, progress=lambda _: None
        )

    with pytest.raises(MarketError, match="--symbols"):
        source([])
    with pytest.raises(MarketError, match="MASSIVE_API_KEY"):
        source(["AAA"])
    assert source(["AAA"], POLYGON_API_KEY="x").name == "massive:AAA"
    assert source(["AAA"], MASSIVE_API_KEY="", POLYGON_API_KEY="x").name == "massive:AAA"


def test_alpacas_feed_is_chosen_by_the_environment() -> None:
    keys = {"APCA_API_KEY_ID": "id", "APCA_API_SECRET_KEY": "hush"}
    with served(ok(alpaca_bars())) as service:
        keys["FOUNDRY_ALPACA_DATA_URL"] = service.address
        for feed in ("", "iex", "sip"):
            vendor_of("alpaca", keys | {"FOUNDRY_ALPACA_FEED": feed}).fetch(["AAA"], FIRST, AFTER)
        assert [one[1]["feed"] for one in service.asked] == ["iex", "iex", "sip"]
    with pytest.raises(MarketError, match="'otc' is no feed; choose iex or sip"):
        vendor_of("alpaca", keys | {"FOUNDRY_ALPACA_FEED": "otc"})
