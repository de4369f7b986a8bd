"""SUPER simulations and several simulations at once, through the server and the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from alphafoundry.brain import BrainClient
from alphafoundry.brain.server import in_process
from alphafoundry.errors import RateLimited
from alphafoundry.market.panel import Panel
from alphafoundry.simulation import StoredAlpha, simulate, simulate_super
from alphafoundry.simulation.super_settings import SuperSettings
from tests.library.brain.conftest import GOOD, OTHER_GOOD, SETTINGS

SUPER = SuperSettings(neutralization="MARKET", truncation=0.2, selection_limit=10)
COMBO = "stats = generate_stats(alpha); max(ts_mean(stats.returns, 20), 0)"
Make = Callable[..., FastAPI]


def super_body(**changes: Any) -> dict[str, Any]:
    body = {"type": "SUPER", "settings": SUPER.to_brain(), "combo": COMBO, "selection": "own"}
    return {**body, **changes}


def body(**settings: Any) -> dict[str, Any]:
    return {"type": "REGULAR", "settings": {**SETTINGS.to_brain(), **settings}, "regular": GOOD}


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[BrainClient]:
    async with BrainClient("http://brain.test", transport=in_process(app)) as found:
        yield found


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=in_process(app), base_url="http://brain.test") as found:
        assert (await found.post("/authentication")).status_code == 201
        yield found


async def simulated(client: BrainClient, *expressions: str) -> list[str]:
    """Simulate one after another; return the ids of the alphas."""
    found = []
    for expression in expressions:
        status = await client.poll_simulation(await client.post_simulation(expression, SETTINGS))
        assert status.alpha is not None, status
        found.append(status.alpha)
    return found


async def finished(http: httpx.AsyncClient, location: str) -> dict[str, Any]:
    while "retry-after" in (response := await http.get(location)).headers:
        await asyncio.sleep(float(response.headers["retry-after"]))
    found: dict[str, Any] = response.json()
    return found


async def submitted(client: BrainClient, *alphas: str) -> list[str]:
    return [(await client.submit(alpha)).status for alpha in alphas]


async def test_a_super_alpha_is_what_the_library_makes_of_the_same_alphas(
    client: BrainClient, panel: Panel
) -> None:
    expressions = [GOOD, OTHER_GOOD, "rank(-close)"]
    ids = await simulated(client, *expressions, GOOD)
    location = await client.post_super_simulation("turnover > 0", COMBO, SUPER)
    status = await client.poll_simulation(location)
    assert status.status == "COMPLETE" and status.alpha is not None
    assert (status.selection, status.combo, status.regular) == ("turnover > 0", COMBO, None)
    alpha = await client.alpha(status.alpha)
    assert (alpha.type, alpha.selection, alpha.combo, alpha.code) == (
        "SUPER",
        "turnover > 0",
        COMBO,
        "",
    )
    assert alpha.raw["components"] == ids[:3]
    assert alpha.raw["combo"]["operatorCount"] == 3
    assert alpha.settings["selectionLimit"] == 10
    assert any("3 of 3 components are not submitted" in note for note in alpha.raw["notes"])
    stored = [
        StoredAlpha.of(simulate(text, panel, SETTINGS), name)
        for name, text in zip(ids, expressions, strict=False)
    ]
    expected = simulate_super(stored, panel, SUPER, selection="turnover > 0", combo=COMBO)
    dates, pnl = await client.daily_pnl(status.alpha)
    np.testing.assert_array_equal(dates, expected.dates)
    np.testing.assert_allclose(pnl, expected.daily_pnl, rtol=1e-9)
    assert alpha.statistics.sharpe == expected.statistics.to_brain()["sharpe"]
    limits = {check.name: check.limit for check in alpha.checks}
    assert (limits["LOW_TURNOVER"], limits["HIGH_TURNOVER"]) == (0.02, 0.4)


async def test_tables_of_a_super_alpha_are_made_from_its_own_components(
    client: BrainClient,
) -> None:
    ids = await simulated(client, GOOD, OTHER_GOOD)
    location = await client.post_super_simulation("own", "1", SUPER)
    alpha = (await client.poll_simulation(location)).alpha
    assert alpha is not None
    # What is simulated later does not change the alpha.
    await simulated(client, "rank(-close)")
    sharpe = await client.record_set(alpha, "sharpe")
    coverage = await client.record_set(alpha, "coverage")
    dates, _ = await client.daily_pnl(alpha)
    assert [row[0] for row in coverage["records"]] == [str(day) for day in dates]
    yearly = await client.record_set(alpha, "yearly-stats")
    names = [column["name"] for column in yearly["schema"]["properties"]]
    assert [row[names.index("sharpe")] for row in yearly["records"]] == [
        row[1] for row in sharpe["records"]
    ]
    again = await client.poll_simulation(await client.post_super_simulation("own", "1", SUPER))
    assert again.alpha is not None
    assert len((await client.alpha(again.alpha)).raw["components"]) == 3
    assert (await client.alpha(alpha)).raw["components"] == ids


async def test_properties_that_a_person_gives_choose_alphas(client: BrainClient) -> None:
    ids = await simulated(client, GOOD, OTHER_GOOD, "rank(-close)")
    await client.patch_alpha(ids[0], {"tags": ["core"], "name": "first", "favorite": True})
    await client.patch_alpha(ids[1], {"color": "GREEN", "category": "VOLUME"})
    assert await submitted(client, ids[0]) == ["accepted"]
    selections = {
        'in(tags, "core")': ids[:1],
        'name == "first"': ids[:1],
        "favorite": ids[:1],
        'status == "ACTIVE" && os_start_date > "2000-01-01"': ids[:1],
        'color == "GREEN"': ids[1:2],
        'category == "VOLUME"': ids[1:2],
        'in(datafields, "close") && in(datasets, "pv1") && datacategory_count == 1': ids[2:],
        "1 / operator_count": [*ids[:2], ids[2]],
        "(self_correlation < 0.7) * (long_count + short_count > 0)": ids,
        f'id == "{ids[2]}"': ids[2:],
    }
    for selection, expected in selections.items():
        location = await client.post_super_simulation(selection, "1", SUPER)
        status = await client.poll_simulation(location)
        assert status.alpha is not None, (selection, status)
        assert (await client.alpha(status.alpha)).raw["components"] == expected, selection


@pytest.mark.parametrize(
    ("changes", "location", "message"),
    [
        ({"selection": "own *\nturnove"}, (2, 0, 7, "selection"), "did you mean 'turnover'"),
        ({"selection": "rank(turnover)"}, (1, 0, 4, "selection"), "inaccessible or unknown"),
        ({"selection": "own &&"}, (1, 6, 7, "selection"), "Unexpected end of input"),
        ({"combo": "1 + close"}, (1, 4, 9, "combo"), 'unknown variable "close"'),
        ({"combo": "generate_stats(alpha).gain"}, (1, 22, 26, "combo"), "must be one of"),
        ({"selection": "turnover > 9"}, None, "chooses none of 1 alphas of delay 1"),
    ],
)
async def test_errors_say_which_text_and_where(
    client: BrainClient,
    changes: dict[str, str],
    location: tuple[int, int, int, str] | None,
    message: str,
) -> None:
    await simulated(client, GOOD)
    sent = super_body(**changes)
    status = await client.poll_simulation(
        await client.post_super_simulation(sent["selection"], sent["combo"], SUPER)
    )
    assert status.status == "ERROR" and status.alpha is None
    assert message in (status.message or "")
    found = status.location
    assert (found and (found.line, found.start, found.end, found.property)) == location


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ({"type": "SUPER"}, {"settings": None, "combo": None, "selection": None}),
        (super_body(combo=" "), {"combo": ["This field may not be blank."]}),
        (super_body(selection=None), {"selection": ["This field may not be null."]}),
        (
            super_body(settings=SUPER.to_brain() | {"selectionLimit": 9}),
            {"settings": {"selectionLimit": ["Ensure this value is greater than or equal to 10."]}},
        ),
        (
            super_body(settings=SETTINGS.to_brain()),
            {
                "settings": {
                    "selectionHandling": ["This field is required."],
                    "selectionLimit": ["This field is required."],
                }
            },
        ),
        (
            super_body(settings=SUPER.to_brain() | {"componentActivation": "OS"}),
            {"settings": {"componentActivation": ['"OS" is not a valid choice.']}},
        ),
    ],
)
async def test_refused_super_requests(
    http: httpx.AsyncClient, sent: dict[str, Any], answer: dict[str, Any]
) -> None:
    response = await http.post("/simulations", json=sent)
    assert response.status_code == 400
    assert response.json().keys() == answer.keys()
    for key, expected in answer.items():
        assert expected is None or response.json()[key] == expected


async def test_one_super_alpha_a_day_is_submitted_besides_the_regular_ones(
    client: BrainClient,
) -> None:
    ids = await simulated(client, GOOD, OTHER_GOOD)
    found = []
    for combo in ("1", "2"):
        location = await client.post_super_simulation("turnover > 0", combo, SUPER)
        status = await client.poll_simulation(location)
        assert status.alpha is not None
        found.append(status.alpha)
    quota = {check.name: check for check in await client.check(found[0])}["SUPER_SUBMISSION"]
    assert (quota.result, quota.value, quota.limit) == ("PASS", 0, 1)
    assert await submitted(client, *ids, found[0]) == ["accepted"] * 3
    checks = {check.name: check for check in await client.check(found[1])}
    assert (checks["SUPER_SUBMISSION"].result, checks["SUPER_SUBMISSION"].value) == ("FAIL", 1)
    # It moves like the other SUPER alpha; its components do not count.
    assert checks["SELF_CORRELATION"].value == pytest.approx(1.0)
    assert await submitted(client, found[1]) == ["rejected"]
    text = {"selection": {"description": "all"}, "combo": {"description": "alike"}}
    changed = await client.patch_alpha(found[1], text)
    assert changed.raw["combo"]["description"] == "alike"
    assert changed.raw["selection"] == {
        "code": "turnover > 0",
        "description": "all",
        "operatorCount": 1,
    }
    listed = [alpha.id async for alpha in client.alphas(type="SUPER")]
    assert sorted(listed) == sorted(found)


async def test_several_simulations_in_one_request(client: BrainClient) -> None:
    other = SETTINGS.model_copy(update={"decay": 5})
    location = await client.post_simulations([(GOOD, SETTINGS), (OTHER_GOOD, other)])
    parent = await client.poll_simulation(location)
    assert (parent.status, parent.alpha, len(parent.children)) == ("COMPLETE", None, 2)
    base = location.rsplit("/", 1)[0]
    children = [await client.get_simulation(f"{base}/{child}") for child in parent.children]
    assert [child.regular for child in children] == [GOOD, OTHER_GOOD]
    assert {child.parent for child in children} == {parent.id}
    decays = [(await client.alpha(child.alpha or "")).settings["decay"] for child in children]
    assert decays == [0, 5]


async def test_the_first_failure_ends_the_others(http: httpx.AsyncClient) -> None:
    sent = [body(), body() | {"regular": "rank(clos)"}, body() | {"regular": OTHER_GOOD}]
    response = await http.post("/simulations", json=sent)
    assert response.status_code == 201 and not response.content
    parent = await finished(http, response.headers["location"])
    assert parent["status"] == "ERROR" and "alpha" not in parent
    assert parent["type"] == "REGULAR"
    assert parent["settings"] == {
        "instrumentType": "EQUITY",
        "region": "USA",
        "delay": 1,
        "language": "FASTEXPR",
    }
    children = [(await http.get(f"/simulations/{child}")).json() for child in parent["children"]]
    assert [child["status"] for child in children] == ["COMPLETE", "ERROR", "CANCELLED"]
    assert children[1]["location"]["property"] == "regular"


async def test_a_cancelled_parent_cancels_its_children(make_app: Make) -> None:
    transport = in_process(make_app(simulation_seconds=5.0))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        await http.post("/authentication")
        location = (await http.post("/simulations", json=[body(), body()])).headers["location"]
        running = await http.get(location)
        assert running.json()["progress"] < 1 and "retry-after" in running.headers
        assert (await http.delete(location)).status_code == 204
        parent = await finished(http, location)
        assert parent["status"] == "CANCELLED"
        for child in parent["children"]:
            assert (await http.get(f"/simulations/{child}")).json()["status"] == "CANCELLED"


async def test_several_take_one_place_and_count_each_for_the_day(make_app: Make) -> None:
    app = make_app(max_concurrent=1, daily_simulations=4, simulation_seconds=0.2)
    async with BrainClient("http://x", transport=in_process(app), max_wait_retry_after=0) as brain:
        location = await brain.post_simulations([(GOOD, SETTINGS)] * 3)
        with pytest.raises(RateLimited) as caught:
            await brain.post_simulation(GOOD, SETTINGS)
        assert caught.value.kind == "concurrent"
        assert (await brain.poll_simulation(location)).status == "COMPLETE"
        with pytest.raises(RateLimited) as caught:
            await brain.post_simulations([(GOOD, SETTINGS)] * 2)
        assert caught.value.kind == "daily"
        await brain.poll_simulation(await brain.post_simulation(OTHER_GOOD, SETTINGS))
        with pytest.raises(RateLimited):
            await brain.post_simulation(GOOD, SETTINGS)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ([], ["Ensure this field has at least 2 elements."]),
        ([body()], ["Ensure this field has at least 2 elements."]),
        ([body()] * 11, ["Ensure this field has no more than 10 elements."]),
        (
            [body(), body(decay=-1), body()],
            [{}, {"settings": {"decay": ["Ensure this value is greater than or equal to 0."]}}, {}],
        ),
        (
            [body(), body(delay=0)],
            [
                {},
                {"settings": {"delay": ["All simulations of a list must have the same delay."]}},
            ],
        ),
        (
            [body(), super_body()],
            [{}, {"type": ["All simulations of a list must have the same type."]}],
        ),
    ],
)
async def test_refused_lists(
    http: httpx.AsyncClient, sent: Sequence[Any], answer: Sequence[Any]
) -> None:
    response = await http.post("/simulations", json=sent)
    assert (response.status_code, response.json()) == (400, answer)


async def test_what_the_service_offers_says_so(http: httpx.AsyncClient) -> None:
    options = (await http.options("/simulations")).json()["actions"]["POST"]
    assert [choice["value"] for choice in options["type"]["choices"]] == ["REGULAR", "SUPER"]
    assert {"regular", "combo", "selection"} <= options.keys()
    assert options["settings"]["children"]["selectionLimit"]["min_value"] == 10
    operators = {found["name"]: found for found in (await http.get("/operators")).json()}
    assert operators["add"]["scope"] == ["COMBO", "REGULAR", "SELECTION"]
    assert operators["ts_mean"]["scope"] == ["COMBO", "REGULAR"]
    assert operators["reduce_max"]["scope"] == ["COMBO"]
    assert operators["in"]["scope"] == ["SELECTION"]
    assert operators["combo_a"]["definition"] == 'combo_a(alpha, nlength=250, mode="algo1")'
    response = await http.get("/authentication")
    assert "MULTI_SIMULATION" in response.json()["permissions"]


async def test_production_correlation_stays_refused(http: httpx.AsyncClient) -> None:
    location = (await http.post("/simulations", json=body())).headers["location"]
    alpha = (await finished(http, location))["alpha"]
    response = await http.get(f"/alphas/{alpha}/correlations/prod")
    assert response.status_code == 403
