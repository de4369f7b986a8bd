"""Alphas: reading, searching, changing, and their tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from fastapi import FastAPI

from alphafoundry.brain import BrainClient
from alphafoundry.brain.filters import Condition, filter_query, read_query
from alphafoundry.brain.server import close_app, create_app, in_process
from alphafoundry.errors import BrainRequestError
from alphafoundry.expressions import OPERATORS
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.simulator import simulate
from tests.library.brain.conftest import GOOD, SETTINGS
from tests.some_cases import one_in

EXPRESSIONS = [GOOD, "-rank(volume)", "rank(cap)", "close + volume", "ts_delta(close, 5)"]
PLACE = {"instrumentType": "EQUITY", "region": "USA", "delay": 1, "universe": "TOP3000"}


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[BrainClient]:
    async with BrainClient("http://x", transport=in_process(app)) as found:
        yield found


@pytest.fixture
async def made(client: BrainClient) -> dict[str, str]:
    """Expression to the id of its alpha, made one after another."""
    found = {}
    for text in EXPRESSIONS:
        status = await client.poll_simulation(await client.post_simulation(text, SETTINGS))
        assert status.alpha is not None
        found[text] = status.alpha
    return found


@pytest.fixture
async def http(app: FastAPI, made: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=in_process(app), base_url="http://x", auth=("a", "b")
    ) as found:
        yield found


async def test_an_alpha_has_every_key_of_the_api(
    client: BrainClient, made: dict[str, str], panel: Panel
) -> None:
    alpha = await client.alpha(made[GOOD])
    keys = (
        "id type author settings regular dateCreated dateSubmitted dateModified name favorite "
        "hidden color category tags classifications grade stage status is os train test prod "
        "competitions themes pyramids pyramidThemes team osmosisPoints"
    )
    assert set(keys.split(" ")) <= alpha.raw.keys()
    expected = simulate(GOOD, panel, SETTINGS).statistics
    assert alpha.statistics.sharpe == round(expected.sharpe, 2)
    assert alpha.statistics.pnl == round(expected.pnl)
    assert alpha.grade == "SPECTACULAR" and alpha.stage == "IS" and alpha.code == GOOD
    assert alpha.date_created is not None and alpha.date_created.utcoffset() is not None
    assert {check.name for check in alpha.checks} >= {"LOW_SHARPE", "SELF_CORRELATION"}
    assert alpha.settings["maxPosition"] == "OFF" and alpha.settings["startDate"] > "2020"


@pytest.mark.parametrize(
    ("filters", "found"),
    one_in(
        2,
        [
            ({}, EXPRESSIONS),
            ({"status": "UNSUBMITTED"}, EXPRESSIONS),
            ({"status": ["UNSUBMITTED", "IS-FAIL"]}, EXPRESSIONS),
            ({"status": ["ACTIVE", "DECOMMISSIONED"]}, []),
            ({"status!=": "ACTIVE"}, EXPRESSIONS),
            ({"status!=": ["UNSUBMITTED", "ACTIVE"]}, []),
            ({"hidden": False, "favorite": False, "type": "REGULAR"}, EXPRESSIONS),
            ({"hidden": True}, []),
            ({"settings.delay": 1, "settings.universe": "TOP3000"}, EXPRESSIONS),
            ({"settings.delay": 0}, []),
            ({"is.nothing>=": 0}, []),
            ({"name~": "x"}, []),
            ({"competition": False}, EXPRESSIONS),
        ],
    ),
)
async def test_filters(
    client: BrainClient, made: dict[str, str], filters: dict[str, Any], found: list[str]
) -> None:
    codes = [alpha.code async for alpha in client.alphas(page_size=2, **filters)]
    assert codes == found[::-1]


async def test_filters_by_statistics(client: BrainClient, made: dict[str, str]) -> None:
    every = [await client.alpha(made[code]) for code in EXPRESSIONS[::-1]]
    numbers = [(alpha.code, alpha.statistics.sharpe, alpha.statistics.fitness) for alpha in every]
    for filters, expected in (
        ({"is.sharpe>": 0}, [c for c, sharpe, _ in numbers if sharpe and sharpe > 0]),
        ({"is.sharpe<": 0}, [c for c, sharpe, _ in numbers if sharpe and sharpe < 0]),
        (
            {"is.sharpe>=": 1.25, "is.fitness>=": 1},
            [c for c, sharpe, fitness in numbers if (sharpe or 0) >= 1.25 and (fitness or 0) >= 1],
        ),
    ):
        assert 0 < len(expected) < len(EXPRESSIONS)
        assert [alpha.code async for alpha in client.alphas(**filters)] == expected


async def test_dates_are_compared_across_time_zones(
    client: BrainClient, made: dict[str, str]
) -> None:
    newest = (await client.alpha(made[EXPRESSIONS[-1]])).date_created
    assert newest is not None
    later = (newest + timedelta(minutes=1)).astimezone(UTC)
    earlier = datetime.fromisoformat("2020-01-01T00:00:00+09:00")
    assert len([a async for a in client.alphas(**{"dateCreated<": later})]) == len(EXPRESSIONS)
    assert len([a async for a in client.alphas(**{"dateCreated>=": later})]) == 0
    assert len([a async for a in client.alphas(**{"dateCreated>=": earlier})]) == len(EXPRESSIONS)
    with pytest.raises(BrainRequestError, match="valid date"):
        [a async for a in client.alphas(**{"dateCreated>=": "yesterday"})]


async def test_order(client: BrainClient, made: dict[str, str]) -> None:
    up = [alpha.statistics.sharpe async for alpha in client.alphas(order="is.sharpe")]
    assert up == sorted(up, key=float) and len(up) == len(EXPRESSIONS)
    down = [alpha.statistics.sharpe async for alpha in client.alphas(order="-is.sharpe")]
    assert down == up[::-1]
    with pytest.raises(BrainRequestError, match="order"):
        [alpha async for alpha in client.alphas(order="is.sharpe; drop table alphas")]


async def test_pages(http: httpx.AsyncClient) -> None:
    first = (await http.get("/users/self/alphas?limit=2&status=UNSUBMITTED")).json()
    assert first["count"] == 5 and len(first["results"]) == 2 and first["previous"] is None
    second = (await http.get(first["next"])).json()
    third = (await http.get(second["next"])).json()
    assert third["next"] is None and len(third["results"]) == 1
    ids = [alpha["id"] for page in (first, second, third) for alpha in page["results"]]
    assert len(set(ids)) == 5
    assert len((await http.get("/users/self/alphas")).json()["results"]) == 5
    for wrong in ("limit=101", "limit=0", "limit=x", "offset=-1", "offset=10001"):
        assert (await http.get(f"/users/self/alphas?{wrong}")).status_code == 400


@pytest.mark.parametrize(
    "query", ["is.sharpe>=1.5", "is.sharpe%3E=1.5", "is.sharpe%3E%3D=1.5", "is%2Esharpe%3E%3D1.5"]
)
def test_every_spelling_of_a_filter_is_read(query: str) -> None:
    assert read_query(query) == [Condition("is.sharpe", ">=", ("1.5",))]


@pytest.mark.parametrize(
    ("key", "value", "condition"),
    [
        ("is.fitness>", 1, Condition("is.fitness", ">", ("1",))),
        ("is.fitness<=", 0.5, Condition("is.fitness", "<=", ("0.5",))),
        ("status", ["A", "B"], Condition("status", "=", ("A", "B"))),
        ("status!=", "A", Condition("status", "!=", ("A",))),
        ("name~", "a&b=c+d%", Condition("name", "~", ("a&b=c+d%",))),
        ("hidden", True, Condition("hidden", "=", ("true",))),
        (
            "dateCreated>=",
            datetime(2026, 1, 1, tzinfo=UTC),
            Condition("dateCreated", ">=", ("2026-01-01T00:00:00+00:00",)),
        ),
    ],
)
def test_a_filter_survives_the_way_to_the_server(
    key: str, value: object, condition: Condition
) -> None:
    query = filter_query({key: value})
    assert read_query(query) == [condition]
    assert read_query(httpx.URL(f"http://x/?{query}").query.decode()) == [condition]


async def test_patch(client: BrainClient, made: dict[str, str], http: httpx.AsyncClient) -> None:
    changed = await client.patch_alpha(
        made[GOOD],
        {
            "name": "volume rank",
            "color": "RED",
            "tags": ["a", "b"],
            "favorite": True,
            "regular": {"description": "why it works"},
            "status": "ACTIVE",
        },
    )
    assert changed.name == "volume rank" and changed.code == GOOD
    again = (await client.alpha(made[GOOD])).raw
    assert again["color"] == "RED" and again["tags"] == ["a", "b"] and again["favorite"] is True
    assert again["regular"]["description"] == "why it works" and again["status"] == "UNSUBMITTED"
    for filters in ({"name~": "VOLUME"}, {"tag": "b"}, {"favorite": True}, {"color": "RED"}):
        assert [a.id async for a in client.alphas(**filters)] == [made[GOOD]]
    for wrong in (
        {"color": "PINK"},
        {"name": 5},
        {"tags": "a"},
        {"tags": [1]},
        {"favorite": "yes"},
        {"regular": "text"},
        {"regular": {"description": 1}},
    ):
        with pytest.raises(BrainRequestError) as caught:
            await client.patch_alpha(made[GOOD], wrong)
        assert caught.value.status == 400
    many = [{"id": made[GOOD], "hidden": True}, {"id": made["rank(cap)"], "hidden": True}]
    response = await http.patch("/alphas", json=many)
    assert response.status_code == 200 and [a["hidden"] for a in response.json()] == [True, True]
    assert (await http.patch("/alphas", json=[{"id": "unknown"}])).status_code == 404


async def test_daily_pnl_is_that_of_the_simulation(
    client: BrainClient, made: dict[str, str], panel: Panel
) -> None:
    dates, dollars = await client.daily_pnl(made[GOOD])
    expected = simulate(GOOD, panel, SETTINGS)
    np.testing.assert_array_equal(dates, expected.dates)
    np.testing.assert_array_equal(dollars, expected.daily_pnl)
    total = await client.record_set(made[GOOD], "pnl")
    assert total["records"][-1][1] == pytest.approx(dollars.sum(), abs=0.01)


async def test_every_table_can_be_read(
    client: BrainClient, made: dict[str, str], http: httpx.AsyncClient
) -> None:
    listed = (await http.get(f"/alphas/{made[GOOD]}/recordsets")).json()
    names = [entry["name"] for entry in listed["results"]]
    assert listed["count"] == len(names)
    assert {"pnl", "daily-pnl", "sharpe", "turnover", "yearly-stats", "coverage"} <= set(names)
    for name in names:
        table = await client.record_set(made[GOOD], name)
        columns = table["schema"]["properties"]
        assert table["schema"]["name"] == name and table["records"]
        assert all(len(row) == len(columns) for row in table["records"])
    with pytest.raises(BrainRequestError) as caught:
        await client.record_set(made[GOOD], "nothing")
    assert caught.value.status == 404


async def test_data_fields_are_what_the_market_has(
    client: BrainClient, panel: Panel, http: httpx.AsyncClient
) -> None:
    fields = {field.id: field for field in await client.data_fields(SETTINGS)}
    assert fields.keys() == panel.fields.keys() | panel.groups.keys()
    assert fields["sector"].type == "GROUP" and fields["close"].type == "MATRIX"
    assert fields["close"].coverage == 1.0 and fields["close"].dataset is not None
    assert {field.id for field in await client.data_fields(type="GROUP")} == {"market", "sector"}
    assert [field.id for field in await client.data_fields(search="VOLU")] == ["volume"]
    assert await client.data_fields(dataset="fundamental6") == []
    one = (await http.get("/data-fields/volume")).json()
    assert one["alphaCount"] == 3 and one["type"] == "MATRIX"
    page = (await http.get("/data-fields", params={**PLACE, "limit": 2, "offset": 1})).json()
    assert page["count"] == len(fields) and len(page["results"]) == 2
    wrong = await http.get("/data-fields", params={**PLACE, "limit": 51})
    assert (wrong.status_code, wrong.json()) == (
        400,
        ["Invalid query: pagination limit too high."],
    )
    missing = await http.get("/data-fields", params={"region": "USA"})
    assert missing.status_code == 400 and "universe" in missing.json()
    sets = (await http.get("/data-sets", params=PLACE)).json()["results"]
    assert [(found["id"], found["fieldCount"]) for found in sets] == [("pv1", len(fields))]
    assert (await http.get("/data-sets/pv1")).json()["id"] == "pv1"


async def test_operators_are_those_of_the_language(client: BrainClient) -> None:
    operators = {operator.name: operator for operator in await client.operators()}
    assert operators.keys() == OPERATORS.keys()
    assert operators["rank"].level == "ALL" and operators["rank"].description


async def test_the_merged_pool_before_and_after_an_alpha(
    client: BrainClient, http: httpx.AsyncClient, made: dict[str, str]
) -> None:
    outcome = await client.submit(made[GOOD])
    assert outcome.status == "accepted"
    submitted = (await http.get(f"/alphas/{made[GOOD]}")).json()
    assert submitted["os"]["startDate"] == submitted["dateSubmitted"][:10]
    other = made["rank(cap)"]
    path = f"/users/self/alphas/{other}/before-and-after-performance"
    while "retry-after" in (response := await http.get(path)).headers:
        await asyncio.sleep(0.01)
    found = response.json()
    lines = [await client.daily_pnl(alpha) for alpha in (made[GOOD], other)]
    days = pd.DataFrame({n: pd.Series(pnl, dates) for n, (dates, pnl) in enumerate(lines)})
    merged = days.fillna(0).mean(axis=1)
    sharpe = np.sqrt(252) * merged.mean() / merged.std(ddof=0)
    assert found["score"]["after"] == pytest.approx(sharpe, abs=0.02)
    assert found["score"]["before"] == submitted["is"]["sharpe"]
    gain = await client.gain_to_pool(other)
    assert gain == pytest.approx(found["score"]["after"] - found["score"]["before"])
    assert await client.gain_to_pool("unknown") is None
    assert found["stats"]["after"]["pnl"] == pytest.approx(merged.sum(), abs=1)
    assert found["pnl"]["records"][-1][2] == pytest.approx(merged.sum(), abs=1)


async def test_the_account_itself_and_what_is_unknown_of_it(
    http: httpx.AsyncClient, made: dict[str, str]
) -> None:
    assert (await http.get("/users/self")).json()["id"] == (
        await http.get(f"/alphas/{made[GOOD]}")
    ).json()["author"]
    answer = await http.patch(f"/alphas/{made[GOOD]}", json={"category": "NONSENSE"})
    assert answer.json() == {"category": ['"NONSENSE" is not a valid choice.']}
    for name in ("theme", "category"):
        wrong = await http.get("/data-sets", params={**PLACE, name: "ALL"})
        assert (wrong.status_code, list(wrong.json())) == (400, [name])
    empty = await http.get("/data-fields", params={**PLACE, "dataset.id": "", "category": ""})
    assert empty.json()["count"] > 0
    themed = await http.get("/data-fields", params={**PLACE, "theme": "true"})
    assert themed.json()["count"] == 0


async def test_a_check_tells_of_production_too(client: BrainClient, made: dict[str, str]) -> None:
    checks = {check.name: check.result for check in await client.check(made[GOOD])}
    assert checks["PROD_CORRELATION"] == checks["SELF_CORRELATION"] == "PASS"


async def test_columns_of_a_file_belong_to_their_data_sets(panel: Panel, tmp_path: Path) -> None:
    fields = {**panel.fields, "sales": panel.fields["cap"], "my_score": panel.fields["cap"]}
    app = create_app(replace(panel, fields=fields), state=tmp_path / "other.sqlite")
    async with httpx.AsyncClient(
        transport=in_process(app), base_url="http://x", auth=("a", "b")
    ) as http:
        sets = (await http.get("/data-sets", params=PLACE)).json()["results"]
        assert [one["id"] for one in sets] == ["fundamental6", "other1", "pv1"]
        query = {**PLACE, "category": "fundamental"}
        found = (await http.get("/data-fields", params=query)).json()["results"]
        assert [one["id"] for one in found] == ["sales"]
    close_app(app)
