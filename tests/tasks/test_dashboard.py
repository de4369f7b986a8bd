"""What the dashboard asks of Prefect."""

from __future__ import annotations

import json
from uuid import uuid4

import httpx
from prefect.client.orchestration import SyncPrefectClient

from tasks import dashboard

AT = "2026-03-02T11:00:00Z"


def answer(request: httpx.Request) -> httpx.Response:
    """Give some of 423 limits, at most two hundred at once, as a Prefect server does."""
    if not request.url.path.endswith("/concurrency_limits/filter"):
        return httpx.Response(404, json={})
    asked = json.loads(request.content)
    if not 1 <= asked["limit"] <= 200:
        return httpx.Response(422, json={})
    chosen = range(423)[asked["offset"] : asked["offset"] + asked["limit"]]
    rows = [
        {"id": str(uuid4()), "created": AT, "updated": AT, "name": f"tag:cap{number}"}
        | {"active": True, "limit": 3, "active_slots": 1, "slot_decay_per_second": 0.0}
        for number in chosen
    ]
    return httpx.Response(200, json=rows)


def test_every_cap_is_shown_however_many_the_server_gives_at_once() -> None:
    transport = httpx.MockTransport(answer)
    with SyncPrefectClient("http://prefect/api", httpx_settings={"transport": transport}) as client:
        found = list(dashboard._every(client.read_global_concurrency_limits))
    assert [one.name for one in found] == [f"tag:cap{number}" for number in range(423)]
