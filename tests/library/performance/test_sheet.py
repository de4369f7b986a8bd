"""The tear sheet: one page that fetches nothing, says SYNTHETIC, and tells what its rows tell."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import PerformanceError, StoreError
from alphafoundry.performance import ReturnSeries, statistics_of
from alphafoundry.performance.page import sheet_page
from alphafoundry.performance.picture import draw_sheet
from alphafoundry.performance.sheet import desk_sheet, tear_sheet
from alphafoundry.store import open_store
from alphafoundry.store.agents import open_agent_desk
from alphafoundry.store.performance import read_performance, record_performance
from tests.some_cases import one_in


def series(days: int = 300) -> ReturnSeries:
    draws = np.random.default_rng(8)
    dates = np.asarray(pd.bdate_range("2022-05-02", periods=days), dtype="datetime64[D]")
    market = draws.normal(0.0, 0.01, days)
    return ReturnSeries(dates, 0.3 * market + draws.normal(0.0006, 0.008, days), market)


class Reader(HTMLParser):
    """Everything that a browser would fetch or run, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                self.fetched.append(str(value))
            if name.startswith("on") or tag in ("script", "link", "iframe", "object", "base"):
                self.fetched.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_a_page_fetches_nothing_and_escapes_what_it_quotes() -> None:
    sheet = tear_sheet(series(), title="A <b>& co", label="prices", synthetic=True, trials=3)
    page = sheet_page(sheet, passages=[("Told", ["<script>alert(1)</script>"])])
    found = read(page)
    # What is left are places within the page itself, such as the SVG's own symbols.
    assert all(one.startswith("#") for one in found.fetched), found.fetched
    assert not re.search(r"url\((?!#)", page) and "@import" not in page
    assert "default-src 'none'" in page
    text = "".join(found.text)
    assert "A <b>& co" in text and "<script>alert(1)</script>" in text
    assert "SYNTHETIC" in text and "3 trials" in text
    assert "2022-05-02" in text


def test_a_sheet_says_what_its_series_says() -> None:
    given = series()
    sheet = tear_sheet(given, title="A", label="prices")
    plain = json.loads(json.dumps(sheet.to_json(), allow_nan=False))
    want = statistics_of(given)
    assert plain["statistics"]["max_drawdown"] == want.max_drawdown
    # A Sharpe ratio is found only with its band, its trials and its deflated probability.
    assert "sharpe" not in plain["statistics"]
    assert set(plain["sharpe"]) == {"value", "low", "high", "trials", "deflated"}
    assert np.prod([1 + one for one in plain["months"].values()]) == pytest.approx(
        1 + want.total_return, rel=1e-12
    )
    assert not plain["synthetic"] and "SYNTHETIC" not in sheet_page(sheet)
    png = draw_sheet(sheet)
    assert png.startswith(b"\x89PNG") and len(png) > 20_000


@pytest.mark.parametrize("days", one_in(3, [1, 2, 19]))
def test_few_days_give_a_sheet_without_a_sharpe_ratio(days: int) -> None:
    sheet = tear_sheet(series(days), title="A", label="prices")
    text = "".join(read(sheet_page(sheet)).text)
    assert "not yet: needs 20 days" in text and "nan" not in text.lower()
    json.dumps(sheet.to_json(), allow_nan=False)


def test_the_pictures_of_a_page_can_be_read_on_a_telephone() -> None:
    page = sheet_page(tear_sheet(series(40), title="A", label="prices"))
    sizes = [int(one) for one in re.findall(r'<svg[^>]* width="(\d+)', page)]
    # The growth is there twice, and one of the two is shown.
    assert len(sizes) == 6
    assert [one for one in sizes if one > 350] == sizes[:1]
    ids = re.findall(r'<(?:clipPath|path|g) id="([mp][0-9a-f]{10})"', page)
    assert ids and len(ids) == len(set(ids))


def test_a_month_without_a_day_has_no_column() -> None:
    page = sheet_page(tear_sheet(series(40), title="A", label="prices"))
    headings = re.search(r"<h2>Months</h2>.*?</tr>", page, re.DOTALL)
    assert headings is not None
    days = series(40).dates.astype("datetime64[M]").astype(object)
    told = re.findall(r"<th>(\w{3})</th>", headings[0])
    assert told == [one.strftime("%b") for one in dict.fromkeys(days)]


def test_no_day_is_no_sheet() -> None:
    with pytest.raises(PerformanceError, match="no day"):
        tear_sheet(series(0), title="A", label="prices")


def rows_of(days: int) -> list[dict]:
    found, value = [], 10_000_000_000
    for number in range(days):
        earned = 1_000_003 * (-1) ** number + 500_000
        parts = {"strategy a": earned + 300, "optimiser": -100, "price": -150, "borrow": -50}
        found.append(
            {
                "session": date(2024, 1, 1) + timedelta(days=number),
                "made_at": datetime(2024, 1, 1, tzinfo=UTC),
                "synthetic": True,
                "data_version": "f",
                "before": value,
                "net_asset_value": value + earned,
                "pnl": earned,
                "transfers": 0,
                "traded": 10**9,
                "gross": 9 * 10**9,
                "net": 10**8,
                "benchmark": None if number == 0 else 0.001,
                "parts": parts,
                "drift": {"a": {"backtest": earned + 300, "price": -150, "cost": -50}},
                "sectors": {"one": [1.5, -0.5], "cash": [0.25, 0.0]},
                "factors": {"market": 2.0, "specific": 3.0},
                "entries_to": number,
            }
        )
        value += earned
    return found


def test_a_desk_is_told_by_its_rows(tmp_path) -> None:
    with open_store(home=tmp_path) as store:
        with pytest.raises(StoreError, match="no desk"):
            desk_sheet(store)
        for name in ("one", "two"):
            open_agent_desk(
                store,
                name,
                market_label="SYNTHETIC market",
                clock="simulated",
                began_at=datetime(2024, 1, 1, tzinfo=UTC),
                schedule={},
                settings={"seed": 4},
            )
        with pytest.raises(PerformanceError, match="has not looked at a closed session"):
            desk_sheet(store, "one")
        rows = rows_of(30)
        record_performance(store, "one", rows)
        record_performance(store, "one", [{**rows[0], "pnl": 0}])
        assert read_performance(store, "one")[0].pnl == rows[0]["pnl"]
        sheet = desk_sheet(store, "one")
    # Both desks have traded these days, so each is one of two trials.
    assert sheet.sharpe.trials == 2
    total = sum(row["pnl"] for row in rows) / 1e4
    assert sum(amount for _, amount in sheet.sources()) == pytest.approx(total, abs=1e-9)
    assert dict(sheet.sources())["execution gap"] == pytest.approx(-150 * 30 / 1e4)
    assert sheet.ended_with == rows[-1]["net_asset_value"] / 1e4
    assert sheet.statistics.total_return == pytest.approx(
        rows[-1]["net_asset_value"] / rows[0]["before"] - 1.0, rel=1e-12
    )
    assert sheet.sectors["one"] == (45.0, -15.0) and sheet.factors["specific"] == 90.0
    assert sheet.trading is not None
    assert sheet.trading.turnover[0] == pytest.approx(0.1)
    page = sheet_page(sheet)
    text = "".join(read(page).text)
    assert f"{total:+,.2f}" in text and "SYNTHETIC" in text
    assert "30 sessions say nothing about skill" in text
    plain = sheet.to_json()
    assert plain["drift"]["a"]["timing"] == 0.0 and plain["benchmark"][0] is None
