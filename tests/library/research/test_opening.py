"""Finalists, and what the sealed days say of them."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.research.finalists import choose_finalists
from alphafoundry.research.opening import open_sealed_days
from alphafoundry.research.run import ResearchRun, research_run
from alphafoundry.research.seal import Seal
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from alphafoundry.simulation.correlation import pnl_correlation
from alphafoundry.store import (
    OpeningRow,
    VerdictRow,
    judged_pnl,
    open_store,
    read_alphas,
    read_daily_pnl,
    read_opening,
    read_openings,
)
from tests.library.research.searches import (
    make_market,
    record_hopeful,
    with_other_sealed_days,
)
from tests.piped_commands import PipedCommand
from tests.working_folder import TIMEOUT


async def opened(
    home: Path, *, reversal: float = 0.0, seed: int = 3, simulations: int = 40, search: bool = True
) -> tuple[ResearchRun, OpeningRow | None, list[VerdictRow]]:
    settings = load_settings(
        environment={}, home=home, simulations=simulations, seed=seed, hopeful={"fitness": 0.2}
    )
    market = make_market(seed, reversal=reversal)
    async with research_run(settings, flow="search", lanes=2, panel=market) as run:
        if search:
            await search_all(run)
        opening = open_sealed_days(run)
        rows = [] if opening is None else read_opening(run.store, opening.id)[1]
        return run, opening, rows


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, *(pytest.param(n, marks=pytest.mark.long) for n in (12, 13))])
async def test_a_search_on_a_market_without_effects_finds_nothing(
    tmp_path: Path, seed: int
) -> None:
    _, opening, rows = await opened(tmp_path, seed=seed)
    assert opening is None or opening.number == 1
    assert [row.verdict for row in rows if row.verdict == "found"] == []


@pytest.mark.long
async def test_a_planted_effect_is_found_and_its_finalists_are_unlike(tmp_path: Path) -> None:
    run, opening, rows = await opened(tmp_path, reversal=0.08)
    assert opening is not None
    assert isinstance(run.seal, Seal)
    assert "found" in {row.verdict for row in rows}
    assert 1 <= len(rows) <= 10
    with open_store(home=tmp_path) as store:
        pnl = read_daily_pnl(store, run.service, [row.alpha_id for row in rows])
        alphas = read_alphas(store, run.service, [row.alpha_id for row in rows])
    # Less is expected of them than they had; the first has the highest fitness to be expected.
    assert np.mean([row.shrunk_sharpe for row in rows]) < np.mean([row.sharpe for row in rows])
    worth = [
        alphas[row.alpha_id].fitness * (row.shrunk_sharpe / alphas[row.alpha_id].sharpe) ** 1.5
        for row in rows
        if row.shrunk_sharpe > 0
    ]
    assert worth and worth == sorted(worth, reverse=True)
    for number, one in enumerate(rows):
        kept = judged_pnl(one)
        assert kept is not None
        assert kept.dates[-1] == np.datetime64(run.seal.sealed_to)
        assert one.sealed_days == run.seal.sealed_days
        assert one.sealed_low < one.sealed_sharpe < one.sealed_high
        searched = pnl[one.alpha_id]
        same = np.isin(kept.dates, searched.dates)
        # What was frozen is what the whole market gives on the days of the search.
        np.testing.assert_allclose(kept.values[same], searched.values, rtol=1e-5, atol=1.0)
        for other in rows[:number]:
            theirs = pnl[other.alpha_id]
            likeness = pnl_correlation(
                searched.dates, searched.values, theirs.dates, theirs.values, years=40
            )
            assert abs(likeness) <= 0.7 + 1e-6
    # A second command finds the same finalists, and does not look again.
    _, again, _ = await opened(tmp_path, reversal=0.08, search=False)
    assert again is not None
    assert again.id == opening.id


@pytest.mark.long
async def test_an_opening_that_was_killed_is_done_by_the_next_run_as_it_was_planned(
    tmp_path: Path,
) -> None:
    with PipedCommand("tests.library.research.opening_killed", [str(tmp_path)]) as killed:
        assert killed.wait(TIMEOUT) == -signal.SIGKILL
    with open_store(home=tmp_path) as store:
        (planned,) = read_openings(store, make_market(3, reversal=0.08).market_id)
        frozen = read_opening(store, planned.id)[1]
    assert planned.opened_at is None
    assert {row.verdict for row in frozen} == {None}
    settings = load_settings(environment={}, home=tmp_path)
    market = make_market(3, reversal=0.08)
    async with research_run(settings, flow="submit", lanes=2, panel=market) as run:
        opening = open_sealed_days(run)
    assert opening is not None
    with open_store(home=tmp_path) as store:
        done, rows = read_opening(store, planned.id)
    assert (done.id, done.number, done.level) == (planned.id, 1, 0.05)
    assert done.opened_at is not None
    assert [row.alpha_id for row in rows] == [row.alpha_id for row in frozen]
    assert None not in {row.verdict for row in rows}


@pytest.mark.long
async def test_sealed_days_change_no_finalist(tmp_path: Path) -> None:
    settings = load_settings(environment={}, simulations=8)
    market = make_market(3, reversal=0.08)
    other = with_other_sealed_days(market, len(market.dates) - 330, seed=5)
    chosen = []
    for name, panel in (("a", market), ("b", other)):
        mine = settings.model_copy(update={"home": tmp_path / name})
        async with research_run(mine, flow="search", lanes=2, panel=panel) as run:
            await search_all(run)
            chosen.append(choose_finalists(run.store, run.service, trials=8))
    assert chosen[0] == chosen[1]


def test_an_alpha_that_compares_levels_is_no_finalist(tmp_path: Path) -> None:
    checks = [{"name": "UNITS", "result": "WARNING", "message": f"{COMPARES_LEVELS}; and more"}]
    with open_store(home=tmp_path) as store:
        record_hopeful(store, "local:m.3", "sees", "inverse(close)", seed=1, checks=checks)
        record_hopeful(store, "local:m.3", "looks", "rank(ts_delta(close, 5))", seed=2)
        found = choose_finalists(store, "local:m.3", trials=2)
    assert [one.alpha_id for one in found] == ["looks"]
