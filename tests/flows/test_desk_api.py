"""The desk over HTTP: open to read, closed to change without the token, one line for mistakes."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from alphafoundry.settings import load_settings
from alphafoundry.store import open_store
from alphafoundry.store.agents import open_agent_desk, read_agent_desk
from flows.desk_api import TOKEN as VARIABLE
from flows.desk_api import application
from flows.desk_command import _reason
from tests.flows.desk_in_store import desk_in_store

TOKEN = "t" * 32
WITH = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("api")
    with open_store(home=home) as store:
        desk_in_store(store, home, fails=("sentiment_fetch",))
    with TestClient(application(lambda: open_store(home=home), TOKEN)) as found:
        found.home = home  # type: ignore[attr-defined]
        yield found


def test_status_ticks_alerts_and_reasons_are_read_without_a_token(client) -> None:
    assert "small" in [one["desk"] for one in client.get("/desks").json()]
    status = client.get("/desks/newest").json()
    assert status["desk"] == "small"
    assert 0 < status["performance_metrics"]["overall_health"] < 1
    assert status["agents"]["sentiment_fetch"]["last"]["outcome"] == "failed"
    ticks = client.get("/desks/small/ticks", params={"agent": "meta_control", "limit": 5}).json()
    assert len(ticks) == 5
    assert client.get("/desks/small/why/meta_control").json()[0].startswith("meta_control of desk")
    for address in ("alerts", "decisions", "strategies", "models", "news"):
        assert client.get(f"/desks/small/{address}").status_code == 200
    assert "hush" not in client.get("/desks/small/ticks").text


def test_metrics_come_from_the_store(client) -> None:
    text = client.get("/metrics").text
    assert 'foundry_agent_health{desk="small",agent="meta_control"} 1.0' in text
    assert "foundry_desk_state" in text
    for name in ("success_rate", "failures_in_row", "run_seconds"):
        assert f'foundry_agent_{name}{{desk="small",agent="meta_control"}}' in text


def test_a_counterfactual_has_no_metrics(client) -> None:
    with open_store(home=client.home) as store:
        real = read_agent_desk(store, "small")
        for name, clock in (("without", real.clock), ("alone", "simulated")):
            open_agent_desk(
                store,
                name,
                market_label=real.market_label,
                clock=clock,
                began_at=real.began_at,
                schedule=real.schedule,
                settings={**real.settings, "like": "small", "without": ["costs"]},
            )
    text = client.get("/metrics").text
    assert 'desk="small"' in text and "without" not in text and "alone" not in text


def test_a_desk_as_of_a_day(client) -> None:
    with open_store(home=client.home) as store:
        began = read_agent_desk(store, "small").began_at
    past = client.get("/desks/small", params={"as_of": began.date().isoformat()}).json()
    assert {one["agent"] for one in past["agents"]} == {
        "meta_control",
        "sentiment_fetch",
        "system_health",
    }
    before = (began - timedelta(days=3)).date().isoformat()
    refused = client.get("/desks/small", params={"as_of": before})
    assert refused.status_code == 409
    assert "began on" in refused.json()["detail"]


def test_changes_need_the_token_and_a_reason(client) -> None:
    body = {"reason": "storm"}
    assert client.post("/desks/small/halt", json=body).status_code == 401
    wrong = {"Authorization": "Bearer nearly"}
    assert client.post("/desks/small/halt", json=body, headers=wrong).status_code == 401
    assert client.post("/desks/small/halt", json={}, headers=WITH).status_code == 422
    assert client.post("/desks/small/explode", json=body, headers=WITH).status_code == 422
    told = client.post("/desks/small/halt", json=body, headers=WITH).json()["told"]
    assert told.endswith("-> HALTED: storm")
    assert client.get("/desks/small").json()["state"] == "HALTED"
    client.post("/desks/small/resume", json=body, headers=WITH)
    paused = client.post("/desks/small/agents/system_health/pause", json=body, headers=WITH)
    assert "system_health rests: storm" in paused.json()["told"]
    assert client.get("/desks/small").json()["performance_metrics"]["paused"] == ["system_health"]
    decisions = client.get("/desks/small/decisions").json()
    assert {one["undo"] for one in decisions} >= {"resume system_health"}


@pytest.mark.parametrize("reason", ["\\ud800", "\\u0000", "a\\nb", "", "  ", "\\u00a0"])
def test_a_reason_that_says_nothing_or_no_row_can_hold_is_refused(client, reason: str) -> None:
    sent = {"content": f'{{"reason": "{reason}"}}', "headers": WITH | JSON}
    answer = client.post("/desks/newest/halt", **sent)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "reason"]


@pytest.mark.parametrize(
    ("sent", "where", "told"),
    [
        ('{"reason": "a\\u0000<b>\\ud800"}', ["body", "reason"], r"'a\x00<b>\ud800'"),
        ('{"reason": ["storm"]}', ["body", "reason"], "['storm']"),
        ('{"why": 7}', ["body", "reason"], "{'why': 7}"),
        ('{"reason": "' + "long " * 1000 + '"}', ["body", "reason"], "'long long "),
        ('{"reason": 9' + "9" * 3000 + "}", ["body", "reason"], "9999"),
    ],
)
def test_a_refused_request_says_which_part_and_what_was_sent_there(
    client, sent: str, where: list[str], told: str
) -> None:
    answer = client.post("/desks/newest/halt", content=sent, headers=WITH | JSON)
    assert answer.status_code == 422
    (one,) = answer.json()["detail"]
    assert one["loc"] == where
    assert one["sent"].startswith(told)
    assert len(one["sent"]) <= 100
    listed = client.get("/desks", params={"limit": "<i>\u202e"}).json()["detail"]
    assert [(one["loc"], one["sent"]) for one in listed] == [
        (["query", "limit"], r"'<i>\u202e'"),
    ]


def test_without_a_token_nothing_can_be_changed(client) -> None:
    with TestClient(application(lambda: open_store(home=client.home), None)) as closed:
        answer = closed.post("/desks/small/halt", json={"reason": "x"}, headers=WITH)
    assert answer.status_code == 403
    assert "FOUNDRY_DESK_TOKEN" in answer.json()["detail"]


def test_mistakes_and_strange_hosts_are_refused_in_one_line(client) -> None:
    missing = client.get("/desks/nowhere")
    assert missing.status_code == 404
    assert "no desk 'nowhere'" in missing.json()["detail"]
    assert client.get("/desks", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/desks", params={"limit": 10**6}).status_code == 422
    assert "/desks/{desk}/ticks" in client.get("/openapi.json").json()["paths"]


def test_the_token_in_the_environment_is_no_unknown_setting() -> None:
    assert load_settings(environment={VARIABLE: TOKEN}) == load_settings(environment={})


def test_the_command_line_wants_a_reason_too() -> None:
    assert _reason("storm") == "storm"
    with pytest.raises(ArgumentTypeError, match="is empty"):
        _reason(" ")
