"""`python -m flows.desk report`: a file of the kind that was asked for, or one line why not."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.store import open_store
from alphafoundry.store.agents import open_agent_desk
from alphafoundry.store.performance import record_performance
from flows.desk_report import report
from tests.library.performance.test_sheet import rows_of


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path / "home"))
    with open_store(home=tmp_path / "home") as store:
        open_agent_desk(
            store,
            "one",
            market_label="SYNTHETIC market",
            clock="simulated",
            began_at=datetime(2024, 1, 1, tzinfo=UTC),
            schedule={},
            settings={"seed": 1},
        )
        record_performance(store, "one", rows_of(25))
    return tmp_path / "home"


def test_a_report_is_a_page_or_plain_values(home, tmp_path, capsys) -> None:
    assert report([]) == 0
    told = capsys.readouterr().out
    page = (home / "desks" / "one" / "report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and "SYNTHETIC" in page
    assert "state ACTIVE" in page and "SYNTHETIC market" in told and "1 trial" in told
    assert report(["one", "--output", "r.json"]) == 0
    plain = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert plain["status"]["health"] == 1.0 and plain["title"] == "Desk one"


def test_what_cannot_be_written_is_told_in_one_line(home) -> None:
    with pytest.raises(ConfigurationError, match=r"r\.pdf: write a file that ends in"):
        report(["--output", "r.pdf"])
    with pytest.raises(FoundryError, match="no desk 'two'"):
        report(["two"])
    (home / "file").write_text("", "utf-8")
    with pytest.raises(FoundryError, match="choose a place that can be written") as told:
        report(["--output", str(home / "file" / "r.json")])
    assert "\n" not in str(told.value)
