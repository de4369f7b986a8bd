"""Vendors' news as JSON over loopback, right and wrong: what is wrong is told, and not given."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from alphafoundry.errors import NewsError
from alphafoundry.sentiment import (
    NEWS_VENDORS,
    NewsQuotaExhausted,
    NewsVendor,
    Told,
    VendorEntry,
    match_tickers,
    news_vendor_of,
)
from alphafoundry.sentiment.headlines import Headline
from tests.library.market.test_vendors import Answer, ok, served
from tests.some_cases import one_in

KEY = "hush-hush"
NOW = int(datetime(2024, 1, 2, 15, 0, tzinfo=UTC).timestamp())
SINCE = NOW - 3600
KEYS = {
    "APCA_API_KEY_ID": "PKTEST",
    "APCA_API_SECRET_KEY": KEY,
    "ALPHAVANTAGE_API_KEY": KEY,
    "MASSIVE_API_KEY": KEY,
}


def vendor(name: str, address: str) -> NewsVendor:
    addresses = ("FOUNDRY_ALPACA_DATA_URL", "FOUNDRY_ALPHA_VANTAGE_URL", "FOUNDRY_MASSIVE_URL")
    return news_vendor_of(name, KEYS | dict.fromkeys(addresses, address), wait=lambda _: None)


def read(name: str, address: str) -> list[VendorEntry]:
    return [one for page in vendor(name, address).pages(since=SINCE, now=NOW) for one in page]


def alpaca_news(**changes: Any) -> dict[str, Any]:
    one = {
        "id": 24843171,
        "headline": "Acme beats\nestimates",
        "summary": "",
        "author": "A",
        "content": "",
        "created_at": "2024-01-02T14:30:00Z",
        "updated_at": "2024-01-02T14:31:00Z",
        "source": "benzinga",
        "url": "https://x/1",
        "symbols": ["ACM", "BRK.B"],
        "images": [],
    }
    return {"news": [one | changes], "next_page_token": None}


def alpha_vantage_news(**changes: Any) -> dict[str, Any]:
    one = {
        "title": "Acme beats\nestimates",
        "url": "https://x/1",
        "time_published": "20240102T143000",
        "authors": [],
        "overall_sentiment_score": 0.0169,
        "ticker_sentiment": [
            {"ticker": "ACM", "relevance_score": "0.87", "ticker_sentiment_score": "-0.016"},
            {"ticker": "BRK-B", "relevance_score": "0.3", "ticker_sentiment_score": "0.1"},
            {"ticker": "FAR", "relevance_score": "0.04", "ticker_sentiment_score": "0.1"},
        ],
    }
    return {"items": "1", "feed": [one | changes]}


def massive_news(**changes: Any) -> dict[str, Any]:
    one = {
        "id": "m1",
        "publisher": {"name": "P"},
        "title": "Acme beats\nestimates",
        "published_utc": "2024-01-02T14:30:00Z",
        "article_url": "https://x/1",
        "tickers": ["ACM", "BRK.B"],
    }
    return {"status": "OK", "count": 1, "results": [one | changes]}


GOOD = {"alpaca": alpaca_news, "alpha_vantage": alpha_vantage_news, "massive": massive_news}


def test_every_vendor_has_a_case_here() -> None:
    assert set(GOOD) == set(NEWS_VENDORS)


@pytest.mark.parametrize("name", GOOD)
def test_a_headline_has_its_time_its_names_and_a_title_of_one_line(name: str) -> None:
    with served(ok(GOOD[name]())) as service:
        (one,) = read(name, service.address)
    assert one.title == "Acme beats estimates"
    assert one.published_at == NOW - 1800
    assert match_tickers(one.tickers, ["ACM", "BRK-B", "FAR"]) == ("ACM", "BRK-B")
    assert service.asked[0][1].get("apikey", KEY) == KEY


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("alpaca", {"created_at": "2024-01-02T15:00:01Z"}),
        ("alpaca", {"updated_at": "2024-01-02T15:00:01.000000001Z"}),
        ("alpha_vantage", {"time_published": "20240102T150001"}),
        ("massive", {"published_utc": "2024-01-02T16:00:01+01:00"}),
    ],
)
def test_what_was_not_known_yet_in_these_words_is_left_out(
    name: str, changes: dict[str, str]
) -> None:
    with served(ok(GOOD[name](**changes))) as service:
        assert read(name, service.address) == []


@pytest.mark.parametrize(
    ("name", "body", "told"),
    one_in(
        3,
        [
            ("alpaca", {"next_page_token": None}, "no list of objects"),
            ("alpaca", {"news": [1]}, "no list of objects"),
            ("alpaca", alpaca_news(id=None), "without identity"),
            ("alpaca", alpaca_news(headline=7), "no text"),
            ("alpaca", alpaca_news(created_at="soon"), "'soon' is no time"),
            ("alpaca", alpaca_news(created_at="2024-01-02T14:30:00"), "no time"),
            ("alpaca", alpaca_news(symbols="ACM"), "no list of names"),
            ("alpaca", {**alpaca_news(), "next_page_token": "again"}, "same page came twice"),
            ("alpha_vantage", {"items": "0"}, "no list of objects"),
            ("alpha_vantage", {"Error Message": f"bad call {KEY}"}, "bad call"),
            ("alpha_vantage", {"Information": f"the apikey {KEY} is invalid"}, "invalid"),
            ("alpha_vantage", alpha_vantage_news(time_published="yesterday"), "no time"),
            ("alpha_vantage", alpha_vantage_news(ticker_sentiment=[{"ticker": "A"}]), "no number"),
            ("massive", {"status": "ERROR", "error": f"Unknown key {KEY}"}, "Unknown key"),
            ("massive", {"status": "OK", "results": {}}, "no list of objects"),
            ("massive", massive_news(id=""), "without identity"),
            ("massive", {"status": "OK", "next_url": "http://elsewhere/x"}, "elsewhere"),
        ],
    ),
)
def test_what_is_not_of_the_promised_form_is_told_without_the_key(
    name: str, body: Any, told: str
) -> None:
    with served(ok(body)) as service, pytest.raises(NewsError) as problem:
        read(name, service.address)
    assert told in str(problem.value)
    assert KEY not in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_headline_about_no_name_has_none() -> None:
    for name, body in (
        ("alpaca", alpaca_news(symbols=[])),
        ("alpha_vantage", alpha_vantage_news(ticker_sentiment=[])),
        ("massive", massive_news(tickers=None)),
    ):
        with served(ok(body)) as service:
            assert [one.tickers for one in read(name, service.address)] == [()]


def test_nothing_new_is_no_fault() -> None:
    bodies = {
        "alpaca": {"news": [], "next_page_token": None},
        "alpha_vantage": {"items": "0", "feed": []},
        "massive": {"status": "OK", "count": 0},
    }
    for name, body in bodies.items():
        with served(ok(body)) as service:
            assert read(name, service.address) == []


@pytest.mark.parametrize(
    "body",
    [
        {"Note": "Our standard API call frequency is 5 calls per minute"},
        {"Information": f"We have detected your API key as {KEY}: 25 requests per day"},
    ],
)
def test_a_limit_under_http_200_is_a_limit(body: dict[str, str]) -> None:
    with served(ok(body)) as service, pytest.raises(NewsQuotaExhausted) as problem:
        read("alpha_vantage", service.address)
    assert problem.value.seconds is None
    assert KEY not in str(problem.value)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("header", ["Retry-After", "X-Ratelimit-Reset"])
def test_a_limit_is_not_waited_for_and_says_when_it_ends(name: str, header: str) -> None:
    moment = 1200 if header == "Retry-After" else int(time.time()) + 1200
    with (
        served(lambda *_: (429, {}, {header: str(moment)})) as service,
        pytest.raises(NewsQuotaExhausted, match="limit is reached until") as problem,
    ):
        read(name, service.address)
    assert len(service.asked) == 1
    assert problem.value.seconds == pytest.approx(1200, abs=120)


@pytest.mark.parametrize(("status", "told"), [(403, "plan holds news"), (500, "no answer")])
def test_a_refusal_and_a_broken_server_are_told(status: int, told: str) -> None:
    for name in GOOD:
        with (
            served(lambda *_: (status, {"message": KEY}, {})) as service,
            pytest.raises(NewsError, match=told) as problem,
        ):
            read(name, service.address)
        assert KEY not in str(problem.value)


def test_pages_are_followed_and_keys_stay_out_of_addresses() -> None:
    def alpaca(path: str, query: dict[str, str], number: int) -> Answer:
        assert path == "/v1beta1/news"
        assert (query["start"], query["end"]) == ("2024-01-02T14:00:00Z", "2024-01-02T15:00:00Z")
        assert query.get("page_token") == (None if number == 1 else "2")
        token = "2" if number == 1 else None
        return 200, {**alpaca_news(id=number), "next_page_token": token}, {}

    def massive(path: str, query: dict[str, str], number: int) -> Answer:
        if number == 1:
            assert query["published_utc.gte"] == "2024-01-02T14:00:00Z"
            following = f"{service.address}/v2/reference/news?cursor=2"
            return 200, {**massive_news(id="1"), "next_url": following}, {}
        assert query == {"cursor": "2"}
        return 200, massive_news(id="2"), {}

    answers: dict[str, Callable[..., Answer]] = {"alpaca": alpaca, "massive": massive}
    for name, answer in answers.items():
        with served(answer) as service:
            assert [one.identity for one in read(name, service.address)] == ["1", "2"]
        assert KEY not in json.dumps([asked[:2] for asked in service.asked])
        assert all(KEY in json.dumps(asked[2]) for asked in service.asked)


def test_a_thousand_of_alpha_vantage_ask_for_what_is_newer() -> None:
    one = alpha_vantage_news()["feed"][0]
    full = [
        {**one, "url": f"u{n}", "time_published": f"20240102T14{n // 25:02d}00"}
        for n in range(1000)
    ]

    def answer(path: str, query: dict[str, str], number: int) -> Answer:
        if number == 1:
            assert query["time_from"] == "20240102T1400"
            return 200, {"feed": full}, {}
        assert query["time_from"] == "20240102T1439"
        return 200, {"feed": [{**one, "url": "last"}]}, {}

    with served(answer) as service:
        found = read("alpha_vantage", service.address)
    assert len({one.identity for one in found}) == 1001


def test_a_thousand_of_one_minute_end_the_questions() -> None:
    one = alpha_vantage_news(time_published="20240102T140030")["feed"][0]
    with served(ok({"feed": [one] * 1000})) as service:
        assert len(read("alpha_vantage", service.address)) == 1000
    assert len(service.asked) == 1


def test_an_endless_answer_ends() -> None:
    with served(
        lambda path, query, number: (200, {"news": [], "next_page_token": str(number)}, {})
    ) as service:
        assert read("alpaca", service.address) == []
    assert len(service.asked) == 40


def test_missing_keys_are_told() -> None:
    for name, wanted in (
        ("alpaca", "APCA_API_KEY_ID and APCA_API_SECRET_KEY"),
        ("alpha_vantage", "ALPHAVANTAGE_API_KEY"),
        ("massive", "MASSIVE_API_KEY"),
    ):
        with pytest.raises(NewsError, match=f"{name}: set {wanted}"):
            news_vendor_of(name, {})
    assert "massive" in repr(news_vendor_of("massive", {"POLYGON_API_KEY": KEY}))
    assert KEY not in repr(news_vendor_of("massive", {"POLYGON_API_KEY": KEY}))


def test_the_same_words_of_another_source_are_told_once() -> None:
    def one(title: str, *symbols: str) -> Headline:
        return Headline(title, "s", title, "", symbols, NOW)

    told = Told([("Acme beats estimates", ["ACM"])])
    assert not told.is_new(one("ACME beats estimates!", "ACM", "XYZ"))
    assert not told.is_new(one("Acme beats estimates"))
    assert told.is_new(one("Reports third quarter", "ACM"))
    assert told.is_new(one("Reports third quarter", "XYZ"))
    assert not told.is_new(one("Reports third quarter", "XYZ"))
