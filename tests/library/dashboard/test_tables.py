"""Pages of tables, exports, and charts that are thinned."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import math

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.dashboard import Sources
from alphafoundry.dashboard.application import TABLES
from alphafoundry.dashboard.charts import Chart, thin
from alphafoundry.dashboard.facts import trading_days_since
from alphafoundry.dashboard.pages.agents import conditions_told
from alphafoundry.dashboard.pages.algorithms import _luck
from alphafoundry.dashboard.pages.alphas import ALPHAS, by_year, indented
from alphafoundry.dashboard.rendering import breakable, parts_of, quantity
from alphafoundry.dashboard.tables import WrongFilter, read_page
from alphafoundry.evidence import deflated_sharpe_ratio, moments, null_deviation
from alphafoundry.finance.statistics import metrics_of
from alphafoundry.store import DailyPnl
from tests.library.dashboard.rows import BAD
from tests.property_tests import examples


def test_pages_hold_every_row_once(sources: Sources) -> None:
    for order in ("sharpe", "-sharpe", "-created_at", "-drawdown"):
        _check_pages(sources, order)


def _check_pages(sources: Sources, order: str) -> None:
    seen: list[str] = []
    after = ""
    with sources.connect("store") as connection:
        while True:
            page = read_page(connection, ALPHAS, {"sort": order, "after": after}, limit=2)
            assert page.total == 5
            seen += [row["alpha_id"] for row in page.rows]
            if page.after is None:
                break
            after = page.after
    assert sorted(seen) == [f"alpha{number}" for number in range(1, 6)]
    if order.endswith("sharpe"):
        assert seen == sorted(seen, reverse=order.startswith("-"))


def test_a_name_is_found_as_a_whole_word(sources: Sources) -> None:
    with sources.connect("store") as connection:
        assert read_page(connection, ALPHAS, {"name": "ts_mean"}).total == 4
        assert read_page(connection, ALPHAS, {"name": "mean"}).total == 0
        assert read_page(connection, ALPHAS, {"q": "MEAN 3"}).total == 1
        assert read_page(connection, ALPHAS, {"q": "%"}).total == 0


async def test_every_table_is_exported_both_ways(client: httpx.AsyncClient) -> None:
    for name in TABLES:
        query = {"phase": "search-1"} if name == "trials" else {}
        plain = await client.get(f"/export/{name}.csv", params=query)
        assert plain.status_code == 200, name
        rows = list(csv.DictReader(io.StringIO(plain.text)))
        whole = await client.get(f"/export/{name}.parquet", params=query)
        table = pq.read_table(io.BytesIO(whole.content))
        assert table.num_rows == len(rows), name
        assert table.column_names == [one.key for one in TABLES[name].columns]


async def test_a_spreadsheet_calculates_nothing(
    client: httpx.AsyncClient, sources: Sources
) -> None:
    from sqlalchemy import update

    from alphafoundry.store import AlphaRow

    with sources.store.write() as session:
        session.execute(
            update(AlphaRow).where(AlphaRow.alpha_id == "alpha1").values(expression="=cmd|x")
        )
    plain = await client.get("/export/alphas.csv")
    found = {row["alpha_id"]: row for row in csv.DictReader(io.StringIO(plain.text))}
    assert found["alpha1"]["expression"] == "'=cmd|x"
    assert float(found["alpha1"]["sharpe"]) == 0.5
    whole = pq.read_table(io.BytesIO((await client.get("/export/alphas.parquet")).content))
    exact = dict(zip(whole["alpha_id"].to_pylist(), whole["expression"].to_pylist(), strict=True))
    assert exact["alpha1"] == "=cmd|x"
    assert exact["alpha5"] == BAD


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3), st.integers(50, 400), st.integers(0, 9))
def test_thinning_keeps_extremes_and_order(count: int, series: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    lines = [generator.normal(size=count) for _ in range(series)]
    keep = thin(lines, width)
    if keep is None:
        assert count <= 2 * width
        return
    assert len(keep) <= 2 * width
    assert (np.diff(keep) > 0).all()
    for line in lines:
        assert line[keep].max() == line.max()
        assert line[keep].min() == line.min()


def test_a_chart_of_gaps_is_thinned() -> None:
    chart = Chart("x", np.arange(5000.0), {"a": np.full(5000, np.nan)})
    assert len(chart.thinned(100).x) <= 200
    assert chart.to_json()["series"][0]["values"][0] is None


@settings(max_examples=examples(120), deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_indented(text: str) -> None:
    shown = indented(text)
    assert "".join(shown.split()) == "".join(text.split())


def test_an_expression_shows_its_nesting() -> None:
    inner = "ts_decay_linear(group_rank(ts_mean(ts_delay(returns, 3), 3), industry), 40)"
    assert indented(f"add(zscore({inner}), rank(close))") == (
        "add(\n  zscore(\n    ts_decay_linear(group_rank(ts_mean(ts_delay(returns, 3), 3), "
        "industry), 40)\n  ),\n  rank(close)\n)"
    )


def test_years_add_up() -> None:
    days = np.arange("2022-12-01", "2023-02-01", dtype="datetime64[D]")
    pnl = DailyPnl(days, np.ones(len(days)))
    years = dict(by_year(pnl))
    assert years[2022]["pnl"] + years[2023]["pnl"] == len(days)
    assert years[2022]["drawdown"] == 0


def test_trading_days_since() -> None:
    from datetime import date

    assert trading_days_since(date(2026, 11, 27), date(2026, 11, 30)) == 1
    assert trading_days_since(date(2026, 11, 25), date(2026, 11, 27)) == 1  # Thanksgiving
    assert trading_days_since(date(2026, 11, 30), date(2026, 11, 30)) == 0


NASTY = (
    "\0",
    "1e999",
    "-1",
    "9" * 30,
    "'; DROP TABLE alphas; --",
    "%_\\",
    "\ud800",
    "[]",
    "\u202e",
)


def test_no_filter_breaks_a_table(sources: Sources) -> None:
    for table in TABLES.values():
        for one in (*(filter.key for filter in table.filters), "sort", "after"):
            for text in NASTY:
                with (
                    sources.connect(table.database) as connection,
                    contextlib.suppress(WrongFilter),
                ):
                    read_page(connection, table, {one: text})


def test_no_place_breaks_a_table(sources: Sources) -> None:
    days = ["2026-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
    for table in TABLES.values():
        for value in (*days, 10**30, float("nan"), None, True, {}, "\ud800"):
            for count in (1, 2, 3):
                place = base64.urlsafe_b64encode(json.dumps([value] * count).encode()).decode()
                with (
                    sources.connect(table.database) as connection,
                    contextlib.suppress(WrongFilter),
                ):
                    read_page(connection, table, {"after": place})


def test_luck_of_a_race_counts_its_first_day() -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.01, 60)
    returns[0] = 0.2
    found = metrics_of(returns, bars_a_year=252.0)
    row = {
        "statistics": {"equity": (40_000 * np.cumprod(1 + returns)).tolist()},
        "failure": None,
        "sharpe": found.sharpe,
        "total_return": found.total_return,
    }
    told = _luck(row, 7)
    expected = deflated_sharpe_ratio(moments(returns), trials=7, sigma=null_deviation(returns))
    assert told["dsr"] == pytest.approx(float(expected), rel=1e-9)
    assert (told["low"] + told["high"]) / 2 == pytest.approx(found.sharpe, rel=1e-9)


def test_shares_dollars_and_conditions_are_told_in_words() -> None:
    assert [quantity(one) for one in (332.0, -0.5, 1234567.25, 0.0, math.nan)] == [
        *("332", "-0.5", "1,234,567.25", "0", "–"),
    ]
    assert parts_of({"price": -0.244, "stamp_duty": 0.0, "borrow_fee": 1200.0}) == (
        "price -0.24 $, borrow fee 1,200 $"
    )
    assert str(breakable("LOW_<b>")) == "LOW_<wbr>&lt;b&gt;"
    conditions = {
        "market_hours": True,
        "low_activity": False,
        "system_health": 0.6,
        "position_count": ">0",
        "news_events": {"is": False, "on_unknown": "allow"},
        "market_volatility": ["low", "normal"],
        "data": "last_closed_session",
    }
    assert conditions_told(conditions) == [
        "market hours",
        "no low activity",
        "system health of 0.6 or more",
        "position count >0",
        "no news events or unknown",
        "market volatility low or normal",
        "data last closed session",
    ]
