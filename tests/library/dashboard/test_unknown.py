"""Names and numbers of nothing: a plain page says so, whatever they are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi.routing import APIRoute

from alphafoundry.dashboard import Access, Sources, create_application
from alphafoundry.dashboard.application import CHARTS, PAGES
from alphafoundry.store import open_store
from tests.library.dashboard.conftest import ORIGIN, PORT, PrefectOfTests
from tests.library.dashboard.rows import NOW, fill
from tests.library.dashboard.test_attacks import nonce_of
from tests.postgres import PostgresServer

NOTHING = (
    *("nobody", "777", "0", "-1", "9" * 30, "1.5", "\u0663", "\u00b2", "nan", "a" * 3000),
    *("\x00", "\u202e", "\u65e5\u672c", "../..", "a/b", "a?b#c", "%2e%2e", "<script>alert(1)"),
    *("x\r\nSet-Cookie: a=b", "'; DROP TABLE alphas; --", "{id}", "a~b", "risk_management@never"),
    *("risk_management@0001-01-01T00:00+14:00", "risk_management@2024-01-05T15:40"),
)
SOME = ("nobody", "-1", "\x00", "../..", "<script>alert(1)", "risk_management@never")
"""One of each kind, for `make test`."""
ROUTES = [one for page in PAGES for one in page.router.routes if isinstance(one, APIRoute)]
OF_NAMES = (
    *(route.path for route in ROUTES if "{" in route.path and "GET" in route.methods),
    *("/charts/{}", "/api/charts/{}", "/export/{}.csv", "/export/alphas.{}", "/static/{}"),
    *("/runs/1/{}", "/workflows/4/{}", "/workflows/4/{}/parameters", "/{}", "/processes/alphas/{}"),
)
OF_QUERIES = (
    *("/alpha?service={}&id={}", "/alpha/nearest?service={}&id={}", "/compare?a={}&a={}"),
    *("/desk?desk={}", "/desk/drift?desk={}", "/desk/why?desk={}", "/desk/why?what={}"),
    *("/desk/why?desk=desk1&what={}", "/desk/why?desk={}&what=1", "/agents?desk={}"),
    *("/start?deployment={}", "/api/charts/pnl?service={}&id={}", "/api/charts/compared?a={}"),
    *("/charts/pnl?service={}&id={}", "/api/charts/equity?run={}", "/api/charts/resources?run={}"),
    *("/api/charts/worth?desk={}", "/api/charts/memory?name={}", "/charts/health?name={}"),
)
each_name = pytest.mark.parametrize(
    "nothing", [SOME, pytest.param(NOTHING, marks=pytest.mark.long)], ids=["some", "all"]
)
FIELDS = ("service", "id", "desk", "agent", "reason", "hours", "deployment", "parameters", "tags")
QUERIES = ("service", "id", "desk", "what", "a", "name", "run", "hours", "width", "q", "code")


async def told(client: httpx.AsyncClient, address: str) -> None:
    answer = await client.get(address)
    assert answer.status_code in (400, 404, 422), (address[:200], answer.status_code)
    assert len(answer.content) < 20_000, address[:200]
    if "json" in answer.headers["content-type"]:
        assert answer.json()["error"]
    else:
        problem = re.search(r'<p class="problem" role="alert">(.+?)</p>', answer.text, re.S)
        assert problem is not None and problem[1].strip(), address[:200]
        assert "<script>alert" not in answer.text


@each_name
async def test_what_is_not_there_is_told_on_a_plain_page(
    client: httpx.AsyncClient, nothing: Sequence[str]
) -> None:
    for one in nothing:
        for address in (*OF_NAMES, *OF_QUERIES):
            await told(client, re.sub(r"\{\w*\}", quote(one, safe=""), address))


@each_name
async def test_no_address_is_a_fault(client: httpx.AsyncClient, nothing: Sequence[str]) -> None:
    addresses = [re.sub(r"\{\w*\}", "1", route.path) for route in ROUTES if "GET" in route.methods]
    for one in ("", *nothing):
        query = urlencode(dict.fromkeys(QUERIES, one))
        for address in (*addresses, *(f"/charts/{name}" for name in CHARTS), "/enter"):
            answer = await client.get(f"{address}?{query}")
            assert answer.status_code < 500, (address, one[:50])


@each_name
async def test_no_form_about_nothing_is_a_fault(
    client: httpx.AsyncClient, access: Access, nothing: Sequence[str]
) -> None:
    for one in nothing:
        for route in ROUTES:
            if "POST" not in route.methods:
                continue
            form = dict.fromkeys(FIELDS, one) | {"nonce": nonce_of(client, access)}
            address = re.sub(r"\{\w*\}", quote(one, safe=""), route.path)
            answer = await client.post(address, data=form, headers={"origin": ORIGIN})
            assert answer.status_code in (303, 400, 403, 404, 422), (address[:200], one[:50])
            assert "set-cookie" not in answer.headers


@pytest.mark.long
async def test_what_is_not_there_is_no_fault_of_postgresql(
    postgres: PostgresServer, tmp_path: Path, prefect: PrefectOfTests
) -> None:
    with open_store(postgres.database(), home=tmp_path) as opened:
        fill(opened, tmp_path)
        access = Access(tmp_path / "dashboard", port=PORT)
        sources = Sources(opened, tmp_path, prefect=prefect, now=lambda: NOW)
        transport = httpx.ASGITransport(create_application(sources, access))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            await client.get("/enter", params={"code": access.code()})
            await test_what_is_not_there_is_told_on_a_plain_page(client, NOTHING)
            await test_no_form_about_nothing_is_a_fault(client, access, NOTHING)
        sources.close()
