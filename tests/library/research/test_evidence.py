"""The head of a report, and what stands beside each Sharpe ratio."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.evidence import luck_line
from alphafoundry.evidence.shrinkage import Shrunk
from alphafoundry.research import finalists
from alphafoundry.research.evidence import evidence_of_alphas
from alphafoundry.research.opening import open_sealed_days
from alphafoundry.research.report import AlphasReport
from alphafoundry.research.report_building import build_report
from alphafoundry.research.run import research_run
from alphafoundry.research.seal import Seal
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import CostSettings, load_settings
from alphafoundry.store import (
    AlphaRow,
    WholeSearch,
    intend_submission,
    read_alphas,
    record_placebo,
    settle_submission,
)
from tests.library.research.searches import make_market, record_hopeful


async def reported(home: Path, **flags: object) -> tuple[AlphasReport, Seal | str]:
    settings = load_settings(
        environment={}, **{"home": home, "simulations": 24, "hopeful": {"fitness": 0.2}, **flags}
    )
    market = make_market(3, reversal=0.08)
    async with research_run(settings, flow="test", lanes=2, panel=market) as run:
        await search_all(run)
        open_sealed_days(run)
        return build_report(run), run.seal


@pytest.mark.long
async def test_the_head_says_days_luck_verdicts_decay_and_no_sharpe_ratio_stands_alone(
    tmp_path: Path,
) -> None:
    report, seal = await reported(tmp_path)
    assert isinstance(seal, Seal)
    found = report.evidence
    assert found is not None
    subjects = [subject for subject, _ in report.summary()]
    assert subjects[:7] == ["data", "verdicts", "days", "luck", "decay", "overfit", "cautions"]
    head = dict(report.summary())
    assert f"searched {seal.search_from} to {seal.search_to}" in head["days"]
    assert f"sealed {seal.sealed_from} to {seal.sealed_to} ({seal.sealed_days})" in head["days"]
    assert "opening 1 of these days (level 0.05)" in head["days"]
    assert 0 < found.trials <= 24
    assert found.independent is not None
    assert 1 <= found.independent <= found.trials
    # Two decimals of the line where nothing can be found, for the trials made and the days held.
    line = luck_line(found.trials, seal.search_days, climbing=True)
    assert found.luck == pytest.approx(line.mean * math.sqrt(252), rel=0.1)
    total = sum(found.finalists.values())
    assert head["verdicts"].startswith(f"{total} finalists judged on days that no search had seen")
    assert "found (chance that any is luck: 0.05)" in head["verdicts"]
    assert "placebo not run" in head["overfit"]
    assert "net is after 5 bp of each dollar traded and 50 bp a year of shorts" in head["cautions"]
    assert report.lucky is None, "measured for the usual rule only"
    assert len(found.judged) == total
    for one in found.judged:
        assert (one.capacity, one.impact) == (None, (None, None, None)), "no adv20 on this market"
        assert one.net is not None and one.settled is not None and one.sealed_sharpe is not None
        assert one.net < one.sealed_sharpe
        assert one.years is not None and one.years_up is not None
        assert 0 <= one.years_up <= one.years
        assert one.worst_year is not None and one.calm is not None and one.wild is not None
    assert any(table.title == "Finalists on sealed days" for table in report.tables())
    assert total == len([x for x in report.alphas if x.evidence.sealed])
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


@pytest.mark.parametrize("holdout", [0.3, 0.0])
async def test_what_is_to_be_expected_is_computed_once_for_finalists_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holdout: float
) -> None:
    shrunk_sharpe_ratios, computed = finalists.shrunk_sharpe_ratios, []

    def counted(*args: Any, **options: Any) -> Shrunk:
        computed.append(shrunk_sharpe_ratios(*args, **options))
        return computed[-1]

    monkeypatch.setattr(finalists, "shrunk_sharpe_ratios", counted)
    settings = load_settings(environment={}, home=tmp_path, holdout=holdout)
    async with research_run(settings, flow="test", lanes=1, panel=make_market(1)) as run:
        for number, name in enumerate(("a", "b")):
            text = f"rank(ts_delta(close, {number + 2}))"
            record_hopeful(run.store, run.service, name, text, seed=number, sharpe=3.0)
        alphas = read_alphas(run.store, run.service, ["a", "b"])
        open_sealed_days(run)
        found = evidence_of_alphas(run, list(alphas.values()))
    assert len(computed) == 1
    told = sorted(one.shrunk or 0.0 for one in found.values())
    assert told == pytest.approx(sorted(computed[0].sharpe), abs=1e-4)


async def test_without_sealed_days_every_number_is_called_in_sample(tmp_path: Path) -> None:
    report, _ = await reported(tmp_path, holdout=0, simulations=6)
    head = dict(report.summary())
    assert "every number is in sample: no days are kept apart (holdout is 0)" in head["days"]
    assert head["verdicts"].startswith("nothing is found and nothing refuted: no days are kept")
    assert all(line.evidence.verdict != "found" for line in report.alphas)


async def test_a_later_opening_that_submissions_have_steered_is_called_reused(
    tmp_path: Path,
) -> None:
    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="test", lanes=1, panel=make_market(1)) as run:
        assert isinstance(run.seal, Seal) and run.market_id is not None
        heads = []
        for number, name in enumerate(("a", "b", "c")):
            text = f"rank(ts_delta(close, {number + 2}))"
            record_hopeful(run.store, run.service, name, text, seed=number, sharpe=3.0)
            if number == 2:
                today = date(2024, 1, 3)
                intend_submission(
                    run.store, run.service, "a", today, run_id=run.run_id, daily_limit=4
                )
                settle_submission(run.store, run.service, "a", "accepted")
            open_sealed_days(run)
            found = build_report(run).evidence
            assert found is not None
            assert found.opening == number + 1
            heads.append((found.reused, dict(found.summary())["verdicts"]))
    assert [reused for reused, _ in heads] == [False, False, True]
    assert ["REUSED" in text for _, text in heads] == [False, False, True]


async def test_a_placebo_of_the_market_is_told(tmp_path: Path) -> None:
    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="test", lanes=1, panel=make_market(1)) as run:
        assert run.market_id is not None
        for number, best in enumerate((2.0, 1.0, 2.5, 0.5)):
            record_placebo(
                run.store,
                WholeSearch(60, 3, 10, best, 0.5, 1.0, best / 2),
                key="key",
                mirror="all" if number else "none",
                number=number,
                run_id=run.run_id,
                market_id=run.market_id,
                seed=0,
                budget=60,
            )
        report = build_report(run)
    assert report.evidence is not None
    assert report.evidence.placebo == (
        "placebo p = 0.50 for the best and 0.50 for the unlike (3 searches of 60 simulations)"
    )


def test_costs_take_what_they_say_from_a_sharpe_ratio() -> None:
    """Against PnL made by hand: 1 % a day traded twice over, long and short halves."""
    from alphafoundry.research.evidence import _net

    alpha = AlphaRow(sharpe=2.0, margin=10e-4, returns=0.10)
    assert _net(alpha, CostSettings()) == pytest.approx(2.0 * (1 - 0.5 - 0.05))
    free = CostSettings(commission_bps=0, slippage_bps=0, borrow_bps=0)
    assert _net(alpha, free) == 2.0
