"""The head of a report, and what stands beside each Sharpe ratio."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from alphafoundry.evidence import luck_line
from alphafoundry.research.opening import open_sealed_days
from alphafoundry.research.report import AlphasReport
from alphafoundry.research.report_building import build_report
from alphafoundry.research.run import research_run
from alphafoundry.research.seal import Seal
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from tests.library.research.searches import make_market


async def reported(home: Path, **flags: object) -> tuple[AlphasReport, Seal | str]:
    settings = load_settings(
        environment={}, **{"home": home, "simulations": 24, "hopeful": {"fitness": 0.2}, **flags}
    )
    market = make_market(3, reversal=0.08)
    async with research_run(settings, flow="test", lanes=2, panel=market) as run:
        await search_all(run)
        open_sealed_days(run)
        return build_report(run), run.seal


@pytest.mark.slow
async def test_the_head_says_days_luck_verdicts_decay_and_no_sharpe_ratio_stands_alone(
    tmp_path: Path,
) -> None:
    report, seal = await reported(tmp_path)
    assert isinstance(seal, Seal)
    found = report.evidence
    assert found is not None
    subjects = [subject for subject, _ in report.summary()]
    assert subjects[:7] == ["data", "days", "luck", "verdicts", "decay", "overfit", "cautions"]
    head = dict(report.summary())
    assert f"searched {seal.search_from} to {seal.search_to}" in head["days"]
    assert f"sealed {seal.sealed_from} to {seal.sealed_to} ({seal.sealed_days})" in head["days"]
    assert "opening 1 of these days (level 0.05)" in head["days"]
    assert 0 < found.trials <= 24
    assert found.independent is not None
    assert 1 <= found.independent <= found.trials
    # Two decimals of the line where nothing can be found, for the trials made and the days held.
    line = luck_line(found.trials, seal.search_days)
    assert found.luck == pytest.approx(line.mean * math.sqrt(252), rel=0.1)
    assert sum(found.finalists.values()) == len([x for x in report.alphas if x.evidence.sealed])
    assert found.pooled_low is not None
    assert found.pooled_sealed is not None
    assert found.pooled_high is not None
    assert found.pooled_low < found.pooled_sealed < found.pooled_high
    assert report.alphas
    for line_of in report.alphas:
        beside = line_of.evidence
        assert beside.dsr is not None
        assert beside.low is not None
        assert line_of.sharpe is not None
        assert beside.high is not None
        assert beside.low < line_of.sharpe < beside.high
        assert beside.verdict in ("found", "unproven", "not confirmed")
    for table in report.tables():
        assert all("DSR" in row for row in table.rows if "sharpe" in row)
    values = json.loads(json.dumps(report.to_json()))
    assert values["evidence"]["trials"] == found.trials
    assert values["alphas"][0]["evidence"]["dsr"] is not None
    (picture,) = report.figures()
    assert picture.draw().startswith(b"\x89PNG")


async def test_without_sealed_days_every_number_is_called_in_sample(tmp_path: Path) -> None:
    report, _ = await reported(tmp_path, holdout=0, simulations=6)
    head = dict(report.summary())
    assert "every number is in sample: no days are kept apart (holdout is 0)" in head["days"]
    assert "verdicts" not in head
    assert all(line.evidence.verdict != "found" for line in report.alphas)
