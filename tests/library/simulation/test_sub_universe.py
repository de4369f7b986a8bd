"""Which smaller universe an alpha is compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alphafoundry.market.universe import universe_mask
from alphafoundry.simulation import EvaluatorCache, SimulationSettings, sub_universe
from alphafoundry.simulation.simulator import simulate
from tests.library.simulation.conftest import make_panel


def test_a_market_of_a_few_hundred_names_is_compared_with_its_top_200() -> None:
    panel = make_panel(days=40, names=300)
    inside, note = sub_universe.next_smaller(EvaluatorCache(panel), "TOP3000")
    assert inside is not None
    np.testing.assert_array_equal(inside, universe_mask(panel, "TOP200")[0])
    assert note == "LOW_SUB_UNIVERSE_SHARPE compares with TOP200, since TOP3000 has 299 names here"


def test_the_next_universe_of_a_full_one_needs_no_note() -> None:
    panel = make_panel(days=40, names=560)
    inside, note = sub_universe.next_smaller(EvaluatorCache(panel), "TOP500")
    assert inside is not None
    assert note is None
    assert (inside <= universe_mask(panel, "TOP500")[0]).all()
    assert inside[-1].sum() <= 200


def test_the_smallest_universe_is_compared_with_its_liquid_half() -> None:
    panel = make_panel(days=40, names=260)
    cache = EvaluatorCache(panel)
    inside, note = sub_universe.next_smaller(cache, "TOP200")
    assert inside is not None
    assert note is not None
    assert "most liquid half of the 200 names of TOP200" in note
    assert inside[-1].sum() <= 100
    assert sub_universe.next_smaller(cache, "TOP200")[0] is inside


def test_an_alpha_that_is_alike_in_the_sub_universe_fails_there() -> None:
    """It trades the illiquid half only, so nothing is left of it."""
    panel = make_panel(names=60)
    inside, _ = sub_universe.next_smaller(EvaluatorCache(panel), "TOP3000")
    assert inside is not None
    edge = np.where(inside, 1.0, panel.fields["close"])
    market = make_panel(names=60, fields={**panel.fields, "edge": edge})
    settings = SimulationSettings(neutralization="MARKET", delay=0)
    found = simulate("edge", market, settings)
    check = next(check for check in found.checks if check.name == "LOW_SUB_UNIVERSE_SHARPE")
    assert check.result == "FAIL"
    assert check.value is not None
    assert math.isnan(check.value)
    assert "value" not in check.to_brain()


@pytest.mark.parametrize("delay", [0, 1])
def test_the_sub_universe_is_that_of_the_day_the_weights_were_made(delay: int) -> None:
    returns = np.array([[np.nan] * 3, [0.01, 0.02, 0.03], [0.04, 0.05, 0.07], [0.1, 0.2, 0.4]])
    weights = np.tile([0.5, 0.3, 0.2], (4, 1))
    inside = np.zeros((4, 3), dtype=bool)
    inside[1, :2] = True
    inside[0, 1:] = True
    found = sub_universe.profit(weights, returns, inside, delay=delay)
    # Two names cut to their mean are half long, half short, whatever their weights were.
    earned = {0: [0.5 * (0.02 - 0.03), 0.5 * (0.04 - 0.05), 0.0], 1: [0.5 * (0.05 - 0.07), -0.05]}
    assert found[1 + delay :].tolist() == pytest.approx(earned[delay])
