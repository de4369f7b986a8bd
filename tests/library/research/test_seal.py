"""Search days and sealed days: what is sealed changes nothing of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphafoundry.research.run import ResearchRun
from alphafoundry.research.seal import Seal, planned_split, seal_of
from alphafoundry.settings import HoldoutSettings
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.simulator import Simulator
from alphafoundry.store import (
    MarketSplit,
    open_store,
    read_alphas,
    read_daily_pnl,
    read_runs,
    read_simulations,
)
from tests.library.research.searches import make_market, searched, with_other_sealed_days
from tests.property_tests import examples

ALPHAS = (
    "rank(-ts_delta(close, 5))",
    "group_rank(ts_mean(volume, 20) / volume, industry)",
    "-ts_corr(close, volume, 10)",
    "ts_zscore(vwap / close, 60)",
)
HOLDOUT = HoldoutSettings()


def trials(run: ResearchRun, home: Path) -> list[tuple[Any, ...]]:
    """Return everything that the store knows of the search, without moments and fingerprints."""
    with open_store(home=home) as store:
        rows = read_simulations(store, run_id=run.run_id)
        alphas = read_alphas(store, run.service, [row.alpha_id for row in rows if row.alpha_id])
        pnl = read_daily_pnl(store, run.service, alphas)
    found = []
    for row in rows:
        alpha = alphas.get(row.alpha_id or "")
        known = None
        if alpha is not None:
            known = (alpha.sharpe, alpha.fitness, alpha.checks, alpha.hopeful, alpha.turnover)
        daily = pnl.get(row.alpha_id or "")
        values = None if daily is None else daily.to_bytes()
        found.append((row.expression, row.settings, row.status, row.gain, known, values))
    return found


def seal(panel: Any, home: Path, **holdout: Any) -> Seal:
    with open_store(home=home) as store:
        found = seal_of(panel, HoldoutSettings(**holdout), store)
    assert isinstance(found, Seal)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("simulations", [8, pytest.param(24, marks=pytest.mark.long)])
async def test_other_values_on_sealed_days_change_nothing_of_a_whole_search(
    tmp_path: Path, simulations: int
) -> None:
    market = make_market(3, reversal=0.05)
    first_row = len(market.dates) - seal(market, tmp_path / "a").sealed_days
    other = with_other_sealed_days(market, first_row, seed=1)
    one = await searched(market, tmp_path / "a", simulations=simulations)
    two = await searched(other, tmp_path / "b", simulations=simulations)
    assert trials(one, tmp_path / "a") == trials(two, tmp_path / "b")
    # The embargo belongs to neither part, and the last search day does count.
    last = with_other_sealed_days(market, first_row - HOLDOUT.embargo_days - 1, seed=1)
    three = await searched(last, tmp_path / "c", simulations=simulations)
    assert trials(one, tmp_path / "a") != trials(three, tmp_path / "c")
    with open_store(home=tmp_path / "a") as store:
        (run,) = read_runs(store)
    assert run.search_to is not None
    assert run.sealed_from is not None
    assert run.search_from == market.dates[0].item() < run.search_to < run.sealed_from
    assert run.sealed_to == market.dates[-1].item()


@settings(max_examples=examples(34), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**31), market=st.integers(0, 3), alpha=st.sampled_from(ALPHAS))
def test_no_sealed_value_reaches_a_simulation(
    tmp_path_factory: pytest.TempPathFactory, seed: int, market: int, alpha: str
) -> None:
    panel = make_market(market)
    kept = seal(panel, tmp_path_factory.mktemp("seal"))
    first_row = len(panel.dates) - kept.sealed_days - HOLDOUT.embargo_days
    other = with_other_sealed_days(panel, first_row, seed)
    parts = (kept.searched(), seal(other, tmp_path_factory.mktemp("seal")).searched())
    one, two = (Simulator(part).simulate(alpha) for part in parts)
    assert one.statistics == two.statistics
    assert one.checks == two.checks
    assert np.array_equal(one.daily_pnl, two.daily_pnl)
    assert one.dates[-1] == np.datetime64(kept.search_to)


def test_the_split_is_that_of_the_first_use_whatever_comes_later(tmp_path: Path) -> None:
    market = make_market(1, days=1200)
    shorter = market.until(market.dates[1099])
    first = seal(shorter, tmp_path)
    assert first.search_days + first.sealed_days + HOLDOUT.embargo_days == 1100
    assert first.sealed_days == round(0.3 * 1100)
    later = seal(market, tmp_path, share=0.5)
    assert (later.search_to, later.sealed_from) == (first.search_to, first.sealed_from)
    assert later.sealed_days == first.sealed_days + 100
    assert later.sealed_to == market.dates[-1].item()


def test_a_market_too_short_is_searched_whole_and_says_so(tmp_path: Path) -> None:
    assert isinstance(planned_split(make_market(1, days=1009), HOLDOUT), MarketSplit)
    reason = planned_split(make_market(1, days=1008), HOLDOUT)
    assert isinstance(reason, str)
    assert "1008 days are too few" in reason
    with open_store(home=tmp_path) as store:
        off = seal_of(make_market(1), HoldoutSettings(share=0.0), store)
    assert off == "no days are kept apart (holdout is 0)"


async def test_results_of_all_days_and_of_search_days_are_kept_apart(tmp_path: Path) -> None:
    market = make_market(1)
    sealed = await searched(market, tmp_path, simulations=4)
    whole = await searched(market, tmp_path, simulations=4, holdout=0)
    assert sealed.service.startswith(f"{whole.service}.to-")
    assert isinstance(sealed.seal, Seal)
    assert whole.seal == "no days are kept apart (holdout is 0)"
    with open_store(home=tmp_path) as store:
        counts = [len(read_simulations(store, service=one.service)) for one in (sealed, whole)]
    assert counts == [4, 4]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_own_numbers_of_an_alpha_are_of_the_days_before_its_test_period(alpha: str) -> None:
    market = make_market(2)
    simulator = Simulator(market)
    plain = simulator.simulate(alpha, SimulationSettings())
    parted = simulator.simulate(alpha, SimulationSettings(test_period="P1Y6M"))
    assert plain.train is None
    assert parted.train == parted.statistics != plain.statistics
    assert parted.test is not None
    assert parted.train.end_date < parted.test.start_date
    first = np.searchsorted(market.dates, np.datetime64(parted.test.start_date))
    other = with_other_sealed_days(market, int(first), seed=4)
    again = Simulator(other).simulate(alpha, SimulationSettings(test_period="P1Y6M"))
    assert again.statistics == parted.statistics
    assert again.test != parted.test
