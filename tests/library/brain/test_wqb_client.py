"""The public client `wqb` works with the local server as with BRAIN."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from alphafoundry.simulation.super_settings import SuperSettings
from tests.library.brain.conftest import GOOD, OTHER_GOOD, SETTINGS
from tests.library.brain.faults import serve

wqb = pytest.importorskip("wqb")
from wqb import wqb_session  # noqa: E402

REAL = ("https://api.worldquantbrain.com", "http://api.worldquantbrain.com:443")
ALPHA = {"type": "REGULAR", "settings": SETTINGS.to_brain(), "regular": GOOD}


@pytest.fixture
def session(make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with serve(make_app()) as url:
        for name in [name for name in vars(wqb_session) if name.startswith("URL_")]:
            address = getattr(wqb_session, name)
            for real in REAL:
                address = address.replace(real, url)
            monkeypatch.setattr(wqb_session, name, address)
        log = logging.getLogger("wqb-test")
        with wqb.WQBSession(
            ("researcher@example.com", "secret"), logger=log, delay_unexpected=0.01
        ) as found:
            yield found


def test_it_signs_in_by_itself(session: Any) -> None:
    assert session.get_authentication().json()["user"]["id"]
    assert session.post_authentication().status_code == 201
    assert session.head_authentication().ok
    assert session.delete_authentication().status_code == 204


def test_it_lists_operators_data_sets_and_fields(session: Any) -> None:
    names = {operator["name"] for operator in session.search_operators().json()}
    assert {"rank", "ts_mean", "group_neutralize"} <= names
    place = ("USA", 1, "TOP3000")
    sets = [item for page in session.search_datasets(*place) for item in page.json()["results"]]
    assert [item["id"] for item in sets] == ["pv1"]
    assert session.locate_dataset("pv1").json()["fieldCount"] == 6
    pages = session.search_fields(*place, dataset_id="pv1", type="MATRIX", limit=2)
    fields = [item["id"] for page in pages for item in page.json()["results"]]
    assert fields == ["cap", "close", "returns", "volume"]
    assert session.locate_field("close").json()["type"] == "MATRIX"


def test_from_simulation_to_submission(session: Any) -> None:
    session.post_authentication()  # its own first sign-in in `simulate` takes five seconds
    simulated = asyncio.run(session.simulate(ALPHA)).json()
    assert simulated["status"] == "COMPLETE"
    alpha = simulated["alpha"]
    found = session.locate_alpha(alpha).json()
    assert found["regular"]["code"] == GOOD and found["is"]["sharpe"] > 1.25
    checks = asyncio.run(session.check(alpha)).json()["is"]["checks"]
    assert {check["result"] for check in checks} == {"PASS"}
    assert asyncio.run(session.submit(alpha)).status_code == 200
    assert session.locate_alpha(alpha).json()["status"] == "ACTIVE"
    again = asyncio.run(session.submit(alpha))
    assert again.status_code == 403
    assert again.json()["is"]["checks"][0]["name"] == "ALREADY_SUBMITTED"


def test_it_searches_and_changes_alphas(session: Any) -> None:
    session.post_authentication()
    targets = [ALPHA | {"regular": text} for text in (GOOD, f"-{GOOD}", "rank(nothing)")]
    results = asyncio.run(session.concurrent_simulate(targets, 2))
    assert [result.json()["status"] for result in results] == ["COMPLETE", "COMPLETE", "ERROR"]
    good, bad = (result.json()["alpha"] for result in results[:2])
    session.patch_properties(good, name="a name", color="GREEN", tags=["x"], favorite=True)
    pages = session.filter_alphas(
        status="UNSUBMITTED",
        region="USA",
        delay=1,
        sharpe=wqb.FilterRange.from_str("[1, inf)"),
        date_created=wqb.FilterRange.from_str(
            "[2020-01-01T00:00:00-05:00, 2100-01-01T00:00:00-05:00)"
        ),
        order="dateCreated",
    )
    assert [alpha["id"] for page in pages for alpha in page.json()["results"]] == [good]
    named = session.filter_alphas_limited(name="name", favorite=True, color="GREEN").json()
    assert [alpha["id"] for alpha in named["results"]] == [good]
    worse = session.filter_alphas_limited(sharpe=wqb.FilterRange.from_str("(-inf, 0)")).json()
    assert [alpha["id"] for alpha in worse["results"]] == [bad]


def test_without_signing_in_its_basic_credentials_are_enough(session: Any) -> None:
    session.auth = session.wqb_auth
    assert session.search_operators().status_code == 200


def test_several_simulations_at_once_and_a_super_alpha_of_them(session: Any) -> None:
    session.post_authentication()
    several = [ALPHA, {**ALPHA, "regular": OTHER_GOOD}]
    parent = asyncio.run(session.simulate(several)).json()
    assert (parent["status"], len(parent["children"])) == ("COMPLETE", 2)
    wanted = {
        "type": "SUPER",
        "settings": SuperSettings(neutralization="MARKET").to_brain(),
        "combo": "combo_a(alpha, nlength=60)",
        "selection": "turnover < 0.9",
    }
    simulated = asyncio.run(session.simulate(wanted)).json()
    assert simulated["status"] == "COMPLETE", simulated
    alpha = session.locate_alpha(simulated["alpha"]).json()
    assert alpha["type"] == "SUPER" and len(alpha["components"]) == 2
    assert alpha["selection"]["code"] == "turnover < 0.9"
