"""Markets in which what can be found is known."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel
from alphafoundry.market.calibration import PLANTED, at_strength, generate_market
from alphafoundry.simulation import SimulationSettings, simulate
from alphafoundry.simulation.placebo_markets import mirrored_market, planted_market
from tests.library.simulation.conftest import make_panel
from tests.some_cases import one_in


@pytest.fixture(scope="module")
def empty() -> Panel:
    """A market in which nothing is planted."""
    return generate_market(3, progress=lambda _: None, effects=())


def test_a_market_without_effects_has_no_drift_and_no_truth(empty: Panel) -> None:
    assert not empty.truth
    assert empty.label.startswith("SYNTHETIC market without effects")
    whole = generate_market(3, progress=lambda _: None)
    assert np.nanmean(empty.fields["returns"]) < np.nanmean(whole.fields["returns"])
    assert empty.fingerprint != whole.fingerprint


@pytest.mark.long
def test_half_the_strength_is_half_the_truth() -> None:
    half = generate_market(2, progress=lambda _: None, effects=at_strength(PLANTED, 0.5))
    whole = generate_market(2, progress=lambda _: None)
    first = {name: np.abs(array[100]).mean() for name, array in whole.truth.items()}
    for name, array in half.truth.items():
        assert np.abs(array[100]).mean() == pytest.approx(0.5 * first[name], rel=0.1)
    assert "0.5" in half.label


@pytest.mark.long
@pytest.mark.parametrize("kind", one_in(2, ["all", "residual"]))
def test_a_mirrored_market_says_so_and_keeps_sizes_and_volume(empty: Panel, kind: str) -> None:
    found = mirrored_market(empty, 1, kind=kind)  # type: ignore[arg-type]
    assert "mirrored" in found.label and found.synthetic
    assert found.fingerprint != empty.fingerprint
    assert found.fields["volume"] is empty.fields["volume"]
    if kind == "all":
        before, after = empty.fields["returns"], found.fields["returns"]
        both = ~np.isnan(before)
        assert np.abs(after[both]) == pytest.approx(np.abs(before[both]), abs=1e-9)


@pytest.mark.long
def test_a_mirrored_market_pays_nothing_on_average(empty: Panel) -> None:
    """Books sorted by volatility and by past moves, over several mirrors."""
    settings = SimulationSettings(neutralization="MARKET")
    books = ("rank(ts_std_dev(returns, 60))", "ts_delta(close, 5) / close")
    ratios = np.array(
        [
            [simulate(book, mirrored, settings).statistics.sharpe for book in books]
            for seed in range(8)
            for mirrored in [mirrored_market(empty, seed)]
        ]
    )
    error = ratios.std(axis=0) / np.sqrt(len(ratios))
    assert (np.abs(ratios.mean(axis=0)) < 3.5 * error + 0.05).all()


@pytest.mark.long
def test_what_is_planted_can_be_found_and_is_known(empty: Panel) -> None:
    planted = planted_market(mirrored_market(empty, 5), at_strength(PLANTED, 2.0))
    assert set(planted.truth) == {effect.name for effect in PLANTED}
    for effect in PLANTED:
        found = simulate(effect.expression, planted, SimulationSettings(decay=effect.decay))
        assert found.expected_sharpe is not None and found.expected_sharpe > 1.0
        assert found.statistics.sharpe > 0.5


def test_what_is_planted_depends_on_the_past_only(empty: Panel) -> None:
    mirrored = mirrored_market(empty, 5)
    whole = planted_market(mirrored, PLANTED)
    fields = {name: array.copy() for name, array in mirrored.fields.items()}
    for name in ("open", "high", "low", "close", "vwap"):
        fields[name][800:] *= np.random.default_rng(0).uniform(0.5, 2.0, fields[name][800:].shape)
    from dataclasses import replace

    changed = planted_market(replace(mirrored, fields=fields), PLANTED)
    assert changed.fields["close"][:800] == pytest.approx(whole.fields["close"][:800], nan_ok=True)
    for name, array in whole.truth.items():
        assert (changed.truth[name][:800] == array[:800]).all()


def test_a_market_without_groups_is_refused() -> None:
    with pytest.raises(MarketError, match="industry"):
        planted_market(make_panel(groups=False), PLANTED)
