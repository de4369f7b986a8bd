"""Decay and neutralization in either order, and the other switches of a simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import ConfigurationError, ExpressionError, SimulationError
from alphafoundry.expressions import Conventions
from alphafoundry.market import Panel
from alphafoundry.simulation import EvaluatorCache, SimulationSettings, Simulator, simulate
from alphafoundry.simulation.order import weights_in_order
from alphafoundry.simulation.weights import to_weights
from tests.library.simulation import reference
from tests.library.simulation.conftest import changed_after, make_panel

REVERSAL = "-ts_delta(close, 5)"
SETTINGS = SimulationSettings(decay=6, neutralization="SECTOR", truncation=0.05)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(30, 12))
    values[draw.random(values.shape) < 0.1] = np.nan
    values[draw.random(values.shape) < 0.02] = np.inf
    mask = draw.random(values.shape) < 0.8
    labels = draw.integers(-1, 3, size=values.shape).astype(np.int32)
    return values, mask, labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("truncation", [0.0, 0.2])
def test_neutralization_first_equals_a_slow_reference(seed: int, truncation: float) -> None:
    values, mask, labels = drawn(seed)
    found = weights_in_order(
        values, mask, labels, order="neutralization first", decay=4, truncation=truncation
    )
    frame = pd.DataFrame(values).replace([np.inf, -np.inf], np.nan).where(mask)
    neutral = pd.DataFrame(
        [row - row.groupby(labels[day]).transform("mean") for day, row in frame.iterrows()]
    )
    expected = reference.pipeline(neutral, pd.DataFrame(mask), None, days=4, truncation=truncation)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("decay", "grouped"), [(0, True), (1, True), (5, False)])
def test_without_decay_or_groups_both_orders_are_one(decay: int, grouped: bool) -> None:
    values, mask, labels = drawn(0)
    groups = labels if grouped else None
    found = weights_in_order(values, mask, groups, order="neutralization first", decay=decay)
    np.testing.assert_array_equal(found, to_weights(values, mask, groups, decay=decay))


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="choose one of decay first, neutralization first"):
        weights_in_order(np.ones((2, 2)), order="whatever")  # type: ignore[arg-type]


def test_a_simulation_takes_the_order(panel: Panel) -> None:
    usual = simulate(REVERSAL, panel, SETTINGS)
    assert usual.positions is not None
    other = simulate(REVERSAL, panel, SETTINGS, order="neutralization first")
    assert other.positions is not None
    assert not np.allclose(usual.positions, other.positions)
    assert "Read otherwise than usual: neutralization comes before decay" in other.notes
    assert not any("otherwise" in note for note in usual.notes)
    simulator = Simulator(panel, order="neutralization first")
    again = simulator.simulate(REVERSAL, SETTINGS)
    np.testing.assert_array_equal(again.daily_pnl, other.daily_pnl)


def test_no_switch_lets_the_future_in(panel: Panel) -> None:
    day = 571
    conventions = Conventions("order", "amount", "zscore", "one", "harmonic")
    text = "rank(hump(-ts_delta(close, 5), hump=1)) + group_mean(ts_quantile(close, 9), 1, sector)"
    before, after = (
        simulate(text, market, SETTINGS, conventions=conventions, order="neutralization first")
        for market in (panel, changed_after(panel, day))
    )
    known = int(np.searchsorted(before.dates, panel.dates[day], side="right"))
    np.testing.assert_array_equal(before.daily_pnl[:known], after.daily_pnl[:known])
    assert not np.array_equal(before.daily_pnl[known:], after.daily_pnl[known:])


def test_a_simulation_takes_conventions(panel: Panel) -> None:
    text = "rank(ts_arg_max(close, 5))"
    usual = simulate(text, panel).daily_pnl
    lowest = Conventions(rank_ties="lowest")
    found = simulate(text, panel, conventions=lowest)
    assert "Read otherwise than usual: rank_ties is lowest" in found.notes
    other = found.daily_pnl
    assert not np.allclose(usual, other)
    np.testing.assert_array_equal(
        Simulator(panel, conventions=lowest).simulate(text).daily_pnl, other
    )
    shared = EvaluatorCache(panel, conventions=lowest)
    np.testing.assert_array_equal(simulate(text, panel, evaluator=shared).daily_pnl, other)
    with pytest.raises(ConfigurationError, match="conventions: not those of the evaluator"):
        simulate(text, panel, evaluator=shared, conventions=Conventions())


def test_lookbacks_longer_than_the_market_are_refused_at_their_place() -> None:
    market = make_panel(days=560)
    with pytest.raises(SimulationError, match="below cutoff"):
        simulate("ts_mean(ts_mean(close, 300), 260)", market)
    with pytest.raises(ExpressionError, match="Cumulative lookback of expression") as caught:
        simulate("rank(ts_mean(ts_mean(close, 300), 261))", market)
    assert caught.value.column == 6
