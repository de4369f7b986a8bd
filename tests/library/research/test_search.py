"""Mining on a small market: what it builds on, what it stores, what it falls back on."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from alphafoundry.errors import BrainUnavailable
from alphafoundry.research import finalists, search
from alphafoundry.research.run import ResearchRun, research_run
from alphafoundry.research.search import Search
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from alphafoundry.simulation import Simulator
from alphafoundry.store import (
    AlphaRecord,
    open_store,
    read_alphas,
    read_simulations,
    record_alpha,
)
from tests.library.research.searches import make_market, record_hopeful, searched

pytestmark = pytest.mark.filterwarnings("error")


async def test_mining_adds_up_what_was_found_and_gains_over_a_part(tmp_path: Path) -> None:
    run = await searched(make_market(3, reversal=0.05), tmp_path, simulations=40)
    with open_store(home=tmp_path) as store:
        rows = read_simulations(store, run_id=run.run_id)
        alphas = read_alphas(store, run.service, [row.alpha_id for row in rows if row.alpha_id])
    assert len(rows) == 40
    mined = [row for row in rows if row.origin == "miner"]
    assert len(mined) == 18
    kinds = {str(row.variation).partition(":")[0] for row in mined}
    assert "combine" in kinds and len(kinds) > 1
    for row in mined:
        if row.gain is not None:
            assert row.alpha_id is not None and row.parent_alpha_id is not None
            child, parent = alphas[row.alpha_id], alphas[row.parent_alpha_id]
            assert row.gain == pytest.approx((child.fitness or 0.0) - (parent.fitness or 0.0))
            assert parent.expression != child.expression
    invented = {row.alpha_id for row in rows if row.origin != "miner"}
    assert {row.parent_alpha_id for row in mined} - {None} & invented


async def test_a_search_that_was_cut_short_goes_on_from_the_store(tmp_path: Path) -> None:
    """A second run never repeats what the first one simulated, and builds on it at once."""
    market = make_market(3, reversal=0.05)
    first = await searched(market, tmp_path, simulations=12)
    second = await searched(market, tmp_path, simulations=12)
    with open_store(home=tmp_path) as store:
        before = read_simulations(store, run_id=first.run_id)
        after = read_simulations(store, run_id=second.run_id)
    assert not {row.canonical for row in before} & {row.canonical for row in after}
    earlier = {row.alpha_id for row in before}
    assert any(row.parent_alpha_id in earlier for row in after)


async def prepared(home: Path, stop_after: int, **flags: object) -> list[str]:
    """Return what the first round asks for where some alphas have PnL and one has none."""
    settings = load_settings(environment={}, home=home, simulations=12, **flags)
    async with research_run(settings, flow="mine", lanes=1, panel=make_market(1)) as run:
        for number, text in enumerate(("ts_rank(volume, 5)", "ts_zscore(returns, 20)")):
            record_hopeful(run.store, run.service, f"known{number}", text, seed=number)
        record_alpha(
            run.store,
            run.service,
            AlphaRecord(
                "unknown",
                "-ts_corr(close, volume, 10)",
                {"decay": 4},
                sharpe=1.9,
                fitness=1.2,
                hopeful=True,
            ),
        )
        asked: list[str] = []

        async def read_pnl(_: ResearchRun, alpha_id: str) -> None:
            asked.append(alpha_id)
            raise BrainUnavailable(f"{alpha_id}: no daily PnL")

        search = Search(run, read_pnl=read_pnl)
        rows = [row for _ in range(stop_after) for row in await search.ask()]
        assert asked == ["unknown"]
        assert any("daily PnL of 1 alphas" in note for note in run.tally.notes)
        return [row.expression for row in rows]


async def test_an_alpha_without_pnl_still_takes_part_and_the_report_says_so(
    tmp_path: Path,
) -> None:
    asked = await prepared(tmp_path, 6)
    assert any("ts_corr" in text and "ts_rank" in text for text in asked)


@pytest.mark.long
async def test_shares_of_the_settings_are_what_is_asked_for(tmp_path: Path) -> None:
    # The sum of all three moves like that of any two, so a variation takes its place.
    first, second = await prepared(tmp_path / "a", 1, mining={"variations": 0.0})
    assert first.startswith("add(") and not second.startswith("add(")
    varied = await prepared(tmp_path / "c", 1, mining={"variations": 1.0})
    assert not any(text.startswith("add(") for text in varied)
    pairs = await prepared(tmp_path / "b", 6, mining={"variations": 0.0, "most_parts": 2})
    assert max(text.count("zscore(") - text.count("ts_zscore(") for text in pairs) == 2


async def test_of_many_alphas_a_sample_is_heard_beside_the_strongest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalists, "MOST_SHRUNK", 20)
    monkeypatch.setattr(search, "MOST_COMPARED", 20)
    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="mine", lanes=1, panel=make_market(1)) as run:
        for number in range(60):
            text, sharpe = f"ts_rank(volume, {number + 2})", 0.05 * number + 0.05
            record_hopeful(run.store, run.service, f"a{number}", text, seed=number, sharpe=sharpe)
        found = await Search(run)._found()
    strongest = {f"a{number}" for number in range(40, 60)}
    heard = {one.alpha_id for one in found.trials if not one.built}
    assert {one.alpha_id for one in found.trials} == strongest | heard
    assert len(heard) == 20 and 1 <= len(heard & strongest) <= 14
    assert found.correlation.shape == (len(found.trials), len(found.trials))


async def test_without_mining_the_whole_budget_goes_to_ideas(tmp_path: Path) -> None:
    settings = load_settings(environment={}, home=tmp_path, simulations=8, mining={"share": 0.0})
    async with research_run(settings, flow="search", lanes=2, panel=make_market(2)) as run:
        await search_all(run)
        rows = read_simulations(run.store, run_id=run.run_id)
    assert len(rows) == 8
    assert "miner" not in {row.origin for row in rows}


@pytest.mark.long
async def test_a_run_that_ended_keeps_no_market_in_memory(tmp_path: Path) -> None:
    """A program that runs for days makes many; FastAPI keeps the routes of each for good."""
    before = _simulators()
    await searched(make_market(3), tmp_path, simulations=2)
    assert _simulators() <= before


def _simulators() -> int:
    gc.collect()
    return sum(isinstance(one, Simulator) for one in gc.get_objects())
