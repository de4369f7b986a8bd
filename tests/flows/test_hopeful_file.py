"""`hopeful_alphas.json` is shared with other programs: taken over, never lost."""

from __future__ import annotations

import asyncio
import json

import pytest

from alphafoundry.research.report import AlphasReport
from tests.flows.misbehaving import Service
from tests.flows.test_submission import GOOD, OTHER_GOOD, have
from tests.working_folder import WorkingFolder


def mine(url: str, simulations: int = 4) -> AlphasReport:
    from flows.mine import mine as flow

    return asyncio.run(flow(brain=url, simulations=simulations))


def test_alphas_of_another_program_are_taken_over_and_mined(place: WorkingFolder, url: str) -> None:
    good, other = have(place, url, GOOD, OTHER_GOOD)
    report = mine(url)
    assert any("2 alphas of another program taken over" in note for note in report.notes)
    rows = place.rows("SELECT alpha_id, source FROM alphas WHERE source = 'import'")
    assert dict(rows) == {good: "import", other: "import"}
    assert report.counts.mined == 4
    entries = {entry["alpha_id"]: entry for entry in place.json("hopeful_alphas.json")}
    assert entries[good]["expression"] == GOOD
    assert entries.keys() >= {good, other}


@pytest.mark.long
def test_entries_that_the_service_does_not_know_stay_in_the_file(
    place: WorkingFolder, url: str
) -> None:
    (good,) = have(place, url, GOOD)
    foreign = {"expression": "rank(x)", "timestamp": 5, "alpha_id": "Foreign1", "fitness": 2.0}
    kept = {**foreign, "colour": "green"}
    broken = {"alpha_id": 17}
    entries = [*place.json("hopeful_alphas.json"), kept, broken]
    (place.path / "hopeful_alphas.json").write_text(json.dumps(entries))
    report = mine(url)
    assert any("1 not known to local:" in note for note in report.notes)
    assert any("entry 3 left out" in note for note in report.notes)
    written = place.json("hopeful_alphas.json")
    assert kept in written and broken in written
    assert good in {entry["alpha_id"] for entry in written}


@pytest.mark.parametrize(
    "content",
    [
        '[{"alpha_id": "a',
        *(pytest.param(one, marks=pytest.mark.long) for one in ("", '{"alphas": []}', "\x00\x01")),
    ],
)
def test_a_corrupt_file_is_set_aside(place: WorkingFolder, url: str, content: str) -> None:
    (place.path / "hopeful_alphas.json").write_text(content)
    report = mine(url)
    (aside,) = place.path.glob("hopeful_alphas.json.corrupt-*")
    assert aside.read_text() == content
    assert any(aside.name in note for note in report.notes)
    assert place.json("hopeful_alphas.json") == []


@pytest.mark.long
def test_a_service_that_does_not_answer_leaves_the_entries_for_the_next_run(
    place: WorkingFolder, service: Service, url: str
) -> None:
    (good,) = have(place, url, GOOD)
    service.faulty.plan("drop-before", path=f"^/alphas/{good}", times=1)
    service.misbehaving = True
    mine(url)
    mine(url)
    assert place.rows("SELECT alpha_id FROM alphas WHERE source = 'import'") == [(good,)]
